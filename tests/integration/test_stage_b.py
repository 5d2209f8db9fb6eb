"""Stage B goes on from trainA, resumes after a kill to the same bytes, or passes it through without steps."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from kblampp.backbone.load import load_backbone
from kblampp.core.params_file import load_params
from kblampp.core.program import run_stage
from kblampp.data.dataset import Dataset
from kblampp.model.checkpoint import load_trained
from kblampp.model.injection import KBInjectedModel
from kblampp.model.lora import LAYERS, LORA, backbone_unchanged
from kblampp.model.workspace import Workspace
from kblampp.training import stage_a, stage_b
from kblampp.training.calibration import CALIBRATION, calibrate
from kblampp.training.loop import train
from kblampp.training.stage_a import train_stage_a
from stages import trainB
from tests.pipeline.workspace import set_params

NAME = "synth_world"


class Killed(BaseException):
    """Stands in for a signal."""


def run(**changes: Any) -> int:
    """Runs the stage as a program would, with strict parameters."""
    set_params(Path("params.yaml"), {f"trainB.{key}": value for key, value in changes.items()})
    threads = torch.get_num_threads()
    try:
        return run_stage("trainB", trainB.main, [])
    finally:
        torch.set_num_threads(threads)


def results(folder: Path) -> dict[str, bytes]:
    """What the stage has written."""
    places = (folder / "store" / NAME / "trainB", folder / "metrics" / "trainB")
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for place in places
        for path in place.rglob("*")
        if path.is_file()
    }


def kill_after(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs the stage until a step is done."""

    def after_step(done: int) -> None:
        if done == step:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(stage_a, "train", partial(train, after_step=after_step))
        with pytest.raises(Killed):
            run()


