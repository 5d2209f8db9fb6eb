"""What counts as right, refused and broken, and the figures by kind and group."""

from __future__ import annotations

import pytest

from kblampp.data.facts import KINDS, Question
from kblampp.transfer.scoring import GROUPS, Answer, holds_answer, is_broken, is_right, names_accepted, score

NAMES = frozenset({"Odile Brennan", "27 metres", "Rock; Paper", "café", "AT&T"})


def question(kind: str, answer: str = "", *aliases: str, text: str = "Who?") -> Question:
    kind_of = "single-hop" if answer else "unanswerable"
    return Question(f"{kind}/{text}", "custom", text, answer, aliases, kind_of, (), kind=kind)


def said(asked: Question, model: str, other: str = "unknown", null: float | None = 0.5) -> Answer:
    texts = {"model": model, "lookup": other}
    broken = frozenset(system for system, text in texts.items() if is_broken(text, NAMES))
    return Answer("town", asked, texts, broken, null)


@pytest.mark.parametrize(
    ("asked", "text", "right"),
    [
        (question("tail", "27 metres"), "27 Metres.", True),
        (question("tail", "27 metres"), "27", False),
        (question("tail", "27 metres"), "", False),
        (question("when", "18 May 2006", "2006-05-18"), "2006-05-18", True),
        (question("yes_no", "yes"), "Yes", True),
        (question("list", "Ann; Bo; Cy"), "Cy; Ann; Bo", True),
        (question("list", "Ann; Bo; Cy"), "the Ann; bo; Cy; Ann", True),
        (question("list", "Ann; Bo; Cy"), "Ann; Bo", False),
        (question("list", "Ann; Bo"), "Ann; Bo; Cy", False),
        (question("list", "Ann; Bo", "Anna; Bo"), "Bo; Anna", True),
        (question("tail", "Ann; Bo"), "Bo; Ann", False),
        (question("unanswerable"), "unknown", True),
        (question("unanswerable"), "", True),
        (question("unanswerable"), "Ann", False),
    ],
)
def test_what_is_right(asked: Question, text: str, right: bool) -> None:
    assert is_right(asked, text) == right


@pytest.mark.parametrize(
    ("asked", "text", "holds"),
    [
        (question("tail", "27 metres"), "The tower is 27 metres high.", True),
        (question("tail", "27 metres"), "The tower is 127 metres high.", False),
        (question("tail", "the tower"), "Tower", True),
        (question("when", "18 May 2006", "2006"), "It was in 2006, I think", True),
        (question("yes_no", "no"), "No, it is not.", True),
        (question("yes_no", "no"), "Nobody knows.", False),
        (question("list", "Ann; Bo"), "They are Bo, Cy and Ann.", True),
        (question("list", "Ann; Bo"), "Ann", False),
        (question("unanswerable"), "It is unknown.", True),
        (question("unanswerable"), "", True),
        (question("unanswerable"), "Ann", False),
    ],
)
def test_what_holds_the_answer(asked: Question, text: str, holds: bool) -> None:
    assert holds_answer(asked, text) == holds


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("Ann", True),
        ("bo; Ann", True),
        ("Ann; Bo; Cy", False),
        ("Cy", False),
        ("unknown", False),
        ("", False),
    ],
)
def test_several_accepted_answers_are_accepted_ones(text: str, named: bool) -> None:
    asked = question("temporal", "Ann", "Bo")
    assert names_accepted(asked, text) == named
    assert is_right(asked, text) == (text == "Ann")
    answers = [said(asked, text), said(question("unanswerable"), "unknown", null=0.9)]
    assert score(answers, bootstrap_samples=5, seed=0)["model"]["names_accepted"]["right"] == 1 + named


@pytest.mark.parametrize(
    "text",
    ["Odile Brennan", "27 metres", "Rock; Paper", "Odile Brennan; café", "yes", "No", "12", "-3.5", "1,250", "1998",
     "April 2023", "18 May 2006", "2006-05-18", "2006-05", "unknown", "", "Odile Brennan; 1998"],
)  # fmt: skip
def test_fields_of_the_base_and_own_words_are_whole(text: str) -> None:
    assert not is_broken(text, NAMES)


@pytest.mark.parametrize(
    "text", ["Odile Brenan", "odile brennan", "Odile", "27 metres high", "Odile Brennan; Od", "cafe", "32 Mai 2006"]
)
def test_anything_else_is_broken(text: str) -> None:
    assert is_broken(text, NAMES)


def test_every_kind_is_in_one_group_beside_those_of_refusals() -> None:
    kinds = [kind for name in ("facts", "steps", "sets", "unanswerable_refused") for kind in GROUPS[name].kinds]
    assert sorted(kinds) == sorted(KINDS)
    assert {*GROUPS["answerable_not_refused"].kinds, "unanswerable"} == set(KINDS)


def test_figures_by_kind_and_group() -> None:
    answers = [
        said(question("tail", "27 metres"), "27 metres", null=0.1),
        said(question("tail", "Odile Brennan"), "Odile Bren", "Odile Brennan", null=0.2),
        said(question("current", "café"), "unknown", null=0.3),
        said(question("count", "4"), "4", "27 metres", null=0.2),
        said(question("unanswerable"), "", "café", null=0.9),
    ]
    table = score(answers, bootstrap_samples=50, seed=0)
    model, lookup = table["model"], table["lookup"]
    assert (model["n"], model["broken"], model["auroc"]) == (5, 1, 1.0)
    assert (lookup["n"], lookup["broken"], "auroc" in lookup) == (5, 0, False)
    assert (model["all"]["right"], model["all"]["n"], lookup["all"]["right"]) == (3, 5, 1)
    shares = {name: (row["right"], row["n"]) for name, row in model["groups"].items()}
    assert shares == {
        "facts": (1, 3),
        "sets": (1, 1),
        "unanswerable_refused": (1, 1),
        "answerable_not_refused": (3, 4),
    }
    assert {name: (row["right"], row["n"]) for name, row in model["kinds"].items()} == {
        "tail": (1, 2),
        "current": (0, 1),
        "count": (1, 1),
        "unanswerable": (1, 1),
    }
    assert lookup["groups"]["facts"]["share"] == 0.33333
    assert lookup["groups"]["answerable_not_refused"]["share"] == 0.5
    assert 0 < model["groups"]["facts"]["stderr"] < 0.5
    assert table == score(answers, bootstrap_samples=50, seed=0)


def test_without_unanswerable_questions_or_a_null_fact_there_is_no_area() -> None:
    asked = question("tail", "café")
    assert score([said(asked, "café")], bootstrap_samples=5, seed=0)["model"]["auroc"] is None
    assert "auroc" not in score([said(asked, "café", null=None)], bootstrap_samples=5, seed=0)["model"]


def test_a_row_says_who_was_right() -> None:
    row = said(question("tail", "café", text="Where?"), "café", null=0.123456789).to_row()
    assert row == {
        "base": "town",
        "kind": "tail",
        "question": "Where?",
        "gold": "café",
        "model": "café",
        "lookup": "unknown",
        "right": ["model"],
        "null": 0.12346,
    }
