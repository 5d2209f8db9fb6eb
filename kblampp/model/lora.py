"""What Stage B changes inside a backbone: LoRA (through peft), and decoder layers that learn in full.

Both are put into the model in place and leave the frozen weights where they are, so that they can be switched off and
taken out again.  The decoder layers stay the same objects, with the hooks of `KBInjectedModel` on them.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.utils import parametrize
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from kblampp.backbone.decoder_layers import find_decoder_layers
from kblampp.core.errors import BackboneError, CheckpointError, first_line
from kblampp.core.low_rank import CONFIG, WEIGHTS, put_updates, updates_of
from kblampp.model.injection import KBInjectedModel

if TYPE_CHECKING:
    from peft import LoraConfig

LORA = "lora"
LAYERS = "backbone_layers.safetensors"
_LOADING_ERRORS = (SafetensorError, OSError, RuntimeError, ValueError, LookupError, AttributeError, TypeError)


class _Learnt(nn.Module):
    """A parametrization that puts a learnt tensor in the place of a frozen one."""

    def __init__(self, start: Tensor) -> None:
        super().__init__()
        self.value = nn.Parameter(start.detach().clone())
        self.enabled = True

    def forward(self, frozen: Tensor) -> Tensor:
        return self.value if self.enabled else frozen


def change_backbone(
    model: KBInjectedModel,
    *,
    rank: int,
    alpha: float,
    targets: Literal["auto"] | tuple[str, ...] = "auto",
    unfreeze_top: int = 0,
) -> None:
    """Adds LoRA to a model's backbone and lets its last layers learn; until they have learnt, its output is the same.

    LoRA: Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models" (2021), section 4.1.

    Args:
        model: The model; what is added to its backbone requires a gradient, in float32 for LoRA.
        rank: Of LoRA; 0 for none.
        alpha: LoRA's output is scaled by alpha / rank.
        targets: Linear layers inside the decoder layers, by the end of their names, or "auto" for all of them.
        unfreeze_top: How many of the last decoder layers learn in full; these get no LoRA.

    Raises:
        BackboneError: A target or so many layers do not exist, or the weights of a layer to unfreeze are quantised.
    """
    backbone = model.backbone
    layers = find_decoder_layers(backbone, cast("str | None", model.config["layer_path"]))
    first = len(layers) - unfreeze_top
    if first < 0:
        raise BackboneError(f"trainB.unfreeze_top is {unfreeze_top}, but the backbone has {len(layers)} decoder layers")
    top = list(layers)[first:]
    if not all(parameter.is_floating_point() for layer in top for parameter in layer.parameters()):
        raise BackboneError(
            "trainB.unfreeze_top needs weights in floating point, but the backbone's are quantised; "
            "set it to 0 or backbone.quantize to none"
        )
    if rank > 0 and first > 0:
        from peft import LoraConfig, get_peft_model  # slow to import: only when used

        config = LoraConfig(
            r=rank,
            lora_alpha=alpha,  # type: ignore[arg-type]  # only divided
            target_modules=_targets(backbone, layers, first, targets),
            fan_in_fan_out=any(isinstance(module, Conv1D) for module in layers.modules()),
            task_type="CAUSAL_LM",
        )
        get_peft_model(backbone, config)
    for module in [module for layer in top for module in layer.modules()]:
        for name, parameter in list(module.named_parameters(recurse=False)):
            parametrize.register_parametrization(module, name, _Learnt(parameter))


def _targets(
    backbone: PreTrainedModel, layers: nn.ModuleList, count: int, wanted: Literal["auto"] | tuple[str, ...]
) -> str:
    """Regular expression for linear layers of the first decoder layers; peft would save a list in random order."""
    path = next(name for name, module in backbone.named_modules() if module is layers)
    linear = sorted(
        {name for layer in layers for name, module in layer.named_modules() if isinstance(module, nn.Linear | Conv1D)}
    )
    if wanted != "auto":
        for target in wanted:
            if not any(f".{name}".endswith(f".{target}") for name in linear):
                raise BackboneError(
                    f"trainB.lora_targets names {target}, but the decoder layers have no such linear layer; "
                    f"name some of {', '.join(linear)}, or auto"
                )
        linear = [name for name in linear if any(f".{name}".endswith(f".{target}") for target in wanted)]
    numbers, names = "|".join(map(str, range(count))), "|".join(map(re.escape, linear))
    return rf"{re.escape(path)}\.({numbers})\.({names})"


def save_changes(folder: Path, model: KBInjectedModel, name: str) -> list[str]:
    """Writes what was added to the backbone: `lora/` in peft's format, and the layers that learnt in full.

    Args:
        folder: Where to.
        model: The model.
        name: The backbone's; of a local folder or file, only the last part is written.

    Returns:
        Names of what was written, none for an unchanged backbone.
    """
    backbone, written = model.backbone, []
    if hasattr(backbone, "peft_config"):
        config = copy(backbone.peft_config["default"])
        config.inference_mode = True
        config.base_model_name_or_path = Path(name).name if Path(name).expanduser().exists() else name
        config.save_pretrained(str(folder / LORA))
        tensors = {key: _half(tensor) for key, tensor in updates_of(backbone).items()}
        save_file(tensors, str(folder / LORA / WEIGHTS), metadata={"format": "pt"})
        written.append(LORA)
    if learnt := _learnt(backbone):
        save_file({key: _half(module.value) for key, module in learnt.items()}, str(folder / LAYERS))
        written.append(LAYERS)
    return written


def _half(tensor: Tensor) -> Tensor:
    tensor = tensor.detach().cpu().contiguous()
    return tensor.half() if tensor.dtype == torch.float32 else tensor


def _learnt(backbone: nn.Module) -> dict[str, _Learnt]:
    """By the name of the weight that each replaces."""
    return {
        name.replace(".parametrizations.", ".").removesuffix(".0"): module
        for name, module in backbone.named_modules()
        if isinstance(module, _Learnt)
    }


def lora_config(folder: Path) -> LoraConfig:
    """That of the LoRA which `save_changes` has written to a folder."""
    from peft import LoraConfig

    config: LoraConfig = LoraConfig.from_pretrained(str(folder / LORA))
    config.base_model_name_or_path = None  # the manifest says which; peft would warn of another name
    return config


def load_changes(folder: Path, model: KBInjectedModel, names: list[str], *, stage: str) -> None:
    """Puts what `save_changes` has written into a model's backbone, frozen.

    Args:
        folder: Where it was written.
        model: The model; its backbone is unchanged so far.
        names: What `save_changes` returned.
        stage: Which stage writes the folder, for errors.

    Raises:
        CheckpointError: A file is damaged or does not fit the backbone, which may then be changed in part.
    """
    backbone, remedy = model.backbone, f"run `dvc repro {stage}`"
    if LORA in names:
        from peft import get_peft_model

        with loading(folder / LORA / CONFIG, remedy):
            config = lora_config(folder)
            peft_model = get_peft_model(backbone, config)
        with loading(folder / LORA / WEIGHTS, remedy) as path:
            put_updates(peft_model, load_file(path))
    if LAYERS in names:
        with loading(folder / LAYERS, remedy) as path:
            for name, tensor in load_file(path).items():
                where, _, leaf = name.rpartition(".")
                module = backbone.get_submodule(where)
                frozen: Tensor = getattr(module, leaf)
                if tensor.shape != frozen.shape:
                    raise ValueError(f"{name} has shape {tuple(tensor.shape)}, expected {tuple(frozen.shape)}")
                parametrize.register_parametrization(module, leaf, _Learnt(tensor.to(frozen)))
    backbone.requires_grad_(False)


@contextmanager
def loading(path: Path, remedy: str) -> Iterator[Path]:
    """Within it, whatever goes wrong is said of the file or folder that is read.

    Args:
        path: What is read.
        remedy: What to do.

    Raises:
        CheckpointError: It is damaged, or does not fit.
    """
    try:
        yield path
    except _LOADING_ERRORS as error:
        raise CheckpointError(f"{path} cannot be loaded ({first_line(error)}); {remedy}") from error


@contextmanager
def backbone_unchanged(model: KBInjectedModel) -> Iterator[None]:
    """Within it a model's backbone computes what it did before it was changed; a no-op if it was not."""
    learning = [(parameter, parameter.requires_grad) for parameter in model.backbone.parameters()]
    _switch(model.backbone, False)
    try:
        yield
    finally:
        _switch(model.backbone, True)
        for parameter, learns in learning:  # peft has let LoRA learn again
            parameter.requires_grad_(learns)


