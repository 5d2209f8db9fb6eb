"""A gate reads how many hops a question has, and nothing from words that no training question had."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from kblampp.queries import QuestionGate

D_SENTENCE, SEEN = 384, 64
"""Width of the questions' vectors, and the first directions, which alone those of training have."""


def questions(number: int, seed: int) -> tuple[Tensor, Tensor]:
    """Unit vectors in the seen directions, (number, d), and whether each is of the one kind, (number, 1)."""
    vectors = torch.zeros(number, D_SENTENCE)
    vectors[:, :SEEN] = torch.randn(number, SEEN, generator=torch.Generator().manual_seed(seed))
    kind = (torch.arange(number) % 2 == 0)[:, None]
    vectors[:, :1] = torch.where(kind, 5.0, -5.0)
    return normalize(vectors, dim=-1), kind.float()


def learned_gate() -> QuestionGate:
    """A gate that has learned to open for the one kind of questions."""
    torch.manual_seed(0)
    gate = QuestionGate(D_SENTENCE)
    optimizer = torch.optim.Adam(gate.parameters(), lr=0.003)
    for step in range(1000):
        vectors, kind = questions(32, step)
        loss = torch.nn.functional.binary_cross_entropy(gate(vectors), kind)
        if loss < 0.05:
            break
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return gate


@pytest.fixture(scope="module")
def gate() -> QuestionGate:
    return learned_gate()


def unseen(number: int) -> Tensor:
    """Unit vectors that have nothing of the seen directions, (number, d)."""
    vectors = torch.randn(number, D_SENTENCE, generator=torch.Generator().manual_seed(99))
    vectors[:, :SEEN] = 0
    return normalize(vectors, dim=-1)


def test_an_untrained_gate_is_alike_for_all_questions_and_rather_closed() -> None:
    values = QuestionGate(D_SENTENCE)(questions(10, 0)[0])
    assert values.shape == (10, 1)
    torch.testing.assert_close(values, torch.full((10, 1), torch.tensor(-1.0).sigmoid().item()))


@torch.no_grad()
def test_a_gate_learns_what_tells_questions_apart(gate: QuestionGate) -> None:
    vectors, kind = questions(200, 1000)
    assert ((gate(vectors) > 0.5) == (kind > 0.5)).all()
    assert (gate(vectors) - kind).abs().max() < 0.25


@torch.no_grad()
def test_directions_that_no_training_question_has_leave_the_gate_as_it_is(gate: QuestionGate) -> None:
    """As names of unseen words: a part as long as the question itself changes nothing that counts."""
    vectors, _ = questions(200, 1001)
    change = (gate(vectors + unseen(200)) - gate(vectors)).abs()
    assert change.max() < 0.02
    large = QuestionGate(D_SENTENCE)
    large.load_state_dict(gate.state_dict())
    torch.manual_seed(1)
    torch.nn.init.kaiming_uniform_(large.inner.weight[:, SEEN:], a=5**0.5)  # how a linear layer would start
    assert (large(vectors + unseen(200)) - large(vectors)).abs().max() > 0.02, "or the claim would say nothing"
