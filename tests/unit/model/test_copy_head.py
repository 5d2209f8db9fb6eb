"""Tails are copied token by token, exactly, and only where they continue what is written."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from kblampp.model.copy_head import DOUBT, PADDING, TailTable, copy_log_probs, copy_shares, next_tokens, rename_tails

from kblampp.core.errors import BackboneError
from kblampp.data.facts import UNKNOWN_ANSWER
from tests.tiny import EOS_ID, VOCAB, tiny_tokenizer

TAILS = ["Port", "Port Alder", "Alder", "Port", "København"]
TOKENIZER = tiny_tokenizer()


def tokens_of(text: str) -> list[int]:
    return list(TOKENIZER(f" {text}", add_special_tokens=False)["input_ids"])


def continue_with(table: TailTable, written: list[int]) -> list[int]:
    """What every row of the table continues a text with."""
    text = torch.tensor([written], dtype=torch.int64).reshape(1, -1)
    return next_tokens(table.tokens[None], text, torch.tensor([len(written)]))[0].tolist()


@pytest.fixture(scope="module")
def table() -> TailTable:
    return TailTable(TAILS, TOKENIZER)


def test_the_table_holds_the_tails_and_the_null_fact_in_order(table: TailTable) -> None:
    assert len(table.tokens) == len(TAILS) + 1
    assert table.null == len(TAILS)
    for row, tail in enumerate([*TAILS, UNKNOWN_ANSWER]):
        ids = [*tokens_of(tail), EOS_ID]
        assert table.tokens[row].tolist() == ids + [PADDING] * (table.tokens.shape[1] - len(ids))


def test_a_table_without_tails_still_has_the_null_fact() -> None:
    assert TailTable([], TOKENIZER).tokens.tolist() == [[*tokens_of(UNKNOWN_ANSWER), EOS_ID]]


def test_a_tokenizer_without_an_end_is_refused() -> None:
    tokenizer = tiny_tokenizer()
    tokenizer.eos_token = None
    with pytest.raises(BackboneError, match="no eos token"):
        TailTable(TAILS, tokenizer)


def test_before_the_answer_every_tail_offers_its_first_token(table: TailTable) -> None:
    assert continue_with(table, []) == [tokens_of(tail)[0] for tail in [*TAILS, UNKNOWN_ANSWER]]


def test_a_prefix_of_another_tail_ends_where_the_other_goes_on(table: TailTable) -> None:
    space = tokens_of("Alder")[0]
    assert continue_with(table, tokens_of("Port")) == [EOS_ID, space, PADDING, EOS_ID, PADDING, PADDING]
    assert continue_with(table, tokens_of("Port Ald")) == [PADDING, tokens_of("e")[1], *[PADDING] * 4]


def test_a_finished_tail_takes_no_part(table: TailTable) -> None:
    assert continue_with(table, [*tokens_of("Port"), EOS_ID]) == [PADDING] * 6
    assert continue_with(table, [*tokens_of("København"), EOS_ID]) == [PADDING] * 6  # the longest tail
    assert continue_with(table, [*tokens_of("Port Alder"), EOS_ID, EOS_ID, 1, 1, 1, 1, 1]) == [PADDING] * 6


def test_text_that_no_tail_begins_with(table: TailTable) -> None:
    assert continue_with(table, tokens_of("Pork")) == [PADDING] * 6
    assert continue_with(table, tokens_of("Pork Alder and much more than any tail is long")) == [PADDING] * 6


def test_a_tail_that_is_too_long_is_cut_and_does_not_end() -> None:
    table = TailTable(["abcdefgh", "abcd", "abc"], TOKENIZER, max_tokens=5)
    assert table.tokens.shape[1] == 5
    written = tokens_of("abc")
    assert continue_with(table, written) == [tokens_of("d")[1], tokens_of("d")[1], EOS_ID, PADDING]
    # " abcd" is five tokens, so neither the first tail nor the second knows how it goes on
    assert continue_with(table, tokens_of("abcd")) == [PADDING] * 4


texts = st.lists(st.integers(1, 3), max_size=6)


@settings(deadline=None, max_examples=150)
@given(
    tails=st.lists(texts, min_size=1, max_size=6), rows=st.lists(texts, min_size=1, max_size=4), junk=st.integers(0, 4)
)
def test_continuations_are_those_of_string_matching(tails: list[list[int]], rows: list[list[int]], junk: int) -> None:
    ended = [[*tail, 0] for tail in tails]
    width = max(map(len, ended))
    table = torch.tensor([tail + [PADDING] * (width - len(tail)) for tail in ended])
    widest = max(map(len, rows)) + junk
    written = torch.tensor([row + [7] * (widest - len(row)) for row in rows], dtype=torch.int64).reshape(
        len(rows), widest
    )
    found = next_tokens(table.expand(len(rows), -1, -1), written, torch.tensor([len(row) for row in rows]))
    for row, text in enumerate(rows):
        expected = [
            tail[len(text)] if len(tail) > len(text) and tail[: len(text)] == text else PADDING for tail in ended
        ]
        assert found[row].tolist() == expected


def mixed(logits: torch.Tensor, gate: torch.Tensor, alpha: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    """Log-probabilities with copies."""
    return copy_log_probs(logits, tokens, copy_shares(gate, alpha, tokens))


def naive(logits: np.ndarray, gate: np.ndarray, alpha: np.ndarray, tokens: np.ndarray) -> np.ndarray:
    """The formula of `mixed` in float64, one number at a time; probabilities."""
    rows, vocabulary = logits.shape
    result = np.zeros((rows, vocabulary))
    for row in range(rows):
        exponentials = np.exp(logits[row] - logits[row].max())
        matching = sum(float(alpha[row, i]) for i in range(alpha.shape[1]) if tokens[row, i] != PADDING)
        share = gate[row] * matching / (matching + DOUBT)
        result[row] = (1 - share) * exponentials / exponentials.sum()
        for i in range(alpha.shape[1]):
            if tokens[row, i] != PADDING:
                result[row, tokens[row, i]] += share * alpha[row, i] / matching
    return result


@settings(deadline=None, max_examples=150)
@given(
    seed=st.integers(0, 2**31),
    rows=st.integers(1, 4),
    n=st.integers(1, 8),
    vocabulary=st.integers(2, 20),
    gate=st.sampled_from([0.0, 0.3, 1.0]),
    spread=st.sampled_from([0.1, 3.0, 30.0]),
    padding=st.sampled_from([0.0, 0.5, 1.0]),
)
def test_copied_log_probs_are_the_formula(
    seed: int, rows: int, n: int, vocabulary: int, gate: float, spread: float, padding: float
) -> None:
    rng = np.random.default_rng(seed)
    logits = (rng.normal(size=(rows, vocabulary)) * spread).astype(np.float32)
    alpha = rng.dirichlet(np.full(n, 0.5), size=rows).astype(np.float32)
    tokens = np.where(rng.random((rows, n)) < padding, PADDING, rng.integers(0, vocabulary, (rows, n)))
    gates = np.full(rows, gate, np.float32)
    found = mixed(*map(torch.from_numpy, (logits, gates, alpha, tokens)))
    assert found.dtype == torch.float32
    expected = naive(logits.astype(np.float64), gates.astype(np.float64), alpha.astype(np.float64), tokens)
    np.testing.assert_allclose(found.exp().numpy(), expected, atol=2e-6)
    np.testing.assert_allclose(found.exp().sum(-1), 1, atol=1e-5)
    likely = expected > 1e-4
    np.testing.assert_allclose(found.numpy()[likely], np.log(expected[likely]), atol=5e-3)


def test_a_closed_gate_leaves_the_backbones_distribution() -> None:
    torch.manual_seed(0)
    logits = torch.randn(3, 50) * 8
    alpha, tokens = torch.full((3, 4), 0.25), torch.randint(0, 50, (3, 4))
    found = mixed(logits, torch.zeros(3), alpha, tokens)
    torch.testing.assert_close(found, torch.log_softmax(logits, -1), atol=1e-6, rtol=1e-6)


def test_tails_that_do_not_continue_the_text_leave_the_backbones_distribution() -> None:
    torch.manual_seed(0)
    logits = torch.randn(3, 50)
    found = mixed(logits, torch.ones(3), torch.full((3, 4), 0.25), torch.full((3, 4), PADDING))
    torch.testing.assert_close(found, torch.log_softmax(logits, -1))


def test_padding_is_never_copied() -> None:
    logits = torch.zeros(1, 10)
    logits[0, 0] = -30.0  # where PADDING, clamped, would point
    found = mixed(logits, torch.ones(1), torch.tensor([[0.9, 0.1]]), torch.tensor([[PADDING, 4]]))
    assert found[0, 0] < -29
    share = 0.1 / (0.1 + DOUBT)
    assert found.exp()[0, 4].item() == pytest.approx(share + (1 - share) / 9, abs=1e-5)


def test_tails_with_the_same_next_token_add_up() -> None:
    found = mixed(torch.zeros(1, 10), torch.tensor([0.5]), torch.tensor([[0.3, 0.5, 0.2]]), torch.tensor([[7, 7, 2]]))
    share = 0.5 / (1 + DOUBT)
    left = (1 - share) / 10
    expected = [left + share * {7: 0.8, 2: 0.2}.get(token, 0.0) for token in range(10)]
    assert found.exp()[0].tolist() == pytest.approx(expected)


def test_facts_that_the_text_contradicts_leave_their_weight_to_the_others() -> None:
    """A name once begun is finished, though another fact weighs more; hardly any weight gives the model the word."""
    for weight in (0.3, DOUBT, 1e-4):
        alpha = torch.tensor([[1 - weight, weight]])
        found = mixed(torch.zeros(1, 100), torch.ones(1), alpha, torch.tensor([[PADDING, 4]]))
        share = weight / (weight + DOUBT)
        assert found.exp()[0, 4].item() == pytest.approx(share + (1 - share) / 100, rel=1e-3)


def test_sixteen_bit_and_forbidden_logits_stay_finite_with_finite_gradients() -> None:
    for dtype in (torch.bfloat16, torch.float16, torch.float32):
        logits = torch.randn(2, 10).to(dtype)
        logits[:, 3] = -torch.inf  # as processors forbid a token
        logits.requires_grad_()
        gate = torch.tensor([1.0, 0.5], requires_grad=True)
        alpha = torch.tensor([[1.0, 0.0], [0.5, 0.5]], requires_grad=True)
        found = mixed(logits, gate, alpha, torch.tensor([[5, PADDING], [5, 6]]))
        assert found.dtype == torch.float32
        torch.nn.functional.cross_entropy(found, torch.tensor([5, 6])).backward()
        for tensor in (logits, gate, alpha):
            assert tensor.grad is not None
            assert torch.isfinite(tensor.grad).all()


def test_a_renamed_fact_has_its_new_name_where_it_stands_in_its_row_alone(table: TailTable) -> None:
    ids = torch.tensor([[3, 1, 0], [3, 1, 0], [-1, 1, 2], [-1, -1, -1]])
    tails = table.tokens[torch.cat([ids.clamp(min=0), torch.full((4, 1), table.null)], dim=1)]
    names = torch.tensor([[9, 8, 0, PADDING], [9, 0, PADDING, PADDING], [9, 9, 0, PADDING], [9, 9, 9, 0]])
    found = rename_tails(tails, ids, torch.tensor([1, -1, 2, -1]), names)
    expected = tails.clone()
    expected[0, 1], expected[2, 2] = PADDING, PADDING
    expected[0, 1, :3], expected[2, 2, :3] = torch.tensor([9, 8, 0]), torch.tensor([9, 9, 0])
    assert torch.equal(found, expected)


def test_a_new_name_may_be_longer_than_every_tail(table: TailTable) -> None:
    width = table.tokens.shape[1]
    name = torch.arange(2, width + 5)
    ids = torch.tensor([[0, 1]])
    found = rename_tails(table.tokens[None, [0, 1, table.null]], ids, torch.tensor([1]), name[None])
    assert found[0, 1].tolist() == name.tolist()
    assert found[0, 0].tolist() == [*table.tokens[0].tolist(), PADDING, PADDING, PADDING]


@pytest.mark.parametrize("choice", range(len(TAILS) + 1))
def test_an_open_gate_writes_exactly_the_chosen_tail(table: TailTable, choice: int) -> None:
    torch.manual_seed(0)
    alpha = torch.full((1, len(TAILS) + 1), 0.01)
    alpha[0, choice] = 1 - 0.01 * len(TAILS)
    answer: list[int] = []
    while len(answer) < 30 and (not answer or answer[-1] != EOS_ID):
        following = torch.tensor([continue_with(table, answer)])
        answer.append(int(mixed(torch.randn(1, VOCAB), torch.ones(1), alpha, following).argmax()))
    assert TOKENIZER.decode(answer) == f" {[*TAILS, UNKNOWN_ANSWER][choice]}<eos>"
