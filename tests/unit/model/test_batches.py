"""A training batch depends on its step alone and says where its answers are; prompts are batched without loss."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from kblampp.core.errors import DataError
from kblampp.data.facts import FORMS, MODES, MOST_HOPS, Question
from kblampp.data.windows import Window, year_window
from kblampp.model.batches import IGNORED, TrainingBatch, TrainingBatches, prompt_batches
from kblampp.model.inputs import Questions
from kblampp.model.prompts import closed_book_prompt
from tests.tiny import EOS_ID, PAD_ID, tiny_tokenizer

TOKENIZER = tiny_tokenizer()
D_SENTENCE = 4


def question(number: int, *facts: int, time: Window | None = None) -> Question:
    kind = "unanswerable" if not facts else "multi-hop" if len(facts) > 1 else "single-hop"
    text = f"Who is number {number}{'!' * (number % 5)}?"
    return Question(f"q{number}", "test", text, f"Answer {number}" if facts else "", (), kind, facts, time)


QUESTIONS = [
    question(number, *range(10 * number, 10 * number + number % 4), time=year_window(2000) if number % 3 else None)
    for number in range(10)
]
VECTORS = np.arange(1, 10 * D_SENTENCE + 1, dtype=np.float32).reshape(10, D_SENTENCE)


def make(questions: list[Question] = QUESTIONS, **changes: Any) -> TrainingBatches:
    options = {"batch_size": 4, "drop_question_vector": 0.0, "in_batch_negatives": 3, "retrieved_negatives": 2}
    return TrainingBatches(questions, VECTORS[: len(questions)], TOKENIZER, **{"seed": 0, **options, **changes})


def numbers_in(batch: TrainingBatch) -> list[int]:
    """Which of QUESTIONS are in a batch, from its text."""
    texts = [TOKENIZER.decode(ids) for ids in batch.input_ids.tolist()]
    return [
        next(n for n, q in enumerate(QUESTIONS) if text.startswith(closed_book_prompt(q.question))) for text in texts
    ]


def equal(a: TrainingBatch, b: TrainingBatch) -> bool:
    pairs = zip(tensors_of(a), tensors_of(b), strict=True)
    return a.retrieved == b.retrieved and all(torch.equal(one, other) for one, other in pairs)


def tensors_of(batch: TrainingBatch) -> list[Tensor]:
    values = [value for value in vars(batch).values() if isinstance(value, Tensor)]
    return [*values, batch.questions.vectors, batch.questions.windows, batch.questions.grams, batch.questions.words]


@pytest.mark.parametrize("step", [0, 1, 7, 30])
def test_a_batch_depends_on_its_step_alone(step: int) -> None:
    options = {"drop_question_vector": 0.5, "drop_hidden_query": 0.5, "question_noise": 0.5, "drop_words": 0.5}
    used, fresh = make(**options), make(**options)
    for other in (12, 3, 30, 0):
        used.batch(other)
    assert equal(used.batch(step), fresh.batch(step))
    assert not equal(fresh.batch(step), fresh.batch(step + 1))
    assert not equal(fresh.batch(step), make(**options, seed=1).batch(step))


@pytest.mark.parametrize("batch_size", [1, 3, 4, 10, 25])
def test_every_question_occurs_once_an_epoch_in_a_new_order(batch_size: int) -> None:
    batches = make(batch_size=batch_size)
    stream = [n for step in range(-(-50 // batch_size)) for n in numbers_in(batches.batch(step))][:50]
    epochs = [stream[first : first + 10] for first in range(0, 50, 10)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 5


def test_labels_are_the_answer_and_the_end_where_they_stand() -> None:
    seen = set()
    for step in range(5):
        batch = make().batch(step)
        for row, number in enumerate(numbers_in(batch)):
            ids, labels = batch.input_ids[row], batch.labels[row]
            learned = labels != IGNORED
            start = int(batch.answer_start[row])
            expected = " unknown" if number % 4 == 0 else f" Answer {number}"
            assert TOKENIZER.decode(ids[:start]) == closed_book_prompt(QUESTIONS[number].question)
            assert TOKENIZER.decode(labels[learned]) == f"{expected}<eos>"
            assert torch.equal(labels[learned], ids[learned])
            assert learned.nonzero().flatten().tolist() == list(range(start, start + int(learned.sum())))
            length = start + int(learned.sum())
            assert int(ids[length - 1]) == EOS_ID
            assert batch.attention_mask[row].tolist() == [1] * length + [0] * (ids.shape[0] - length)
            assert (ids[length:] == PAD_ID).all()
            seen.add(number)
        assert bool(batch.attention_mask.any(0).all())  # no wider than the longest row
    assert seen == set(range(10))


def test_candidates_hold_the_gold_facts_first_then_facts_of_other_rows() -> None:
    for step in range(10):
        batch = make(in_batch_negatives=5).batch(step)
        gold = {fact for number in numbers_in(batch) for fact in QUESTIONS[number].supporting_facts}
        assert batch.candidates.shape == (4, MOST_HOPS + min(5, len(gold)))
        for row, number in enumerate(numbers_in(batch)):
            facts = list(QUESTIONS[number].supporting_facts)
            assert batch.candidates[row, :MOST_HOPS].tolist() == facts + [-1] * (MOST_HOPS - len(facts))
            assert int(batch.hops[row]) == len(facts)
            others = batch.candidates[row, MOST_HOPS:].tolist()
            assert len(set(others)) == len(others)
            assert set(others) <= gold


def alternatives(number: int, *facts: int) -> Question:
    """A question each of whose facts answers it."""
    return Question(f"q{number}", "test", f"Who is number {number}?", f"Answer {number}", (), "single-hop", facts, None)


def test_several_facts_of_a_question_of_one_hop_are_alternatives() -> None:
    questions = [alternatives(1, 10, 11), question(2, 20, 21), question(3, 30), question(4), alternatives(5, 50)]
    batch = make(questions, batch_size=5, in_batch_negatives=0).batch(0)
    rows = {int(first): place for place, first in enumerate(batch.candidates[:, 0])}
    expected = {10: (1, 2), 20: (2, 1), 30: (1, 1), -1: (0, 0), 50: (1, 1)}
    assert rows.keys() == expected.keys()
    for first, (hops, several) in expected.items():
        assert (int(batch.hops[rows[first]]), int(batch.alternatives[rows[first]])) == (hops, several)
    assert batch.candidates[rows[10]].tolist() == [10, 11, -1]
    assert batch.candidates[rows[20]].tolist() == [20, 21, -1]


def test_columns_are_as_many_as_the_most_alternatives_of_the_batch() -> None:
    many = range(40, 40 + MOST_HOPS + 4)
    batches = make([alternatives(4, *many), question(2, 20, 21, 22)], batch_size=1, in_batch_negatives=0)
    widths = {int(batch.alternatives): batch.candidates.tolist() for batch in map(batches.batch, range(2))}
    assert widths == {len(many): [list(many)], 1: [[20, 21, 22]]}
    both = make([alternatives(4, *many), question(2, 20, 21, 22)], batch_size=2, in_batch_negatives=100).batch(0)
    everything = sorted([*many, 20, 21, 22])
    for row, hops in zip(both.candidates.tolist(), both.hops.tolist(), strict=True):
        own = list(many) if hops == 1 else [20, 21, 22]
        assert row[: len(many)] == own + [-1] * (len(many) - len(own))
        assert sorted(row[len(many) :]) == everything


def test_rows_have_negatives_that_are_not_their_own_gold_facts() -> None:
    batch = make(in_batch_negatives=100, batch_size=10).batch(0)
    everything = {fact for q in QUESTIONS for fact in q.supporting_facts}
    for row in batch.candidates.tolist():
        assert set(row[MOST_HOPS:]) == everything


def test_in_batch_negatives_can_be_off_and_a_batch_can_be_without_facts() -> None:
    assert make(in_batch_negatives=0).batch(0).candidates.shape == (4, MOST_HOPS)
    nothing = [question(number) for number in (0, 4, 8)]
    batch = make(nothing).batch(0)
    assert batch.candidates.tolist() == [[-1] * MOST_HOPS] * 4
    assert batch.candidates.dtype == torch.int64
    assert batch.hops.tolist() == [0] * 4


def test_questions_bring_their_vectors_and_the_datas_own_windows() -> None:
    batch = make().batch(3)
    numbers = numbers_in(batch)
    asked_for = [QUESTIONS[number] for number in numbers]
    texts, times = [one.question for one in asked_for], [one.question_time for one in asked_for]
    expected = Questions.make(VECTORS[numbers], times, texts)
    for name in ("vectors", "windows", "grams"):
        assert torch.equal(getattr(batch.questions, name), getattr(expected, name))


def test_dropping_hides_vectors_of_the_asked_share_of_rows_and_nothing_else() -> None:
    kept, vectors = make(), VECTORS.copy()
    dropping = make(drop_question_vector=0.3)
    dropped = 0
    for step in range(100):
        a, b = kept.batch(step), dropping.batch(step)
        zero = (b.questions.vectors == 0).all(-1)
        dropped += int(zero.sum())
        assert torch.equal(a.questions.vectors[~zero], b.questions.vectors[~zero])
        assert torch.equal(a.questions.windows, b.questions.windows)
        assert torch.equal(a.input_ids, b.input_ids)
    assert 0.2 < dropped / 400 < 0.4
    assert not make(drop_question_vector=1.0).batch(0).questions.vectors.any()
    assert (vectors == VECTORS).all()


def test_no_row_is_trained_without_both_vector_and_hidden_state() -> None:
    batches = make(drop_question_vector=0.4, drop_hidden_query=0.5)
    kinds: Counter[tuple[bool, bool]] = Counter()
    for step in range(100):
        batch = batches.batch(step)
        vector, hidden = batch.questions.vectors.any(-1).tolist(), (batch.read_hidden == 1).tolist()
        assert set(batch.read_hidden.tolist()) <= {0.0, 1.0}
        kinds.update(zip(vector, hidden, strict=True))
    assert kinds.keys() == {(True, True), (True, False), (False, True)}
    assert 0.2 < kinds[True, False] / 400 < 0.4  # half of the rows that have their vector
    assert (make().batch(0).read_hidden == 1).all()
    assert not make(drop_hidden_query=1.0).batch(0).read_hidden.any()


def test_question_noise_is_new_for_each_row_and_in_each_part_as_long_as_asked_for() -> None:
    """A question's vector is that of its names and that of its relations, each one long."""
    batches = make(question_noise=0.3)
    noise = torch.cat([batches.batch(step).question_noise for step in range(100)])
    assert noise.shape == (400, VECTORS.shape[1])
    for part in noise.chunk(2, dim=1):
        assert part.square().sum(-1).mean().sqrt() == pytest.approx(0.3, rel=0.1)
    assert len(noise.unique(dim=0)) == 400
    assert not make().batch(0).question_noise.any()


