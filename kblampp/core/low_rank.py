"""Low-rank updates in peft's files: what the tuned encoder and a changed backbone have in common."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kblampp.core.files import read_json

if TYPE_CHECKING:
    from torch import Tensor

WEIGHTS = "adapter_model.safetensors"
"""As peft names the file."""
CONFIG = "adapter_config.json"
"""And the one that says how the updates were made."""
_PREFIX = "base_model.model."  # of names in it
_PLAIN = ("use_dora", "use_rslora", "fan_in_fan_out", "rank_pattern", "alpha_pattern", "modules_to_save", "lora_bias")
"""What an update is not, where it is the product of two matrices, scaled, and nothing else."""


def updates_of(model: Any) -> dict[str, Tensor]:
    """The updates of a model that peft has wrapped or changed in place, by the names that peft's files have."""
    from peft import get_peft_model_state_dict  # slow to import: only when used

    return {
        _PREFIX + name: part for name, part in get_peft_model_state_dict(model, save_embedding_layers=False).items()
    }


def put_updates(model: Any, updates: Mapping[str, Tensor]) -> None:
    """Puts updates by the names of peft's files into a model that peft has wrapped.

    Raises:
        ValueError: Some are missing or too many.
        RuntimeError: One has another shape.
    """
    from peft import set_peft_model_state_dict

    found: Any = set_peft_model_state_dict(model, dict(updates))
    missing = [name for name in found.missing_keys if ".lora_" in name]
    if missing or found.unexpected_keys:
        some = [*missing, *found.unexpected_keys][0]
        raise ValueError(
            f"{len(missing)} weights are missing, {len(found.unexpected_keys)} too many, the first of them {some}"
        )


def merge_updates(model: Any, folder: Path) -> None:
    """Adds the updates in peft's files to the weights of linear layers, bit for bit as peft does.

    Without peft, which is slow to import.  Source: Hu et al. 2021, "LoRA: Low-Rank Adaptation of Large Language
    Models", section 4.1.

    Args:
        model: What they were made for, unchanged.
        folder: Holds the two files.

    Raises:
        ValueError: They are of another kind or shape, or some are missing or too many; the model is unchanged.
        LookupError: The configuration lacks something.
        TypeError: It holds something of another type.
        StoreError: The configuration cannot be read.
    """
    import torch
    from safetensors.torch import load_file

    config, updates = read_json(folder / CONFIG), load_file(folder / WEIGHTS)
    if not isinstance(config, dict):
        raise ValueError(f"{CONFIG} holds no object")
    if config.get("peft_type") != "LORA" or config.get("bias") != "none" or any(config.get(name) for name in _PLAIN):
        raise ValueError(f"{CONFIG} is not of plain low-rank updates")
    targets = {f".{name}" for name in config["target_modules"]}
    layers = {
        f"{_PREFIX}{name}": layer
        for name, layer in model.named_modules()
        if isinstance(layer, torch.nn.Linear) and any(f".{name}".endswith(target) for target in targets)
    }
    parts = {f"{name}.lora_{part}.weight" for name in layers for part in "AB"}
    if parts != updates.keys():
        missing, more = sorted(parts - updates.keys()), sorted(updates.keys() - parts)
        raise ValueError(
            f"{len(missing)} weights are missing, {len(more)} too many, the first of them {[*missing, *more][0]}"
        )
    rank = config["r"]
    if not isinstance(rank, int) or rank < 1:
        raise ValueError(f"{CONFIG} has the rank {rank!r}, expected a whole number from 1")
    scale = config["lora_alpha"] / rank
    for name, layer in layers.items():  # all of them before the first is changed
        a, b = (updates[f"{name}.lora_{part}.weight"] for part in "AB")
        if (a.shape, b.shape) != ((rank, layer.in_features), (layer.out_features, rank)):
            raise ValueError(f"{name} has updates of the shapes {tuple(a.shape)} and {tuple(b.shape)}")
    with torch.no_grad():
        for name, layer in layers.items():
            a, b = (updates[f"{name}.lora_{part}.weight"].to(layer.weight) for part in "AB")
            layer.weight += (b @ a) * scale
