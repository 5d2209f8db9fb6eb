"""The calendar: days, months and years as day numbers, half-open validity windows and their arrays.

A day is `datetime.date.toordinal()`: day 1 is 1 January of year 1, and `calendar` has the days before. A window holds
its start and not its end, so touching windows share no day and a fact for the years 2009 to 2013 ends on 2014-01-01.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kblampp.core.errors import DataError
from kblampp.data.calendar import (
    FIRST_DAY,
    FIRST_YEAR,
    LAST_DAY,
    LAST_YEAR,
    date_of,
    day_number,
    iso_year,
    year_in_words,
)

MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)

UNITS = ("year", "month", "day")
"""How precisely a bound of a window may have been written."""

Bounds = tuple[int | None, int | None]
"""First day and first day after, None where open."""

# int32 sentinels of `window_bounds`; every real day lies strictly between OPEN_START and OPEN_END.
UNKNOWN_DAY = int(np.iinfo(np.int32).min)
OPEN_START = UNKNOWN_DAY + 1
OPEN_END = int(np.iinfo(np.int32).max)

_ISO_DAY = re.compile(r"(?P<year>(?!-0000)-?[0-9]{4})-(?P<month>[0-9]{2})-(?P<day>[0-9]{2})")


def day(text: str) -> int:
    """Returns the day number of an ISO date such as "2009-03-02", or "-0043-03-15" of the year 44 BC.

    Raises:
        DataError: if `text` is not a calendar date written as YYYY-MM-DD.
    """
    try:
        found = _ISO_DAY.fullmatch(text)
        if not found:
            raise ValueError(text)
        return day_number(*map(int, found.groups()))
    except (TypeError, ValueError):
        raise DataError(
            f"{text!r} is not a date: expected a calendar day written as YYYY-MM-DD, from {iso(FIRST_DAY)} to "
            f"{iso(LAST_DAY)}"
        ) from None


def iso(number: int) -> str:
    """Returns the ISO date of a day number, the inverse of `day`.

    Raises:
        DataError: if the calendar has no such day.
    """
    year, month, of_month = date_of(number)
    return f"{iso_year(year)}-{month:02}-{of_month:02}"


SYNTHETIC_TODAY = day_number(2026, 11, 25)
"""The day on which synthetic questions are asked: what "now" means to them and to a training on them."""


@dataclass(frozen=True, slots=True)
class Window:
    """A half-open span of days `[start, end)`.

    Attributes:
        start: first day, or None if the window is open towards the past.
        end: first day after the window, or None if it is open towards the future.
        source: where the window comes from. With all three None nothing is known about the time;
            with a source and no ends the window is known to hold always.
        start_unit: one of UNITS, how precisely the start was written; None if that was not said.
        end_unit: the same of the end.

    Raises:
        DataError: if `end <= start`, a bound is no calendar day, its unit does not begin on it, or a field has the
            wrong type.
    """

    start: int | None
    end: int | None
    source: str | None = None
    start_unit: str | None = None
    end_unit: str | None = None

    def __post_init__(self) -> None:
        for name, value in (("start", self.start), ("end", self.end)):
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int):
                raise DataError(
                    f"window {name} is {value!r} ({type(value).__name__}): expected a day number (int) or None"
                )
            if not FIRST_DAY <= value <= LAST_DAY:
                raise DataError(
                    f"window {name} is {value}: expected a day number from {FIRST_DAY} to {LAST_DAY} or None"
                )
        if self.source is not None and not isinstance(self.source, str):
            raise DataError(f"window source is {self.source!r}: expected a string or None")
        if self.start is not None and self.end is not None and self.end <= self.start:
            raise DataError(
                f"window [{iso(self.start)}, {iso(self.end)}) holds no day: "
                "expected end after start, since the end day itself is not part of a window"
            )
        for name, value, unit in (("start", self.start, self.start_unit), ("end", self.end, self.end_unit)):
            if unit is None:
                continue
            if unit not in UNITS:
                raise DataError(f"window {name}_unit is {unit!r}: expected one of {', '.join(UNITS)} or None")
            if value is None or UNITS.index(unit) < UNITS.index(widest_unit(value)):
                day = "open" if value is None else iso(value)
                raise DataError(f"window {name} is {day}, where no {unit} begins: expected another {name}_unit or None")

    @property
    def bounds(self) -> Bounds:
        """First day and first day after."""
        return self.start, self.end

    @property
    def known(self) -> bool:
        """False only if start, end and source are all None."""
        return not (self.start is None and self.end is None and self.source is None)

    def overlaps(self, other: Window) -> bool:
        """Whether both are known and share at least one day; an unknown window overlaps nothing."""
        return self.overlap_days(other) > 0

    def overlap_days(self, other: Window) -> int:
        """Counts the shared days; open ends reach to the calendar's edges, 0 if one is unknown."""
        if not (self.known and other.known):
            return 0
        starts = [window.start for window in (self, other) if window.start is not None]
        ends = [window.end for window in (self, other) if window.end is not None]
        return max(0, min(ends, default=LAST_DAY + 1) - max(starts, default=FIRST_DAY))

    def clip(self, horizon: Window) -> Window:
        """Returns the part of this window inside `horizon`, with this window's source.

        A window without a day in the horizon, or an unknown one on either side, is returned as it
        is: it overlaps nothing there, and facts open beyond the horizon can still match it.
        """
        if not self.overlaps(horizon):
            return self
        starts = [bound for bound in (self.start, horizon.start) if bound is not None]
        ends = [bound for bound in (self.end, horizon.end) if bound is not None]
        return Window(max(starts, default=None), min(ends, default=None), self.source)

    def to_row(self) -> dict[str, str | None]:
        """Returns the JSON form: ISO dates or None under `start` and `end`, `source`, and the units that are known."""
        row = {
            "start": None if self.start is None else iso(self.start),
            "end": None if self.end is None else iso(self.end),
            "source": self.source,
        }
        units = {"start_unit": self.start_unit, "end_unit": self.end_unit}
        return row | {name: unit for name, unit in units.items() if unit is not None}

    def in_words(self, bound: str) -> str | None:
        """The first ("start") or last ("end") day as people write it, as precisely as it was given; None if open."""
        last = bound == "end"
        day, unit = (self.end, self.end_unit) if last else (self.start, self.start_unit)
        return None if day is None else in_words(day - last, last=last, unit=unit)

    @classmethod
    def from_row(cls, row: Mapping[str, Any], where: str) -> Window:
        """Reads the JSON form.

        Args:
            row: object with `start` and `end` (ISO date or null) and optional `source`, `start_unit` and `end_unit`.
            where: place named in errors, such as "facts.jsonl:12: field 'time_window'".

        Raises:
            DataError: if a key is missing, a value is no ISO date, or the end not after the start.
        """
        if not isinstance(row, Mapping):
            raise DataError(f"{where} is {row!r}: expected an object with start and end")
        for name in ("start", "end"):
            if name not in row:
                raise DataError(f"{where} has no {name!r}: expected an ISO date or null")
            if row[name] is not None and not isinstance(row[name], str):
                raise DataError(f"{where}: {name!r} is {row[name]!r}: expected an ISO date or null")
        try:
            start, end = (None if row[name] is None else day(row[name]) for name in ("start", "end"))
            return cls(start, end, row.get("source"), row.get("start_unit"), row.get("end_unit"))
        except DataError as error:
            raise DataError(f"{where}: {error}") from None


