"""Time expressions for the questions about open bases, in words and as the windows that they mean."""

from __future__ import annotations

import datetime
import random
from collections.abc import Callable

from kblampp.data.windows import MONTHS, SYNTHETIC_TODAY, Window, month_window, year_window, years_bounds


def year_of(day: int) -> int:
    """The year of a day number."""
    return datetime.date.fromordinal(day).year


def time_expression(rng: random.Random, day: int) -> tuple[str, Window]:
    """A time expression about a day, in words and as the half-open window that it means; named units are inclusive."""
    date = datetime.date.fromordinal(day)
    year, month = date.year, MONTHS[date.month - 1]
    return rng.choices([make for make, _ in _TIME_FORMS], [weight for _, weight in _TIME_FORMS])[0](
        rng, date, year, month
    )


def time_within(rng: random.Random, window: Window) -> tuple[str, Window]:
    """A time expression about a day of a fact's window, in words and as the window that it means."""
    stop = min(window.end or SYNTHETIC_TODAY, SYNTHETIC_TODAY)
    return time_expression(rng, rng.randint(window.start or stop - 3000, stop - 1))


def years_within(rng: random.Random, window: Window) -> tuple[str, Window]:
    """ "since 2004", "between 2001 and 2005" and the like, about a fact's window."""
    first = min(year_of(window.start or (window.end or SYNTHETIC_TODAY) - 3000) + rng.randint(0, 2), 2025)
    last = min(first + rng.randint(1, 12), 2026)
    start, end = years_bounds(first, last + 1) or (None, None)
    if rng.random() < 0.5:
        return rng.choice((f"since {first}", f"from {first} on")), Window(start, None, "question")
    when = rng.choice((f"between {first} and {last}", f"from {first} to {last}"))
    return when, Window(start, end, "question")


def _in_year(rng: random.Random, date: datetime.date, year: int, month: str) -> tuple[str, Window]:
    return f"{rng.choice(('in', 'in', 'in', 'during', 'as of'))} {year}", year_window(year, "question")


def _in_month(rng: random.Random, date: datetime.date, year: int, month: str) -> tuple[str, Window]:
    return f"{rng.choice(('in', 'in', 'as of'))} {month} {year}", month_window(year, date.month, "question")


def _on_day(rng: random.Random, date: datetime.date, year: int, month: str) -> tuple[str, Window]:
    day = rng.choice((f"{date.day} {month} {year}", f"{month} {date.day}, {year}", date.isoformat()))
    return f"on {day}", Window(date.toordinal(), date.toordinal() + 1, "question")


def _span(rng: random.Random, date: datetime.date, year: int, month: str) -> tuple[str, Window]:
    last = min(year + rng.randint(1, 4), year_of(SYNTHETIC_TODAY))
    if last == year:
        return _in_year(rng, date, year, month)
    start, end = years_bounds(year, last + 1) or (None, None)
    words = rng.choice((f"between {year} and {last}", f"from {year} to {last}", f"in {year}-{last}"))
    return words, Window(start, end, "question")


def _decade(rng: random.Random, date: datetime.date, year: int, month: str) -> tuple[str, Window]:
    first = year // 10 * 10
    part, (low, high) = rng.choice((("", (0, 10)), ("early ", (0, 4)), ("late ", (7, 10))))
    start, end = years_bounds(first + low, first + high) or (None, None)
    return f"in the {part}{first}s", Window(start, end, "question")


def _open_time(rng: random.Random, date: datetime.date, year: int, month: str) -> tuple[str, Window]:
    if rng.random() < 0.5:
        return f"before {year}", Window(None, year_window(year).start, "question")
    return f"after {year}", Window(year_window(year).end, None, "question")


_TimeForm = Callable[[random.Random, datetime.date, int, str], tuple[str, Window]]
_TIME_FORMS: tuple[tuple[_TimeForm, int], ...] = (
    (_in_year, 8),
    (_in_month, 4),
    (_on_day, 2),
    (_span, 4),
    (_decade, 2),
    (_open_time, 2),
)
