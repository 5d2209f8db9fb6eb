"""The window that a question asks about, read from its words.

The words before a unit of time (`grammar`) say how the question relates to it: in, before, since, ...; two units can be
joined to a range.
"""

from __future__ import annotations

import datetime
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass

from kblampp.data.calendar import FIRST_DAY, LAST_DAY, Date, date_of
from kblampp.data.windows import Bounds, Window
from kblampp.time_expressions import relative, words
from kblampp.time_expressions.events import event_time
from kblampp.time_expressions.grammar import (
    BACKWARDS,
    CLAUSE_END,
    DASH,
    DAY,
    MONTH,
    NO_SUCH_TIME,
    NOT_ONE,
    Unit,
    envelope,
    find_units,
    lower_case,
)

TOLD_BY_AN_EVENT = "is a time that only an event tells: write a date, a month or a year"
FROM_ANOTHER = "is counted from another time: write a date, a month or a year"
QUESTION_SOURCE = "question_text"
"""Source of a window that was read from a question's words."""

_FILL = (
    r"(?:(?:the|a|years?|seasons?|months?|dates?|period|summer|spring|autumn|fall|winter|of|about|fiscal|financial|fy"
    r"|around|circa|c\.|approximately|ad|a\.d\.|(?:mon|tues|wednes|thurs|fri|satur|sun)day,?) )*"
)
_KINDS = {
    "before": r"before|prior to|earlier than",
    "until": r"until|till|til|up to|up until|up till|by|no later than|not later than",
    "after": r"after|later than|following",
    "since": r"since|from|as from|starting in|starting from",
    "between": r"between|in between",
    "in": r"(?:at|on|over) (?:christmas|easter|new year)(?:'s)?(?: (?:day|eve|sunday|monday))?|in|on|during|throughout"
    r"|within|as of|as at|around|circa|for|at|over|as (?:early|late|recently|far back) as",
}
_KIND = "|".join(rf"(?P<{kind}>{words})" for kind, words in _KINDS.items())
# "shortly before" is before: how long a short time is, the facts have to say.
_NEARNESS = r"(?:right|just|shortly|immediately|soon|directly|straight|back)"
_LEFT = re.compile(rf"(?<!\w)(?:{_NEARNESS} )?(?:{_KIND}) {_FILL}$")
_TO = rf"(?:and )?(?:up )?(?:to|until|till|til|through|thru)|{DASH}"
_JOIN = re.compile(rf"(?: ad| a\.d\.)?,? ?(?:{_TO}|(?P<both>and|&|(?P<either>or))) ?{_FILL}")
_HALF_RANGE = re.compile(  # its first half lacks the year: "from March to May 2015"
    rf"(?<!\w)(?:from|between|in|during) (?:the )?"
    rf"(?P<half>{DAY} {MONTH}|{MONTH} {DAY}|{MONTH}|{DAY}|[qh][1-4]) ?(?:{_TO}|and) ?(?:the )?$"
)
_WORD_AND_YEAR = re.compile(
    rf"(?P<words>.*[a-z].*?)(?P<year>'?[0-9]+(?: ?b\.? ?c\b\.?(?: ?e\b\.?)?)?|\b{words.SPOKEN_YEAR})"
)
_ONWARD = re.compile(
    r" (?:onwards?|on|and later|or later)\b"
    rf"| ?(?:to|until|till|through|{DASH}) ?(?:the )?(?:present|now|today|date|this day)\b"
)
_CLAUSE_END = re.compile(CLAUSE_END)
_COUNTED = re.compile(
    r" (?:years|days|people|games|matches|races|rounds|countries|towns|cities|villages|houses|schools|votes|points"
    r"|shops|boats|ships|cars|seats|pages|copies|miles|km|m|met(?:er|re)s|dollars|euros|pounds)\b"
)
_TEXT_END = re.compile(r"[ ?!.]*")
_QUESTION_WORD = re.compile(
    r"(?:who|whom|whose|what|which|where|when|how|why|is|are|was|were|do|does|did|has|have|had|can|could)\b"
)
_NO_YEAR_AFTER = re.compile(  # "more than 2000", "room 1408", "the act of 1871"
    r"(?<![\w'])(?:an?|the|of|than|and|or|to|at|about|over|under|with|without|is|are|was|were|be|has|have|had|no|nr|number"
    r"|room|route|highway|road|street|flight|model|version|chapter|page|line|times|plus|minus)\.? $"
)
_COUNTED_FROM = re.compile(  # "three years before 2010"
    rf"(?<!\w)(?:in )?(?P<count>the|[0-9]{{1,4}}|{words.NUMBER}|(?:a )?few|several|some) "
    r"(?P<of>day|week|month|year|decade|centur(?:y|ie))s? $"
)
_REACH = 80  # characters before a unit in which its preposition is looked for


