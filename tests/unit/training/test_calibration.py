"""The largest share of the context score that finds most facts counts; the null fact refuses one in twenty found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kblampp.data.windows import SYNTHETIC_TODAY
from kblampp.model.checkpoint import load_adapter, save_adapter
from kblampp.model.injection import KBInjectedModel
from kblampp.model.inputs import SelectorOptions
from kblampp.model.predictor import Prediction, Predictor
from kblampp.training import calibration
from kblampp.training.calibration import (
    CALIBRATION,
    CONTEXT_SHARES,
    calibrate,
    largest_as_good,
    refusal_cut,
    refusal_cuts,
)
from tests.kb import TinyWorld, make_world
from tests.tiny import FAMILIES


@settings(deadline=None, max_examples=200)
@given(st.lists(st.floats(-9, 9), min_size=40, max_size=200))
def test_one_in_twenty_of_what_was_found_is_refused(odds: list[float]) -> None:
    cut = refusal_cut(np.array(odds))
    assert sum(value > cut for value in odds) < 0.05 * (len(odds) - 1) + 1
    assert sum(value >= cut for value in odds) >= 0.05 * len(odds) - 1


def test_where_nothing_was_found_nothing_is_moved() -> None:
    assert refusal_cut(np.array([])) == 0.0


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> TinyWorld:
    return make_world(tmp_path_factory.mktemp("kb"))


def model_that_finds(world: TinyWorld) -> KBInjectedModel:
    """Starts as the projections, which find most mayors; its last null fact looks at how they fit."""
    model = world.model(FAMILIES["llama"](), trained=False)
    torch.nn.init.normal_(model.selectors[-1].null.out.weight, std=0.1, generator=torch.Generator().manual_seed(0))
    return model


class Workspace:
    """The part of a workspace that calibration reads: a world as the split `unseen`."""

    def __init__(self, world: TinyWorld, model: KBInjectedModel) -> None:
        self.backbone = world.backbone(model.backbone)
        self.dataset = self
        self.questions = {CALIBRATION: world.questions}
        self._world = world

    def open_base(self, split: str) -> Any:
        assert split == CALIBRATION
        world = self._world

        class Store:
            n = world.base.store.n

            def __getattr__(self, name: str) -> Any:
                return getattr(world.base.store, name)

            def question_vectors(self, split: str) -> Any:
                assert split == CALIBRATION
                return world.vectors

        return replace(world.base, store=Store())  # type: ignore[arg-type]


@settings(deadline=None, max_examples=100)
@given(st.lists(st.tuples(st.integers(0, 2), st.floats(-9, 9)), max_size=200))
def test_each_group_is_refused_as_often_and_small_ones_together(asked: list[tuple[int, float]]) -> None:
    groups, odds = (np.array(column, dtype=float) for column in zip(*asked, strict=True)) if asked else ([], [])
    groups, odds = np.array(groups), np.array(odds)
    cuts = refusal_cuts(odds, groups)
    large = [group for group in range(3) if (groups == group).sum() >= 20]
    for group in large:
        assert cuts[group] == refusal_cut(odds[groups == group])
    for group in {0, 1, 2} - set(large):
        assert cuts[group] == refusal_cut(odds[~np.isin(groups, large)])


def test_calibration_moves_the_biases_of_the_last_null_fact_alone_and_by_what_it_says(world: TinyWorld) -> None:
    """Whatever the bias was, the log-odds end at the same place: only the differences of questions count."""
    ends = []
    for bias in (-3.0, 0.0, 2.0):
        model = model_that_finds(world)
        model.selectors[-1].null.out.bias.data.fill_(bias / 5)
        before = {name: tensor.clone() for name, tensor in model.added_parameters().items()}
        moved = calibrate(model, Workspace(world, model))  # type: ignore[arg-type]
        after = model.added_parameters()
        (changed,) = (name for name, tensor in before.items() if not torch.equal(tensor, after[name]))
        assert changed == f"selectors.{len(model.selectors) - 1}.null_by_group"
        assert (after[changed] - before[changed]).tolist() == pytest.approx(moved, abs=1e-5)
        ends.append([each + bias for each in after[changed].tolist()])
    for end in ends:
        assert end == pytest.approx(ends[0], abs=5e-3)


@pytest.mark.parametrize("shift", [(-2.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 3.0)])
def test_each_way_of_reading_has_its_own_bias(world: TinyWorld, shift: tuple[float, ...]) -> None:
    """It is added to the log-odds of the questions whose best fact is read so, and of no others."""
    model, shifted = model_that_finds(world), model_that_finds(world)
    shifted.selectors[-1].null_by_group.data.copy_(torch.tensor(shift))
    options = SelectorOptions(top_k=16, over_fetch=64, as_of=SYNTHETIC_TODAY)
    found = [
        Predictor(which, world.backbone(which.backbone), options, batch_size=7, max_new_tokens=1).predict(
            world.base, world.encoded()
        )
        for which in (model, shifted)
    ]
    assert {before.group for before in found[0]} <= {0, 1, 2}
    for before, after in zip(*found, strict=True):
        assert before.group == after.group
        assert before.null is not None
        assert after.null is not None
        odds = [np.log(null / (1 - null)) for null in (before.null, after.null)]
        assert odds[1] - odds[0] == pytest.approx(shift[before.group or 0], abs=2e-2)


def with_context(world: TinyWorld, std: float = 2.0) -> KBInjectedModel:
    """The same with a context score that has learned something, another in each layer."""
    model = model_that_finds(world)
    for seed, selector in enumerate(model.selectors):
        torch.nn.init.normal_(selector.context.out.weight, std=std, generator=torch.Generator().manual_seed(seed))
    return model


@dataclass(frozen=True)
class Oracle:
    """In place of the predictor: finds as many of the questions' facts as it is told for the share that is tried."""

    model: KBInjectedModel
    seen: list[float]
    finds: Callable[[int], int]

    def predict(self, base: Any, encoded: Any, label: str = "") -> list[Prediction]:
        self.seen.append(self.model.context_share)
        turn = len(self.seen) - 1
        rows, right = [], 0
        for place, question in enumerate(encoded.questions):
            wanted = question.hops[-1][0] if question.hops else -1
            hit = bool(question.hops) and right < self.finds(turn)
            right += hit
            null = (place + 1 + turn) / 100  # another in each turn
            ranked = (wanted,), (wanted if hit else wanted + 1,)
            rows.append(Prediction("", ranked=ranked, null=null, group=place % 3))
        return rows


