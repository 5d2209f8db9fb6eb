"""The frozen language model: the embedded one, SmolLM2, one of Hugging Face or in files; checked before use."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from kblampp.backbone.decoder_layers import find_decoder_layers, hidden_size
from kblampp.backbone.files import check_weights, file_hashes, files_fingerprint, is_downloaded, resolve_folder
from kblampp.core import files as artifacts
from kblampp.core.errors import BackboneError, first_line

logger = logging.getLogger(__name__)

DTYPES: Mapping[str, torch.dtype] = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}
_LOADING_ERRORS = (OSError, ValueError, KeyError, RuntimeError, ImportError, SafetensorError, StrictDataclassError)


@dataclass(frozen=True)
class Backbone:
    """A frozen causal language model in evaluation mode, with its tokenizer.

    Attributes:
        model: no parameter of it asks for a gradient.
        tokenizer: pads on the left and always has a pad and an end token.
        name: as in `backbone.name`.
        fingerprint: hex digest of the weights, config and tokenizer files it was loaded from.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    name: str
    fingerprint: str


def load_backbone(
    name: str,
    *,
    revision: str | None = None,
    dtype: Literal["float32", "bfloat16", "float16"] = "float32",
    quantize: Literal["none", "int8", "nf4"] = "none",
    device: str = "cpu",
) -> Backbone:
    """Loads a language model; nothing is random, so a file that lacks weights is refused.

    Args:
        name: "embedded" for the one in the package, "smollm2", a GGUF file, a local folder or a Hugging Face name.
        revision: branch, tag or commit of a Hugging Face name.
        dtype: of the weights; with quantised weights, of the computation and of all that is not quantised.
        quantize: the weights of the linear layers, with bitsandbytes (see `quantization.py`).
        device: of torch, e.g. "cuda".

    Raises:
        BackboneError: a device or library is missing, the model cannot be found, or its files are not whole.
    """
    _check_device(name, device)
    if quantize != "none":
        _check_libraries(quantize)
    folder = resolve_folder(name, revision)
    tokenizer = _load_tokenizer(name, folder)
    options: dict[str, Any] = {"dtype": DTYPES[dtype]}
    if quantize == "none":
        model = _load_model(name, folder, options)
        model.to(torch.device(device))  # type: ignore[arg-type]
    else:
        from kblampp.backbone.quantization import loading_options, quantise_weights_alone  # slow: only when used

        model = _load_model(name, folder, options | loading_options(quantize, DTYPES[dtype], device))
        quantise_weights_alone(model, name, quantize)
    model.train(False)
    model.requires_grad_(False)
    _fit_tokenizer(name, model, tokenizer)
    return Backbone(model, tokenizer, name, files_fingerprint(file_hashes(folder)))


def _check_device(name: str, device: str) -> None:
    """Before anything is downloaded or read."""
    try:
        on_cuda = torch.device(device).type == "cuda"
    except RuntimeError as error:
        raise BackboneError(
            f"backbone {name} is to run on {device!r}, expected a device such as cpu or cuda"
        ) from error
    if on_cuda and not torch.cuda.is_available():
        raise BackboneError(f"backbone {name} is to run on {device}, but torch sees no CUDA device: use the CPU")


def _check_libraries(quantize: str) -> None:
    missing = [library for library in ("bitsandbytes", "accelerate") if importlib.util.find_spec(library) is None]
    if missing:
        raise BackboneError(
            f"backbone.quantize is {quantize}, which needs {' and '.join(missing)}, not installed here: "
            "run `python -m pip install -r requirements.txt` or set it to none"
        )


def _load_tokenizer(name: str, folder: Path) -> PreTrainedTokenizerBase:
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            str(folder), padding_side="left", trust_remote_code=False, local_files_only=True
        )
    except _LOADING_ERRORS as error:
        raise _broken(name, "a tokenizer", error) from error
    if tokenizer.eos_token_id is None:
        raise BackboneError(
            f"the tokenizer of backbone {name} has no end-of-sequence token, so no answer could end: "
            "name a causal language model whose tokenizer has eos_token"
        )
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def _load_model(name: str, folder: Path, options: Mapping[str, Any]) -> PreTrainedModel:
    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            str(folder),
            trust_remote_code=False,
            local_files_only=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # refused below, with the tensor's name
            **options,
        )
        model: PreTrainedModel
        model, info = loaded
    except _LOADING_ERRORS as error:
        raise _broken(name, "a causal language model", error) from error
    if wrong := sorted(info["mismatched_keys"]):
        tensor, found, expected = wrong[0]
        raise BackboneError(
            f"the weights of backbone {name} have {tensor} of shape {tuple(found)}, but its config expects "
            f"{tuple(expected)}: the folder mixes the files of two models"
        )
    if missing := sorted(info["missing_keys"]):  # transformers would leave them random and only warn
        raise BackboneError(
            f"the weights of backbone {name} lack {missing[0]}"
            + (f" and {len(missing) - 1} more" if len(missing) > 1 else "")
            + ": name a whole causal language model, not a base model or an adapter"
        )
    return model


