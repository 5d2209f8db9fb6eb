"""What comes back: the answer, what each part of it was copied from, and the facts that were weighed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from kblampp.core.params import AnswerStyle
from kblampp.data.facts import FiveTuple
from kblampp.data.windows import Window, iso
from kblampp.encoding.growing import Readable
from kblampp.model.answers import SEPARATOR, Source
from kblampp.model.predictor import Prediction
from kblampp.sentences.pieces import Piece, runs_of, text_of
from kblampp.tables.writing import aligned, as_row, inclusive, line_of, span
from kblampp.time_expressions.parse import TimeReading

DIGITS = 5
WIDEST = 32
"""Characters of a name that the table for people shows."""


@dataclass(frozen=True)
class Part:
    """A part of an answer.

    Attributes:
        text: The part.
        sources: What it was copied from: facts, and which field of each (`answers.Source`); none where the language
            model wrote it.
    """

    text: str
    sources: tuple[Source, ...]


@dataclass(frozen=True)
class Weighed:
    """A fact and its weight in a layer."""

    fact: int
    alpha: float


@dataclass(frozen=True)
class Reply:
    """What the model said to one question.

    Attributes:
        question: The question.
        answer: The answer; "unknown" or nothing where it refuses.
        parts: Of the answer; an answer that is a list has one an item, a refusal none.
        own_words: Whether the language model wrote it, so that it was copied from nothing.
        time: The window that was read from the question's words; None if it names no time.
        problem: What was not understood of the time that it names; None if nothing.
        layers: The heaviest facts of each injected layer, by falling weight.
        null: Weight of the null fact in the last layer; None with knowledge off.
        facts: What the facts of `parts` and `layers` say, by their ids, the heaviest of the last layer first.
        today: The day of asking, which "now" means, as a day number.
        version: The state of the base that was asked; None for one that does not change.
        style: What was asked for, "short" or "sentence".
        sentence: The sentence around the answer; none where only the short answer is asked for, where the language
            model wrote it, or where the question's words give no sentence.
    """

    question: str
    answer: str
    parts: tuple[Part, ...]
    own_words: bool
    time: Window | None
    problem: str | None
    layers: tuple[tuple[Weighed, ...], ...]
    null: float | None
    facts: dict[int, FiveTuple]
    today: int
    version: int | None = None
    style: AnswerStyle = "short"
    sentence: tuple[Piece, ...] = ()

    @property
    def text(self) -> str:
        """What people read: the sentence, or the short answer where there is none."""
        return text_of(self.sentence) if self.sentence else self.answer

    @property
    def refused(self) -> bool:
        """Whether the base does not say, as the model sees it."""
        return not self.parts

    @property
    def sources(self) -> list[Source]:
        """What all parts were copied from, in their order."""
        return [source for part in self.parts for source in part.sources]

    def to_json(self) -> dict[str, Any]:
        """As the server and `--json` give it."""
        last = {weighed.fact: weighed.alpha for weighed in self.layers[-1]} if self.layers else {}
        return {
            "question": self.question,
            "answer": self.answer,
            "refused": self.refused,
            "own_words": self.own_words,
            "parts": [{"text": part.text, "sources": _sources_json(part.sources)} for part in self.parts],
            "time": None if self.time is None else inclusive(self.time),
            "problem": self.problem,
            "null": None if self.null is None else round(self.null, DIGITS),
            "facts": [
                {"id": fact, **as_row(content), "alpha": round(last.get(fact, 0.0), DIGITS)}
                for fact, content in self.facts.items()
            ],
            "layers": [
                [{"fact": weighed.fact, "alpha": round(weighed.alpha, DIGITS)} for weighed in layer]
                for layer in self.layers
            ],
            "today": iso(self.today),
            "version": self.version,
            "style": self.style,
            "sentence": {"text": self.text, "pieces": [_piece_json(run) for run in runs_of(self.sentence)]}
            if self.sentence
            else None,
        }


def _sources_json(sources: Sequence[Source]) -> list[dict[str, Any]]:
    return [{"fact": each.fact, "field": each.field} for each in sources]


def _piece_json(run: Piece) -> dict[str, Any]:
    return {"text": run.text, "from": run.origin, "sources": _sources_json(run.sources)}


def make_reply(
    question: str,
    time: TimeReading,
    said: Prediction,
    facts: Sequence[FiveTuple],
    ids: Readable,
    *,
    top: int,
    today: int,
    version: int | None,
) -> Reply:
    """A reply from a prediction.

    Args:
        question: As it was asked.
        time: What was read from it.
        said: What the model said.
        facts: Of the base that was asked, by their rows.
        ids: What the facts are called, by their rows.
        top: Most facts of a layer that are shown.
        today: The day of asking.
        version: Of the base.
    """
    parts = _parts(said, facts)
    layers = [_once(rows, weights)[:top] for rows, weights in zip(said.ranked, said.alpha, strict=True)]
    last = layers[-1] if layers else []

    def named(source: Source) -> Source:
        return Source(int(ids[source.fact]), source.field)

    cited = [source.fact for part in parts for source in part.sources]
    earlier = [row for layer in layers[:-1] for row, _ in layer]
    shown = dict.fromkeys([*(row for row, _ in last), *cited, *earlier])
    return Reply(
        question=question,
        answer=said.text,
        parts=tuple(Part(part.text, tuple(map(named, part.sources))) for part in parts),
        own_words=said.sources is None,
        time=time.window,
        problem=time.problem,
        layers=tuple(tuple(Weighed(int(ids[row]), alpha) for row, alpha in layer) for layer in layers),
        null=said.null,
        facts={int(ids[row]): facts[row] for row in shown},
        today=today,
        version=version,
    )


def _parts(said: Prediction, facts: Sequence[FiveTuple]) -> list[Part]:
    """The answer, cut where it goes from one source to the next; `Source.fact` is a row."""
    if said.sources is None:
        return [Part(said.text, ())] if said.text else []
    if not said.sources:
        return []
    texts = [_copied(facts[source.fact], source.field) for source in said.sources]
    if SEPARATOR.join(texts) == said.text:
        return [Part(text, (source,)) for text, source in zip(texts, said.sources, strict=True)]
    return [Part(said.text, tuple(said.sources))]


def _copied(fact: FiveTuple, field: str) -> str:
    if field in ("start", "end"):
        return fact.window.in_words(field) or ""
    return {"head": fact.head.name, "tail": fact.tail.name}.get(field, "")


def _once(rows: Sequence[int], weights: Sequence[float]) -> list[tuple[int, float]]:
    """The facts of a layer, each once with all its weight, by falling weight: one may be read from both ends."""
    found: dict[int, float] = {}
    for row, weight in zip(rows, weights, strict=True):
        if row >= 0:
            found[row] = found.get(row, 0.0) + weight
    return sorted(found.items(), key=lambda item: -item[1])


def as_text(reply: Reply) -> Iterator[str]:
    """The lines of a reply, for people."""
    yield f"question: {line_of(reply.question)}"
    yield f"answer:   {line_of(reply.answer) or '(nothing)'}"
    if reply.style == "sentence":
        yield f"sentence: {line_of(text_of(reply.sentence)) or '(none: the short answer stands)'}"
    yield f"from:     {line_of(_from(reply))}"
    yield f"time:     {span(reply.time) if reply.time else reply.problem or 'none named'}"
    if reply.null is None:
        yield "facts:    none were weighed"
        return
    rows: list[tuple[str, ...]] = [("weight", "head", "relation", "tail", "holds")]
    for weighed in reply.layers[-1]:
        fact = reply.facts[weighed.fact]
        names = (_cut(name) for name in (fact.head.name, fact.relation.name, fact.tail.name))
        rows.append((f"{weighed.alpha:.3f}", *names, span(fact.window)))
    rows.append((f"{reply.null:.3f}", "(null fact: no answer here)", "", "", ""))
    yield from aligned(rows)


def _from(reply: Reply) -> str:
    """Where the answer was copied from, in words."""
    if reply.own_words:
        return "the language model's own words"
    named = []
    for source in reply.sources:
        fact = reply.facts[source.fact]
        triple = f"({fact.head.name}, {fact.relation.name}, {fact.tail.name})"
        named.append(triple if source.field == "fact" else f"{source.field} of {triple}")
    return "; ".join(named) or "nothing: the base does not say"


def _cut(text: str) -> str:
    return text if len(text) <= WIDEST else text[: WIDEST - 1] + "…"
