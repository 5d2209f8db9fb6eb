"""Facts and questions, and their JSONL files.

A line of a facts file is one five-tuple; its number, from 0, is the fact's id. Readers check every
field and stop at the first problem, naming file, line (from 1), field, what was expected and found.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kblampp.core.errors import DataError
from kblampp.core.files import write_jsonl
from kblampp.data.jsonl import Fields, read_rows, wrong_field
from kblampp.data.windows import UNKNOWN, Window

QUESTION_TYPES = ("single-hop", "multi-hop", "temporal", "unanswerable")
REASONS = ("unknown_head", "missing_relation", "wrong_time")
UNANSWERABLE = "unanswerable"
KINDS = (
    "tail",
    "temporal",
    "current",
    "first_last",
    "before_after",
    "when",
    "inverse",
    "yes_no",
    "list",
    "count",
    "two_hop",
    UNANSWERABLE,
)
"""What people ask, finer than QUESTION_TYPES."""
UNKNOWN_ANSWER = "unknown"
FORMS = ("value", "start", "end", "count", "list", "yes_no")
"""What a question wants of the facts that answer it: a name, a day, how many they are, all of them, or yes or no."""
MODES = ("any", "now", "first", "last", "before", "after")
"""Which fact of a row in time it asks about, beside the time that it names; `before` and `after` whom it names."""
MOST_HOPS = 3
"""Most facts in a row that a training question may need."""


@dataclass(frozen=True, slots=True)
class Entity:
    """A head or tail: its id and type are None where the data has none."""

    id: str | None
    name: str
    type: str | None = None


@dataclass(frozen=True, slots=True)
class Relation:
    """A relation: its id is None where the data has none."""

    id: str | None
    name: str


@dataclass(frozen=True, slots=True)
class Context:
    """Where a fact is stated.

    Attributes:
        source: data set or world that the fact comes from.
        page_title: page of the sentence, "" if none is known.
        sent_span: sentence that states the fact, "" if none is known.
        disamb: free-form hints that tell homonyms apart.
        ver: free-form version of the page, such as its address and revision.
    """

    source: str
    page_title: str = ""
    sent_span: str = ""
    disamb: Mapping[str, Any] = field(default_factory=dict, hash=False)
    ver: Mapping[str, Any] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class FiveTuple:
    """One fact: head, relation, tail, the sentence that states it and when it holds."""

    head: Entity
    relation: Relation
    tail: Entity
    context: Context
    window: Window = UNKNOWN

    def to_row(self) -> dict[str, Any]:
        """Returns the JSON form, as in a facts file."""
        return {
            "head": {"id": self.head.id, "name": self.head.name, "type": self.head.type},
            "relation": {"id": self.relation.id, "name": self.relation.name},
            "tail": {"id": self.tail.id, "name": self.tail.name, "type": self.tail.type},
            "context": {
                "source": self.context.source,
                "page_title": self.context.page_title,
                "sent_span": self.context.sent_span,
                "disamb": dict(self.context.disamb),
                "ver": dict(self.context.ver),
            },
            "time_window": self.window.to_row(),
        }

    @classmethod
    def from_row(cls, row: Mapping[str, Any], where: str = "fact") -> FiveTuple:
        """Reads the JSON form; `where` names the row in errors.

        Raises:
            DataError: if a field is missing or mistyped, or the window's end not after its start.
        """
        fields = Fields(row, where)
        relation = fields.object("relation")
        window = row.get("time_window")
        if window is not None or "time_window" not in row:  # null means unknown, like three nulls
            fields.object("time_window")
        return cls(
            head=_entity(fields.object("head")),
            relation=Relation(relation.text_or_none("id"), relation.name("name")),
            tail=_entity(fields.object("tail")),
            context=_context(fields.object("context")),
            window=UNKNOWN if window is None else Window.from_row(window, f"{where}: field 'time_window'"),
        )


@dataclass(frozen=True, slots=True)
class Question:
    """One question with its answer.

    Attributes:
        qid: unique id of the question.
        dataset: data set or world that it belongs to.
        question: the text asked.
        answer: expected answer, "" if and only if the type is "unanswerable".
        aliases: other answers that count as right.
        type: one of QUESTION_TYPES.
        supporting_facts: fact ids in reasoning order, one a hop, if the type is "multi-hop"; else facts each of which
            answers the question by itself.
        question_time: window asked about, None if there is none; an unknown window becomes None.
        reason: for an unanswerable question one of REASONS, or None if the data does not say.
        program: how a synthetic question was made, free-form.
        kind: one of KINDS, or None if the data does not say.

    Raises:
        DataError: if type, kind, reason, answer and facts contradict each other.
    """

    qid: str
    dataset: str
    question: str
    answer: str
    aliases: tuple[str, ...]
    type: str
    supporting_facts: tuple[int, ...]
    question_time: Window | None = None
    reason: str | None = None
    program: Mapping[str, Any] | None = field(default=None, hash=False)
    kind: str | None = None

    def __post_init__(self) -> None:
        if self.question_time is not None and not self.question_time.known:
            object.__setattr__(self, "question_time", None)
        unanswerable = self.type == UNANSWERABLE
        checks = (
            ("type", self.type in QUESTION_TYPES, f"one of {', '.join(QUESTION_TYPES)}"),
            ("answer", bool(self.answer.strip()) or unanswerable, f"an answer, since the type is {self.type}"),
            ("answer", not (self.answer and unanswerable), "an empty string, since the type is unanswerable"),
            (
                "supporting_facts",
                not (self.supporting_facts and unanswerable),
                "an empty list, since the type is unanswerable",
            ),
            ("reason", self.reason is None or unanswerable, f"null, since the type is {self.type}"),
            ("reason", self.reason in (None, *REASONS), f"one of {', '.join(REASONS)} or null"),
            ("kind", self.kind in (None, *KINDS), f"one of {', '.join(KINDS)} or null"),
            (
                "kind",
                self.kind is None or (self.kind == UNANSWERABLE) == unanswerable,
                f"{UNANSWERABLE} if and only if the type is, which is {self.type}",
            ),
        )
        for name, holds, expected in checks:
            if not holds:
                raise wrong_field(f"question {self.qid!r}", name, expected, getattr(self, name))

    @property
    def form(self) -> str:
        """One of FORMS, as its program says; "value" without a program."""
        return str((self.program or {}).get("form", "value"))

    @property
    def mode(self) -> str:
        """One of MODES, as its program says; "any" without a program."""
        return str((self.program or {}).get("mode", "any"))

    @property
    def inverse(self) -> bool:
        """Whether it names the tail and asks for the head, as its program says."""
        return bool((self.program or {}).get("inverse", False))

    @property
    def hops(self) -> tuple[tuple[int, ...], ...]:
        """For each hop the facts that do for it, in reasoning order; () for a question without support."""
        if self.type == "multi-hop":
            return tuple((number,) for number in self.supporting_facts)
        return (self.supporting_facts,) if self.supporting_facts else ()

    def to_row(self) -> dict[str, Any]:
        """Returns the JSON form; `reason`, `program` and `kind` only if there are any."""
        row: dict[str, Any] = {
            "qid": self.qid,
            "dataset": self.dataset,
            "question": self.question,
            "answer": self.answer,
            "aliases": list(self.aliases),
            "type": self.type,
            "supporting_facts": list(self.supporting_facts),
            "question_time": None if self.question_time is None else self.question_time.to_row(),
        }
        if row["question_time"] is not None and row["question_time"]["source"] is None:
            del row["question_time"]["source"]
        if self.reason is not None:
            row["reason"] = self.reason
        if self.program is not None:
            row["program"] = dict(self.program)
        if self.kind is not None:
            row["kind"] = self.kind
        return row

    @classmethod
    def from_row(cls, row: Mapping[str, Any], where: str = "question") -> Question:
        """Reads the JSON form, ignoring unknown fields; `where` names the row in errors.

        Raises:
            DataError: if a field is missing, of the wrong type, or contradicts another.
        """
        fields = Fields(row, where)
        time = row.get("question_time")
        window = None if time is None else Window.from_row(time, f"{where}: field 'question_time'")
        ids = fields.items("supporting_facts", int, "a list of line numbers from 0")
        program = None if row.get("program") is None else dict(fields.object("program").row)
        try:
            return cls(
                qid=fields.name("qid"),
                dataset=fields.name("dataset"),
                question=fields.name("question"),
                answer=fields.text("answer"),
                aliases=tuple(fields.items("aliases", str, "a list of strings")),
                type=fields.name("type"),
                supporting_facts=tuple(ids),
                question_time=window,
                reason=fields.text_or_none("reason"),
                program=program,
                kind=fields.text_or_none("kind"),
            )
        except DataError as error:
            raise DataError(f"{where}: {error}") from None


def evidence_sentence(fact: FiveTuple) -> str:
    """The fact's evidence sentence; where it has none, its head, relation and tail in a row."""
    return fact.context.sent_span or f"{fact.head.name} {fact.relation.name} {fact.tail.name}"