def test_words_are_left_out_one_by_one() -> None:
    whole, none = make(), make(drop_words=1.0)
    assert not none.batch(0).questions.words.any()
    there = left = 0
    for step in range(30):
        every, some = whole.batch(step).questions, make(drop_words=0.3).batch(step).questions
        assert not (some.words & ~every.words).any()
        assert torch.equal(some.grams, every.grams)  # names are compared letter by letter, and stay
        there, left = there + int(every.words.sum()), left + int(some.words.sum())
    assert left / there == pytest.approx(0.7, abs=0.05)


def asked(number: int, *facts: int, answer: str = "", **program: Any) -> Question:
    """A question that says what it asks for."""
    kind = "single-hop" if answer else "unanswerable"
    return Question(f"q{number}", "test", f"Is it {number}?", answer, (), kind, facts, program=program)


def test_a_batch_says_what_each_question_asks_for() -> None:
    questions = [
        asked(0, 7, answer="yes", form="yes_no", mode="now"),
        asked(1, answer="no", form="yes_no"),
        asked(2, 5, 6, answer="Ada", inverse=True, mode="first"),
        asked(3),
        asked(4, 9, answer="2001", form="start"),
    ]
    batch = make(questions, batch_size=5, in_batch_negatives=0).batch(0)
    texts = [TOKENIZER.decode(ids) for ids in batch.input_ids.tolist()]
    for row, text in enumerate(texts):
        (number,) = [n for n in range(5) if f"Is it {n}?" in text]
        said = questions[number]
        assert FORMS[batch.forms[row]] == said.form
        assert MODES[batch.modes[row]] == said.mode
        assert bool(batch.inverse[row]) == said.inverse == (number == 2)
        assert bool(batch.so[row]) == (number == 0)
        assert batch.from_tail[row].tolist() == [number == 2] * MOST_HOPS
        expected = list(said.supporting_facts)
        assert batch.candidates[row].tolist() == expected + [-1] * (MOST_HOPS - len(expected))
        assert int(batch.hops[row]) == bool(expected)


