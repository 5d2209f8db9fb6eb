"""Which of several facts a span of time means: "who led it from 1995 to 2003?"."""

from __future__ import annotations

import datetime
from collections.abc import Sequence

from kblampp.data.facts import FiveTuple
from kblampp.data.windows import LAST_DAY, Bounds, Window, month_bounds, year_bounds


def in_span(asked: Window, facts: Sequence[FiveTuple]) -> list[FiveTuple]:
    """Those of some facts, each with a day in a span of time, that it means (`within_span`)."""
    meant = within_span((asked.start, asked.end), [(fact.window.start, fact.window.end) for fact in facts])
    return [fact for fact, is_meant in zip(facts, meant, strict=True) if is_meant]


def within_span(asked: Bounds, held: Sequence[Bounds]) -> list[bool]:
    """Whether each of some facts is meant by a span of years or months, of those that hold in a part of it.

    Its first and last year are those of a change as a rule.  Who left in the first one, in which somebody else came, or
    came in the last one, in which somebody else left, is not meant; who came and left in it is.

    Args:
        asked: The span, `[start, end)` in days; of one unit, or of two, it means all that hold in it.
        held: When the facts hold, each with a day in the span.
    """
    start, end = asked
    first = None if start is None else _unit_from(start)  # the first day after the first year or month
    last = None if end is None else _unit_before(end)  # the first day of the last one
    if (first is None and last is None) or _not_before(first or start, last or end):
        return [True] * len(held)
    middle = (first or start, last or end)
    inner = [bounds for bounds in held if _share(bounds, middle)]
    came = first is not None and any(low is not None and (start or 0) <= low < first for low, _ in inner)
    went = last is not None and any(high is not None and last < high <= (end or LAST_DAY) for _, high in inner)

    def is_meant(bounds: Bounds) -> bool:
        low, high = bounds
        if _share(bounds, middle):
            return True
        if came and high is not None and first is not None and high <= first:
            return low is not None and low >= (start or 0)
        return not went or (high is not None and high <= (end or LAST_DAY))

    return [is_meant(bounds) for bounds in held]


def _unit_from(day: int) -> int | None:
    """The day after the year, or else the month, that begins on a day; None where none does."""
    if not 1 <= day <= LAST_DAY:
        return None
    date = datetime.date.fromordinal(day)
    if date.day != 1:
        return None
    bounds = year_bounds(date.year) if date.month == 1 else month_bounds(date.year, date.month)
    return None if bounds is None else bounds[1]


def _unit_before(day: int) -> int | None:
    """The first day of the year, or else the month, after which a day comes; None where none ends."""
    if not 1 < day <= LAST_DAY:
        return None
    date, next_day = datetime.date.fromordinal(day - 1), datetime.date.fromordinal(day)
    if next_day.day != 1:
        return None
    return datetime.date(date.year, 1 if next_day.month == 1 else date.month, 1).toordinal()


def _not_before(first: int | None, last: int | None) -> bool:
    return first is not None and last is not None and first >= last


def _share(one: Bounds, other: Bounds) -> bool:
    """Whether two spans, None where open, have a day in common."""
    return not (
        (one[1] is not None and other[0] is not None and one[1] <= other[0])
        or (other[1] is not None and one[0] is not None and other[1] <= one[0])
    )
