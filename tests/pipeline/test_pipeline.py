"""`dvc repro` in a temporary copy: it runs, runs nothing twice, re-runs no more than it must, and survives a kill."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from kblampp.data import dataset as datasets
from kblampp.encoding import encode as encoding
from kblampp.evaluation import systems
from kblampp.evaluation.table import headline
from kblampp.evidence import dump as evidence_stage
from kblampp.index import build as indexing
from kblampp.model import checkpoint as adapters
from kblampp.tuning import tune as tuning
from tests.pipeline.conftest import Bench, Produced, digest
from tests.pipeline.workspace import STAGES, run, set_params

pytestmark = pytest.mark.pipeline

STEPS = 40
LONGER = {"trainA.max_steps": STEPS, "trainA.checkpoint_every": 2, "trainA.log_every": 4}


def ran(output: str) -> list[str]:
    """The stages that `dvc repro` ran, in order."""
    return [line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage '")]


def from_json(output: str) -> Any:
    """The JSON value in what a command printed, which may warn before and after."""
    start = min(place for place in (output.find("{"), output.find("[")) if place >= 0)
    return json.JSONDecoder().raw_decode(output[start:])[0]


def declared(folder: Path, *kinds: str) -> dict[str, list[str]]:
    """Stage -> paths that dvc.yaml names under `kinds`, with the dataset filled in."""
    text = (folder / "dvc.yaml").read_text(encoding="utf-8")
    text = text.replace("${dataset}", "synth_world").replace("${start_from}", "scratch")
    return {
        name: [
            path
            for kind in kinds
            for entry in stage.get(kind, [])
            for path in ([entry] if isinstance(entry, str) else entry)
        ]
        for name, stage in yaml.safe_load(text)["stages"].items()
    }


def test_repro_runs_every_stage_and_makes_every_result(produced: Produced) -> None:
    """Each gets the parameters that it declares and no others, so none is read behind DVC's back."""
    assert sorted(ran(produced.output)) == sorted(STAGES)
    for stage, paths in declared(produced.folder, "outs", "metrics", "plots").items():
        for path in paths:
            assert (produced.folder / path).exists(), f"{stage} did not make {path}"
    assert not list((produced.folder / "store").rglob(".*.tmp"))
    assert not list((produced.folder / ".ckpt").rglob("*.pt")), "a finished training keeps no checkpoint"


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_opens_no_file_that_dvc_does_not_know_of(produced: Produced, stage: str) -> None:
    """Else an edit of the file would not re-run the stage.  Code is compared with the imports elsewhere."""
    known = ["params.yaml", "dvc.yaml", ".git", ".dvc", ".ckpt"]  # params by key; DVCLive looks at the repository
    known += declared(produced.folder, "deps", "outs", "metrics", "plots")[stage]
    if "store/backbone/manifest.json" in known:  # which names the sha256 of each of these files
        known.append("kblampp/embedded")
    strange = {
        name
        for name in produced.opened[stage]
        if not any(name == path or name.startswith(f"{path}/") for path in known)
        and not name.endswith((".py", ".pyc", ".tmp"))
        and "/." not in f"/{name}"  # what atomic writes build beside the final place
        and (produced.folder / name).exists()  # a temporary folder is removed by names that are relative to it
    }
    assert not strange


def test_metrics_and_plots_can_be_shown(produced: Produced, tmp_path: Path) -> None:
    shown = from_json(run(produced.folder, "dvc", "metrics", "show", "--json").stdout)[""]["data"]
    table = json.loads((produced.folder / "metrics/eval/table.json").read_text(encoding="utf-8"))
    assert set(shown) == {f"metrics/{stage}/metrics.json" for stage in ("eval", "transfer", "evidence")}
    assert shown["metrics/eval/metrics.json"]["data"] == headline(table, "stage_a")
    plots = run(produced.folder, "dvc", "plots", "show", "--json", "-o", str(tmp_path))
    assert plots.returncode == 0, plots.stdout
    drawn = from_json(plots.stdout)
    assert "errors" not in drawn, drawn.get("errors")
    names = {Path(name).name for name in drawn["data"]}
    assert {"em_by_type.json", "recall_by_k.json", "risk_coverage.json", "loss.tsv", "em_by_type.png"} <= names


