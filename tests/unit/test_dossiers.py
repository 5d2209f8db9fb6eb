"""The dossiers, small bases that nobody trains on, are well formed and their answers stand in their facts."""

from __future__ import annotations

import calendar
import csv
import json
import re
from collections import Counter
from datetime import date
from typing import Any

import pytest

from tests.house import ROOT

DOSSIERS = ROOT / "data" / "dossiers"
FULL = (
    "company",
    "club",
    "software",
    "bakery",
    "family",
    "clinic",
    "museum",
    "tramway",
    "vineyard",
    "hospital",
    "orchestra",
    "zoo",
    "shipyard",
    "theatre",
    "school",
    "brewery",
    "railway",
)
NAMES = sorted(path.name for path in DOSSIERS.iterdir() if path.is_dir())
COLUMNS = ["head", "relation", "tail", "context", "start", "end"]
LEAST = {
    "tail": 14,
    "temporal": 8,
    "current": 5,
    "first_last": 4,
    "before_after": 6,
    "when": 6,
    "inverse": 5,
    "yes_no": 6,
    "list": 4,
    "count": 3,
    "two_hop": 6,
    "unanswerable": 7,
}
"""How many questions of each kind a dossier has at least."""
SPELLED = ("tail", "temporal", "current", "first_last", "before_after", "inverse", "two_hop")
"""The kinds whose answer is the tail or head of some fact, letter by letter."""

each = pytest.mark.parametrize("name", NAMES)
full = pytest.mark.parametrize("name", FULL)


def facts(name: str) -> list[dict[str, str]]:
    with (DOSSIERS / name / "facts.csv").open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file, strict=True)
        rows = list(reader)
    assert reader.fieldnames == COLUMNS
    return rows


def questions(name: str) -> list[dict[str, Any]]:
    lines = (DOSSIERS / name / "questions.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def window(moment: str) -> tuple[date, date]:
    """First and last day of a year, a month or a day."""
    parts = [int(part) for part in moment.split("-")]
    if len(parts) == 1:
        return date(parts[0], 1, 1), date(parts[0], 12, 31)
    if len(parts) == 2:
        return date(*parts, 1), date(*parts, calendar.monthrange(*parts)[1])
    return date(*parts), date(*parts)


def spoken(moment: str) -> str:
    """As a question of the kind `when` is answered: "2006-05-18" is "18 May 2006"."""
    year, *rest = moment.split("-")
    words = [calendar.month_name[int(rest[0])], year] if rest else [year]
    return " ".join([str(int(rest[1])), *words] if len(rest) == 2 else words)


def named(name: str) -> set[str]:
    return {row[column] for row in facts(name) for column in ("head", "tail")}


def test_all_dossiers_are_there() -> None:
    assert {"lighthouse", *FULL} <= set(NAMES)


@each
def test_facts_are_whole_and_given_once(name: str) -> None:
    rows = facts(name)
    for row in rows:
        assert set(row) == set(COLUMNS)
        assert all(isinstance(cell, str) and cell == cell.strip() for cell in row.values()), row
        assert all(row[column] for column in ("head", "relation", "tail")), row
    assert not [key for key, n in Counter(tuple(row.values()) for row in rows).items() if n > 1]


@each
def test_windows_are_valid(name: str) -> None:
    for row in facts(name):
        for moment in (row["start"], row["end"]):
            assert re.fullmatch(r"(\d{4}(-\d\d){0,2})?", moment), row
        if row["start"] and row["end"]:
            (start, _), (_, end) = window(row["start"]), window(row["end"])
            assert start <= end, row


@each
def test_questions_are_well_formed_and_asked_once(name: str) -> None:
    asked = questions(name)
    for question in asked:
        assert {"kind", "question", "answer"} <= set(question) <= {"kind", "question", "answer", "aliases"}
        assert question["kind"] in LEAST
        assert question["question"].strip()
        assert all(isinstance(alias, str) and alias for alias in question.get("aliases", []))
        assert question["answer"] not in question.get("aliases", [])
    assert not [text for text, n in Counter(q["question"].casefold() for q in asked).items() if n > 1]


@each
def test_answers_stand_in_the_facts_letter_by_letter(name: str) -> None:
    known = named(name)
    wrong = [q for q in questions(name) if q["kind"] in SPELLED and q["answer"] not in known]
    wrong += [q for q in questions(name) if q["kind"] == "list" and not set(q["answer"].split("; ")) <= known]
    assert not wrong


@each
def test_a_time_is_when_some_fact_begins_or_ends(name: str) -> None:
    known = {spoken(moment) for row in facts(name) for moment in (row["start"], row["end"]) if moment}
    assert not [q for q in questions(name) if q["kind"] == "when" and q["answer"] not in known]


@each
def test_counts_yes_or_no_and_nothing_are_written_one_way(name: str) -> None:
    forms = {"count": r"[1-9]\d*", "yes_no": "yes|no", "unanswerable": ""}
    for question in questions(name):
        if question["kind"] in forms:
            assert re.fullmatch(forms[question["kind"]], question["answer"]), question
        if question["kind"] == "unanswerable":
            assert "aliases" not in question, question


@full
def test_there_is_enough_of_everything(name: str) -> None:
    rows, asked = facts(name), questions(name)
    kinds = Counter(question["kind"] for question in asked)
    assert len(rows) >= 45
    assert len(asked) >= 70
    assert len({row["relation"] for row in rows}) >= 25
    assert not {kind: kinds[kind] for kind, least in LEAST.items() if kinds[kind] < least}
    assert {question["answer"] for question in asked if question["kind"] == "yes_no"} == {"yes", "no"}


@full
def test_the_readme_tells_the_counts(name: str) -> None:
    rows, asked = facts(name), questions(name)
    text = (DOSSIERS / name / "README.md").read_text(encoding="utf-8")
    relations = len({row["relation"] for row in rows})
    assert f"{len(rows)} facts with {relations} relations; {len(asked)} questions" in text
    table = (DOSSIERS / "README.md").read_text(encoding="utf-8")
    assert f"| `{name}` | {len(rows)} | {len(asked)} |" in table
