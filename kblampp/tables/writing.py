"""Facts as the rows of a table, and tables as lines of text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from kblampp.data.facts import FiveTuple
from kblampp.data.windows import Window, iso
from kblampp.tables.dates import bound_text

_STEERING = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters, ends of lines, overrides of the direction of writing, halves of pairs."""
COLUMNS = ("head", "relation", "tail", "context", "start", "end")


def as_row(fact: FiveTuple) -> dict[str, str]:
    """A fact as a table's row has it: names, sentence, and bounds as precise as they were given."""
    window = fact.window
    return {
        "head": fact.head.name,
        "relation": fact.relation.name,
        "tail": fact.tail.name,
        "context": fact.context.sent_span,
        "start": bound_text(window.start, window.start_unit, end=False),
        "end": bound_text(window.end, window.end_unit, end=True),
    }


class FactState(Protocol):
    """One state of one fact of a base; times are UTC."""

    @property
    def fact(self) -> int: ...
    @property
    def content(self) -> FiveTuple: ...
    @property
    def call(self) -> int: ...
    @property
    def written(self) -> str: ...
    @property
    def retired(self) -> str | None: ...


def state_row(state: FactState) -> dict[str, Any]:
    """A state of a fact as the server and `--json` give it."""
    return {
        "id": state.fact,
        **as_row(state.content),
        "written": state.written,
        "retired": state.retired,
        "call": state.call,
    }


def inclusive(window: Window) -> dict[str, str | None]:
    """A window with its first and its last day, None where it is open."""
    return {
        "start": None if window.start is None else iso(window.start),
        "end": None if window.end is None else iso(window.end - 1),
    }


def aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """The rows of a table with columns of one width."""
    rows = [[line_of(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        yield "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def line_of(text: str) -> str:
    """A text as a line of a screen can hold it: ends of lines and what steers a terminal are escaped."""
    return _STEERING.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def span(window: Window) -> str:
    """A window with its first and last day; nothing where none is known."""
    if not window.known:
        return ""
    bounds = inclusive(window)
    return f"{bounds['start'] or '…'} to {bounds['end'] or '…'}"
