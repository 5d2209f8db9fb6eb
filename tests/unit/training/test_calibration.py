"""The null fact's bias is set where it refuses one in twenty of the questions whose fact was found."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kblampp.model.injection import KBInjectedModel
from kblampp.training.calibration import CALIBRATION, calibrate, refusal_cut
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


def test_after_calibration_nothing_is_left_to_move(world: TinyWorld) -> None:
    model = model_that_finds(world)
    workspace: Any = Workspace(world, model)
    assert calibrate(model, workspace) != 0.0
    assert calibrate(model, workspace) == pytest.approx(0.0, abs=1e-3)
