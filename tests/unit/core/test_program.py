"""A stage ends with a status and one line, whatever happens in it."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from kblampp.core.errors import DataError
from kblampp.core.params import Params
from kblampp.core.params_file import load_params
from kblampp.core.program import run_stage

REPOSITORY = Path(__file__).parents[3]


@pytest.fixture
def argv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The repository's parameters beside a dvc.yaml whose stage `encode` declares two of them."""
    shutil.copy(REPOSITORY / "params.yaml", tmp_path)
    declare(tmp_path, "dataset", "selector")
    monkeypatch.chdir(tmp_path)
    return ["--params", str(tmp_path / "params.yaml")]


def declare(folder: Path, *params: str) -> None:
    """Writes a dvc.yaml with one stage."""
    stages = {"encode": {"cmd": "python -m stages.encode", "params": list(params)}}
    (folder / "dvc.yaml").write_text(json.dumps({"stages": stages}), encoding="utf-8")


@pytest.fixture(autouse=True)
def _same_surroundings() -> Iterator[None]:
    """Threads and generators are global: other tests must find them as they were."""
    import torch

    before = torch.get_num_threads(), torch.get_rng_state(), np.random.get_state()
    before_python = random.getstate()
    yield
    torch.set_num_threads(before[0])
    torch.set_rng_state(before[1])
    np.random.set_state(before[2])
    random.setstate(before_python)


def nothing(params: Params) -> None:
    """Does nothing at all."""


def read_seed(params: Params) -> None:
    assert params.seed >= 0


def test_success_is_zero_and_hands_over_the_parameters(
    argv: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    seen: list[str] = []
    assert run_stage("encode", lambda params: seen.append(params.dataset), argv) == 0
    assert seen == ["synth_world"]
    assert capsys.readouterr().out == ""


def test_package_error_is_one_line_and_status_one(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    def fail(params: Params) -> None:
        raise DataError("facts.jsonl line 3:\ntail is missing")

    assert run_stage("encode", fail, argv) == 1
    assert capsys.readouterr().err == "error: facts.jsonl line 3: tail is missing\n"


def test_what_no_file_depends_on_is_handed_over_without_a_declaration(argv: list[str]) -> None:
    seen: list[str] = []
    assert run_stage("encode", lambda params: seen.append(params.encode.engine), argv, beside=["encode"]) == 0
    assert seen == ["local"]


def test_undeclared_parameter_stops_the_stage(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run_stage("encode", read_seed, argv) == 1
    assert "seed is read, but not declared" in capsys.readouterr().err


def test_missing_parameters_stop_the_stage_before_its_work(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    called: list[Params] = []
    assert run_stage("encode", called.append, ["--params", "none.yaml"]) == 1
    assert called == []
    assert "none.yaml" in capsys.readouterr().err


def test_interrupt_is_130(argv: list[str]) -> None:
    def interrupt(params: Params) -> None:
        raise KeyboardInterrupt

    assert run_stage("encode", interrupt, argv) == 130


def test_defects_keep_their_traceback(argv: list[str]) -> None:
    def fail(params: Params) -> None:
        raise ZeroDivisionError("a defect")

    with pytest.raises(ZeroDivisionError):
        run_stage("encode", fail, argv)


@pytest.mark.parametrize("stages", [{}, {"index": {"params": []}}])
def test_a_stage_that_dvc_does_not_know_of_stops(
    stages: dict[str, object], argv: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "dvc.yaml").write_text(json.dumps({"stages": stages}), encoding="utf-8")
    assert run_stage("encode", nothing, argv) == 1
    assert "dvc.yaml has no stage encode" in capsys.readouterr().err


def test_seed_and_threads_are_set_when_declared(argv: list[str], tmp_path: Path) -> None:
    import torch

    def draw(params: Params) -> None:
        draws.append((random.random(), float(np.random.rand()), float(torch.rand(()))))

    draws: list[tuple[float, float, float]] = []
    wanted = load_params(tmp_path / "params.yaml").threads
    torch.set_num_threads(wanted + 1)
    for declared in (["seed"], ["seed"], []):
        declare(tmp_path, *declared)
        assert run_stage("encode", draw, argv) == 0
    assert draws[0] == draws[1]
    assert all(first != third for first, third in zip(draws[0], draws[2], strict=True))
    assert torch.get_num_threads() == wanted + 1
    declare(tmp_path, "threads")
    assert run_stage("encode", nothing, argv) == 0
    assert torch.get_num_threads() == wanted


def test_help_tells_what_the_stage_does(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        run_stage("encode", nothing, ["--help"])
    assert caught.value.code == 0
    out = capsys.readouterr().out
    assert "Does nothing at all." in out
    assert "--params" in out


def test_as_a_program_it_logs_to_stderr_and_imports_no_torch(argv: list[str], tmp_path: Path) -> None:
    script = tmp_path / "encode.py"
    script.write_text(
        "import logging, sys\n"
        "from kblampp.core.program import run_stage\n"
        "def main(params):\n"
        "    logging.getLogger('kblampp.encoding.store').info('17 facts')\n"
        "    logging.getLogger('httpx').info('a request')\n"
        "    print('torch' in sys.modules)\n"
        "raise SystemExit(run_stage('encode', main))\n"
    )
    done = subprocess.run(
        [sys.executable, str(script), *argv],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )
    assert done.stdout == "False\n"
    assert "kblampp.encoding.store: 17 facts" in done.stderr
    assert "a request" not in done.stderr


def test_an_experiment_of_a_clone_without_an_author_is_warned_of(
    argv: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """DVC commits when it stashes changed files, and fails then: after the first experiment, which worked."""
    for name in list(os.environ):
        if name.startswith("GIT_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    assert run_stage("encode", nothing, argv) == 0
    assert "who you are" not in caplog.text
    monkeypatch.setenv("DVC_EXP_BASELINE_REV", "0" * 40)
    assert run_stage("encode", nothing, argv) == 0
    assert "git config user.name" in caplog.text
    caplog.clear()
    for key in ("user.name", "user.email"):
        subprocess.run(["git", "-C", str(tmp_path), "config", key, "someone"], check=True)
    assert run_stage("encode", nothing, argv) == 0
    assert "who you are" not in caplog.text
