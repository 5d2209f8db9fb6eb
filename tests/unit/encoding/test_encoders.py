"""The two encoders of a base: what each encodes, how they are told apart, and what can be wrong with the tuned one."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import LoraConfig, PeftConfig, get_peft_model
from safetensors.numpy import load_file, save_file
from safetensors.torch import load_file as load_torch_file
from safetensors.torch import save_file as save_torch_file

from kblampp.core.cache import CACHE_VARIABLE
from kblampp.core.errors import EncoderError, KBLaMError, StoreError
from kblampp.core.files import read_manifest, write_manifest
from kblampp.core.low_rank import CONFIG, WEIGHTS, merge_updates, put_updates
from kblampp.encoding.encoders import KIND, TUNED, Encoders, fingerprint_of_tuned, load_encoders
from kblampp.encoding.sentence_encoder import (
    DeterministicEncoder,
    load_encoder,
    load_sentence_transformer,
)
from kblampp.tuning.tune import _save
from tests.encoders import Counting, Reversed, save_tiny_bert

TEXTS = ["mayor of Storvik", "mayor", "Who was mayor?", "mayor"]


def test_names_and_relations_go_to_their_encoders_and_questions_to_both() -> None:
    names, relations = Counting(32), Reversed(32)
    encoders = Encoders.of(names, relations)
    plain = DeterministicEncoder(32).encode(TEXTS)
    np.testing.assert_array_equal(encoders.embed(TEXTS), plain)
    assert relations.seen == []
    np.testing.assert_array_equal(encoders.embed_relations(TEXTS), plain[:, ::-1])
    both = encoders.embed_questions(TEXTS)
    assert both.shape == (4, 64)
    np.testing.assert_array_equal(both, np.hstack([plain, plain[:, ::-1]]))
    np.testing.assert_allclose((both[:, :32] ** 2).sum(axis=1), 1, atol=1e-12)
    assert names.seen == relations.seen == list(dict.fromkeys(TEXTS)), "each text once"
    assert encoders.n_encoded == 6
    assert encoders.embed_questions([]).shape == (0, 64)


def test_one_encoder_serves_both_and_encodes_a_text_once() -> None:
    encoder = Counting(32)
    encoders = Encoders.of(encoder)
    both = encoders.embed_questions(TEXTS)
    np.testing.assert_array_equal(both[:, :32], both[:, 32:])
    assert encoder.seen == list(dict.fromkeys(TEXTS))
    assert encoders.n_encoded == 3
    assert encoders.n_cached == 0


def test_the_fingerprint_is_of_both_and_of_their_order() -> None:
    first, second, third = Counting(32), Reversed(32), Counting(16)
    pairs = [(first, None), (second, None), (first, second), (second, first), (first, third)]
    marks = [Encoders.of(*pair).fingerprint for pair in pairs]
    assert len(set(marks)) == len(pairs)
    assert Encoders.of(Counting(32), Reversed(32)).fingerprint == Encoders.of(first, second).fingerprint
    assert Encoders.of(first, first).fingerprint == Encoders.of(first).fingerprint
    assert Encoders.of(first, second).name == "deterministic"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny encoder `tiny`, and updates of it that are as wide as random numbers make them."""
    root = tmp_path_factory.mktemp("tuned")
    save_tiny_bert(root / "tiny")
    write_tuned(root / TUNED, root / "tiny")
    return root


def write_tuned(folder: Path, model_folder: Path) -> None:
    model = load_sentence_transformer(str(model_folder))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        inner: Any = model[0].auto_model
        config = LoraConfig(r=2, target_modules="all-linear", init_lora_weights=False, task_type="FEATURE_EXTRACTION")
        model[0].auto_model = get_peft_model(inner, config)
    folder.mkdir()
    _save(model, folder)
    renew(folder, base=load_encoder(str(model_folder)).fingerprint)


def renew(folder: Path, *, base: str | None = None, tuned: bool = True) -> None:
    """Writes a manifest that lists the files as they are."""
    path = folder / "manifest.json"
    base = base or json.loads(path.read_text(encoding="utf-8"))["base"]
    path.unlink(missing_ok=True)
    write_manifest(folder, KIND, {"base": base, "name": "tiny", "tuned": tuned})


@pytest.fixture
def copy(store: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(store, tmp_path / "store"))


def load(root: Path) -> Encoders:
    return load_encoders(str(root / "tiny"), root)


