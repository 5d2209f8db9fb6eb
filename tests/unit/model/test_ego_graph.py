"""The readout of what lies around the selected facts is the formula, followed fact by fact through the base."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from kblampp.data.windows import Window, year_window
from kblampp.model.ego_graph import EgoGraphReadout, leave_out
from kblampp.model.inputs import EncodedBase, Questions
from tests.kb import TinyWorld, make_world

ROWS = (0, 9, 12)
WINDOWS = (None, year_window(2001), Window(None, year_window(1999).end))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> TinyWorld:
    return make_world(tmp_path_factory.mktemp("kb"))


def make_readout(world: TinyWorld, radius: int = 1, degree: int = 8) -> EgoGraphReadout:
    """A readout with no weight at zero, whose attention is far from uniform."""
    torch.manual_seed(radius)
    p = world.projections
    readout = EgoGraphReadout(p.d_question, p.d_ent + p.d_rel, p.d_v, p.d_ent, radius, degree)
    torch.nn.init.normal_(readout.attend.weight, std=2.0)
    torch.nn.init.normal_(readout.message.weight)
    torch.nn.init.normal_(readout.out.weight)
    return readout


def asked(world: TinyWorld, windows: Sequence[Window | None] = WINDOWS) -> Questions:
    rows = ROWS[: len(windows)]
    return Questions.make(world.vectors[list(rows)], windows, [world.questions[row].question for row in rows])


def read(
    readout: EgoGraphReadout, base: EncodedBase, questions: Questions, ids: Tensor, alpha: Tensor, **options: Any
) -> Tensor:
    added: Tensor = readout(base.graph, questions.vectors, questions.windows, ids, alpha, **options)
    return added


def some_facts(world: TinyWorld, *shape: int) -> tuple[Tensor, Tensor]:
    """Facts drawn at random, the last of each token missing, and weights that leave some to the null fact."""
    generator = torch.Generator().manual_seed(7)
    ids = torch.randint(world.base.store.n, shape, generator=generator)
    ids[..., -1] = -1
    weights = torch.rand((*shape[:-1], shape[-1] + 1), generator=generator)
    alpha = (weights / weights.sum(-1, keepdim=True))[..., :-1].masked_fill(ids < 0, 0.0)
    return ids, alpha


def about(world: TinyWorld, fact: int) -> list[int]:
    """The facts whose head is the fact's tail, by their names."""
    return [n for n, other in enumerate(world.facts) if other.head.name == world.facts[fact].tail.name]


def gelu(x: Any) -> Any:
    return 0.5 * x * (1 + np.array([math.erf(entry / math.sqrt(2)) for entry in x]))


def naive_node(
    world: TinyWorld, readout: EgoGraphReadout, e: Any, window: Window | None, fact: int, depth: int
) -> tuple[Any, Any]:
    """h and h' of the tail of one fact, in float64."""
    w = {name: parameter.detach().double().numpy() for name, parameter in readout.named_parameters()}
    tensors, d_ent = world.base.tensors, world.projections.d_ent
    h = tensors.values[fact, :d_ent].double().numpy()
    ends = []
    for other in about(world, fact)[: readout.degree] if depth else []:
        when = world.facts[other].window
        if window is None or not when.known or when.overlaps(window):
            after = naive_node(world, readout, e, window, other, depth - 1)[1]
            ends.append(
                np.concatenate([after, tensors.keys[other, d_ent : d_ent + world.projections.d_rel].double().numpy()])
            )
    if not ends:
        return h, h
    query = w["attend.weight"] @ np.concatenate([h, e]) + w["attend.bias"]
    scores = np.array([query @ end for end in ends])
    weights = np.exp(scores - scores.max())
    weights /= weights.sum()
    mixed = sum(weight * end for weight, end in zip(weights, ends, strict=True))
    return h, h + gelu(w["message.weight"] @ mixed)


