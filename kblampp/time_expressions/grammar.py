"""The units of time that a question can name: a day, month, year, span of years, decade or century.

Each is a stretch of the calendar or a part of one (early, first half, Q2), or is told from the day of asking
(`relative`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from kblampp.data.calendar import Date, day_number
from kblampp.data.windows import MONTHS, Bounds, month_bounds, years_bounds
from kblampp.time_expressions import relative, words

DASH = r"[-\u2013\u2014]"
_MONTHS = [month[:3].lower() for month in MONTHS]
MONTH = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?"
    r"|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\b\.?"
)
DAY = rf"(?:[0-3]?[0-9](?:st|nd|rd|th)?|{words.DAY})"
CLAUSE_END = r" ?(?:[?!.,;:)]|a\.?d\b|c\.?e\b|$)"
_PART_OF = {"early": 0, "beginning": 0, "start": 0, "mid": 1, "middle": 1, "late": 2, "end": 2}
_SHARES = {"half": 2, "third": 3, "quarter": 4, "decade": 10}  # a decade is so many years
_NTH = {"first": 0, "1st": 0, "second": 1, "2nd": 1, "third": 2, "3rd": 2, "fourth": 3, "4th": 3, "fifth": 4}
_NTH |= {"5th": 4, "sixth": 5, "6th": 5, "seventh": 6, "7th": 6, "eighth": 7, "8th": 7, "ninth": 8, "9th": 8}
_SHORT_PART = r"(?P<short>q[1-4]|h[12])"
# "the end of 1990" is a time, "where did the line end in 1990" is not about the end of 1990, and "the first half of the
# 2012 final" is not about the year.
_PART = (
    r"(?:(?P<part>(?:early|mid|late)(?=[ -])|(?:beginning|start|middle|end)(?= of ))"
    r"[ -](?:part )?(?:(?:of|in) )?(?:the )?"
    rf"|(?P<nth>{'|'.join(_NTH)}|last|latter|final|closing) (?P<share>half|third|quarter|decade) of "
    r"(?:the (?:year )?(?![0-9]{4}(?! ?'?s)))?"
    rf"|{_SHORT_PART}(?: of |[ /-]))?"
)
# Of two digits: not the quotation mark of a title ("in '12 Monkeys'").
_SHORT_YEAR = r"'(?P<yy>[0-9]{2})(?![^?]{0,60}\w'(?!\w))"
_YEAR = rf"(?:(?P<y>[0-9]{{3,4}})|{_SHORT_YEAR})"
_BC = r" ?(?P<bc>b\.? ?c\b\.?(?: ?e\b\.?)?|bce\b)"
_ANY_YEAR = r"(?P<y>[0-9]{1,6})"
# Not more of a word or number (2,000; 4-0), and not a year before Christ.
_STOP = r"(?!\w|%|[-,.:/\u2013\u2014][0-9]| ?b\.? ?c\b| ?bce\b)"
_UNIT_PATTERNS = tuple(
    re.compile(pattern + _STOP)
    for pattern in (
        *relative.patterns(_PART, CLAUSE_END),
        *words.patterns(_PART, _BC, CLAUSE_END),
        rf"(?P<d>{DAY})(?: of)? (?P<m>{MONTH})(?: ?,| of)? {words.year(CLAUSE_END)}",
        rf"(?P<m>{MONTH}) (?:the )?(?P<d>{DAY})(?: ?, ?| ){words.year(CLAUSE_END)}",
        rf"{_PART}(?P<m>{MONTH})(?: ?,| of)? {words.year(CLAUSE_END)}",
        rf"(?P<d>{DAY})(?: of)? (?P<m>{MONTH})(?: ?,| of)? ?{_ANY_YEAR}{_BC}",
        rf"(?P<m>{MONTH}) (?:the )?(?P<d>{DAY})(?: ?, ?| ){_ANY_YEAR}{_BC}",
        rf"{_PART}(?P<m>{MONTH})(?: ?,| of)? ?{_ANY_YEAR}{_BC}",
        rf"{_PART}(?P<decade>[1-9][0-9]{{0,2}}0) ?'?s{_BC}",
        rf"{_ANY_YEAR} ?(?P<sep>/|{DASH}|to|until|till|through|and) ?(?P<y2>[0-9]{{1,6}}){_BC}",
        rf"{_PART}{_ANY_YEAR}{_BC}",
        r"(?P<sign>-)(?P<y>[0-9]{4})-(?P<m>[01][0-9])-(?P<d>[0-3][0-9])",
        r"(?P<sign>-)(?P<y>[0-9]{4})-(?P<m>[01][0-9])",
        r"(?P<sign>-)(?P<y>[0-9]{2,4})",
        r"(?P<y>[0-9]{4})(?P<sep>[-/.])(?P<m>[01]?[0-9])(?P=sep)(?P<d>[0-3]?[0-9])",
        r"(?P<first>[0-9]{1,2})(?P<sep>[-/])(?P<second>[0-9]{1,2})(?P=sep)(?P<y>[0-9]{4})",
        r"(?P<first>[0-9]{1,2})/(?P<second>[0-9]{1,2})/(?P<yy>[0-9]{2})",
        r"(?P<d>[0-3]?[0-9])\.(?P<m>[01]?[0-9])\.(?P<y>[0-9]{4})",
        r"(?P<m>0?[1-9]|1[0-2])/(?P<y>[0-9]{4})",
        rf"(?P<d>{DAY})(?: of)? (?P<m>{MONTH})(?: ?,| of)? ?{_YEAR}",
        rf"(?P<m>{MONTH}) (?:the )?(?P<d>{DAY})(?: ?, ?| ){_YEAR}",
        rf"{_PART}(?P<m>{MONTH})(?: ?,| of)? ?{_YEAR}",
        rf"{_PART}'?(?P<decade>[1-9][0-9]{{0,2}}0|00)(?:(?<=[0-9]{{4}}) )?'?s",
        rf"(?P<y>[0-9]{{4}})[ -]?{_SHORT_PART}",
        rf"(?P<y>[0-9]{{4}}) ?(?P<sep>/|{DASH}) ?(?P<y2>[0-9]{{4}}|[0-9]{{2}})",
        rf"(?<!\bmonth of )(?:{DAY}(?: of)? )?(?P<month_alone>{MONTH})(?: {DAY})?(?={CLAUSE_END})",
        rf"{_PART}(?P<y>[0-9]{{1,4}})",
        rf"{_PART}{_SHORT_YEAR}",
    )
)
# Where a unit can begin; real questions also hold "1369 to1420".
_UNIT_START = re.compile(
    rf"(?:(?<![\w.,/$£€#])|(?<= to))(?=[0-9]|'[0-9]|(?<= )-[0-9]|{MONTH}|[qh][1-4][ /-]|(?:{'|'.join(_PART_OF)})[ -]"
    rf"|(?:{'|'.join(_NTH)}|last|latter|final|closing) (?:half|third|quarter|decade) |{relative.START}|{words.START})"
)
# "the 2004-05 table" and "2004-05 season" are two years, which "2004-05" alone need not be.
_SEASON = re.compile(r"(?: [\w-]+){0,3} (?:season|campaign|tournament|year)\b")


_QUARTER = re.compile(r"^[QH](?=[1-4]\b)")
_CAPITAL_NEXT = re.compile(r" (?!I\b)[A-Z]")
_NEED_A_PREPOSITION = {"month_alone", "rolling", "of_two_digits", "people", "roaring"}
_AGES = {"century": 100, "millennium": 1000}
_PARTS = r"(?:(?:early|mid|late)[ -]|(?:beginning|start|middle|end) of (?:the )?|(?:first|second) half of (?:the )?)"
_TO = rf" ?(?:to|until|till|through|{DASH}) ?"
_AND = r"(?:,? (?:and|&|or) |, )"
# The noun of the first times is that of the last: "from the 18th to the 20th century", "the early to mid nineties".
_AGES_IN_A_ROW = re.compile(
    rf"(?P<all>(?:{_PARTS}?{words.AGE_NUMBER}(?:(?:{_TO}|{_AND})(?:the )?)){{1,6}}{_PARTS}?{words.AGE_NUMBER})"
    rf"[ -](?P<noun>centur|millenni)(?:y|ies|ums?|a)\b(?P<era>{_BC})?{_STOP}"
)
_PARTS_IN_A_ROW = re.compile(
    r"(?P<all>(?:early|mid|late)[ -](?:(?P<range>to|through)|and|or)[ -](?:the )?)(?P<last>(?:early|mid|late)[ -])"
)
_BETWEEN = re.compile(rf"(?:{_TO}|{_AND})(?:the )?")

BACKWARDS = "ends before it starts"
NOT_ONE = "are times that do not follow on each other: ask for one of them, or for a range"
NO_SUCH_TIME = "is no time of the calendar, whose years are 9999 BC to 9999"


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit at `text[start:stop]`; without `bounds` if there is no such time, or nobody can say which it is."""

    start: int
    stop: int
    bounds: Bounds | None
    problem: str | None  # why there are no bounds: the end of a sentence that begins with the unit
    number: int  # its year or decade as written
    plain: bool  # digits alone
    span: bool  # "1998-2001", "2018/19"
    sure: bool  # a time even without a preposition
    spoken: bool = False  # a year in words alone


