"""Questions about an open base in many words, each with exactly one answer or, by construction, none.

`Question.program` says how one was made, so that an independent solver can answer it:

- kind: one of KINDS; head: the head's name, null where the question asks for it; tail: the tail that it names, or null.
- relations: the ids, one a hop; time: the window named, or null.
- form, mode, inverse: as `Question` reads them.

Of several holders in a window open at its start ("before 2015") the latest is meant, in one open at its end ("right
after 2015") the first that begins in it; every other window overlaps one holder.  `now` is the day SYNTHETIC_TODAY.
"""

from __future__ import annotations

import random
import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from kblampp.core.errors import DataError
from kblampp.data.facts import REASONS, Entity, FiveTuple, Question
from kblampp.data.spans import in_span
from kblampp.data.windows import SYNTHETIC_TODAY, Window, in_words, iso, year_window, years_bounds
from kblampp.synthetic.open_names import VALUE_TYPES, OpenNames, name_words
from kblampp.synthetic.open_schema import CONFLICTS, OPEN_BY_ID, OpenRelation
from kblampp.synthetic.open_times import time_expression, year_of
from kblampp.synthetic.open_worlds import OpenBase
from kblampp.synthetic.place_questions import implied, leads_to_larger
from kblampp.synthetic.spellings import Spellings

_PAST = re.compile(r"(Was|Were|Did) (\{[xt]\}) (.*)", re.IGNORECASE)
SINGULAR = 0.45
"""Share of the lists that are asked for as if there were one."""
TODAY = Window(SYNTHETIC_TODAY, SYNTHETIC_TODAY + 1, "question")
ATTEMPTS = 400
"""Draws a question wanted, on average, after which the base counts as too small."""
STILL = (
    "Is {t} still the {noun} of {x}?",
    "Is the {noun} of {x} still {t}?",
    "Does {x} still have {t} as its {noun}?",
    "Is {t} currently {x}'s {noun}?",
    "Is {x}'s {noun} {t} these days?",
    "is {t} the {noun} of {x} at present",
    "Is {t} the {noun} of {x} today?",
    "Does {x} have {t} as {noun} now?",
    "Has {x} still got {t} as its {noun}?",
    "Does {t} still serve as the {noun} of {x}?",
    "{x}: is the {noun} still {t}?",
    "does {x} still have the {noun} {t}",
    "Is it still the case that {t} is the {noun} of {x}?",
)
NEAR_RELATION = 0.4
"""Share of the missing relations that are near one that the head has."""
NEAR_NAME = 0.2
"""Share of the untrue yes-or-no questions with a name that nobody has and that is near the right one."""
NEAR_ROLE = 0.25
"""Share of those with a name that the head has in another role: who is its owner is not its architect."""
LARGER_PLACE, IMPLIED = 0.15, 2 / 3
"""Share of the two-hop questions that ask for the larger place of a place, and of these that do not name it."""
ASKED_NOW = 1 / 2
"""Share of the yes-or-no questions about holders that ask who holds today."""
SHORT, NOISE = 1 / 6, 1 / 6
"""Shares of the questions that shorten a name, if it can be, and that are typed carelessly."""


@dataclass(frozen=True)
class Draft:
    """A question before it gets its number.

    Attributes:
        text: The words.
        kind: Its key in KINDS.
        path: Ids of the supporting facts.
        answer: The answer, "" if there is none.
        relations: Relation ids, one a hop.
        head: The head named, or None.
        tail: The tail named, or None.
        time: The window named, or None.
        form: One of FORMS.
        mode: One of MODES.
        inverse: Whether it asks for the head.
        reason: One of REASONS for a question without an answer.
        aliases: Other answers that count as right.
    """

    text: str
    kind: str
    path: Sequence[int]
    answer: str
    relations: Sequence[str]
    head: str | None
    tail: str | None = None
    time: Window | None = None
    form: str = "value"
    mode: str = "any"
    inverse: bool = False
    reason: str | None = None
    aliases: tuple[str, ...] = ()


