"""Reads a file of facts as other people make them, and says aloud how it was understood.

A table (commas, semicolons, tabs or bars; Excel's "sep=" line; any line ends) has the names of its columns in its first
line; JSON lines, or a JSON list, hold five-tuples or objects with the same names.  `decoding` says how bytes become
text, `columns` how columns are told, `dates` what a date is.  A cell is kept letter by letter, without the blanks
around it.  A row that cannot be read is kept with the reason, and a row without anything in it is none.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from kblampp.core.errors import DataError
from kblampp.core.files import atomic_write
from kblampp.data.facts import FiveTuple
from kblampp.tables.decoding import decode, shown, stripped
from kblampp.tables.facts_of_rows import window_words
from kblampp.tables.hints import hints, lines_of
from kblampp.tables.json_rows import read_objects
from kblampp.tables.rows import Parsed, read_table

WIDEST = 60
"""Characters of a cell that a preview shows."""


@dataclass(frozen=True)
class RowFact:
    """A fact and where it stands.

    Attributes:
        row: Its number among the rows that are not blank, from 0; those that cannot be read count.
        line: Where it begins in the file, from 1.
        fact: The fact.
        notes: How parts of it were understood that say more or less than what is kept of them.
    """

    row: int
    line: int
    fact: FiveTuple
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Rejected:
    """A row that cannot be read.

    Attributes:
        line: Where it begins in the file, from 1.
        reason: Why it cannot.
        raw: Its text; bytes that are none as \\xe9.
        row: Its number, counted as of `RowFact`.
    """

    line: int
    reason: str
    raw: str
    row: int


@dataclass(frozen=True)
class TableReading:
    """What a file holds, and how it was understood.

    Attributes:
        path: The file.
        facts: What could be read, in order.
        rejected: What could not, in order.
        notes: What is not as in a plain table of this package, a sentence each.
        form: What kind of file it is: "table in UTF-8, commas between its columns".
        columns: Part (head, relation, tail, context, start, end) -> name of its column.
    """

    path: Path
    facts: list[RowFact]
    rejected: list[Rejected]
    notes: list[str]
    form: str
    columns: Mapping[str, str] = field(default_factory=dict)


def read_facts_table(
    path: Path, *, columns: Mapping[str, str] | None = None, encoding: str | None = None
) -> TableReading:
    """Reads a file of facts.

    Args:
        path: The file.
        columns: Part (head, relation, tail, context, start, end) -> name of its column; "" for a part that is not to be
            read. Parts that are not here are told by the names of the columns.
        encoding: Of the file, if it is known.

    Raises:
        DataError: Nothing can be read: the file is missing, empty or no text, or its columns are not understood.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except (OSError, ValueError) as error:  # a ValueError of a name with a zero byte
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{shown(str(path))} cannot be read ({reason}): expected a file of facts") from None
    decoded = decode(data, str(path), encoding)
    begin = stripped(decoded.text[:1000])[:1]
    if not stripped(decoded.text):
        raise DataError(f"{path} is empty: expected a first line such as head,relation,tail and a fact a line")
    if begin == "<":
        raise DataError(f"{path} looks like HTML, XML or RDF: expected a table (CSV) or JSON lines")
    parsed = read_objects(decoded, path, columns) if begin in "{[" else read_table(decoded, path, columns)
    return _reading(path, parsed, [decoded.note] if decoded.note else [])


def _reading(path: Path, parsed: Parsed, notes: list[str]) -> TableReading:
    facts: list[RowFact] = []
    rejected: list[Rejected] = []
    kinds: dict[str, list[int]] = {}
    first: dict[str, str] = {}
    for number, row in enumerate(parsed.rows):
        if isinstance(row.outcome, str):
            rejected.append(Rejected(row.line, shown(row.outcome), shown(row.raw), number))
            continue
        fact, remarks = row.outcome
        facts.append(RowFact(number, row.line, fact, tuple(shown(remark.text) for remark in remarks)))
        for remark in remarks:
            kinds.setdefault(remark.kind, []).append(row.line)
            first.setdefault(remark.kind, shown(remark.text))
    told = [_told(kind, lines, first[kind]) for kind, lines in kinds.items()]
    said = [*notes, *parsed.notes(), *told, *hints([(row.line, row.fact) for row in facts])]
    if not (facts or rejected):
        said.append("it holds no row of facts")
    return TableReading(path, facts, rejected, said, parsed.form, parsed.columns())


def _told(kind: str, lines: list[int], first: str) -> str:
    """How often something was understood so, in which lines, and how it was in the first of them."""
    different = list(dict.fromkeys(lines))
    place = f"line {lines[0]}, {first}" if len(different) == 1 else f"{lines_of(different)}; line {lines[0]}: {first}"
    return f"{kind}: {len(lines)} ({place})"


def write_rejected(reading: TableReading, path: Path) -> None:
    """Writes the rows that could not be read as CSV: line, reason, raw; only the header if there are none."""
    with atomic_write(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("line", "reason", "raw"))
        writer.writerows((row.line, row.reason, row.raw) for row in reading.rejected)


def preview(reading: TableReading, rows: int = 5) -> Iterator[str]:
    """Lines for people: how the file was understood, its first facts, and the first rows that cannot be read."""
    yield f"{reading.path.name}: {reading.form}"
    if reading.columns:
        yield f"  columns: {', '.join(f'{part} = {name!r}' for part, name in reading.columns.items())}"
    for row in reading.facts[:rows]:
        fact, words = row.fact, window_words(row.fact.window)
        names = ", ".join(_short(name) for name in (fact.head.name, fact.relation.name, fact.tail.name))
        yield f"  line {row.line}: ({names}){f' {words}' if words else ''}"
        if fact.context.sent_span:
            yield f"    context: {_short(fact.context.sent_span)}"
        yield from (f"    note: {_short(note, 2 * WIDEST)}" for note in row.notes)
    if len(reading.facts) > rows:
        yield f"  … and {len(reading.facts) - rows} more"
    for lost in reading.rejected[:rows]:
        yield f"  line {lost.line} cannot be read: {_short(lost.reason, 4 * WIDEST)}"
    yield f"{_count(len(reading.facts), 'fact')}, {_count(len(reading.rejected), 'row')} that cannot be read"
    yield from (f"note: {note}" for note in reading.notes)


def _short(text: str, widest: int = WIDEST) -> str:
    text = " ".join(shown(text).split())
    return text if len(text) <= widest else f"{text[: widest - 1]}…"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
