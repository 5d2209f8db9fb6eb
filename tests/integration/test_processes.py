"""Several processes train as one does, resume each other's runs, and end together."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from tests.integration.conftest import NAME, stage
from tests.launched import free_port, launch
from tests.pipeline.workspace import ROOT, set_params

CHANGES = {"trainA__max_steps": 6, "trainA__batch_size": 7, "trainA__log_every": 1, "trainA__grad_accumulation": 2}
CHANGES |= {"trainA__checkpoint_every": 2}
"""Batches that two processes cannot share equally."""


@pytest.fixture
def bench(bench: Path) -> Path:
    """A copy of the prepared folder that is the working directory, its adapter away, with the parameters changed."""
    shutil.rmtree(bench / "store" / NAME / "trainA")
    set_params(Path("params.yaml"), {key.replace("__", "."): value for key, value in CHANGES.items()})
    return bench


@pytest.fixture(scope="module")
def alone(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Tensor], dict[str, list[float]]]:
    """Weights and curves of one process."""
    folder = Path(shutil.copytree(prepared, tmp_path_factory.mktemp("one") / "bench"))
    former = Path.cwd()
    os.chdir(folder)
    try:
        assert stage("trainA", **CHANGES) == 0
    finally:
        os.chdir(former)
    return weights(folder), curves(folder)


def weights(folder: Path) -> dict[str, Tensor]:
    (file,) = (folder / "store" / NAME / "trainA").glob("*.safetensors")
    return load_file(file)


def curves(folder: Path) -> dict[str, list[float]]:
    found = {}
    for path in sorted((folder / "metrics" / "trainA" / "plots" / "metrics" / "train").glob("*.tsv")):
        with path.open(encoding="utf-8", newline="") as file:
            found[path.stem] = [float(row[path.stem]) for row in csv.DictReader(file, delimiter="\t")]
    return found


def assert_as_alone(folder: Path, alone: tuple[dict[str, Tensor], dict[str, list[float]]]) -> None:
    expected, figures = alone
    found = curves(folder)
    assert found.keys() == figures.keys()
    for name, values in figures.items():
        assert found[name] == pytest.approx(values, rel=2e-5, abs=1e-6), name
    trained = weights(folder)
    assert trained.keys() == expected.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(trained[name], tensor, rtol=1e-3, atol=1e-5, msg=name)


def test_two_processes_train_as_one(bench: Path, alone: tuple[dict[str, Tensor], dict[str, list[float]]]) -> None:
    """By `accelerate launch` as the documents say."""
    command = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"]
    command += ["--main_process_port", str(free_port()), "-m", "stages.trainA"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("trainA: done") == 1  # the second is silent
    assert_as_alone(bench, alone)
    assert not list((bench / ".ckpt").rglob("state.pt"))


def test_two_processes_go_on_where_one_was_stopped_and_one_where_two_were(
    bench: Path, alone: tuple[dict[str, Tensor], dict[str, list[float]]]
) -> None:
    (status, told), *_ = launch(bench, "tests.launched", "train", "2", n=1)
    assert status == 1
    assert "stopped after step 2" in told
    statuses, tellings = zip(*launch(bench, "tests.launched", "train", "4"), strict=True)
    assert statuses == (1, 1)
    assert "".join(tellings).count("error: stopped after step 4") == 1
    assert "resuming at step 2" in tellings[0]
    assert stage("trainA") == 0
    assert_as_alone(bench, alone)


@pytest.mark.parametrize(
    ("what", "sentence"),
    [
        ("fail", "the second has failed"),
        ("end", "another process has ended"),
        ("differ", "process 1 does not begin as process 0 does"),
        ("alone", "stage index runs in one process, but 2 were started"),
    ],
)
def test_an_error_of_one_process_ends_all_with_one_sentence(bench: Path, what: str, sentence: str) -> None:
    statuses, tellings = zip(*launch(bench, "tests.launched", what), strict=True)
    assert 0 not in statuses
    lines = [line for text in tellings for line in text.splitlines()]
    errors = [line for line in lines if line.startswith("error: ")]
    assert len(errors) == 1
    assert errors[0].startswith(f"error: {sentence}")
    assert not any("Traceback" in line for line in lines)
