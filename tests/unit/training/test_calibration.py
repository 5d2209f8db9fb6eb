"""The null fact's bias is set where refusing is right most often, told by trying every cut and by counting."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kblampp.model.injection import KBInjectedModel
from kblampp.training.calibration import CALIBRATION, best_cut, calibrate
from tests.kb import TinyWorld, make_world
from tests.tiny import FAMILIES


def cut(odds: list[float], unanswerable: list[bool], found: list[bool]) -> float:
    return best_cut(np.array(odds), np.array(unanswerable), np.array(found))


def index(odds: list[float], unanswerable: list[bool], found: list[bool], at: float) -> float:
    """Youden's: the share of the unanswerable that is refused less that of the found."""
    refused = [value > at for value in odds]
    shares = [sum(r for r, one in zip(refused, kind, strict=True) if one) / sum(kind) for kind in (unanswerable, found)]
    return shares[0] - shares[1]


questions = st.lists(
    st.tuples(st.sampled_from([-9.0, -2.0, -1.5, 0.0, 0.25, 3.0, 8.0]), st.sampled_from(["none", "found", "missed"])),
    min_size=2,
    max_size=20,
).filter(lambda rows: {"none", "found"} <= {kind for _, kind in rows})


@settings(deadline=None, max_examples=200)
@given(questions)
def test_no_other_cut_is_better(rows: list[tuple[float, str]]) -> None:
    odds = [value for value, _ in rows]
    kinds = [[kind == name for _, kind in rows] for name in ("none", "found")]
    chosen = cut(odds, kinds[0], kinds[1])
    values = sorted(set(odds))
    edges = [values[0] - 5, values[-1] + 5, *((a + b) / 2 for a, b in itertools.pairwise(values))]
    best = max(index(odds, kinds[0], kinds[1], at) for at in edges)
    assert index(odds, kinds[0], kinds[1], chosen) == pytest.approx(best)
    assert chosen not in values


def test_both_kinds_count_the_same_however_many_there_are_of_each() -> None:
    odds = [1.0] + [0.0] * 9 + [2.0]
    assert cut(odds, [False] * 10 + [True], [True] * 10 + [False]) == 1.5


def test_what_was_not_found_loses_nothing_by_being_refused() -> None:
    odds, unanswerable = [-1.0, 4.0, 2.0, 5.0], [False, False, True, True]
    assert cut(odds, unanswerable, [True, False, False, False]) == 0.5
    assert cut(odds, unanswerable, [True, True, False, False]) in (0.5, 4.5)


@pytest.mark.parametrize("kind", ["unanswerable", "found"])
def test_with_one_kind_alone_nothing_is_moved(kind: str) -> None:
    yes, no = [True, True], [False, False]
    assert cut([1.0, 2.0], yes if kind == "unanswerable" else no, yes if kind == "found" else no) == 0.0


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> TinyWorld:
    return make_world(tmp_path_factory.mktemp("kb"))


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
        model = world.model(FAMILIES["llama"]())
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
    model = world.model(FAMILIES["llama"]())
    workspace: Any = Workspace(world, model)
    calibrate(model, workspace)
    assert calibrate(model, workspace) == pytest.approx(0.0, abs=1e-3)
