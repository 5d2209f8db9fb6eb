"""The state of a training run in a file, from which a run that was killed goes on as if it had not been."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Protocol, TypeVar

import torch
from torch import nn

from kblampp.core.errors import CheckpointError
from kblampp.core.files import atomic_write

logger = logging.getLogger(__name__)


class _Progress(Protocol):
    """How far a run has come."""

    step: int


P = TypeVar("P", bound=_Progress)


def save_state(
    path: Path,
    key: str,
    progress: Mapping[str, Any],
    learning: Mapping[str, nn.Parameter],
    optimizer: torch.optim.Optimizer,
) -> None:
    """Writes how far a run has come, its weights and those of the optimizer.

    Args:
        path: The file; it is complete or absent.
        key: Identifies the run's parameters and inputs.
        progress: What else is needed to go on.
        learning: What learns, by name.
        optimizer: Of that.
    """
    weights = {name: parameter.detach() for name, parameter in learning.items()}
    with atomic_write(path, "wb") as file:
        torch.save({"key": key, **progress, "weights": weights, "optimizer": optimizer.state_dict()}, file)


def resume_state(
    path: Path,
    key: str,
    progress: Callable[[Mapping[str, Any]], P],
    learning: Mapping[str, nn.Parameter],
    optimizer: torch.optim.Optimizer,
) -> P | None:
    """Puts weights and optimizer back, in place; None where there is no file, or one of another run.

    Args:
        path: The file.
        key: That of this run.
        progress: Makes of the file what `save_state` was given as `progress`.
        learning: What learns, by name.
        optimizer: Of that.

    Raises:
        CheckpointError: The file is damaged, or its weights have other names or shapes; no weight is changed then.
    """
    if not path.exists():
        return None
    try:
        state = torch.load(path, weights_only=True)
        if state["key"] != key:
            logger.info("%s is of a run with other parameters or inputs; training from the start", path)
            return None
        found = progress(state)
        _check_weights(path, state["weights"], learning)
        if not isinstance(state["optimizer"], dict):
            raise TypeError("the optimizer's state is no dict")
        optimizer.load_state_dict(state["optimizer"])  # may fail, so before the weights, which fit
        with torch.no_grad():
            for name, parameter in learning.items():
                parameter.copy_(state["weights"][name])
    except CheckpointError:
        raise
    except (OSError, RuntimeError, EOFError, ValueError, UnpicklingError, LookupError, TypeError) as error:
        raise CheckpointError(
            f"{path} cannot be read ({type(error).__name__}); delete it to train from the start"
        ) from error
    logger.info("resuming at step %d from %s", found.step, path)
    return found


def _check_weights(path: Path, weights: Mapping[str, torch.Tensor], learning: Mapping[str, nn.Parameter]) -> None:
    """Whether a file holds what learns, and nothing else.

    Raises:
        CheckpointError: A name or a shape differs.
        TypeError: They are no weights.
    """
    if not isinstance(weights, Mapping) or not all(isinstance(weight, torch.Tensor) for weight in weights.values()):
        raise TypeError("the weights are no mapping of tensors")
    differ = sorted(
        name
        for name in weights.keys() | learning.keys()
        if name not in weights or name not in learning or weights[name].shape != learning[name].shape
    )
    if differ:
        raise CheckpointError(
            f"{path} holds other weights than those that are trained: {len(differ)} names or shapes differ, the first "
            f"of them {differ[0]}; delete it to train from the start"
        )
