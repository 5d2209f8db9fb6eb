"""Open worlds: many small fictional dossiers, as somebody's own knowledge base would be, with relations of all sorts.

The part `train` and the part `unseen`, which is there to choose by, share no relation and no name word.
"""

from __future__ import annotations

import datetime
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from kblampp.core.errors import DataError
from kblampp.data.facts import Context, Entity, FiveTuple, Relation
from kblampp.data.windows import SYNTHETIC_TODAY, UNKNOWN, Window, in_words
from kblampp.synthetic.open_names import SHARED, VALUE_TYPES, OpenNames, value_maker
from kblampp.synthetic.open_schema import CONFLICTS, OpenRelation, Part, relations_of

SOURCE = "synthetic"
OWN, OF_TAIL = (8, 28), (1, 6)
"""How many relations a main head has, if its type has so many, and a tail that gets facts of its own."""
FOLLOWED = (0.15, 0.4, 0.4)
"""How often a tail gets facts of its own, by how far from the main head it is."""
SINCE = 0.15
"""How often what does not follow one another has a time from which it holds."""
_VALUES = VALUE_TYPES | {"COLOR", "PHRASE"}


@dataclass(frozen=True)
class OpenBase:
    """One knowledge base and what a question writer needs to know about it.

    Attributes:
        part: The part of relations and names that it is made of.
        facts: The five-tuples; a fact's position is its id.
        rows: (head name, relation id) -> ids of the facts, in order of time, else of the file.
        heads_of: (tail name, relation id) -> ids of the facts.
    """

    part: Part
    facts: list[FiveTuple]
    rows: Mapping[tuple[str, str], list[int]] = field(repr=False)
    heads_of: Mapping[tuple[str, str], list[int]] = field(repr=False)


def make_open_base(n_facts: int, *, seed: int | str, part: Part, taken: set[str]) -> OpenBase:
    """Makes one open base.

    Relations are held out by `is_held_out`, names by `is_held_out_name`: bases of different parts share neither a
    relation nor a name word, whatever the seeds and sizes.

    Args:
        n_facts: How many facts.
        seed: Everything depends on this and the other arguments alone.
        part: Which part of the relations and names.
        taken: Names that must not be used for heads and their like; the new names are added.

    Raises:
        DataError: The pools give too few names.
    """
    rng = random.Random(f"open/{seed}/{part}")
    maker = _Dossiers(rng, part, OpenNames(rng, part, taken))
    while len(maker.facts) < n_facts:
        maker.add()
    facts = maker.facts[:n_facts]
    rows: dict[tuple[str, str], list[int]] = {}
    heads_of: dict[tuple[str, str], list[int]] = {}
    for number, fact in enumerate(facts):
        rows.setdefault((fact.head.name, str(fact.relation.id)), []).append(number)
        heads_of.setdefault((fact.tail.name, str(fact.relation.id)), []).append(number)
    return OpenBase(part, facts, rows, heads_of)


