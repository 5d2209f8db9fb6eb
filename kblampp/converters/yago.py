"""YAGO15K (García-Durán et al. 2018): triples of YAGO, some of them dated, and questions about them.

A line is `<head> <relation> <tail>`, separated by tabs; a dated one ends in `<occursSince>` or `<occursUntil>` and a
date whose unknown parts are `##`.  The two bounds of a triple stand on two lines and make one fact.  The dataset is
there to measure: all facts are in the one base `train`, and every question is of the split `test`.
"""

from __future__ import annotations

import random
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from kblampp.converters.conversion import Conversion, digest
from kblampp.converters.reading import BrokenFile, Record, find_files
from kblampp.converters.yago_wordings import WORDINGS
from kblampp.core.errors import DataError
from kblampp.data.facts import Context, Entity, FiveTuple, Question, Relation
from kblampp.data.jsonl import Fields
from kblampp.data.windows import UNKNOWN, Window, day, iso, month_window, year_window

NAME = "yago"
QUESTIONS = 500
"""Most questions of each kind."""
OPEN_YEARS = 3
"""A window that is open at one end is asked about within so many years of the other."""
_LINE = re.compile(
    r"<([^<>\t]+)>\t<([^<>\t]+)>\t<([^<>\t]+)>"
    r'(?:\t<(occursSince|occursUntil)>\t"([0-9]{1,4})-([0-9]{2}|##)-([0-9]{2}|##)")?'
)
LAST_YEAR = 9999
Triple = tuple[str, str, str]
Facts = Mapping[int, FiveTuple]
"""The facts of one head and relation by their ids."""


@dataclass
class _Span:
    """First day and first day after of one window of a triple, and how precisely they are known."""

    start: int | None = None
    end: int | None = None
    start_unit: str | None = None
    end_unit: str | None = None


@dataclass(frozen=True)
class _Asked:
    """What a question asks for: a fact's tail, the facts that answer it, and the year, None for no time."""

    fact: FiveTuple
    support: Sequence[int]
    year: int | None


def convert(raw: Path, conversion: Conversion) -> None:
    """Converts every text file of the folder; the bounds of a triple may stand in different files.

    Raises:
        DataError: There is no file, or a line is malformed (unless `skip_bad`).
    """
    conversion.one_base = True
    spans: defaultdict[Triple, list[_Span]] = defaultdict(list)
    for path in find_files(raw, ("*.txt",), what="YAGO15K file"):
        for row in conversion.rows(path, _read_lines):
            conversion.attempt(lambda row: _add_row(row, spans), row)
    groups: dict[tuple[str, str], dict[int, FiveTuple]] = defaultdict(dict)
    for triple, windows in spans.items():
        for span in windows:
            fact = _fact(triple, span, conversion)
            groups[triple[:2]][conversion.add_fact(fact, "train")] = fact
    rng = random.Random(f"{NAME}/{conversion.seed}")
    _ask("temporal", _temporal(groups.values(), rng), rng, conversion)
    _ask("tail", _tails(groups.values()), rng, conversion)


