"""A GGUF file becomes a folder as `save_pretrained` writes it: config, tokenizer, and weights in float32.

A GGUF file is one file with everything of a model, its weights mostly in blocks of few bits with a scale (and a
minimum) a block. transformers reads it; what it would get wrong without a word is refused or put right here.

The folder is a function of the file and of the versions of the libraries: equal files give equal bytes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from gguf import GGUFReader
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from tokenizers import pre_tokenizers
from transformers import AutoConfig, AutoModelForCausalLM, GgufConfig, PreTrainedTokenizerFast

from kblampp.core.errors import BackboneError, first_line
from kblampp.core.files import read_json, write_json

_ERRORS = (
    *(
        OSError,
        ValueError,
        LookupError,
        RuntimeError,
        TypeError,
        AttributeError,
        OverflowError,
        MemoryError,
        ImportError,
    ),
    *(SafetensorError, StrictDataclassError),
)
"""What the libraries raise on bytes that they did not expect."""

# `tokenizer.ggml.pre` of byte-level vocabularies says how a text is cut before its bytes are merged. transformers knows
# some of the names and takes GPT-2's cut for all others. The two sets are those of llama.cpp, which defines the names.
_CUT_AS_GPT2 = frozenset({"gpt-2", "jais", "mpt", "olmo", "phi-2"})
_CUT_AT_DIGITS = frozenset({"codeshell", "command-r", "refact", "smollm", "starcoder"})
"""Each digit is a piece of its own, and the rest is cut as GPT-2 does."""

_VOLATILE = {
    "config.json": ("_model_name_or_path", "transformers_version"),
    "generation_config.json": ("transformers_version",),
    "tokenizer_config.json": ("is_local", "local_files_only", "name_or_path"),
}
"""What would change the fingerprint of the folder without changing the model."""


def convert(file: Path, folder: Path, name: str) -> None:
    """Writes the model of a GGUF file into a folder.

    The weights are stored in float32, the type in which a block's scale and minimum (float16) times and plus its
    integers are computed: float16 would round four bits times a scale plus a minimum once more.

    Args:
        file: The GGUF file.
        folder: Where to; it exists and is empty.
        name: The backbone's, for messages.

    Raises:
        BackboneError: The file is no GGUF, is cut, has no tokenizer or one that cannot be made here, or transformers
            does not know its architecture or not all of its weights.
    """
    reader = _read(file, name)
    _tokenizer(file, name, reader).save_pretrained(folder, save_jinja_files=False)
    _model(file, name, reader).save_pretrained(folder)
    for part, keys in _VOLATILE.items():
        content = read_json(folder / part)
        write_json(folder / part, {key: value for key, value in content.items() if key not in keys})


def _read(file: Path, name: str) -> GGUFReader:
    """Fields and tensors of the file; every tensor is there in full."""
    with open(file, "rb") as opened:
        magic = opened.read(4)
    if magic != b"GGUF":
        raise BackboneError(f"backbone.name is {name}, but the file does not begin as a GGUF file does: name another")
    try:
        reader = GGUFReader(file)
    except _ERRORS as error:
        raise BackboneError(
            f"backbone.name is {name}, but the GGUF file is cut or damaged ({first_line(error)}): get it anew"
        ) from error
    if "general.architecture" not in reader.fields:
        raise BackboneError(f"backbone.name is {name}, but the GGUF file does not say its architecture: name another")
    if "tokenizer.ggml.tokens" not in reader.fields:
        raise BackboneError(
            f"backbone.name is {name}, but the GGUF file has no tokenizer: name a file that holds a whole model"
        )
    return reader


def _text(reader: GGUFReader, key: str) -> str | None:
    """The value of a field that is a text; None without it."""
    field = reader.get_field(key)
    return None if field is None else str(field.contents())


def _tokenizer(file: Path, name: str, reader: GGUFReader) -> PreTrainedTokenizerFast:
    try:
        tokenizer: PreTrainedTokenizerFast = PreTrainedTokenizerFast.from_pretrained(
            str(file.parent), gguf_file=file.name, local_files_only=True
        )
    except _ERRORS as error:
        raise _unreadable(name, "a tokenizer", error) from error
    if _text(reader, "tokenizer.ggml.model") == "gpt2":
        _set_cut(tokenizer.backend_tokenizer, name, _text(reader, "tokenizer.ggml.pre"))
    return tokenizer


def _set_cut(backend: Any, name: str, cut: str | None) -> None:
    """Lets the pre-tokenizer cut texts as the file says.

    Raises:
        BackboneError: Neither transformers nor this module knows how.
    """
    if cut in _CUT_AT_DIGITS:
        backend.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
        )
    elif isinstance(backend.pre_tokenizer, pre_tokenizers.ByteLevel) and cut not in _CUT_AS_GPT2:
        raise BackboneError(
            f"backbone.name is {name}, but how its tokenizer cuts texts (tokenizer.ggml.pre: {cut or 'missing'}) "
            "is not known here: name the model's Hugging Face folder, which holds its tokenizer"
        )


def _model(file: Path, name: str, reader: GGUFReader) -> Any:
    """The model with its weights dequantised to float32."""
    place: dict[str, Any] = {"gguf_file": file.name, "local_files_only": True, "trust_remote_code": False}
    try:
        config = AutoConfig.from_pretrained(str(file.parent), **place)
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            str(file.parent),
            config=config,
            dtype=torch.float32,
            quantization_config=GgufConfig(dequantize=True),
            output_loading_info=True,
            **place,
        )
        model, info = loaded
    except _ERRORS as error:
        raise _unreadable(name, "a causal language model", error) from error
    if missing := sorted(info["missing_keys"]):  # transformers would leave them random and only warn
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise BackboneError(
            f"backbone.name is {name}, but the GGUF file lacks {missing[0]}{more}: name a file that holds a whole model"
        )
    held, read = sum(int(tensor.n_elements) for tensor in reader.tensors), model.num_parameters()
    if held != read:  # transformers leaves out what it does not know, such as Llama 3's factors of positions
        raise BackboneError(
            f"backbone.name is {name}, whose GGUF file holds {held} weights, of which transformers reads {read}, so it "
            "would be another model: name the model's Hugging Face folder"
        )
    return model


def _unreadable(name: str, what: str, error: Exception) -> BackboneError:
    return BackboneError(
        f"backbone.name is {name}, but the GGUF file cannot be read as {what} ({type(error).__name__}: "
        f"{first_line(error)}): name another file, or the model's Hugging Face folder"
    )