def test_without_weights_there_is_nothing_to_tune(produced: Produced) -> None:
    """The stage says so, and both encoders are one."""
    assert digest(produced.folder / "store" / "encoder").keys() == {"manifest.json"}
    manifest = json.loads((produced.folder / "store/encoder/manifest.json").read_text(encoding="utf-8"))
    assert manifest["name"] == "deterministic"
    assert manifest["tuned"] is False
    assert json.loads((produced.folder / "metrics/tune/metrics.json").read_text(encoding="utf-8")) == {}


def test_every_split_is_measured(produced: Produced) -> None:
    table = json.loads((produced.folder / "metrics/eval/table.json").read_text(encoding="utf-8"))
    assert set(table) == {"dev", "swap", "novel"}
    for split, rows in table.items():
        expected = {"stage_a", "stage_b", "closed_book", "in_context", "rag_1", "rag_2", "lookup"}
        assert set(rows) == expected | ({"no_hop", "no_null_fact"} if split == "swap" else set())
        assert rows["stage_a"]["single_hop"]["n"] == 4
        assert rows["closed_book"]["single_hop"]["n"] == 2


def test_every_question_has_its_evidence(produced: Produced) -> None:
    for split in ("dev", "swap", "novel", "unseen"):
        asked = (produced.folder / f"data/qa/synth_world_{split}.jsonl").read_text(encoding="utf-8").splitlines()
        told = (produced.folder / f"store/synth_world/evidence/{split}.jsonl").read_text(encoding="utf-8").splitlines()
        assert [json.loads(line)["qid"] for line in told] == [json.loads(line)["qid"] for line in asked]


def test_stage_b_without_steps_passes_the_adapter_through(repository: Path) -> None:
    set_params(repository / "params.yaml", {"trainB.max_steps": 0})
    result = run(repository, "dvc", "repro", "trainB")
    assert result.returncode == 0, result.stdout
    stages = (repository / "store/synth_world" / name for name in ("trainA", "trainB"))
    first, second = ((stage / "kblampp.safetensors").read_bytes() for stage in stages)
    assert first == second
    assert not (repository / "store/synth_world/trainB/lora").exists()


def test_the_second_repro_runs_nothing(repository: Path) -> None:
    again = run(repository, "dvc", "repro")
    assert again.returncode == 0, again.stdout
    assert ran(again.stdout) == []
    assert "up to date" in again.stdout


def test_another_top_k_costs_an_evaluation_alone(repository: Path) -> None:
    before = digest(repository / "store")
    set_params(repository / "params.yaml", {"selector.top_k": 8})
    status = run(repository, "dvc", "status", "--json")
    assert set(from_json(status.stdout)) == {"eval", "transfer", "dump_evidence"}
    result = run(repository, "dvc", "repro")
    assert result.returncode == 0, result.stdout
    assert sorted(ran(result.stdout)) == ["dump_evidence", "eval", "plots", "transfer"]
    assert {k: v for k, v in digest(repository / "store").items() if "/evidence/" not in k} == {
        k: v for k, v in before.items() if "/evidence/" not in k
    }
    points = json.loads((repository / "metrics/eval/plots/recall_by_k.json").read_text(encoding="utf-8"))
    assert {point["k"] for point in points} == set(range(1, 9))


@pytest.mark.parametrize(
    "left", ["data/.qa.0a1b2c3d.tmp", "store/synth_world/.kb.0a1b2c3d.old", "metrics/.x.0a1b2c3d.tmp"]
)
def test_git_does_not_see_what_a_kill_leaves(left: str, produced: Produced) -> None:
    """A stage that is killed cannot tidy up; `git add -A` must not commit half of a result."""
    assert subprocess.run(["git", "check-ignore", "-q", left], cwd=produced.folder, check=False).returncode == 0


