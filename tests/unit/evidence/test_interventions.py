"""Facts that are taken away or edited: which ones, and that nothing else of the base changes."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kblampp.data.facts import FiveTuple, evidence_sentence
from kblampp.data.windows import Window
from kblampp.evaluation.metrics import normalize_answer
from kblampp.evidence.edits import EDITED, Edited, Editor, close_windows, swap_tails
from kblampp.evidence.interventions import random_others
from kblampp.model.inputs import EncodedBase
from kblampp.time_expressions.parse import parse_question_time, without_time
from tests.kb import ENCODER, ENCODERS, TinyWorld, make_facts, make_questions, make_world
from tests.unit.evidence.test_measures import make_trace

FACTS = make_facts()
QUESTIONS = make_questions(FACTS)
DIRECT = [question for question in QUESTIONS if question.type in ("single-hop", "temporal")]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> TinyWorld:
    return make_world(tmp_path_factory.mktemp("kb"))


def make_editor(world: TinyWorld) -> Editor:
    return Editor(ENCODERS, world.projections, "float16", {"factory": "Flat"})


def kinds(facts: list[FiveTuple]) -> Counter[tuple[str, str, str]]:
    return Counter((fact.head.name, fact.relation.name, normalize_answer(fact.tail.name)) for fact in facts)


def test_random_others_are_of_the_same_top_k_and_not_of_the_chain() -> None:
    trace = make_trace([[5, 1, 2], [6, 5, 3]])
    drawn = [random_others(trace, random.Random(seed)) for seed in range(20)]
    assert all(len(set(numbers)) == 2 and set(numbers) <= {1, 2, 3} for numbers in drawn)
    assert len({tuple(numbers) for numbers in drawn}) > 1
    assert random_others(make_trace([[5, 1], [6, 5]]), random.Random(0)) == [1]
    assert random_others(make_trace([[5, -1], [5, -1]]), random.Random(0)) == []


def test_a_swapped_tail_is_another_name_that_was_no_answer() -> None:
    edited = swap_tails(FACTS, DIRECT, seed=3)
    assert len(edited.questions) == len(DIRECT) == len(edited.former)
    for question, former, place in zip(edited.questions, edited.former, edited.places, strict=True):
        (number,) = question.supporting_facts
        old, new = FACTS[number], edited.facts[number]
        assert former[0] == old.tail.name == DIRECT[place].answer
        assert question.answer == new.tail.name != old.tail.name
        assert question.question == DIRECT[place].question
        assert (new.head, new.relation, new.window) == (old.head, old.relation, old.window)
        assert new.tail.name in {entity.name for fact in FACTS for entity in (fact.head, fact.tail)}
        before = {f.tail.name for f in FACTS if (f.head, f.relation) == (old.head, old.relation)}
        assert new.tail.name not in before | {old.head.name}
    assert max(kinds(edited.facts).values()) == 1, "no two holders of one office became one"


def test_only_the_asked_facts_are_swapped_and_each_once() -> None:
    twice = [*DIRECT, *DIRECT[:3]]
    edited = swap_tails(FACTS, twice, seed=0)
    changed = {number for number, fact in enumerate(edited.facts) if fact != FACTS[number]}
    assert changed == {question.supporting_facts[0] for question in DIRECT}
    assert [q.answer for q in edited.questions[-3:]] == [q.answer for q in edited.questions[:3]]


def test_the_sentence_follows_the_tail() -> None:
    edited = swap_tails(FACTS, DIRECT, seed=1)
    for question in edited.questions:
        sentence = evidence_sentence(edited.facts[question.supporting_facts[0]])
        assert question.answer in sentence


def test_a_sentence_that_names_the_tail_twice_is_dropped() -> None:
    (number,) = DIRECT[0].supporting_facts
    fact = FACTS[number]
    doubled = replace(fact, context=replace(fact.context, sent_span=f"{fact.tail.name} and {fact.tail.name}."))
    facts = [*FACTS[:number], doubled, *FACTS[number + 1 :]]
    edited = swap_tails(facts, DIRECT[:1], seed=0)
    assert edited.facts[number].context.sent_span == ""
    assert fact.tail.name not in evidence_sentence(edited.facts[number])


def test_a_question_without_another_tail_is_left_out() -> None:
    (number,) = DIRECT[0].supporting_facts
    lonely = replace(FACTS[number], tail=replace(FACTS[number].tail, type="ONLY"))
    edited = swap_tails([*FACTS[:number], lonely, *FACTS[number + 1 :]], DIRECT[:2], seed=0)
    assert edited.places == [1]
    assert edited.facts[number] is lonely


def check_closed(edited: Edited) -> None:
    n = len(FACTS)
    assert len(edited.facts) == n + len(edited.questions)
    for place, (question, former) in enumerate(zip(edited.questions, edited.former, strict=True)):
        new = edited.facts[n + place]
        assert question.supporting_facts == (n + place,)
        assert question.answer == new.tail.name != former[0]
        time = parse_question_time(question.question)
        assert time is not None
        rivals = [
            f for f in edited.facts if (f.head, f.relation) == (new.head, new.relation) and f.window.overlaps(time)
        ]
        assert rivals == [new], "after the edit there is one answer"
        before = [f for f in FACTS if (f.head, f.relation) == (new.head, new.relation) and f.window.overlaps(time)]
        assert [f.tail.name for f in before] == former, "and before it the former was the only one"
        assert question.question.count(new.head.name) == 1


def test_a_closed_window_has_a_successor_that_alone_holds_when_asked() -> None:
    edited = close_windows(FACTS, QUESTIONS, 100, seed=0)
    assert len(edited.questions) >= 8
    check_closed(edited)
    changed = [number for number, fact in enumerate(FACTS) if edited.facts[number] != fact]
    assert len(changed) == len(edited.questions)
    for number in changed:
        fact, old = edited.facts[number], FACTS[number]
        assert (fact.head, fact.relation, fact.tail, fact.context) == (old.head, old.relation, old.tail, old.context)
        assert fact.window.start == old.window.start
        assert fact.window.end is not None
        assert old.window.overlaps(Window(fact.window.end, fact.window.end + 1))


def test_the_wording_is_borrowed_where_the_relation_is_asked_about() -> None:
    edited = close_windows(FACTS, QUESTIONS, 100, seed=0)
    for question in edited.questions:
        relation = edited.facts[question.supporting_facts[0]].relation.name
        expected = "Who was mayor of" if relation == "mayor" else f"Who or what was the {relation} of"
        assert question.question.startswith(expected)


def test_no_more_windows_are_closed_than_asked_for() -> None:
    few = close_windows(FACTS, QUESTIONS, 3, seed=0)
    assert len(few.questions) == 3
    check_closed(few)
    assert few == close_windows(FACTS, QUESTIONS, 3, seed=0)
    assert few.questions != close_windows(FACTS, QUESTIONS, 3, seed=1).questions


def arrays(base: EncodedBase) -> dict[str, np.ndarray]:
    tensors = base.tensors
    names = ("keys", "values", "ctx", "tau_min", "tau_max")
    return {name: getattr(tensors, name).numpy() for name in names}


def test_an_edited_base_differs_in_the_edited_rows_alone(world: TinyWorld) -> None:
    edited = swap_tails(FACTS, DIRECT[:5], seed=0)
    rows = {question.supporting_facts[0] for question in edited.questions}
    before = arrays(world.base)
    with make_editor(world).base(edited.facts, []) as base:
        after, where = arrays(base), base.store.directory
        assert base.store.facts == edited.facts
        for name in before:
            differs = {
                row for row in range(len(before[name])) if not np.array_equal(before[name][row], after[name][row])
            }
            inverse = {len(FACTS) + row for row in rows}  # keys that name the tail
            assert differs == {"values": rows, "ctx": rows, "keys": inverse}.get(name, set()), name
    assert not Path(where).exists()


def test_a_closed_base_keeps_every_old_key_and_encodes_the_questions(world: TinyWorld) -> None:
    edited = close_windows(FACTS, QUESTIONS, 4, seed=0)
    before = arrays(world.base)
    with make_editor(world).base(edited.facts, edited.questions) as base:
        after = arrays(base)
        vectors = base.store.question_vectors(EDITED)
    n = len(FACTS)
    # More rows in one matrix product may round otherwise: equal up to the last bit of a float16.
    assert np.allclose(before["keys"][:n], after["keys"][:n], rtol=2**-10, atol=2**-14)
    inverse = after["keys"][len(edited.facts) :][:n]
    assert np.allclose(before["keys"][n:], inverse, rtol=2**-10, atol=2**-14)
    assert np.allclose(before["ctx"], after["ctx"][:n], rtol=2**-10, atol=2**-14)
    assert (before["tau_max"] != after["tau_max"][:n]).sum() == 4
    texts = [without_time(question.question) for question in edited.questions]
    assert np.allclose(vectors, np.tile(ENCODER.encode(texts), 2), atol=1e-3), "one encoder for both parts"
