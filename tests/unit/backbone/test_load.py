"""A backbone is loaded whole, frozen and as its manifest says, or not at all."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import huggingface_hub.constants
import pytest
import torch
from safetensors.torch import load_file, save_file

from kblampp.backbone import files as backbone_files
from kblampp.backbone import load as backbone_module
from kblampp.backbone.load import backbone_manifest, check_backbone, load_backbone, write_backbone_manifest
from kblampp.core.errors import BackboneError
from tests.tiny import FAMILIES, HIDDEN, LAYERS, VOCAB, tiny_tokenizer


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tiny"
    FAMILIES["llama"]().half().save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "tiny"))


def edit_json(path: Path, edit: Callable[[dict[str, object]], object]) -> None:
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


def test_a_folder_loads_frozen_in_evaluation_mode_and_in_the_asked_type(folder: Path) -> None:
    loaded = load_backbone(str(folder), dtype="float32")
    assert loaded.name == str(folder)
    assert not loaded.model.training
    assert not any(module.training for module in loaded.model.modules())
    assert {p.dtype for p in loaded.model.parameters()} == {torch.float32}
    assert not any(p.requires_grad for p in loaded.model.parameters())
    saved_weights = FAMILIES["llama"]().half().float().state_dict()
    assert all(torch.equal(loaded.model.state_dict()[name], value) for name, value in saved_weights.items())
    assert load_backbone(str(folder), dtype="bfloat16").model.dtype == torch.bfloat16


def test_tokenizer_pads_on_the_left_and_left_padding_changes_nothing(folder: Path) -> None:
    loaded = load_backbone(str(folder))
    batch = loaded.tokenizer(["Who?", "Who wrote it?"], return_tensors="pt", padding=True)
    assert batch["attention_mask"][0].tolist()[0] == 0
    alone = loaded.tokenizer(["Who?"], return_tensors="pt")
    padded_ids = loaded.model.generate(**batch, max_new_tokens=4, do_sample=False)[0, -4:]
    assert torch.equal(padded_ids, loaded.model.generate(**alone, max_new_tokens=4, do_sample=False)[0, -4:])


def test_pad_token_falls_back_to_the_end_token(folder: Path) -> None:
    edit_json(folder / "tokenizer_config.json", lambda config: config.pop("pad_token"))
    tokenizer = load_backbone(str(folder)).tokenizer
    assert tokenizer.pad_token_id == tokenizer.eos_token_id == 0


def test_a_pad_token_without_an_embedding_is_not_used(folder: Path) -> None:
    tokenizer = tiny_tokenizer()
    tokenizer.add_tokens([f"<extra{number}>" for number in range(VOCAB)])
    tokenizer.add_special_tokens({"pad_token": "<new pad>"})
    assert tokenizer.pad_token_id >= VOCAB
    tokenizer.save_pretrained(folder)
    loaded = load_backbone(str(folder)).tokenizer
    assert loaded.pad_token_id == loaded.eos_token_id


def test_a_tokenizer_without_an_end_token_is_refused(folder: Path) -> None:
    edit_json(folder / "tokenizer_config.json", lambda config: config.pop("eos_token"))
    with pytest.raises(BackboneError, match="no end-of-sequence token"):
        load_backbone(str(folder))


def test_the_tokenizer_of_a_larger_model_is_refused(folder: Path) -> None:
    tokenizer = tiny_tokenizer()
    tokenizer.add_tokens([f"<extra{number}>" for number in range(VOCAB)])
    tokenizer.add_special_tokens({"eos_token": "<new eos>"})
    tokenizer.save_pretrained(folder)
    with pytest.raises(BackboneError, match="tokenizer of another model"):
        load_backbone(str(folder))


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json"])
def test_one_byte_changes_the_fingerprint(folder: Path, name: str) -> None:
    before = backbone_manifest(str(folder))
    data = bytearray((folder / name).read_bytes())
    if name == "model.safetensors":
        data[-1] ^= 1
    else:
        data += b" "
    (folder / name).write_bytes(data)
    after = backbone_manifest(str(folder))
    assert after["fingerprint"] != before["fingerprint"]
    assert [key for key in before["files"] if before["files"][key] != after["files"][key]] == [name]
    assert load_backbone(str(folder)).fingerprint == after["fingerprint"]


def test_the_fingerprint_ignores_the_place_and_files_that_are_no_part_of_the_model(folder: Path, saved: Path) -> None:
    (folder / "README.md").write_text("hello")
    (folder / "recipe.json").write_text("{}")
    (folder / ".gitignore").write_text("/x")
    assert load_backbone(str(folder)).fingerprint == load_backbone(str(saved)).fingerprint


def test_manifest_describes_the_model_and_is_byte_stable(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "store" / "manifest.json"
    manifest = write_backbone_manifest(path, str(folder))
    first = path.read_bytes()
    assert json.loads(first) == manifest == write_backbone_manifest(path, str(folder))
    assert path.read_bytes() == first
    assert manifest["model_type"] == "llama"
    assert (manifest["n_layers"], manifest["hidden_size"], manifest["vocab_size"]) == (LAYERS, HIDDEN, VOCAB)
    model = load_backbone(str(folder)).model
    assert manifest["n_parameters"] == sum(p.numel() for p in model.parameters())
    assert manifest["revision"] is None
    assert manifest["commit"] is None


def test_shared_weights_count_once(tmp_path: Path) -> None:
    model = FAMILIES["gpt2"]()  # ties input and output embeddings
    model.save_pretrained(tmp_path / "gpt2")
    tiny_tokenizer().save_pretrained(tmp_path / "gpt2")
    manifest = backbone_manifest(str(tmp_path / "gpt2"))
    assert manifest["n_parameters"] == sum(p.numel() for p in model.parameters())
    load_backbone(str(tmp_path / "gpt2"))  # the tied head stands in no file and yet is not missing


def test_check_accepts_the_same_files_and_refuses_others(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    write_backbone_manifest(path, str(folder))
    check_backbone(load_backbone(str(folder)), path)
    edit_json(folder / "generation_config.json", lambda config: config.update(max_length=7))
    with pytest.raises(BackboneError, match="dvc repro backbone"):
        check_backbone(load_backbone(str(folder)), path)


@pytest.mark.parametrize("content", [None, "{", "[]", "{}"])
def test_check_refuses_a_missing_or_broken_manifest(folder: Path, tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "manifest.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(BackboneError, match=r"manifest\.json.*dvc repro backbone"):
        check_backbone(load_backbone(str(folder)), path)


def test_embedded_is_the_folder_of_the_package(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backbone_files, "EMBEDDED_FOLDER", folder)
    loaded = load_backbone("embedded")
    assert loaded.name == "embedded"
    assert loaded.fingerprint == load_backbone(str(folder)).fingerprint
    assert backbone_manifest("embedded")["commit"] is None


def test_embedded_missing_says_how_to_make_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backbone_files, "EMBEDDED_FOLDER", tmp_path)
    with pytest.raises(BackboneError, match="make pretrain"):
        load_backbone("embedded")


@pytest.mark.parametrize("name", ["tiny-org/no-such-model", "no-such-model"])
def test_a_name_that_is_not_at_hand_offline(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(BackboneError, match=f"backbone.name is {name}.*embedded.*local folder") as caught:
        load_backbone(name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["./nowhere", "/nowhere/model", "a/b/c"])
def test_a_missing_folder_is_not_looked_up_on_the_hub(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backbone_files, "snapshot_download", lambda *_, **__: pytest.fail("asked the hub"))
    with pytest.raises(BackboneError, match="no such folder"):
        load_backbone(name)


def test_a_hub_name_loads_from_its_snapshot(folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    snapshot = folder.rename(tmp_path / "0123abc")
    hub = {("org/model", "v1"): snapshot}

    def download(name: str, *, revision: str | None, **_: object) -> str:
        return str(hub[name, revision])

    monkeypatch.setattr(backbone_files, "snapshot_download", download)
    manifest = backbone_manifest("org/model", "v1")
    assert (manifest["name"], manifest["revision"], manifest["commit"]) == ("org/model", "v1", "0123abc")
    assert load_backbone("org/model", revision="v1").fingerprint == manifest["fingerprint"]


def test_a_folder_has_no_revisions(folder: Path) -> None:
    with pytest.raises(BackboneError, match=r"backbone\.revision is main"):
        load_backbone(str(folder), revision="main")


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_folder_without_a_file_names_it(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(BackboneError, match=f"no {name}"):
        load_backbone(str(folder))


def test_weights_that_lack_a_tensor_are_refused_not_made_up(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    del weights["model.layers.2.mlp.up_proj.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(BackboneError, match=r"lack model\.layers\.2\.mlp\.up_proj\.weight"):
        load_backbone(str(folder))


def test_weights_of_another_size_are_refused_by_name(folder: Path) -> None:
    edit_json(folder / "config.json", lambda config: config.update(intermediate_size=65))
    with pytest.raises(
        BackboneError, match=r"model\.layers\.0\.mlp\.down_proj\.weight of shape \(32, 64\).*\(32, 65\)"
    ):
        load_backbone(str(folder))


def test_broken_files_are_one_sentence(folder: Path) -> None:
    data = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(data[: len(data) // 2])
    with pytest.raises(BackboneError, match="cannot be loaded as a causal language model") as caught:
        load_backbone(str(folder))
    assert "\n" not in str(caught.value)
    (folder / "tokenizer.json").write_text("{")
    with pytest.raises(BackboneError, match="cannot be loaded as a tokenizer") as caught:
        load_backbone(str(folder))
    assert "\n" not in str(caught.value)


def test_an_unknown_architecture_is_refused(folder: Path) -> None:
    edit_json(folder / "config.json", lambda config: config.update(model_type="no_such_family"))
    for call in (load_backbone, backbone_manifest):
        with pytest.raises(BackboneError, match="no_such_family"):
            call(str(folder))


def test_a_config_of_wrong_types_is_one_sentence(folder: Path) -> None:
    edit_json(folder / "config.json", lambda config: config.update(hidden_size="wide"))
    for call in (load_backbone, backbone_manifest):
        with pytest.raises(BackboneError, match="cannot be loaded") as caught:
            call(str(folder))
        assert "\n" not in str(caught.value)


def test_a_device_that_is_not_there_stops_before_anything_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backbone_module, "resolve_folder", lambda *_: pytest.fail("looked for the model"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(BackboneError, match="no CUDA device"):
        load_backbone("any/model", device="cuda", quantize="nf4")
    with pytest.raises(BackboneError, match="'warp9', expected a device"):
        load_backbone("any/model", device="warp9")


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.999])
def test_weights_that_are_cut_off_are_refused_when_the_backbone_is_described(folder: Path, share: float) -> None:
    path = folder / "model.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(BackboneError, match=r"model\.safetensors in its folder is not whole") as caught:
        backbone_manifest(str(folder))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (
            '{"weight_map": {"a": "model-1-of-2.safetensors", "b": "model.safetensors"}}',
            "model-1-of-2.safetensors, which",
        ),
        ("{", "is not whole"),
        ('{"weight_map": 3}', "is not whole"),
    ],
)
def test_parts_that_a_list_names_must_be_there(folder: Path, content: str, says: str) -> None:
    (folder / "model.safetensors.index.json").write_text(content, encoding="utf-8")
    with pytest.raises(BackboneError, match=says):
        backbone_manifest(str(folder))
