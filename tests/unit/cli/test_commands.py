"""The command line: what it prints, writes and refuses; `tests/regression` asks the trained model through it."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from kblampp import __version__
from kblampp.cli.app import app, main
from tests.house import ROOT

EXAMPLE = ROOT / "docs/examples/own-kb/facts.csv"
COMMANDS = sorted(str(command.name) for command in app.registered_commands)


@pytest.fixture
def kb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    """The example in a base, in the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert main(["init", "my.kb"]) == 0
    assert main(["import", "my.kb", str(EXAMPLE), "--no-encode"]) == 0
    capsys.readouterr()
    return "my.kb"


def ran(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What a command that ends well says on standard output."""
    assert main(list(arguments)) == 0, capsys.readouterr().err
    return capsys.readouterr().out


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    return json.loads(ran(capsys, *arguments, "--json"))


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_explains_itself_with_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = ran(capsys, command, "--help")
    assert f"Example: kblampp {command}" in " ".join(text.split())
    if command not in ("serve", "mcp", "doctor"):
        assert "--json" in text


HEAVY = ("torch", "transformers", "sentence_transformers", "peft", "faiss", "sklearn", "scipy", "fastapi")
WITHOUT_A_MODEL = (
    ("add", "my.kb", "a", "b", "c", "--start", "44 BC"),
    ("change", "my.kb", "1", "--tail", "Quinby Vale"),
    ("end", "my.kb", "3", "2024-06"),
    ("delete", "my.kb", "4"),
    ("undo", "my.kb"),
    ("rollback", "my.kb", "2"),
    ("facts", "my.kb", "director", "--on", "2001-06-01"),
    ("history", "my.kb", "1"),
    ("log", "my.kb"),
    ("verify", "my.kb"),
    ("export", "my.kb", "out.jsonl"),
)


def test_what_needs_no_model_loads_no_model(kb: str) -> None:
    """Nor what only models and the server need: these commands start at once."""
    program = (
        "import json, sys\nfrom kblampp.cli.app import main\n"
        f"for command in {WITHOUT_A_MODEL!r}:\n    assert main(command) == 0\n"
        f"sys.stderr.write(json.dumps([name for name in {HEAVY!r} if name in sys.modules]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert (done.returncode, done.stderr) == (0, "[]")


def test_it_is_a_program_and_a_module(tmp_path: Path) -> None:
    for command in ([sys.executable, "-m", "kblampp"], [str(Path(sys.executable).with_name("kblampp"))]):
        done = subprocess.run(
            [*command, "init", "a.kb"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )
        assert "a.kb" in done.stdout + done.stderr
        assert "Traceback" not in done.stderr


def test_commands_that_need_no_model_do_not_load_it(kb: str) -> None:
    """They would take seconds."""
    script = "import sys; from kblampp.cli.app import main; main(sys.argv[1:]); print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script, "facts", kb],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert done.stdout.splitlines()[-1] == "False"


def test_import_shows_how_it_understood_the_table_and_counts(kb: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("more.csv").write_bytes(
        "name;was;wert;von\nMüller;rolle;Chef;1990\nX;rolle;;1990\nY;rolle;Z;soon\n".encode("cp1252")
    )
    columns = ["--columns", "head=name, relation=was, tail=wert, start=von"]
    assert main(["import", kb, "more.csv", "--no-encode", *columns]) == 0
    out, err = capsys.readouterr()
    assert "(Müller, rolle, Chef) from 1990" in err
    assert "cp1252" in err
    assert "2 rows cannot be read" in err
    assert out == "added 1 fact to my.kb, which has 13 now\n"
    kept = Path("more.csv.rejected.csv").read_text(encoding="utf-8").splitlines()
    assert len(kept) == 3
    assert "soon" in kept[2]
    again = told(capsys, "import", kb, "more.csv", "--no-encode", *columns)
    assert (again["added"], again["read"], again["rejected"]) == (0, 1, 2)


def test_a_dry_run_and_a_no_write_nothing(
    kb: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("bad.csv").write_text("head,relation,tail\na,b,c\nd,,f\n", encoding="utf-8")
    assert "nothing was written" in ran(capsys, "import", kb, "bad.csv", "--dry-run")
    terminal = io.StringIO("n\n")
    terminal.isatty = lambda: True  # type: ignore[method-assign]
    monkeypatch.setattr("sys.stdin", terminal)
    assert main(["import", kb, "bad.csv"]) == 0
    out, err = capsys.readouterr()
    assert out == "nothing was written\n"
    assert "Add 1 fact to my.kb? [Y/n] " in err
    assert not Path("bad.csv.rejected.csv").exists()
    assert told(capsys, "facts", kb)["total"] == 12


def test_facts_are_added_changed_ended_taken_away_and_brought_back(kb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert ran(capsys, "add", kb, "Museum", "mascot", "Bilbo", "--start", "2019-05") == (
        "fact 13: (Museum, mascot, Bilbo), 2019-05-01 to …\n"
    )
    assert ran(capsys, "add", kb, "Museum", "mascot", "Bilbo", "--start", "2019-05").startswith(
        "known already: fact 13"
    )
    assert told(capsys, "change", kb, "13", "--tail", "Frodo", "--start", "")["tail"] == "Frodo"
    assert told(capsys, "end", kb, "13", "2020")["end"] == "2020"
    assert [row["tail"] for row in told(capsys, "history", kb, "13")["versions"]] == ["Bilbo", "Frodo", "Frodo"]
    assert ran(capsys, "delete", kb, "13", "12") == "took 2 facts away (call 6)\n"
    assert told(capsys, "facts", kb)["total"] == 11
    assert ran(capsys, "undo", kb) == "undone call 6: 2 facts as before (call 7)\n"
    assert ran(capsys, "rollback", kb, "2") == "rolled back: 1 fact changed (call 8)\n"
    log = told(capsys, "log", kb)["calls"]
    assert [call["what"] for call in reversed(log)] == [
        "init",
        "import",
        "add",
        "change",
        "end",
        "delete",
        "undo",
        "rollback",
    ]
    assert told(capsys, "verify", kb) == {"facts": 12, "problems": []}


def test_facts_are_found_by_words_by_day_and_as_they_were(kb: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = told(capsys, "facts", kb, "MUSEUM director", "--on", "2001-06-01")
    assert [fact["tail"] for fact in found["facts"]] == ["Odile Brennan"]
    ran(capsys, "delete", kb, "1")
    assert told(capsys, "facts", kb, "director", "--known-at", "2", "--limit", "1")["total"] == 3
    text = ran(capsys, "facts", kb, "--limit", "2")
    assert "9 more: --limit 11 shows all" in text
    assert ran(capsys, "facts", kb, "nowhere") == "no fact\n"


@pytest.mark.parametrize("file", ["out.csv", "out.jsonl"])
def test_what_is_exported_makes_the_same_base(kb: str, capsys: pytest.CaptureFixture[str], file: str) -> None:
    ran(capsys, "export", kb, file)
    ran(capsys, "init", "other.kb")
    assert told(capsys, "import", "other.kb", file, "--no-encode")["added"] == 12
    rows = [
        [
            {name: fact[name] for name in ("head", "relation", "tail", "context", "start", "end")}
            for fact in each["facts"]
        ]
        for each in (told(capsys, "facts", kb), told(capsys, "facts", "other.kb"))
    ]
    assert rows[0] == rows[1]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["facts", "nowhere.kb"], "nowhere.kb does not exist; make one with `kblampp init nowhere.kb`"),
        (["init", "my.kb"], "my.kb is a knowledge base already"),
        (["import", "my.kb", "nowhere.csv"], "nowhere.csv"),
        (["import", "my.kb", "a.csv", "--columns", "head"], "--columns has 'head'"),
        (["change", "my.kb", "1"], "nothing to change was named"),
        (["change", "my.kb", "99", "--tail", "x"], "the base has no fact 99"),
        (["end", "my.kb", "1", "soon"], "soon"),
        (["undo", "my.kb", "99"], "no call 99"),
        (["rollback", "my.kb", "then"], "'then' is no moment"),
        (["facts", "my.kb", "--on", "2001"], "--on: '2001' is not a date"),
        (["export", "my.kb", "facts.xlsx"], "ends in neither"),
        (["ask", "my.kb"], "there is no question"),
        (["ask", "my.kb", "Who?", "--file", "q.txt"], "use one of both"),
        (["ask", "my.kb", "--file", "nowhere.txt"], "nowhere.txt cannot be read"),
        (["ask", "my.kb", "Who?", "--model", "."], "holds no params.yaml"),
        (["serve", "my.kb", "--host", "0.0.0.0"], "set a token in the environment variable KBLAMPP_TOKEN"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(
    kb: str, arguments: list[str], says: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KBLAMPP_TOKEN", raising=False)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"")))
    assert main(arguments) == 1
    out, err = capsys.readouterr()
    assert out == ""
    lines = [line for line in err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    assert says in lines[0]
    assert "Traceback" not in err


def test_what_is_not_understood_is_another_status(kb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["facts", kb, "--nonsense"]) == 2
    assert main(["end", kb, "first", "2020"]) == 2
    assert main(["delete", kb, "0"]) == 2
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (["change", "my.kb", "abc", "--tail", "X"], "'abc', expected a whole number from 1 on: `kblampp facts` shows"),
        (["delete", "my.kb", "1", "x"], "'x', expected a whole number from 1 on: `kblampp facts` shows"),
        (["undo", "my.kb", "x"], "'x', expected a whole number from 1 on: `kblampp log` shows"),
        (["facts", "my.kb", "--limit", "0"], "'0', expected a whole number from 1 to"),
        (["serve", "my.kb", "--port", "65536"], "'65536', expected a whole number from 0 to 65535"),
    ],
)
def test_what_is_no_number_is_told_in_our_words(
    kb: str, capsys: pytest.CaptureFixture[str], command: list[str], says: str
) -> None:
    assert main(command) == 2
    assert says in " ".join(capsys.readouterr().err.split())


def test_an_id_that_no_fact_has_names_the_command_that_shows_ids(kb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["end", kb, "99", "2020"]) == 1
    assert "`kblampp facts`" in capsys.readouterr().err


def test_it_says_its_name_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert ran(capsys, "--version") == f"kblampp {__version__}\n"


def test_a_table_of_which_no_row_can_be_read_is_an_error_and_one_without_rows_is_none(
    kb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("bad.csv").write_text("head,relation,tail\na,b\n", encoding="utf-8")
    assert main(["import", kb, "bad.csv", "--dry-run"]) == 1
    assert not Path("bad.csv.rejected.csv").exists()
    capsys.readouterr()
    assert main(["import", kb, "bad.csv", "--json"]) == 1
    out, err = capsys.readouterr()
    assert (json.loads(out)["added"], json.loads(out)["rejected"]) == (0, 1)
    assert "the reasons are in bad.csv.rejected.csv" in err
    assert Path("bad.csv.rejected.csv").exists()
    Path("empty.csv").write_text("head,relation,tail\n", encoding="utf-8")
    assert told(capsys, "import", kb, "empty.csv")["notes"] == ["it holds no row of facts"]


def test_a_name_cannot_steer_the_terminal_or_break_a_table(kb: str, capsys: pytest.CaptureFixture[str]) -> None:
    name, note = "Evil\x1b]0;owned\a\x1b[2J\nrow\u202e", "x\x1b[31m\ny"
    ran(capsys, "add", kb, name, "r", "t", "--note", note)
    for command in (["facts", kb, "evil"], ["log", kb, "--limit", "1"], ["history", kb, "13"]):
        text = ran(capsys, *command)
        assert not set(text) & set("\x1b\a\u202e")
        assert len(text.splitlines()) == 2
    assert told(capsys, "facts", kb, "evil")["facts"][0]["head"] == name


def test_what_cannot_be_kept_stops_an_import_before_it_writes(kb: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("bad.csv").write_text("head,relation,tail\na,b,c\nd,,f\n", encoding="utf-8")
    Path("bad.csv.rejected.csv").write_text("my own", encoding="utf-8")
    assert told(capsys, "import", kb, "bad.csv", "--no-encode")["rejected_file"] == "bad.csv.rejected-1.csv"
    assert Path("bad.csv.rejected.csv").read_text(encoding="utf-8") == "my own"


def test_facts_are_there_though_no_model_can_make_their_vectors(kb: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("one.csv").write_text("head,relation,tail\na,b,c\n", encoding="utf-8")
    assert main(["import", kb, "one.csv", "--model", "."]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("added 1 fact")
    assert "the vectors are not made yet" in err


def test_an_end_of_input_is_no_yes(
    kb: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("one.csv").write_text("head,relation,tail\na,b,c\n", encoding="utf-8")
    terminal = io.StringIO("")
    terminal.isatty = lambda: True  # type: ignore[method-assign]
    monkeypatch.setattr("sys.stdin", terminal)
    assert "nothing was written" in ran(capsys, "import", kb, "one.csv")


def test_an_export_replaces_nothing_unasked(kb: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("out.csv").write_text("mine", encoding="utf-8")
    assert main(["export", kb, "out.csv"]) == 1
    assert "is there already" in capsys.readouterr().err
    ran(capsys, "export", kb, "out.csv", "--force")
    assert Path("out.csv").read_text(encoding="utf-8") != "mine"
    assert main(["export", kb, "nowhere/out.csv"]) == 1
    assert "is no folder" in capsys.readouterr().err


def test_a_call_of_any_number_can_be_named(kb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["facts", kb, "--known-at", "1234"]) == 1
    assert "the base has no call 1234" in capsys.readouterr().err
