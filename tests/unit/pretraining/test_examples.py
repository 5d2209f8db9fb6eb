"""What the backbone learns from in pre-training, and what it never sees."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from kblampp.data.facts import QUESTION_TYPES, Question, evidence_sentence
from kblampp.model.prompts import answer_continuation, closed_book_prompt, in_context_prompt
from kblampp.pretraining.examples import EOS, IGNORED, PAD, Batch, ExampleMaker, Recipe, WorldSource, train_tokenizer
from kblampp.synthetic.schema import NAME_POOLS
from kblampp.synthetic.worlds import is_novel_word, is_pretrain_name, name_words
from tests.tiny_recipe import TINY

POOL_WORDS = {
    word
    for pair in NAME_POOLS.values()
    for pool in pair
    for kind in ("known", "novel")
    for word in name_words(pool, kind)
}
EARLY, LATE = 0, 5  # steps of TINY in and after its easy steps


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return train_tokenizer(TINY)


@pytest.fixture(scope="module")
def full_tokenizer() -> PreTrainedTokenizerFast:
    return train_tokenizer(Recipe())


def rows_of(batch: Batch, tokenizer: PreTrainedTokenizerFast) -> list[tuple[str, list[str]]]:
    """Each row's text without padding, and the texts of its stretches of labelled tokens."""
    rows = []
    for ids, labels in zip(batch.ids.tolist(), batch.labels.tolist(), strict=True):
        stretches: list[list[int]] = []
        for place, label in enumerate(labels):
            if label != IGNORED:
                assert label == ids[place]
                if place == 0 or labels[place - 1] == IGNORED or labels[place - 1] == tokenizer.eos_token_id:
                    stretches.append([])
                stretches[-1].append(label)
        text = tokenizer.decode([token for token in ids if token != tokenizer.pad_token_id])
        rows.append((text, [tokenizer.decode(stretch) for stretch in stretches]))
    return rows


def in_context_rows(step: int, tokenizer: PreTrainedTokenizerFast) -> list[tuple[str, list[str]]]:
    batch = ExampleMaker(TINY, tokenizer).batch(step)
    return rows_of(batch, tokenizer)[: batch.counts[0]]


def questions_in(text: str, source: WorldSource) -> list[Question]:
    """The questions asked in a row, in their order there."""
    found = [(text.find(closed_book_prompt(q.question) + " "), q) for q in source.questions]
    return [question for place, question in sorted(found, key=lambda pair: pair[0]) if place >= 0]


@settings(max_examples=200, deadline=None)
@given(text=st.text())
@example("  two  spaces\n\n\ttabs ")
@example("Čapek naïve 東京 🇺🇳 \u200b\x00")
def test_any_text_round_trips(tokenizer: PreTrainedTokenizerFast, text: str) -> None:
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert tokenizer.decode(ids, clean_up_tokenization_spaces=False) == text
    assert len(ids) <= len(text.encode())


def test_tokenizer_has_the_size_and_the_special_tokens_of_the_recipe(tokenizer: PreTrainedTokenizerFast) -> None:
    assert len(tokenizer) == TINY.vocab_size
    assert (tokenizer.eos_token, tokenizer.pad_token, tokenizer.padding_side) == (EOS, PAD, "left")
    assert tokenizer(f"a{EOS}", add_special_tokens=False)["input_ids"][-1] == tokenizer.eos_token_id
    assert train_tokenizer(TINY).get_vocab() == tokenizer.get_vocab()


def test_no_novel_word_is_a_token_and_many_known_ones_are(full_tokenizer: PreTrainedTokenizerFast) -> None:
    """As it stands, that is: "ridge" may be a piece of "Bridge"."""
    vocabulary = {full_tokenizer.decode([number]).strip() for number in full_tokenizer.get_vocab().values()}
    pools = sorted({pool for pair in NAME_POOLS.values() for pool in pair})
    novel = {word for pool in pools for word in name_words(pool, "novel")}
    known = {word for pool in pools for word in name_words(pool, "known")}
    assert len(novel) > 100
    assert sorted(novel & vocabulary) == []
    assert len(known & vocabulary) > 0.2 * len(known)
    for word in novel:
        for text in (word, f" {word}"):
            assert len(full_tokenizer(text, add_special_tokens=False)["input_ids"]) >= 2


