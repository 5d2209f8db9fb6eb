"""Saving and loading what was trained: the added weights alone, with the hashes of what they were trained against."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from kblampp.artifacts import atomic_dir, read_manifest, write_manifest
from kblampp.backbone import Backbone
from kblampp.errors import CheckpointError
from kblampp.injection import KBInjectedModel, Layers
from kblampp.projections import Projections

WEIGHTS = "kblampp.safetensors"
KIND = "adapter"


def build_model(
    backbone: Backbone, projections: Projections, *, layers: Layers, d_context_score: int, d_fusion: int
) -> KBInjectedModel:
    """An untrained model whose widths follow the projections.

    Raises:
        BackboneError: A layer does not exist, or the decoder layers are not found.
    """
    dims = {
        "d_sentence": projections.d_sent,
        "d_k": projections.d_k,
        "d_v": projections.d_v,
        "d_ctx": projections.d_ctx,
        "d_ent": projections.d_ent,
    }
    return KBInjectedModel(backbone.model, layers, dims=dims, d_context_score=d_context_score, d_fusion=d_fusion)


def save_adapter(directory: Path, model: KBInjectedModel, backbone: Backbone, projections: Projections) -> None:
    """Writes the added weights in half precision and a manifest; the folder is replaced at once."""
    tensors = {name: p.detach().to("cpu", torch.float16).contiguous() for name, p in model.added_parameters().items()}
    fields: dict[str, Any] = {
        "model": model.config,
        "backbone": {"name": backbone.name, "fingerprint": backbone.fingerprint},
        "projection_fingerprint": projections.fingerprint,
    }
    with atomic_dir(directory) as folder:
        save_file(tensors, str(folder / WEIGHTS))
        write_manifest(folder, KIND, fields)


def load_adapter(directory: Path, backbone: Backbone, projections: Projections) -> KBInjectedModel:
    """Opens a trained model.

    Raises:
        StoreError: The folder is missing or damaged.
        CheckpointError: It was trained against another backbone or other projections.
    """
    manifest = read_manifest(directory, KIND, stage="trainA")
    try:
        found = {
            "backbone": manifest["backbone"]["fingerprint"],
            "projection": manifest["projection_fingerprint"],
        }
        config = manifest["model"]
        layers = tuple(config["layers"])
        widths = {"d_context_score": config["d_context_score"], "d_fusion": config["d_fusion"]}
    except (KeyError, TypeError) as error:
        raise CheckpointError(f"{directory}: the manifest lacks {error}; run `dvc repro trainA`") from error
    expected = {"backbone": backbone.fingerprint, "projection": projections.fingerprint}
    for what, value in expected.items():
        if found[what] != value:
            raise CheckpointError(
                f"adapter {directory} was trained with {what} {str(found[what])[:12]}, expected {value[:12]}; "
                "run `dvc repro trainA`"
            )
    try:
        tensors = load_file(str(directory / WEIGHTS))
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{directory / WEIGHTS} cannot be read ({error}); run `dvc repro trainA`") from error
    model = build_model(backbone, projections, layers=layers, **widths)
    try:
        model.load_added(tensors, str(directory / WEIGHTS))
    except CheckpointError:
        model.detach()  # the backbone is the caller's
        raise
    return model.to(backbone.model.device).eval()
