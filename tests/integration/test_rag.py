"""Trained RAG from the command: what is written, that a killed run ends the same, and what its errors say."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from kblampp.core.files import read_json
from kblampp.core.params_file import load_params
from kblampp.experiments import train_rag as program
from kblampp.model.workspace import open_backbone
from kblampp.rag.adapter import load_rag
from kblampp.rag.prompts import PromptStyle
from kblampp.rag.training import Recipe, train_rag
from tests.integration.conftest import NAME, last_error, working_in

PATHS = {"data": Path("data"), "store": Path("store"), "checkpoints": Path(".ckpt")}
RECIPE = Recipe(
    PromptStyle.parse("plain"), 1, rank=2, alpha=4.0, targets="auto", lr=0.01, steps=5, batch_size=4, checkpoint_every=2
)


class Killed(BaseException):
    """Stands in for a signal."""


def run(out: str, after_step: Callable[[int], None] | None = None) -> bytes:
    with working_in(Path.cwd()):
        params = load_params()
        torch.set_num_threads(params.threads)
        train_rag(params, RECIPE, out=Path(out), after_step=after_step, **PATHS)
    return (Path(out) / "lora" / "adapter_model.safetensors").read_bytes()


def test_a_killed_run_goes_on_and_ends_with_the_same_weights(bench: Path) -> None:
    whole = run("whole")
    steps: list[int] = []

    def kill(step: int) -> None:
        if step == 3:
            raise Killed

    with pytest.raises(Killed):
        run("again", kill)
    assert not Path("again").exists()
    assert run("again", steps.append) == whole
    assert steps == [3, 4, 5]
    assert not list(Path(".ckpt/rag").rglob("*.pt"))


def test_the_program_writes_what_was_trained_and_asks_unseen(bench: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--batch", "4", "--facts", "2", "--style", "examples + fields", "--dev", "1"]
    with working_in(bench):
        assert program.main(["--steps", "2", *options]) == 0
    out = capsys.readouterr().out
    assert re.match(rf"2 steps of 4 questions in \d+ s, written to store/{NAME}/rag\n", out)
    assert " questions of unseen right (" in out
    manifest = read_json(bench / "store" / NAME / "rag" / "manifest.json")
    assert (manifest["style"], manifest["facts"], manifest["steps"], manifest["questions"]) == (
        "examples + fields",
        2,
        2,
        8,
    )
    assert manifest["backbone"]["name"] == "tiny_backbone"
    adapter = load_rag(bench / "store" / NAME / "rag", open_backbone(load_params(), Path("store")))
    assert (adapter.facts, adapter.steps, adapter.seconds) == (2, 2, manifest["seconds"])


def test_bad_input_is_told_in_one_line_and_nothing_is_written(bench: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for options, named in ((["--style", "colours"], "'colours' is no prompt style"), (["--lr", "0"], "lr is 0.0")):
        with working_in(bench):
            assert program.main(["--steps", "1", *options]) == 1
        assert named in last_error(capsys)
    for options in ([], ["--steps", "1", "--minutes", "1"]):
        with pytest.raises(SystemExit):
            program.main(options)
    assert not (bench / "store" / NAME / "rag").exists()