def has_invented_names(source: WorldSource) -> bool:
    """Whether most name words of a world stand in no pool."""
    of_names = [word for name in source.world.names for word in name.split()]
    return sum(word in POOL_WORDS for word in of_names) < 0.5 * len(of_names)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_worlds_of_pre_training_hold_no_evaluated_name_and_no_novel_word(share: float) -> None:
    for key in ("steps/0", "tokenizer/3"):
        source = WorldSource(replace(TINY, invented_share=share), key)
        names = source.world.names | {question.program["head"] for question in source.questions}
        assert all(is_pretrain_name(name) for name in names)
        assert not any(is_novel_word(word) for name in names for word in name.split())
        assert {question.type for question in source.single} == {"single-hop"}


def test_the_share_of_the_worlds_with_invented_names_is_that_of_the_recipe() -> None:
    for share in (0.0, 0.4, 1.0):
        recipe = replace(TINY, invented_share=share)
        invented = [has_invented_names(WorldSource(recipe, f"steps/{key}")) for key in range(100)]
        assert sum(invented) == pytest.approx(100 * share, abs=12 if 0 < share < 1 else 0)


def test_unknown_heads_are_named_like_the_heads_that_are_known() -> None:
    """Else the kind of word would give away that there is no answer."""
    for share in (0.0, 1.0):
        source = WorldSource(replace(TINY, world_facts=510, invented_share=share), "steps/0")
        heads = [q.program["head"] for q in source.questions if q.reason == "unknown_head"]
        assert heads
        assert not source.world.names & set(heads)
        known = sum(word in POOL_WORDS for head in heads for word in head.split())
        assert known / len(heads) < 0.5 if share else known == 2 * len(heads)


@pytest.mark.parametrize("share", [0.0, 0.08, 0.2])
def test_the_share_of_the_questions_without_an_answer_is_that_of_the_recipe(share: float) -> None:
    questions = WorldSource(replace(TINY, world_facts=510, unanswerable_share=share), "steps/0").questions
    assert len(questions) > 300
    assert sum(not question.answer for question in questions) / len(questions) == pytest.approx(share, abs=0.002)