def train(folder: Path) -> subprocess.Popen[str]:
    """Starts the training stage by itself."""
    return subprocess.Popen(
        [sys.executable, "-m", "stages.trainA"],
        cwd=folder,
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def trained(folder: Path) -> dict[str, str]:
    """sha256 of what the training stage wrote."""
    parts = {name: digest(folder / name) for name in ("store/synth_world/trainA", "metrics/trainA")}
    return {f"{name}/{path}": sha for name, part in parts.items() for path, sha in part.items()}


def kill_at_first_checkpoint(folder: Path) -> None:
    """Runs the training stage until a checkpoint stands on the disk, and no further."""
    process = train(folder)
    try:
        deadline = time.monotonic() + 900
        while not list((folder / ".ckpt").rglob("state.pt")):
            assert process.poll() is None, process.communicate()[0]
            assert time.monotonic() < deadline, "no checkpoint in a quarter of an hour"
            time.sleep(0.05)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == -signal.SIGKILL, "the training ended before it was killed"


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs a signal that cannot be caught")
def test_a_killed_training_goes_on_and_ends_as_an_uninterrupted_one(produced: Produced, tmp_path: Path) -> None:
    folders = [Path(shutil.copytree(produced.folder, tmp_path / name)) for name in ("whole", "killed")]
    for folder in folders:
        set_params(folder / "params.yaml", LONGER)
        shutil.rmtree(folder / "store/synth_world/trainA")
        shutil.rmtree(folder / "metrics/trainA")
    whole, killed = folders

    kill_at_first_checkpoint(killed)
    assert not [path for path in (killed / "store/synth_world").rglob("*") if "trainA" in path.as_posix()]

    resumed = train(killed)
    log = resumed.communicate()[0]
    assert resumed.returncode == 0, log
    steps = [
        int(line.split("resuming at step ")[1].split()[0]) for line in log.splitlines() if "resuming at step" in line
    ]
    assert len(steps) == 1, log
    assert 0 < steps[0] < STEPS
    assert not list((killed / ".ckpt").rglob("state.pt"))

    uninterrupted = train(whole)
    log = uninterrupted.communicate()[0]
    assert uninterrupted.returncode == 0, log
    assert "resuming" not in log
    assert "store/synth_world/trainA/kblampp.safetensors" in trained(whole)
    assert trained(killed) == trained(whole)


def on_call(number: int, function: Callable[..., Any], error: BaseException) -> Callable[..., Any]:
    """The function, which raises instead when it is called for the `number`-th time."""
    calls = iter(range(1, 1_000_000))

    def called(*args: Any, **kwargs: Any) -> Any:
        if next(calls) == number:
            raise error
        return function(*args, **kwargs)

    return called


LATE: dict[str, tuple[Any, str, int]] = {
    "generate": (datasets.DatasetWriter, "add_question", 100),
    "tune": (tuning, "write_manifest", 1),
    "encode": (encoding, "assemble_store", 2),
    "index": (indexing.KnowledgeIndex, "save", 2),
    "trainA": (adapters, "write_manifest", 1),
    "eval": (systems, "answer_in_context", 3),
    "dump_evidence": (evidence_stage, "write_jsonl", 2),
}
"""Stage -> what it calls when part of its result is made already, and at which call it is stopped."""


@pytest.mark.parametrize("stage", LATE)
def test_an_interrupted_stage_leaves_its_former_result(
    stage: str, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner, name, call = LATE[stage]
    monkeypatch.setattr(owner, name, on_call(call, getattr(owner, name), KeyboardInterrupt()))
    before = results(bench.folder)
    status, stderr = bench.run(stage)
    assert status == 130, stderr
    assert stderr.splitlines()[-1] == "interrupted"
    assert results(bench.folder) == before


def results(folder: Path) -> dict[str, str]:
    """sha256 of every file but those from which stopped work goes on: checkpoints, and what `encode` has so far."""
    return {
        name: sha for name, sha in digest(folder).items() if not name.startswith(".ckpt") and "/.encode.tmp" not in name
    }
