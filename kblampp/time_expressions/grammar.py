"""The units of time that a question can name: a day, month, year, span of years, decade or century.

Each is a stretch of the calendar, or its early, middle or late part.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator
from dataclasses import dataclass

from kblampp.data.windows import LAST_DAY, Bounds, month_bounds, year_bounds, years_bounds

DASH = r"[-\u2013\u2014]"
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
MONTH = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?"
    r"|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\b\.?"
)
DAY = r"[0-3]?[0-9](?:st|nd|rd|th)?"
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
        rf"(?P<d>{DAY})(?: of)? (?P<m>{MONTH})(?: ?,| of)? ?(?P<y>[0-9]{{3,4}})",
        rf"(?P<m>{MONTH}) (?:the )?(?P<d>{DAY})(?: ?, ?| )(?P<y>[0-9]{{3,4}})",
        rf"{_PART}(?P<m>{MONTH})(?: ?,| of)? ?(?P<y>[0-9]{{3,4}})",
        rf"{_PART}'?(?P<decade>[1-9][0-9]{{0,2}}0)(?:(?<=[0-9]{{4}}) )?'?s",
        rf"{_PART}(?P<century>[0-9]{{1,2}})(?:st|nd|rd|th)[ -]century",
        rf"(?P<y>[0-9]{{4}}) ?(?:/|{DASH}) ?(?P<y2>[0-9]{{4}}|[0-9]{{2}})",
        rf"{_PART}(?P<y>[0-9]{{1,4}})",
    )
)
# Where a unit can begin; real questions also hold "1369 to1420".
_UNIT_START = re.compile(rf"(?:(?<![\w.,/$£€#])|(?<= to))(?=[0-9]|'[0-9]|{MONTH}|(?:{'|'.join(_PART_OF)})[ -])")


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit at `text[start:stop]`; `bounds` is None if the calendar has no such time."""

    start: int
    stop: int
    bounds: Bounds | None
    number: int  # its year or decade as written
    plain: bool  # digits alone
    span: bool  # "1998-2001", "2018/19"
    sure: bool  # a time even without a preposition


def find_units(text: str) -> Iterator[Unit]:
    """The units that a text in lower case names, in its order; none overlaps another."""
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
            yield Unit(start, done, _unit_bounds(fields), number, plain, "y2" in fields, sure)


def _unit_bounds(fields: dict[str, str]) -> Bounds | None:
    part = _PART_OF[fields["part"]] if "part" in fields else None
    if decade := fields.get("decade"):
        first = int(decade) if len(decade) > 2 else 1900 + int(decade)
        return _part_of_years(first, (0, 4, 7, 10), part)
    if century := fields.get("century"):
        return _part_of_years(100 * int(century) - 99, (0, 33, 67, 100), part)
    year = int(fields["y"])
    if last := fields.get("y2"):
        return years_bounds(year, int(fields["y"][: 4 - len(last)] + last) + 1)
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


def _part_of_years(first: int, cuts: tuple[int, int, int, int], part: int | None) -> Bounds | None:
    low, high = (0, cuts[-1]) if part is None else (cuts[part], cuts[part + 1])
    return years_bounds(max(first + low, 1), first + high)


def _part_of_year(year: int, part: int) -> Bounds | None:
    first, last = month_bounds(year, 4 * part + 1), month_bounds(year, 4 * part + 4)
    return first and last and (first[0], last[1])


def _days(year: int, month: int, first: int, count: int) -> Bounds | None:
    try:
        start = datetime.date(year, month, first).toordinal()
    except ValueError:
        return None
    return start, None if start + count > LAST_DAY else start + count
