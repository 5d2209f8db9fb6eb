"""Reads the time expression of a question as day bounds, of which `times` makes a window.

A *unit* names a stretch of the calendar: a day, month, year, span of years, decade or century, or
the early, middle or late part of one. The words before a unit say how the question relates to it;
two units can be joined to a range.
"""

from __future__ import annotations

import datetime
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["LAST_DAY", "Bounds", "find_bounds", "month_bounds", "year_bounds"]

LAST_DAY = datetime.date.max.toordinal()

Bounds = tuple[int | None, int | None]  # first day and first day after, None = open

_DASH = r"[-\u2013\u2014]"
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?"
    r"|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\b\.?"
)
_DAY = r"[0-3]?[0-9](?:st|nd|rd|th)?"
_PART_OF = {"early": 0, "beginning": 0, "start": 0, "mid": 1, "middle": 1, "late": 2, "end": 2}
# "the end of 1990" is a time, "where did the line end in 1990" is not about the end of 1990.
_PART = (
    r"(?:(?P<part>(?:early|mid|late)(?=[ -])|(?:beginning|start|middle|end)(?= of ))"
    r"[ -](?:part )?(?:(?:of|in) )?(?:the )?)?"
)
# Not more of a word or number (2,000; 4-0), and not a year before Christ.
_STOP = r"(?!\w|%|[-,.:/\u2013\u2014][0-9]| ?b\.? ?c\b| ?bce\b)"
_UNIT_PATTERNS = tuple(
    re.compile(pattern + _STOP)
    for pattern in (
        r"(?P<y>[0-9]{4})-(?P<m>[01][0-9])-(?P<d>[0-3][0-9])",
        rf"(?P<d>{_DAY})(?: of)? (?P<m>{_MONTH})(?: ?,| of)? ?(?P<y>[0-9]{{3,4}})",
        rf"(?P<m>{_MONTH}) (?:the )?(?P<d>{_DAY})(?: ?, ?| )(?P<y>[0-9]{{3,4}})",
        rf"{_PART}(?P<m>{_MONTH})(?: ?,| of)? ?(?P<y>[0-9]{{3,4}})",
        rf"{_PART}'?(?P<decade>[1-9][0-9]{{0,2}}0)(?:(?<=[0-9]{{4}}) )?'?s",
        rf"{_PART}(?P<century>[0-9]{{1,2}})(?:st|nd|rd|th)[ -]century",
        rf"(?P<y>[0-9]{{4}}) ?(?:/|{_DASH}) ?(?P<y2>[0-9]{{4}}|[0-9]{{2}})",
        rf"{_PART}(?P<y>[0-9]{{1,4}})",
    )
)
# Where a unit can begin; real questions also hold "1369 to1420".
_UNIT_START = re.compile(rf"(?:(?<![\w.,/$£€#])|(?<= to))(?=[0-9]|'[0-9]|{_MONTH}|(?:{'|'.join(_PART_OF)})[ -])")

_FILL = (
    r"(?:(?:the|a|years?|seasons?|months?|dates?|period|summer|spring|autumn|fall|winter|of|about"
    r"|around|circa|c\.|approximately|ad|a\.d\.) )*"
)
_KINDS = {
    "before": r"before|prior to|earlier than",
    "until": r"until|till|til|up to|up until|up till|by|no later than|not later than",
    "after": r"after|later than|following",
    "since": r"since|from|as from|starting in|starting from",
    "between": r"between|in between",
    "in": r"in|on|during|throughout|within|as of|as at|around|circa",
}
_KIND = "|".join(rf"(?P<{kind}>{words})" for kind, words in _KINDS.items())
_LEFT = re.compile(rf"(?<!\w)(?:{_KIND}) {_FILL}$")
_TO = rf"(?:and )?(?:up )?(?:to|until|till|til|through|thru)|{_DASH}"
_JOIN = re.compile(rf"(?: ad| a\.d\.)?,? ?(?:{_TO}|(?P<both>and|&)) ?{_FILL}")
_HALF_RANGE = re.compile(  # its first half lacks the year: "from March to May 2015"
    rf"(?<!\w)(?:from|between|in|during) (?:the )?"
    rf"(?P<half>{_DAY} {_MONTH}|{_MONTH} {_DAY}|{_MONTH}|{_DAY}) ?(?:{_TO}|and) ?(?:the )?$"
)
_ONWARD = re.compile(
    r" (?:onwards?|on|and later|or later)\b"
    rf"| ?(?:to|until|till|through|{_DASH}) ?(?:the )?(?:present|now|today|date|this day)\b"
)
_CLAUSE_END = re.compile(r" ?(?:[?!.,;:)]|a\.?d\b|c\.?e\b|$)")
_COUNTED = re.compile(r" (?:years|days|people|games|matches|countries|votes|points|miles|km|m|met(?:er|re)s)\b")
_REACH = 80  # characters before a unit in which its preposition is looked for


