"""Questions about a synthetic world, each with exactly one answer or, by construction, none.

Every question carries its ``program`` (head, relations, time), from which an independent solver can find the answer.
A timeless question is asked of timeless relations, a temporal one of a window that exactly one fact overlaps.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Literal, TypeVar

from kblampp.core.errors import DataError
from kblampp.data.facts import REASONS, Entity, FiveTuple, Question
from kblampp.data.windows import MONTHS, Window, iso, month_window, year_window
from kblampp.synthetic.schema import BY_ID, HORIZON, RELATIONS, RelationSpec
from kblampp.synthetic.worlds import NameMaker, World

T = TypeVar("T")
Wordings = Literal["train", "dev", "all"]
TIME_FORMS = ("year", "between", "from", "month", "as_of", "before", "after")
ATTEMPTS = 200
"""Draws after which a question that fits nowhere (no free wording, no unique window) is given up."""


class QuestionWriter:
    """Writes the questions of one split.

    Args:
        world: The knowledge base asked about.
        rng: Source of randomness.
        dataset: Name that stands in each row and in the question ids.
        split: Name of the split, part of the question ids.
        wordings: For each path of facts one wording is reserved for `dev`; `train` uses the others, `all` every one.
        names: Draws names that no entity has, for `unknown_head`.
        seen: Question texts of all splits; none is written twice.
    """

    def __init__(
        self,
        world: World,
        rng: random.Random,
        *,
        dataset: str,
        split: str,
        wordings: Wordings,
        names: NameMaker,
        seen: set[str],
    ) -> None:
        self._world, self._rng, self._names, self._seen = world, rng, names, seen
        self._dataset, self._split, self._wordings = dataset, split, wordings
        self._written = 0
        facts = enumerate(world.facts)
        timeless = {spec.id: not spec.successive for spec in RELATIONS}
        self._facts: dict[bool, list[int]] = {True: [], False: []}
        self._mentioned = {entity.name for fact in world.facts for entity in (fact.head, fact.tail)}
        for number, fact in facts:
            self._facts[timeless[str(fact.relation.id)]].append(number)

    def write(self, per_type: int, *, three_hop_share: float, timed_hop_share: float) -> list[Question]:
        """Writes `per_type` questions of each type.

        Raises:
            DataError: The world is too small for so many different questions.
        """
        makers = {
            "single-hop": self._single_hop(),
            "temporal": self._temporal(),
            "multi-hop": self._multi_hop(three_hop_share, timed_hop_share),
            "unanswerable": self._unanswerable(),
        }
        questions: list[Question] = []
        for kind, maker in makers.items():
            made = list(islice(maker, per_type))
            if len(made) < per_type:
                raise DataError(
                    f"generate: {self._dataset} {self._split} gives only {len(made)} of the {per_type} {kind} "
                    "questions asked for; ask for fewer questions or more facts in params.yaml, section generate"
                )
            questions += made
        return questions

    def _single_hop(self) -> Iterator[Question]:
        for number in self._cycle(self._facts[True]):
            fact = self._world.facts[number]
            text = self._word(_spec(fact), fact.head.name, None, key=f"{fact.head.name}|{fact.relation.id}")
            if text is not None:
                yield self._question(text, "single-hop", fact.head, [number], None)

    def _temporal(self) -> Iterator[Question]:
        for number in self._cycle(self._facts[False]):
            fact = self._world.facts[number]
            timed = self._unique_time(number)
            if timed is None:
                continue
            when, window = timed
            key = f"{fact.head.name}|{fact.relation.id}|{number}"
            text = self._word(_spec(fact), fact.head.name, when, key=key)
            if text is not None:
                yield self._question(text, "temporal", fact.head, [number], window)

    def _multi_hop(self, three_hop_share: float, timed_hop_share: float) -> Iterator[Question]:
        wanted: tuple[int, bool] | None = None  # kept until it is found, so that rarer kinds do not fall behind
        for attempt, start in enumerate(self._cycle(self._facts[True])):
            if wanted is None or attempt % ATTEMPTS == 0:
                hops = 3 if self._rng.random() < three_hop_share else 2
                wanted = hops, self._rng.random() < timed_hop_share
            path = self._walk(start, wanted[0], timed=wanted[1])
            if path is None:
                continue
            last = self._world.facts[path[-1]]
            spec = _spec(last)
            timed = self._unique_time(path[-1]) if spec.successive else None
            if spec.successive and timed is None:
                continue
            when, window = timed or (None, None)
            phrase = self._world.facts[start].head.name
            for number in path[:-1]:
                phrase = self._rng.choice(_spec(self._world.facts[number]).phrases).format(x=phrase)
            text = self._word(spec, phrase, when, key="|".join(map(str, path)))
            if text is not None:
                wanted = None
                yield self._question(text, "multi-hop", self._world.facts[start].head, path, window)

    def _unanswerable(self) -> Iterator[Question]:
        for reason in self._cycle(REASONS):
            for _ in range(ATTEMPTS):
                question = self._near_miss(reason)
                if question is not None:
                    yield question
                    break

    def _near_miss(self, reason: str) -> Question | None:
        """A question that looks like the others and has no answer for this reason, or None if the draw fits nothing."""
        spec = self._rng.choice(RELATIONS)
        entity = self._head_without_answer(spec, reason)
        if entity is None or (reason == "wrong_time" and not spec.successive):
            return None
        timed = self._time_without_holder(entity, spec) if spec.successive else None
        if spec.successive and timed is None:
            return None
        when, window = timed or (None, None)
        text = self._word(spec, entity.name, when, key=f"{entity.name}|{spec.id}|{reason}")
        if text is None:
            return None
        return self._question(text, "unanswerable", entity, [], window, relation=spec.id, reason=reason)

    def _head_without_answer(self, spec: RelationSpec, reason: str) -> Entity | None:
        if reason == "unknown_head":
            return Entity(None, self._names.draw(spec.head), spec.head)
        entity = self._rng.choice(self._world.entities[spec.head])
        has_relation = (str(entity.id), spec.id) in self._world.by_head
        if reason == "wrong_time":
            return entity if has_relation else None
        return entity if entity.name in self._mentioned and not has_relation else None

    def _walk(self, start: int, hops: int, *, timed: bool) -> list[int] | None:
        """A chain of facts in which each head is the tail before; only the last may be of a successive relation."""
        path = [start]
        names = {self._world.facts[start].head.name, self._world.facts[start].tail.name}
        for hop in range(1, hops):
            tail = self._world.facts[path[-1]].tail
            successive = timed and hop == hops - 1
            found = [
                number
                for spec in RELATIONS
                if spec.successive == successive
                for number in self._world.by_head.get((str(tail.id), spec.id), [])
                if self._world.facts[number].tail.name not in names
            ]
            if not found:
                return None
            path.append(self._rng.choice(found))
            names.add(self._world.facts[path[-1]].tail.name)
        return path

    def _unique_time(self, number: int) -> tuple[str, Window] | None:
        """A time expression whose window overlaps this fact and no other of the same head and relation."""
        fact = self._world.facts[number]
        first, last = _months(fact.window)
        siblings = self._world.by_head[(str(fact.head.id), str(fact.relation.id))]
        for _ in range(ATTEMPTS):
            when, window = _time_expression(self._rng, self._rng.randint(first, last))
            if [n for n in siblings if self._world.facts[n].window.overlaps(window)] == [number]:
                return when, window
        return None

    def _time_without_holder(self, entity: Entity, spec: RelationSpec) -> tuple[str, Window] | None:
        """A time expression whose window overlaps no fact of this head and relation."""
        held = [self._world.facts[n].window for n in self._world.by_head.get((str(entity.id), spec.id), [])]
        for _ in range(ATTEMPTS):
            when, window = _time_expression(self._rng, self._rng.randrange(12 * HORIZON[0], 12 * HORIZON[1]))
            if not any(window.overlaps(other) for other in held):
                return when, window
        return None

    def _word(self, spec: RelationSpec, head: str, when: str | None, *, key: str) -> str | None:
        """A wording that this split may use and nobody has used; None if there is none."""
        reserved = int(hashlib.sha256(key.encode()).hexdigest()[:8], 16) % len(spec.questions)
        order = list(range(len(spec.questions)))
        self._rng.shuffle(order)
        for number in order:
            if self._wordings != "all" and (number == reserved) != (self._wordings == "dev"):
                continue
            text = spec.questions[number].format(x=head, when=when)
            text = text[0].upper() + text[1:]
            if text not in self._seen:
                self._seen.add(text)
                return text
        return None

    def _cycle(self, items: Sequence[T]) -> Iterator[T]:
        """The items in random order, again and again in a new order; ends once a whole round is long without use."""
        written, idle = self._written, 0
        while items and idle < ATTEMPTS:
            yield from self._rng.sample(items, len(items))
            idle = 0 if self._written > written else idle + 1
            written = self._written

    def _question(
        self,
        text: str,
        kind: str,
        head: Entity,
        path: Sequence[int],
        window: Window | None,
        *,
        relation: str | None = None,
        reason: str | None = None,
    ) -> Question:
        facts = [self._world.facts[number] for number in path]
        program = {
            "head": head.name,
            "relations": [fact.relation.id for fact in facts] or [relation],
            "time": None if window is None else {"start": _iso(window.start), "end": _iso(window.end)},
        }
        number, self._written = self._written, self._written + 1
        return Question(
            qid=f"{self._dataset}_{self._split}_{number:05d}",
            dataset=self._dataset,
            question=text,
            answer=facts[-1].tail.name if facts else "",
            aliases=(),
            type=kind,
            supporting_facts=tuple(path),
            question_time=window,
            reason=reason,
            program=program,
        )


def _spec(fact: FiveTuple) -> RelationSpec:
    return BY_ID[str(fact.relation.id)]


def _iso(day: int | None) -> str | None:
    return None if day is None else iso(day)


def _months(window: Window) -> tuple[int, int]:
    """First and last month number (12 * year + month - 1) of a window, clipped to the horizon."""
    low, high = 12 * HORIZON[0], 12 * HORIZON[1] - 1
    if window.start is not None:
        year, month = (int(part) for part in iso(window.start).split("-")[:2])
        low = max(low, 12 * year + month - 1)
    if window.end is not None:
        year, month = (int(part) for part in iso(window.end).split("-")[:2])
        high = min(high, 12 * year + month - 2)
    return low, max(low, high)


def _time_expression(rng: random.Random, month_number: int) -> tuple[str, Window]:
    """A time expression about a month, in words and as the half-open window it means; named units are inclusive."""
    year, month = divmod(month_number, 12)
    form = rng.choice(TIME_FORMS)
    if form in ("month", "as_of"):
        window = month_window(year, month + 1)
        return f"{'in' if form == 'month' else 'as of'} {MONTHS[month]} {year}", window
    if form in ("between", "from"):
        last = min(year + rng.randint(1, 3), HORIZON[1] - 1)
        if last == year:
            return f"in {year}", year_window(year)
        window = Window(year_window(year).start, year_window(last).end, "question")
        return (f"between {year} and {last}" if form == "between" else f"from {year} to {last}"), window
    if form == "before" and year > HORIZON[0]:
        return f"before {year}", Window(None, year_window(year).start, "question")
    if form == "after" and year < HORIZON[1] - 1:
        return f"after {year}", Window(year_window(year).end, None, "question")
    return f"in {year}", year_window(year)
