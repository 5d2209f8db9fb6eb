"""Times that are told from the day of asking: "last year", "two months ago", "in the past five years".

"today", "now" and their like are no units: they ask for what holds, and stay in the question.
"""

from __future__ import annotations

from collections.abc import Mapping

from kblampp.data.calendar import FIRST_DAY, LAST_DAY, Date, date_of
from kblampp.data.windows import Bounds, month_bounds, years_bounds
from kblampp.time_expressions import words

_NUMBER = rf"(?:[0-9]{{1,4}}|{words.NUMBER})"
_CALENDAR = r"(?:day|week|month|year|decade|centur(?:y|ie))"
_LONG = r"(?:decade|century|millennium)"
_HALVED = r"(?:year|decade|century)"
_SEASON = (
    r"(?:season|spring|summer|autumn|fall|winter|weekend|quarter|term"
    r"|(?:mon|tues|wednes|thurs|fri|satur|sun)day)"
)
# "his last year" and "the last year of the war" are not told from today.
_NOT_OWNED = r"(?<!\bthe )(?<!\bhis )(?<!\bher )(?<!\bits )(?<!\btheir )(?<!\bwhose )(?<!'s )(?<!s' )"
_NOT_OF = r"(?! (?:of|that|when|in which|before)\b)"
_MONTHS_IN = {"mon": 1, "yea": 12, "dec": 120, "cen": 1200}
_YEARS_IN = {"yea": 1, "dec": 10, "cen": 100, "mil": 1000}
_AGO = r"(?:ago|back(?! (?:to|in|from|at|on|into)\b))"
_PAST_AGES = (
    r"(?:middle|dark|stone|bronze|iron|viking|victorian) ages?|antiquity|prehistory"
    r"|(?:ancient|olden|former|medieval|prehistoric|earlier|bygone|roman|victorian|modern|past) (?:times|days|ages)"
    r"|(?:good )?old days|(?:early|first|last|later|recent) (?:days|years)|those (?:days|years|times)"
    r"|(?:distant |remote |recent )?past|(?:near |distant )?future"
)
# Of what is counted from another time than today.
_OTHERWISE = (
    rf"{_NUMBER} (?:{_CALENDAR})s? (?:earlier|later)|(?:earlier|later|early|late) in the {_CALENDAR}"
    rf"|(?:first|early|last|later?|final|closing|opening|middle) (?:few )?(?:years|decades|days) of (?:the|this|last) "
    rf"(?:last |previous |new |[0-9]{{1,2}}(?:st|nd|rd|th) )?{_LONG}"
)


def patterns(part: str, end: str) -> tuple[str, ...]:
    """The patterns of relative times, in lower case; their groups are what `relative_bounds` reads.

    "vague" names no certain days.

    Args:
        part: What names a part of the unit that follows.
        end: What a clause ends with.
    """
    named = r"(?P<named>last|this|next|previous|current|present|new)"
    of = rf"(?P<of>year|month|{_LONG})"
    return (
        # "the end of the year" is one of every year, "the end of the century" is not.
        r"(?=(?:early|mid|late|beginning|start|middle|end|[qh][1-4]|[a-z0-9]+ (?:half|third|quarter|decade) of)\b)"
        rf"{part}"
        rf"(?:{named} |(?={_LONG})){of}(?:'s)?{_NOT_OF}",
        rf"(?:earlier |later )?(?P<named>this) {of}{_NOT_OF}",
        rf"(?<=\bthe )(?<!\bover the )(?<!\bwithin the )(?P<named>last) (?P<of>century|millennium){_NOT_OF}",
        rf"{named} (?P<of>millennium){_NOT_OF}",
        rf"(?<=\bthe )(?P<named>previous|current|present|new) (?P<of>century|decade){_NOT_OF}",
        rf"(?<=\bthe )(?P<named>current|present) (?P<of>year|month){_NOT_OF}",
        rf"(?P<ago>half) an? (?P<of>{_HALVED}) {_AGO}",
        rf"(?P<vague>(?:(?<=\bin the )|(?<=\bin )|(?<=\bduring the ))(?:{_PAST_AGES})(?={end})"
        rf"|{_OTHERWISE}|(?:a )?(?:long|{_CALENDAR}s) ago|{_NUMBER} {_CALENDAR}s? and a half ago"
        rf"|(?:the )?previous (?:year|month|week)(?={end})|(?:back then|in those days|back in the day)(?={end}))",
        *_PATTERNS,
    )


_PATTERNS = (
    rf"(?P<ago>{_NUMBER}) (?P<of>{_CALENDAR})s? {_AGO}",
    r"(?:the )?(?P<named>day before yesterday|yesterday)(?:'s)?",
    rf"(?:the )?(?P<named>(?P<of>{_CALENDAR}) before last)",
    rf"{_NOT_OWNED}(?P<named>last|this|next) (?P<of>{_CALENDAR})(?:'s)?{_NOT_OF}",
    r"(?<!\bhis )(?<!\bher )(?<!\bits )(?<!\btheir )"
    rf"(?:the )?(?:last|past) (?P<past>{_NUMBER}) (?P<of>{_CALENDAR})s?{_NOT_OF}",
    rf"(?<=\bthe )(?P<rolling>last|past) (?P<of>{_CALENDAR}){_NOT_OF}",
    rf"(?P<vague>{_NOT_OWNED}(?:last|this|next) {_SEASON}{_NOT_OF}"
    rf"|(?:(?:a )?few|some|several|many|a (?:couple|number) of) {_CALENDAR}s? {_AGO}"
    rf"|{_NUMBER} (?:to|or) {_NUMBER} {_CALENDAR}s? {_AGO}"
    r"|a (?:long |short |little )?(?:while|time) ago|recent (?:year|month|week|decade|time)s)",
)