def lower_case(text: str) -> str:
    """The text in lower case, every letter at its place."""
    return "".join(small if len(small := letter.lower()) == 1 else letter for letter in text).replace("\u2019", "'")


def find_units(text: str, today: Date) -> Iterator[Unit]:
    """The units that a text with single spaces names, in its order; none overlaps another."""
    low = lower_case(text)
    done = 0
    for start in (found.start() for found in _UNIT_START.finditer(low)):
        if start < done:
            continue
        if row := _in_a_row(low, start, today):
            done = row.stop
            yield row
            continue
        match = _match(low, start)
        if match and not _in_a_name(text, match) and not _is_an_age(low, match):
            unit = _unit(low, match, today)
            done = unit.stop
            yield replace(unit, sure=unit.sure and not (_in_words(match) and _capital(text, match)))


def _match(low: str, start: int) -> re.Match[str] | None:
    matches = (pattern.match(low, start) for pattern in _UNIT_PATTERNS)
    return next((match for match in matches if match and match.end() > start), None)


def _in_a_row(low: str, start: int, today: Date) -> Unit | None:
    """Several times of which only the last one has its noun."""
    if ages := _AGES_IN_A_ROW.match(low, start):
        noun = {"centur": "century", "millenni": "millennium"}[ages["noun"]] + (ages["era"] or "")
        named, stop = [f"{one} {noun}" for one in _BETWEEN.split(ages["all"])], ages.end()
        ranges = re.search(_TO, ages["all"]) is not None or low.endswith(("between ", "between the "), 0, start)
    elif parts := _PARTS_IN_A_ROW.match(low, start):
        last = _match(low, parts.start("last"))
        if last is None:
            return None
        stop, ranges = last.end(), parts["range"] is not None
        named = [f"{parts['all'][:-1].split(' ')[0].split('-')[0]} {low[parts.end() : stop]}", last[0]]
    else:
        return None
    units = [next(find_units(one, today), None) for one in named]
    bounds: Bounds | None = None
    problem = next((unit.problem for unit in units if unit and unit.problem), None)
    found = [unit.bounds for unit in units if unit and unit.bounds]
    if not problem and len(found) == len(named):
        bounds = (found[0][0], found[-1][1]) if ranges else envelope(found)
        problem = None if bounds else NOT_ONE
        if bounds and None not in bounds and (bounds[0] or 0) >= (bounds[1] or 0):
            bounds, problem = None, BACKWARDS
    return Unit(start, stop, bounds, problem or (None if bounds else NO_SUCH_TIME), 1000, False, True, True)