def test_the_tuned_encoder_is_a_second_one_of_the_same_width(store: Path) -> None:
    encoders = load(store)
    plain, tuned = encoders.names.encoder, encoders.relations.encoder
    assert plain.dim == tuned.dim == 16
    assert plain.fingerprint == load_encoder(str(store / "tiny")).fingerprint != tuned.fingerprint
    assert np.abs(plain.encode(TEXTS) - tuned.encode(TEXTS)).max() > 0.01
    assert encoders.embed_questions(TEXTS).shape == (4, 32)


def test_the_fingerprint_follows_the_weights_of_either(copy: Path) -> None:
    marks = [load(copy).fingerprint]
    weights = load_file(copy / TUNED / WEIGHTS)
    save_file({name: tensor * 2 for name, tensor in weights.items()}, copy / TUNED / WEIGHTS)
    renew(copy / TUNED)
    marks.append(load(copy).fingerprint)
    shutil.rmtree(copy / "tiny")
    save_tiny_bert(copy / "tiny", seed=2)
    renew(copy / TUNED, base=load_encoder(str(copy / "tiny")).fingerprint)
    marks.append(load(copy).fingerprint)
    renew(copy / TUNED, tuned=False)
    marks.append(load(copy).fingerprint)
    assert len(set(marks)) == 4


@pytest.mark.parametrize("tuned", [True, False])
def test_the_fingerprint_of_both_is_known_from_the_manifest_of_the_tuned_one(copy: Path, tuned: bool) -> None:
    renew(copy / TUNED, tuned=tuned)
    manifest = read_manifest(copy / TUNED, KIND, stage="tune")
    assert fingerprint_of_tuned(manifest) == load(copy).fingerprint


