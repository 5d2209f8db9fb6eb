"""A tiny GGUF file of Llama architecture with a byte-level tokenizer, written as llama.cpp's converter does."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import torch
from tokenizers import pre_tokenizers
from transformers import PreTrainedModel

from tests.tiny import FAMILIES

Q4_1, F32 = gguf.GGMLQuantizationType.Q4_1, gguf.GGMLQuantizationType.F32
_CONTROL, _NORMAL = 3, 1
TEMPLATE = "{% for message in messages %}<user>{{ message['content'] }}<eos>{% endfor %}"
MERGES = ["Ġ t", "h e", "Ġt he", "Ġ Ġ", "Ċ Ċ"]
NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}
"""Of a layer's modules, in transformers and in GGUF."""


def write_gguf(
    path: Path,
    *,
    model: PreTrainedModel | None = None,
    architecture: str = "llama",
    quantization: gguf.GGMLQuantizationType = F32,
    tokenizer: bool = True,
    cut: str | None = "smollm",
    without: str = "-",
    extra: str | None = None,
    organization: str | None = None,
) -> PreTrainedModel:
    """Writes a model, and returns it.

    Args:
        path: Where to.
        model: Of Llama architecture; None for a small random one.
        architecture: What the file says.
        quantization: Of the matrices of the layers; all else is float32.
        tokenizer: Whether the file has one.
        cut: `tokenizer.ggml.pre`.
        without: Tensors of this beginning are left out.
        extra: The name of a tensor more.
        organization: What changes the bytes of the file, and nothing of the model.
    """
    model = model or FAMILIES["llama"]()
    config = model.config
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    if organization is not None:
        writer.add_organization(organization)
    if tokenizer:
        _add_tokenizer(writer, config.vocab_size, cut)
    for name, tensor in model.state_dict().items():
        stored, values = _stored(name), tensor.detach().float().numpy()
        if stored.startswith(without):
            continue
        if ".attn_q." in stored:
            values = _interleaved(values, config.num_attention_heads)
        elif ".attn_k." in stored:
            values = _interleaved(values, config.num_key_value_heads)
        kind = quantization if stored.startswith("blk.") and values.ndim == 2 else F32
        writer.add_tensor(stored, gguf.quants.quantize(values, kind), raw_dtype=kind)
    if extra is not None:
        writer.add_tensor(extra, np.ones(4, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return model


def _add_tokenizer(writer: gguf.GGUFWriter, n_tokens: int, cut: str | None) -> None:
    tokens = ["<eos>", "<user>", *sorted(pre_tokenizers.ByteLevel.alphabet()), *(m.replace(" ", "") for m in MERGES)]
    kinds = [_CONTROL] * 2 + [_NORMAL] * (n_tokens - 2)
    tokens += [f"filler{number}" for number in range(n_tokens - len(tokens))]
    writer.add_tokenizer_model("gpt2")
    if cut is not None:
        writer.add_tokenizer_pre(cut)
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges(MERGES)
    writer.add_eos_token_id(0)
    writer.add_add_bos_token(False)
    writer.add_chat_template(TEMPLATE)


def _stored(name: str) -> str:
    """The GGUF name of a weight."""
    ends = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight"}
    if name in ends or name == "lm_head.weight":
        return ends.get(name, "output.weight")
    _, _, layer, module = name.removesuffix(".weight").split(".", 3)
    return f"blk.{layer}.{NAMES[module]}.weight"


def _interleaved(values: np.ndarray, n_heads: int) -> np.ndarray:
    """Rows as llama.cpp rotates them: pairs stand together, in transformers half a head apart; written naively."""
    rows, size = [], len(values) // n_heads
    for head in range(n_heads):
        for pair in range(size // 2):
            rows += [values[head * size + pair], values[head * size + size // 2 + pair]]
    return np.stack(rows)


def dequantized(reader: gguf.GGUFReader, name: str, n_heads: int | None = None) -> torch.Tensor:
    """A tensor as the package `gguf` dequantises it, in transformers' order of rows; `n_heads` of queries and keys."""
    tensor = next(tensor for tensor in reader.tensors if tensor.name == name)
    values = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
    if n_heads is not None:
        size = len(values) // n_heads
        places = [h * size + 2 * p + half for h in range(n_heads) for half in (0, 1) for p in range(size // 2)]
        values = values[places]
    return torch.from_numpy(np.array(values))