def naive_readout(
    world: TinyWorld, readout: EgoGraphReadout, row: int, window: Window | None, ids: list[int], alpha: list[float]
) -> Any:
    """z_j for one token."""
    e = world.vectors[row].astype(np.float64)
    total = np.zeros(world.projections.d_ent)
    for fact, weight in zip(ids, alpha, strict=True):
        if fact >= 0:
            h, after = naive_node(world, readout, e, window, fact, readout.radius)
            total += weight * (after - h)
    return readout.out.weight.detach().double().numpy() @ total


@pytest.mark.parametrize("degree", [1, 3, 8])
def test_the_facts_that_go_on_from_a_fact_have_its_tail_as_head(world: TinyWorld, degree: int) -> None:
    found = world.base.graph.onward(torch.arange(len(world.facts)), degree)
    for fact, onward in enumerate(found.tolist()):
        expected = about(world, fact)[:degree]
        assert onward == expected + [-1] * (degree - len(expected))
    assert len({len(about(world, fact)) for fact in range(len(world.facts))}) > 2


@pytest.mark.parametrize(("radius", "degree"), [(1, 8), (1, 2), (2, 8), (2, 3)])
def test_the_readout_is_the_formula(world: TinyWorld, radius: int, degree: int) -> None:
    readout, (ids, alpha) = make_readout(world, radius, degree), some_facts(world, len(ROWS), 2, 5)
    with torch.no_grad():
        found = read(readout, world.base, asked(world), ids, alpha)
    for place, (row, window) in enumerate(zip(ROWS, WINDOWS, strict=True)):
        for token in range(2):
            where = place, token
            expected = naive_readout(world, readout, row, window, ids[where].tolist(), alpha[where].tolist())
            np.testing.assert_allclose(found[where], expected, rtol=1e-3, atol=1e-3)
            assert np.abs(expected).max() > 0.1


def test_candidates_that_a_sequence_shares_are_read_as_if_repeated(world: TinyWorld) -> None:
    readout = make_readout(world, 2, 3)
    ids, _ = some_facts(world, len(ROWS), 1, 6)
    repeated = ids.expand(-1, 4, -1)
    alpha = torch.rand(repeated.shape).masked_fill(repeated < 0, 0.0)
    together, apart = (read(readout, world.base, asked(world), each, alpha) for each in (ids, repeated))
    torch.testing.assert_close(together, apart, atol=1e-4, rtol=1e-4)


def test_each_token_and_question_is_read_alone(world: TinyWorld) -> None:
    readout, (ids, alpha) = make_readout(world, 2), some_facts(world, len(ROWS), 3, 5)
    questions = asked(world)
    together = read(readout, world.base, questions, ids, alpha)
    for row in range(len(ROWS)):
        one = questions.part([row])
        for token in range(3):
            where = slice(row, row + 1), slice(token, token + 1)
            alone = read(readout, world.base, one, ids[where], alpha[where])
            torch.testing.assert_close(together[where], alone, atol=1e-4, rtol=1e-4)


def follows(world: TinyWorld, fact: int, window: Window | None) -> bool:
    """Whether anything is read around a fact."""
    ids, alpha = torch.tensor([[[fact]]]), torch.ones(1, 1, 1)
    return bool(read(make_readout(world), world.base, asked(world, [window]), ids, alpha).any())


def test_facts_outside_a_known_question_window_are_not_followed(world: TinyWorld) -> None:
    """Out of a town of birth lead its three mayors, none of whom held office in 1850."""
    births = [n for n, fact in enumerate(world.facts) if fact.relation.name == "place of birth"]
    for fact in births:
        onward = world.base.graph.onward(torch.tensor(fact), 3).tolist()
        assert {world.facts[other].relation.name for other in onward} == {"mayor"}
        readout, ids, alpha = make_readout(world, degree=3), torch.tensor([[[fact]]]), torch.ones(1, 1, 1)
        for year, expected in ((1850, False), (2001, True)):
            added = read(readout, world.base, asked(world, [year_window(year)]), ids, alpha)
            assert bool(added.any()) is expected
        assert read(readout, world.base, asked(world, [None]), ids, alpha).any()


