"""TimeQA (Chen et al. 2021): pages whose spans are annotated with windows, and questions at two levels of difficulty.

A question of `human_annotated_*` asks for the very window of its fact (*easy*), one of `*.hard` for a part of it.  A
span's window is that of `annotated_*`, or where only the question is there, the one that the question names.

All times have the precision of a month: the dataset prints 1 January as a bare year, so "2005" is January 2005, and a
window holds the month of its end.  Consecutive windows mostly touch and so share one month.  (Counted on the rows that
were at hand, this rule makes the right fact lead in more questions than whole years or exclusive ends; docs/log.md.)
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from kblampp.converters.conversion import Conversion, disambiguation
from kblampp.converters.reading import find_files, read_json_object
from kblampp.converters.timeqa_templates import Group, template_questions
from kblampp.core.errors import DataError
from kblampp.data.facts import Context, Entity, FiveTuple, Question, Relation
from kblampp.data.jsonl import Fields
from kblampp.data.windows import MONTHS, UNKNOWN, Window, iso, month_window

NAME = "timeqa"
SOURCE = "timeqa_annotation"
LEVELS = {"test": {"easy": "test", "hard": "test_hard"}}
"""Questions about test pages stand in a split of their own for each level."""
_MONTHS = [month[:3].lower() for month in MONTHS]
_TIME = r"(?:([A-Za-z]{3,9})\.? )?(\d{1,4})"
_RANGE = re.compile(rf"\b{_TIME} ?(?:to|and|until|-) ?{_TIME}\b")
_SENTENCE_END = re.compile(r"(?<! [A-Z])(?<!^[A-Z]) [.!?] ")


@dataclass(frozen=True)
class Property:
    """An entry of `relations.json`: what the relation means in words, and the templates of its questions."""

    meaning: str
    templates: tuple[str, ...]


@dataclass(frozen=True)
class Span:
    """An answer where it stands: its text and the sentence around it."""

    text: str
    sentence: str


@dataclass(frozen=True)
class Annotated:
    """What the annotation of a page says about one of its questions.

    Attributes:
        facts: Ids of the facts that answer it; several are alternatives.
        answers: Their tails.
    """

    facts: tuple[int, ...]
    answers: tuple[str, ...]


NO_ANSWER = Annotated((), ())


class Pages:
    """The pages and questions seen so far, so that `*.easy` and `*.hard` find their facts by `idx`."""

    def __init__(self, conversion: Conversion, relations: Mapping[str, Property]) -> None:
        self.conversion, self.relations = conversion, relations
        self.annotated: dict[str, Annotated] = {}
        self.known: set[str] = set()

    def document(self, row: Fields) -> None:
        """A page of `annotated_*` or `human_annotated_*`: its facts, and its questions if they are worded.

        Raises:
            DataError: A field is missing or mistyped, or a span does not stand where it should.
        """
        index, link, kind = row.name("index"), row.name("link"), row.name("type")
        if kind not in self.relations:
            raise row.error("type", "a relation of relations.json", kind)
        if index != f"{link}#{kind}":  # a line's split is that of the link in its `idx`
            raise row.error("index", f"link and type, {link}#{kind}", index)
        paras = row.items("paras", str, "a list of paragraphs")
        questions = [_question(row, number) for number in range(len(row.items("questions", list, "a list of lists")))]
        spans = [[_span(row, paras, answer) for answer in answers] for _, answers in questions]
        split, groups = self.conversion.split_of(link), []
        self.known.add(index)
        for number, (given, _) in enumerate(questions):
            found = [span for span in spans[number] if span is not None]
            self.conversion.count("answer spans", len(found))
            window = self._window(given)
            if self._add(f"{index}#{number}", split, self._facts(row, paras, window, found), found):
                groups.append(Group(f"{index}#{number}", window, not found))
            if isinstance(given, str):
                self._ask(f"{index}#{number}", given, split, "easy")
        if split == "train" and self.conversion.options.template_questions:
            for made in template_questions(_page_name(link), self.relations[kind].templates, groups):
                gold = self.annotated[made.idx] if made.answerable else NO_ANSWER
                self.conversion.count("template questions", self._put(made.qid, made.question, split, gold))

    def question(self, level: str, row: Fields) -> None:
        """A line of `*.easy` or `*.hard`, joined to its page's facts by `idx`.

        Raises:
            DataError: A field is missing or mistyped.
        """
        idx, text = row.name("idx"), row.name("question")
        targets = row.items("targets", str, 'a list of answers, [""] for none')
        if not targets:
            raise row.error("targets", 'a list of answers, [""] for none', targets)
        page = idx.rpartition("#")[0]
        split = self.conversion.split_of(page.rpartition("#")[0])
        answers = tuple(dict.fromkeys(target for target in targets if target))
        gold = self.annotated.get(idx)
        if page not in self.known or (answers and (gold is None or not gold.facts)):
            self.conversion.skip("question of a page without annotation")
        elif answers and gold is not None and not set(answers) <= set(gold.answers):
            self.conversion.skip("targets differ from the annotated answers")
        else:
            self._ask(idx, text, split, level, answerable=bool(answers))

    def _add(self, idx: str, split: str, facts: Sequence[FiveTuple], spans: Sequence[Span]) -> bool:
        """Adds the facts of a question, unless another file has brought them; whether it did."""
        if idx in self.annotated:
            self.conversion.count("questions annotated twice")
            return False
        ids = tuple(dict.fromkeys(self.conversion.add_fact(fact, split) for fact in facts))
        self.annotated[idx] = Annotated(ids, tuple(dict.fromkeys(span.text for span in spans)))
        return True

    def _facts(self, row: Fields, paras: Sequence[str], window: Window, spans: Sequence[Span]) -> list[FiveTuple]:
        link, kind = row.name("link"), row.name("type")
        title = paras[0] if paras else _page_name(link)
        disamb, ver = disambiguation(_page_name(link)), {"url": None, "page": link}
        return [
            FiveTuple(
                Entity(link, _page_name(link)),
                Relation(kind, self.relations[kind].meaning),
                Entity(None, span.text),
                Context(NAME, title, span.sentence, disamb, ver),
                window,
            )
            for span in spans
        ]

    def _window(self, given: str | tuple[str, str]) -> Window:
        """The window that annotation or question names; unknown, and counted, if it makes no sense."""
        if isinstance(given, tuple):
            found = named_window(*given)
        else:
            found = worded_window(given, self.conversion.time_of(given))
        self.conversion.count("windows parsed" if found else "windows not parsed or reversed")
        return found or UNKNOWN

    def _ask(self, idx: str, text: str, split: str, level: str, *, answerable: bool = True) -> None:
        gold = self.annotated.get(idx, NO_ANSWER) if answerable else NO_ANSWER
        if self._put(f"{idx}/{level}", text, LEVELS.get(split, {}).get(level, split), gold):
            self.conversion.count("questions without an answer", not gold.facts)
            parsed = self.conversion.time_of(text) is not None
            self.conversion.count(f"question times {'parsed' if parsed else 'not parsed'} ({level})")

    def _put(self, qid: str, text: str, split: str, gold: Annotated) -> bool:
        answer, *aliases = gold.answers or ("",)
        kind = "temporal" if gold.facts else "unanswerable"
        time = self.conversion.time_of(text)
        return self.conversion.add_question(
            split, Question(qid, NAME, text, answer, tuple(aliases), kind, gold.facts, question_time=time, kind=kind)
        )


def convert(raw: Path, conversion: Conversion) -> None:
    """Reads every page, then every question line, of the files in `raw`.

    Raises:
        DataError: A file is missing, or a row is malformed (unless `skip_bad`).
    """
    documents = find_files(raw, ["annotated_*", "human_annotated*"], what="annotated pages of TimeQA")
    pages = Pages(conversion, _relations(raw / "relations.json"))
    for path in documents:
        for row in conversion.rows(path):
            conversion.attempt(pages.document, row)
    for level in ("easy", "hard"):
        for path in sorted(raw.glob(f"*.{level}.*"), key=lambda path: path.name):
            for row in conversion.rows(path):
                conversion.attempt(partial(pages.question, level), row)


def _relations(path: Path) -> dict[str, Property]:
    """The relations of the dataset, each checked.

    Raises:
        DataError: The file is missing, is no JSON object, or an entry has another shape.
    """
    relations = {}
    for name, entry in read_json_object(path).items():
        fields = entry if isinstance(entry, dict) else {}
        meaning, templates = fields.get("meaning"), fields.get("template", [])
        if not (isinstance(meaning, str) and meaning.strip() and isinstance(templates, list)) or not all(
            isinstance(template, str) for template in templates
        ):
            raise DataError(
                f"{path}: relation {name!r} is not an object with meaning (a text that is not blank) and template (a "
                f"list of texts); {path.parent / 'README.md'} says where to get the file"
            )
        relations[name] = Property(meaning, tuple(templates))
    return relations


def named_window(start: str, end: str) -> Window | None:
    """The window from one time to another, such as "Apr 1935" and "1937"; None if reversed or no time."""
    first, last = _month_of(start), _month_of(end)
    if first is None or last is None or last < first:
        return None
    return Window(month_window(*first).start, month_window(*last).end, SOURCE)


def worded_window(question: str, parsed: Window | None) -> Window | None:
    """The window that a question names, read as the annotation where it has both ends; None if there is none.

    A question with one time alone ("in 1804") holds the whole of it.

    Args:
        question: The question.
        parsed: The time that it names.
    """
    if parsed is None:
        return None
    for ends in _RANGE.finditer(question):
        first, last = (" ".join(part for part in pair if part) for pair in (ends.groups()[:2], ends.groups()[2:]))
        found = named_window(first, last)
        if found is not None and _begin_and_end_alike(found, parsed):  # else it is a score, or numbers of another kind
            return found
    return Window(parsed.start, parsed.end, SOURCE)


def _begin_and_end_alike(window: Window, parsed: Window) -> bool:
    """Whether two windows begin in the same month and end in the same year."""
    bounds = (window.start, window.end, parsed.start, parsed.end)
    if None in bounds:
        return False
    start, end, parsed_start, parsed_end = (iso(bound - (place % 2)) for place, bound in enumerate(bounds) if bound)
    return start[:7] == parsed_start[:7] and end[:4] == parsed_end[:4]


def _month_of(text: str) -> tuple[int, int] | None:
    """Year and month; a bare year is its January."""
    match = re.fullmatch(_TIME, text.strip())
    if match is None or not 1 <= int(match[2]) <= 9998:
        return None
    name = (match[1] or "jan").lower()[:3]
    # A word before the year that is no month ("season 2004") belongs to the sentence.
    return int(match[2]), _MONTHS.index(name) + 1 if name in _MONTHS else 1


def _page_name(link: str) -> str:
    return link.removeprefix("/wiki/").replace("_", " ")


def _question(row: Fields, number: int) -> tuple[str | tuple[str, str], list[Fields]]:
    """Question text or [start, end], and the answers."""
    where = f"questions[{number}]"
    pair = row.row["questions"][number]
    if len(pair) != 2 or not isinstance(pair[1], list) or not all(isinstance(answer, dict) for answer in pair[1]):
        raise row.error(where, "[question or [start, end], [answer, ...]]", pair)
    given, answers = pair
    if isinstance(given, list) and len(given) == 2 and all(isinstance(end, str) for end in given):
        given = (given[0], given[1])
    elif not isinstance(given, str) or not given.strip():
        raise row.error(where, "a question, or [start, end] as texts", given)
    return given, [Fields(answer, row.where, f"{where}.") for answer in answers]


def _span(row: Fields, paras: Sequence[str], answer: Fields) -> Span | None:
    """The answer with its sentence; None for the empty answer of a question that has none.

    Raises:
        DataError: The text does not stand at the place that is given.
    """
    text = answer.text("answer")
    if not text.strip():
        return None
    para, start, end = (answer.whole(name) for name in ("para", "from", "end"))
    if para >= len(paras) or paras[para][start:end] != text:
        found = paras[para][start:end] if para < len(paras) else "no such paragraph"
        raise row.error(answer.prefix + "answer", f"the text at paras[{para}][{start}:{end}], {found!r}", text)
    return Span(text, sentence_around(paras[para], start, end))


def sentence_around(paragraph: str, start: int, end: int) -> str:
    """The sentence, or sentences, of tokenised text that hold `paragraph[start:end]`.

    Sentences end in " . " but not after a single capital ("D . Baker").
    """
    cuts = [0, *(match.end() for match in _SENTENCE_END.finditer(paragraph)), len(paragraph)]
    first = max(cut for cut in cuts if cut <= start)
    return paragraph[first : min(cut for cut in cuts if cut >= end)].strip()
