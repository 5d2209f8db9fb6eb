"""Tuning: what is wanted, the loss, and a whole run on a tiny encoder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from torch.nn import functional as F

from kblampp.core.errors import EncoderError
from kblampp.core.low_rank import WEIGHTS
from kblampp.core.params import Params
from kblampp.core.params_file import load_params
from kblampp.encoding.encoders import load_encoders
from kblampp.encoding.sentence_encoder import (
    SentenceEncoder,
    TransformerEncoder,
    load_encoder,
    load_sentence_transformer,
)
from kblampp.tuning import tune as tuning
from kblampp.tuning.examples import Asked, Example, ExampleMaker, labels_of
from kblampp.tuning.tune import BACKWARD, contrastive_loss, run_tune, wanted
from tests.encoders import save_tiny_bert
from tests.house import ROOT

MODEL = "models/tiny"
TEXTS = ["mayor", "Who was mayor of Storvik?", "the keeper of Kvitnes Lighthouse", ""]


def test_what_is_wanted_is_shared_by_hops_and_by_labels_that_mean_the_same() -> None:
    maker = ExampleMaker(3)
    examples = [example for number in range(4) for example in maker.batch(number, 24)]
    labels = [asked for example in examples for asked in example.hops]
    expected = np.zeros((len(examples), len(labels)))
    for row, example in enumerate(examples):
        for hop in example.hops:
            meant = [column for column, label in enumerate(labels) if hop.same(label)]
            for column in meant:
                expected[row, column] += 1 / len(meant) / len(example.hops)
    found = wanted(examples).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-6)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)
    assert (expected > 0).sum() > len(labels), "some labels are meant by several"
    assert (found > 0).any(axis=0).all(), "each label is asked for"


def test_a_question_for_two_relations_wants_half_of_each() -> None:
    mayor, born, major = Asked("r", "mayor"), Asked("s", "place of birth"), Asked("r", "head of town")
    shares = wanted([Example("1", (mayor, born)), Example("2", (major,))])
    assert shares.tolist() == [[0.25, 0.5, 0.25], [0.5, 0.0, 0.5]]


@pytest.mark.parametrize("temperature", [0.05, 1.0])
def test_the_loss_is_cross_entropy_both_ways(temperature: float) -> None:
    rng = np.random.default_rng(0)
    questions, labels = (unit_rows(rng.normal(size=(n, 6))) for n in (5, 7))
    shares = rng.random((5, 7)) * (rng.random((5, 7)) < 0.4)
    shares[np.arange(7) % 5, np.arange(7)] += 0.1
    shares /= shares.sum(axis=1, keepdims=True)
    forward = backward = 0.0
    for i in range(5):
        total = sum(np.exp(questions[i] @ labels[k] / temperature) for k in range(7))
        for j in range(7):
            forward -= shares[i, j] * np.log(np.exp(questions[i] @ labels[j] / temperature) / total) / 5
    for j in range(7):
        total = sum(np.exp(questions[k] @ labels[j] / temperature) for k in range(5))
        askers = [i for i in range(5) if shares[i, j] > 0]
        for i in askers:
            backward -= np.log(np.exp(questions[i] @ labels[j] / temperature) / total) / len(askers) / 7
    found = contrastive_loss(*map(torch.from_numpy, (questions, labels, shares)), temperature)
    assert float(found) == pytest.approx(forward + BACKWARD * backward, rel=1e-6)


def test_the_loss_falls_where_questions_come_close_to_what_they_ask_for() -> None:
    labels, shares = torch.eye(4), torch.eye(4)
    far = F.normalize(torch.eye(4)[[1, 2, 3, 0]] + 0.1, dim=-1)
    near = F.normalize(torch.eye(4) + 0.1, dim=-1)
    assert contrastive_loss(near, labels, shares, 0.05) < contrastive_loss(far, labels, shares, 0.05)


def unit_rows(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def params(**changes: Any) -> Params:
    """The repository's, with the tiny encoder and two steps."""
    whole = load_params(ROOT / "params.yaml")
    model = changes.pop("model", MODEL)
    small = {"steps": 2, "batch_size": 8, "lora_rank": 4, "lr": 0.05, **changes}
    encoder = whole.encoder.model_copy(update={"model": model})
    return whole.model_copy(update={"encoder": encoder, "tune": whole.tune.model_copy(update=small)})


def tuned_in(folder: Path, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> dict[str, bytes]:
    """Runs the tuning in a folder as a stage does, with the seed set; what it wrote, by name."""
    folder.mkdir(exist_ok=True)
    if not (folder / MODEL).exists():
        save_tiny_bert(folder / MODEL)
    before = {path for path in folder.rglob("*") if path.is_file()}
    monkeypatch.chdir(folder)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(params().seed)
        run_tune(params(**changes), store=Path("store"), metrics=Path("metrics/tune"))
    written = sorted({path for path in folder.rglob("*") if path.is_file()} - before)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in written}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, bytes]]]:
    """Two runs, each in a folder of its own; the first one's folder."""
    folders = [tmp_path_factory.mktemp(name) for name in ("one", "other")]
    with pytest.MonkeyPatch.context() as patch:
        return folders[0], [tuned_in(folder, patch) for folder in folders]


