"""Experiments of a small real repository: what one has left is read by its name, and a failed one says so."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from kblampp.core.errors import DataError
from kblampp.experiments.dvc_runs import file_of, run_experiment

STAGE = {
    "cmd": f'"{sys.executable}" work.py',
    "deps": ["work.py", "raw/facts.txt"],
    "params": ["value"],
    "outs": [{"metrics/table.json": {"cache": False}}, "cached.txt"],
}
WORK = """
import json, pathlib, sys, yaml

value = yaml.safe_load(pathlib.Path("params.yaml").read_text())["value"]
if value < 0:
    sys.exit("the value is negative")
pathlib.Path("metrics").mkdir(exist_ok=True)
facts = pathlib.Path("raw/facts.txt").read_text()
pathlib.Path("metrics/table.json").write_text(json.dumps([value, facts]))
pathlib.Path("cached.txt").write_text(f"\u03b3 = {value}", encoding="utf-8")
"""


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A DVC repository with one stage, which reads a file that git does not know, and two experiments."""
    folder = tmp_path_factory.mktemp("repository")
    (folder / "raw").mkdir()
    files = {
        "work.py": WORK,
        "params.yaml": "value: 1\n",
        "dvc.yaml": yaml.safe_dump({"stages": {"only": STAGE}}),
        "raw/facts.txt": "facts",
        ".gitignore": "/raw\n",
    }
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    for command in (
        ["git", "init", "-q", "-b", "main"],
        ["git", "config", "user.name", "test"],
        ["git", "config", "user.email", "test@example.invalid"],
        ["git", "config", "commit.gpgsign", "false"],
        [sys.executable, "-m", "dvc", "init", "-q"],
        ["git", "add", "-A"],
        ["git", "commit", "-qm", "base"],
    ):
        subprocess.run(command, cwd=folder, check=True, capture_output=True, stdin=subprocess.DEVNULL)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        # One's name is the end of the other's, and the second of a name takes the place of the first.
        for name, value in (("real-1", 2), ("sweep-real-1", 4), ("real-1", 3)):
            run_experiment(name, {"value": value}, copy=["raw"], target="only")
    return folder


@pytest.fixture(autouse=True)
def inside(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs that run experiments run in the repository."""
    monkeypatch.chdir(repository)


@pytest.mark.parametrize(("name", "value"), [("real-1", 3), ("sweep-real-1", 4)])
def test_what_an_experiment_has_left_is_read_by_its_name(name: str, value: int) -> None:
    assert json.loads(file_of(name, "metrics/table.json")) == [value, "facts"]
    assert yaml.safe_load(file_of(name, "params.yaml")) == {"value": value}
    assert file_of(name, "cached.txt") == f"γ = {value}"
    assert "only" in yaml.safe_load(file_of(name, "dvc.lock"))["stages"]


def test_the_workspace_stays_as_it_is(repository: Path) -> None:
    status = subprocess.run(["git", "status", "--porcelain"], check=True, capture_output=True, text=True).stdout
    assert status == ""
    assert not (repository / "metrics").exists()


@pytest.mark.parametrize(("name", "path"), [("real-2", "metrics/table.json"), ("real-1", "metrics/other.json")])
def test_what_is_not_there_is_an_error_that_names_it(name: str, path: str) -> None:
    with pytest.raises(DataError, match=rf"{name} has left no {path}.*dvc exp remove {name}"):
        file_of(name, path)


def test_a_run_that_fails_is_an_error_that_names_the_command() -> None:
    with pytest.raises(DataError, match=r"`dvc exp run .*--name real-4 .*value=-1.*` failed with status"):
        run_experiment("real-4", {"value": -1}, copy=["raw"], target="only")
    with pytest.raises(DataError, match="real-4 has left no"):
        file_of("real-4", "metrics/table.json")