@dataclass(frozen=True, slots=True)
class TimeReading:
    """What a question says about time.

    Attributes:
        window: The days that it asks about, with the source "question_text"; None if it names no time, or if there is
            a problem.
        rest: The question without the words that name a time, its spaces single.
        problem: A sentence on the time that is named and could not be understood, or makes no sense; else None.
    """

    window: Window | None
    rest: str
    problem: str | None


def read_time(text: str, as_of: int | None = None) -> TimeReading:
    """Reads the time that a question asks about, and what it asks without it.

    Named units count as a whole: "from 2009 to 2011" and "between 2009 and 2011" hold all three years, "before 1998"
    ends on 1998-01-01, "after 2015" starts on 2016-01-01, "since 2015" on 2015-01-01, "until 2015" and "by 2015" end on
    2016-01-01. Early in a decade means its years 0 to 3, mid 4 to 6, late 7 to 9; other units are cut in three in the
    same way. "right after" and "shortly before" are read as after and before.

    A range wins over single units, and of several of either kind the last one does, unless the text opens with one ("In
    2009, who ..."). "in 1787 ... until 1796" and "after 2009 ... before 2012" join to one window.

    "today", "now" and the like name no window and stay in the rest. A year at the very end needs no preposition
    ("revenue 2019"), unless a sentence ends with it after a word in capitals, as names do ("Who directed Odyssey
    2001?"). A text that is nothing but a time is its own rest.

    Args:
        text: A question in English.
        as_of: Day of asking, from which "last year" is told and before which "'12" lies; None for today.

    Raises:
        DataError: `as_of` is no day of the calendar.
    """
    today = date_of(datetime.date.today().toordinal() if as_of is None else as_of)
    clean = " ".join(text.split())
    terms = list(_terms(clean, lower_case(clean), today))
    problem = next((f'"{clean[term.at : term.stop]}" {term.problem}' for term in terms if term.problem), None)
    bounds = None if problem else _combine(terms)
    if bounds is not None and not _holds_a_day(bounds):
        problem = " and ".join(f'"{clean[term.at : term.stop]}"' for term in terms) + " have no day in common"
        bounds = None
    if not terms and (told := event_time(clean)):
        problem = f'"{told}" {TOLD_BY_AN_EVENT}'
    window = None if bounds is None else Window(bounds[0], bounds[1], QUESTION_SOURCE)
    return TimeReading(window, _without(clean, terms), problem)


def parse_question_time(text: str, as_of: int | None = None) -> Window | None:
    """The window of `read_time`."""
    return read_time(text, as_of).window


def without_time(text: str) -> str:
    """The rest of `read_time`: "Who led Alder in 2012?" becomes "Who led Alder?".

    What is left says what is asked for; the time travels beside it as a window.
    """
    return read_time(text).rest


@dataclass(frozen=True, slots=True)
class _Term:
    """A unit or range at `text[at:stop]` with its relation to the question."""

    kind: str  # a key of _KINDS, or "range"
    at: int
    stop: int
    bounds: Bounds | None
    problem: str | None  # why there are none


def _without(text: str, terms: list[_Term]) -> str:
    if not terms:
        return text
    rest = text
    for term in reversed(terms):
        rest = rest[: term.at] + " " + rest[term.stop :]
    rest = re.sub(r"\( *\)", "", rest)
    rest = re.sub(r",\s*(?=,)|\s+(?=[?,.!)])", "", " ".join(rest.split())).strip(" ,")
    return rest if re.search(r"\w", rest) else text


def _terms(text: str, low: str, today: Date) -> Iterator[_Term]:
    units = list(find_units(text, today))
    edge = 0  # end of the last term: its words say nothing about the next one
    for unit, other in itertools.zip_longest(units, units[1:]):
        if unit.start < edge:
            continue
        left = low[max(edge, unit.start - _REACH) : unit.start]
        origin = unit.start - len(left)
        match, half = _LEFT.search(left), _HALF_RANGE.search(left)
        kind = match.lastgroup or "" if match else ""
        if match and kind and not _fits(match[kind], low, unit):
            match, kind = None, ""
        at = origin + match.start() if match else _without_of(low, unit)
        full = half and not unit.plain and _WORD_AND_YEAR.fullmatch(low, unit.start, unit.stop)
        if half and full:
            first = _complete(half["half"], full, today)
            yield _term("range", origin + half.start(), unit.stop, _range("", first, unit.bounds), unit.problem)
        elif other and _joined(low, kind, unit, other):
            bounds, problem = _range(kind, unit.bounds, other.bounds), unit.problem or other.problem
            join = _JOIN.fullmatch(low, unit.stop, other.start)
            if kind == "in" and join and join["both"] and unit.bounds and other.bounds:
                bounds = envelope([unit.bounds, other.bounds])
                problem = None if bounds else NOT_ONE
            yield _term("range", at, other.stop, bounds, problem)
            edge = other.stop
            continue
        elif _counts(low, unit, kind, at) or _ends_with_year(text, low, unit, kind):
            if match and match["since"] == "from" and unit.span:  # "from 1998-2001" is no open end
                kind = "in"
            onward = kind in ("since", "") and _ONWARD.match(low, unit.stop)
            kind = "since" if onward else kind or "in"
            if kind == "before" and low.startswith("end of", unit.start):  # not before the last months of the year
                kind = "until"
            if counted := _COUNTED_FROM.search(low[edge:at]) if kind in ("before", "after") else None:
                bounds = relative.years_from(counted["count"], counted["of"], unit.bounds, kind)
                problem = unit.problem or (None if bounds else FROM_ANOTHER)
                yield _term("in", edge + counted.start(), unit.stop, bounds, problem)
            else:
                stop = onward.end() if onward else unit.stop
                yield _term(kind, at, stop, _relate(kind, unit.bounds), unit.problem)
        else:
            continue
        edge = unit.stop


