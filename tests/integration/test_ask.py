"""Questions to a trained model: answer, time and facts come out, or one line says what is missing."""

from __future__ import annotations

import datetime
import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kblampp import ask
from tests.integration.conftest import last_error, stage, working_in
from tests.pipeline.workspace import set_params

IN_2001 = "Who was the director of the Harrowgate Museum in 2001?"
FOUNDER = "Who founded the Harrowgate Museum?"


def asked(*arguments: str) -> int:
    """Runs the program in the working directory; threads are put back."""
    with working_in(Path.cwd()):
        return ask.main(["--adapter", "store/synth_world/trainA", *arguments])


def test_answer_time_and_weighed_facts_are_shown(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert asked("--top", "3", IN_2001, FOUNDER) == 0
    first, second, rest = capsys.readouterr().out.split("\n\n")
    assert rest == ""
    lines = first.splitlines()
    assert lines[0] == f"question: {IN_2001}"
    assert lines[1].startswith("answer:   ")
    assert lines[2].startswith("from:     ")
    assert lines[3] == "time:     2001-01-01 to 2001-12-31"
    assert lines[4].split() == ["weight", "head", "relation", "tail", "holds"]
    assert "(null fact: no answer here)" in lines[-1]
    assert "time:     none named" in second


def test_json_holds_the_same_and_weights_of_a_small_base_add_up(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The base has fewer facts than `selector.top_k`; one that is weighed from both its ends is shown once."""
    set_params(Path("params.yaml"), {"selector.top_k": 16, "selector.over_fetch": 64})
    assert asked("--json", "--top", "99", IN_2001, FOUNDER) == 0
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert (first["question"], second["question"]) == (IN_2001, FOUNDER)
    assert first["time"] == {"start": "2001-01-01", "end": "2001-12-31"}
    assert second["time"] is None
    for reply in (first, second):
        shown = [(fact["head"], fact["relation"], fact["tail"]) for fact in reply["facts"]]
        assert len(set(shown)) == len(shown) <= 12
        alphas = [weighed["alpha"] for weighed in reply["layers"][-1]]
        assert alphas == sorted(alphas, reverse=True)
        assert sum(alphas) + reply["null"] == pytest.approx(1, abs=1e-3)
        by_id = {fact["id"]: fact["alpha"] for fact in reply["facts"]}
        assert all(by_id[weighed["fact"]] == weighed["alpha"] for weighed in reply["layers"][-1])
    windows = {fact["tail"]: (fact["start"], fact["end"]) for fact in second["facts"]}
    assert windows["Millbrook"] == ("", "2008-05-10")
    assert windows["Ansel Whitcombe"] == ("", "")


def test_now_is_the_day_of_asking(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = datetime.date.today().isoformat()
    assert asked("--json", FOUNDER) == 0
    assert before <= json.loads(capsys.readouterr().out)["today"] <= datetime.date.today().isoformat()


def test_questions_come_from_standard_input_too(
    own: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert asked("--json", IN_2001, FOUNDER) == 0
    given = capsys.readouterr().out
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{IN_2001}\n\n  {FOUNDER}\n"))
    assert asked("--json") == 0
    assert capsys.readouterr().out == given


def test_any_base_of_any_dataset_can_be_asked_without_its_data(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree("data")
    assert asked("--dataset", "synth_world", "--kb", "swap", FOUNDER) == 0
    assert "answer:" in capsys.readouterr().out


def test_the_adapter_is_the_datasets_own_or_that_of_its_start(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    set_params(Path("params.yaml"), {"eval.adapter": "trainA"})
    with working_in(own):
        assert ask.main(["--json", FOUNDER]) == 0
    of_the_start = capsys.readouterr().out
    assert asked("--json", FOUNDER) == 0
    assert capsys.readouterr().out == of_the_start
    assert stage("trainA", trainA__max_steps=0) == 0
    shutil.rmtree("store/synth_world/trainA")
    with working_in(own):
        assert ask.main(["--json", FOUNDER]) == 0
    assert capsys.readouterr().out == of_the_start


def test_it_says_on_stderr_which_base_and_which_modules_it_reads(own: Path) -> None:
    """Modules that an earlier run has left go before those of the start, and nobody sees it in the answers."""
    command = [sys.executable, "-m", "kblampp.ask", "--json", FOUNDER]
    set_params(Path("params.yaml"), {"eval.adapter": "trainA"})
    of_the_start = subprocess.run(command, cwd=own, capture_output=True, text=True, check=True)
    assert of_the_start.stderr.splitlines()[0] == "reads store/custom/kb/train with store/synth_world/trainA"
    assert json.loads(of_the_start.stdout)["question"] == FOUNDER
    shutil.copytree("store/synth_world/trainA", "store/custom/trainA")
    left_over = subprocess.run(command, cwd=own, capture_output=True, text=True, check=True)
    assert left_over.stderr.splitlines()[0] == "reads store/custom/kb/train with store/custom/trainA"


def test_without_a_trained_adapter_one_sentence_says_so(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    set_params(Path("params.yaml"), {"start_from": "scratch"})
    with working_in(own):
        assert ask.main([FOUNDER]) == 1
    error = last_error(capsys)
    assert "store/custom/trainA does not exist, and start_from is scratch" in error
    assert "start_from: synth_world" in error


@pytest.mark.parametrize(
    ("arguments", "spoilt", "says"),
    [
        ((), "", "there is no question"),
        (("--kb", "swap", FOUNDER), "", "no store of a knowledge base 'swap' (it has train)"),
        (("--dataset", "trex", FOUNDER), "", "store/trex/projection/manifest.json does not exist"),
        (("--adapter", "store/nowhere", FOUNDER), "", "store/nowhere/manifest.json does not exist"),
        (("--params", "other.yaml", FOUNDER), "", "other.yaml does not exist"),
        ((FOUNDER,), "store/backbone", "store/backbone/manifest.json does not exist"),
        ((FOUNDER,), "store/custom/index", "store/custom/index/train/manifest.json does not exist"),
    ],
)
def test_what_is_missing_is_told_in_one_line(
    own: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    spoilt: str,
    says: str,
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    if spoilt:
        shutil.rmtree(spoilt)
    assert asked(*arguments) == 1
    assert says in last_error(capsys)


def test_an_encoder_that_the_projections_were_not_made_with_is_refused(
    own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = Path("store/custom/projection/manifest.json")
    manifest = json.loads(path.read_text(encoding="utf-8"))
    manifest["encoder"]["fingerprint"] = "e" * 64
    path.write_text(json.dumps(manifest), encoding="utf-8")
    assert asked(FOUNDER) == 1
    assert "but store/custom/projection was made with eeeeeeeeeeee; run `dvc repro encode`" in last_error(capsys)


def test_knowledge_switched_off_shows_no_facts(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    set_params(Path("params.yaml"), {"selector.top_k": 0})
    assert asked(FOUNDER) == 0
    assert "facts:    none were weighed" in capsys.readouterr().out
