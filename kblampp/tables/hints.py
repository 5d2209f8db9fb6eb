"""What a reader of a table should know of its facts, which are read as they are."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from kblampp.data.facts import FiveTuple
from kblampp.tables.decoding import shown

_URI = re.compile(r"<?https?://\S+>?")
_TWICE_ENCODED = re.compile(r"[ÂÃ][\u0080-\u00bf]|â€|Ã[\u0192\u201a]")
MOST_LINES = 5
"""Lines that a hint names."""


def hints(facts: Sequence[tuple[int, FiveTuple]]) -> Iterator[str]:
    """Says which facts are equal, or differ in case and blanks alone, and which names are URIs or damaged text.

    Args:
        facts: Each with its line.
    """
    yield from _equal(facts)
    names = [(line, (fact.head.name, fact.relation.name, fact.tail.name)) for line, fact in facts]
    uris = [line for line, found in names if any(_URI.fullmatch(name) for name in found)]
    if uris:
        yield f"names that are URIs ({lines_of(uris)}): questions name things by their labels, so labels answer better"
    damaged = [line for line, found in names if any(_TWICE_ENCODED.search(name) for name in found)]
    if damaged:
        where = lines_of(damaged)
        yield f"names such as 'CafÃ©' ({where}): the text seems to have been read in a wrong encoding before"
    lost = [line for line, found in names if any("\ufffd" in name for name in found)]
    if lost:
        yield f"names with \ufffd ({lines_of(lost)}): letters were lost before the file was made"


def _equal(facts: Sequence[tuple[int, FiveTuple]]) -> Iterator[str]:
    seen: dict[FiveTuple, int] = {}
    alike: dict[tuple[object, ...], int] = {}
    equal, similar = [], []
    for line, fact in facts:
        names = (fact.head.name, fact.relation.name, fact.tail.name)
        loose = (*(" ".join(name.casefold().split()) for name in names), fact.window)
        if fact in seen:
            equal.append(line)
        elif loose in alike:
            similar.append((line, alike[loose], fact))
        seen.setdefault(fact, line)
        alike.setdefault(loose, line)
    if equal:
        yield f"rows that are equal to an earlier one ({lines_of(equal)})"
    if similar:
        line, first, fact = similar[0]
        name = shown(fact.head.name[:40])
        yield (
            f"rows that say what an earlier one says, but for case, blanks or context "
            f"({lines_of([one for one, _, _ in similar])}; line {line}, {name!r}, is like line {first})"
        )


def lines_of(lines: Sequence[int]) -> str:
    """Names lines: "line 3", "lines 3, 4, 5, 8, 9 and 12 more"."""
    some = ", ".join(str(line) for line in lines[:MOST_LINES])
    more = f" and {len(lines) - MOST_LINES} more" if len(lines) > MOST_LINES else ""
    return f"{'line' if len(lines) == 1 else 'lines'} {some}{more}"
