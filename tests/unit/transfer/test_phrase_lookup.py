"""Search by the phrase "relation of head": the nearest fact that holds answers, of equally near ones the latest."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from kblampp.data.facts import UNKNOWN_ANSWER, Context, Entity, FiveTuple, Question, Relation
from kblampp.data.windows import UNKNOWN, Window, year_window
from kblampp.evaluation.questions import with_times
from kblampp.transfer.phrase_lookup import phrase_lookup

AXES = {"mayor of Storvik": 0, "height of Tower": 1}


def embed(texts: Sequence[str]) -> np.ndarray:
    """The phrases of the facts lie on axes; a question lies near those whose words it has."""
    rows = np.zeros((len(texts), 3))
    for row, text in zip(rows, texts, strict=True):
        for phrase, axis in AXES.items():
            row[axis] = sum(word in text for word in phrase.split())
        row[2] = 0.1
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def fact(head: str, relation: str, tail: str, window: Window = UNKNOWN) -> FiveTuple:
    return FiveTuple(Entity(None, head), Relation(None, relation), Entity(None, tail), Context("test"), window)


def years(first: int, last: int | None) -> Window:
    return Window(year_window(first).start, None if last is None else year_window(last).end, "test")


FACTS = [
    fact("Storvik", "mayor", "Anne", years(2003, 2010)),
    fact("Storvik", "mayor", "Jonas", years(2015, None)),
    fact("Storvik", "mayor", "Per", years(2011, 2014)),
    fact("Tower", "height", "27 metres"),
]


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("Who was mayor of Storvik in 2012?", "Per"),
        ("Who was mayor of Storvik in 2010?", "Anne"),
        ("Who was mayor of Storvik in 2011?", "Per"),
        ("Who was mayor of Storvik from 2009 to 2012?", "Per"),
        ("Who was mayor of Storvik after 2016?", "Jonas"),
        ("Who is mayor of Storvik?", "Jonas"),
        ("What is the height of Tower?", "27 metres"),
        ("What was the height of Tower in 1950?", "27 metres"),
    ],
)
def test_the_nearest_fact_that_holds_answers(text: str, answer: str) -> None:
    question = Question("q", "test", text, "x", (), "single-hop", ())
    encoded = with_times([question], embed([text]).astype(np.float32))
    assert phrase_lookup(FACTS, encoded, embed) == [answer]


def test_without_a_fact_that_holds_it_refuses_and_of_equal_ones_the_first_of_the_base_answers() -> None:
    texts = ["Who was mayor of Storvik in 1950?", "Who was mayor of Storvik in 2012?"]
    questions = [Question(text, "test", text, "x", (), "single-hop", ()) for text in texts]
    encoded = with_times(questions, embed(texts).astype(np.float32))
    facts = [*FACTS[:3], fact("Storvik", "mayor", "Ola", FACTS[2].window)]
    assert phrase_lookup(facts, encoded, embed) == [UNKNOWN_ANSWER, "Per"]