class _Dossiers:
    """Adds one dossier after the other to `facts`."""

    def __init__(self, rng: random.Random, part: Part, names: OpenNames) -> None:
        self.facts: list[FiveTuple] = []
        self._rng, self._names, self._prefix = rng, names, "O" if part == "train" else "U"
        self._by_type: dict[str, list[OpenRelation]] = {}
        for relation in relations_of(part):
            self._by_type.setdefault(relation.head, []).append(relation)
        self._entities: dict[str, Entity] = {}
        self._heads: set[str] = set()

    def add(self) -> None:
        """One dossier: main heads of one or two types, and a few facts about some of their tails."""
        rng = self._rng
        types = [kind for kind, every in self._by_type.items() if len(every) > 2]
        weights = [len(self._by_type[kind]) ** 0.5 for kind in types]
        chosen = rng.choices(types, weights, k=rng.choice((1, 2)))
        people: dict[str, list[Entity]] = {}
        labels: dict[str, str] = {}
        makers: dict[str, Callable[[], str]] = {}
        plans = {kind: self._choose(kind, rng.randint(*OWN)) for kind in chosen}
        queue: list[tuple[Entity, list[OpenRelation], int]] = []
        for _ in range(rng.randint(1, 4)):
            kind = rng.choice(chosen)
            head = self._new_head(kind)
            plan = plans[kind]
            relations = [relation for relation in plan if len(plan) < 4 or rng.random() < 0.85]
            queue.append((head, relations, 0))
            people.setdefault(kind, []).append(head)
        while queue:
            head, relations, depth = queue.pop(0)
            if head.name in self._heads:
                continue
            self._heads.add(head.name)
            for relation in relations:
                label = labels.setdefault(relation.id, rng.choice(relation.labels))
                if relation.tail in VALUE_TYPES and relation.id not in makers:
                    makers[relation.id] = value_maker(rng, relation.tail, relation.id)
                for tail in self._row(head, relation, label, people, makers.get(relation.id)):
                    known = self._by_type.get(str(tail.type), ())
                    if known and depth < 3 and rng.random() < FOLLOWED[depth]:
                        queue.append((tail, self._choose(str(tail.type), rng.randint(*OF_TAIL)), depth + 1))

    def _choose(self, kind: str, count: int) -> list[OpenRelation]:
        """Relations of a head type, none of which could be meant by another's wording."""
        result: list[OpenRelation] = []
        for relation in self._rng.sample(self._by_type[kind], len(self._by_type[kind])):
            if len(result) < count and not any(other.id in CONFLICTS[relation.id] for other in result):
                result.append(relation)
        return result

    def _row(
        self,
        head: Entity,
        relation: OpenRelation,
        label: str,
        people: dict[str, list[Entity]],
        maker: Callable[[], str] | None,
    ) -> list[Entity]:
        """The facts of one head and relation; returns their tails."""
        rng = self._rng
        windows = self._side_by_side(1)
        if relation.kind == "successive":
            windows = successive_windows(rng, rng.choices((1, 2, 3, 4, 5, 6), (3, 4, 5, 4, 2, 1))[0])
        elif relation.kind == "many":
            windows = self._side_by_side(rng.choices((1, 2, 3, 4, 5), (6, 4, 4, 2, 1))[0])
        tails: list[Entity] = []
        for window in windows:
            again = relation.kind == "successive" and relation.tail not in VALUE_TYPES and rng.random() < 0.1
            if again and len(tails) > 1:
                tail = rng.choice([tail for tail in tails if tail != tails[-1]] or [tails[-1]])
                if tail == tails[-1]:
                    continue
            else:
                new = self._tail(relation, {head.name, *(tail.name for tail in tails)}, people, maker)
                if new is None:
                    break
                tail = new
            tails.append(tail)
            self.facts.append(self._fact(head, relation, label, tail, window))
        return tails

    def _side_by_side(self, count: int) -> list[Window]:
        """So many windows that nothing ends: all unknown, as in most bases, or each since a year of its own."""
        if self._rng.random() >= SINCE:
            return [UNKNOWN] * count
        last = (SYNTHETIC_TODAY - 20) * 100 // 36525 - 1
        years = sorted(last - int(self._rng.triangular(0, 40, 0)) for _ in range(count))
        return [Window(_year_day(year), None, SOURCE) for year in years]

    def _fact(self, head: Entity, relation: OpenRelation, label: str, tail: Entity, window: Window) -> FiveTuple:
        sentence = ""
        if self._rng.random() >= 0.2:
            sentence = self._rng.choice(relation.sentences).format(
                x=head.name,
                t=tail.name,
                since="the start" if window.start is None else in_words(window.start, last=False),
                until="today" if window.end is None else in_words(window.end - 1, last=True),
            )
        context = Context(SOURCE, head.name, sentence, {}, {"url": None, "rev_id": None})
        return FiveTuple(head, Relation(relation.id, label), tail, context, window)

    def _tail(
        self,
        relation: OpenRelation,
        used: set[str],
        people: dict[str, list[Entity]],
        maker: Callable[[], str] | None,
    ) -> Entity | None:
        """A tail that is not used: of the dossier's own (a third), else new; None where a row has every small size."""
        kind, rng = relation.tail, self._rng
        own = [entity for entity in people.get(kind, ()) if entity.name not in used]
        if own and rng.random() < 0.35:
            return rng.choice(own)
        for _ in range(1000):
            if maker is not None:
                name = maker()
            elif kind in SHARED and (kind in _VALUES or rng.random() < 0.7):
                name = self._names.draw_shared(kind)
            else:
                name = self._names.draw(kind)
            if name not in used and self._type_of(name, kind) == kind:
                entity = self._entity(name, kind)
                if kind not in _VALUES:
                    people.setdefault(kind, []).append(entity)
                return entity
        if maker is not None:  # a firm of two to four has had every number of staff that it can have
            return None
        raise DataError(
            f"generate: no further {kind} for the relation {relation.name}; ask for fewer facts in params.yaml, "
            "section generate"
        )

    def _new_head(self, kind: str) -> Entity:
        name = self._names.draw(kind)
        while self._type_of(name, kind) != kind:
            name = self._names.draw(kind)
        return self._entity(name, kind)

    def _type_of(self, name: str, kind: str) -> str | None:
        return self._entities[name].type if name in self._entities else kind

    def _entity(self, name: str, kind: str) -> Entity:
        """The entity of this name: one name is one entity in the whole base."""
        if name not in self._entities:
            self._entities[name] = Entity(f"{self._prefix}{len(self._entities):05d}", name, kind)
        return self._entities[name]


def successive_windows(rng: random.Random, count: int) -> list[Window]:
    """So many windows in a row, by years mostly, else months or days; a quarter of the rows with a gap.

    The last is open in 60 % of the rows and holds today then; the first is open now and then.
    """
    to_day, unit, longest = rng.choices(
        ((_year_day, 365.25, 10), (_month_day, 30.44, 80), (_same_day, 1.0, 2500)), (15, 4, 1)
    )[0]
    lengths = [rng.randint(max(1, longest // 20), longest) for _ in range(count)]
    gap_after = rng.randrange(count - 1) if count > 1 and rng.random() < 0.25 else -1
    offsets, at = [], 0
    for position, length in enumerate(lengths):
        offsets.append((at, at + length))
        at += length + (rng.randint(1, max(1, longest // 4)) if position == gap_after else 0)
    open_end = rng.random() < 0.6
    if open_end:  # its last holder began some time ago
        anchor = int((SYNTHETIC_TODAY - 20) / unit) - rng.randint(0, lengths[-1])
        origin = anchor - offsets[-1][0]
    else:
        origin = int((SYNTHETIC_TODAY - 20) / unit) - int(rng.triangular(0, 60, 0) * 365.25 / unit) - offsets[-1][1]
    windows = []
    for position, (first, stop) in enumerate(offsets):
        start: int | None = to_day(origin + first)
        end: int | None = to_day(origin + stop)
        if position == 0 and rng.random() < 0.05:
            start = None
        if position == count - 1 and open_end:
            end = None
        windows.append(Window(start, end, SOURCE))
    return windows


def _year_day(number: int) -> int:
    return datetime.date(number + 1, 1, 1).toordinal()


def _month_day(number: int) -> int:
    return datetime.date(number // 12 + 1, number % 12 + 1, 1).toordinal()


def _same_day(number: int) -> int:
    return number
