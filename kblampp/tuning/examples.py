"""Questions and the labels of the relations that they ask for, to tune an encoder with.

Half come from an open base (`synthetic.open_questions`: 18 kinds of questions, 295 relations), half from
`relation_wordings.jsonl`, relations of 59 subjects under the names that tables give them.  No relation of the part
`unseen` is among them, and no line that shares a label or wording with one.
"""

from __future__ import annotations

import json
import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources

from kblampp.data.facts import FiveTuple, Question
from kblampp.synthetic.open_names import OpenNames
from kblampp.synthetic.open_questions import OpenQuestionWriter
from kblampp.synthetic.open_schema import CONFLICTS, OPEN_BY_ID, Part, relations_of
from kblampp.synthetic.open_worlds import make_open_base
from kblampp.time_expressions.parse import without_time

NEAR = 8
"""Most questions in a row about relations of one subject: what they have to be told apart from."""
FACTS, PER_KIND = 5000, 500
"""Sizes of the open base that the questions are about."""
INVERSE, NOUN, TWO_HOP = 0.15, 0.25, 0.45
"""Shares of the wordings' questions, each up to here: inverse ones, noun phrases alone, and two of them in one."""
SHORT = 0.15
"""Share of the wordings' questions that say only the last word of a name."""
CARELESS = 0.1
"""Share of the wordings' questions that are typed without a question mark; half of these in lower case too."""


@dataclass(frozen=True)
class Asked:
    """A relation as a base calls it.

    Attributes:
        relation: What it is; equal where labels mean the same.
        label: Its label.
    """

    relation: str
    label: str

    def same(self, other: Asked) -> bool:
        """Whether a question for one could be meant for the other."""
        return (
            self.relation == other.relation
            or self.label.casefold() == other.label.casefold()
            or other.relation in CONFLICTS.get(self.relation, ())
        )


@dataclass(frozen=True)
class Example:
    """A question without its time words, and the relations that it asks for, one a hop."""

    text: str
    hops: tuple[Asked, ...]


@dataclass(frozen=True)
class Wording:
    """A line of `relation_wordings.jsonl`: labels of one relation and questions for it, `{x}` its head, `{t}` its tail.

    Attributes:
        subject: What it says something about.
        labels: What tables call it.
        questions: Ask for the tail.
        noun: Noun phrases for the tail.
        inverse: Name the tail and ask for the head; none where nobody would.
    """

    subject: str
    labels: tuple[str, ...]
    questions: tuple[str, ...]
    noun: tuple[str, ...]
    inverse: tuple[str, ...]

    @property
    def relation(self) -> str:
        """Stands for it where relations are compared."""
        return f"{self.subject}: {self.labels[0]}"

    @property
    def texts(self) -> frozenset[str]:
        """Labels and questions, in lower case."""
        return frozenset(text.casefold() for text in (*self.labels, *self.questions, *self.noun, *self.inverse))


@cache
def wordings() -> tuple[Wording, ...]:
    """The bundled wordings, less those of relations that are held out under whatever name."""
    text = (resources.files("kblampp") / "synthetic" / "relation_wordings.jsonl").read_text(encoding="utf-8")
    rows = (json.loads(line) for line in text.splitlines())
    every = (Wording(subject=row.pop("subject"), **{key: tuple(row[key]) for key in row}) for row in rows)
    held_out = {text for relation in relations_of("unseen") for text in relation.wordings}
    return tuple(wording for wording in every if not wording.texts & held_out)


def open_base(part: Part, n_facts: int, per_kind: int, seed: int) -> tuple[list[FiveTuple], list[Question]]:
    """The facts of an open base and questions about it; not the bases that `generate` makes."""
    taken: set[str] = set()
    base = make_open_base(n_facts, seed=f"tune/{seed}", part=part, taken=taken)
    rng = random.Random(f"tune questions/{seed}/{part}")
    writer = OpenQuestionWriter(base, rng, dataset="tune", split=part, taken=taken, seen=set())
    return base.facts, writer.write(per_kind)


class ExampleMaker:
    """Makes the batches of a training; each depends on the seed and its number alone.

    Args:
        seed: Source of all randomness.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        facts, questions = open_base("train", FACTS, PER_KIND, seed)
        by_subject: dict[str, dict[str, list[Example]]] = defaultdict(lambda: defaultdict(list))
        for question in questions:
            if question.hops:
                about = [facts[hop[0]] for hop in question.hops]
                hops = tuple(Asked(str(fact.relation.id), fact.relation.name) for fact in about)
                example = Example(without_time(question.question), hops)
                by_subject[OPEN_BY_ID[hops[0].relation].head][hops[0].relation].append(example)
        self._asked = {subject: list(relations.values()) for subject, relations in by_subject.items()}
        self._worded: dict[str, list[Wording]] = defaultdict(list)
        for wording in wordings():
            self._worded[wording.subject].append(wording)
        self._names = OpenNames(random.Random(f"tune names/{seed}"), "train", set())
        self._heads = [
            self._names.draw(kind) for kind in sorted(self._names.kinds) for _ in range(20) if kind not in ("COLOR",)
        ]

    def batch(self, number: int, size: int) -> list[Example]:
        """So many examples, in runs of up to `NEAR` about relations of one subject."""
        rng = random.Random(f"tune/{self._seed}/{number}")
        found: list[Example] = []
        while len(found) < size:
            if rng.random() < 0.5:
                subject = rng.choice(list(self._worded))
                chosen = rng.sample(self._worded[subject], min(NEAR, len(self._worded[subject])))
                found += [self._say(wording, rng) for wording in chosen]
            else:
                weights = [len(relations) ** 0.5 for relations in self._asked.values()]
                (subject,) = rng.choices(list(self._asked), weights)
                relations = rng.sample(self._asked[subject], min(NEAR, len(self._asked[subject])))
                found += [rng.choice(examples) for examples in relations]
        return found[:size]

    def _say(self, wording: Wording, rng: random.Random) -> Example:
        name, way = rng.choice(self._heads), rng.random()
        name = name.split(" ")[-1] if rng.random() < SHORT else name
        hops = [Asked(wording.relation, rng.choice(wording.labels))]
        if way < INVERSE and wording.inverse:
            text = rng.choice(wording.inverse).format(t=name)
        elif way < NOUN:
            text = rng.choice(wording.noun).format(x=name)
        elif way < TWO_HOP:
            onward = rng.choice(wordings())
            text = rng.choice(onward.questions).format(x=rng.choice(wording.noun).format(x=name))
            hops.append(Asked(onward.relation, rng.choice(onward.labels)))
        else:
            text = rng.choice(wording.questions).format(x=name)
        careless = rng.random()
        text = text.removesuffix("?") if careless < CARELESS else text
        return Example(text.lower() if careless < CARELESS / 2 else text, tuple(hops))


def labels_of(examples: Sequence[Example]) -> list[Asked]:
    """All relations that examples ask for, in their order."""
    return [asked for example in examples for asked in example.hops]
