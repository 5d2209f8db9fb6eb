"""The order of day and month in the dates of one file, where some of its dates tell that of the others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from kblampp.tables.dates import order_of


@dataclass(frozen=True)
class FileOrder:
    """What the dates of a file say of their order.

    Attributes:
        month_first: Whether the month stands first in dates that could be two days; None if nothing or both says so.
        kind: What is said of the dates that were read by it.
        said: What is to be said of the file.
    """

    month_first: bool | None = None
    kind: str = ""
    said: tuple[str, ...] = ()


def order_of_file(rows: Iterable[tuple[int, Mapping[str, str]]]) -> FileOrder:
    """Tells the order of a file, starts and ends together.

    Args:
        rows: The line of each row, and its cells by part.
    """
    first: dict[bool, tuple[int, str]] = {}
    in_doubt = False
    for line, cells in rows:
        for part in ("start", "end"):
            found = order_of(cells.get(part, ""))
            if found is None:
                continue
            if found.month_first is None:
                in_doubt = True
            else:
                first.setdefault(found.month_first, (line, found.text))
    if len(first) == 2:
        (line, text), (other_line, other) = sorted(first.values())
        said = (
            f"day and month stand in different orders in {text!r} (line {line}) and {other!r} (line {other_line}), so "
            "dates that could be two days are not read"
        )
        return FileOrder(said=(said,) if in_doubt else ())
    for month_first, (line, text) in first.items():
        mark = text.lstrip("0123456789")[0]
        order = mark.join(("month", "day", "year") if month_first else ("day", "month", "year"))
        return FileOrder(month_first, f"dates read as {order}, since line {line} leaves no other order")
    return FileOrder()
