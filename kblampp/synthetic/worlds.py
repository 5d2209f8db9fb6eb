"""Synthetic worlds: typed fictional entities and facts about them, as five-tuples with evidence sentences.

Names never decide an answer and no two roles share one: content words are split by hash into *known* and *novel*
words, full names into those of the pre-training worlds and those of the evaluated ones.  So the backbone can know the
words of `swap` but not its entities, and neither the words nor the entities of `novel`, whatever the seeds and sizes.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Literal

from kblampp.core.errors import DataError
from kblampp.data.facts import Context, Entity, FiveTuple, Relation
from kblampp.data.windows import MONTHS, Window, iso, month_window
from kblampp.synthetic.schema import HORIZON, NAME_POOLS, RELATIONS, RelationSpec, hash_of

SOURCE = "synthetic"
COVERAGE = 0.85
"""Share of the possible heads of a relation that have it; the rest make the `missing_relation` questions."""
HOLDERS = ((2, 0.4), (3, 0.4), (4, 0.2))
"""How many holders a successive relation has, and how often."""


Words = Literal["known", "novel", "invented", "mixed"]
Role = Literal["pretrain", "evaluated"]


@dataclass(frozen=True)
class World:
    """One knowledge base and what a question writer needs to know about it.

    Attributes:
        facts: The five-tuples; a fact's position is its id.
        entities: Entity type -> every entity of that type, also those that no fact mentions.
        by_head: (head id, relation id) -> ids of the facts, in order of time.
    """

    facts: list[FiveTuple]
    entities: dict[str, list[Entity]]
    by_head: Mapping[tuple[str, str], list[int]] = field(repr=False)

    @property
    def names(self) -> set[str]:
        """Names of all entities."""
        return {entity.name for group in self.entities.values() for entity in group}


def is_novel_word(word: str) -> bool:
    """Whether a name word is reserved for `novel`: one in four, by hash, so that the answer never changes."""
    return hash_of(word.lower()) % 4 == 0


def is_pretrain_name(name: str) -> bool:
    """Whether a full name belongs to the pre-training worlds (half of them) and never to an evaluated one."""
    return hash_of("name:" + name.lower()) % 2 == 0


@cache
def name_words(pool: str, words: Words) -> tuple[str, ...]:
    """The words of one pool of `data/words.json` that are known, or novel."""
    text = resources.files("kblampp").joinpath("synthetic/words.json").read_text(encoding="utf-8")
    return tuple(word for word in json.loads(text)[pool] if is_novel_word(word) == (words == "novel"))


class NameMaker:
    """Draws names that were never drawn before.

    Args:
        rng: Source of randomness.
        words: Which part of the vocabulary; `invented` makes up new words out of known ones,
            `mixed` does so for about half of them.
        role: Which half of the names.
        taken: Names not to be used; drawn names are added to it.
    """

    def __init__(self, rng: random.Random, words: Words, role: Role, taken: set[str]) -> None:
        self._rng, self._words, self._role, self._taken = rng, words, role, taken

    def draw(self, entity_type: str) -> str:
        """A fresh name of the type.

        Raises:
            DataError: The pools hold no further name.
        """
        kept: Words = "novel" if self._words == "novel" else "known"
        first, second = (name_words(pool, kept) for pool in NAME_POOLS[entity_type])
        for _ in range(1000):
            name = f"{self._word(first)} {self._word(second)}"
            if name not in self._taken and is_pretrain_name(name) == (self._role == "pretrain"):
                self._taken.add(name)
                return name
        raise DataError(
            f"generate: the {self._words} words ({len(first)} x {len(second)}) give no further {entity_type} name; "
            "ask for fewer facts in params.yaml, section generate"
        )

    def _word(self, pool: Sequence[str]) -> str:
        word = self._rng.choice(pool)
        made_up = self._words == "invented" or (self._words == "mixed" and self._rng.random() < 0.5)
        while made_up:
            first, last = self._rng.choice(pool), self._rng.choice(pool).lower()
            word = first[: self._rng.randint(1, 4)] + last[self._rng.randint(1, 4) :]
            if len(word) > 3 and not is_novel_word(word):
                break
        return word


def make_world(
    n_facts: int,
    *,
    seed: int | str,
    words: Words = "known",
    role: Role = "evaluated",
    taken: set[str] | None = None,
    max_answer_share: float = 0.01,
) -> World:
    """Makes one world.

    Args:
        n_facts: How many facts; spread evenly over the relations.
        seed: Everything depends on this and the other arguments alone.
        words: `known` words, those reserved for the `novel` split, `invented` ones, or known and invented ones `mixed`.
        role: Whether names come from the pre-training half or the evaluated half.
        taken: Names that must not be used; the new names are added.
        max_answer_share: No tail makes up more of its relation's facts (but at least one fact each).

    Raises:
        DataError: `n_facts` is below one a relation, or the words give too few names.
    """
    if n_facts < len(RELATIONS):
        raise DataError(f"generate: a world needs at least {len(RELATIONS)} facts, one a relation, found {n_facts}")
    rng = random.Random(f"world/{seed}/{words}/{role}")
    maker = NameMaker(rng, words, role, set() if taken is None else taken)
    budgets = {r.id: n_facts // len(RELATIONS) + (i < n_facts % len(RELATIONS)) for i, r in enumerate(RELATIONS)}
    entities = _make_entities(maker, budgets, max_answer_share)
    facts: list[FiveTuple] = []
    by_head: dict[tuple[str, str], list[int]] = {}
    for spec in RELATIONS:
        for fact in _relation_facts(rng, spec, budgets[spec.id], entities, max_answer_share):
            by_head.setdefault((str(fact.head.id), spec.id), []).append(len(facts))
            facts.append(fact)
    return World(facts, entities, by_head)


def render_month(day_window: Window, *, end: bool) -> str:
    """The month in which a window starts or ends, as sentences name it ("March 2009", "the start", "today")."""
    value = day_window.end if end else day_window.start
    if value is None:
        return "today" if end else "the start"
    year, month = (int(part) for part in iso(value).split("-")[:2])
    return f"{MONTHS[month - 1]} {year}"


def word_fact(rng: random.Random, spec: RelationSpec, head: str, tail: str, window: Window) -> str:
    """One of the relation's evidence sentences."""
    since, until = render_month(window, end=False), render_month(window, end=True)
    return rng.choice(spec.sentences).format(x=head, t=tail, since=since, until=until)


