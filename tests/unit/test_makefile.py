"""`make -n` prints the commands and runs none, and every target has its plain commands in the documents."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.house import ROOT

MAKEFILE = ROOT / "Makefile"
TARGETS = re.findall(r"^([a-z]+):.*## ", MAKEFILE.read_text(encoding="utf-8"), re.MULTILINE)
WITHOUT_MAKE = ROOT / "docs" / "troubleshooting.md"
PROGRAMS = ("dvc", "python", "python3", "ruff", "mypy")

needs_make = pytest.mark.skipif(shutil.which("make") is None, reason="there is no make here")


def state(root: Path) -> dict[str, int]:
    """Path -> time of the last change, of every file."""
    return {path.relative_to(root).as_posix(): path.stat().st_mtime_ns for path in root.rglob("*")}


@needs_make
@pytest.mark.parametrize("ready", [False, True], ids=["without an environment", "with one"])
def test_a_dry_run_of_any_target_prints_its_commands_and_runs_none(ready: bool, tmp_path: Path) -> None:
    """In a copy of the files that make looks at, with programs that leave a mark when they are run."""
    root, mark = tmp_path / "repository", tmp_path / "mark"
    programs = root / ".venv" / "bin"
    programs.mkdir(parents=True)
    for name in ("Makefile", "requirements.txt", "pyproject.toml"):
        shutil.copy2(ROOT / name, root / name)
    for name in PROGRAMS:
        (programs / name).write_text(f"#!/bin/sh\necho {name} >> '{mark}'\n", encoding="utf-8")
        (programs / name).chmod(0o755)
    if ready:
        (root / ".venv" / ".ready").touch()
    before = state(root)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    environment["PATH"] = f"{programs}{os.pathsep}{environment['PATH']}"
    for target in TARGETS:
        shown = subprocess.run(
            ["make", "-n", target], cwd=root, env=environment, capture_output=True, encoding="utf-8", check=True
        )
        assert shown.stdout.strip(), target
        assert not mark.exists(), f"make -n {target} ran {mark.read_text(encoding='utf-8')}"
        assert state(root) == before, target
        if target == "repro":
            assert "dvc repro" in shown.stdout
    # The programs would have left their mark: without -n they do.
    if ready:
        subprocess.run(["make", "results"], cwd=root, env=environment, capture_output=True, check=True)
        assert mark.read_text(encoding="utf-8").split() == ["dvc", "dvc", "python"]


def test_every_target_that_runs_something_has_its_plain_commands_in_the_documents() -> None:
    text = WITHOUT_MAKE.read_text(encoding="utf-8")
    missing = [name for name in TARGETS if f"`make {name}`" not in text and name not in ("help", "clean")]
    assert len(TARGETS) > 10
    assert not missing, f"{WITHOUT_MAKE.name} lacks {missing}"
