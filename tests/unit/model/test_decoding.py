"""Decoding is the mixture of whole answers and own words, told by enumerating every answer of a tiny vocabulary."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from kblampp.core.errors import BackboneError
from kblampp.model.answers import Answer
from kblampp.model.decoding import AnswerProcessor, tokenized
from tests.tiny import EOS_ID, tiny_tokenizer

VOCABULARY, LENGTH, END = 4, 3, 0
"""Tokens of the tiny language, most of an answer, and the one that ends it."""
SEQUENCES = [(*body, END) for n in range(LENGTH) for body in itertools.product(range(1, VOCABULARY), repeat=n)] + list(
    itertools.product(range(1, VOCABULARY), repeat=LENGTH)
)
"""Every answer: ended, or as long as may be."""


class TinyWords:
    """A tokenizer of texts such as "1 2"; one token a number."""

    eos_token_id = END

    def __call__(self, texts: list[str], **_: Any) -> dict[str, list[list[int]]]:
        return {"input_ids": [[int(token) for token in text.split()] for text in texts]}


class Found:
    """Stands in for what a prompt has been read to."""

    def __init__(self, *rows: list[Answer]) -> None:
        self.rows, self.asked = list(rows), 0

    def answers(self) -> list[list[Answer]]:
        self.asked += 1
        return self.rows

    def own_words(self) -> list[float]:
        return [max(0.0, 1 - sum(one.probability for one in row)) for row in self.rows]


def language(prefix: tuple[int, ...], seed: int) -> Tensor:
    """Scores of the next token, as a language model by itself gives them."""
    generator = torch.Generator().manual_seed(hash((seed, *prefix)) % 2**31)
    return torch.randn(VOCABULARY, generator=generator) * 2


def spoken(sequence: tuple[int, ...], seed: int) -> float:
    """Probability of a sequence in the language model's own words."""
    return math.exp(
        sum(float(language(sequence[:place], seed).log_softmax(-1)[token]) for place, token in enumerate(sequence))
    )


def answer(text: str, probability: float) -> Answer:
    return Answer(text, probability, ())


def processor(*rows: list[Answer], commit: bool, prompt: int = 1) -> AnswerProcessor:
    return AnswerProcessor(Found(*rows), len(rows), TinyWords(), prompt, commit=commit)  # type: ignore[arg-type]


def tree(found: list[Answer], seed: int, *, commit: bool) -> dict[tuple[int, ...], float]:
    """Probability of every answer when it is drawn token by token."""
    own, alive, done = processor(found, commit=commit), {(): 1.0}, {}
    for _ in range(LENGTH):
        prefixes = list(alive)
        ids = torch.tensor([[9, *prefix] for prefix in prefixes])
        log_probs = own(ids, torch.stack([language(prefix, seed) for prefix in prefixes]))
        torch.testing.assert_close(log_probs.exp().sum(-1), torch.ones(len(prefixes)), atol=1e-5, rtol=0)
        following = {
            (*prefix, token): alive[prefix] * math.exp(float(row[token]))
            for prefix, row in zip(prefixes, log_probs, strict=True)
            for token in range(VOCABULARY)
        }
        done |= {sequence: p for sequence, p in following.items() if sequence[-1] == END}
        alive = {sequence: p for sequence, p in following.items() if sequence[-1] != END}
    return done | alive


choices = st.dictionaries(
    st.sampled_from(["1", "1 2", "2", "3 3", "2 1"]), st.floats(0.01, 1.0), min_size=0, max_size=5
)


@settings(deadline=None, max_examples=60)
@given(shares=choices, gate=st.sampled_from([0.0, 0.3, 0.95]), seed=st.integers(0, 1000))
def test_drawing_token_by_token_draws_from_the_mixture(shares: dict[str, float], gate: float, seed: int) -> None:
    found = [answer(text, gate * share / sum(shares.values())) for text, share in shares.items()]
    own = 1 - sum(one.probability for one in found)
    tokens = {(*map(int, one.text.split()), END): one.probability for one in found}
    drawn = tree(found, seed, commit=False)
    assert drawn.keys() == set(SEQUENCES)
    for sequence in SEQUENCES:
        expected = tokens.get(sequence, 0.0) + own * spoken(sequence, seed)
        assert drawn[sequence] == pytest.approx(expected, abs=1e-5, rel=1e-3)


def test_tails_that_begin_alike_are_told_apart_where_they_part() -> None:
    found = [answer("1", 0.5), answer("1 2", 0.3), answer("1 2 3", 0.2)]
    own = processor(found, commit=False)
    for prefix, expected in (((), {1: 1.0}), ((1,), {END: 0.5, 2: 0.5}), ((1, 2), {END: 0.6, 3: 0.4})):
        row = own(torch.tensor([[9, *prefix]]), torch.zeros(1, VOCABULARY)).exp()[0]
        assert row.tolist() == pytest.approx([expected.get(token, 0.0) for token in range(VOCABULARY)], abs=1e-6)


