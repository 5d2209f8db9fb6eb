"""All systems with one tiny model, asked side by side: the same questions for all, and a stopped run goes on."""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kblampp.core.files import read_json
from kblampp.evaluation.systems import Split
from kblampp.experiments import systems, systems_answers
from kblampp.experiments.systems_answers import SYSTEMS
from kblampp.experiments.systems_table import systems_table
from kblampp.rag.prompts import PLAIN
from tests.converting import SAMPLES
from tests.integration.conftest import NAME, last_error, stage, working_in
from tests.integration.test_transfer import add_open_bases

WORK, OUTPUT = Path(".ckpt/systems"), Path("metrics/tiny_backbone/systems.json")
TRAINED_RAG = {"trained_rag_1", "trained_rag_4", "trained_rag_8"}
ALONE = ("--bases", "dossiers", "--systems", "model", "lookup", "rag_1", "--metrics", "alone")


@pytest.fixture
def folder(bench: Path) -> Path:
    """The stages up to trainA, and open bases."""
    add_open_bases()
    return bench


def measured(*arguments: str) -> int:
    """Runs the program in the working directory; threads are put back."""
    with working_in(Path.cwd()):
        return systems.main(["--questions", "6", "--choose", "1", *arguments])


def watched(monkeypatch: pytest.MonkeyPatch, name: str, see: Callable[..., None]) -> None:
    """Has a function look at the arguments of another one."""
    original = getattr(systems_answers, name)

    def watch(*arguments: Any, **options: Any) -> Any:
        see(*arguments)
        return original(*arguments, **options)

    monkeypatch.setattr(systems_answers, name, watch)


def fake_rag(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A trained RAG that answers as the bare backbone, and what happens to it."""
    seen: list[str] = []

    @contextmanager
    def attached() -> Iterator[None]:
        seen.append("attached")
        yield
        seen.append("taken out")

    rag = SimpleNamespace(style=PLAIN, facts=4, seconds=1.5, steps=7, attached=attached)
    monkeypatch.setattr(systems_answers, "load_rag", lambda place, backbone: rag)
    place = Path("store") / NAME / "rag"
    place.mkdir()
    (place / "manifest.json").write_text("{}", encoding="utf-8")
    return seen


def test_all_systems_are_asked_the_same_questions(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert stage("trainB") == 0
    attached = fake_rag(monkeypatch)
    asked: dict[str, set[str]] = defaultdict(set)

    def see(name: str, split: Split) -> None:
        asked[name] |= {question.question for question in split.encoded.questions}

    watched(monkeypatch, "ask_model", lambda base, split, predictor: see("model", split))
    watched(monkeypatch, "answer_prompted", lambda predictor, split, style, facts: see(f"{facts} facts", split))
    watched(monkeypatch, "answer_shown", lambda predictor, split, style, shown: see("in context", split))
    capsys.readouterr()
    assert measured() == 0
    result = read_json(OUTPUT)
    assert capsys.readouterr().out == systems_table(result) + "\n"
    assert set(result["table"]) == set(result["rows"]) == {"swap", "novel", "dossiers", "yago"}
    for row, found in result["table"].items():
        assert set(found) == set(SYSTEMS) - ({"in_context"} if row == "dossiers" else set())
        assert {each["n"] for each in found.values()} == {result["rows"][row]["questions"]} == {6}
        assert 0 < found["closed_book"]["prompt_tokens"] < found["rag_1"]["prompt_tokens"]
    assert asked["model"] == asked["0 facts"] == asked["1 facts"] == asked["8 facts"] > asked["in context"]
    assert attached == ["attached", "taken out"]
    assert result["left_out"] == {}
    assert result["training"]["trained_rag"] == {"steps": 7, "seconds": 1.5, "facts": 4, "style": "plain"}
    assert not any(WORK.iterdir())
    assert measured("--show") == 0
    assert capsys.readouterr().out == systems_table(result) + "\n"


def test_a_run_that_was_stopped_goes_on_and_writes_the_same(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert measured(*ALONE) == 0
    whole = Path("alone/systems.json").read_bytes()
    Path("alone/systems.json").unlink()
    with monkeypatch.context() as patch:

        def stop(predictor: Any, split: Split, style: Any, facts: int) -> None:
            if any(WORK.glob("*/*/rag_1.json")):
                raise KeyboardInterrupt

        watched(patch, "answer_prompted", stop)
        assert measured(*ALONE) == 130
    assert {path.name for path in WORK.glob("*/*/*.json")} == {"model.json", "lookup.json", "rag_1.json"}
    again: list[str] = []
    watched(monkeypatch, "ask_model", lambda base, split, predictor: again.append(base))
    watched(monkeypatch, "style_on_unseen", lambda *_: again.append("style"))
    watched(monkeypatch, "answer_prompted", lambda predictor, split, style, facts: again.append("prompted"))
    assert measured(*ALONE) == 0
    assert again == ["prompted"]
    assert Path("alone/systems.json").read_bytes() == whole
    assert not any(WORK.iterdir())


def test_what_was_not_trained_is_left_out_and_said(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert measured("--bases", "novel", "--systems", "lookup", "model_b", "trained_rag_4") == 0
    result = read_json(Path(".ckpt/transfer/systems.json"))
    assert set(result["table"]["novel"]) == {"lookup"}
    assert set(result["left_out"]) == {"model_b", "trained_rag_4"}
    assert not OUTPUT.exists()
    assert f"store/{NAME}/rag" in capsys.readouterr().out
    assert measured("--systems", "trained_rag_4") == 1
    assert f"store/{NAME}/rag" in last_error(capsys)
    assert measured("--bases", "dossiers", "--systems", "in_context") == 1
    assert "in_context" in last_error(capsys)


def test_strange_names_are_told_before_anything_is_opened(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree("store")
    for arguments in (("--bases", "club"), ("--systems", "rag_2")):
        assert measured(*arguments) == 1
        assert arguments[1] in last_error(capsys)
    assert measured("--show") == 1
    assert "systems.json" in last_error(capsys)
    with pytest.raises(SystemExit):
        measured("--questions", "0")


def test_timeqa_is_asked_where_its_raw_files_are_given(folder: Path) -> None:
    assert measured("--bases", "timeqa", "--raw", str(SAMPLES / "timeqa"), "--systems", "phrase_lookup") == 0
    result = read_json(Path(".ckpt/transfer/systems.json"))
    assert set(result["table"]) == {"timeqa_human", "timeqa_hard"}