UNKNOWN = Window(None, None, None)


def year_bounds(year: int) -> Bounds | None:
    """Returns the bounds of a year, None if the calendar has it not; 9999 is open at its end."""
    return years_bounds(year, year + 1)


def month_bounds(year: int, month: int) -> Bounds | None:
    """Returns the bounds of a month, None if there is none; December 9999 is open at its end."""
    if not (1 <= month <= 12 and FIRST_YEAR <= year <= LAST_YEAR):
        return None
    start = day_number(year, month, 1)
    if month == 12:
        return start, None if year == LAST_YEAR else day_number(year + 1, 1, 1)
    return start, day_number(year, month + 1, 1)


def years_bounds(first: int, stop: int) -> Bounds | None:
    """Returns the bounds of the years from `first` to before `stop`, None if there is no such span."""
    if not FIRST_YEAR <= first <= LAST_YEAR or not first < stop:
        return None
    return day_number(first, 1, 1), day_number(stop, 1, 1) if stop <= LAST_YEAR else None


def year_window(year: int, source: str | None = None) -> Window:
    """Returns the whole year; the year 9999 is open at its end, where the calendar stops.

    Raises:
        DataError: if the calendar has no such year.
    """
    return _window(year_bounds(year), f"year {year}: expected {FIRST_YEAR} to {LAST_YEAR}", source)


def month_window(year: int, month: int, source: str | None = None) -> Window:
    """Returns the whole month; December 9999 is open at its end, where the calendar stops.

    Raises:
        DataError: if the calendar has no such month.
    """
    problem = f"year {year}, month {month}: expected years {FIRST_YEAR} to {LAST_YEAR} and months 1 to 12"
    return _window(month_bounds(year, month), problem, source)


def _window(bounds: Bounds | None, problem: str, source: str | None) -> Window:
    if bounds is None:
        raise DataError(f"no such time, {problem}")
    return Window(bounds[0], bounds[1], source)


def window_bounds(windows: Iterable[Window]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Returns the windows as arrays for the store.

    Returns:
        `tau_min` and `tau_max`, int32 of shape (n,), in days: OPEN_START or OPEN_END where a known
        window is open, UNKNOWN_DAY in both where it is unknown.
    """
    rows = [
        (
            OPEN_START if window.start is None else window.start,
            OPEN_END if window.end is None else window.end,
        )
        if window.known
        else (UNKNOWN_DAY, UNKNOWN_DAY)
        for window in windows
    ]
    table = np.array(rows, dtype=np.int32).reshape(-1, 2)
    return np.ascontiguousarray(table[:, 0]), np.ascontiguousarray(table[:, 1])


def widest_unit(number: int) -> str:
    """The widest of UNITS that begins on a day."""
    _, month, of_month = date_of(number)
    return "day" if of_month != 1 else "month" if month != 1 else "year"


def in_words(number: int, *, last: bool, unit: str | None = None) -> str:
    """A bound of a window as people write it: "1922", "October 2023", "18 May 2006" or "44 BC".

    Args:
        number: First day of the window, or its last, which is the day before `Window.end`.
        last: Whether it is the last.
        unit: One of UNITS, how precise it is.  Without it, as precise as the window seems to be: what starts on the
            first day of a year (ends on its last) was given as a year, of a month as a month.
    """
    year, month, of_month = date_of(number)
    unit = unit or widest_unit(min(number + last, LAST_DAY))
    words = {"year": [], "month": [MONTHS[month - 1]], "day": [str(of_month), MONTHS[month - 1]]}[unit]
    return " ".join([*words, year_in_words(year)])
