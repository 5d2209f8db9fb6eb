"""Which of several facts a span of time means: "who led it from 1995 to 2003?"."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from kblampp.data.calendar import date_of, day_number
from kblampp.data.windows import OPEN_END, OPEN_START, Bounds, month_bounds, year_bounds

T = TypeVar("T")


def in_span(asked: Bounds, facts: Sequence[T], held: Callable[[T], Bounds]) -> list[T]:
    """Those of some facts, each with a day in a span of time, that it means (`within_span`); `held` says when."""
    meant = within_span(asked, [held(fact) for fact in facts])
    return [fact for fact, is_meant in zip(facts, meant, strict=True) if is_meant]


def within_span(asked: Bounds, held: Sequence[Bounds]) -> list[bool]:
    """Whether each of some facts is meant by "from 1995 to 2003", of those that hold in a part of it.

    The first and last year are those of a change as a rule.  Who left in the first one, in which somebody else came, or
    came in the last one, in which somebody else left, is not meant; who came and left in it is.

    Args:
        asked: The span, `[start, end)` in days.  One that is open ("since 1995"), of other units than years and months,
            or of less than three of them means all that hold in it.
        held: When the facts hold, each with a day in the span.
    """
    start, end = asked
    first = None if start is None else _unit_from(start)  # the first day after the first year or month
    last = None if end is None else _unit_before(end)  # the first day of the last one
    if start is None or end is None or first is None or last is None or first >= last:
        return [True] * len(held)
    spans = [(OPEN_START if low is None else low, OPEN_END if high is None else high) for low, high in held]
    inner = [(low, high) for low, high in spans if low < last and first < high]
    came = any(start <= low < first for low, _ in inner)
    went = any(last < high <= end for _, high in inner)
    left = [came and low < start and high <= first for low, high in spans]
    entered = [went and last <= low and end < high for low, high in spans]
    return [not (at_start or at_end) for at_start, at_end in zip(left, entered, strict=True)]


def _unit_from(day: int) -> int | None:
    """The day after the year, or else the month, that begins on a day; None where none does."""
    year, month, of_month = date_of(day)
    if of_month != 1:
        return None
    bounds = year_bounds(year) if month == 1 else month_bounds(year, month)
    return None if bounds is None else bounds[1]


def _unit_before(day: int) -> int | None:
    """The first day of the year, or else the month, after which a day comes; None where none ends."""
    _, next_month, of_month = date_of(day)
    if of_month != 1:
        return None
    year, month, _ = date_of(day - 1)
    return day_number(year, 1 if next_month == 1 else month, 1)