def _broken(name: str, what: str, error: Exception) -> BackboneError:
    return BackboneError(
        f"the files of backbone {name} cannot be loaded as {what} ({type(error).__name__}: {first_line(error)}): "
        "get them anew or name another model"
    )


def _fit_tokenizer(name: str, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """Some tokenizers have a pad token that the model has no embedding for; it would crash the first batch."""
    embeddings: Any = model.get_input_embeddings()
    rows = int(embeddings.weight.shape[0])
    if int(tokenizer.eos_token_id) >= rows:
        raise BackboneError(
            f"the end token of backbone {name} has id {tokenizer.eos_token_id}, but the model embeds only {rows} "
            "tokens: the folder holds the tokenizer of another model"
        )
    if int(tokenizer.pad_token_id) >= rows:
        tokenizer.pad_token = tokenizer.eos_token
    if model.generation_config is not None and model.generation_config.pad_token_id is None:
        model.generation_config.pad_token_id = tokenizer.pad_token_id


def backbone_manifest(name: str, revision: str | None = None) -> dict[str, Any]:
    """Resolves and describes a backbone without reading its weights into memory.

    Returns:
        JSON values: name, revision, commit (of a Hugging Face name, else None), model_type, n_layers, hidden_size,
        vocab_size, n_parameters (shared ones once), files (name to sha256) and fingerprint.

    Raises:
        BackboneError: the model cannot be found, its files are not whole, or its decoder layers cannot be told.
    """
    folder = resolve_folder(name, revision)
    check_weights(name, folder)
    _load_tokenizer(name, folder)
    try:
        config = AutoConfig.from_pretrained(str(folder), trust_remote_code=False, local_files_only=True)
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config, trust_remote_code=False)  # type: ignore[no-untyped-call]
    except _LOADING_ERRORS as error:
        raise _broken(name, "a causal language model", error) from error
    hashes = file_hashes(folder)
    return {
        "name": name,
        "revision": revision,
        "commit": folder.name if is_downloaded(name) else None,  # the cache keeps each commit in a folder of its name
        "model_type": config.model_type,
        "n_layers": len(find_decoder_layers(model)),
        "hidden_size": hidden_size(model),
        "vocab_size": int(config.get_text_config().vocab_size),
        "n_parameters": sum(parameter.numel() for parameter in model.parameters()),
        "files": hashes,
        "fingerprint": files_fingerprint(hashes),
    }


def write_backbone_manifest(path: Path, name: str, revision: str | None = None) -> dict[str, Any]:
    """Writes `backbone_manifest(name, revision)` to `path` as JSON and returns it."""
    manifest = backbone_manifest(name, revision)
    artifacts.write_json(path, manifest)
    logger.info("backbone %s: %d layers, %d parameters", name, manifest["n_layers"], manifest["n_parameters"])
    return manifest


def check_backbone(backbone: Backbone, manifest_path: Path) -> None:
    """Compares a loaded backbone with the manifest that the stage `backbone` wrote.

    Raises:
        BackboneError: the manifest is missing or tells of other files.
    """
    try:
        manifest = artifacts.read_json(manifest_path, BackboneError)
    except BackboneError as error:
        raise BackboneError(f"{error}: run `dvc repro backbone`") from error
    expected = manifest.get("fingerprint") if isinstance(manifest, dict) else None
    if expected != backbone.fingerprint:
        raise BackboneError(
            f"the files of backbone {backbone.name} have fingerprint {backbone.fingerprint[:12]}…, but {manifest_path} "
            f"says {str(expected)[:12]}…: run `dvc repro backbone`"
        )
