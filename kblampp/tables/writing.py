"""Facts as the rows of a table, and tables as lines of text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kblampp.data.facts import FiveTuple
from kblampp.data.windows import Window, iso
from kblampp.tables.dates import bound_text

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


def inclusive(window: Window) -> dict[str, str | None]:
    """A window with its first and its last day, None where it is open."""
    return {
        "start": None if window.start is None else iso(window.start),
        "end": None if window.end is None else iso(window.end - 1),
    }


def aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """The rows of a table with columns of one width."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        yield "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def span(window: Window) -> str:
    """A window with its first and last day; nothing where none is known."""
    if not window.known:
        return ""
    bounds = inclusive(window)
    return f"{bounds['start'] or '…'} to {bounds['end'] or '…'}"
