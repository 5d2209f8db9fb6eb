"""Saving and loading what was trained: the added weights alone, with the hashes of what they were trained against."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from kblampp.backbone.load import Backbone
from kblampp.core.errors import CheckpointError
from kblampp.core.files import atomic_dir, read_manifest, write_manifest
from kblampp.encoding.projections import Projections
from kblampp.model.injection import KBInjectedModel, Layers, of_hidden
from kblampp.model.lora import load_changes, save_changes, unload

WEIGHTS = "kblampp.safetensors"
KIND = "adapter"


def build_model(backbone: Backbone, projections: Projections, *, layers: Layers, **options: Any) -> KBInjectedModel:
    """An untrained model whose widths follow the projections.

    Args:
        backbone: The language model.
        projections: The maps that made keys and values.
        layers: Decoder layers after which knowledge enters.
        **options: The other arguments of `KBInjectedModel`.

    Raises:
        BackboneError: A layer does not exist, or the decoder layers are not found.
    """
    dims = {
        "d_sentence": projections.d_question,
        "d_k": projections.d_k,
        "d_v": projections.d_v,
        "d_ctx": projections.d_ctx,
        "d_ent": projections.d_ent,
        "d_rel": projections.d_rel,
    }
    return KBInjectedModel(backbone.model, layers, dims=dims, **options)


def save_adapter(directory: Path, model: KBInjectedModel, backbone: Backbone, projections: Projections) -> None:
    """Writes the added weights and what was changed in the backbone, in half precision, and a manifest.

    The folder is replaced at once.
    """
    tensors = {name: p.detach().to("cpu", torch.float16).contiguous() for name, p in model.added_parameters().items()}
    fields: dict[str, Any] = {
        "model": model.config,
        "backbone": {"name": backbone.name, "fingerprint": backbone.fingerprint},
        "projection_fingerprint": projections.fingerprint,
    }
    if model.context_share != 1:
        fields["context_share"] = model.context_share
    with atomic_dir(directory) as folder:
        save_file(tensors, str(folder / WEIGHTS))
        if changes := save_changes(folder, model, backbone.name):
            fields["backbone_changes"] = changes
        write_manifest(folder, KIND, fields)


def load_adapter(
    directory: Path,
    backbone: Backbone,
    projections: Projections,
    *,
    stage: str = "trainA",
    into: tuple[Layers, str | None] | None = None,
) -> KBInjectedModel:
    """Opens the knowledge modules of a trained model around a backbone, which stays as it is.

    Args:
        directory: What `save_adapter` has written.
        backbone: The language model.
        projections: The maps that made keys and values.
        stage: Which stage writes the folder, for errors.
        into: `layers` and `layer_path` for a backbone that it was not trained around.  What selects facts is taken
            over; what reads the hidden state or adds to it starts anew, and silent.  None refuses such a backbone.

    Raises:
        StoreError: The folder is missing or damaged.
        CheckpointError: It was trained against other projections, or another backbone or number of layers.
    """
    manifest = read_manifest(directory, KIND, stage=stage)
    try:
        found = {
            "backbone": manifest["backbone"]["fingerprint"],
            "projection": manifest["projection_fingerprint"],
        }
        config = dict(manifest["model"])
        layers: Layers = tuple(config.pop("layers"))
        trained = len(layers)
        config.pop("dims")  # they follow the projections
    except (KeyError, TypeError) as error:
        raise CheckpointError(f"{directory}: the manifest lacks {error}; run `dvc repro {stage}`") from error
    expected = {"backbone": backbone.fingerprint, "projection": projections.fingerprint}
    moved = into is not None and found["backbone"] != backbone.fingerprint
    if moved:
        del expected["backbone"]
    for what, value in expected.items():
        if found[what] != value:
            raise CheckpointError(
                f"adapter {directory} was trained with {what} {str(found[what])[:12]}, expected {value[:12]}; "
                f"run `dvc repro {stage}`"
            )
    try:
        tensors = load_file(str(directory / WEIGHTS))
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{directory / WEIGHTS} cannot be read ({error}); run `dvc repro {stage}`") from error
    if moved and into is not None:
        layers, config["layer_path"] = into
    try:
        model = build_model(backbone, projections, layers=layers, **config)
    except TypeError as error:
        raise CheckpointError(
            f"{directory}: the manifest describes no model ({error}); run `dvc repro {stage}`"
        ) from error
    try:
        if moved:
            if len(model.layers) != trained:
                raise CheckpointError(
                    f"adapter {directory} has modules for {trained} layers, and injection.layers are "
                    f"{len(model.layers)} of backbone {backbone.name}: name {trained}, or run `dvc repro {stage}`"
                )
            model.silence_hidden()
            tensors = {name: p.detach() for name, p in model.added_parameters().items() if of_hidden(name)} | {
                name: tensor for name, tensor in tensors.items() if not of_hidden(name)
            }
        model.load_added(tensors, str(directory / WEIGHTS))
    except CheckpointError:
        model.detach()  # the backbone is the caller's
        raise
    model.context_share = manifest.get("context_share", 1.0)
    return model.to(backbone.model.device).eval()


def same_trained(one: Path, other: Path) -> bool:
    """Whether two folders hold the same trained model, as trainA's and trainB's do without steps of trainB.

    Args:
        one, other: `store/<dataset>/<stage>`.

    Raises:
        StoreError: A folder or its manifest is missing or damaged.
    """
    manifests = [read_manifest(folder, KIND, verify="none", stage=folder.name) for folder in (one, other)]
    changed = any(manifest.get("backbone_changes") for manifest in manifests)
    return not changed and manifests[0]["files"][WEIGHTS] == manifests[1]["files"][WEIGHTS]


def load_trained(directory: Path, backbone: Backbone, projections: Projections) -> KBInjectedModel:
    """Opens what trainA or trainB has written, with all that was changed in the backbone; `lora.unload` takes it out.

    Args:
        directory: `store/<dataset>/<stage>`.
        backbone: The language model, without another model in it; it is changed in place.
        projections: The maps that made keys and values.

    Raises:
        StoreError: The folder is missing or damaged.
        CheckpointError: It was trained against another backbone or other projections, or a file in it is damaged.
    """
    stage = directory.name
    model = load_adapter(directory, backbone, projections, stage=stage)
    changes = read_manifest(directory, KIND, verify="none", stage=stage).get("backbone_changes", [])
    try:
        load_changes(directory, model, changes, stage=stage)
    except CheckpointError:
        unload(model)  # the backbone is the caller's
        raise
    return model.eval()