def _without_of(low: str, unit: Unit) -> int:
    """Where "of the" before a unit begins: "hits of the nineties" are hits."""
    of = low.endswith("of the ", 0, unit.start) and unit.sure and not unit.plain
    return unit.start - len("of the ") if of else unit.start


def _term(kind: str, at: int, stop: int, bounds: Bounds | None, problem: str | None) -> _Term:
    if problem is None and (bounds is None or not _holds_a_day(bounds)):
        problem = BACKWARDS if kind == "range" else NO_SUCH_TIME
    return _Term(kind, at, stop, bounds, problem)


def _fits(preposition: str, text: str, unit: Unit) -> bool:
    """Whether a word that need not be about time can be so here: "at the end of 1990", "for 2012"."""
    if preposition == "at":
        return text.startswith(("beginning", "start", "middle", "end", "turn"), unit.start)
    if preposition == "over":
        return text.startswith(("last", "past", "the "), unit.start)
    if preposition == "for":
        return not unit.plain or (1000 <= unit.number <= 2100 and not _COUNTED.match(text, unit.stop))
    return True


def _ends_with_year(text: str, low: str, unit: Unit, kind: str) -> bool:
    """Whether a text ends with a year that has no preposition: "revenue of Acme 2019"."""
    if kind or not unit.plain or not 1000 <= unit.number <= 2100 or not _TEXT_END.fullmatch(low, unit.stop):
        return False
    word = text[: unit.start].rstrip(" ,").rpartition(" ")[2]
    if not word[-1:].isalpha() or _NO_YEAR_AFTER.search(low, max(0, unit.start - _REACH), unit.start):
        return False
    return text.isupper() or not (_QUESTION_WORD.match(low) and word[0].isupper())


def _joined(text: str, kind: str, first: Unit, second: Unit) -> bool:
    join = _JOIN.fullmatch(text, first.stop, second.start)
    if not join or (join["both"] and not _both(join, kind, first, second, bool(_COUNTED.match(text, second.stop)))):
        return False
    # The 8 of "from 8 to 9 March 2015" is a day, and the 4 of "4 to 6 players" nothing at all.
    if first.plain and first.number < 1000 and not (kind and second.plain):
        return False
    return not (second.plain and second.number < 100) or bool(_CLAUSE_END.match(text, second.stop))


def _both(join: re.Match[str], kind: str, first: Unit, second: Unit, counted: bool) -> bool:
    """Whether "and" makes a range: "between 2009 and 2011", and what follows on, "in the 1960s and 1970s"."""
    if kind == "in" and first.bounds and second.bounds:
        year = second.spoken or (second.plain and 1000 <= second.number <= 2100 and not counted)
        return second.sure or year or envelope([first.bounds, second.bounds]) is not None
    return kind in ("between", "since") and not join["either"]


def _counts(text: str, unit: Unit, kind: str, at: int) -> bool:
    """Whether a unit alone is a time: "in 1984" is, "Odyssey 2001" and "in 12 games" are not."""
    if unit.sure or not kind:
        return unit.sure
    if unit.plain and unit.number < 1000:
        return bool(_CLAUSE_END.match(text, unit.stop))
    if not ((unit.plain or unit.spoken) and _COUNTED.match(text, unit.stop)):
        return True
    # "In 1998 people voted", "in the 1998 games"
    return unit.number % 100 != 0 and (at == 0 or text.endswith("the ", 0, unit.start))


def _complete(half: str, full: re.Match[str], today: Date) -> Bounds | None:
    """Gives "march" or "3" the year and month of "9 may 2015", the other end of its range."""
    month = re.search(MONTH, full["words"])
    words = half if re.search(MONTH, half) or not month else f"{half} {month[0]}"
    return next((unit.bounds for unit in find_units(f"{words} {full['year']}", today)), None)


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
    return (FIRST_DAY if start is None else start) < (LAST_DAY + 1 if end is None else end)
