"""The guide of one's own base as it stands: its commands, its example in Python, questions in other encodings."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import pytest

from kblampp import KBModel
from kblampp.cli.app import main
from tests.house import ROOT
from tests.regression.conftest import EXAMPLE, IN_2001

GUIDE = (ROOT / "docs/own-knowledge-base.md").read_text(encoding="utf-8")


@pytest.fixture
def kb(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], opened_model: KBModel
) -> str:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(KBModel, "open", lambda *_, **__: opened_model)
    assert main(["init", "my.kb"]) == 0
    assert main(["import", "my.kb", str(EXAMPLE), "--yes"]) == 0
    capsys.readouterr()
    return "my.kb"


def test_the_guide_shows_what_the_program_says(kb: str, capsys: pytest.CaptureFixture[str]) -> None:
    shown = GUIDE[GUIDE.index("```text") : GUIDE.index("<!-- output of kblampp ask: end")]
    questions = re.findall(r"^question: (.*)$", shown, re.MULTILINE)
    assert len(questions) == 5
    assert main(["ask", kb, *questions]) == 0
    said = capsys.readouterr().out
    plain = [line for line in shown.splitlines() if line and not line.startswith("```")]
    without_figures = [re.sub(r"^  [01]\.\d{3}", "", line) for line in said.splitlines() if line]
    assert without_figures[:4] == plain[:4]
    answers = [line for line in plain if line.startswith(("question:", "answer:", "from:", "time:"))]
    assert [line for line in said.splitlines() if line in answers] == answers


def test_the_example_in_python_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], opened_model: KBModel
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(KBModel, "open", lambda *_, **__: opened_model)
    block = GUIDE[GUIDE.index("<!-- example: begin") : GUIDE.index("<!-- example: end")]
    code = re.findall(r"```python\n(.*?)```", block, re.DOTALL)[0]
    assert len(code.splitlines()) <= 10
    assert f"```python\n{code}```" in (ROOT / "README.md").read_text(encoding="utf-8")
    names: dict[str, object] = {}
    exec(code, names)
    assert capsys.readouterr().out.splitlines()[-1] == "Odile Brennan ['Odile Brennan']"
    assert names["text"] == "Tomas Iveland"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_questions_of_a_file_and_of_standard_input_in_any_encoding(
    kb: str, encoding: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = f"{IN_2001}\n\nWho founded the Musée Zürich?\n".encode(encoding)
    Path("q.txt").write_bytes(data)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))
    assert main(["ask", kb, "--json"]) == 0
    piped = capsys.readouterr().out
    assert main(["ask", kb, "--json", "--file", "q.txt"]) == 0
    assert capsys.readouterr().out == piped
    first, second = map(json.loads, piped.splitlines())
    assert (first["answer"], first["refused"]) == ("Odile Brennan", False)
    assert second["question"] == "Who founded the Musée Zürich?"


def test_a_prompt_line_goes_on_after_an_error_and_ends_with_an_empty_line(
    kb: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    typed = iter([IN_2001, "Who founded the Harrowgate Museum?", ""])
    monkeypatch.setattr("builtins.input", lambda _: next(typed))
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    assert main(["ask", kb, "--brief"]) == 0
    assert capsys.readouterr().out.splitlines() == ["Odile Brennan", "Ansel Whitcombe"]