@pytest.mark.parametrize(
    ("counts", "kept"),
    [((3, 5, 9, 6), 2), ((3, 9, 9, 5), 2), ((9, 5, 4, 3), 0), ((1, 2, 3, 9), 3), ((5, 5, 5, 5), 3), ((0, 0, 0, 0), 3)],
)
def test_each_share_of_the_context_score_is_tried_and_the_largest_that_finds_most_counts(
    world: TinyWorld, counts: tuple[int, ...], kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, seen = with_context(world), list[float]()
    before = {name: tensor.detach().clone() for name, tensor in model.added_parameters().items()}
    predictor = Oracle(model, seen, counts.__getitem__)
    monkeypatch.setattr(calibration, "Predictor", lambda *_, **__: predictor)
    moved = calibrate(model, Workspace(world, model))  # type: ignore[arg-type]
    assert tuple(seen) == CONTEXT_SHARES == (0.0, 0.25, 0.5, 1.0)
    assert model.context_share == CONTEXT_SHARES[kept]
    answerable = [place for place, question in enumerate(world.questions) if question.hops][: counts[kept]]
    odds = np.array([np.log(null / (1 - null)) for null in ((place + 1 + kept) / 100 for place in answerable)])
    assert moved == pytest.approx([-cut for cut in refusal_cuts(odds, np.array(answerable) % 3)], abs=1e-6)
    bias, after = f"selectors.{len(model.selectors) - 1}.null_by_group", model.added_parameters()
    assert (after[bias].detach() - before[bias]).tolist() == pytest.approx(moved, abs=1e-5)
    assert {name for name, tensor in before.items() if not torch.equal(tensor, after[name])} <= {bias}


@settings(deadline=None, max_examples=200)
@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.booleans()), min_size=1, max_size=60))
def test_a_larger_share_is_as_good_if_what_it_loses_is_no_more_than_chance(hits: list[tuple[bool, ...]]) -> None:
    shares = (0.0, 0.5, 1.0)
    kept = largest_as_good({share: np.array([hit[place] for hit in hits]) for place, share in enumerate(shares)})
    counts = [sum(hit[place] for hit in hits) for place in range(3)]
    best = counts.index(max(counts))
    as_good = []
    for place, share in enumerate(shares):
        better = sum(hit[best] and not hit[place] for hit in hits)
        worse = sum(hit[place] and not hit[best] for hit in hits)
        if (better - worse) ** 2 <= better + worse:
            as_good.append(share)
    assert kept == max(as_good)


def test_what_counts_of_the_context_score_is_its_share(world: TinyWorld) -> None:
    """The score that counts is the trained one times the share, in each layer."""
    model = with_context(world)
    scorers = [selector.context for selector in model.selectors]
    maps = scorers[0].from_hidden, scorers[0].from_question, scorers[0].from_context
    shapes = ((2, 1), (2,), (2, 1, 5))
    hidden, question, context = (torch.randn(*at, each.in_features) for at, each in zip(shapes, maps, strict=True))
    whole = [scorer(hidden, question, context) for scorer in scorers]
    model.context_share = 0.25
    for scorer, full in zip(scorers, whole, strict=True):
        assert full.abs().max() > 0
        torch.testing.assert_close(scorer(hidden, question, context), 0.25 * full)


def test_after_calibration_nothing_is_left_to_move(world: TinyWorld) -> None:
    model = model_that_finds(world)
    workspace: Any = Workspace(world, model)
    assert any(calibrate(model, workspace))
    assert calibrate(model, workspace) == pytest.approx([0.0] * 3, abs=1e-3)


def test_to_calibrate_again_tries_the_same_and_the_share_is_saved(
    world: TinyWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, counts = with_context(world), (3, 9, 5, 6)
    for _ in range(2):
        seen = list[float]()
        predictor = Oracle(model, seen, counts.__getitem__)
        monkeypatch.setattr(calibration, "Predictor", lambda *_, predictor=predictor, **__: predictor)
        calibrate(model, Workspace(world, model))  # type: ignore[arg-type]
        assert tuple(seen) == CONTEXT_SHARES
        assert model.context_share == 0.25
    save_adapter(tmp_path / "trainA", model, world.backbone(model.backbone), world.projections)
    opened = load_adapter(tmp_path / "trainA", world.backbone(FAMILIES["llama"]()), world.projections)
    assert opened.context_share == 0.25
    for own, loaded in zip(model.selectors, opened.selectors, strict=True):
        assert torch.equal(loaded.context.out.weight, own.context.out.weight.half().float())