def _cap(budget: int, share: float) -> int:
    return max(1, int(budget * share))


def _make_entities(maker: NameMaker, budgets: Mapping[str, int], share: float) -> dict[str, list[Entity]]:
    """As many entities a type as its relations need as heads (at `COVERAGE`) and as tails (`_cap` facts each)."""
    needed: Counter[str] = Counter(dict.fromkeys(NAME_POOLS, 2))
    mean_holders = sum(count * weight for count, weight in HOLDERS)
    fewest = min(count for count, _ in HOLDERS)  # enough heads even if each draws the fewest holders
    for spec in RELATIONS:
        budget = budgets[spec.id]
        heads = max(budget / mean_holders / COVERAGE, budget / fewest) if spec.successive else budget / COVERAGE
        needed[spec.head] = max(needed[spec.head], int(heads) + 1)
        # One in ten spare: a tail may be refused because it is the head itself, or the holder before.
        needed[spec.tail] = max(needed[spec.tail], int(1.1 * budget / _cap(budget, share)) + 2)
    result: dict[str, list[Entity]] = {}
    number = 0
    for kind in NAME_POOLS:
        result[kind] = []
        for _ in range(needed[kind]):
            result[kind].append(Entity(f"E{number:05d}", maker.draw(kind), kind))
            number += 1
    return result


def _relation_facts(
    rng: random.Random, spec: RelationSpec, budget: int, entities: Mapping[str, Sequence[Entity]], share: float
) -> list[FiveTuple]:
    heads = list(entities[spec.head])
    rng.shuffle(heads)
    tails = [tail for tail in entities[spec.tail] for _ in range(_cap(budget, share))]
    rng.shuffle(tails)
    facts: list[FiveTuple] = []
    for head in heads:
        windows = _successive_windows(rng) if spec.successive else [Window(None, None, SOURCE)]
        used = {head.id}
        for window in windows[: budget - len(facts)]:
            position = next((i for i in range(len(tails) - 1, -1, -1) if tails[i].id not in used), None)
            if position is None:
                break
            tail = tails.pop(position)
            used.add(tail.id)
            facts.append(_fact(rng, spec, head, tail, window))
        if len(facts) >= budget:
            break
    return facts


def _fact(rng: random.Random, spec: RelationSpec, head: Entity, tail: Entity, window: Window) -> FiveTuple:
    sentence = word_fact(rng, spec, head.name, tail.name, window)
    context = Context(SOURCE, head.name, sentence, {}, {"url": None, "rev_id": None})
    return FiveTuple(head, Relation(spec.id, spec.name), tail, context, window)


def _successive_windows(rng: random.Random) -> list[Window]:
    """Two to four windows that follow one another, a quarter of them after a gap; the first and last may be open."""
    count = rng.choices([c for c, _ in HOLDERS], [w for _, w in HOLDERS])[0]
    first_month = 12 * rng.randint(HORIZON[0] + 8, HORIZON[1] - 14 * count) + rng.randrange(12)
    windows: list[Window] = []
    for position in range(count):
        last_month = first_month + rng.randint(24, 132)
        start: int | None = _month_start(first_month)
        end: int | None = _month_start(last_month)
        if position == 0 and rng.random() < 0.05:
            start = None
        if position == count - 1 and rng.random() < 0.35:
            end = None
        windows.append(Window(start, end, SOURCE))
        first_month = last_month + (rng.randint(14, 40) if rng.random() < 0.25 else 0)
    return windows


def _month_start(month_number: int) -> int:
    start = month_window(month_number // 12, month_number % 12 + 1).start
    if start is None:
        raise DataError(f"generate: month {month_number} has no first day")
    return start
