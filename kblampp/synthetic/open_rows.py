"""An open base as what questions are made of: rows of facts, and times and words that ask about them."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence

from kblampp.data.facts import Entity, FiveTuple
from kblampp.data.windows import SYNTHETIC_TODAY, Window, years_bounds
from kblampp.synthetic.open_schema import OPEN_BY_ID, OpenRelation
from kblampp.synthetic.open_times import time_expression, year_of
from kblampp.synthetic.open_worlds import OpenBase

PHRASES = ("the ", "who", "what", "where")
"""How phrases begin that stand for a name."""
TODAY = Window(SYNTHETIC_TODAY, SYNTHETIC_TODAY + 1, "question")


class OpenRows:
    """The facts of an open base by head and relation: a row is the numbers of those of one head and one relation.

    Args:
        base: The knowledge base.
        rng: Source of randomness.

    Attributes:
        facts: All facts, in the order of the base.
        of_head: The rows of each head's name.
        relations_of: The ids of each head's relations.
        heads: Each head by its name.
        tails: The tails of each type, each once.
        used: The relations of the base by their ids.
        types: The type of each name.
    """

    def __init__(self, base: OpenBase, rng: random.Random) -> None:
        self.facts = base.facts
        self._rng, self._heads_of = rng, base.heads_of
        self._by_kind: dict[str, list[list[int]]] = defaultdict(list)
        self.of_head: dict[str, list[list[int]]] = defaultdict(list)
        self.relations_of: dict[str, set[str]] = defaultdict(set)
        self.heads: dict[str, Entity] = {}
        self.tails: dict[str, list[Entity]] = defaultdict(list)
        for (head, relation), row in base.rows.items():
            self._by_kind[OPEN_BY_ID[relation].kind].append(row)
            self.of_head[head].append(row)
            self.relations_of[head].add(relation)
            self.heads[head] = self.facts[row[0]].head
        for tail in dict.fromkeys(fact.tail for fact in self.facts):
            self.tails[str(tail.type)].append(tail)
        self.used = {relation: OPEN_BY_ID[relation] for _, relation in base.rows}
        self.types = {entity.name: str(entity.type) for fact in self.facts for entity in (fact.head, fact.tail)}

    def draw(self, *kinds: str) -> list[int]:
        """A row of a relation of one of the kinds (`OpenRelation.kind`), each kind as often."""
        return self._rng.choice(self._by_kind[self._rng.choice(kinds)])

    def about(self, row: Sequence[int]) -> tuple[OpenRelation, FiveTuple]:
        """The relation of a row and its first fact."""
        fact = self.facts[row[0]]
        return OPEN_BY_ID[str(fact.relation.id)], fact

    def name(self, number: int) -> str:
        """The name of a fact's tail."""
        return self.facts[number].tail.name

    def ends(self, number: int) -> tuple[str, str]:
        """The names of a fact's head and tail."""
        return self.facts[number].head.name, self.name(number)

    def tail_names(self, numbers: Sequence[int]) -> dict[str, None]:
        """The different tails, in order."""
        return dict.fromkeys(self.name(number) for number in numbers)

    def holding(self, row: Sequence[int], window: Window) -> list[int]:
        """Those of the row that hold in a window."""
        return [number for number in row if self.facts[number].window.overlaps(window)]

    def held_once(self, row: Sequence[int], tail: str) -> bool:
        """Whether the tail stands in the row once."""
        return sum(self.name(number) == tail for number in row) == 1

    def naming(self, tail: str, relation: str) -> Sequence[int]:
        """The facts of a relation with this tail."""
        return self._heads_of.get((tail, relation), ())

    def only_meaning(self, wordings: set[str], tail: Entity, relation: OpenRelation) -> bool:
        """Whether no other relation of the tail is asked for with one of these words, which name the tail."""
        others = (other for other in self.used.values() if other.id != relation.id and self.naming(tail.name, other.id))
        return not any(wordings & {*other.inverse, *other.of_tail} for other in others)

    def time_in(self, row: Sequence[int]) -> tuple[str, Window]:
        """A time expression about a day of one of the row's facts."""
        window = self.facts[self._rng.choice(row)].window
        stop = min(window.end or SYNTHETIC_TODAY, SYNTHETIC_TODAY)
        return time_expression(self._rng, self._rng.randint(window.start or stop - 3000, stop - 1))

    def span(self, row: Sequence[int]) -> tuple[str, Window]:
        """ "since 2004", "between 2001 and 2005" and the like, about a row's time."""
        window = self.facts[self._rng.choice(row)].window
        first = min(year_of(window.start or (window.end or SYNTHETIC_TODAY) - 3000) + self._rng.randint(0, 2), 2025)
        last = min(first + self._rng.randint(1, 12), 2026)
        start, end = years_bounds(first, last + 1) or (None, None)
        if self._rng.random() < 0.5:
            return self._rng.choice((f"since {first}", f"from {first} on")), Window(start, None, "question")
        when = self._rng.choice((f"between {first} and {last}", f"from {first} to {last}"))
        return when, Window(start, end, "question")

    def say(self, wordings: Sequence[str], **fields: str) -> str:
        """One of the wordings with its places filled; a time or a phrase at its beginning gets a capital."""
        wording = self._rng.choice(wordings)
        text = wording.format(**fields)
        phrase = fields.get("x", "").startswith(PHRASES) and wording.startswith("{x}") and len(wording) > 12
        if wording.startswith("{when}") or (phrase and self._rng.random() < 0.7):
            text = text[0].upper() + text[1:]
        return text
