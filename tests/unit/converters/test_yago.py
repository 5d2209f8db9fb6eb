"""YAGO15K: the bounds of a triple make one fact, and a question has one tail that answers it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from kblampp.converters import yago
from kblampp.converters.registry import CONVERTERS
from kblampp.core.errors import DataError
from kblampp.data.facts import Question
from kblampp.data.windows import UNKNOWN, Window, day, year_window
from kblampp.time_expressions.parse import parse_question_time
from tests.converting import MORE, SAMPLES, Converted, converted, real_rows
from tests.house import ROOT

PLAYER = "<Eric_Davis_(footballer)>\t<playsFor>\t"


def since(date: str) -> str:
    return f'\t<occursSince>\t"{date}"'


def until(date: str) -> str:
    return f'\t<occursUntil>\t"{date}"'


def run(folder: Path, *lines: str, **changes: Any) -> Converted:
    (folder / "raw").mkdir(parents=True, exist_ok=True)
    (folder / "raw" / "yago15k_valid.txt").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return converted("yago", yago.convert, folder, **changes)


def windows(result: Converted) -> list[Window]:
    return [fact.window for fact in result.facts["train"]]


def years(first: int, last: int) -> Window:
    return Window(year_window(first).start, year_window(last).end, "yago", "year", "year")


def test_names_and_relations_are_spelled_as_people_write_them(tmp_path: Path) -> None:
    (fact,) = run(tmp_path, f"{PLAYER}<Brighton_&_Hove_Albion_F.C.>").facts["train"]
    assert (fact.head.name, fact.relation.name, fact.tail.name) == (
        "Eric Davis (footballer)",
        "plays for",
        "Brighton & Hove Albion F.C.",
    )
    assert (fact.head.id, fact.relation.id, fact.window) == ("Eric_Davis_(footballer)", "playsFor", UNKNOWN)


def test_both_bounds_of_a_triple_make_one_fact_that_holds_the_whole_last_year(tmp_path: Path) -> None:
    result = run(tmp_path, f"{PLAYER}<A>{since('1992-##-##')}", f"{PLAYER}<B>", f"{PLAYER}<A>{until('1994-##-##')}")
    assert windows(result) == [years(1992, 1994), UNKNOWN]


def test_every_window_of_a_triple_is_a_fact(tmp_path: Path) -> None:
    dates = [since("1992-##-##"), until("1994-##-##"), since("1999-##-##"), until("2001-##-##")]
    assert windows(run(tmp_path, *(f"{PLAYER}<A>{date}" for date in dates))) == [years(1992, 1994), years(1999, 2001)]


def test_one_bound_leaves_the_other_end_open_and_a_date_is_as_precise_as_it_says(tmp_path: Path) -> None:
    rows = [
        f"{PLAYER}<A>{since('1905-03-17')}",
        f"{PLAYER}<B>{until('1906-03-##')}",
        f"{PLAYER}<C>{since('600-##-##')}",
    ]
    assert windows(run(tmp_path, *rows)) == [
        Window(day("1905-03-17"), None, "yago", "day"),
        Window(None, day("1906-04-01"), "yago", None, "month"),
        Window(day("0600-01-01"), None, "yago", "year"),
    ]


def test_a_reversed_window_is_left_out_and_counted(tmp_path: Path) -> None:
    result = run(tmp_path, f"{PLAYER}<A>{since('1969-##-##')}", f"{PLAYER}<A>{until('1945-##-##')}")
    assert windows(result) == [UNKNOWN]
    assert result.report["counts"] == {"windows reversed (left out, the fact is kept)": 1}


def test_a_question_about_a_time_asks_for_a_year_with_one_tail(tmp_path: Path) -> None:
    rows = [f"{PLAYER}<{tail}>{bound}" for tail, first, last in (("A", 1990, 1992), ("B", 1992, 1993))
            for bound in (since(f"{first}-##-##"), until(f"{last}-##-##"))]  # fmt: skip
    result = run(tmp_path, *rows)
    answers = {question.answer: question for question in result.asked}
    assert set(answers) == {"A", "B"}
    assert answers["A"].question_time in (year_window(1990, "question_text"), year_window(1991, "question_text"))
    assert answers["B"].question_time == year_window(1993, "question_text")
    assert {question.kind for question in result.asked} == {"temporal"}


def test_tails_are_asked_for_where_there_is_one(tmp_path: Path) -> None:
    result = run(tmp_path, "<X>\t<wasBornIn>\t<Dublin>", "<Y>\t<actedIn>\t<Film_1>", "<Y>\t<actedIn>\t<Film_2>")
    (question,) = result.asked
    assert (question.kind, question.type, question.answer) == ("tail", "single-hop", "Dublin")
    assert result.facts["train"][question.supporting_facts[0]].tail.name == "Dublin"


def test_questions_are_capped_and_what_is_left_out_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yago, "QUESTIONS", 2)
    rows = [f"<Person_{n}>\t<wasBornIn>\t<Dublin>" for n in range(5)] + ["<X>\t<likes>\t<Y>"]
    result = run(tmp_path, *rows)
    assert len(result.asked) == 2
    assert result.report["skipped"] == {
        "tail question: more than 2": 3,
        "tail question: no wording for the relation": 1,
    }


@pytest.mark.parametrize(
    "line",
    ["<A>\t<b>", "A\tb\tC", "<A> <b> <C>", f"{PLAYER}<A>{since('1992')}", f"{PLAYER}<A>{since('1992-13-##')}",
     f"{PLAYER}<A>{since('0000-##-##')}", f"{PLAYER}<A>{since('1991-02-31')}", "<_>\t<b>\t<C>"],
)  # fmt: skip
def test_a_malformed_line_stops_with_its_place_or_is_left_out(tmp_path: Path, line: str) -> None:
    good = f"{PLAYER}<Oldham>"
    with pytest.raises(DataError, match=r"yago15k_valid\.txt, line 2.*expected"):
        run(tmp_path / "a", good, line)
    result = run(tmp_path / "b", good, line, skip_bad=True)
    assert result.report["skipped"]["malformed"] == len(result.facts["train"]) == 1


def test_no_file_and_bytes_that_are_no_text_are_errors(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    with pytest.raises(DataError, match=r"holds no YAGO15K file.*README\.md"):
        converted("yago", yago.convert, tmp_path)
    (tmp_path / "raw" / "a.txt").write_bytes(b"<A>\t<b>\t<\xff>\n")
    with pytest.raises(DataError, match="is not UTF-8"):
        converted("yago", yago.convert, tmp_path)


@real_rows
def test_real_rows_are_all_facts_and_every_question_has_one_answer(real: Path, tmp_path: Path) -> None:
    shutil.copytree(real / "yago15k", tmp_path / "raw", copy_function=shutil.copyfile)
    result, again = (converted("yago", yago.convert, tmp_path) for _ in range(2))
    assert result.files == again.files
    assert "malformed" not in result.report["skipped"]
    facts = result.facts["train"]
    rows = (tmp_path / "raw" / "yago15k_valid.txt").read_text(encoding="utf-8").splitlines()
    assert {(f.head.id, f.relation.id, f.tail.id) for f in facts} == {
        tuple(cell.strip("<>") for cell in row.split("\t")[:3]) for row in rows
    }
    for question in result.asked:
        assert alone(question, result) == {question.answer}
        if question.kind == "temporal":
            assert parse_question_time(question.question) == question.question_time


def alone(question: Question, result: Converted) -> set[str]:
    """The tails that answer a question, found again from the facts."""
    facts = result.facts["train"]
    asked, time = facts[question.supporting_facts[0]], question.question_time
    same = [fact for fact in facts if (fact.head, fact.relation) == (asked.head, asked.relation)]
    return {fact.tail.name for fact in same if time is None or fact.window.overlaps(time)}


def test_every_relation_of_the_sample_has_wordings_with_and_without_a_time() -> None:
    rows = (SAMPLES / "yago15k" / "yago15k_valid.txt").read_text(encoding="utf-8").splitlines()
    assert {row.split("\t")[1].strip("<>") for row in rows} <= set(yago.WORDINGS)
    for wordings in yago.WORDINGS.values():
        assert len(set(wordings)) == len(wordings) >= 2
        assert all("{head}" in text and text.endswith("?") for text in wordings)


@pytest.mark.skipif(not MORE.is_dir(), reason="only the samples are here")
def test_the_file_of_the_repository_is_the_datasets_own() -> None:
    name = "yago15k_valid.txt"
    assert (ROOT / "data/raw/yago" / name).read_bytes() == (MORE / "yago15k" / name).read_bytes()


def test_it_is_registered() -> None:
    assert CONVERTERS["yago"] is yago.convert