class OpenQuestionWriter:
    """Writes the questions of one split about an open base.

    Args:
        base: The knowledge base asked about.
        rng: Source of randomness.
        dataset: Name that stands in each row and in the question ids.
        split: Name of the split, part of the question ids.
        taken: Names of the base and of others, none of which is used for an unknown head; those used are added.
        seen: Question texts of all splits; none is written twice.
        first_fact: Id of the base's first fact in its file.
        first_question: Number of the first question in its split.
    """

    def __init__(
        self,
        base: OpenBase,
        rng: random.Random,
        *,
        dataset: str,
        split: str,
        taken: set[str],
        seen: set[str],
        first_fact: int = 0,
        first_question: int = 0,
    ) -> None:
        self._base, self._rng, self._taken, self._seen = base, rng, taken, seen
        self._dataset, self._split = dataset, split
        self._first_fact, self._number = first_fact, first_question
        self._facts = base.facts
        self._names = OpenNames(rng, base.part, taken)
        self._rows: dict[str, list[list[int]]] = defaultdict(list)
        for (_, relation), row in base.rows.items():
            self._rows[OPEN_BY_ID[relation].kind].append(row)
        self._rows_of: dict[str, list[list[int]]] = defaultdict(list)
        self._relations_of: dict[str, set[str]] = defaultdict(set)
        self._heads: dict[str, Entity] = {}
        self._tails: dict[str, list[Entity]] = defaultdict(list)
        self._in_larger: list[tuple[list[int], list[int]]] = []
        for (head, relation), row in base.rows.items():
            self._rows_of[head].append(row)
            self._relations_of[head].add(relation)
            self._heads[head] = self._facts[row[0]].head
        for tail in dict.fromkeys(fact.tail for fact in self._facts):
            self._tails[str(tail.type)].append(tail)
        for (_, relation), row in base.rows.items():
            onward = {name: self._rows_of[name] for name in self._tail_names(row) if name in self._rows_of}
            for outer in (outer for rows in onward.values() for outer in rows):
                if leads_to_larger(OPEN_BY_ID[relation], self._about(outer)[0]):
                    self._in_larger.append((row, outer))
        self._used = {relation: OPEN_BY_ID[relation] for _, relation in base.rows}
        self._kinds = {entity.name: str(entity.type) for fact in self._facts for entity in (fact.head, fact.tail)}
        self._spellings = Spellings(rng, self._kinds)

    def write(self, per_kind: int) -> list[Question]:
        """Writes `per_kind` questions of each kind.

        Raises:
            DataError: The base is too small for so many different questions.
        """
        questions: list[Question] = []
        for kind in KINDS:
            made = 0
            for _ in range(ATTEMPTS * per_kind):
                if made == per_kind:
                    break
                draft = getattr(self, f"_{kind}")()
                question = None if draft is None else self._finish(draft)
                if question is not None:
                    questions.append(question)
                    made += 1
            if made < per_kind:
                raise DataError(
                    f"generate: the open base of {self._dataset} {self._split} gives only {made} of the {per_kind} "
                    f"questions of the kind {kind} asked for; ask for fewer questions or more facts in params.yaml, "
                    "section generate"
                )
        return questions

    # The kinds.  Each draws one question, or None if the draw gives none.

    def _tail(self) -> Draft | None:
        row = self._row("single")
        relation, fact = self._about(row)
        return Draft(
            self._say(relation.questions, x=fact.head.name), "tail", row, fact.tail.name, [relation.id], fact.head.name
        )

    def _temporal(self) -> Draft | None:
        row = self._row("successive")
        relation, fact = self._about(row)
        when, window = self._time_in(row)
        path = self._holding(row, window)
        if len(self._tail_names(path)) != 1:
            return None
        text = self._say(relation.questions, x=fact.head.name, when=when)
        return Draft(text, "temporal", path, self._name(path[0]), [relation.id], fact.head.name, time=window)

    def _current(self) -> Draft | None:
        row = self._row("successive")
        relation, fact = self._about(row)
        path = self._holding(row, TODAY)
        if len(path) != 1:
            return None
        text = self._say(relation.current, x=fact.head.name)
        return Draft(text, "current", path, self._name(path[0]), [relation.id], fact.head.name, mode="now")

    def _first(self) -> Draft | None:
        return self._edge("first", 0)

    def _last(self) -> Draft | None:
        return self._edge("last", -1)

    def _edge(self, kind: str, place: int) -> Draft | None:
        row = self._row("successive")
        if len(row) < 2:
            return None
        relation, fact = self._about(row)
        path = [row[place]]
        text = self._say(getattr(relation, kind), x=fact.head.name)
        return Draft(text, kind, path, self._name(path[0]), [relation.id], fact.head.name, mode=kind)

    def _before(self) -> Draft | None:
        return self._neighbour("before", -1)

    def _after(self) -> Draft | None:
        return self._neighbour("after", 1)

    def _neighbour(self, kind: str, step: int) -> Draft | None:
        row = self._row("successive")
        place = self._rng.randrange(len(row))
        named = self._name(row[place])
        if not 0 <= place + step < len(row) or not self._held_once(row, named):
            return None
        relation, fact = self._about(row)
        path = [row[place + step]]
        text = self._say(getattr(relation, kind), x=fact.head.name, t=named)
        return Draft(text, kind, path, self._name(path[0]), [relation.id], fact.head.name, named, mode=kind)

    def _before_time(self) -> Draft | None:
        row = self._row("successive")
        relation, fact = self._about(row)
        start = self._facts[row[self._rng.randrange(len(row))]].window.start
        if start is None:
            return None
        year = year_of(start) + self._rng.randint(0, 3)
        window = Window(None, year_window(year).start, "question")
        path = self._holding(row, window)[-1:]
        if not path or year > year_of(SYNTHETIC_TODAY):
            return None
        when = self._rng.choice((f"before {year}", f"right before {year}", f"just before {year}"))
        text = self._say(relation.questions, x=fact.head.name, when=when)
        return Draft(text, "before_time", path, self._name(path[0]), [relation.id], fact.head.name, time=window)

    def _after_time(self) -> Draft | None:
        row = self._row("successive")
        relation, fact = self._about(row)
        end = self._facts[row[self._rng.randrange(len(row))]].window.end
        if end is None:
            return None
        year = year_of(end - 1) - self._rng.randint(0, 1)
        window = Window(year_window(year).end, None, "question")
        path = self._holding(row, window)[:1]
        # Who holds it across the year's end began before: right after the year could be either.
        if not path or (self._facts[path[0]].window.start or 0) < (window.start or 0):
            return None
        when = self._rng.choice((f"after {year}", f"right after {year}", f"just after {year}"))
        text = self._say(relation.questions, x=fact.head.name, when=when)
        return Draft(text, "after_time", path, self._name(path[0]), [relation.id], fact.head.name, time=window)

    def _began(self) -> Draft | None:
        return self._bound("began", "start")

    def _ended(self) -> Draft | None:
        return self._bound("ended", "end")

    def _bound(self, kind: str, form: str) -> Draft | None:
        row = self._row("successive")
        number = self._rng.choice(row)
        fact = self._facts[number]
        day = fact.window.start if form == "start" else fact.window.end
        if day is None or not self._held_once(row, fact.tail.name):
            return None
        relation, _ = self._about(row)
        answer = in_words(day, last=False) if form == "start" else in_words(day - 1, last=True)
        text = self._say(getattr(relation, kind), x=fact.head.name, t=fact.tail.name)
        year = str(year_of(day if form == "start" else day - 1))
        aliases = (year,) if "year" in text.casefold() and answer != year else ()  # "In what year ...?"
        ids, head, tail = [relation.id], fact.head.name, fact.tail.name
        return Draft(text, kind, [number], answer, ids, head, tail, form=form, aliases=aliases)

    def _inverse(self) -> Draft | None:
        row = self._row(self._rng.choice(("single", "successive", "many")))
        relation, _ = self._about(row)
        fact = self._facts[self._rng.choice(row)]
        if not relation.inverse:
            return None
        wording = self._rng.choice(relation.inverse)
        path = self._base.heads_of[fact.tail.name, relation.id]
        if len({self._facts[n].head.name for n in path}) != 1 or not self._only_meaning(wording, fact.tail, relation):
            return None
        text = self._say((wording,), t=fact.tail.name)
        return Draft(text, "inverse", path, fact.head.name, [relation.id], None, fact.tail.name, inverse=True)

    def _yes_no(self) -> Draft | None:
        row = self._row(self._rng.choice(("single", "successive", "successive", "many")))
        relation, fact = self._about(row)
        now = relation.kind == "successive" and self._rng.random() < ASKED_NOW
        wording = self._rng.choice((*STILL, *_still(relation.confirm)) if now else relation.confirm)
        wording = wording.replace("{noun}", relation.noun)
        when, window = self._time_in(row) if "{when}" in wording else ("", None)
        holding = self._holding(row, TODAY) if now else row if window is None else self._holding(row, window)
        if not holding:
            return None
        yes = self._number % 2 == 0  # half of them
        if yes:
            tail = self._name(self._rng.choice(holding))
            path = [number for number in holding if self._name(number) == tail]
        else:
            other = self._other_tail(row, holding, relation)
            if other is None:
                return None
            tail, path = other, holding
        text = self._say((wording,), x=fact.head.name, t=tail, when=when)
        answer = "yes" if yes else "no"
        about = "now" if now else "any"
        return Draft(text, "yes_no", path, answer, [relation.id], fact.head.name, tail, window, "yes_no", about)

    def _other_tail(self, row: Sequence[int], holding: Sequence[int], relation: OpenRelation) -> str | None:
        """A tail that does not hold: of another time, role or head, or nobody's and like one that does."""
        head = self._facts[row[0]].head.name
        held = {head, *self._tail_names(holding)}
        if self._rng.random() < NEAR_ROLE:
            numbers = [number for other in self._rows_of[head] for number in other]
            roles = [self._facts[number].tail for number in numbers if number not in row]
            near = [tail.name for tail in roles if tail.type == relation.tail and tail.name not in held]
            if near:
                return self._rng.choice(near)
        if relation.tail in self._names.kinds and self._rng.random() < NEAR_NAME:
            name = self._changed(self._name(self._rng.choice(holding)), relation.tail)
            if name is None or name in self._kinds or self._spellings.is_part_of_another(name):
                return None
            self._taken.add(name)
            self._kinds[name] = relation.tail
            return name
        others = [self._facts[n].tail for n in row] if self._rng.random() < 0.5 else self._tails[relation.tail]
        wrong = [other.name for other in others if other.name not in held]
        return self._rng.choice(wrong) if wrong else None

    def _list(self) -> Draft | None:
        return self._all("list")

    def _count(self) -> Draft | None:
        return self._all("count")

    def _all(self, form: str) -> Draft | None:
        row = self._row(self._rng.choice(("successive", "many")))
        relation, fact = self._about(row)
        singular = form == "list" and bool(relation.singular) and self._rng.random() < SINGULAR
        wordings = relation.singular if singular else getattr(relation, form)
        text, window, path = self._say(wordings, x=fact.head.name), None, row
        if relation.kind == "successive" and self._rng.random() < 0.4:
            when, window = self._span(row)
            mark = text[-1] if text[-1] in "?." and not text.endswith(fact.head.name) else ""  # not that of "& Co."
            text, holding = f"{text[: len(text) - len(mark)]} {when}{mark}", self._holding(row, window)
            path = in_span(window.bounds, holding, lambda number: self._facts[number].window.bounds)
        names = list(self._tail_names(path))
        if not names or (window is None and relation.kind == "successive" and len(names) < 2):
            return None
        if form == "count" and window is not None and len(names) == 1 and relation.tail in VALUE_TYPES:
            return None  # that number may be meant
        answer = str(len(names)) if form == "count" else "; ".join(names)
        # Asked for as one, of which there is one: what tells it from a list is the base, not the wording.
        asked = "value" if singular and len(row) == 1 else form
        return Draft(text, form, path, answer, [relation.id], fact.head.name, time=window, form=asked)

    def _two_hop(self) -> Draft | None:
        return self._larger_place() if self._rng.random() < LARGER_PLACE else self._hops(2)

    def _three_hop(self) -> Draft | None:
        return self._hops(3)

    def _hops(self, count: int) -> Draft | None:
        """A chain whose phrases mean today, or whose first says "the first NOUN of"; only single facts have no mode."""
        row = self._row(self._rng.choice(("single", "successive")))
        head = self._facts[row[0]].head.name
        phrase, mode, path = head, "any", list[int]()
        relations: list[str] = []
        for hop in range(count - 1):
            relation, _ = self._about(row)
            if relation.kind == "many" or not relation.phrases:
                return None
            wording = self._rng.choice(relation.phrases)
            found = row
            if relation.kind == "successive" and hop == 0 and self._rng.random() < 0.25:
                wording, found, mode = f"the first {relation.noun} of {{x}}", row[:1], "first"
            elif relation.kind == "successive":
                if mode == "first":
                    return None
                found, mode = self._holding(row, TODAY), "now"
            if len(found) != 1:
                return None
            path.append(found[0])
            relations.append(relation.id)
            phrase = wording.format(x=phrase)
            rows = self._rows_of.get(self._name(found[0]))
            if not rows:
                return None
            row = self._rng.choice(rows)
        relation, _ = self._about(row)
        wordings, when, window, found = relation.questions, "", None, row
        if relation.kind == "successive":
            if mode == "first":
                return None
            if mode == "any" and self._rng.random() < 0.5:
                when, window = self._time_in(row)
                found = self._holding(row, window)
            else:
                wordings, mode, found = relation.current, "now", self._holding(row, TODAY)
        answer = self._name(found[0]) if len(found) == 1 else head
        names = [head, *(self._name(number) for number in path), answer]
        if relation.kind == "many" or len(set(names)) < len(names):
            return None
        text = self._say(wordings, x=phrase, when=when).replace("the the ", "the ")
        kind = "two_hop" if count == 2 else "three_hop"
        return Draft(text, kind, [*path, found[0]], answer, [*relations, relation.id], head, time=window, mode=mode)

    def _larger_place(self) -> Draft | None:
        """For the region or country of a head's town; one of those that the base has, which may be none."""
        if not self._in_larger:
            return self._hops(2)
        inner, outer = self._rng.choice(self._in_larger)
        (relation, fact), (larger, _) = self._about(inner), self._about(outer)
        now = relation.kind == "successive"
        found = self._holding(inner, TODAY) if now else inner
        if len(found) != 1 or self._name(found[0]) != self._facts[outer[0]].head.name:
            return None
        head, answer = fact.head.name, self._name(outer[0])
        tails = [OPEN_BY_ID[other].tail for other in self._relations_of[head]]
        wording = None
        if self._rng.random() < IMPLIED and larger.tail not in tails:  # else it may mean what the head itself has
            wording = implied(relation, larger, only_place=tails.count(relation.tail) == 1, rng=self._rng)
        if wording is None:
            phrase = self._rng.choice(relation.phrases).format(x=head)
            text = self._say(larger.questions, x=phrase).replace("the the ", "the ")
        else:
            text = self._say((wording,), x=head)
        ids, mode = [relation.id, larger.id], "now" if now else "any"
        return None if head == answer else Draft(text, "two_hop", [found[0], outer[0]], answer, ids, head, mode=mode)

    def _unanswerable(self) -> Draft | None:
        reason = REASONS[self._number % len(REASONS)]  # each as often
        draft = getattr(self, f"_{reason}")()
        return None if draft is None else replace(draft, kind="unanswerable", path=(), answer="", reason=reason)

    def _unknown_head(self) -> Draft | None:
        relation = self._rng.choice(list(self._used.values()))
        inverse = bool(relation.inverse) and relation.tail in self._names.kinds and self._rng.random() < 0.2
        name = self._unknown_name(relation.tail if inverse else relation.head)
        if name is None:
            return None
        return self._ask_of_nobody(relation, None if inverse else name, name if inverse else None)

    def _missing_relation(self) -> Draft | None:
        relation = self._rng.choice(list(self._used.values()))
        if relation.inverse and self._rng.random() < 0.2:
            tail = self._rng.choice(self._tails[relation.tail])
            draft = self._ask_of_nobody(relation, None, tail.name)
            held = (tail.name, relation.id) in self._base.heads_of
            return None if held or not self._only_meaning("", tail, relation) else draft
        heads = [head.name for head in self._heads.values() if head.type == relation.head]
        head = self._rng.choice(heads)
        if self._rng.random() < NEAR_RELATION:
            near = [
                other for other in self._used.values() if other.head == relation.head and self._is_near(other, head)
            ]
            if not near:
                return None
            relation = self._rng.choice(near)
        if self._relations_of[head] & (CONFLICTS[relation.id] | {relation.id}):
            return None
        return self._ask_of_nobody(relation, head, None)

    def _is_near(self, relation: OpenRelation, head: str) -> bool:
        """Whether the head has another relation with tails of the same type, or with a word of its labels."""
        own = [OPEN_BY_ID[other] for other in self._relations_of[head] if other != relation.id]
        return any(_label_words(relation) & _label_words(other) for other in own) or (
            relation.tail not in ("PERSON", "PHRASE") and any(relation.tail == other.tail for other in own)
        )

    def _ask_of_nobody(self, relation: OpenRelation, head: str | None, tail: str | None) -> Draft | None:
        """A question of any kind about a head or, if that is None, a tail that has no such fact."""
        if head is None:
            text = self._say(relation.inverse, t=str(tail))
            return Draft(text, "", (), "", [relation.id], None, tail, inverse=True)
        if relation.kind == "single":
            return Draft(self._say(relation.questions, x=head), "", (), "", [relation.id], head)
        if relation.kind == "many":
            return Draft(self._say(relation.list, x=head), "", (), "", [relation.id], head, form="list")
        kind = self._rng.choice(
            ("questions", "questions", "current", "first", "last", "before", "after", "began", "ended")
        )
        if kind == "questions":
            when, window = time_expression(self._rng, self._rng.randint(SYNTHETIC_TODAY - 18_000, SYNTHETIC_TODAY))
            return Draft(self._say(relation.questions, x=head, when=when), "", (), "", [relation.id], head, time=window)
        named = kind in ("before", "after", "began", "ended")
        tail = self._rng.choice(self._tails[relation.tail]).name if named else None
        if tail == head:
            return None
        text = self._say(getattr(relation, kind), x=head, t=tail or "")
        form = {"began": "start", "ended": "end"}.get(kind, "value")
        mode = "any" if form != "value" else "now" if kind == "current" else kind
        return Draft(text, "", (), "", [relation.id], head, tail, form=form, mode=mode)

    def _wrong_time(self) -> Draft | None:
        row = self._row("successive")
        relation, fact = self._about(row)
        ids, head = [relation.id], fact.head.name
        if self._rng.random() < 0.2:
            if self._holding(row, TODAY):
                return None
            return Draft(self._say(relation.current, x=head), "", (), "", ids, head, mode="now")
        if self._rng.random() < 0.2:
            kind, named = self._rng.choice((("before", self._name(row[0])), ("after", self._name(row[-1]))))
            if not self._held_once(row, named):
                return None
            return Draft(self._say(getattr(relation, kind), x=head, t=named), "", (), "", ids, head, named, mode=kind)
        first = self._facts[row[0]].window.start or self._facts[row[0]].window.end or SYNTHETIC_TODAY
        last = self._facts[row[-1]].window.end or SYNTHETIC_TODAY
        when, window = time_expression(self._rng, self._rng.randint(first - 7300, min(last + 3650, SYNTHETIC_TODAY)))
        if self._holding(row, window):
            return None
        return Draft(self._say(relation.questions, x=head, when=when), "", (), "", ids, head, time=window)

    # What the kinds are made of.

    def _row(self, kind: str) -> list[int]:
        return self._rng.choice(self._rows[kind])

    def _about(self, row: Sequence[int]) -> tuple[OpenRelation, FiveTuple]:
        fact = self._facts[row[0]]
        return OPEN_BY_ID[str(fact.relation.id)], fact

    def _name(self, number: int) -> str:
        return self._facts[number].tail.name

    def _tail_names(self, numbers: Sequence[int]) -> dict[str, None]:
        """The different tails, in order."""
        return dict.fromkeys(self._name(number) for number in numbers)

    def _holding(self, row: Sequence[int], window: Window) -> list[int]:
        return [number for number in row if self._facts[number].window.overlaps(window)]

    def _held_once(self, row: Sequence[int], tail: str) -> bool:
        return sum(self._name(number) == tail for number in row) == 1

    def _only_meaning(self, wording: str, tail: Entity, relation: OpenRelation) -> bool:
        """Whether no other relation of the tail is asked for with the same words."""
        others = (other for other in self._used.values() if (tail.name, other.id) in self._base.heads_of)
        wordings = {wording} if wording else set(relation.inverse)
        return not any(wordings & set(other.inverse) for other in others if other.id != relation.id)

    def _time_in(self, row: Sequence[int]) -> tuple[str, Window]:
        """A time expression about a day of one of the row's facts."""
        window = self._facts[self._rng.choice(row)].window
        stop = min(window.end or SYNTHETIC_TODAY, SYNTHETIC_TODAY)
        return time_expression(self._rng, self._rng.randint(window.start or stop - 3000, stop - 1))

    def _span(self, row: Sequence[int]) -> tuple[str, Window]:
        """ "since 2004", "between 2001 and 2005" and the like, about a row's time."""
        window = self._facts[self._rng.choice(row)].window
        first = min(year_of(window.start or (window.end or SYNTHETIC_TODAY) - 3000) + self._rng.randint(0, 2), 2025)
        last = min(first + self._rng.randint(1, 12), 2026)
        start, end = years_bounds(first, last + 1) or (None, None)
        if self._rng.random() < 0.5:
            return self._rng.choice((f"since {first}", f"from {first} on")), Window(start, None, "question")
        when = self._rng.choice((f"between {first} and {last}", f"from {first} to {last}"))
        return when, Window(start, end, "question")

    def _say(self, wordings: Sequence[str], **fields: str) -> str:
        wording = self._rng.choice(wordings)
        text = wording.format(**fields)
        phrase = fields.get("x", "").startswith("the ") and wording.startswith("{x}") and len(wording) > 12
        if wording.startswith("{when}") or (phrase and self._rng.random() < 0.7):
            text = text[0].upper() + text[1:]
        return text

    def _unknown_name(self, kind: str) -> str | None:
        """A name nobody has: a new one or, half of the time, that of an entity with a word or number changed."""
        name: str | None = self._names.draw(kind)
        if self._rng.random() < 0.5:
            known = [head for head in self._heads.values() if head.type == kind] or self._tails[kind]
            name = self._changed(self._rng.choice(known).name, kind) if known else None
        if name is None or self._spellings.is_part_of_another(name):
            return None
        self._taken.add(name)
        self._kinds[name] = kind
        return name

    def _changed(self, name: str, kind: str) -> str | None:
        """The name with one of its words, or the digits of one, changed; None if it is one word."""
        words, new = name.split(" "), [word for word in self._names.draw(kind).split(" ") if name_words(word)]
        places = [n for n, word in enumerate(words) if name_words(word) or any(c.isdigit() for c in word)]
        place = self._rng.choice(places) if places else 0
        if any(c.isdigit() for c in words[place]):
            words[place] = "".join(str(self._rng.randint(1, 9)) if c.isdigit() else c for c in words[place])
        elif len(words) > 1 and new:
            word = self._rng.choice(new)
            words[place] = word if words[place][0].isupper() == word[0].isupper() else word.swapcase()
        else:
            return None
        changed = " ".join(words)
        return None if changed == name else changed

    # Noise and numbers.

    def _finish(self, draft: Draft) -> Question | None:
        """The question with its number, now and then with a short name or typed carelessly; None if there is one."""
        chance = self._rng.random()
        text = draft.text
        if chance < SHORT:
            text = self._respelt(draft, lambda name: self._spellings.shortened(name, self._kinds[name])) or text
        elif chance < SHORT + NOISE:
            text = self._noisy(draft)
        if text in self._seen:
            return None
        self._seen.add(text)
        kind = "single-hop"
        if draft.reason is not None:
            kind = "unanswerable"
        elif len(draft.relations) > 1:
            kind = "multi-hop"
        elif draft.time is not None:
            kind = "temporal"
        number, self._number = self._number, self._number + 1
        return Question(
            qid=f"{self._dataset}_{self._split}_{number:05d}",
            dataset=self._dataset,
            question=text,
            answer=draft.answer,
            aliases=draft.aliases,
            type=kind,
            supporting_facts=tuple(number + self._first_fact for number in draft.path),
            question_time=draft.time,
            reason=draft.reason,
            program=_program(draft),
        )

    def _noisy(self, draft: Draft) -> str:
        way = self._rng.randrange(3)
        if way == 0:
            return draft.text.lower()
        if way == 1 and draft.text.endswith("?"):
            return draft.text[:-1]
        return self._respelt(draft, self._spellings.mistyped) or draft.text.lower()

    def _respelt(self, draft: Draft, spell: Callable[[str], str | None]) -> str | None:
        """The text with one of the names that it mentions spelt anew; None if that cannot be."""
        name = self._rng.choice([name for name in (draft.head, draft.tail) if name])
        spelt = spell(name) if draft.text.count(name) == 1 else None
        return None if spelt is None else draft.text.replace(name, spelt)


