"""A row of a table, or an object of a JSON-lines file, as a fact: its names, its sentence and its window."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kblampp.core.errors import DataError
from kblampp.data.facts import Context, Entity, FiveTuple, Relation
from kblampp.data.windows import UNKNOWN, Window
from kblampp.tables.columns import NEEDED, Layout
from kblampp.tables.dates import bound_text, order_of, read_bound
from kblampp.tables.orders import FileOrder

SOURCE = "custom"
"""Source of the contexts and windows of facts that people bring."""


@dataclass(frozen=True)
class Remark:
    """How something in a row was understood.

    Attributes:
        kind: What is said of all such rows together.
        text: What it is in this row.
    """

    kind: str
    text: str


def fact_of(cells: Mapping[str, str], layout: Layout, order: FileOrder) -> tuple[FiveTuple, list[Remark]]:
    """Makes a fact of the cells of a row, by part; a part without a cell is empty.

    Args:
        cells: Part -> what stands there.
        layout: The columns.
        order: Of day and month in the dates of the file.

    Raises:
        DataError: A name is empty, a date is none or not certain, or the end is before the start.
    """
    for part in NEEDED:
        if not cells.get(part):
            raise DataError(f"column {layout.name(part)!r} is empty: expected a name")
    window, remarks = _window(cells, layout, order)
    fact = FiveTuple(
        head=Entity(None, cells["head"]),
        relation=Relation(None, cells["relation"]),
        tail=Entity(None, cells["tail"]),
        context=Context(SOURCE, sent_span=cells.get("context", "")),
        window=window,
    )
    return fact, remarks


def _window(cells: Mapping[str, str], layout: Layout, order: FileOrder) -> tuple[Window, list[Remark]]:
    bounds, remarks = [], []
    for part in ("start", "end"):
        text = cells.get(part, "")
        try:
            bound = read_bound(text, end=part == "end", month_first=order.month_first)
        except DataError as error:
            raise DataError(f"column {layout.name(part)!r}: {error}") from None
        bounds.append(bound)
        numbers = order_of(text) if order.month_first is not None else None
        by_order = order.kind if numbers and numbers.month_first is None else None
        read = bound_text(bound.day, bound.unit, end=part == "end") or "open or unknown"
        remarks += [Remark(kind, f"{part} {text!r} is read as {read}") for kind in (bound.note, by_order) if kind]
    start, end = bounds
    if start.day is None and end.day is None:
        return UNKNOWN, remarks
    if start.day is not None and end.day is not None and end.day <= start.day:
        raise DataError(f"it starts in {cells['start']!r} and ends in {cells['end']!r}: expected end after start")
    return Window(start.day, end.day, SOURCE, start.unit, end.unit), remarks


def window_words(window: Window) -> str:
    """A window for people, with its last day: "from 1994 to 2003", "in 1931", "" if nothing is known of it."""
    first, last = window.in_words("start"), window.in_words("end")
    if first is not None and first == last:
        return f"on {first}" if window.start_unit == "day" else f"in {first}"
    said = [f"{word} {text}" for word, text in (("from", first), ("to", last)) if text is not None]
    return " ".join(said) or ("always" if window.known else "")
