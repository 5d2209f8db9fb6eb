"""An experiment's results are read from the commit that it has left; a failure says which command failed."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from kblampp.core.errors import DataError
from kblampp.experiments import dvc_runs as experiments
from kblampp.experiments.dvc_runs import file_of, run_experiment


def git(*arguments: str) -> str:
    names = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    return subprocess.run(["git", *names, *arguments], check=True, capture_output=True, text=True).stdout.strip()


def commit(text: str) -> str:
    """A commit in which `metrics/table.json` says this."""
    Path("metrics").mkdir(exist_ok=True)
    Path("metrics/table.json").write_text(text, encoding="utf-8")
    git("add", "-A")
    git("commit", "-q", "--allow-empty", "-m", text)
    return git("rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with the results of two experiments, one's name the end of the other's."""
    monkeypatch.chdir(tmp_path)
    git("init", "-q")
    for name in ("sweep-real-1", "real-1"):
        git("update-ref", f"refs/exps/ab/cdef/{name}", commit(f'"{name}"'))
    commit('"later"')
    return tmp_path


@pytest.mark.usefixtures("repository")
def test_a_file_is_the_experiments_own() -> None:
    for name in ("sweep-real-1", "real-1"):
        assert file_of(name, "metrics/table.json") == f'"{name}"'


@pytest.mark.usefixtures("repository")
def test_an_experiment_that_left_nothing_is_an_error() -> None:
    with pytest.raises(DataError, match="experiment real-2 has left no result"):
        file_of("real-2", "metrics/table.json")


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The DVC commands, which all fail."""
    seen: list[list[str]] = []

    def run(command: list[str], **options: object) -> subprocess.CompletedProcess[str]:
        seen.append(command[command.index("dvc") + 1 :])
        return subprocess.CompletedProcess(command, 7)

    monkeypatch.setattr(experiments.subprocess, "run", run)
    return seen


def test_an_older_one_may_be_missing_but_a_run_may_not_fail(commands: list[list[str]]) -> None:
    changes = {"seed": 3, "eval.adapter": "trainA"}
    with pytest.raises(DataError, match=r"`dvc exp run --temp --name one .*` failed with status 7"):
        run_experiment("one", changes, copy=["data/raw/x", "data/y"], target="trainA")
    copied = ["--copy-paths", "data/raw/x", "--copy-paths", "data/y"]
    settings = ["-S", "seed=3", "-S", "eval.adapter=trainA"]
    assert commands == [
        ["exp", "remove", "one"],
        ["exp", "run", "--temp", "--name", "one", *copied, *settings, "trainA"],
    ]
