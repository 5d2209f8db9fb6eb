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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache

from kblampp.core.errors import DataError
from kblampp.data.facts import REASONS, Question
from kblampp.data.spans import in_span
from kblampp.data.windows import SYNTHETIC_TODAY, Window, in_words, year_window
from kblampp.synthetic.chains import Chains
from kblampp.synthetic.drafts import Draft, program_of
from kblampp.synthetic.open_names import VALUE_TYPES, OpenNames, name_words
from kblampp.synthetic.open_rows import TODAY, OpenRows
from kblampp.synthetic.open_schema import CONFLICTS, OPEN_BY_ID, OpenRelation, Part
from kblampp.synthetic.open_times import time_expression, year_of
from kblampp.synthetic.open_worlds import OpenBase
from kblampp.synthetic.spellings import Spellings

_PAST = re.compile(r"(Was|Were|Did) (\{[xt]\}) (.*)", re.IGNORECASE)
SINGULAR = 0.45
"""Share of the lists that are asked for as if there were one."""
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
LEADING_NOWHERE = 0.15
"""Share of the missing relations that a chain ends in."""
OTHER_KIND = 0.15
"""Share of the missing relations of heads that a word makes of one that is there: the deputy mayor of a town."""
OF_PEOPLE: Mapping[Part, str] = {
    "train": "deputy assistant honorary acting regional junior interim night backup associate visiting trainee "
    "volunteer shadow stand-in goalkeeping sales marketing overseas digital spiritual vice- co- sub- under- pro-",
    "unseen": "adjunct auxiliary provisional weekend technical financial ex-",
}
"""Words that make another office of one, by part; one that ends in a hyphen is written together with it."""
OF_THINGS: Mapping[Part, str] = {
    "train": "second spare backup rival temporary secondary planned alternative minimum maximum average nightly "
    "monthly student evening winter underground northern indoor emergency wholesale disputed unofficial",
    "unseen": "substitute reserve proposed hourly seasonal foreign southern",
}
"""The same of other things."""
OF_ANOTHER_KIND = (
    "Who is the {kind} {noun} of {x}?",
    "Who is {kind} {noun} at {x}?",
    "Who is {x}'s {kind} {noun}?",
    "who's the {kind} {noun} of {x} these days",
    "{kind} {noun} of {x}",
    "name of the {kind} {noun} at {x}",
    "{x} {kind} {noun}",
    "Does {x} have a {kind} {noun}, and who is it?",
)
"""Of people; of things they ask "What" (`_of_another_kind`)."""
NEAR_RELATION = 0.4
"""Share of the missing relations that are near one that the head has."""
NEAR_NAME = 0.2
"""Share of the untrue yes-or-no questions with a name that nobody has and that is near the right one."""
NEAR_ROLE = 0.25
"""Share of those with a name that the head has in another role: who is its owner is not its architect."""
ASKED_NOW = 1 / 2
"""Share of the yes-or-no questions about holders that ask who holds today."""
SHORT, NOISE = 1 / 6, 1 / 6
"""Shares of the questions that shorten a name, if it can be, and that are typed carelessly."""


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
        self._rng, self._taken, self._seen, self._part = rng, taken, seen, base.part
        self._dataset, self._split = dataset, split
        self._first_fact, self._number = first_fact, first_question
        self._names = OpenNames(rng, base.part, taken)
        self._rows = OpenRows(base, rng)
        self._facts, self._types = self._rows.facts, self._rows.types
        self._chains = Chains(self._rows, rng)
        self._spellings = Spellings(rng, self._types)

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
                draft = self._draw(kind)
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

    def _draw(self, kind: str) -> Draft | None:
        draft: Draft | None = getattr(
            self._chains if kind in CHAINS else self, f"{'' if kind in CHAINS else '_'}{kind}"
        )()
        return draft

    # The kinds.  Each draws one question, or None if the draw gives none.

    def _tail(self) -> Draft | None:
        row = self._rows.draw("single")
        relation, fact = self._rows.about(row)
        return Draft(
            self._rows.say(relation.questions, x=fact.head.name),
            "tail",
            row,
            fact.tail.name,
            [relation.id],
            fact.head.name,
        )

    def _temporal(self) -> Draft | None:
        row = self._rows.draw("successive")
        relation, fact = self._rows.about(row)
        when, window = self._rows.time_in(row)
        path = self._rows.holding(row, window)
        if len(self._rows.tail_names(path)) != 1:
            return None
        text = self._rows.say(relation.questions, x=fact.head.name, when=when)
        return Draft(text, "temporal", path, self._rows.name(path[0]), [relation.id], fact.head.name, time=window)

    def _current(self) -> Draft | None:
        row = self._rows.draw("successive")
        relation, fact = self._rows.about(row)
        path = self._rows.holding(row, TODAY)
        if len(path) != 1:
            return None
        text = self._rows.say(relation.current, x=fact.head.name)
        return Draft(text, "current", path, self._rows.name(path[0]), [relation.id], fact.head.name, mode="now")

    def _first(self) -> Draft | None:
        return self._edge("first", 0)

    def _last(self) -> Draft | None:
        return self._edge("last", -1)

    def _edge(self, kind: str, place: int) -> Draft | None:
        row = self._rows.draw("successive")
        if len(row) < 2:
            return None
        relation, fact = self._rows.about(row)
        path = [row[place]]
        text = self._rows.say(getattr(relation, kind), x=fact.head.name)
        return Draft(text, kind, path, self._rows.name(path[0]), [relation.id], fact.head.name, mode=kind)

    def _before(self) -> Draft | None:
        return self._neighbour("before", -1)

    def _after(self) -> Draft | None:
        return self._neighbour("after", 1)

    def _neighbour(self, kind: str, step: int) -> Draft | None:
        row = self._rows.draw("successive")
        place = self._rng.randrange(len(row))
        named = self._rows.name(row[place])
        if not 0 <= place + step < len(row) or not self._rows.held_once(row, named):
            return None
        relation, fact = self._rows.about(row)
        path = [row[place + step]]
        text = self._rows.say(getattr(relation, kind), x=fact.head.name, t=named)
        return Draft(text, kind, path, self._rows.name(path[0]), [relation.id], fact.head.name, named, mode=kind)

    def _before_time(self) -> Draft | None:
        row = self._rows.draw("successive")
        relation, fact = self._rows.about(row)
        start = self._facts[row[self._rng.randrange(len(row))]].window.start
        if start is None:
            return None
        year = year_of(start) + self._rng.randint(0, 3)
        window = Window(None, year_window(year).start, "question")
        path = self._rows.holding(row, window)[-1:]
        if not path or year > year_of(SYNTHETIC_TODAY):
            return None
        when = self._rng.choice((f"before {year}", f"right before {year}", f"just before {year}"))
        text = self._rows.say(relation.questions, x=fact.head.name, when=when)
        return Draft(text, "before_time", path, self._rows.name(path[0]), [relation.id], fact.head.name, time=window)

    def _after_time(self) -> Draft | None:
        row = self._rows.draw("successive")
        relation, fact = self._rows.about(row)
        end = self._facts[row[self._rng.randrange(len(row))]].window.end
        if end is None:
            return None
        year = year_of(end - 1) - self._rng.randint(0, 1)
        window = Window(year_window(year).end, None, "question")
        path = self._rows.holding(row, window)[:1]
        # Who holds it across the year's end began before: right after the year could be either.
        if not path or (self._facts[path[0]].window.start or 0) < (window.start or 0):
            return None
        when = self._rng.choice((f"after {year}", f"right after {year}", f"just after {year}"))
        text = self._rows.say(relation.questions, x=fact.head.name, when=when)
        return Draft(text, "after_time", path, self._rows.name(path[0]), [relation.id], fact.head.name, time=window)

    def _began(self) -> Draft | None:
        return self._bound("began", "start")

    def _ended(self) -> Draft | None:
        return self._bound("ended", "end")

    def _bound(self, kind: str, form: str) -> Draft | None:
        row = self._rows.draw("successive")
        number = self._rng.choice(row)
        fact = self._facts[number]
        day = fact.window.start if form == "start" else fact.window.end
        if day is None or not self._rows.held_once(row, fact.tail.name):
            return None
        relation, _ = self._rows.about(row)
        answer = in_words(day, last=False) if form == "start" else in_words(day - 1, last=True)
        text = self._rows.say(getattr(relation, kind), x=fact.head.name, t=fact.tail.name)
        year = str(year_of(day if form == "start" else day - 1))
        aliases = (year,) if "year" in text.casefold() and answer != year else ()  # "In what year ...?"
        ids, head, tail = [relation.id], fact.head.name, fact.tail.name
        return Draft(text, kind, [number], answer, ids, head, tail, form=form, aliases=aliases)

    def _inverse(self) -> Draft | None:
        row = self._rows.draw("single", "successive", "many")
        relation, _ = self._rows.about(row)
        fact = self._facts[self._rng.choice(row)]
        if not relation.inverse:
            return None
        wording = self._rng.choice(relation.inverse)
        path = self._rows.naming(fact.tail.name, relation.id)
        if len({self._facts[n].head.name for n in path}) != 1 or not self._rows.only_meaning(
            {wording}, fact.tail, relation
        ):
            return None
        text = self._rows.say((wording,), t=fact.tail.name)
        return Draft(text, "inverse", path, fact.head.name, [relation.id], None, fact.tail.name, inverse=True)

    def _yes_no(self) -> Draft | None:
        row = self._rows.draw("single", "successive", "successive", "many")
        relation, fact = self._rows.about(row)
        now = relation.kind == "successive" and self._rng.random() < ASKED_NOW
        wording = self._rng.choice((*STILL, *_still(relation.confirm)) if now else relation.confirm)
        wording = wording.replace("{noun}", relation.noun)
        when, window = self._rows.time_in(row) if "{when}" in wording else ("", None)
        holding = self._rows.holding(row, TODAY) if now else row if window is None else self._rows.holding(row, window)
        if not holding:
            return None
        yes = self._number % 2 == 0  # half of them
        if yes:
            tail = self._rows.name(self._rng.choice(holding))
            path = [number for number in holding if self._rows.name(number) == tail]
        else:
            other = self._other_tail(row, holding, relation)
            if other is None:
                return None
            tail, path = other, holding
        text = self._rows.say((wording,), x=fact.head.name, t=tail, when=when)
        answer = "yes" if yes else "no"
        about = "now" if now else "any"
        return Draft(text, "yes_no", path, answer, [relation.id], fact.head.name, tail, window, "yes_no", about)

    def _other_tail(self, row: Sequence[int], holding: Sequence[int], relation: OpenRelation) -> str | None:
        """A tail that does not hold: of another time, role or head, or nobody's and like one that does."""
        head = self._facts[row[0]].head.name
        held = {head, *self._rows.tail_names(holding)}
        if self._rng.random() < NEAR_ROLE:
            numbers = [number for other in self._rows.of_head[head] for number in other]
            roles = [self._facts[number].tail for number in numbers if number not in row]
            near = [tail.name for tail in roles if tail.type == relation.tail and tail.name not in held]
            if near:
                return self._rng.choice(near)
        if relation.tail in self._names.kinds and self._rng.random() < NEAR_NAME:
            name = self._changed(self._rows.name(self._rng.choice(holding)), relation.tail)
            if name is None or name in self._types or self._spellings.is_part_of_another(name):
                return None
            self._taken.add(name)
            self._types[name] = relation.tail
            return name
        others = [self._facts[n].tail for n in row] if self._rng.random() < 0.5 else self._rows.tails[relation.tail]
        wrong = [other.name for other in others if other.name not in held]
        return self._rng.choice(wrong) if wrong else None

    def _list(self) -> Draft | None:
        return self._all("list")

    def _count(self) -> Draft | None:
        return self._all("count")

    def _all(self, form: str) -> Draft | None:
        row = self._rows.draw("successive", "many")
        relation, fact = self._rows.about(row)
        singular = form == "list" and bool(relation.singular) and self._rng.random() < SINGULAR
        wordings = relation.singular if singular else getattr(relation, form)
        text, window, path = self._rows.say(wordings, x=fact.head.name), None, row
        if relation.kind == "successive" and self._rng.random() < 0.4:
            when, window = self._rows.span(row)
            mark = text[-1] if text[-1] in "?." and not text.endswith(fact.head.name) else ""  # not that of "& Co."
            text, holding = f"{text[: len(text) - len(mark)]} {when}{mark}", self._rows.holding(row, window)
            path = in_span(window.bounds, holding, lambda number: self._facts[number].window.bounds)
        names = list(self._rows.tail_names(path))
        if not names or (window is None and relation.kind == "successive" and len(names) < 2):
            return None
        if form == "count" and window is not None and len(names) == 1 and relation.tail in VALUE_TYPES:
            return None  # that number may be meant
        answer = str(len(names)) if form == "count" else "; ".join(names)
        # Asked for as one, of which there is one: what tells it from a list is the base, not the wording.
        asked = "value" if singular and len(row) == 1 else form
        return Draft(text, form, path, answer, [relation.id], fact.head.name, time=window, form=asked)

    def _unanswerable(self) -> Draft | None:
        reason = REASONS[self._number % len(REASONS)]  # each as often
        draft = getattr(self, f"_{reason}")()
        return None if draft is None else replace(draft, kind="unanswerable", path=(), answer="", reason=reason)

    def _unknown_head(self) -> Draft | None:
        relation = self._rng.choice(list(self._rows.used.values()))
        inverse = bool(relation.inverse) and relation.tail in self._names.kinds and self._rng.random() < 0.2
        name = self._unknown_name(relation.tail if inverse else relation.head)
        if name is None:
            return None
        return self._ask_of_nobody(relation, None if inverse else name, name if inverse else None)

    def _missing_relation(self) -> Draft | None:
        if self._rng.random() < LEADING_NOWHERE:
            return self._chains.leading_nowhere()
        relation = self._rng.choice(list(self._rows.used.values()))
        if relation.inverse and self._rng.random() < 0.2:
            tail = self._rng.choice(self._rows.tails[relation.tail])
            draft = self._ask_of_nobody(relation, None, tail.name)
            held = self._rows.naming(tail.name, relation.id)
            return None if held or not self._rows.only_meaning(set(relation.inverse), tail, relation) else draft
        heads = [head.name for head in self._rows.heads.values() if head.type == relation.head]
        head = self._rng.choice(heads)
        if self._rng.random() < OTHER_KIND:
            return self._of_another_kind(head)
        if self._rng.random() < NEAR_RELATION:
            near = [
                other
                for other in self._rows.used.values()
                if other.head == relation.head and self._is_near(other, head)
            ]
            if not near:
                return None
            relation = self._rng.choice(near)
        if self._rows.relations_of[head] & (CONFLICTS[relation.id] | {relation.id}):
            return None
        return self._ask_of_nobody(relation, head, None)

    def _of_another_kind(self, head: str) -> Draft | None:
        """Asks a head for what is one of its relations but for a word before the noun."""
        relation = self._rng.choice([OPEN_BY_ID[other] for other in sorted(self._rows.relations_of[head])])
        person = relation.tail == "PERSON"
        kind = self._rng.choice((OF_PEOPLE if person else OF_THINGS)[self._part].split())
        said = f"{kind} {relation.noun}".replace("- ", "-")
        if any(said in (label, f"the {label}") for other in self._rows.used.values() for label in other.labels):
            return None
        wording = self._rng.choice(OF_ANOTHER_KIND).replace("{kind} {noun}", said)
        wording = (
            wording if person else wording.replace("Who", "What").replace("who", "what").replace("name of the ", "")
        )
        return Draft(wording.format(x=head), "", (), "", [f"{kind} {relation.id}"], head)

    def _is_near(self, relation: OpenRelation, head: str) -> bool:
        """Whether the head has another relation with tails of the same type, or with a word of its labels."""
        own = [OPEN_BY_ID[other] for other in self._rows.relations_of[head] if other != relation.id]
        return any(_label_words(relation) & _label_words(other) for other in own) or (
            relation.tail not in ("PERSON", "PHRASE") and any(relation.tail == other.tail for other in own)
        )

    def _ask_of_nobody(self, relation: OpenRelation, head: str | None, tail: str | None) -> Draft | None:
        """A question of any kind about a head or, if that is None, a tail that has no such fact."""
        if head is None:
            text = self._rows.say(relation.inverse, t=str(tail))
            return Draft(text, "", (), "", [relation.id], None, tail, inverse=True)
        if relation.kind == "single":
            return Draft(self._rows.say(relation.questions, x=head), "", (), "", [relation.id], head)
        if relation.kind == "many":
            return Draft(self._rows.say(relation.list, x=head), "", (), "", [relation.id], head, form="list")
        kind = self._rng.choice(
            ("questions", "questions", "current", "first", "last", "before", "after", "began", "ended")
        )
        if kind == "questions":
            when, window = time_expression(self._rng, self._rng.randint(SYNTHETIC_TODAY - 18_000, SYNTHETIC_TODAY))
            return Draft(
                self._rows.say(relation.questions, x=head, when=when), "", (), "", [relation.id], head, time=window
            )
        named = kind in ("before", "after", "began", "ended")
        tail = self._rng.choice(self._rows.tails[relation.tail]).name if named else None
        if tail == head:
            return None
        text = self._rows.say(getattr(relation, kind), x=head, t=tail or "")
        form = {"began": "start", "ended": "end"}.get(kind, "value")
        mode = "any" if form != "value" else "now" if kind == "current" else kind
        return Draft(text, "", (), "", [relation.id], head, tail, form=form, mode=mode)

    def _wrong_time(self) -> Draft | None:
        row = self._rows.draw("successive")
        relation, fact = self._rows.about(row)
        ids, head = [relation.id], fact.head.name
        if self._rng.random() < 0.2:
            if self._rows.holding(row, TODAY):
                return None
            return Draft(self._rows.say(relation.current, x=head), "", (), "", ids, head, mode="now")
        if self._rng.random() < 0.2:
            kind, named = self._rng.choice((("before", self._rows.name(row[0])), ("after", self._rows.name(row[-1]))))
            if not self._rows.held_once(row, named):
                return None
            return Draft(
                self._rows.say(getattr(relation, kind), x=head, t=named), "", (), "", ids, head, named, mode=kind
            )
        first = self._facts[row[0]].window.start or self._facts[row[0]].window.end or SYNTHETIC_TODAY
        last = self._facts[row[-1]].window.end or SYNTHETIC_TODAY
        when, window = time_expression(self._rng, self._rng.randint(first - 7300, min(last + 3650, SYNTHETIC_TODAY)))
        if self._rows.holding(row, window):
            return None
        return Draft(self._rows.say(relation.questions, x=head, when=when), "", (), "", ids, head, time=window)

    # Names that nobody has.

    def _unknown_name(self, kind: str) -> str | None:
        """A name nobody has: a new one or, half of the time, that of an entity with a word or number changed."""
        name: str | None = self._names.draw(kind)
        if self._rng.random() < 0.5:
            known = [head for head in self._rows.heads.values() if head.type == kind] or self._rows.tails[kind]
            name = self._changed(self._rng.choice(known).name, kind) if known else None
        if name is None or self._spellings.is_part_of_another(name):
            return None
        self._taken.add(name)
        self._types[name] = kind
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
            text = self._respelt(draft, lambda name: self._spellings.shortened(name, self._types[name])) or text
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
            program=program_of(draft),
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


CHAINS = ("two_hop", "three_hop")
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
    *CHAINS,
    "unanswerable",
)
"""The kinds of questions: methods of Chains, and of OpenQuestionWriter."""
