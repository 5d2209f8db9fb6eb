"""As much of the context score stays as finds most facts; the null fact refuses one in twenty of those found."""

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
from kblampp.training.calibration import CALIBRATION, CONTEXT_SHARES, calibrate, refusal_cut
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


def test_calibration_moves_the_last_null_fact_alone_and_by_what_it_says(world: TinyWorld) -> None:
    """Whatever the bias was, the log-odds end at the same place: only the differences of questions count."""
    ends = []
    for bias in (-3.0, 0.0, 2.0):
        model = model_that_finds(world)
        model.selectors[-1].null.out.bias.data.fill_(bias / 5)
        before = {name: tensor.clone() for name, tensor in model.added_parameters().items()}
        moved = calibrate(model, Workspace(world, model))  # type: ignore[arg-type]
        after = model.added_parameters()
        (changed,) = (name for name, tensor in before.items() if not torch.equal(tensor, after[name]))
        assert changed == f"selectors.{len(model.selectors) - 1}.null.out.bias"
        assert float(after[changed]) - float(before[changed]) == pytest.approx(moved / 5, abs=1e-5)
        ends.append(float(after[changed]))
    assert ends == pytest.approx([ends[0]] * 3, abs=1e-3)


def with_context(world: TinyWorld, std: float = 2.0) -> KBInjectedModel:
    """The same with a context score that has learned something, another in each layer."""
    model = model_that_finds(world)
    for seed, selector in enumerate(model.selectors):
        torch.nn.init.normal_(selector.context.out.weight, std=std, generator=torch.Generator().manual_seed(seed))
    return model


def context_weights(model: KBInjectedModel) -> list[torch.Tensor]:
    return [selector.context.out.weight.detach().clone() for selector in model.selectors]


@dataclass(frozen=True)
class Oracle:
    """In place of the predictor: finds as many of the questions' facts as it is told for the share that is tried."""

    model: KBInjectedModel
    seen: list[list[torch.Tensor]]
    finds: Callable[[int], int]

    def predict(self, base: Any, encoded: Any, label: str = "") -> list[Prediction]:
        self.seen.append(context_weights(self.model))
        turn = len(self.seen) - 1
        rows, right = [], 0
        for place, question in enumerate(encoded.questions):
            wanted = question.hops[-1][0] if question.hops else -1
            hit = bool(question.hops) and right < self.finds(turn)
            right += hit
            null = (place + 1 + turn) / 100  # another in each turn
            rows.append(Prediction("", ranked=((wanted,), (wanted if hit else wanted + 1,)), null=null))
        return rows