def envelope(found: Sequence[Bounds]) -> Bounds | None:
    """The days of several times that touch or overlap; None if there are others between them."""
    low, high = found[0]
    for start, end in found[1:]:
        if None in (low, high, start, end):
            return None
        if (start or 0) > (high or 0) or (end or 0) < (low or 0):
            return None
        low, high = min(low or 0, start or 0), max(high or 0, end or 0)
    return low, high


def _in_a_name(text: str, match: re.Match[str]) -> bool:
    """Whether a time in words is one of a name.

    Capitals make a relative time a name ("Last Year at Marienbad"). Decades and centuries are also written with one, so
    they are a name only with a capital behind them ("the Nineties Club") or without "the" ("The Roaring Twenties").
    """
    capital = _capital(text, match)
    if match.groupdict().keys() & {"ago", "named", "past", "rolling", "vague"}:
        return capital
    if match.groupdict().get("people") and text[match.start() : match.end()].strip()[0].isupper():
        return not text.isupper()
    at = match.start()
    if text.isupper() or not _in_words(match) or not (capital or (at == 0 and text[0].isupper())):
        return False
    if _CAPITAL_NEXT.match(text, match.end()):
        return True
    return at > 0 and text[at].isupper() and not text.endswith("the ", 0, at)


def _in_words(match: re.Match[str]) -> bool:
    named = match.groupdict()
    return bool(named.keys() & {"by_name", "ages", "turn", "year_words"}) and not named.get("m")


