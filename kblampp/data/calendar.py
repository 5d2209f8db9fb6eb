"""Days by their numbers: the calendar of `datetime.date`, carried on below the year 1.

A day has the number that `datetime.date.toordinal()` gives it: day 1 is 1 January of year 1, day 0 the one before.
Years are those of ISO 8601: 0 is the year 1 BC, -43 is 44 BC.  The Gregorian calendar repeats itself after 400 years,
so a day that `datetime.date` lacks is counted some cycles later and brought back.  All days are Gregorian, also those
before anybody counted so.
"""

from __future__ import annotations

import datetime
from typing import NamedTuple

from kblampp.core.errors import DataError

FIRST_YEAR, LAST_YEAR = -9998, 9999
"""9999 BC and AD 9999."""
_CYCLE_YEARS, _CYCLE_DAYS = 400, 146_097


def day_number(year: int, month: int, day: int) -> int:
    """The number of a day.

    Raises:
        ValueError: The calendar, from FIRST_YEAR to LAST_YEAR, has no such day.
    """
    if not FIRST_YEAR <= year <= LAST_YEAR:
        raise ValueError(f"year {year} is outside of {FIRST_YEAR} to {LAST_YEAR}")
    cycles = max(0, -((year - 1) // _CYCLE_YEARS))
    return datetime.date(year + cycles * _CYCLE_YEARS, month, day).toordinal() - cycles * _CYCLE_DAYS


FIRST_DAY, LAST_DAY = day_number(FIRST_YEAR, 1, 1), day_number(LAST_YEAR, 12, 31)


class Date(NamedTuple):
    """A day of the calendar; `datetime.date` for years below 1 too."""

    year: int
    month: int
    day: int

    @property
    def number(self) -> int:
        """Of the day."""
        return day_number(*self)

    @property
    def weekday(self) -> int:
        """0 for Monday to 6 for Sunday."""
        return (self.number - 1) % 7


def date_of(number: int) -> Date:
    """The date of a day, the inverse of `day_number`.

    Raises:
        DataError: The calendar has no such day.
    """
    if not FIRST_DAY <= number <= LAST_DAY:
        raise DataError(f"day number {number} is outside the calendar: expected {FIRST_DAY} to {LAST_DAY}")
    cycles = max(0, -((number - 1) // _CYCLE_DAYS))
    date = datetime.date.fromordinal(number + cycles * _CYCLE_DAYS)
    return Date(date.year - cycles * _CYCLE_YEARS, date.month, date.day)


def iso_year(year: int) -> str:
    """A year as ISO 8601 writes it: "0987", "0000", "-0043"."""
    return f"{'-' * (year < 0)}{abs(year):04}"


def year_in_words(year: int) -> str:
    """A year as people write it: "987", "44 BC"."""
    return str(year) if year > 0 else f"{1 - year} BC"