@pytest.mark.parametrize(
    ("counts", "best"),
    [
        ((3, 5, 7, 6), 2),
        ((3, 7, 7, 6), 1),
        ((4, 3, 2, 1), 0),
        ((1, 2, 3, 4), 3),
        ((5, 5, 5, 5), 0),
        ((2, 5, 2, 5), 1),
        ((0, 0, 0, 0), 0),
    ],
)
def test_each_share_of_the_context_score_is_tried_and_the_smallest_that_finds_most_stays(
    world: TinyWorld, counts: tuple[int, ...], best: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = with_context(world)
    trained, seen = context_weights(model), list[list[torch.Tensor]]()
    before = {name: tensor.detach().clone() for name, tensor in model.added_parameters().items()}
    predictor = Oracle(model, seen, counts.__getitem__)
    monkeypatch.setattr(calibration, "Predictor", lambda *_, **__: predictor)
    moved = calibrate(model, Workspace(world, model))  # type: ignore[arg-type]
    shares = (0.0, 0.25, 0.5, 1.0)
    assert shares == CONTEXT_SHARES
    assert len(seen) == len(shares)
    for share, weights in zip(shares, seen, strict=True):
        for got, weight in zip(weights, trained, strict=True):
            assert torch.equal(got, share * weight)
    for got, weight in zip(context_weights(model), trained, strict=True):
        assert torch.equal(got, shares[best] * weight)
    answerable = [place for place, question in enumerate(world.questions) if question.hops][: counts[best]]
    odds = sorted(np.log(null / (1 - null)) for null in ((place + 1 + best) / 100 for place in answerable))
    place = 0.95 * (len(odds) - 1)
    cut = 0.0
    if odds:
        low = int(place)
        high = min(low + 1, len(odds) - 1)
        cut = odds[low] + (place - low) * (odds[high] - odds[low])
    assert moved == pytest.approx(-cut, abs=1e-6)
    bias, after = f"selectors.{len(model.selectors) - 1}.null.out.bias", model.added_parameters()
    assert float(after[bias].detach() - before[bias]) == pytest.approx(moved / 5, abs=1e-5)
    others = {name for name, tensor in before.items() if not torch.equal(tensor, after[name])} - {bias}
    assert others == ({f"selectors.{n}.context.out.weight" for n in range(len(trained))} if best < 3 else set())


def test_what_stays_finds_most_of_the_facts_of_the_world(world: TinyWorld) -> None:
    """A model that reads, asked by hand with each share, and after calibration at the cut."""
    model = with_context(world, std=20.0)
    trained = context_weights(model)
    options = SelectorOptions(top_k=16, over_fetch=64, as_of=SYNTHETIC_TODAY)
    predictor = Predictor(model, world.backbone(model.backbone), options, batch_size=7, max_new_tokens=1)

    def facts_found() -> list[bool]:
        rows = zip(world.questions, predictor.predict(world.base, world.encoded()), strict=True)
        return [bool(q.supporting_facts) and said.ranked[-1][0] == q.supporting_facts[-1] for q, said in rows]

    counts = {}
    for share in (1.0, 0.5, 0.25, 0.0):
        for selector, weight in zip(model.selectors, trained, strict=True):
            selector.context.out.weight.data.copy_(share * weight)
        counts[share] = sum(facts_found())
    assert len(set(counts.values())) > 1
    best = min(share for share, count in counts.items() if count == max(counts.values()))
    for selector, weight in zip(model.selectors, trained, strict=True):
        selector.context.out.weight.data.copy_(weight)
    calibrate(model, Workspace(world, model))  # type: ignore[arg-type]
    for got, weight in zip(context_weights(model), trained, strict=True):
        assert torch.equal(got, best * weight)
    assert sum(facts_found()) == counts[best]


def test_after_calibration_nothing_is_left_to_move(world: TinyWorld) -> None:
    model = model_that_finds(world)
    workspace: Any = Workspace(world, model)
    assert calibrate(model, workspace) != 0.0
    assert calibrate(model, workspace) == pytest.approx(0.0, abs=1e-3)


@pytest.mark.parametrize("counts", [(3, 7, 5, 6), (3, 5, 7, 6), (1, 2, 3, 4), (5, 5, 5, 5)])
def test_to_calibrate_again_leaves_as_much_of_the_context_score(
    world: TinyWorld, counts: tuple[int, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each time the same shares of what was trained are tried, also after the adapter was written and opened."""
    model, tried = with_context(world), list[list[list[torch.Tensor]]]()

    def run(which: KBInjectedModel) -> list[torch.Tensor]:
        tried.append([])
        predictor = Oracle(which, tried[-1], counts.__getitem__)
        monkeypatch.setattr(calibration, "Predictor", lambda *_, **__: predictor)
        calibrate(which, Workspace(world, which))  # type: ignore[arg-type]
        return context_weights(which)

    def same(one: list[torch.Tensor], other: list[torch.Tensor]) -> bool:
        return all(map(torch.equal, one, other))

    once = run(model)
    assert same(run(model), once)
    save_adapter(tmp_path / "trainA", model, world.backbone(model.backbone), world.projections)
    opened = load_adapter(tmp_path / "trainA", world.backbone(FAMILIES["llama"]()), world.projections)
    rounded = context_weights(opened)
    assert same(run(opened), rounded)
    if counts[0] < max(counts):  # of nothing nothing comes back
        assert all(map(same, tried[1], tried[0]))
        assert opened.context_share == model.context_share == CONTEXT_SHARES[counts.index(max(counts))]
