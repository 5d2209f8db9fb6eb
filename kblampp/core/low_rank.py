"""Low-rank updates in peft's files: what the tuned encoder and a changed backbone have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

WEIGHTS = "adapter_model.safetensors"
"""As peft names the file."""
_PREFIX = "base_model.model."  # of names in it


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