def test_a_negative_is_read_from_the_end_that_its_own_question_reads_it_from() -> None:
    questions = [asked(0, 5, answer="Ada", inverse=True), asked(1, 5, answer="Port"), asked(2, 8, answer="Bo")]
    batch = make(questions, batch_size=3, in_batch_negatives=10).batch(0)
    for row in range(3):
        others = zip(batch.candidates[row, MOST_HOPS:].tolist(), batch.from_tail[row, MOST_HOPS:].tolist(), strict=True)
        assert sorted(others) == [(5, False), (5, True), (8, False)]


def test_a_batch_moves_to_a_device_as_a_whole() -> None:
    batch = make().batch(0)
    assert equal(batch.to("cpu"), batch)
    moved = batch.to("meta")
    assert {tensor.device.type for tensor in tensors_of(moved)} == {"meta"}
    assert moved.retrieved == batch.retrieved


@pytest.mark.parametrize("number", [0, 5])
def test_every_batch_says_how_many_facts_retrieval_adds(number: int) -> None:
    batches = make(retrieved_negatives=number)
    assert {batches.batch(step).retrieved for step in range(3)} == {number}


def test_no_questions_or_too_many_hops_are_refused() -> None:
    with pytest.raises(DataError, match=r"training has no questions.*run `dvc repro generate`"):
        make([])
    with pytest.raises(DataError, match="question q1 has 4 hops, expected at most 3"):
        make([question(0, 1), question(1, 1, 2, 3, 4)])