def test_after_the_easy_steps_come_every_type_of_question_and_larger_contexts(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    recipe = replace(TINY, easy_steps=2, world_steps=1, batch_size=60)
    maker = ExampleMaker(recipe, tokenizer)
    seen: dict[bool, tuple[set[str], int, int]] = {}
    for step in range(4):
        batch, source = maker.batch(step), WorldSource(recipe, f"steps/{step}")
        easy = step < recipe.easy_steps
        assert (sum(batch.counts) == recipe.batch_size) == easy  # no closed-book row before
        types, most, longest = seen.get(easy, (set(), 0, 0))
        for text, _ in rows_of(batch, tokenizer)[: batch.counts[0]]:
            asked = questions_in(text, source)
            types |= {question.type for question in asked}
            most, longest = max(most, len(asked)), max(longest, len(text.split("Question: ")[0].splitlines()))
        seen[easy] = types, most, longest
    assert seen[True] == ({"single-hop"}, 3, 4)
    assert seen[False][:2] == (set(QUESTION_TYPES), recipe.questions)
    assert seen[False][2] >= recipe.context_sentences


@pytest.mark.parametrize("step", [EARLY, 1, 2, LATE])
def test_a_batch_depends_on_its_step_alone(tokenizer: PreTrainedTokenizerFast, step: int) -> None:
    used, fresh = ExampleMaker(TINY, tokenizer), ExampleMaker(TINY, tokenizer)
    for other in (5, 0, 3, 2):
        used.batch(other)
    a, b = used.batch(step), fresh.batch(step)
    assert torch.equal(a.ids, b.ids)
    assert torch.equal(a.labels, b.labels)
    assert a.counts == b.counts
    assert not torch.equal(a.ids[:, :20], fresh.batch(step + 1).ids[:, :20])
    assert not torch.equal(a.ids[:, :20], ExampleMaker(replace(TINY, seed=1), tokenizer).batch(step).ids[:, :20])


def test_a_batch_is_made_of_the_shares_of_the_recipe(tokenizer: PreTrainedTokenizerFast) -> None:
    maker = ExampleMaker(replace(TINY, batch_size=20), tokenizer)
    assert maker.batch(EARLY).counts == (10, 10)
    late = maker.batch(LATE)
    assert late.counts == (11, 4)
    assert len(late.ids) == 20
    padded = late.ids == tokenizer.pad_token_id
    assert (late.labels[padded] == IGNORED).all()
    assert not (padded[:, :-1] & ~padded[:, 1:]).any()  # padding stands on the right alone


@pytest.mark.parametrize("step", [EARLY, LATE])
def test_rows_in_context_learn_the_answers_and_nothing_else(tokenizer: PreTrainedTokenizerFast, step: int) -> None:
    source = WorldSource(TINY, f"steps/{step // TINY.world_steps}")
    for text, learned in in_context_rows(step, tokenizer):
        asked = questions_in(text, source)
        assert 1 <= len(asked) <= TINY.questions
        assert learned == [answer_continuation(question.answer or "unknown") + EOS for question in asked]
        if step == EARLY:
            assert {question.type for question in asked} == {"single-hop"}


@pytest.mark.parametrize("step", [EARLY, LATE])
def test_rows_in_context_hold_the_sentences_that_answer_them(tokenizer: PreTrainedTokenizerFast, step: int) -> None:
    source = WorldSource(TINY, f"steps/{step // TINY.world_steps}")
    told = {evidence_sentence(fact) for fact in source.world.facts}
    sizes = set()
    for text, _ in in_context_rows(step, tokenizer):
        sentences = text[: text.index("Question: ")].splitlines()
        gold = {n for question in questions_in(text, source) for n in question.supporting_facts}
        assert {evidence_sentence(source.world.facts[number]) for number in gold} <= set(sentences) <= told
        assert len(set(sentences)) == len(sentences)
        sizes.add(len(sentences) - len(gold))
    assert max(sizes) > 0  # there are distractors


def test_a_row_begins_with_the_tokens_of_the_in_context_baselines_prompt(tokenizer: PreTrainedTokenizerFast) -> None:
    batch = ExampleMaker(TINY, tokenizer).batch(LATE)
    source = WorldSource(TINY, f"steps/{LATE // TINY.world_steps}")
    for row, (text, _) in enumerate(rows_of(batch, tokenizer)[: batch.counts[0]]):
        sentences = text[: text.index("Question: ")].splitlines()
        prompt = in_context_prompt(questions_in(text, source)[0].question, sentences)
        ids = tokenizer(prompt, add_special_tokens=False)["input_ids"]
        assert batch.ids[row, : len(ids)].tolist() == ids
        assert batch.labels[row, len(ids)] != IGNORED


@pytest.mark.parametrize("step", [EARLY, LATE])
def test_repeated_rows_say_the_same_facts_twice_and_learn_the_second_time(
    tokenizer: PreTrainedTokenizerFast, step: int
) -> None:
    batch = ExampleMaker(TINY, tokenizer).batch(step)
    asked, repeated = batch.counts
    facts = WorldSource(TINY, f"steps/{step // TINY.world_steps}").world.facts
    rows = rows_of(batch, tokenizer)[asked : asked + repeated]
    assert rows
    for text, (learned,) in rows:
        first = text.removesuffix(learned)
        once, again = first.splitlines(), learned.splitlines()
        assert first + learned == text
        assert 2 <= len(once) == len(again) <= 5
        told = [fact for fact in facts if evidence_sentence(fact) in once]
        assert sorted(evidence_sentence(fact) for fact in told) == sorted(once)
        for fact in told:
            assert sum(fact.head.name in line and fact.tail.name in line for line in again) == 1


def test_closed_book_rows_learn_every_token(tokenizer: PreTrainedTokenizerFast) -> None:
    batch = ExampleMaker(replace(TINY, batch_size=40), tokenizer).batch(LATE)
    rows = slice(sum(batch.counts), None)
    real = batch.ids[rows] != tokenizer.pad_token_id
    assert len(real) > 5
    assert (batch.labels[rows] == batch.ids[rows])[real].all()
    texts = [text for text, _ in rows_of(batch, tokenizer)[rows]]
    assert any(text.startswith("Question: ") for text in texts)
    assert any("Question: " not in text for text in texts)


def test_crowded_rows_ask_for_one_relation_of_several_heads(tokenizer: PreTrainedTokenizerFast) -> None:
    recipe = replace(TINY, crowded_share=1.0, world_facts=340)
    batch = ExampleMaker(recipe, tokenizer).batch(LATE)
    source = WorldSource(recipe, f"steps/{LATE // TINY.world_steps}")
    together = 0
    for text, _ in rows_of(batch, tokenizer)[: batch.counts[0]]:
        asked = questions_in(text, source)
        assert len({question.program["relations"][-1] for question in asked if question.program}) == 1
        together += len({question.program["head"] for question in asked if question.program}) > 1
    assert together > 0