def _capital(text: str, match: re.Match[str]) -> bool:
    begin = max(match.start(), 1)  # the first letter of a sentence says nothing, as that of "Q2 last year"
    return not text.isupper() and any(letter.isupper() for letter in _QUARTER.sub("", text[begin : match.end()]))


def _is_an_age(low: str, match: re.Match[str]) -> bool:
    """Whether a decade is one of a life: "in her late twenties"."""
    named = match.groupdict()
    return bool(
        (named.get("by_name") or named.get("people"))
        and words.OWNED.search(low[max(0, match.start() - 40) : match.start()])
    )


def _unit(low: str, match: re.Match[str], today: Date) -> Unit:
    fields = _fields(low, match, today)
    named = fields.get("y") or fields.get("decade") or "1000"
    number = 1000 if "bc" in fields else int(fields.get("sign", "") + named)
    plain = fields.keys() in ({"y"}, {"y", "sign"})
    spoken = "year_words" in fields and not fields.keys() & {"m", "part", "share", "short"}
    unsure = plain or spoken or fields.keys() & _NEED_A_PREPOSITION or ("yy" in fields and "m" not in fields)
    sure = not unsure and number >= 1000 and (len(fields.get("y2", "four")) == 4 or "bc" in fields)
    problem = _problem(fields)
    bounds = None if problem else _bounds(fields, today)
    if not problem and bounds is None:
        problem = BACKWARDS if "y2" in fields and number > 0 else NO_SUCH_TIME
    if bounds and _is_to_come(fields, bounds, today):
        bounds, problem = None, f"may be of this {fields['of']} or of the last: write the years"
    return Unit(match.start(), match.end(), bounds, problem, number, plain, "y2" in fields, sure, spoken)


def _is_to_come(fields: Mapping[str, str], bounds: Bounds, today: Date) -> bool:
    """Whether a part of "the century" lies ahead: who says "the end of the century" may mean the last one."""
    if "of" not in fields or fields.keys() & {"ago", "named", "past", "rolling"}:
        return False
    return bounds[0] is not None and bounds[0] > today.number


def _fields(low: str, match: re.Match[str], today: Date) -> dict[str, str]:
    """The groups of a match that hold something; a year of two digits is written out in "y" too."""
    fields = {name: value for name, value in match.groupdict().items() if value}
    if "yy" in fields:
        year = today.year // 100 * 100 + int(fields["yy"])
        fields["y"] = f"{year if year <= today.year else year - 100:04}"
    if re.fullmatch(r"[0-9]{1,2}00", fields.get("decade", "")) and fields["decade"] != "2000":
        fields["hundred"] = fields["decade"]
    words.spell_out(fields, today.year)
    if "bc" not in fields and len(short := fields.get("decade", "")) == 2:
        begin, other = words.decade(int(short), today.year)
        if other is not None:
            fields["either"] = f"the {begin}s or the {other}s: write the decade in full"
        fields["decade"] = f"{begin:04}"
        if "by_name" not in fields:
            fields["of_two_digits"] = short
    last = "" if "bc" in fields else fields.get("y2", "")
    if len(last) == 2 and 1 <= int(last) <= 12:
        if last <= fields["y"][2:]:  # "2012-05" ends in no later year
            fields["m"] = fields.pop("y2")
        elif fields["sep"] == "-" and not (low.endswith("the ", 0, match.start()) or _SEASON.match(low, match.end())):
            first = fields["y"]
            years = f"{first} to {first[:2]}{last}"
            fields["either"] = (
                f"{MONTHS[int(last) - 1]} {first} or the years {years}: write the month as a word, or both years in "
                "full"
            )
    return fields


def _problem(fields: Mapping[str, str]) -> str | None:
    """What keeps a unit from being understood."""
    if either := fields.get("either"):
        return f"may be {either}"
    if "vague" in fields or (fields.get("of") == "millennium" and "part" in fields):
        return "is no certain time: write a date, a month or a year"
    if "month_alone" in fields:
        return "is of no year: write the year too"
    if "first" in fields:
        first, second = int(fields["first"]), int(fields["second"])
        if first != second and 1 <= first <= 12 and 1 <= second <= 12:
            one, other = MONTHS[second - 1], MONTHS[first - 1]
            return f"may be {first} {one} or {second} {other} {fields['y']}: write the month as a word"
    return None