@pytest.mark.parametrize("changes", [{}, {"unfreeze_top": 1}], ids=["lora", "lora and a layer"])
def test_a_killed_run_ends_with_the_same_bytes(
    bench: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    assert run(**changes) == 0
    expected = results(bench)
    shutil.rmtree(bench / "store" / NAME / "trainB")
    shutil.rmtree(bench / "metrics" / "trainB")
    kill_after(2, monkeypatch)
    assert not (bench / "store" / NAME / "trainB").exists()
    assert len(list((bench / ".ckpt" / "trainB").glob("*/state.pt"))) == 1
    assert run() == 0
    assert results(bench) == expected
    assert not list((bench / ".ckpt" / "trainB").glob("*/state.pt"))


def test_the_result_is_trainas_model_and_its_backbone_learnt_on(bench: Path) -> None:
    assert run(unfreeze_top=1) == 0
    workspace = Workspace.open(load_params(), Path("data"), Path("store"), ("train",))
    first = load_trained(workspace.folder / "trainA", workspace.backbone, workspace.projections)
    second_backbone = load_backbone("tiny_backbone")
    second = load_trained(workspace.folder / "trainB", second_backbone, workspace.projections)
    before, after = first.added_parameters(), second.added_parameters()
    assert before.keys() == after.keys()
    assert not all(torch.equal(before[name], after[name]) for name in before)
    ids = torch.arange(2, 30)[None]
    with torch.no_grad():
        plain, changed = first(ids).logits, second(ids).logits
        assert not torch.equal(plain, changed)
        with backbone_unchanged(second):
            assert torch.equal(second(ids).logits, plain)
    assert {path.name for path in (workspace.folder / "trainB").iterdir()} == {
        "kblampp.safetensors",
        "manifest.json",
        LORA,
        LAYERS,
    }
    summary = json.loads((bench / "metrics/trainB/metrics.json").read_text())
    assert summary["step"] == 6
    curve = (bench / "metrics/trainB/plots/metrics/train/loss.tsv").read_text().splitlines()
    assert [line.split("\t")[0] for line in curve] == ["step", "2", "4", "6"]


def test_without_steps_trainas_adapter_passes_through_and_the_declared_files_exist(bench: Path) -> None:
    assert run() == 0  # leaves curves and a LoRA folder, which must go
    assert run(max_steps=0) == 0
    store = bench / "store" / NAME
    names = {path.name for path in (store / "trainB").iterdir()}
    assert names == {path.name for path in (store / "trainA").iterdir()} == {"kblampp.safetensors", "manifest.json"}
    assert all((store / "trainB" / name).read_bytes() == (store / "trainA" / name).read_bytes() for name in names)
    assert json.loads((bench / "metrics/trainB/metrics.json").read_text()) == {}
    curves = [path for path in (bench / "metrics/trainB/plots/metrics").rglob("*") if path.is_file()]
    assert [path.name for path in curves] == ["loss.tsv"]
    assert curves[0].read_text() == "step\tloss\n"


@pytest.mark.parametrize("with_split", [True, False])
def test_the_null_fact_is_set_anew_where_there_are_questions_for_it(
    bench: Path, monkeypatch: pytest.MonkeyPatch, with_split: bool
) -> None:
    """After training and before saving; without steps trainA's adapter, which has been set already, is left alone."""
    moved: list[list[float]] = []
    monkeypatch.setattr(stage_b, "calibrate", lambda *given: moved.append(calibrate(*given)))
    if not with_split:
        whole = Dataset.load(Path("data"), NAME)
        kept = {split: kb for split, kb in whole.kb_of_split.items() if split != CALIBRATION}
        replace(whole, questions={split: whole.questions[split] for split in kept}, kb_of_split=kept).save(Path("data"))
    assert run(max_steps=0) == 0
    assert not moved
    assert run(max_steps=2) == 0
    assert len(moved) == with_split


def test_what_is_trained_counts_whole_whatever_trainas_calibration_has_left(
    bench: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shares: list[float] = []

    def calibrated_once(model: KBInjectedModel, _: Workspace) -> list[float]:
        shares.append(model.context_share)
        model.context_share = 0.25
        return []

    monkeypatch.setattr(stage_a, "calibrate", calibrated_once)
    monkeypatch.setattr(stage_b, "calibrate", calibrated_once)
    retrain(bench)
    assert run(max_steps=2) == 0
    assert shares == [1.0, 1.0]
    assert json.loads((bench / "store" / NAME / "trainB" / "manifest.json").read_text())["context_share"] == 0.25
    assert run(max_steps=0) == 0
    assert json.loads((bench / "store" / NAME / "trainB" / "manifest.json").read_text())["context_share"] == 0.25


def test_a_run_that_fails_after_training_is_not_trained_again(bench: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run() == 0
    expected = results(bench)
    shutil.rmtree(bench / "store" / NAME / "trainB")

    def fail(*_: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(stage_b, "save_adapter", fail)
        with pytest.raises(Killed):
            run()
    assert len(list((bench / ".ckpt" / "trainB").glob("*/state.pt"))) == 1
    steps: list[int] = []
    monkeypatch.setattr(stage_a, "train", partial(train, after_step=steps.append))
    assert run() == 0
    assert not steps
    assert results(bench) == expected
    assert not list((bench / ".ckpt" / "trainB").glob("*/state.pt"))


def test_knowledge_modules_alone_can_go_on_learning(bench: Path) -> None:
    assert run(lora_rank=0, max_steps=2) == 0
    assert {path.name for path in (bench / "store" / NAME / "trainB").iterdir()} == {
        "kblampp.safetensors",
        "manifest.json",
    }


@pytest.mark.parametrize(
    ("change", "continues"),
    [(lambda folder: None, True), (lambda folder: retrain(folder), False)],
    ids=["the same adapter", "another adapter"],
)
def test_a_checkpoint_is_continued_only_from_the_same_adapter_of_train_a(
    bench: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], object], continues: bool
) -> None:
    kill_after(3, monkeypatch)
    change(bench)
    steps: list[int] = []
    monkeypatch.setattr(stage_a, "train", partial(train, after_step=steps.append))
    assert run() == 0
    assert steps == list(range(4 if continues else 0, 6))


def retrain(folder: Path) -> None:
    """Another trainA."""
    set_params(folder / "params.yaml", {"trainA.max_steps": 4})
    paths = {"metrics": Path("metrics/trainA"), "checkpoints": Path(".ckpt")}
    train_stage_a(load_params(), data=Path("data"), store=Path("store"), **paths)


@pytest.mark.parametrize("file", ["kblampp.safetensors", "manifest.json"])
def test_a_damaged_adapter_of_train_a_is_named_and_nothing_is_written(
    bench: Path, capsys: pytest.CaptureFixture[str], file: str
) -> None:
    path = bench / "store" / NAME / "trainA" / file
    path.write_bytes(path.read_bytes()[:-9])
    capsys.readouterr()
    assert run() == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("error: ")
    assert file in last
    assert "run `dvc repro trainA`" in last
    assert not results(bench)


def test_a_target_that_does_not_exist_is_told_in_one_line(bench: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(lora_targets=["q_proj"]) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("error: trainB.lora_targets names q_proj")
    assert "attn.c_attn" in last
    assert not results(bench)