def test_a_tail_that_is_nowhere_a_head_adds_nothing(world: TinyWorld) -> None:
    ends = [n for n, fact in enumerate(world.facts) if fact.relation.name == "employer"]
    assert not any(follows(world, fact, None) for fact in ends)
    assert follows(world, 0, None)


def test_an_untrained_readout_adds_exactly_zero_and_learns(world: TinyWorld) -> None:
    p = world.projections
    readout = EgoGraphReadout(p.d_question, p.d_ent + p.d_rel, p.d_v, p.d_ent, 2, 8)
    ids, alpha = some_facts(world, len(ROWS), 2, 5)
    added = read(readout, world.base, asked(world), ids, alpha)
    assert added.shape == (len(ROWS), 2, p.d_v)
    assert not added.any()
    added.sum().backward()
    assert readout.out.weight.grad is not None
    assert readout.out.weight.grad.any()


def test_gradients_reach_every_weight_and_alpha(world: TinyWorld) -> None:
    readout, (ids, alpha) = make_readout(world, 2), some_facts(world, len(ROWS), 2, 5)
    alpha.requires_grad_()
    read(readout, world.base, asked(world), ids, alpha).square().sum().backward()
    for tensor in (*readout.parameters(), alpha):
        assert tensor.grad is not None
        assert torch.isfinite(tensor.grad).all()
        assert tensor.grad.any()


def test_attention_starts_on_the_relation_that_is_asked_for(world: TinyWorld) -> None:
    """A map that always asks for one relation reads the one fact that has it, out of the three about a person."""
    d_ent, tensors = world.projections.d_ent, world.base.tensors
    mayor = 0
    for relation in ("place of birth", "employer", "residence"):
        (wanted,) = [n for n in about(world, mayor) if world.facts[n].relation.name == relation]
        readout, block = make_readout(world), tensors.keys[wanted, d_ent:]
        with torch.no_grad():
            readout.attend.weight[:d_ent] = 0
            readout.attend.bias[:d_ent] = 0
        readout.start_from(torch.zeros(len(block), world.projections.d_question), 100 * block)
        added = read(readout, world.base, asked(world, [None]), torch.tensor([[[mayor]]]), torch.ones(1, 1, 1))
        end = torch.cat([tensors.values[wanted, :d_ent], block])
        expected = readout.out(torch.nn.functional.gelu(readout.message(end)))
        torch.testing.assert_close(added[0, 0], expected, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize(("radius", "degree"), [(1, 2), (2, 3)])
def test_withheld_facts_are_followed_as_little_as_deleted_ones(
    world: TinyWorld, tmp_path: Path, radius: int, degree: int
) -> None:
    """Others take their place: the degree counts what is left."""
    withheld = [1, 2, 24, 27, 30, 61]
    base, kept = world.without(withheld, tmp_path)
    readout, questions = make_readout(world, radius, degree), asked(world)
    mapped, alpha = some_facts(world, len(ROWS), 2, 5)
    mapped = mapped.clamp(max=len(kept) - 1)
    ids = torch.where(mapped < 0, -1, torch.tensor(kept)[mapped])
    left_out = torch.tensor([[*withheld, -1]] * len(ROWS))
    found = read(readout, world.base, questions, ids, alpha, withheld=left_out)
    torch.testing.assert_close(found, read(readout, base, questions, mapped, alpha), atol=1e-4, rtol=1e-4)
    assert not torch.allclose(found, read(readout, world.base, questions, ids, alpha), atol=1e-2)


def test_what_is_left_out_makes_room_for_the_next() -> None:
    ids = torch.tensor([[5, 3, 9, 1], [5, 3, -1, -1]])
    withheld = torch.tensor([[3, -1], [5, 7]])
    assert leave_out(ids, withheld, 2).tolist() == [[5, 9], [3, -1]]
    assert leave_out(ids, withheld, 9).tolist() == [[5, 9, 1, -1], [3, -1, -1, -1]]
