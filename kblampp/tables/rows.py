"""The rows of a table, each a fact or the reason why it is none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from kblampp.core.errors import DataError
from kblampp.data.facts import FiveTuple
from kblampp.tables.cells import SEPARATORS, Record, records, sep_line
from kblampp.tables.columns import Layout, find_columns, understood
from kblampp.tables.decoding import NO_TEXT, Decoded
from kblampp.tables.facts_of_rows import Remark, fact_of
from kblampp.tables.orders import FileOrder, order_of_file

SHORT = "rows with fewer cells than the first line, of which the others count as empty"


@dataclass(frozen=True)
class ParsedRow:
    """A row that is not blank.

    Attributes:
        line: Where it begins, from 1.
        raw: Its text.
        outcome: The fact and what is to be said of it, or why it is none.
    """

    line: int
    raw: str
    outcome: tuple[FiveTuple, list[Remark]] | str


@dataclass(frozen=True)
class Parsed:
    """A file of facts, parsed.

    Attributes:
        rows: Its rows, in order.
        form: What kind of file it is.
        layout: Its columns; None if it has none.
        said: What is to be said of its form.
    """

    rows: list[ParsedRow]
    form: str
    layout: Layout | None
    said: list[str] = field(default_factory=list)

    def notes(self) -> list[str]:
        """What is to be said of its form and its columns."""
        return [*self.said, *(self.layout.notes() if self.layout else ())]

    def columns(self) -> dict[str, str]:
        """Part -> name of its column."""
        return {part: self.layout.name(part) for part in self.layout.place} if self.layout else {}


def read_table(decoded: Decoded, path: Path, columns: Mapping[str, str] | None) -> Parsed:
    """Reads a table.

    Raises:
        DataError: Its columns are not understood, or it is no text.
    """
    text, named = decoded.text, sep_line(decoded.text)
    at, line = (named[1], 2) if named else (0, 1)
    separators = [named[0]] if named else list(SEPARATORS)
    heads = {separator: _first(text, separator, at, line) for separator in separators}
    ranked = {
        separator: (understood(record.cells, columns or {}), len(record.cells)) for separator, record in heads.items()
    }
    separator = max(separators, key=lambda one: ranked[one])
    head = heads[separator]
    try:
        if head.problem is not None:
            raise DataError(f"{path}, line {head.line} should hold the names of the columns, but {head.problem}")
        layout = find_columns(head.cells, str(path), columns)
    except DataError:
        if decoded.binary:  # its "names" would be of no use to anybody
            raise DataError(f"{path} {NO_TEXT}, or name its encoding if it is one") from None
        raise
    between = SEPARATORS.get(separator, repr(separator))
    said = f"{between} between the columns{', as its first line says' if named else ''}"
    found = [
        (record, _fault(record, head, layout, decoded))
        for record in records(text, separator, at=at, line=line)
        if record.line > head.line and not record.blank
    ]
    order = order_of_file((record.line, dict(_parts(record.cells, layout))) for record, fault in found if not fault)
    rows = [ParsedRow(record.line, record.raw, fault or _outcome(record, layout, order)) for record, fault in found]
    form = f"table in {decoded.encoding}, {between} between its columns"
    return Parsed(rows, form, layout, [*([] if separator == "," else [said]), *order.said])


def _first(text: str, separator: str, at: int, line: int) -> Record:
    """The first row that is not blank."""
    found = (record for record in records(text, separator, at=at, line=line) if not record.blank)
    return next(found, Record(line, "", []))


def _fault(record: Record, head: Record, layout: Layout, decoded: Decoded) -> str | None:
    """Why nobody can say which cell of a row is which; None if that can be said."""
    cells = record.cells
    if fault := decoded.fault(record.raw):
        return fault
    if record.problem:
        return record.problem
    named = _named(layout)
    n_cells = max(number for number, cell in enumerate(cells, start=1) if cell)
    if n_cells > named:
        return f"it has {n_cells} cells, expected {named}: quote a cell that holds the separator"
    if cells == head.cells:
        return "it repeats the names of the columns"
    if all(set(cell) <= set("-:") for cell in cells):
        return "it is a line of dashes, as under the names of a Markdown table"
    if record.inside is not None and len(cells) != len(head.cells):
        return f"it stands in what a quote of line {record.inside} holds, and has {len(cells)} cells: close that quote"
    return None


def _named(layout: Layout) -> int:
    """How many columns there are, up to the last one with a name."""
    return max(number for number, name in enumerate(layout.names, start=1) if name)


def _outcome(record: Record, layout: Layout, order: FileOrder) -> tuple[FiveTuple, list[Remark]] | str:
    """The fact of a row without a fault, or why it is none."""
    cells, named = record.cells, _named(layout)
    try:
        fact, remarks = fact_of(dict(_parts(cells, layout)), layout, order)
    except DataError as error:
        few = "" if len(cells) >= named else f" (the row has {len(cells)} cells, the first line {named})"
        return f"{error}{few}"
    if len(cells) < named:
        remarks.append(Remark(SHORT, f"it has {len(cells)} cells of {named}"))
    if record.inside is not None:
        remarks.append(
            Remark("rows after a quote that is not closed", f"a quote that opens in line {record.inside} would hold it")
        )
    return fact, remarks


def _parts(cells: list[str], layout: Layout) -> Iterator[tuple[str, str]]:
    for part, number in layout.place.items():
        yield part, cells[number] if number < len(cells) else ""