START = (
    rf"{_NUMBER} (?:(?:to|or) {_NUMBER} )?{_CALENDAR}s? (?:ago|back|and a half ago|earlier|later)"
    rf"|(?:the )?(?:day before yesterday|{_CALENDAR} before last)"
    r"|(?:the )?(?:last|past|previous) |(?:this|next|recent|few|some|several|many|previous|current|present|new) "
    r"|a (?:few|couple|number|long|short|little|while|time) |yesterday"
    rf"|half an? {_HALVED} |long ago|{_CALENDAR}s ago|(?:(?:earlier|later) this|(?:earlier|later|early|late) in the) "
    rf"|(?:first|last|later?|final|closing|opening|early|middle) (?:few )?(?:years|decades|days) of "
    rf"|(?:(?<=in the )|(?<=in )|(?<=during the ))(?:{_PAST_AGES})|back then|in those days|back in the day"
)
"""What a relative time begins with."""

_BACK = {"day before yesterday": 2, "yesterday": 1, "last": 1, "previous": 1, "next": -1}
_BACK |= dict.fromkeys(("this", "current", "present", "new"), 0)


def relative_bounds(fields: Mapping[str, str], today: Date) -> Bounds | None:
    """The days of a match of `PATTERNS` that is not vague, None if they are outside the calendar.

    "two years ago" and "last year" are whole years of the calendar, and so for the other units; "the past two years"
    end with today.  Half a year ago is a month.
    """
    if fields.get("ago") == "half":
        of = fields["of"][:3]
        return _calendar_unit(today, "mon", 6) if of == "yea" else _calendar_unit(today, "yea", _YEARS_IN[of] // 2)
    of = fields.get("of", "day")[:3]
    if "past" in fields or "rolling" in fields:
        return _up_to(today, of, words.count(fields.get("past", "a")))
    if "ago" in fields:
        return _calendar_unit(today, of, words.count(fields["ago"]))
    return _calendar_unit(today, of, _back(fields))


def years_from(count: str, of: str, year: Bounds | None, kind: str) -> Bounds | None:
    """The year that lies so many years before or after another one; None for what is no whole year.

    Args:
        count: A number in words or digits; "the" is one.
        of: What is counted.
        year: What it is counted from.
        kind: "before" or "after".
    """
    if year is None or None in year or of[:3] not in _YEARS_IN or not (count.isdecimal() or words.is_number(count)):
        return None
    first = date_of(year[0] or 0).year
    if year != years_bounds(first, first + 1):
        return None
    away = (1 if count == "the" else words.count(count)) * _YEARS_IN[of[:3]] * (-1 if kind == "before" else 1)
    return years_bounds(first + away, first + away + 1)


def relative_month(fields: Mapping[str, str], today: Date) -> tuple[int, int]:
    """Year and month of a match of `patterns` that names a month."""
    return _month(today, _back(fields))


def relative_years(fields: Mapping[str, str], today: Date) -> tuple[int, int]:
    """The first year, and how many there are, of a match of `patterns` that names a year or longer."""
    return _years(today, fields["of"][:3], _back(fields))


def days_bounds(start: int, stop: int) -> Bounds | None:
    """Bounds of the days from `start` to before `stop`, None if the calendar does not have their first."""
    if not FIRST_DAY <= start <= LAST_DAY:
        return None
    return start, stop if stop <= LAST_DAY else None


def _back(fields: Mapping[str, str]) -> int:
    return _BACK.get(fields.get("named", "this"), 2)  # "the year before last"


def _month(today: Date, back: int) -> tuple[int, int]:
    year, month = divmod(12 * today.year + today.month - 1 - back, 12)
    return year, month + 1


def _years(today: Date, of: str, back: int) -> tuple[int, int]:
    length = _YEARS_IN[of]
    if length <= 10:
        return today.year // length * length - length * back, length
    return (today.year - 1) // length * length + 1 - length * back, length


def _calendar_unit(today: Date, of: str, back: int) -> Bounds | None:
    """The day, week, ... that lies `back` of them before the one that holds today."""
    number = today.number
    if of == "day":
        return days_bounds(number - back, number - back + 1)
    if of == "wee":
        monday = number - today.weekday - 7 * back
        return days_bounds(monday, monday + 7)
    if of == "mon":
        return month_bounds(*_month(today, back))
    first, length = _years(today, of, back)
    return years_bounds(first, first + length)


def _up_to(today: Date, of: str, count: int) -> Bounds | None:
    """The last `count` days, weeks, ... up to and with today."""
    number = today.number
    if of in ("day", "wee"):
        return days_bounds(number - count * (7 if of == "wee" else 1), number + 1)
    whole = month_bounds(*_month(today, _MONTHS_IN[of] * count))
    if whole is None or whole[0] is None or whole[1] is None:
        return None
    # A month can be shorter than today's: 31 March, a month back, is the end of February.
    return days_bounds(min(whole[0] + today.day - 1, whole[1] - 1), number + 1)
