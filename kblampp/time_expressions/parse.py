"""The window that a question asks about, read from its words.

The words before a unit of time (`grammar`) say how the question relates to it: in, before, since, ...; two units can be
joined to a range.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass

from kblampp.data.windows import LAST_DAY, Bounds, Window
from kblampp.time_expressions.grammar import DASH, DAY, MONTH, Unit, find_units

QUESTION_SOURCE = "question_text"
"""Source of a window that was read from a question's words."""

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
_TO = rf"(?:and )?(?:up )?(?:to|until|till|til|through|thru)|{DASH}"
_JOIN = re.compile(rf"(?: ad| a\.d\.)?,? ?(?:{_TO}|(?P<both>and|&)) ?{_FILL}")
_HALF_RANGE = re.compile(  # its first half lacks the year: "from March to May 2015"
    rf"(?<!\w)(?:from|between|in|during) (?:the )?"
    rf"(?P<half>{DAY} {MONTH}|{MONTH} {DAY}|{MONTH}|{DAY}) ?(?:{_TO}|and) ?(?:the )?$"
)
_ONWARD = re.compile(
    r" (?:onwards?|on|and later|or later)\b"
    rf"| ?(?:to|until|till|through|{DASH}) ?(?:the )?(?:present|now|today|date|this day)\b"
)
_CLAUSE_END = re.compile(r" ?(?:[?!.,;:)]|a\.?d\b|c\.?e\b|$)")
_COUNTED = re.compile(r" (?:years|days|people|games|matches|countries|votes|points|miles|km|m|met(?:er|re)s)\b")
_REACH = 80  # characters before a unit in which its preposition is looked for


def parse_question_time(text: str) -> Window | None:
    """Finds the time that a question asks about.

    Named units count as a whole: "from 2009 to 2011" and "between 2009 and 2011" hold all three
    years, "before 1998" ends on 1998-01-01, "after 2015" starts on 2016-01-01, "since 2015" on
    2015-01-01, "until 2015" and "by 2015" end on 2016-01-01. Early in a decade means its years 0 to
    3, mid 4 to 6, late 7 to 9; other units are cut in three in the same way.

    Returns:
        The window with source "question_text", or None if the text names no time or one that makes
        no sense (reversed years, 31 February). Its end is always after its start.
    """
    bounds = find_bounds(text)
    return None if bounds is None else Window(bounds[0], bounds[1], QUESTION_SOURCE)


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
    terms = list(_terms(clean, list(find_units(clean))))
    if any(term.bounds is None for term in terms):
        return None
    bounds = _combine(terms)
    return bounds if bounds is not None and _holds_a_day(bounds) else None


def without_time(text: str) -> str:
    """A question without the words that name its time: "Who led Alder in 2012?" becomes "Who led Alder?".

    What is left says what is asked for; the time travels beside it as a window.  A text that is nothing but a time
    stays as it is.
    """
    clean = " ".join(text.split())
    if len(clean.lower()) != len(clean):  # a letter whose lower case is longer would move every place after it
        return clean
    low = clean.lower()
    units = list(find_units(low))
    for term in reversed(list(_terms(low, units))):
        clean = clean[: term.at] + clean[term.stop :]
    clean = re.sub(r",\s*(?=,)|\s+(?=[?,.!])", "", " ".join(clean.split())).strip(" ,")
    return clean or text


@dataclass(frozen=True, slots=True)
class _Term:
    """A unit or range with its relation to the question."""

    kind: str  # a key of _KINDS, or "range"
    at: int
    stop: int
    bounds: Bounds | None


def _terms(text: str, units: list[Unit]) -> Iterator[_Term]:
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
            yield _Term("range", origin + half.start(), unit.stop, _range("", first, unit.bounds))
        elif other and _joined(text, kind, unit, other):
            yield _Term("range", at, other.stop, _range(kind, unit.bounds, other.bounds))
            edge = other.stop
            continue
        elif _counts(text, unit, kind):
            if match and match["since"] == "from" and unit.span:  # "from 1998-2001" is no open end
                kind = "in"
            onward = kind in ("since", "") and _ONWARD.match(text, unit.stop)
            kind = "since" if onward else kind or "in"
            yield _Term(kind, at, onward.end() if onward else unit.stop, _relate(kind, unit.bounds))
        else:
            continue
        edge = unit.stop


def _joined(text: str, kind: str, first: Unit, second: Unit) -> bool:
    join = _JOIN.fullmatch(text, first.stop, second.start)
    if not join or (join["both"] and kind not in ("between", "since")):
        return False
    # The 8 of "from 8 to 9 March 2015" is a day, and the 4 of "4 to 6 players" nothing at all.
    if first.plain and first.number < 1000 and not (kind and second.plain):
        return False
    return not (second.plain and second.number < 100) or bool(_CLAUSE_END.match(text, second.stop))


def _counts(text: str, unit: Unit, kind: str) -> bool:
    """Whether a unit alone is a time: "in 1984" is, "Odyssey 2001" and "in 12 games" are not."""
    if unit.sure or not kind:
        return unit.sure
    if unit.plain and unit.number < 1000:
        return bool(_CLAUSE_END.match(text, unit.stop))
    return not (unit.plain and unit.number % 100 == 0 and _COUNTED.match(text, unit.stop))


def _complete(half: str, full: str) -> Bounds | None:
    """Gives "march" or "3" the year and month of "9 may 2015", the other end of its range."""
    month = re.search(MONTH, full)
    words = half if re.search(MONTH, half) or not month else f"{half} {month[0]}"
    return next((unit.bounds for unit in find_units(f"{words} {full.split()[-1]}")), None)


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
