"""The state of a run goes into a file and comes back; a file of another run is left alone, a damaged one named."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from kblampp.core.errors import CheckpointError
from kblampp.core.run_state import resume_state, save_state


@dataclass
class Progress:
    step: int

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> Progress:
        return cls(state["step"])


def learner(value: float) -> tuple[dict[str, nn.Parameter], torch.optim.AdamW]:
    learning = {"w": nn.Parameter(torch.full((2, 3), value))}
    return learning, torch.optim.AdamW(learning.values(), lr=0.1)


def stepped(learning: dict[str, nn.Parameter], optimizer: torch.optim.AdamW) -> torch.Tensor:
    learning["w"].grad = torch.arange(6.0).view(2, 3)
    optimizer.step()
    return learning["w"].detach().clone()


def test_a_run_goes_on_as_if_it_had_not_been_stopped(tmp_path: Path) -> None:
    learning, optimizer = learner(1.0)
    stepped(learning, optimizer)
    save_state(tmp_path / "s.pt", "key", {"step": 1}, learning, optimizer)
    others, another = learner(5.0)
    assert resume_state(tmp_path / "s.pt", "key", Progress.of, others, another) == Progress(1)
    torch.testing.assert_close(stepped(others, another), stepped(learning, optimizer), rtol=0, atol=0)


def test_without_a_file_and_with_that_of_another_run_nothing_is_resumed(tmp_path: Path) -> None:
    learning, optimizer = learner(1.0)
    assert resume_state(tmp_path / "s.pt", "key", Progress.of, learning, optimizer) is None
    save_state(tmp_path / "s.pt", "other", {"step": 1}, *learner(2.0))
    assert resume_state(tmp_path / "s.pt", "key", Progress.of, learning, optimizer) is None
    assert float(learning["w"].detach().mean()) == 1.0


@pytest.mark.parametrize("lacking", ["step", "weights", "optimizer"])
def test_a_file_that_lacks_something_is_named(tmp_path: Path, lacking: str) -> None:
    learning, optimizer = learner(1.0)
    path = tmp_path / "s.pt"
    save_state(path, "key", {"step": 1}, learning, optimizer)
    state = torch.load(path, weights_only=True)
    del state[lacking]
    torch.save(state, path)
    with pytest.raises(CheckpointError, match=r"s\.pt cannot be read .*; delete it"):
        resume_state(path, "key", Progress.of, learning, optimizer)


@pytest.mark.parametrize(
    "weights",
    [
        {"w": torch.zeros(3)},  # would be spread over all rows
        {"w": torch.zeros(2, 3), "v": torch.zeros(1)},
        {"v": torch.zeros(2, 3)},
    ],
)
def test_weights_of_other_names_or_shapes_are_told_before_any_is_put_back(
    tmp_path: Path, weights: dict[str, torch.Tensor]
) -> None:
    learning, optimizer = learner(1.0)
    path = tmp_path / "s.pt"
    save_state(path, "key", {"step": 1}, learning, optimizer)
    torch.save(torch.load(path, weights_only=True) | {"weights": weights}, path)
    with pytest.raises(CheckpointError, match=r"s\.pt holds other weights .* the first of them [vw]; delete it"):
        resume_state(path, "key", Progress.of, learning, optimizer)
    assert (learning["w"] == 1.0).all()


@pytest.mark.parametrize("broken", [{"optimizer": None}, {"weights": None}, {"weights": {"w": 1}}])
def test_a_file_that_holds_something_else_is_named_and_changes_nothing(tmp_path: Path, broken: dict[str, Any]) -> None:
    learning, optimizer = learner(1.0)
    path = tmp_path / "s.pt"
    save_state(path, "key", {"step": 1}, *learner(2.0))
    torch.save(torch.load(path, weights_only=True) | broken, path)
    with pytest.raises(CheckpointError, match=r"s\.pt cannot be read .*; delete it"):
        resume_state(path, "key", Progress.of, learning, optimizer)
    assert (learning["w"] == 1.0).all()