def find_bounds(text: str) -> Bounds | None:
    """Returns the day bounds of the time that `text` asks about.

    A range wins over single units, and of several of either kind the last one does, unless the
    text opens with one ("In 2009, who ..."). "in 1787 ... until 1796" and "after 2009 ... before
    2012" join to one window.

    Returns:
        First day and first day after it, None for an open end, or None altogether if the text
        names no time or one that makes no sense. If both are given, the second is the greater.
    """
    clean = " ".join(text.lower().split())
    terms = list(_terms(clean, list(_units(clean))))
    if any(term.bounds is None for term in terms):
        return None
    bounds = _combine(terms)
    return bounds if bounds is not None and _holds_a_day(bounds) else None


def year_bounds(year: int) -> Bounds | None:
    """Returns the bounds of a year, None if it is not in 1..9999; 9999 is open at its end."""
    return _years(year, year + 1)


def month_bounds(year: int, month: int) -> Bounds | None:
    """Returns the bounds of a month, None if there is none; December 9999 is open at its end."""
    if not (1 <= month <= 12 and 1 <= year <= 9999):
        return None
    start = datetime.date(year, month, 1).toordinal()
    if month == 12:
        return start, None if year == 9999 else datetime.date(year + 1, 1, 1).toordinal()
    return start, datetime.date(year, month + 1, 1).toordinal()


@dataclass(frozen=True, slots=True)
class _Unit:
    """A unit at `text[start:stop]`; `bounds` is None if the calendar has no such time."""

    start: int
    stop: int
    bounds: Bounds | None
    number: int  # its year or decade as written
    plain: bool  # digits alone
    span: bool  # "1998-2001", "2018/19"
    sure: bool  # a time even without a preposition


@dataclass(frozen=True, slots=True)
class _Term:
    """A unit or range with its relation to the question."""

    kind: str  # a key of _KINDS, or "range"
    at: int
    bounds: Bounds | None


def _units(text: str) -> Iterator[_Unit]:
    done = 0
    for start in (found.start() for found in _UNIT_START.finditer(text)):
        if start < done:
            continue
        matches = (pattern.match(text, start) for pattern in _UNIT_PATTERNS)
        match = next((match for match in matches if match), None)
        if match:
            fields = {name: value for name, value in match.groupdict().items() if value}
            done = match.end()
            number = int(fields.get("y") or fields.get("decade") or 1000)
            plain = fields.keys() == {"y"}
            sure = not plain and number >= 1000 and len(fields.get("y2", "four")) == 4
            yield _Unit(start, done, _unit_bounds(fields), number, plain, "y2" in fields, sure)


def _unit_bounds(fields: dict[str, str]) -> Bounds | None:
    part = _PART_OF[fields["part"]] if "part" in fields else None
    if decade := fields.get("decade"):
        first = int(decade) if len(decade) > 2 else 1900 + int(decade)
        return _part_of_years(first, (0, 4, 7, 10), part)
    if century := fields.get("century"):
        return _part_of_years(100 * int(century) - 99, (0, 33, 67, 100), part)
    year = int(fields["y"])
    if last := fields.get("y2"):
        return _years(year, int(fields["y"][: 4 - len(last)] + last) + 1)
    if "m" not in fields:
        return year_bounds(year) if part is None else _part_of_year(year, part)
    name = fields["m"]
    month = int(name) if name.isdigit() else _MONTHS.index(name[:3]) + 1
    if "d" in fields:
        return _days(year, month, int(fields["d"].rstrip("sthndr")), 1)
    if part is None or not (whole := month_bounds(year, month)):
        return month_bounds(year, month)
    start = (whole[0] or 1) + 10 * part
    return start, whole[1] if part == 2 else start + 10