def _read_lines(path: Path) -> Iterator[Record]:
    """Yields the lines as objects with the texts `head`, `relation`, `tail`, `bound` and `date`, the last two or none.

    Raises:
        BrokenFile: It cannot be read, or is not UTF-8.
    """
    try:
        with open(path, encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                if not line.strip():
                    continue
                where, found = f"{path}, line {number}", _LINE.fullmatch(line.rstrip("\n"))
                if found is None:
                    form = '<head> <relation> <tail>, perhaps <occursSince> or <occursUntil> "YYYY-##-##", with tabs'
                    yield Record(where, DataError(f"{where} is {line.strip()[:80]!r}: expected {form} between"))
                    continue
                row = dict(zip(("head", "relation", "tail"), found.groups(), strict=False))
                if found[4]:
                    row |= {"bound": found[4], "date": "-".join(found.group(5, 6, 7))}
                yield Record(where, row)
    except UnicodeDecodeError as error:
        raise BrokenFile(f"{path} is not UTF-8 ({error.reason} near byte {error.start}); get the file again") from None
    except OSError as error:
        raise BrokenFile(f"{path} cannot be read ({error.strerror}); get the file again") from None


def _add_row(row: Fields, spans: defaultdict[Triple, list[_Span]]) -> None:
    """Opens a window of the row's triple, or closes the last one that is open."""
    for name in ("head", "relation", "tail"):
        if not _spoken(row.row[name]):
            raise row.error(name, "a name", row.row[name])
    named = _unit(row) if "date" in row.row else None
    windows = spans[row.row["head"], row.row["relation"], row.row["tail"]]
    if named is None:
        windows.append(_Span())
    elif row.row["bound"] == "occursSince":
        windows.append(_Span(start=named.start, start_unit=named.start_unit))
    else:
        begun = [span for span in windows if span.start is not None and span.end is None]
        if not begun:
            begun = [_Span()]
            windows += begun
        begun[-1].end, begun[-1].end_unit = named.end, named.end_unit


def _unit(row: Fields) -> Window:
    """The year, month or day that a row's date names."""
    year, month, of_month = row.row["date"].split("-")
    try:
        if int(year) < 1:  # "0000": YAGO counts as people do
            raise DataError(f"there is no year {year}: expected 0001 to 9999")
        if month == "##":
            whole, unit = year_window(int(year)), "year"
        elif of_month == "##":
            whole, unit = month_window(int(year), int(month)), "month"
        else:
            first = day(f"{int(year):04}-{month}-{of_month}")
            whole, unit = Window(first, first + 1), "day"
    except DataError as error:
        raise DataError(f"{row.where}: {error}") from None
    return replace(whole, start_unit=unit, end_unit=None if whole.end is None else unit)


def _fact(triple: Triple, span: _Span, conversion: Conversion) -> FiveTuple:
    head, relation, tail = triple
    window = UNKNOWN
    if span.start is not None and span.end is not None and span.end <= span.start:
        conversion.count("windows reversed (left out, the fact is kept)")
    elif (span.start, span.end) != (None, None):
        window = Window(span.start, span.end, NAME, span.start_unit, span.end_unit)
    words = _spoken(re.sub(r"(?<=[a-z])(?=[A-Z])", " ", relation)).lower()
    return FiveTuple(_entity(head), Relation(relation, words), _entity(tail), Context(NAME), window)


def _entity(name: str) -> Entity:
    return Entity(name, _spoken(name))


def _spoken(name: str) -> str:
    return name.replace("_", " ").strip()


def _temporal(groups: Iterable[Facts], rng: random.Random) -> Iterator[_Asked]:
    """For each dated fact a year in which its tail is the only one that holds, where there is one."""
    for facts in groups:
        for fact in facts.values():
            holding = {year: _holding(facts, year_window(year)) for year in _years(fact.window)}
            alone = [year for year, ids in holding.items() if {facts[number].tail for number in ids} == {fact.tail}]
            if alone:
                year = rng.choice(alone)
                yield _Asked(fact, holding[year], year)


def _holding(facts: Facts, time: Window) -> list[int]:
    return [number for number, fact in facts.items() if fact.window.overlaps(time)]


def _years(window: Window) -> Sequence[int]:
    """The years that a window is asked about."""
    first = None if window.start is None else int(iso(window.start)[:4])
    last = None if window.end is None else int(iso(window.end - 1)[:4])
    if first is None:
        return () if last is None else range(max(last - OPEN_YEARS, 1), last + 1)
    return range(first, min(first + OPEN_YEARS, LAST_YEAR) + 1 if last is None else last + 1)


def _tails(groups: Iterable[Facts]) -> Iterator[_Asked]:
    """Each head and relation that have one tail in the whole base."""
    for facts in groups:
        if len({fact.tail for fact in facts.values()}) == 1:
            yield _Asked(next(iter(facts.values())), list(facts), None)


def _ask(kind: str, asked: Iterable[_Asked], rng: random.Random, conversion: Conversion) -> None:
    """Adds at most `QUESTIONS` questions, drawn at random from all that can be asked."""
    drawn = list(asked)
    rng.shuffle(drawn)
    written = 0
    for each in drawn:
        when = "" if each.year is None else f" in {each.year}"
        wordings = [text for text in WORDINGS.get(str(each.fact.relation.id), ()) if not when or "{when}" in text]
        if not wordings:
            conversion.skip(f"{kind} question: no wording for the relation")
        elif written == QUESTIONS:
            conversion.skip(f"{kind} question: more than {QUESTIONS}")
        else:
            text = rng.choice(wordings).format(head=each.fact.head.name, when=when)
            written += conversion.add_question("test", _question(kind, text, each))


def _question(kind: str, text: str, asked: _Asked) -> Question:
    return Question(
        qid=f"{NAME}-{digest(text)}",
        dataset=NAME,
        question=text,
        answer=asked.fact.tail.name,
        aliases=(),
        type="single-hop" if asked.year is None else "temporal",
        supporting_facts=tuple(asked.support),
        question_time=None if asked.year is None else year_window(asked.year, "question_text"),
        kind=kind,
    )
