"""Times that are told from the day of asking: "last year", "two months ago", "in the past five years".

"today", "now" and their like are no units: they ask for what holds, and stay in the question.
"""

from __future__ import annotations

from collections.abc import Mapping

from kblampp.data.calendar import FIRST_DAY, LAST_DAY, Date
from kblampp.data.windows import Bounds, month_bounds, year_bounds, years_bounds

_WORDS = "a one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen twenty thirty"
_VALUES = [1, *range(1, 16), 20, 30]
_NUMBERS = dict(zip(_WORDS.split(), _VALUES, strict=True))
_NUMBER = rf"(?:[0-9]{{1,4}}|{'|'.join(_NUMBERS)})"
_CALENDAR = r"(?:day|week|month|year|decade|centur(?:y|ie))"
_SEASON = (
    r"(?:season|spring|summer|autumn|fall|winter|weekend|quarter|term"
    r"|(?:mon|tues|wednes|thurs|fri|satur|sun)day)"
)
# "his last year" and "the last year of the war" are not told from today.
_NOT_OWNED = r"(?<!\bthe )(?<!\bhis )(?<!\bher )(?<!\bits )(?<!\btheir )(?<!\bwhose )(?<!'s )(?<!s' )"
_NOT_OF = r"(?! (?:of|that|when|in which|before)\b)"
_MONTHS_IN = {"mon": 1, "yea": 12, "dec": 120, "cen": 1200}

PATTERNS = (
    rf"(?P<ago>{_NUMBER}) (?P<of>{_CALENDAR})s? ago",
    r"(?:the )?(?P<named>day before yesterday|yesterday)(?:'s)?",
    rf"(?:the )?(?P<named>(?P<of>{_CALENDAR}) before last)",
    rf"{_NOT_OWNED}(?P<named>last|this|next) (?P<of>{_CALENDAR})(?:'s)?{_NOT_OF}",
    r"(?<!\bhis )(?<!\bher )(?<!\bits )(?<!\btheir )"
    rf"(?:the )?(?:last|past) (?P<past>{_NUMBER}) (?P<of>{_CALENDAR})s?{_NOT_OF}",
    rf"(?<=\bthe )(?P<rolling>last|past) (?P<of>{_CALENDAR}){_NOT_OF}",
    rf"(?P<vague>{_NOT_OWNED}(?:last|this|next) {_SEASON}{_NOT_OF}"
    rf"|(?:(?:a )?few|some|several|many|a (?:couple|number) of) {_CALENDAR}s? ago"
    rf"|{_NUMBER} (?:to|or) {_NUMBER} {_CALENDAR}s? ago"
    r"|a (?:long |short |little )?(?:while|time) ago|recent (?:year|month|week|decade|time)s)",
)
"""A relative time, in lower case; its groups are what `relative_bounds` reads.  "vague" names no certain days."""

START = (
    rf"{_NUMBER} (?:(?:to|or) {_NUMBER} )?{_CALENDAR}s? ago|(?:the )?(?:day before yesterday|{_CALENDAR} before last)"
    r"|(?:the )?(?:last|past) |(?:this|next|recent|few|some|several|many) "
    r"|a (?:few|couple|number|long|short|little|while|time) |yesterday"
)
"""What a relative time begins with."""

_BACK = {"day before yesterday": 2, "yesterday": 1, "last": 1, "this": 0, "next": -1}


def relative_bounds(fields: Mapping[str, str], today: Date) -> Bounds | None:
    """The days of a match of `PATTERNS` that is not vague, None if they are outside the calendar.

    "two years ago" and "last year" are whole years of the calendar, and so for the other units; "the past two years"
    end with today.
    """
    of = fields.get("of", "day")[:3]
    if "past" in fields or "rolling" in fields:
        return _up_to(today, of, _count(fields.get("past", "a")))
    if "ago" in fields:
        return _calendar_unit(today, of, _count(fields["ago"]))
    return _calendar_unit(today, of, _BACK.get(fields["named"], 2))  # "the year before last"


def days_bounds(start: int, stop: int) -> Bounds | None:
    """Bounds of the days from `start` to before `stop`, None if the calendar does not have their first."""
    if not FIRST_DAY <= start <= LAST_DAY:
        return None
    return start, stop if stop <= LAST_DAY else None


def _count(words: str) -> int:
    return _NUMBERS.get(words) or int(words)


def _calendar_unit(today: Date, of: str, back: int) -> Bounds | None:
    """The day, week, ... that lies `back` of them before the one that holds today."""
    number, year = today.number, today.year
    if of == "day":
        return days_bounds(number - back, number - back + 1)
    if of == "wee":
        monday = number - today.weekday - 7 * back
        return days_bounds(monday, monday + 7)
    if of == "mon":
        year, month = divmod(12 * year + today.month - 1 - back, 12)
        return month_bounds(year, month + 1)
    if of == "yea":
        return year_bounds(year - back)
    if of == "dec":
        first = year // 10 * 10 - 10 * back
        return years_bounds(first, first + 10)
    first = (year - 1) // 100 * 100 + 1 - 100 * back
    return years_bounds(first, first + 100)


def _up_to(today: Date, of: str, count: int) -> Bounds | None:
    """The last `count` days, weeks, ... up to and with today."""
    number = today.number
    if of in ("day", "wee"):
        return days_bounds(number - count * (7 if of == "wee" else 1), number + 1)
    year, month = divmod(12 * today.year + today.month - 1 - _MONTHS_IN[of] * count, 12)
    whole = month_bounds(year, month + 1)
    if whole is None or whole[0] is None or whole[1] is None:
        return None
    # A month can be shorter than today's: 31 March, a month back, is the end of February.
    return days_bounds(min(whole[0] + today.day - 1, whole[1] - 1), number + 1)
