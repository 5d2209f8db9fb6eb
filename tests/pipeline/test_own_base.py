"""Someone's own facts, as docs/own-knowledge-base.md says: converted, asked, and the experiment put back."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.pipeline.conftest import digest
from tests.pipeline.test_pipeline import from_json, ran
from tests.pipeline.workspace import ROOT, run

pytestmark = pytest.mark.pipeline

EXAMPLE = ROOT / "docs" / "examples" / "own-kb"
QUESTION = "Who was the director of the Harrowgate Museum in 2001?"


def git(folder: Path, *command: str) -> None:
    identity = ("-c", "user.name=test", "-c", "user.email=test@example.invalid")
    subprocess.run(["git", *identity, *command], cwd=folder, check=True, stdin=subprocess.DEVNULL)


def test_own_facts_are_asked_and_the_experiment_comes_back(repository: Path) -> None:
    git(repository, "add", "-A")
    git(repository, "commit", "-qm", "results")
    before = digest(repository / "data" / "qa")
    shutil.copy(EXAMPLE / "facts.csv", repository / "data/raw/custom")

    own = ("-S", "dataset=custom", "-S", "start_from=synth_world")
    result = run(repository, "dvc", "exp", "run", *own, "index", "backbone")
    assert result.returncode == 0, result.stdout
    assert ran(result.stdout) == ["generate", "encode", "index"]
    projections = [digest(repository / "store" / name / "projection") for name in ("synth_world", "custom")]
    assert projections[0] == projections[1]

    asked = run(repository, "kblampp.ask", "--json", QUESTION)
    assert asked.returncode == 0, asked.stdout
    reply = json.loads(asked.stdout.splitlines()[-1])  # after the progress
    assert reply["question"] == QUESTION
    assert reply["time"]["start"] == "2001-01-01"
    assert {fact["head"] for fact in reply["facts"]} <= {"Harrowgate Museum", "Larkspur Instruments", *PEOPLE}

    git(repository, "reset", "-q", "--hard")
    assert run(repository, "dvc", "checkout").returncode == 0
    assert digest(repository / "data" / "qa") == before
    assert from_json(run(repository, "dvc", "status", "--json").stdout) == {}


PEOPLE = ("Ansel Whitcombe", "Odile Brennan", "Tomas Iveland")


def test_own_questions_are_measured_with_the_start_passed_through(repository: Path) -> None:
    """Without a training question: both trainings hand on what the other dataset has learnt."""
    for path in EXAMPLE.iterdir():
        shutil.copy(path, repository / "data/raw/custom")
    changes = {"dataset": "custom", "start_from": "synth_world", "trainA.max_steps": 0, "trainB.max_steps": 0}
    changes |= {"selector.top_k": 8, "eval.adapter": "trainA"}
    changes |= {"eval.baseline_questions_per_type": 0, "eval.questions_per_type": 1, "eval.ablations": "none"}
    settings = [part for key, value in changes.items() for part in ("-S", f"{key}={value}")]
    git(repository, "add", "-A")
    git(repository, "commit", "-qm", "results")
    result = run(repository, "dvc", "exp", "run", *settings, "eval")
    assert result.returncode == 0, result.stdout
    table = json.loads((repository / "metrics/eval/table.json").read_text(encoding="utf-8"))
    assert set(table) == {"test"}
    assert table["test"]["stage_a"]["all"]["n"] == 4