def test_both_keep_their_vectors_apart_on_disk(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    first, again = load(store), load(store)
    vectors = first.embed_questions(TEXTS)
    assert first.n_cached == 0
    np.testing.assert_array_equal(again.embed_questions(TEXTS), vectors)
    assert again.n_cached == again.n_encoded == 6


def test_deterministic_vectors_need_no_tuned_encoder(tmp_path: Path) -> None:
    encoders = load_encoders("deterministic", tmp_path)
    assert encoders.names is encoders.relations


def edited(name: str, change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    """Changes a JSON file of the tuned encoder, and its manifest with it."""

    def spoil(folder: Path) -> None:
        content = json.loads((folder / name).read_text(encoding="utf-8"))
        change(content)
        (folder / name).write_text(json.dumps(content), encoding="utf-8")
        if name != "manifest.json":
            renew(folder)

    return spoil


def reweighed(change: Callable[[dict[str, np.ndarray]], object]) -> Callable[[Path], None]:
    """Changes the weights of the tuned encoder, and its manifest with them."""

    def spoil(folder: Path) -> None:
        weights = load_file(folder / WEIGHTS)
        change(weights)
        save_file(weights, folder / WEIGHTS)
        renew(folder)

    return spoil


def cut(folder: Path, *, listed: bool) -> None:
    path = folder / WEIGHTS
    path.write_bytes(path.read_bytes()[:-64])
    if listed:
        renew(folder)


def without(name: str) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        (folder / name).unlink()
        renew(folder)

    return spoil


def narrowed(weights: dict[str, np.ndarray]) -> None:
    name = next(iter(weights))
    weights[name] = np.ascontiguousarray(weights[name][:, :-1])


SPOILT: dict[str, tuple[Callable[[Path], object], type[KBLaMError], str]] = {
    "no folder": (shutil.rmtree, StoreError, "folder is missing"),
    "no manifest": (lambda folder: (folder / "manifest.json").unlink(), StoreError, "incomplete"),
    "another kind": (edited("manifest.json", lambda m: m.update(kind="store")), StoreError, "expected a 'encoder'"),
    "another base": (edited("manifest.json", lambda m: m.update(base="f" * 64)), StoreError, "another encoder"),
    "no base": (edited("manifest.json", lambda m: m.pop("base")), StoreError, "another encoder"),
    "weights cut short": (lambda folder: cut(folder, listed=False), StoreError, WEIGHTS),
    "weights cut short and listed so": (lambda folder: cut(folder, listed=True), EncoderError, "does not fit"),
    "no weights": (without(WEIGHTS), EncoderError, "does not fit"),
    "no configuration": (without("adapter_config.json"), EncoderError, "does not fit"),
    "a weight less": (reweighed(lambda w: w.pop(next(iter(w)))), EncoderError, "1 weights are missing"),
    "a weight more": (
        reweighed(lambda w: w.update({"base_model.model.other.lora_A.weight": np.ones((2, 2), np.float32)})),
        EncoderError,
        "1 too many",
    ),
    "a narrow weight": (reweighed(narrowed), EncoderError, "does not fit"),
    "another rank": (edited("adapter_config.json", lambda c: c.update(r=3)), EncoderError, "does not fit"),
    "no rank": (edited("adapter_config.json", lambda c: c.update(r=0)), EncoderError, "the rank 0"),
    "other layers": (
        edited("adapter_config.json", lambda c: c.update(target_modules=["nowhere"])),
        EncoderError,
        "does not fit",
    ),
}
"""What is wrong -> how it comes about, the error, what it says."""


@pytest.mark.parametrize("case", SPOILT)
def test_a_tuned_encoder_that_is_missing_damaged_or_of_another_is_one_clear_sentence(case: str, copy: Path) -> None:
    spoil, error, says = SPOILT[case]
    spoil(copy / TUNED)
    with pytest.raises(error, match=re.escape(says)) as caught:
        load(copy)
    text = str(caught.value)
    assert "\n" not in text
    assert str(copy / TUNED) in text
    assert "run `dvc repro tune`" in text


def test_the_updates_are_merged_as_peft_merges_them(copy: Path) -> None:
    """Bit by bit, into weights of double precision."""
    ours, theirs = (load_sentence_transformer(str(copy / "tiny")).double()[0].auto_model for _ in range(2))
    merge_updates(ours, copy / TUNED)
    updated = get_peft_model(theirs, PeftConfig.from_pretrained(str(copy / TUNED)))
    put_updates(updated, load_torch_file(copy / TUNED / WEIGHTS))
    expected = updated.merge_and_unload().state_dict()
    plain = load_sentence_transformer(str(copy / "tiny")).double()[0].auto_model.state_dict()
    found = ours.state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert not all(torch.equal(found[name], plain[name]) for name in plain)


@pytest.mark.parametrize(
    "field", [{"use_dora": True}, {"bias": "all"}, {"peft_type": "IA3"}, {"rank_pattern": {"key": 2}}]
)
def test_updates_of_another_kind_are_refused(copy: Path, field: dict[str, Any]) -> None:
    config = json.loads((copy / TUNED / CONFIG).read_text(encoding="utf-8")) | field
    (copy / TUNED / CONFIG).write_text(json.dumps(config), encoding="utf-8")
    model = load_sentence_transformer(str(copy / "tiny")).double()[0].auto_model
    with pytest.raises(ValueError, match="plain low-rank updates"):
        merge_updates(model, copy / TUNED)


@pytest.mark.parametrize("text", ["[1]", "null"])
def test_a_configuration_that_is_no_object_is_told(copy: Path, text: str) -> None:
    (copy / TUNED / CONFIG).write_text(text, encoding="utf-8")
    model = load_sentence_transformer(str(copy / "tiny"))[0].auto_model
    with pytest.raises(ValueError, match="holds no object"):
        merge_updates(model, copy / TUNED)


def test_updates_of_which_the_last_do_not_fit_change_no_layer(copy: Path) -> None:
    path = copy / TUNED / WEIGHTS
    updates = load_torch_file(path)
    model = load_sentence_transformer(str(copy / "tiny"))[0].auto_model
    layers = [f"base_model.model.{name}.lora_B.weight" for name, _ in model.named_modules()]
    last = [name for name in layers if name in updates][-1]
    save_torch_file(updates | {last: updates[last][:-1].clone()}, path)
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    with pytest.raises(ValueError, match=re.escape(last.removesuffix(".lora_B.weight"))):
        merge_updates(model, copy / TUNED)
    assert all(torch.equal(weight, before[name]) for name, weight in model.state_dict().items())


def test_an_encoder_of_another_shape_refuses_the_updates(copy: Path) -> None:
    shutil.rmtree(copy / "tiny")
    save_tiny_bert(copy / "tiny", hidden=24)
    renew(copy / TUNED, base=load_encoder(str(copy / "tiny")).fingerprint)
    with pytest.raises(EncoderError, match="does not fit the encoder") as caught:
        load(copy)
    assert "\n" not in str(caught.value)