def key_phrase(fact: FiveTuple) -> str:
    """Relation and head in one phrase, "keeper of Kvitnes Lighthouse": what a question for the tail is about."""
    return f"{fact.relation.name} of {fact.head.name}"


def read_facts(path: Path) -> list[FiveTuple]:
    """Reads a facts file.

    Raises:
        DataError: if the file is missing, empty, or a line is not a fact.
    """
    return list(iterate_facts(path))


def iterate_facts(path: Path, start: int = 0) -> Iterator[FiveTuple]:
    """Reads a facts file from the fact of number `start` on, one fact in memory at a time.

    Raises:
        DataError: as `read_facts`, when it comes to the line.
    """
    return (FiveTuple.from_row(row, where) for where, row in read_rows(path, start))


def read_questions(path: Path, n_facts: int | None = None) -> list[Question]:
    """Reads a questions file.

    Args:
        path: the file.
        n_facts: number of facts in the questions' KB; None skips the check of `supporting_facts`.

    Raises:
        DataError: if the file is missing or empty, a line is not a question, an id occurs twice, or
            a supporting fact is not in the KB.
    """
    questions: list[Question] = []
    seen: dict[str, str] = {}
    for where, row in read_rows(path):
        question = Question.from_row(row, where)
        if question.qid in seen:
            raise wrong_field(
                where,
                "qid",
                f"an id not used before, but {seen[question.qid]} has it",
                question.qid,
            )
        seen[question.qid] = where
        for fact in question.supporting_facts:
            if n_facts is not None and fact >= n_facts:
                raise wrong_field(
                    where,
                    "supporting_facts",
                    f"ids below {n_facts}, the number of facts in the KB",
                    fact,
                )
        questions.append(question)
    return questions


def write_facts(path: Path, facts: Iterable[FiveTuple]) -> None:
    """Writes a facts file atomically, one fact a line."""
    write_jsonl(path, (fact.to_row() for fact in facts))


def _entity(fields: Fields) -> Entity:
    return Entity(fields.text_or_none("id"), fields.name("name"), fields.text_or_none("type"))


def _context(fields: Fields) -> Context:
    free = {name: {} if fields.row.get(name) is None else dict(fields.object(name).row) for name in ("disamb", "ver")}
    return Context(
        source=fields.name("source"),
        page_title=fields.text_or_none("page_title") or "",
        sent_span=fields.text_or_none("sent_span") or "",
        disamb=free["disamb"],
        ver=free["ver"],
    )
