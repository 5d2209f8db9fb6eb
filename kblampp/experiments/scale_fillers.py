"""Facts that fill a base up to any size and change no answer: near misses, the rest of the sources, and other worlds.

A near miss has the relation of a fact that answers and a neighbour of its head's name (another word before its last, as
people of one family have, or "Kvitnes Quay" beside Kvitnes Lighthouse), or its very head with a relation that nobody
asks about.  Other worlds are open worlds of another seed, again and again with their names dealt anew among the
entities of a type: so a million facts need some ten thousands of names, which are encoded once.
"""

from __future__ import annotations

import itertools
import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from kblampp.data.facts import Context, Entity, FiveTuple, Relation
from kblampp.experiments.scale_questions import Asked, Questions, words_of
from kblampp.synthetic.open_names import VALUE_TYPES
from kblampp.synthetic.open_worlds import make_open_base

SEED = "scale"
WORLD_FACTS = 60_000
"""Facts of the open world whose names are dealt anew."""
NEAR, BESIDE = 10, 3
"""Neighbours of each fact's name, and facts about its own head with other relations."""
UNASKED = (
    "archive reference",
    "registry code",
    "shelf mark",
    "file number",
    "telegraphic address",
    "insurance certificate",
    "customs code",
    "seal number",
)
"""Relations that no question of the sources asks about."""
PLACES = ("Quay", "Annex", "Depot", "Pavilion", "Terrace", "Works", "Yard", "Gate", "Mill", "Hall", "Court", "Ferry")
"""What the neighbour of a name that is no person's ends in."""


@dataclass(frozen=True)
class Fillers:
    """Where facts are drawn from; the same for the same questions.

    Attributes:
        questions: What is asked.
        world_facts: Facts of the open world.
    """

    questions: Questions
    world_facts: int = WORLD_FACTS

    @cached_property
    def names(self) -> frozenset[str]:
        """The names of all sources, in lower case, which nothing else may have."""
        facts = self.questions.facts
        return frozenset(entity.name.casefold() for fact in facts for entity in (fact.head, fact.tail))

    @cached_property
    def world(self) -> list[FiveTuple]:
        """An open world, without entities that the sources know."""
        known = {entity.name for fact in self.questions.facts for entity in (fact.head, fact.tail)}
        facts = make_open_base(self.world_facts, seed=SEED, part="train", taken=known).facts
        return [fact for fact in facts if self.may_stand(fact)]

    @cached_property
    def people(self) -> list[str]:
        """Given names."""
        names = {name.split()[0] for name in self._names_of_type.get("PERSON", ())}
        return sorted(name for name in names if len(name) > 2 and name.casefold() not in self.questions.reserved)

    @cached_property
    def _names_of_type(self) -> dict[str, list[str]]:
        found: dict[str, dict[str, None]] = defaultdict(dict)
        for fact in self.world:
            for entity in (fact.head, fact.tail):
                found[str(entity.type)][entity.name] = None
        return {kind: list(names) for kind, names in found.items()}

    def may_stand(self, fact: FiveTuple) -> bool:
        """Whether a fact of another world changes no answer."""
        known = any(entity.name.casefold() in self.names for entity in (fact.head, fact.tail))
        return not known and self._names_are_free(fact)

    def _names_are_free(self, fact: FiveTuple) -> bool:
        return self._is_free(fact.head.name) and self._is_free(fact.tail.name)

    def _is_free(self, name: str) -> bool:
        return not self.questions.reserved.intersection(words_of(name))

    def of(self, chunk: Sequence[Asked]) -> Iterator[FiveTuple]:
        """The facts of a base that is asked some questions, without end: first those that answer them.

        Args:
            chunk: The questions.
        """
        facts = self.questions.facts
        core = dict.fromkeys(number for asked in chunk for number in asked.core)
        yield from (facts[number] for number in core)
        rest = (fact for number, fact in enumerate(facts) if number not in core and self._names_are_free(fact))
        streams: list[Iterator[FiveTuple]] = [self._near(list(core)), rest, self._worlds()]
        while streams:  # in turn, as long as each has some; the worlds never end
            for stream in list(streams):
                following = next(stream, None)
                if following is None:
                    streams.remove(stream)
                else:
                    yield following

    def _near(self, core: Sequence[int]) -> Iterator[FiveTuple]:
        """Near misses of facts, the first of each, then the second of each."""
        for turn in range(NEAR + BESIDE):
            for number in core:
                rng = random.Random(f"{SEED}/near/{number}/{turn}")
                fact = self._neighbour(self.questions.facts[number], rng) if turn < NEAR else None
                if turn >= NEAR:
                    fact = self._beside(self.questions.facts[number], turn - NEAR, rng)
                if fact is not None:
                    yield fact

    def _neighbour(self, fact: FiveTuple, rng: random.Random) -> FiveTuple | None:
        """The same relation of a neighbouring name, in the same time; None where no name is free."""
        words = fact.head.name.split()
        pools = self._names_of_type
        tails = pools.get("PERSON", []) if fact.tail.name.count(" ") else pools.get("CITY", [])
        if not tails:
            return None
        for _ in range(8):
            two = len(words) == 2 and not any(letter.isdigit() for letter in fact.head.name)
            if two and rng.random() < 0.5:  # perhaps a person
                name = f"{rng.choice(self.people)} {words[-1]}"
            else:
                kept = words[:-1] if len(words) > 1 else words
                name = f"{' '.join(kept)} {rng.choice(PLACES)}"
            if name.casefold() not in self.names and self._is_free(name):
                return _fact(Entity(None, name), fact.relation, Entity(None, rng.choice(tails)), fact)
        return None

    def _beside(self, fact: FiveTuple, turn: int, rng: random.Random) -> FiveTuple:
        """Another relation of the same head, without a time."""
        relation = UNASKED[(rng.randrange(len(UNASKED)) + turn) % len(UNASKED)]
        code = f"{rng.choice('BDGKMPRTVXZ')}{rng.choice('BDGKMPRTVXZ')}-{rng.randrange(10_000, 99_999)}"
        return _fact(fact.head, Relation(None, relation), Entity(None, code), None)

    def _worlds(self) -> Iterator[FiveTuple]:
        """The open world, and then the same with its names dealt anew, again and again."""
        for again in itertools.count():
            dealt = self._dealt(again)
            for fact in self.world:
                head, tail = (_called(entity, dealt) for entity in (fact.head, fact.tail))
                if head != tail:
                    sentence = f"The register has an entry for {head.name}."
                    context = Context("made up", head.name, sentence)
                    yield replace(fact, head=head, tail=tail, context=context)

    def _dealt(self, again: int) -> dict[str, str]:
        """A new name for each name of the world, of an entity of the same type; the first time its own."""
        found: dict[str, str] = {}
        if again:
            rng = random.Random(f"{SEED}/deal/{again}")
            for kind, names in self._names_of_type.items():
                if kind not in VALUE_TYPES:
                    found |= zip(names, rng.sample(names, len(names)), strict=True)
        return found


def _called(entity: Entity, dealt: dict[str, str]) -> Entity:
    return Entity(None, dealt.get(entity.name, entity.name), entity.type)


def _fact(head: Entity, relation: Relation, tail: Entity, like: FiveTuple | None) -> FiveTuple:
    """A fact with a sentence of its own, at the time of another one."""
    context = Context("made up", head.name, f"The {relation.name} of {head.name} is {tail.name}.")
    made = FiveTuple(head, relation, tail, context)
    return made if like is None else replace(made, window=like.window)