def _switch(backbone: nn.Module, on: bool) -> None:
    for _, layer in _lora_layers(backbone):
        layer.enable_adapters(on)
    for module in backbone.modules():
        if isinstance(module, _Learnt):
            module.enabled = on


def _lora_layers(backbone: nn.Module) -> list[tuple[str, Any]]:
    """The layers that peft has put into a backbone, by their names."""
    tuners = sys.modules.get("peft.tuners.tuners_utils")  # where nobody has imported it, there are none
    if tuners is None:
        return []
    return [(name, layer) for name, layer in backbone.named_modules() if isinstance(layer, tuners.BaseTunerLayer)]


def unload(model: KBInjectedModel) -> None:
    """Removes a model from its backbone, hooks and changes alike, so that another one can be loaded into it."""
    model.detach()
    backbone = model.backbone
    take_out_lora(backbone)
    for name in _learnt(backbone):
        where, _, leaf = name.rpartition(".")
        parametrize.remove_parametrizations(backbone.get_submodule(where), leaf, leave_parametrized=False)


def take_out_lora(backbone: PreTrainedModel) -> None:
    """Removes LoRA from a backbone, whose own layers stand in their places again; one without stays as it is."""
    for name, layer in _lora_layers(backbone):
        backbone.set_submodule(name, layer.get_base_layer())
    if hasattr(backbone, "peft_config"):
        del backbone.peft_config
