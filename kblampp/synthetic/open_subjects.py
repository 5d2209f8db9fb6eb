"""What there is to ask about in an open base: its rows, their holders at a time, its relations, heads and tails."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence

from kblampp.data.facts import Entity, FiveTuple
from kblampp.data.windows import SYNTHETIC_TODAY, Window
from kblampp.synthetic.open_names import OpenNames
from kblampp.synthetic.open_schema import OPEN_BY_ID, OpenRelation
from kblampp.synthetic.open_worlds import OpenBase
from kblampp.synthetic.place_questions import leads_to_larger
from kblampp.synthetic.spellings import Spellings
from kblampp.synthetic.unknown_names import UnknownNames

TODAY = Window(SYNTHETIC_TODAY, SYNTHETIC_TODAY + 1, "question")


class Subjects:
    """An open base as the makers of questions see it.

    A row is the ids of the facts of one head and relation, in order of time where they follow one another.

    Args:
        base: The knowledge base asked about.
        rng: Source of randomness.
        taken: Names of the base and of others, none of which is used as one that nobody has; those used are added.

    Attributes:
        rng: The source of randomness.
        number: Of the question wanted, in its split: what takes turns goes by it.
        facts: The facts of the base.
        relations: Those that the base has, by id.
        heads_of: (tail name, relation id) -> ids of the facts.
        rows_of: Head name -> its rows.
        relations_of: Head name -> ids of its relations.
        heads: By name.
        tails: Type -> the tails of that type.
        in_larger: Pairs of rows: where something lies, and the larger place of that place.
        types: Name -> entity type, of the base's names and the unknown ones.
        spellings: Of the base's names.
        unknown: Names that nobody has.
    """

    def __init__(self, base: OpenBase, rng: random.Random, *, taken: set[str], number: int) -> None:
        self.rng, self.number = rng, number
        self.facts, self.heads_of = base.facts, base.heads_of
        self.relations = {relation: OPEN_BY_ID[relation] for _, relation in base.rows}
        self.rows_of: dict[str, list[list[int]]] = defaultdict(list)
        self.relations_of: dict[str, set[str]] = defaultdict(set)
        self.heads: dict[str, Entity] = {}
        self.tails: dict[str, list[Entity]] = defaultdict(list)
        self._rows: dict[str, list[list[int]]] = defaultdict(list)
        for (head, relation), row in base.rows.items():
            self._rows[OPEN_BY_ID[relation].kind].append(row)
            self.rows_of[head].append(row)
            self.relations_of[head].add(relation)
            self.heads[head] = self.facts[row[0]].head
        for tail in dict.fromkeys(fact.tail for fact in self.facts):
            self.tails[str(tail.type)].append(tail)
        self.in_larger = self._pairs_of_places(base)
        self.types = {entity.name: str(entity.type) for fact in self.facts for entity in (fact.head, fact.tail)}
        self.spellings = Spellings(rng, self.types)
        self.unknown = UnknownNames(rng, OpenNames(rng, base.part, taken), self.types, self.spellings, taken)

    def _pairs_of_places(self, base: OpenBase) -> list[tuple[list[int], list[int]]]:
        found = []
        for (_, relation), row in base.rows.items():
            onward = {name: self.rows_of[name] for name in self.tail_names(row) if name in self.rows_of}
            for outer in (outer for rows in onward.values() for outer in rows):
                if leads_to_larger(OPEN_BY_ID[relation], self.about(outer)[0]):
                    found.append((row, outer))
        return found

    def row(self, *kinds: str) -> list[int]:
        """One of the rows of a kind of relation; of several kinds, of one that is drawn first."""
        return self.rng.choice(self._rows[self.rng.choice(kinds) if len(kinds) > 1 else kinds[0]])

    def about(self, row: Sequence[int]) -> tuple[OpenRelation, FiveTuple]:
        """The relation of a row, and its first fact."""
        fact = self.facts[row[0]]
        return OPEN_BY_ID[str(fact.relation.id)], fact

    def name(self, number: int) -> str:
        """The tail of a fact."""
        return self.facts[number].tail.name

    def tail_names(self, numbers: Sequence[int]) -> dict[str, None]:
        """The different tails, in order."""
        return dict.fromkeys(self.name(number) for number in numbers)

    def holding(self, row: Sequence[int], window: Window) -> list[int]:
        """The facts of a row that hold at some time of a window."""
        return [number for number in row if self.facts[number].window.overlaps(window)]

    def held_once(self, row: Sequence[int], tail: str) -> bool:
        """Whether one fact of a row alone has the tail."""
        return sum(self.name(number) == tail for number in row) == 1

    def some_window(self, row: Sequence[int]) -> Window:
        """The window of one of the row's facts."""
        return self.facts[self.rng.choice(row)].window

    def only_meaning(self, wordings: Sequence[str], tail: Entity, relation: OpenRelation) -> bool:
        """Whether no other relation of the tail is asked for with one of these wordings."""
        others = (other for other in self.relations.values() if (tail.name, other.id) in self.heads_of)
        return not any(set(wordings) & set(other.inverse) for other in others if other.id != relation.id)