def _bounds(fields: Mapping[str, str], today: Date) -> Bounds | None:
    index, count = _portion(fields)
    if index >= count:  # "the third half"
        return None
    if "of" in fields and count > 1:
        return _part_of_relative(fields, today, index, count)
    if fields.keys() & {"ago", "named", "past", "rolling"}:
        return relative.relative_bounds(fields, today)
    if "bc" in fields or "sign" in fields:
        return _bounds_before_christ(fields, index, count)
    if decade := fields.get("decade"):
        return _part_of_years(int(decade), 100 if "hundred" in fields else 10, index, count)
    for age, length in _AGES.items():
        if age in fields:
            number = int(fields[age])
            return _part_of_years(length * (number - 1) + 1, length, index, count) if number else None
    year = int(fields["y"])
    if year < 1:
        return None
    if last := fields.get("y2"):
        return years_bounds(year, int(fields["y"][: 4 - len(last)] + last) + 1)
    if "first" in fields:
        first, second = int(fields["first"]), int(fields["second"])
        return _day(year, *((first, second) if first <= 12 else (second, first)))
    return _part_of_date(year, fields, index, count)


def _bounds_before_christ(fields: Mapping[str, str], index: int, count: int) -> Bounds | None:
    """Of a year that is counted backwards: the one before 1 is 1 BC, and 0 with a sign, as ISO 8601 counts."""
    if decade := fields.get("decade"):
        length = 100 if "hundred" in fields else 10
        return _part_of_years(2 - length - int(decade), length, index, count)
    for age, length in _AGES.items():
        if age in fields:
            number = int(fields[age])
            return _part_of_years(1 - length * number, length, index, count) if number else None
    if not int(fields["y"]):
        return None
    year = -int(fields["y"]) if "sign" in fields else 1 - int(fields["y"])
    if last := fields.get("y2"):
        return years_bounds(year, 2 - int(last)) if int(last) else None
    return _part_of_date(year, fields, index, count)


def _part_of_relative(fields: Mapping[str, str], today: Date, index: int, count: int) -> Bounds | None:
    if fields["of"] == "month":
        return _part_of_month(*relative.relative_month(fields, today), index, count)
    first, length = relative.relative_years(fields, today)
    return _part_of_year(first, index, count) if length == 1 else _part_of_years(first, length, index, count)


def _part_of_date(year: int, fields: Mapping[str, str], index: int, count: int) -> Bounds | None:
    if "m" not in fields:
        return _part_of_year(year, index, count)
    name = fields["m"]
    month = int(name) if name.isdigit() else _MONTHS.index(name[:3]) + 1
    if "d" in fields:
        return _day(year, month, int(fields["d"].rstrip("sthndr")))
    return _part_of_month(year, month, index, count)


def _portion(fields: Mapping[str, str]) -> tuple[int, int]:
    """Which part, from 0, of how many: (1, 4) for the second quarter, (0, 1) for the whole."""
    if "part" in fields:
        return _PART_OF[fields["part"]], 3
    if "share" in fields:
        count = _SHARES[fields["share"]]
        if fields["share"] == "decade":  # of nothing shorter than a century
            age = fields.get("ages") or fields.get("of", "year")
            count = _AGES.get(age, 0) // count
        return _NTH.get(fields["nth"], count - 1), count
    if short := fields.get("short"):
        return int(short[1]) - 1, 4 if short[0] == "q" else 2
    return 0, 1


def _part_of_years(first: int, length: int, index: int, count: int) -> Bounds | None:
    low, high = (-(-length * cut // count) for cut in (index, index + 1))  # rounded up: early is the years 0 to 3
    return years_bounds(first + low, first + high)


def _part_of_year(year: int, index: int, count: int) -> Bounds | None:
    first, last = month_bounds(year, 12 * index // count + 1), month_bounds(year, 12 * (index + 1) // count)
    return first and last and (first[0], last[1])


def _part_of_month(year: int, month: int, index: int, count: int) -> Bounds | None:
    whole = month_bounds(year, month)
    if whole is None or whole[0] is None:
        return None
    low, high = (whole[0] + 30 * cut // count for cut in (index, index + 1))
    return low, whole[1] if index == count - 1 else high


def _day(year: int, month: int, number: int) -> Bounds | None:
    try:
        start = day_number(year, month, number)
    except ValueError:
        return None
    return relative.days_bounds(start, start + 1)
