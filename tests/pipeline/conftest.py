"""One run of the whole pipeline on tiny parameters, which all tests of this folder share."""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from kblampp.core.program import run_stage
from tests.pipeline.workspace import ROOT, TINY, copy_repository, run

LEAVES = shutil.ignore_patterns(".git", ".dvc", "kblampp", "stages", "tests", "docs", "__pycache__")
"""What a stage that is called in this process does not need in its folder."""

RECORDER = """
import os, sys

script = " ".join(sys.orig_argv)
if "-m stages." in script and os.environ.get("OPENED_FILES"):
    stage = script.split("-m stages.")[1].split()[0]

    def record(event, arguments):
        if event == "open" and isinstance(arguments[0], str) and not (arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR):
            with os.fdopen(os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT), "w") as file:
                file.write(f"{stage} {os.path.abspath(arguments[0])}\\n")

    log = os.environ["OPENED_FILES"]
    sys.addaudithook(record)
"""
"""A `sitecustomize` that notes which files a stage opens for reading."""


@dataclass(frozen=True)
class Produced:
    """A copy of the repository in which the pipeline has run.

    Attributes:
        folder: The copy.
        output: What `dvc repro` printed.
        opened: Stage -> files inside the copy that it opened for reading, relative to it.
    """

    folder: Path
    output: str
    opened: Mapping[str, set[str]]


@pytest.fixture(scope="session")
def produced(tmp_path_factory: pytest.TempPathFactory) -> Produced:
    """Runs the pipeline once.  Treat the folder as read-only: tests that change something copy it."""
    weights = ROOT / "kblampp" / "embedded" / "model.safetensors"
    assert weights.is_file(), "kblampp/embedded holds no weights, and the pipeline needs them: run `make pretrain`"
    base = tmp_path_factory.mktemp("pipeline")
    folder, hooks, log = base / "repository", base / "hooks", base / "opened.txt"
    hooks.mkdir()
    (hooks / "sitecustomize.py").write_text(RECORDER, encoding="utf-8")
    copy_repository(folder, TINY)
    path = f"{hooks}{os.pathsep}{folder}"
    result = run(folder, "dvc", "repro", env={"PYTHONPATH": path, "OPENED_FILES": str(log)})
    assert result.returncode == 0, result.stdout
    return Produced(folder, result.stdout, opened_files(log, folder))


def opened_files(log: Path, folder: Path) -> dict[str, set[str]]:
    """Reads the recorder's log."""
    opened: dict[str, set[str]] = {}
    for line in log.read_text(encoding="utf-8").splitlines():
        stage, name = line.split(" ", 1)
        files = opened.setdefault(stage, set())
        if Path(name).is_relative_to(folder):
            files.add(Path(name).relative_to(folder).as_posix())
    return opened


@pytest.fixture
def repository(produced: Produced, tmp_path: Path) -> Path:
    """A whole copy, with git and DVC's cache, that a test may change."""
    return Path(shutil.copytree(produced.folder, tmp_path / "repository", symlinks=True))


def digest(folder: Path) -> dict[str, str]:
    """sha256 of every file below a folder, and every folder, by relative path."""
    return {
        path.relative_to(folder).as_posix(): "folder"
        if path.is_dir()
        else hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
    }


class Bench:
    """Parameters, data, stores and metrics of the produced run, in a folder of their own, to be spoilt."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self._capsys = capsys

    @property
    def store(self) -> Path:
        """`store/<dataset>`."""
        return self.folder / "store" / "synth_world"

    def edit_json(self, file: str, /, **changes: Any) -> None:
        """Changes top-level keys of a JSON file."""
        path = self.folder / file
        path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **changes}), encoding="utf-8")

    def edit_line(self, name: str, number: int, line: str) -> None:
        """Puts another line in the place of one, counted from 1."""
        path = self.folder / name
        lines = path.read_text(encoding="utf-8").splitlines()
        lines[number - 1] = line
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")

    def edit_row(self, file: str, number: int, /, **changes: Any) -> None:
        """Changes fields of a row of a JSONL file."""
        row = json.loads((self.folder / file).read_text(encoding="utf-8").splitlines()[number - 1])
        self.edit_line(file, number, json.dumps({**row, **changes}))

    def run(self, stage: str) -> tuple[int, str]:
        """Runs a stage in this process, which has torch loaded; returns its status and what it said on stderr."""
        script = importlib.import_module(f"stages.{stage}")
        self._capsys.readouterr()
        status = run_stage(stage, script.main, [], beside=getattr(script, "BESIDE", ()))
        return status, self._capsys.readouterr().err

    def refuses(self, stage: str, *says: str) -> None:
        """Checks that a stage ends with one clear line, which says all of `says`, and leaves every file as it was."""
        before = digest(self.folder)
        status, stderr = self.run(stage)
        check_refusal(status, stderr, *says)
        assert digest(self.folder) == before


def check_refusal(status: int, stderr: str, *says: str) -> None:
    """Checks the status and the last line of a stage that met bad input."""
    assert status == 1, stderr
    assert "Traceback" not in stderr
    lines = stderr.splitlines()
    assert [line for line in lines if line.startswith("error: ")] == lines[-1:], stderr
    lost = [part for part in says if part not in lines[-1]]
    assert not lost, f"{lines[-1]!r} does not say {lost}"


@pytest.fixture
def bench(
    produced: Produced, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Bench]:
    """A bench that is the working directory; torch's threads are put back at the end."""
    folder = Path(shutil.copytree(produced.folder, tmp_path / "bench", ignore=LEAVES))
    monkeypatch.chdir(folder)
    threads = torch.get_num_threads()
    yield Bench(folder, capsys)
    torch.set_num_threads(threads)