@settings(max_examples=50, deadline=None)
@given(prompts=st.lists(st.text(min_size=1, max_size=30), max_size=20), batch_size=st.integers(1, 7))
def test_every_prompt_is_in_one_batch_padded_on_the_left(prompts: list[str], batch_size: int) -> None:
    seen: Counter[int] = Counter()
    lengths = []
    for places, ids, mask in prompt_batches(prompts, TOKENIZER, batch_size):
        assert 1 <= len(places) <= batch_size
        assert ids.shape == mask.shape == (len(places), int(mask.sum(1).max()))
        seen.update(places)
        for place, row, kept in zip(places, ids, mask, strict=True):
            n = int(kept.sum())
            assert kept.tolist() == [0] * (len(row) - n) + [1] * n
            assert row[len(row) - n :].tolist() == TOKENIZER(prompts[place], add_special_tokens=False)["input_ids"]
            assert (row[: len(row) - n] == PAD_ID).all()
            lengths.append(n)
    assert seen == Counter(range(len(prompts)))
    assert lengths == sorted(lengths)  # so that padding is short


def test_full_batches_come_first() -> None:
    sizes = [len(places) for places, _, _ in prompt_batches(["a"] * 10, TOKENIZER, 4)]
    assert sizes == [4, 4, 2]