def test_the_same_seed_gives_the_same_bytes(runs: tuple[Path, list[dict[str, bytes]]]) -> None:
    _, (first, second) = runs
    names = ("adapter_config.json", "adapter_model.safetensors", "manifest.json")
    assert {f"store/encoder/{name}" for name in names} | {"metrics/tune/metrics.json"} <= first.keys()
    assert first.keys() == second.keys()
    assert [name for name in first if first[name] != second[name]] == []


def test_the_folder_names_no_path_of_the_machine(runs: tuple[Path, list[dict[str, bytes]]]) -> None:
    folder, (written, _) = runs
    for name, content in written.items():
        assert str(folder).encode() not in content, name
        assert str(Path.home()).encode() + b"/" not in content, name
        assert b"/tmp" not in content, name


def test_the_metrics_are_of_both_encoders(runs: tuple[Path, list[dict[str, bytes]]]) -> None:
    _, (written, _) = runs
    figures = json.loads(written["metrics/tune/metrics.json"])
    assert figures.keys() == {"plain", "tuned"}
    assert all(row.keys() == {"accuracy", "missing_auroc"} for row in figures.values())
    assert all(0 <= value <= 1 for row in figures.values() for value in row.values())


def test_the_tuned_encoder_is_the_plain_one_with_the_updates_in_its_weights(
    runs: tuple[Path, list[dict[str, bytes]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _ = runs
    monkeypatch.chdir(folder)
    encoders = load_encoders(MODEL, Path("store"))
    plain, tuned = encoders.embed(TEXTS), encoders.embed_relations(TEXTS)
    np.testing.assert_allclose(plain, load_encoder(MODEL).encode(TEXTS), atol=1e-14)
    assert np.abs(plain - tuned).max() > 1e-4
    expected = by_hand(load_file(folder / "store" / "encoder" / WEIGHTS))
    np.testing.assert_allclose(tuned, expected.encode(TEXTS), atol=1e-12)


def by_hand(updates: Mapping[str, np.ndarray], scale: float = 2.0) -> SentenceEncoder:
    """The encoder with W + scale B A in the place of each W."""
    model = load_sentence_transformer(MODEL).double()
    weights = dict(model[0].auto_model.named_parameters())
    names = {name.removesuffix(".lora_A.weight") for name in updates if name.endswith(".lora_A.weight")}
    assert len(names) == len(updates) / 2 > 10, "all linear layers"
    with torch.no_grad():
        for name in names:
            down, up = (updates[f"{name}.lora_{part}.weight"].astype(np.float64) for part in "AB")
            weights[name.removeprefix("base_model.model.") + ".weight"] += torch.from_numpy(scale * up @ down)
    return TransformerEncoder(model, name="by hand", fingerprint="", batch_size=8)


def test_tuning_brings_questions_close_to_the_labels_that_they_ask_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loss of batches that it was tuned on: a model of random weights carries nothing over to others."""
    tuned_in(tmp_path, monkeypatch, steps=25, lr=0.02, batch_size=16)
    encoders = load_encoders(MODEL, Path("store"))
    losses = {"plain": 0.0, "tuned": 0.0}
    maker = ExampleMaker(params().seed)
    for number in range(4):
        examples = maker.batch(number, 16)
        for name, embed in (("plain", encoders.embed), ("tuned", encoders.embed_relations)):
            asked = embed([example.text for example in examples])
            labels = embed([asked.label for asked in labels_of(examples)])
            vectors = torch.from_numpy(asked), torch.from_numpy(labels)
            losses[name] += float(contrastive_loss(*vectors, wanted(examples), 0.05))
    assert losses["tuned"] < 0.98 * losses["plain"]


@pytest.mark.parametrize("changes", [{"steps": 0}, {"model": "deterministic"}], ids=["no steps", "no weights"])
def test_without_tuning_there_is_no_adapter_and_both_encoders_are_one(
    changes: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = tuned_in(tmp_path, monkeypatch, **changes)
    assert written.keys() == {"store/encoder/manifest.json", "metrics/tune/metrics.json"}
    assert json.loads(written["metrics/tune/metrics.json"]) == {}
    assert json.loads(written["store/encoder/manifest.json"])["tuned"] is False
    encoders = load_encoders(changes.get("model", MODEL), Path("store"))
    assert encoders.names is encoders.relations


def test_a_former_adapter_goes_when_nothing_is_tuned_any_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tuned_in(tmp_path, monkeypatch)
    tuned_in(tmp_path, monkeypatch, steps=0)
    assert [path.name for path in (tmp_path / "store" / "encoder").iterdir()] == ["manifest.json"]


def test_an_interrupted_tuning_leaves_the_former_encoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tuned_in(tmp_path, monkeypatch)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(tuning, "_save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        tuned_in(tmp_path, monkeypatch, lr=0.5)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_an_encoder_that_is_missing_is_one_clear_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(EncoderError, match=r"encoder\.model") as caught:
        tuned_in(tmp_path, monkeypatch, model="models/missing")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "store").exists()
