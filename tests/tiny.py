"""Tiny random language models of many families, and a tokenizer that fits them; made in milliseconds, without files."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import transformers
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

HIDDEN, LAYERS, VOCAB = 32, 4, 300
EOS_ID, PAD_ID = 0, 1
_STANDARD = {
    "hidden_size": HIDDEN,
    "intermediate_size": 64,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
}
_OF_GPT = {"n_embd": HIDDEN, "n_layer": LAYERS, "n_head": 4}
_ALL_HEADS = {key: value for key, value in _STANDARD.items() if key not in ("num_key_value_heads", "head_dim")}
WINDOW = 8
"""Tokens that a sliding-window layer sees; prompts are longer."""
_SLIDING = {"sliding_window": WINDOW, "layer_types": ["sliding_attention", "full_attention"] * (LAYERS // 2)}
_SIZES: dict[str, dict[str, Any]] = {
    "llama": _STANDARD,
    "qwen2": _STANDARD,
    "qwen3": _STANDARD,
    "mistral": _STANDARD | {"sliding_window": WINDOW},
    "gemma": _STANDARD,
    "gpt2": _OF_GPT,
    "gpt_neox": _STANDARD | {"num_key_value_heads": 4},
    "falcon": {"hidden_size": HIDDEN, "num_hidden_layers": LAYERS, "num_attention_heads": 4},
    "bloom": {"hidden_size": HIDDEN, "n_layer": LAYERS, "n_head": 4},
    "opt": _STANDARD | {"ffn_dim": 64, "word_embed_proj_dim": HIDDEN, "max_position_embeddings": 256},
}
_MORE: dict[str, dict[str, Any]] = {
    "gptj": _OF_GPT | {"rotary_dim": 4},
    "mpt": {"d_model": HIDDEN, "n_layers": LAYERS, "n_heads": 4},
    "gemma2": _STANDARD | _SLIDING,
    "gemma3_text": _STANDARD | _SLIDING,
    "phi": _ALL_HEADS,
    "phi3": _ALL_HEADS,
    "olmo2": _ALL_HEADS,
    "smollm3": _STANDARD | {"no_rope_layers": [1, 1, 1, 0]},
    "granite": _STANDARD,
}


def build(model_type: str, **sizes: Any) -> PreTrainedModel:
    """A model of any family, in evaluation mode; weights are wide, so that outputs differ from token to token."""
    config = transformers.AutoConfig.for_model(
        model_type,
        vocab_size=VOCAB,
        bos_token_id=None,
        eos_token_id=EOS_ID,
        pad_token_id=PAD_ID,
        initializer_range=0.2,
        **sizes,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model: PreTrainedModel = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    return model.eval()


def _builder(model_type: str) -> Callable[..., PreTrainedModel]:
    return lambda **other: build(model_type, **((_SIZES | _MORE)[model_type] | other))


FAMILIES: dict[str, Callable[..., PreTrainedModel]] = {model_type: _builder(model_type) for model_type in _SIZES}
"""Those on which everything is tried."""
MORE_FAMILIES: dict[str, Callable[..., PreTrainedModel]] = {model_type: _builder(model_type) for model_type in _MORE}
"""Those on which it is tried whether knowledge enters, what is cached and what learns (`test_families.py`)."""
RETURN_TUPLES = frozenset({"bloom", "falcon", "gptj", "mpt"})  # their layers return (hidden, ...), the others' a tensor


def tiny_tokenizer() -> PreTrainedTokenizerFast:
    """One token a byte (258 with <eos> = 0 and <pad> = 1): any text round-trips.  Pads on the left."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: number for number, token in enumerate(["<eos>", "<pad>", *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken("<eos>", special=True), AddedToken("<pad>", special=True)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<eos>", pad_token="<pad>", padding_side="left"
    )
