"""A dataset that starts from another takes over its projections and modules, or is told why it cannot."""

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
from safetensors.torch import load_file

from kblampp.core.params_file import load_params
from kblampp.encoding.projections import Projections
from kblampp.model.checkpoint import load_adapter
from kblampp.model.workspace import Workspace
from kblampp.training import stage_a
from kblampp.training.loop import train
from tests.integration.conftest import last_error, stage
from tests.pipeline.workspace import ROOT

START, OWN = Path("store/synth_world"), Path("store/custom")
STEPS = {"trainA__max_steps": 6, "trainA__batch_size": 4, "trainA__warmup_steps": 1, "trainA__checkpoint_every": 2}


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def give_questions() -> None:
    """Makes the example's questions training questions."""
    rows = (ROOT / "docs/examples/own-kb/questions.jsonl").read_text(encoding="utf-8").splitlines()
    training = [json.dumps({**json.loads(row), "split": "train"}) + "\n" for row in rows]
    Path("data/raw/custom/questions.jsonl").write_text("".join(training), encoding="utf-8")
    for name in ("generate", "encode", "index"):
        assert stage(name) == 0


def test_the_projections_are_those_of_the_start(own: Path) -> None:
    assert contents(own / OWN / "projection") == contents(own / START / "projection")


def test_the_index_of_a_base_without_questions_is_checked_with_its_own_keys(own: Path) -> None:
    report = json.loads((own / "metrics/index/recall.json").read_text(encoding="utf-8"))
    assert report == {"train": {"n": 12, "recall_at_1": 1.0, "recall_at_8": 1.0, "recall_at_32": 1.0}}


def test_without_steps_the_start_passes_through_both_trainings_and_needs_no_question(own: Path) -> None:
    assert stage("trainA", trainA__max_steps=0) == 0
    assert stage("trainB", trainB__max_steps=0) == 0
    expected = contents(own / START / "trainA")
    assert contents(own / OWN / "trainA") == contents(own / OWN / "trainB") == expected
    for name in ("trainA", "trainB"):
        metrics = contents(own / "metrics" / name)
        assert (metrics["metrics.json"], metrics["plots/metrics/train/loss.tsv"]) == (b"{}\n", b"step\tloss\n")


def test_training_without_a_training_question_is_refused(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert stage("trainA", **STEPS) == 1
    assert "dataset custom has no questions in split train" in last_error(capsys)
    assert not (own / OWN / "trainA").exists()


def test_training_goes_on_from_the_start(own: Path) -> None:
    give_questions()
    assert stage("trainA", **STEPS, trainA__lr=1e-9, trainA__query_lr=0) == 0
    workspace = Workspace.open(load_params(), Path("data"), Path("store"), ())
    weights = []
    for folder in (START, OWN):
        model = load_adapter(folder / "trainA", workspace.backbone, workspace.projections)
        weights.append({name: weight.detach().clone() for name, weight in model.added_parameters().items()})
        model.detach()
    before, after = weights
    assert all(torch.allclose(before[name], after[name], atol=1e-5) for name in before)
    metrics = json.loads((own / "metrics/trainA/metrics.json").read_text(encoding="utf-8"))
    assert metrics["step"] == 6


def test_the_start_may_be_of_another_backbone(own: Path) -> None:
    """What selects facts is taken over, what reads hidden states or adds to them starts anew."""
    edit_manifest("trainA", backbone={"name": "another", "fingerprint": "e" * 64})
    assert stage("trainA", trainA__max_steps=0) == 0
    before, after = (load_file(folder / "trainA" / "kblampp.safetensors") for folder in (START, own / OWN))
    assert before.keys() == after.keys()
    own_parts = ("fusions.", "copy_gate.")
    for name, weight in before.items():
        if ".from_hidden." not in name and not name.startswith(own_parts):
            assert torch.equal(weight, after[name]), name
        elif not name.startswith(own_parts) or name.endswith("out.weight"):
            assert not after[name].any(), name


class Killed(BaseException):
    """Stands in for a signal."""


@pytest.mark.parametrize("same", [True, False], ids=["the same start", "another start"])
def test_a_checkpoint_is_continued_only_from_the_same_start(
    own: Path, monkeypatch: pytest.MonkeyPatch, same: bool
) -> None:
    give_questions()

    def kill(done: int) -> None:
        if done == 3:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(stage_a, "train", partial(train, after_step=kill))
        with pytest.raises(Killed):
            stage("trainA", **STEPS)
    if not same:
        edit_manifest("trainA", note="another")
    steps: list[int] = []
    monkeypatch.setattr(stage_a, "train", partial(train, after_step=steps.append))
    assert stage("trainA") == 0
    assert steps == list(range(4 if same else 0, 6))


def edit_manifest(name: str, **changes: Any) -> None:
    """Changes what a folder of the start says of itself."""
    path = START / name / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **changes}), encoding="utf-8")


