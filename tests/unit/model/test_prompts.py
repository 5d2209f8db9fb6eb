"""Prompts have one form, and distractors are never the gold facts."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from kblampp.data.facts import Context, Entity, FiveTuple, Relation, evidence_sentence
from kblampp.model.prompts import (
    ANSWER_CUE,
    DistractorSampler,
    answer_continuation,
    closed_book_prompt,
    in_context_prompt,
)
from tests.small_world import small_dataset


def fact(head: str, relation: str = "R1", tail: str = "T", sentence: str = "") -> FiveTuple:
    return FiveTuple(Entity(None, head), Relation(relation, relation), Entity(None, tail), Context("x", "", sentence))


@st.composite
def bases(draw: st.DrawFn) -> list[FiveTuple]:
    pairs = draw(st.lists(st.tuples(st.sampled_from("ABC"), st.sampled_from("RST")), min_size=1, max_size=18))
    return [fact(head, relation) for head, relation in pairs]


@given(facts=bases(), data=st.data(), n=st.integers(0, 20), seed=st.integers())
def test_distractors_are_neither_gold_nor_repeated_and_as_many_as_there_are(
    facts: list[FiveTuple], data: st.DataObject, n: int, seed: int
) -> None:
    gold = data.draw(st.lists(st.integers(0, len(facts) - 1), unique=True, max_size=3))
    drawn = DistractorSampler(facts).draw(gold, n, random.Random(seed))
    assert not set(drawn) & set(gold)
    assert len(set(drawn)) == len(drawn) == min(n, len(facts) - len(gold))
    assert all(0 <= number < len(facts) for number in drawn)


def test_near_distractors_come_first() -> None:
    near_head, near_relation = fact("A", "R2"), fact("B", "R1")
    facts = [fact("A", "R1"), near_head, near_relation] + [fact(f"C{i}", f"S{i}") for i in range(100)]
    sampler = DistractorSampler(facts)
    for seed in range(20):
        drawn = sampler.draw([0], 3, random.Random(seed))
        assert drawn[:2] == [1, 2]
        assert drawn[2] > 2
        assert len(sampler.draw([0], 6, random.Random(seed))) == 6  # nothing near is left: any will do


def test_distractors_of_real_questions_share_head_or_relation_with_a_gold_fact() -> None:
    dataset = small_dataset()
    facts, rng = dataset.kbs["train"], random.Random(0)
    heads, relations = [fact.head.name for fact in facts], [fact.relation.name for fact in facts]
    by_head, by_relation = (heads, Counter(heads)), (relations, Counter(relations))
    every_third = [(0, *by_head), (1, *by_relation), (3, *by_head), (4, *by_relation)]
    sampler = DistractorSampler(facts)
    shared_head = shared_relation = asked = 0
    for question in dataset.questions["train"]:
        gold = list(question.supporting_facts)
        drawn = sampler.draw(gold, 6, rng)
        assert len(set(drawn) - set(gold)) == 6
        if gold:
            asked += 1
            shared_head += any(heads[number] in {heads[one] for one in gold} for number in drawn)
            shared_relation += any(relations[number] in {relations[one] for one in gold} for number in drawn)
            for position, names, counts in every_third:
                taken = Counter(names[number] for number in {*gold, *drawn[:position]})
                used_up = any(taken[names[number]] == counts[names[number]] for number in gold)
                assert used_up or names[drawn[position]] in {names[number] for number in gold}
    assert shared_head / asked > 0.6
    assert shared_relation / asked > 0.6


def test_without_gold_facts_distractors_come_from_everywhere() -> None:
    facts = small_dataset().kbs["train"]
    sampler = DistractorSampler(facts)
    drawn = [number for seed in range(200) for number in sampler.draw([], 4, random.Random(seed))]
    assert len(set(drawn)) > 0.6 * len(drawn)
    tenths = Counter(10 * number // len(facts) for number in drawn)
    assert all(0.5 < 10 * tenths[tenth] / len(drawn) < 1.5 for tenth in range(10))


def test_same_source_of_randomness_same_distractors() -> None:
    sampler = DistractorSampler(small_dataset().kbs["train"])
    draws = [sampler.draw([5, 600], 7, random.Random(seed)) for seed in (1, 1, 2)]
    assert draws[0] == draws[1] != draws[2]


def test_every_prompt_ends_with_the_question_and_the_cue() -> None:
    closed = closed_book_prompt("Who?")
    assert closed == "Question: Who?\nAnswer:"
    assert closed.endswith(ANSWER_CUE)
    assert in_context_prompt("Who?", []) == closed
    assert in_context_prompt("Who?", ["A is B.", "C is D."]) == "A is B.\nC is D.\n" + closed


def test_an_answer_continues_the_prompt_with_a_space() -> None:
    assert answer_continuation("Clara Weber") == " Clara Weber"


def test_a_fact_without_a_sentence_is_told_by_its_parts() -> None:
    told = fact("Acme", "led by", "Ada", "Ada led Acme.")
    assert evidence_sentence(told) == "Ada led Acme."
    assert evidence_sentence(replace(told, context=Context("x"))) == "Acme led by Ada"