@settings(deadline=None, max_examples=60)
@given(shares=choices.filter(bool), gate=st.sampled_from([0.2, 0.6, 1.0]), seed=st.integers(0, 1000))
def test_a_greedy_row_keeps_to_own_words_where_they_have_more_than_half_else_to_the_first_answer(
    shares: dict[str, float], gate: float, seed: int
) -> None:
    found = [answer(text, gate * share / sum(shares.values())) for text, share in shares.items()]
    best, own = found[0], 1 - sum(one.probability for one in found)
    drawn = tree(found, seed, commit=True)
    if own > 0.5:
        for sequence in SEQUENCES:
            assert drawn[sequence] == pytest.approx(spoken(sequence, seed), abs=1e-5)
    else:
        assert drawn[(*map(int, best.text.split()), END)] == pytest.approx(1.0)


def test_what_is_drawn_is_a_whole_answer_or_own_words() -> None:
    """Own words that are not sure of anything would cut names in the middle; here they always say 3 3 3."""
    found = [answer("1 2", 0.5), answer("2 1", 0.3)]
    own = processor(found, commit=False)
    generator = torch.Generator().manual_seed(0)
    only_three = torch.tensor([-1e4, -1e4, -1e4, 0.0])
    written = torch.full((500, 1), 9)
    ended = torch.zeros(500, dtype=torch.bool)
    for _ in range(LENGTH):
        log_probs = own(written, only_three.expand(500, -1))
        token = torch.multinomial(log_probs.exp(), 1, generator=generator)
        written = torch.cat([written, token.masked_fill(ended[:, None], END)], dim=1)
        ended |= token.flatten() == END
    counts = Counter(map(tuple, written[:, 1:].tolist()))
    assert counts.keys() == {(1, 2, END), (2, 1, END), (3, 3, 3)}
    for sequence, share in (((1, 2, END), 0.5), ((2, 1, END), 0.3), ((3, 3, 3), 0.2)):
        assert counts[sequence] / 500 == pytest.approx(share, abs=0.07)


def test_beams_of_a_question_share_its_answers_and_may_be_reordered() -> None:
    rows = [[answer("1 2", 0.9)], [answer("3", 0.5)]]
    source = Found(*[row for row in rows for _ in range(2)])
    own = AnswerProcessor(source, 2, TinyWords(), 1, commit=False)  # type: ignore[arg-type]
    own(torch.tensor([[9]] * 4), torch.stack([language((), 0)] * 4))
    prefixes = [(2,), (1,), (3,), (3,)]  # beams in another order, two of them alike
    found = own(torch.tensor([[9, *prefix] for prefix in prefixes]), torch.stack([language(p, 0) for p in prefixes]))
    for place, prefix in enumerate(prefixes):
        alone = processor(rows[place // 2], commit=False)
        alone(torch.tensor([[9]]), language((), 0)[None])
        torch.testing.assert_close(found[place], alone(torch.tensor([[9, *prefix]]), language(prefix, 0)[None])[0])
    assert source.asked == 1


@pytest.mark.parametrize("commit", [True, False])
def test_what_others_forbid_stays_forbidden_and_the_rest_is_a_distribution(commit: bool) -> None:
    own = processor([answer("1", 1.0)], commit=commit)
    scores = language((), 0).clone()
    scores[END] = -math.inf
    own(torch.tensor([[9]]), scores[None])
    row = own(torch.tensor([[9, 1]]), scores[None])[0]
    assert row[END] == -math.inf
    assert float(row.exp().sum()) == pytest.approx(1.0)


def test_after_its_end_an_answer_leaves_finite_scores() -> None:
    own = processor([answer("1", 1.0)], commit=True)
    for prefix in ((), (1,), (1, END)):
        assert torch.isfinite(own(torch.tensor([[9, *prefix]]), torch.zeros(1, VOCABULARY))).any()


TEXTS = ["Port", "Port Alder", " Port Alder ", "  two  spaces ", "tab\there", "København", "北京", "x" * 5000, "a\nb"]


def test_every_answer_is_written_letter_by_letter_and_ends() -> None:
    tokenizer = tiny_tokenizer()
    rows = [[answer(text, 0.01) for text in TEXTS], [], [answer("Port", 0.4)]]
    first, nothing, last = tokenized(rows, tokenizer)
    for text, (tokens, probability) in zip(TEXTS, first, strict=True):
        assert tokens[-1] == EOS_ID
        assert EOS_ID not in tokens[:-1]
        assert tokenizer.decode(tokens[:-1]) == f" {text}"
        assert probability == 0.01
    assert nothing == []
    assert last == [(first[0][0], 0.4)]
    assert tokenized([[], []], tokenizer) == [[], []]


def test_a_tokenizer_without_an_end_is_refused() -> None:
    tokenizer = tiny_tokenizer()
    tokenizer.eos_token = None
    with pytest.raises(BackboneError, match="no eos token"):
        tokenized([[answer("Port", 0.5)]], tokenizer)
