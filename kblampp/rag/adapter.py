"""LoRA that answers from retrieved facts: how it is saved, opened, put into a backbone and taken out of it again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from kblampp.backbone.load import Backbone
from kblampp.core.errors import CheckpointError, StoreError, first_line
from kblampp.core.files import atomic_dir, read_manifest, write_manifest
from kblampp.core.low_rank import CONFIG, WEIGHTS, put_updates
from kblampp.model.injection import KBInjectedModel
from kblampp.model.lora import LORA, loading, lora_config, save_changes, take_out_lora
from kblampp.rag.prompts import PromptStyle

if TYPE_CHECKING:
    from peft import LoraConfig

KIND = "rag"
REMEDY = "train it anew with `python -m kblampp.experiments.train_rag`"


@dataclass(frozen=True)
class RagAdapter:
    """What `training.train_rag` has learnt, for one backbone; outside `attached` the backbone is as it was.

    Attributes:
        style: How it was asked while it learnt.
        facts: How many facts a prompt showed.
        seconds: How long it learnt.
        steps: In how many steps.
        folder: Where it was read.
        backbone: The language model.
    """

    style: PromptStyle
    facts: int
    seconds: float
    steps: int
    folder: Path
    backbone: Backbone
    _config: LoraConfig = field(repr=False)
    _weights: Mapping[str, Tensor] = field(repr=False)

    @contextmanager
    def attached(self) -> Iterator[None]:
        """Within it the backbone answers with what was learnt.

        Raises:
            CheckpointError: The backbone holds LoRA already, or this does not fit it.
        """
        from peft import get_peft_model  # slow to import: only when used

        model: Any = self.backbone.model
        if hasattr(model, "peft_config"):
            raise CheckpointError(
                f"backbone {self.backbone.name} holds LoRA already, so {self.folder} cannot be put into it: unload that"
            )
        try:
            with torch.random.fork_rng(devices=[]), loading(self.folder / LORA, REMEDY):  # peft draws a start at random
                put_updates(get_peft_model(model, deepcopy(self._config)), self._weights)
            model.requires_grad_(False)
            model.train(False)
            yield
        finally:
            take_out_lora(model)


def save_rag(folder: Path, model: KBInjectedModel, backbone: Backbone, fields: Mapping[str, Any]) -> None:
    """Writes the LoRA in a model's backbone, in half precision, and a manifest; the folder is replaced at once.

    Args:
        folder: Where to.
        model: Around the backbone.
        backbone: The language model.
        fields: Of the manifest, besides those that say which backbone it is: style, facts, steps and seconds at least.
    """
    with atomic_dir(folder) as new:
        save_changes(new, model, backbone.name)
        which = {"name": backbone.name, "fingerprint": backbone.fingerprint}
        write_manifest(new, KIND, {**fields, "backbone": which})


def load_rag(folder: Path, backbone: Backbone) -> RagAdapter:
    """Opens what `training.train_rag` has written; the backbone is left as it is.

    Args:
        folder: Such as `store/<dataset>/rag`.
        backbone: The language model that it was trained in.

    Raises:
        CheckpointError: The folder is missing or damaged, or of another backbone.
    """
    try:
        manifest = read_manifest(folder, KIND, remedy=REMEDY)
    except StoreError as error:
        raise CheckpointError(str(error)) from error
    try:
        trained_in = str(manifest["backbone"]["fingerprint"])
        style, facts = PromptStyle.parse(manifest["style"]), int(manifest["facts"])
        seconds, steps = float(manifest["seconds"]), int(manifest["steps"])
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(f"{folder}: the manifest lacks or misstates {first_line(error)}; {REMEDY}") from error
    if trained_in != backbone.fingerprint:
        raise CheckpointError(
            f"{folder} was trained in backbone {trained_in[:12]}, expected {backbone.fingerprint[:12]} "
            f"({backbone.name}); {REMEDY}"
        )
    with loading(folder / LORA / CONFIG, REMEDY):
        config = lora_config(folder)
    with loading(folder / LORA / WEIGHTS, REMEDY):
        weights = load_file(folder / LORA / WEIGHTS)
    adapter = RagAdapter(style, facts, seconds, steps, folder, backbone, config, weights)
    with adapter.attached():  # so that what does not fit is told here
        return adapter
