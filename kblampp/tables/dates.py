"""The dates of a table: what a cell names as the start or the end of a fact, and how it is written again.

A date has the year first, "1994", "1994-05" or "1994-05-02", or names its month in English ("2 May 1994").  Years
before 1 are "44 BC", or have the sign and the zero of ISO 8601: -0043 is 44 BC.  With the year last it is read where
the numbers leave one order ("25.12.2019", "12/31/2015"), or the other dates of its file do.  "since 2010" is a start,
"until 2012" an end.  A form that says more or less than a day, month or year is read as far as it goes and has a note;
one that could be two days ("03/02/2009") or two years ("94") is not guessed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from kblampp.core.errors import DataError
from kblampp.data.calendar import FIRST_DAY, LAST_DAY, date_of, day_number, iso_year
from kblampp.data.windows import MONTHS, UNITS, iso, month_bounds, widest_unit, year_bounds

EXPECTED = "2009, 2009-03 or 2009-03-02, or nothing"
ABOUT = "dates that are said to be uncertain, taken as certain"
CLOCK = "dates with a time of day, which is left out"
ZEROS = "dates with a month or day 00, which is left out"
UNSAID = "words for what is not known, taken as an empty cell"
ERA = "years with a sign, which ISO 8601 counts from 0000, the year 1 BC (-0043 is 44 BC)"
OPEN = "words for an open end, taken as an empty cell"
LONGEST = 60
"""Most characters of a date."""

_UNSAID = frozenset(
    ("?", "??", "???", "-", "--", "---", "nan", "nat", "none", "null", "<na>", "n/a", "na", "n.a.", "nil", "unknown")
)
_OPEN = frozenset(
    (
        *("present", "now", "today", "ongoing", "current", "currently", "to date", "to present", "till now"),
        *("until now", "open", "open-ended", "continuing", "still", "incumbent", "…", "..."),
    )
)
_DASHES = dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013\u2014\u2212"), "-")
_MINUTES = r":[0-5][0-9](?::[0-6][0-9](?:[.,][0-9]+)?)?"
_CLOCK = (
    rf"(?:T|,? )(?:(?:0?[0-9]|1[0-2])(?:{_MINUTES})? ?[AP]\.?M\b\.?"
    rf"|(?:[01]?[0-9]|2[0-4]){_MINUTES} ?(?:Z|UTC|[+-][0-9]{{2}}(?::?[0-9]{{2}})?)?)"
)
_NUMBERS = re.compile(
    r"\+?(?P<year>[0-9]+)"
    rf"(?:(?P<mark>[-/.])(?P<month>[0-9]{{1,2}})(?:(?P=mark)(?P<day>[0-9]{{1,2}})(?P<clock>{_CLOCK})?)?)?",
    re.IGNORECASE,
)
_ERA = re.compile(r"(?:AD|CE) ?(?P<after>[0-9]{1,4})|(?P<before>[0-9]{1,4}) ?(?:AD|CE|A\.D\.|C\.E\.)", re.IGNORECASE)
_BEFORE_CHRIST = re.compile(r"(?P<first>.*[0-9]) ?(?:BCE?|B\.C\.(?:E\.)?)|BCE? ?(?P<last>[0-9].*)", re.IGNORECASE)
_SIGNED = re.compile(r"-(?P<year>[0-9]+)(?P<rest>-.*)?")
_NOTHING = frozenset(("-1", "-9", "-99", "-999", "-9999"))  # how programs write that there is no date
_LAST_NUMBER = re.compile(r"(?<![0-9])[0-9]{1,3}$")
_ABOUT = re.compile(
    r"(?:circa|ca\.?|c\.?|approx\.?|approximately|about|around|~|≈) ?(?P<rest>.*[0-9].*)", re.IGNORECASE
)
_DOUBTED = re.compile(r"(?P<rest>.*[0-9]) ?(?:\(\?\)|\?)")
_COMPACT = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})")
_FLOAT = re.compile(r"([0-9]+)\.0+")
_YEAR_LAST = re.compile(
    rf"(?P<one>[0-9]{{1,2}})(?P<mark>[-/.])(?P<two>[0-9]{{1,2}})(?P=mark)(?P<year>[0-9]{{2,4}})(?P<clock>{_CLOCK})?",
    re.IGNORECASE,
)
# A year of fewer digits may stand first: "25.12.19".
_ORDERED = re.compile(
    r"(?<![0-9])(?<![0-9][-/.])(?P<one>[0-9]{1,2})(?P<mark>[-/.])(?P<two>[0-9]{1,2})(?P=mark)"
    r"(?P<year>[0-9]{4}(?![0-9])|[0-9]{1,3}(?= ?B\.?C))",
    re.IGNORECASE,
)
_BOUND_WORD = re.compile(r"(?:(?P<start>since|from)|(?P<end>until|till|to)) (?P<rest>.+)", re.IGNORECASE)
_SPAN = re.compile(r"[0-9]{3,4} ?(?:-|/|to|until) ?[0-9]{3,4}")
_MONTH: Mapping[str, int] = {
    name: number
    for number, month in enumerate(MONTHS, start=1)
    for name in (month.lower(), month[:3].lower(), *(("sept",) if number == 9 else ()))
}
_WORDS = re.compile(
    r"(?:(?P<first>[0-9]{1,2})(?:st|nd|rd|th)? )?(?P<month>[a-z]+)\.?(?: (?P<second>[0-9]{1,2})(?:st|nd|rd|th)?,)?,?"
    r" (?P<year>[0-9]{3,4})",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Bound:
    """A bound of a window, as a cell names it.

    Attributes:
        day: Day number of the start; of an end the first day AFTER what it names, since that counts as a whole; None if
            open.
        unit: One of `UNITS`, how precisely it is written; None if open.
        note: What is to be said of such texts, where one says more or less than that; no part of what is compared.
    """

    day: int | None
    unit: str | None
    note: str | None = field(default=None, compare=False)


@dataclass(frozen=True)
class DayOrder:
    """The order of day and month in a date whose year stands last.

    Attributes:
        month_first: Whether the month stands first; None if the numbers leave both orders.
        text: The date.
    """

    month_first: bool | None
    text: str


def order_of(text: str) -> DayOrder | None:
    """What a cell says of the order of day and month.

    None if it holds no date with the year last, or one that is the same day in both orders or no day in either.
    """
    found = _ORDERED.search(text.translate(_DASHES)) if len(text) <= LONGEST else None
    if found is None:
        return None
    one, two, year = int(found["one"]), int(found["two"]), int(found["year"])
    orders = [month_first for month_first in (False, True) if _is_day(year, *_in_order(one, two, month_first))]
    if one == two or not orders:
        return None
    return DayOrder(orders[0] if len(orders) == 1 else None, found[0])


def _in_order(one: int, two: int, month_first: bool) -> tuple[int, int]:
    """Month and day of the month."""
    return (one, two) if month_first else (two, one)


def _is_day(year: int, month: int, number: int) -> bool:
    try:
        day_number(year, month, number)
    except ValueError:
        return False
    return year > 0


def read_bound(text: str, *, end: bool, month_first: bool | None = None) -> Bound:
    """Reads a cell of a start or an end.

    Args:
        text: What stands there.
        end: Whether it is an end, which counts as a whole and may be "present".
        month_first: Whether the month stands first in a date that could be two days; None if that is not known.

    Raises:
        DataError: It names no date, one that is not certain, or one that the calendar lacks (9999 BC to 9999).
    """
    if len(text) > LONGEST:
        raise DataError(f"{text[:LONGEST]!r}… is no date: expected {EXPECTED}")
    return _read(" ".join(text.translate(_DASHES).split()), text, end, month_first)


def bound_text(day: int | None, unit: str | None, *, end: bool) -> str:
    """Writes a bound as a table has it, the inverse of `read_bound`: "1994", "1994-05", "-0043-03-15", "" if open.

    Args:
        day: Day number of the start, or the first day after the end.
        unit: One of `UNITS`; None for as precise as the day seems to be.
        end: Whether it is an end: the last year, month or day that still counts as a whole.

    Raises:
        DataError: The calendar has no such day, or no such unit begins on it.
    """
    if day is None:
        return ""
    if not FIRST_DAY + end <= day <= LAST_DAY:
        raise DataError(f"day number {day} is outside the calendar: expected {FIRST_DAY + end} to {LAST_DAY}")
    widest = widest_unit(day)
    if unit is not None and (unit not in UNITS or UNITS.index(unit) < UNITS.index(widest)):
        raise DataError(f"no {unit} begins on {iso(day)}: expected another unit")
    unit, (year, month, _) = unit or widest, date_of(day - end)
    if unit == "year":
        return iso_year(year) if year else "1 BC"  # "0000" would be taken for nothing
    return f"{iso_year(year)}-{month:02}" if unit == "month" else iso(day - end)


@lru_cache(maxsize=4096)
def _read(text: str, shown: str, end: bool, month_first: bool | None) -> Bound:
    """The bound that `text` names, which is all or a part of what errors show."""
    word = text.lower()
    if not text:
        return Bound(None, None)
    if word in _UNSAID:
        return Bound(None, None, UNSAID)
    if word in _OPEN:
        if not end:
            raise DataError(f"{shown!r} is no start: expected {EXPECTED}")
        return Bound(None, None, OPEN)
    about = _ABOUT.fullmatch(text) or _DOUBTED.fullmatch(text)
    if about:
        bound = _read(about["rest"], shown, end, month_first)
        return Bound(bound.day, bound.unit, ABOUT)
    if said := _BOUND_WORD.fullmatch(text):
        bound = _read(said["rest"], shown, end, month_first)
        if (said["end"] is None) == end:  # after the rest was read: what is no date says that first
            is_, other = ("an end", "a start") if end else ("a start", "an end")
            raise DataError(
                f"{shown!r} names {other} and stands where {is_} is expected: put {said['rest']!r} into the "
                f"{'start' if end else 'end'}"
            )
        return bound
    year, month, number, note = _parts(text, shown, month_first)
    first, after, unit = _span(year, month, number, shown)
    bound_day = after if end else first
    return Bound(None, None, OPEN) if bound_day is None else Bound(bound_day, unit, note)


def _span(year: int, month: int | None, number: int | None, shown: str) -> tuple[int | None, int | None, str]:
    """First day, first day after (None where the calendar stops, in 9999) and unit of a year, month or day."""
    if number is not None:
        try:
            first = day_number(year, month or 0, number)
        except ValueError:
            raise DataError(f"{shown!r} is no day of the calendar: expected {EXPECTED}") from None
        return first, first + 1 if first < LAST_DAY else None, "day"
    bounds = year_bounds(year) if month is None else month_bounds(year, month)
    if bounds is None:
        what = "year" if month is None else "month"
        raise DataError(f"{shown!r} names no {what} of the calendar: expected {EXPECTED}")
    return *bounds, "year" if month is None else "month"


def _parts(text: str, shown: str, month_first: bool | None) -> tuple[int, int | None, int | None, str | None]:
    """Year, month and day of the month (None where they are not named), and how that was understood."""
    if text in _NOTHING:
        raise _stands_for_nothing(shown)
    if before := _BEFORE_CHRIST.fullmatch(text):
        digits = _LAST_NUMBER.sub(lambda found: found[0].zfill(4), before["first"] or before["last"])
        return _before_christ(1, digits, shown, month_first)
    if signed := _SIGNED.fullmatch(text):
        return _before_christ(0, signed["year"].zfill(4) + (signed["rest"] or ""), shown, month_first)
    if era := _ERA.fullmatch(text):
        return _counted(era["after"] or era["before"], shown), None, None, None
    if compact := _COMPACT.fullmatch(text):
        return _counted(compact[1], shown), int(compact[2]), int(compact[3]), None
    if words := _WORDS.fullmatch(text):
        month, first, second = _MONTH.get(words["month"].lower()), words["first"], words["second"]
        if month is None or (first and second):
            raise DataError(f"{shown!r} is no date: expected {EXPECTED}")
        _check_digits(words["year"], shown)
        number = first or second
        return _counted(words["year"], shown), month, int(number) if number else None, None
    text = _FLOAT.sub(r"\1", text) if _FLOAT.fullmatch(text) else text  # pandas writes 2019.0 in a column with gaps
    if last := _YEAR_LAST.fullmatch(text):
        return _year_last(last, shown, month_first)
    found = _NUMBERS.fullmatch(text)
    if found is None or (found["mark"] in ("/", ".") and not found["day"]):
        raise DataError(_no_date(text, shown))
    year = found["year"]
    if len(year) < 3:
        raise _any_century(shown)
    _check_digits(year, shown)
    if len(year) > 4:
        raise DataError(f"{shown!r} is no year from 9999 BC to 9999: expected {EXPECTED}")
    month, number = (None if found[name] is None else int(found[name]) for name in ("month", "day"))
    note = CLOCK if found["clock"] else None
    if month == 0 and not number:
        return _counted(year, shown), None, None, ZEROS
    if number == 0:
        return int(year), month, None, ZEROS
    if month is None:
        return _counted(year, shown), None, None, note
    return int(year), month, number, note or (None if int(year) else ERA)


def _year_last(
    found: re.Match[str], shown: str, month_first: bool | None
) -> tuple[int, int | None, int | None, str | None]:
    """Parts of a day whose year stands last.

    A number above 12, or the same one twice, tells which is the day; else `month_first` does.
    """
    one, two = int(found["one"]), int(found["two"])
    if not (one or two or int(found["year"])):
        raise _stands_for_nothing(shown)
    if not (one and two):
        raise DataError(f"{shown!r} has a day or month 0, which the calendar lacks: write the month or year alone")
    if len(found["year"]) == 3:
        raise DataError(f"{shown!r} has a year of three digits: write it with four, as in 25.12.0987")
    if month_first is None and one != two and max(one, two) <= 12:
        raise DataError(f"{shown!r} does not say which number is the month: write the year first, as in 2009-03-02")
    if len(found["year"]) < 3:
        raise _any_century(shown)
    month, number = _in_order(one, two, two > 12 or (one <= 12 and bool(month_first)))
    return _counted(found["year"], shown), month, number, CLOCK if found["clock"] else None


def _check_digits(year: str, shown: str) -> None:
    """Refuses a year such as 019, of which a digit seems to be lost; 000 is how programs write nothing."""
    if len(year) == 3 and year.startswith("0") and int(year):
        raise DataError(f"{shown!r} has a year of three digits that begins with 0: write it with four digits")


def _any_century(shown: str) -> DataError:
    return DataError(f"{shown!r} could be a year of any century: write it with four digits")


def _counted(year: str, shown: str) -> int:
    """A year that is counted from 1; 0 alone is how programs write nothing, where 1 BC has no other sign of it."""
    if not int(year):
        raise _stands_for_nothing(shown)
    return int(year)


def _stands_for_nothing(shown: str) -> DataError:
    return DataError(f"{shown!r} may stand for what is not known: leave it empty, or write a year such as 44 BC")


def _before_christ(
    first: int, date: str, shown: str, month_first: bool | None
) -> tuple[int, int | None, int | None, str | None]:
    """Parts of a date whose years are counted backwards; `first` is what the year before 1 is called."""
    year, month, number, note = _parts(date, shown, month_first)
    if year < 1:
        raise DataError(f"{shown!r} is no date: expected {EXPECTED}")
    return first - year, month, number, note if first else note or ERA


def _no_date(text: str, shown: str) -> str:
    if _SPAN.fullmatch(text):
        return f"{shown!r} is a span and no date: put its first year into the start and its last one into the end"
    return f"{shown!r} is no date: expected {EXPECTED}"
