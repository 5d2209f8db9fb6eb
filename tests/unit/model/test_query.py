"""A gate learns what tells questions apart."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from kblampp.model.query import QuestionGate

D_SENTENCE, USED = 384, 64
"""Width of the questions' vectors, and in how many directions they lie."""


def questions(number: int, seed: int) -> tuple[Tensor, Tensor]:
    """Unit vectors in the used directions, (number, d), and whether each is of the one kind, (number,)."""
    vectors = torch.zeros(number, D_SENTENCE)
    vectors[:, :USED] = torch.randn(number, USED, generator=torch.Generator().manual_seed(seed))
    kind = torch.arange(number) % 2 == 0
    vectors[:, 0] = torch.where(kind, 5.0, -5.0)
    return normalize(vectors, dim=-1), kind.float()


@pytest.fixture(scope="module")
def gate() -> QuestionGate:
    """A gate that has learned to open for the one kind of questions."""
    torch.manual_seed(0)
    gate = QuestionGate(D_SENTENCE)
    optimizer = torch.optim.Adam(gate.parameters(), lr=0.003)
    for step in range(300):
        vectors, kind = questions(32, step)
        loss = torch.nn.functional.binary_cross_entropy_with_logits(gate(vectors), kind)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return gate


def test_an_untrained_gate_is_alike_for_all_questions_and_rather_closed() -> None:
    logits = QuestionGate(D_SENTENCE)(questions(10, 0)[0])
    torch.testing.assert_close(logits, torch.full((10,), -1.0))


@torch.no_grad()
def test_a_gate_learns_what_tells_questions_apart(gate: QuestionGate) -> None:
    vectors, kind = questions(200, 1000)
    opened = gate(vectors).sigmoid()
    assert ((opened > 0.5) == (kind > 0.5)).all()
    assert (opened - kind).abs().max() < 0.25
