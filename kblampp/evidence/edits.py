"""A knowledge base is edited, encoded and searched again with no training, and the answers must follow the edit."""

from __future__ import annotations

import random
import re
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kblampp.data.facts import Context, Entity, FiveTuple, Question
from kblampp.data.windows import Window, iso, year_window
from kblampp.encoding.encoders import Encoders
from kblampp.encoding.projections import Projections
from kblampp.encoding.store import KBValueStore
from kblampp.evaluation.metrics import exact_match, is_correct, normalize_answer
from kblampp.evaluation.questions import with_times
from kblampp.index.knowledge_index import KnowledgeIndex
from kblampp.model.inputs import EncodedQuestions, StoredBase
from kblampp.model.predictor import Predictor
from kblampp.time_expressions.parse import parse_question_time, without_time

EDITED = "edited"
FIRST_YEAR = 1000  # years of four digits, so that a question's words name them without doubt
_TIME = re.compile(
    r"\b(?:in|as of|on|by|during|before|after|since|until|between|from)"
    r"(?: [A-Z][a-z]+)? [0-9]{4}(?: (?:and|to|until)(?: [A-Z][a-z]+)? [0-9]{4})?\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Edited:
    """A base after an edit, and questions whose answer the edit has changed.

    Attributes:
        facts: The edited base; facts that are new stand after the others.
        questions: What to ask; their answers are those after the edit.
        former: The answers before the edit, a list for each question.
        places: Where the questions stand in the list that the edit was made from; empty if they are newly written.
    """

    facts: list[FiveTuple]
    questions: list[Question]
    former: list[list[str]]
    places: list[int]


@dataclass(frozen=True)
class Editor:
    """What makes a base out of facts: the encoder, the projections and the index options of the pipeline.

    Attributes:
        encoders: Make the vectors; texts that they have seen cost nothing.
        projections: The fitted maps.
        dtype: Type of the store's arrays.
        index: Options of `KnowledgeIndex.build`.
        device: Where the model computes.
    """

    encoders: Encoders
    projections: Projections
    dtype: str
    index: Mapping[str, Any]
    device: str = "cpu"

    @contextmanager
    def base(self, facts: Sequence[FiveTuple], questions: Sequence[Question]) -> Iterator[StoredBase]:
        """Encodes facts and questions (split `EDITED`) to a base that lives as long as the block.

        Raises:
            StoreError: The encoder is not the one of the projections.
        """
        # Windows does not remove files that are still mapped into memory, as the base's keys are.
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
            folder = Path(name)
            store = KBValueStore.build(
                folder / "kb",
                facts,
                self.encoders,
                self.projections,
                dtype=self.dtype,
                questions={EDITED: [without_time(question.question) for question in questions]},
            )
            index = KnowledgeIndex.build(store.keys, keys_sha256=store.keys_sha256, **self.index)
            index.save(folder / "index")
            yield StoredBase.load(
                folder / "kb",
                folder / "index",
                projection_fingerprint=self.projections.fingerprint,
                device=self.device,
            )


def answers_after(
    predictor: Predictor, editor: Editor, edited: Edited, label: str, encoded: EncodedQuestions | None = None
) -> tuple[list[float], list[float]]:
    """Asks the edited base.

    Args:
        predictor: The model, as it was before the edit.
        editor: What encodes the base.
        edited: The base and the questions.
        label: Name on the progress bar.
        encoded: The questions, (n,), where their words are those of before the edit; None to encode them with the base.

    Returns:
        For each question, whether it was answered as the edited base says, and whether as the former one did, (n,).
    """
    with editor.base(edited.facts, edited.questions if encoded is None else []) as base:
        if encoded is None:
            encoded = with_times(edited.questions, base.store.question_vectors(EDITED), predictor.options.as_of)
        predictions = predictor.predict(base, encoded, label)
    new = [is_correct(question, said.text) for question, said in zip(edited.questions, predictions, strict=True)]
    old = [exact_match(said.text, former) for former, said in zip(edited.former, predictions, strict=True)]
    return new, old


def swap_tails(facts: Sequence[FiveTuple], questions: Sequence[Question], seed: int) -> Edited:
    """Gives the evidence fact of each question another tail, all of them in one base.

    The new tail is an entity of the same type from the same base that is no other answer of that head and relation. In
    the evidence sentence the name is replaced; where it does not stand exactly once, there is no sentence any more.
    Questions whose fact cannot get a new tail are left out.

    Args:
        facts: The base.
        questions: Questions with one supporting fact each; several may share one.
        seed: Of the choice, with the id of the first question that asks about the fact.
    """
    tails = Tails(facts)
    edited = list(facts)
    renewed, former, places = [], [], []
    for place, question in enumerate(questions):
        number = question.supporting_facts[-1]
        if edited[number] is facts[number]:
            tail = tails.draw(facts[number], random.Random(f"tail_swap/{seed}/{question.qid}"), question.aliases)
            if tail is None:
                continue
            edited[number] = with_tail(facts[number], tail)
        renewed.append(replace(question, answer=edited[number].tail.name, aliases=()))
        former.append([question.answer, *question.aliases])
        places.append(place)
    return Edited(edited, renewed, former, places)


def close_windows(facts: Sequence[FiveTuple], questions: Sequence[Question], most: int, seed: int) -> Edited:
    """Closes the last window of a head and relation at a new year inside it, and appends a successor from there on.

    The question asks about that year, of which the former tail was right before the edit and the successor is after it.
    Its words are those of a temporal question about the same relation, with head and time replaced, or where that does
    not read as the year asked about, "Who or what was the <relation> of <head> in <year>?". The sentence of the closed
    fact stays.

    Args:
        facts: The base.
        questions: Its questions, as a source of wordings.
        most: Most facts that are closed.
        seed: Of the choice of facts, years, tails and wordings.
    """
    tails, wordings = Tails(facts), _wordings(facts, questions)
    edited: list[FiveTuple] = list(facts)
    added: list[FiveTuple] = []
    written: list[Question] = []
    former: list[list[str]] = []
    last = _last_of_their_kind(facts)
    random.Random(f"stale/{seed}").shuffle(last)
    days = [day for fact in facts for day in (fact.window.start, fact.window.end) if day is not None]
    for number in last:
        if len(written) == most:
            break
        fact = facts[number]
        rng = random.Random(f"stale/{seed}/{number}")
        rivals = [facts[other].window for other in tails.siblings(fact) if other != number]
        years = inner_years(fact.window, rivals, days)
        tail = tails.draw(fact, rng) if years else None
        if tail is None:
            continue
        year = rng.choice(years)
        start, source = year_window(year).start, fact.window.source
        edited[number] = replace(fact, window=replace(fact.window, end=start, end_unit=None))
        sentence = f"From January {year} on, the {fact.relation.name} of {fact.head.name} was {tail.name}."
        context = Context(fact.context.source, fact.context.page_title, sentence)
        support = len(facts) + len(added)
        added.append(FiveTuple(fact.head, fact.relation, tail, context, Window(start, None, source)))
        text = _ask(fact, year, rng, wordings.get(fact.relation.name, []))
        qid, dataset = f"stale_{number:05d}", fact.context.source
        written.append(Question(qid, dataset, text, tail.name, (), "temporal", (support,), year_window(year)))
        former.append([fact.tail.name])
    return Edited(edited + added, written, former, [])


class Tails:
    """Draws new tails: by type, and never one that the head has for that relation already."""

    def __init__(self, facts: Sequence[FiveTuple]) -> None:
        entities = {entity.name: entity for fact in facts for entity in (fact.head, fact.tail)}
        self._of_type: dict[str | None, list[Entity]] = defaultdict(list)
        for entity in entities.values():
            self._of_type[entity.type].append(entity)
        self._siblings: dict[tuple[str, str], list[int]] = defaultdict(list)
        self._taken: dict[tuple[str, str], set[str]] = defaultdict(set)
        for number, fact in enumerate(facts):
            self._siblings[_kind(fact)].append(number)
            self._taken[_kind(fact)] |= {normalize_answer(fact.head.name), normalize_answer(fact.tail.name)}

    def siblings(self, fact: FiveTuple) -> list[int]:
        """Facts of the same head and relation, itself included."""
        return self._siblings[_kind(fact)]

    def draw(self, fact: FiveTuple, rng: random.Random, other_answers: Sequence[str] = ()) -> Entity | None:
        """A tail for the fact that nobody will be given again for its head and relation; None if there is none left."""
        taken = self._taken[_kind(fact)] | {normalize_answer(answer) for answer in other_answers}
        free = [entity for entity in self._of_type[fact.tail.type] if normalize_answer(entity.name) not in taken]
        if not free:
            return None
        tail = rng.choice(free)
        self._taken[_kind(fact)].add(normalize_answer(tail.name))
        return tail


def _kind(fact: FiveTuple) -> tuple[str, str]:
    return fact.head.name, fact.relation.name


def with_tail(fact: FiveTuple, tail: Entity) -> FiveTuple:
    """The fact with another tail; in its sentence too, which goes where the old one does not stand exactly once."""
    sentence = fact.context.sent_span
    once = sentence.count(fact.tail.name) == 1
    sentence = sentence.replace(fact.tail.name, tail.name) if once else ""
    return replace(fact, tail=tail, context=replace(fact.context, sent_span=sentence))


def _last_of_their_kind(facts: Sequence[FiveTuple]) -> list[int]:
    """The facts with a limited window that start last among those of their head and relation."""
    last: dict[tuple[str, str], int] = {}
    for number, fact in enumerate(facts):
        limited = fact.window.start is not None or fact.window.end is not None
        best = last.get(_kind(fact))
        if limited and (best is None or (fact.window.start or 0) > (facts[best].window.start or 0)):
            last[_kind(fact)] = number
    return sorted(last.values())


def inner_years(window: Window, rivals: Sequence[Window], days: Sequence[int]) -> list[int]:
    """Whole years inside a fact's window, after its start, in which none of its rivals holds.

    An open end is taken to be the first or last of the base's days.
    """
    first = int(iso(window.start or min(days))[:4]) + 1
    final = int(iso(window.end or max(days))[:4])
    return [
        year
        for year in range(max(first, FIRST_YEAR), final)
        if not any(rival.overlaps(year_window(year)) for rival in rivals)
    ]


def _wordings(facts: Sequence[FiveTuple], questions: Sequence[Question]) -> dict[str, list[tuple[str, str]]]:
    """Relation -> questions about it that name their head and a time, with that head."""
    found: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for question in questions:
        if question.type == "temporal":
            fact = facts[question.hops[-1][0]]
            if fact.head.name in question.question and _TIME.search(question.question):
                found[fact.relation.name].append((question.question, fact.head.name))
    return found


def _ask(fact: FiveTuple, year: int, rng: random.Random, wordings: Sequence[tuple[str, str]]) -> str:
    generic = f"Who or what was the {fact.relation.name} of {fact.head.name} in {year}?"
    if not wordings:
        return generic
    text, head = rng.choice(wordings)
    when = f"in {year}"
    text = _TIME.sub(lambda found: when.capitalize() if found[0][0].isupper() else when, text)
    text = text.replace(head, fact.head.name)
    read, wanted = parse_question_time(text), year_window(year)
    return text if read is not None and (read.start, read.end) == (wanted.start, wanted.end) else generic