def other_encoder(**changes: str) -> None:
    projections = Projections.load(START / "projection")
    replace(projections, encoder_fingerprint="e" * 64, **changes).save(START / "projection")


REFUSED: dict[str, tuple[str, dict[str, Any], Callable[[], object], tuple[str, ...]]] = {
    "no projections": (
        "encode",
        {},
        lambda: shutil.rmtree(START / "projection"),
        ("start_from is synth_world, but store/synth_world/projection", "run `dvc repro encode` with dataset: synth_w"),
    ),
    "projections of another encoder": (
        "encode",
        {},
        lambda: other_encoder(encoder_name="another"),
        ("store/synth_world/projection was fitted on encoder 'another'", "set encoder.model to another"),
    ),
    "projections of another tuned encoder": (
        "encode",
        {},
        other_encoder,
        (
            "other weights, plain or tuned, of encoder 'deterministic'",
            "run `dvc repro trainA` with dataset: synth_world",
        ),
    ),
    "other widths": (
        "encode",
        {"encoder__d_tau": 4, "encoder__whitening": 0.25},
        lambda: None,
        ("encoder.d_tau is 4, not 8; encoder.whitening is 0.25, not", "or start_from to scratch"),
    ),
    "no modules": (
        "trainA",
        {"trainA__max_steps": 0},
        lambda: shutil.rmtree(START / "trainA"),
        ("start_from is synth_world, but store/synth_world/trainA", "run `dvc repro trainA` with dataset: synth_world"),
    ),
    "modules for other layers of another backbone": (
        "trainA",
        {"trainA__max_steps": 0, "injection__layers": [1]},
        lambda: edit_manifest("trainA", backbone={"name": "another", "fingerprint": "e" * 64}),
        ("store/synth_world/trainA has modules for 3 layers, and injection.layers are 1 of backbone tiny_backbone",),
    ),
    "modules of other projections": (
        "trainA",
        {"trainA__max_steps": 0},
        lambda: edit_manifest("trainA", projection_fingerprint="e" * 64),
        ("store/synth_world/trainA was trained with projection eeee",),
    ),
    "modules in other layers, of other widths": (
        "trainA",
        {"trainA__max_steps": 0, "injection__layers": [1], "injection__d_fusion": 16},
        lambda: None,
        ("injection", "layers is (1,), not (0, 1, 2)", "d_fusion is 16, not 32", "set injection.* to that"),
    ),
}
"""What does not fit -> stage, parameters, what is spoilt, what the error says."""


@pytest.mark.parametrize("case", REFUSED)
def test_a_start_that_does_not_fit_is_refused(own: Path, capsys: pytest.CaptureFixture[str], case: str) -> None:
    name, changes, spoil, says = REFUSED[case]
    spoil()
    before = contents(own / OWN)
    assert stage(name, **changes) == 1
    error = last_error(capsys)
    assert not [part for part in says if part not in error], error
    assert contents(own / OWN) == before


def test_from_scratch_and_without_steps_the_untrained_model_is_saved(own: Path) -> None:
    give_questions()
    assert stage("encode", start_from="scratch", encoder__d_k=16, encoder__d_v=16, encoder__d_tau=2) == 0
    assert contents(own / OWN / "projection") != contents(own / START / "projection")
    assert stage("index") == 0
    assert stage("trainA", trainA__max_steps=0) == 0
    assert (own / OWN / "trainA" / "manifest.json").is_file()
    assert (own / "metrics/trainA/metrics.json").read_text(encoding="utf-8") == "{}\n"