def _still(wordings: Sequence[str]) -> list[str]:
    """Yes-or-no questions about a time as questions about now: "Was {x} ... {when}?" as "Is {x} still ...?"."""
    result = []
    for wording in wordings:
        match = _PAST.match(wording)
        if match and "{when}" in wording:
            verb = {"was": "is", "were": "are", "did": "does"}[match[1].lower()]
            verb = verb.capitalize() if match[1][0].isupper() else verb
            result.append(f"{verb} {match[2]} still {match[3]}".replace(" {when}", ""))
    return result


@cache
def _label_words(relation: OpenRelation) -> frozenset[str]:
    return frozenset(word for label in relation.labels for word in re.findall(r"\w{4,}", label.casefold()))


def _program(draft: Draft) -> dict[str, Any]:
    window = draft.time
    return {
        "kind": draft.kind,
        "head": draft.head,
        "relations": list(draft.relations),
        "tail": draft.tail,
        "time": None if window is None else {"start": _iso(window.start), "end": _iso(window.end)},
        "form": draft.form,
        "mode": draft.mode,
        "inverse": draft.inverse,
    }


def _iso(day: int | None) -> str | None:
    return None if day is None else iso(day)


KINDS = (
    "tail",
    "temporal",
    "current",
    "first",
    "last",
    "before",
    "after",
    "before_time",
    "after_time",
    "began",
    "ended",
    "inverse",
    "yes_no",
    "list",
    "count",
    "two_hop",
    "three_hop",
    "unanswerable",
)
"""The kinds of questions, each a method of OpenQuestionWriter."""
