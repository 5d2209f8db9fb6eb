"""Questions through several facts, where a phrase stands for the thing between: "Where was the mayor of Ulm born?".

People say that thing by what leads to it from a head ("the depot No. 7 runs from"), at a time ("whoever ran the mill in
1950") or from a tail ("the wine that scored 91 points"), and do not say it at all where it is a place
(`place_questions`).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from kblampp.data.windows import Window
from kblampp.synthetic.drafts import Draft
from kblampp.synthetic.open_rows import TODAY, OpenRows
from kblampp.synthetic.open_schema import CONFLICTS, OPEN_BY_ID
from kblampp.synthetic.place_questions import implied, leads_to_larger

LARGER_PLACE, AT_TIME, BEGINS_AT_TAIL = 0.15, 0.06, 0.18
"""Shares of the draws of two-hop questions: for the larger place of a place, from a head at a time, and from a tail."""
IMPLIED = 2 / 3
"""Share of those for a larger place that do not name the place between."""
FROM_TAIL = 0.1
"""Share of the draws of three hops, and of chains that end in nothing, that begin with a tail."""
DRAWS = 50
"""Rows that are looked at for one whose holder at some time has facts of its own: few have."""
FIRST = 1 / 4
"""Share of the phrases of a row in time that say "the first NOUN of" and do not mean today."""


@dataclass(frozen=True)
class Link:
    """A phrase that stands for a thing.

    Attributes:
        phrase: What is said in the place of a name.
        entity: The thing's name.
        path: The facts that lead to it.
        mode: One of MODES, as the phrase means it.
        head: The name of the head that it says.
        tail: The name of the tail that it says, in the place of a head.
    """

    phrase: str
    entity: str
    path: tuple[int, ...] = ()
    mode: str = "any"
    head: str | None = None
    tail: str | None = None


class Chains:
    """Writes questions of several hops about a base; each method draws one, or None if the draw gives none.

    Args:
        rows: The base.
        rng: Source of randomness.
    """

    def __init__(self, rows: OpenRows, rng: random.Random) -> None:
        self._rows, self._rng = rows, rng
        self._in_larger: list[tuple[list[int], list[int]]] = []
        for row in (row for every in rows.of_head.values() for row in every):
            for name in rows.tail_names(row):
                for outer in rows.of_head.get(name, ()):
                    if leads_to_larger(rows.about(row)[0], rows.about(outer)[0]):
                        self._in_larger.append((row, outer))

    def two_hop(self) -> Draft | None:
        """From a head through its phrase, as of today or at a time; from a tail; or for the larger place of a place."""
        chance = self._rng.random()
        if chance < LARGER_PLACE and self._in_larger:
            return self._larger_place()
        if chance < LARGER_PLACE + AT_TIME:
            return next(filter(None, (self._timed() for _ in range(DRAWS))), None)
        is_from_tail = chance < LARGER_PLACE + AT_TIME + BEGINS_AT_TAIL
        return self._end(self._from_tail() if is_from_tail else self._from_head(), "two_hop")

    def three_hop(self) -> Draft | None:
        """From a head or a tail, with one more phrase."""
        link = self._from_tail() if self._rng.random() < FROM_TAIL else self._from_head()
        row = None if link is None else self._row_of(link.entity)
        return None if link is None or row is None else self._end(self._onward(link, row), "three_hop")

    def leading_nowhere(self) -> Draft | None:
        """Through a phrase to what the thing between has no fact of."""
        link = self._from_tail() if self._rng.random() < FROM_TAIL else self._from_head()
        if link is None or link.mode == "first":
            return None
        held = self._rows.relations_of.get(link.entity, set())
        named = self._rows.relations_of.get(link.head or "", set())
        kind = self._rows.types[link.entity]
        fitting = [other for other in self._rows.used.values() if other.head == kind and other.kind != "many"]
        asked = self._rng.choice(fitting) if fitting else None
        if asked is None or (held | named) & (CONFLICTS[asked.id] | {asked.id}):
            return None
        now = asked.kind == "successive"
        text = self._ask(asked.current if now else asked.questions, link)
        relations = [*self._relations(link), asked.id]
        mode = "now" if now else link.mode
        return Draft(text, "", (), "", relations, link.head, link.tail, mode=mode, inverse=link.tail is not None)

    # Phrases.

    def _from_head(self) -> Link | None:
        row = self._rows.draw("single", "successive")
        head = self._rows.about(row)[1].head.name
        return self._onward(Link(head, head, head=head), row)

    def _onward(self, link: Link, row: Sequence[int]) -> Link | None:
        """The thing at the other end of a row of the one that a phrase stands for."""
        relation, _ = self._rows.about(row)
        if relation.kind == "many":
            return None
        wordings, found, mode = relation.phrases, row, link.mode
        if relation.kind == "successive":
            if link.mode == "first":
                return None
            found, mode = self._rows.holding(row, TODAY), "now"
            if not link.path and self._rng.random() < FIRST:
                wordings, found, mode = (f"the first {relation.noun} of {{x}}",), row[:1], "first"
        if len(found) != 1 or not wordings:
            return None
        phrase = self._rng.choice(wordings).format(x=link.phrase)
        return Link(phrase, self._rows.name(found[0]), (*link.path, found[0]), mode, link.head, link.tail)

    def _from_tail(self) -> Link | None:
        row = self._rows.draw("single", "successive", "many")
        relation, _ = self._rows.about(row)
        fact = self._rows.facts[self._rng.choice(row)]
        found, mode = self._rows.naming(fact.tail.name, relation.id), "any"
        if relation.kind == "successive":
            found, mode = self._rows.holding(found, TODAY), "now"
        if len(found) != 1 or not relation.of_tail:
            return None
        wording = self._rng.choice(relation.of_tail)
        if not self._rows.only_meaning({wording}, fact.tail, relation):
            return None
        tail = fact.tail.name
        head = self._rows.facts[found[0]].head.name
        return Link(wording.format(t=tail), head, (found[0],), mode, None, tail)

    # What is asked of the thing that a phrase stands for.

    def _timed(self) -> Draft | None:
        """Of what was a head's at a time: said of that, or of all where the last fact has a time too."""
        row = self._rows.draw("successive")
        relation, fact = self._rows.about(row)
        when, window = self._rows.time_in(row)
        found = self._rows.holding(row, window)
        last = self._row_of(self._rows.name(found[0])) if len(found) == 1 else None
        if last is None:
            return None
        head, (asked, _) = fact.head.name, self._rows.about(last)
        timed = asked.kind == "successive"
        phrase = self._rng.choice(relation.phrases if timed else relation.phrases_at).format(x=head, when=when)
        link = Link(phrase, self._rows.name(found[0]), (found[0],), "any", head)
        return self._draft("two_hop", link, last, asked.questions, when, window)

    def _end(self, link: Link | None, kind: str) -> Draft | None:
        """A question for the other end of some row of the thing that a phrase stands for."""
        row = None if link is None else self._row_of(link.entity)
        if link is None or row is None:
            return None
        relation, _ = self._rows.about(row)
        if relation.kind != "successive":
            return self._draft(kind, link, row, relation.questions)
        if link.mode == "any" and self._rng.random() < 0.5:
            return self._draft(kind, link, row, relation.questions, *self._rows.time_in(row))
        return None if link.mode == "first" else self._draft(kind, replace(link, mode="now"), row, relation.current)

    def _draft(
        self,
        kind: str,
        link: Link,
        row: Sequence[int],
        wordings: Sequence[str],
        when: str = "",
        window: Window | None = None,
    ) -> Draft | None:
        """None if a row has several tails, a name comes twice, or what leads to the last fact is of other times."""
        relation, _ = self._rows.about(row)
        meant = window or (TODAY if relation.kind == "successive" else None)
        found = row if meant is None else self._rows.holding(row, meant)
        timely = window is None or len(self._rows.holding(link.path, window)) == len(link.path)
        if relation.kind == "many" or len(found) != 1 or not timely:
            return None
        path = [*link.path, found[0]]
        names = [name for number in path for name in self._rows.ends(number)]
        if len(set(names)) <= len(path):  # a circle
            return None
        text, relations = self._ask(wordings, link, when), [*self._relations(link), relation.id]
        answer, inverse = self._rows.name(found[0]), link.tail is not None
        return Draft(text, kind, path, answer, relations, link.head, link.tail, window, mode=link.mode, inverse=inverse)

    def _larger_place(self) -> Draft | None:
        """For the region or country of a head's town."""
        inner, outer = self._rng.choice(self._in_larger)
        (relation, fact), (larger, _) = self._rows.about(inner), self._rows.about(outer)
        now = relation.kind == "successive"
        found = self._rows.holding(inner, TODAY) if now else inner
        if len(found) != 1 or self._rows.name(found[0]) != self._rows.facts[outer[0]].head.name:
            return None
        head, answer = fact.head.name, self._rows.name(outer[0])
        tails = [OPEN_BY_ID[other].tail for other in self._rows.relations_of[head]]
        wording = None
        if self._rng.random() < IMPLIED and larger.tail not in tails:  # else it may mean what the head itself has
            wording = implied(relation, larger, only_place=tails.count(relation.tail) == 1, rng=self._rng)
        if wording is None:
            phrase = self._rng.choice(relation.phrases).format(x=head)
            text = self._ask(larger.questions, Link(phrase, head))
        else:
            text = self._rows.say((wording,), x=head)
        ids, mode = [relation.id, larger.id], "now" if now else "any"
        return None if head == answer else Draft(text, "two_hop", [found[0], outer[0]], answer, ids, head, mode=mode)

    def _row_of(self, entity: str) -> list[int] | None:
        rows = self._rows.of_head.get(entity)
        return self._rng.choice(rows) if rows else None

    def _relations(self, link: Link) -> list[str]:
        return [str(self._rows.facts[number].relation.id) for number in link.path]

    def _ask(self, wordings: Sequence[str], link: Link, when: str = "") -> str:
        return self._rows.say(wordings, x=link.phrase, when=when).replace("the the ", "the ")
