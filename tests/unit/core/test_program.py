"""A stage ends with a status and one line, whatever happens in it."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from kblampp.core.errors import DataError
from kblampp.core.params import Params, load_params
from kblampp.core.program import run_stage

REPOSITORY = Path(__file__).parents[3]
ARGV = ["--params", str(REPOSITORY / "params.yaml")]


@pytest.fixture(autouse=True)
def _same_surroundings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Threads and generators are global: other tests must find them as they were."""
    monkeypatch.delenv("KBLAMPP_STRICT_PARAMS", raising=False)
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
    capsys: pytest.CaptureFixture[str],
) -> None:
    seen: list[str] = []
    assert run_stage("encode", ["dataset"], lambda params: seen.append(params.dataset), ARGV) == 0
    assert seen == ["synth_world"]
    assert capsys.readouterr().out == ""


def test_package_error_is_one_line_and_status_one(capsys: pytest.CaptureFixture[str]) -> None:
    def fail(params: Params) -> None:
        raise DataError("facts.jsonl line 3:\ntail is missing")

    assert run_stage("encode", [], fail, ARGV) == 1
    assert capsys.readouterr().err == "error: facts.jsonl line 3: tail is missing\n"


def test_undeclared_parameter_stops_the_stage(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_stage("encode", [], read_seed, ARGV) == 1
    assert "undeclared parameter 'seed'" in capsys.readouterr().err


def test_missing_parameters_stop_the_stage_before_its_work(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    called: list[Params] = []
    assert run_stage("encode", [], called.append, ["--params", str(tmp_path / "none.yaml")]) == 1
    assert called == []
    assert "none.yaml" in capsys.readouterr().err


def test_interrupt_is_130() -> None:
    def interrupt(params: Params) -> None:
        raise KeyboardInterrupt

    assert run_stage("encode", [], interrupt, ARGV) == 130


def test_defects_keep_their_traceback() -> None:
    def fail(params: Params) -> None:
        raise ZeroDivisionError("a defect")

    with pytest.raises(ZeroDivisionError):
        run_stage("encode", [], fail, ARGV)


def test_strict_mode_refuses_what_is_declared_and_not_read(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    reads = ["dataset", "selector.top_k"]

    def read_dataset(params: Params) -> None:
        assert params.dataset

    assert run_stage("encode", reads, read_dataset, ARGV) == 0
    monkeypatch.setenv("KBLAMPP_STRICT_PARAMS", "1")
    assert run_stage("encode", reads, read_dataset, ARGV) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert "selector.top_k" in error
    assert "dataset" not in error


def test_seed_and_threads_are_set_when_declared() -> None:
    import torch

    def draw(params: Params) -> None:
        draws.append((random.random(), float(np.random.rand()), float(torch.rand(()))))

    draws: list[tuple[float, float, float]] = []
    wanted = load_params(Path(ARGV[1])).threads
    torch.set_num_threads(wanted + 1)
    for reads in (["seed"], ["seed"], []):
        assert run_stage("encode", reads, draw, ARGV) == 0
    assert draws[0] == draws[1]
    assert all(first != third for first, third in zip(draws[0], draws[2], strict=True))
    assert torch.get_num_threads() == wanted + 1
    assert run_stage("encode", ["threads"], nothing, ARGV) == 0
    assert torch.get_num_threads() == wanted


def test_help_tells_what_the_stage_does(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        run_stage("encode", [], nothing, ["--help"])
    assert caught.value.code == 0
    out = capsys.readouterr().out
    assert "Does nothing at all." in out
    assert "--params" in out


def test_as_a_program_it_logs_to_stderr_and_imports_no_torch(tmp_path: Path) -> None:
    script = tmp_path / "encode.py"
    script.write_text(
        "import logging, sys\n"
        "from kblampp.stage import run_stage\n"
        "def main(params):\n"
        "    logging.getLogger('kblampp.kb_store').info('17 facts')\n"
        "    logging.getLogger('httpx').info('a request')\n"
        "    print('torch' in sys.modules)\n"
        "raise SystemExit(run_stage('encode', [], main))\n"
    )
    done = subprocess.run(
        [sys.executable, str(script), *ARGV],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )
    assert done.stdout == "False\n"
    assert "kblampp.kb_store: 17 facts" in done.stderr
    assert "a request" not in done.stderr