def _terms(text: str, units: list[_Unit]) -> Iterator[_Term]:
    edge = 0  # end of the last term: its words say nothing about the next one
    for unit, other in itertools.zip_longest(units, units[1:]):
        if unit.start < edge:
            continue
        left = text[max(edge, unit.start - _REACH) : unit.start]
        origin = unit.start - len(left)
        match, half = _LEFT.search(left), _HALF_RANGE.search(left)
        kind = match.lastgroup or "" if match else ""
        at = origin + match.start() if match else unit.start
        if half and not unit.plain:
            first = _complete(half["half"], text[unit.start : unit.stop])
            yield _Term("range", origin + half.start(), _range("", first, unit.bounds))
        elif other and _joined(text, kind, unit, other):
            yield _Term("range", at, _range(kind, unit.bounds, other.bounds))
            edge = other.stop
            continue
        elif _counts(text, unit, kind):
            if match and match["since"] == "from" and unit.span:  # "from 1998-2001" is no open end
                kind = "in"
            onward = kind in ("since", "") and _ONWARD.match(text, unit.stop)
            kind = "since" if onward else kind or "in"
            yield _Term(kind, at, _relate(kind, unit.bounds))
        else:
            continue
        edge = unit.stop


def _joined(text: str, kind: str, first: _Unit, second: _Unit) -> bool:
    join = _JOIN.fullmatch(text, first.stop, second.start)
    if not join or (join["both"] and kind not in ("between", "since")):
        return False
    # The 8 of "from 8 to 9 March 2015" is a day, and the 4 of "4 to 6 players" nothing at all.
    if first.plain and first.number < 1000 and not (kind and second.plain):
        return False
    return not (second.plain and second.number < 100) or bool(_CLAUSE_END.match(text, second.stop))


def _counts(text: str, unit: _Unit, kind: str) -> bool:
    """Whether a unit alone is a time: "in 1984" is, "Odyssey 2001" and "in 12 games" are not."""
    if unit.sure or not kind:
        return unit.sure
    if unit.plain and unit.number < 1000:
        return bool(_CLAUSE_END.match(text, unit.stop))
    return not (unit.plain and unit.number % 100 == 0 and _COUNTED.match(text, unit.stop))


def _complete(half: str, full: str) -> Bounds | None:
    """Gives "march" or "3" the year and month of "9 may 2015", the other end of its range."""
    month = re.search(_MONTH, full)
    words = half if re.search(_MONTH, half) or not month else f"{half} {month[0]}"
    return next((unit.bounds for unit in _units(f"{words} {full.split()[-1]}")), None)


def _range(kind: str, first: Bounds | None, second: Bounds | None) -> Bounds | None:
    if first is None or second is None:
        return None
    return (first[1] if kind == "after" else first[0]), second[1]


def _relate(kind: str, bounds: Bounds | None) -> Bounds | None:
    if bounds is None:
        return None
    start, end = bounds
    if kind == "before":
        return None, start
    if kind == "until":
        return None, end
    if kind == "since":
        return start, None
    if kind == "after":
        return None if end is None else (end, None)
    return bounds


def _combine(terms: list[_Term]) -> Bounds | None:
    ranges = [term for term in terms if term.kind == "range"]
    fixed = ranges or [term for term in terms if term.kind in ("in", "between")]
    if not fixed:
        if not terms:
            return None
        starts = [term.bounds[0] for term in terms if term.bounds and term.bounds[0] is not None]
        ends = [term.bounds[1] for term in terms if term.bounds and term.bounds[1] is not None]
        return max(starts, default=None), min(ends, default=None)
    chosen = fixed[0] if fixed[0].at == 0 else fixed[-1]
    start, end = chosen.bounds or (None, None)
    if not ranges:
        for term in terms:
            if term.kind == "until" and term.at > chosen.at and term.bounds:
                end = term.bounds[1]
    return start, end


def _holds_a_day(bounds: Bounds) -> bool:
    start, end = bounds
    return (1 if start is None else start) < (LAST_DAY + 1 if end is None else end)


def _years(first: int, stop: int) -> Bounds | None:
    if not 1 <= first <= 9999 or not first < stop:
        return None
    end = datetime.date(stop, 1, 1).toordinal() if stop <= 9999 else None
    return datetime.date(first, 1, 1).toordinal(), end


def _part_of_years(first: int, cuts: tuple[int, int, int, int], part: int | None) -> Bounds | None:
    low, high = (0, cuts[-1]) if part is None else (cuts[part], cuts[part + 1])
    return _years(max(first + low, 1), first + high)


def _part_of_year(year: int, part: int) -> Bounds | None:
    first, last = month_bounds(year, 4 * part + 1), month_bounds(year, 4 * part + 4)
    return first and last and (first[0], last[1])


def _days(year: int, month: int, first: int, count: int) -> Bounds | None:
    try:
        start = datetime.date(year, month, first).toordinal()
    except ValueError:
        return None
    return start, None if start + count > LAST_DAY else start + count
