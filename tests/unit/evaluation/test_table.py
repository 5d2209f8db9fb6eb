"""What the tables say is counted by hand here, on a few questions."""

from __future__ import annotations

from typing import Any

import pytest

from kblampp.data.facts import Context, Entity, FiveTuple, Question, Relation
from kblampp.data.windows import UNKNOWN, Window, year_window
from kblampp.evaluation.table import (
    TYPES,
    Predictions,
    differences,
    first_of_each_type,
    headline,
    recall_curve,
    score_table,
    support_recall,
)
from kblampp.model.predictor import Prediction

SETTINGS: dict[str, Any] = {"bootstrap_samples": 50, "seed": 0}


def fact(head: str, relation: str, tail: str, window: Window = UNKNOWN) -> FiveTuple:
    return FiveTuple(Entity(None, head), Relation(None, relation), Entity(None, tail), Context("test"), window)


FACTS = [
    fact("Ada", "born in", "Rome"),  # 0
    fact("Bo", "born in", "Oslo"),  # 1
    fact("Oslo", "mayor", "Cy", year_window(2001)),  # 2
    fact("Oslo", "mayor", "Di", year_window(2002)),  # 3
    fact("Rome", "mayor", "Ed", year_window(2001)),  # 4: the only mayor of Rome
    fact("Di", "employer", "Fox Ltd"),  # 5
    fact("Rome", "twin town", "Oslo"),  # 6: another relation, which competes with no mayor
]


def question(
    number: int,
    kind: str,
    answer: str,
    support: tuple[int, ...],
    time: Window | None = None,
    aliases: tuple[str, ...] = (),
) -> Question:
    return Question(f"q{number}", "test", f"Question {number}?", answer, aliases, kind, support, time)


QUESTIONS = [
    question(0, "single-hop", "Rome", (0,)),
    question(1, "single-hop", "Oslo", (1,), aliases=("Oslo City",)),
    question(2, "temporal", "Di", (3,), year_window(2002)),
    question(3, "temporal", "Cy", (2,), year_window(2001)),
    question(4, "temporal", "Ed", (4,), year_window(2001)),
    question(5, "multi-hop", "Di", (1, 3), year_window(2002)),
    question(6, "multi-hop", "Fox Ltd", (1, 3, 5), year_window(2002)),
    question(7, "unanswerable", "", ()),
]
FIRST_LAYER = (0, 1, 2, 3, 4, 5)
"""Ranking in the first of two layers; it must not count, but for the support of the hops."""


def predicted(prediction: str, ranked: tuple[int, ...], null: float, tokens: int = 10) -> Prediction:
    return Prediction(prediction, (FIRST_LAYER, ranked), null=null, prompt_tokens=tokens)


PREDICTIONS = [
    predicted("rome.", (0, 1, 2), 0.1),  # right: case and full stop do not count
    predicted("oslo city", (0, 1, 2), 0.2, tokens=20),  # right by its alias; fact 1 stands second
    predicted("Di", (3, 2, 0), 0.0),  # right; its first fact holds in 2002
    predicted("Di", (3, 0, 1), 0.3),  # wrong; its first fact does not hold in 2001, and fact 2 is nowhere
    predicted("Cy Ed", (2, 4, 0), 0.1),  # half right; no other mayor of Rome, so its time does not count
    predicted("Di", (1, 3, 2), 0.4),  # right; the last hop's fact 3 stands second, the first hop's fact first
    predicted("Fox", (5, 3, 1), 0.0),  # one of two words
    predicted("", (0, 1, 2), 0.9),  # right: an abstention
]
SAID = Predictions(QUESTIONS, PREDICTIONS, FACTS)


@pytest.fixture(scope="module")
def table() -> dict[str, dict[str, Any]]:
    return score_table(SAID, **SETTINGS)


def test_a_row_for_each_type_with_its_number_of_questions(table: dict[str, dict[str, Any]]) -> None:
    assert {name: row["n"] for name, row in table.items()} == {
        "single_hop": 2,
        "temporal": 3,
        "multi_hop": 2,
        "two_hop": 1,
        "three_hop": 1,
        "unanswerable": 1,
        "answerable": 7,
        "all": 8,
    }


def test_exact_match_and_overlap_by_type(table: dict[str, dict[str, Any]]) -> None:
    assert table["single_hop"]["em"] == 1.0
    assert table["temporal"]["em"] == pytest.approx(1 / 3, abs=1e-5)
    assert table["temporal"]["f1"] == pytest.approx((1 + 0 + 2 / 3) / 3, abs=1e-5)
    assert (table["two_hop"]["em"], table["three_hop"]["em"], table["multi_hop"]["em"]) == (1.0, 0.0, 0.5)
    assert table["three_hop"]["f1"] == pytest.approx(2 / 3, abs=1e-5)
    assert table["unanswerable"]["em"] == 1.0
    assert table["all"]["em"] == pytest.approx(5 / 8, abs=1e-5)


def test_each_row_has_an_error_and_prompt_tokens(table: dict[str, dict[str, Any]]) -> None:
    for row in table.values():
        assert row["em_stderr"] >= 0
    assert table["single_hop"]["em_stderr"] == 0  # all alike
    assert 0.05 < table["all"]["em_stderr"] < 0.4
    assert table["single_hop"]["prompt_tokens"] == 15


def test_recall_is_that_of_the_last_hop_in_the_last_layer(table: dict[str, dict[str, Any]]) -> None:
    assert table["single_hop"]["recall_at_1"] == 0.5
    assert table["single_hop"]["recall_at_k"] == 1.0
    assert table["two_hop"]["recall_at_1"] == 0.0
    assert table["two_hop"]["recall_at_k"] == 1.0
    assert table["three_hop"]["recall_at_1"] == 1.0
    assert table["temporal"]["recall_at_k"] == pytest.approx(2 / 3, abs=1e-5)
    assert "recall_at_8" not in table["single_hop"], "only three facts were weighed"
    assert "recall_at_1" not in table["unanswerable"]


def test_support_recall_is_the_share_of_hops_found_by_any_layer(table: dict[str, dict[str, Any]]) -> None:
    """By hand: the first layer ranks 0, 1, 2 first, the last one as each answer says."""
    assert table["single_hop"]["support_recall_at_1"] == 0.5  # fact 1 is second in both layers
    assert table["single_hop"]["support_recall_at_k"] == 1.0
    assert table["two_hop"]["support_recall_at_1"] == 0.5  # fact 1, not fact 3
    assert table["two_hop"]["support_recall_at_k"] == 1.0
    assert table["three_hop"]["support_recall_at_1"] == pytest.approx(1 / 3, abs=1e-5)  # fact 5
    assert table["three_hop"]["support_recall_at_k"] == 1.0
    assert table["temporal"]["support_recall_at_1"] == pytest.approx(1 / 3, abs=1e-5)
    assert table["temporal"]["support_recall_at_k"] == 1.0  # fact 2 is in the first layer alone, fact 4 in the last
    assert "support_recall_at_1" not in table["unanswerable"]


def test_support_recall_counts_the_first_facts_of_each_layer() -> None:
    path = question(0, "multi-hop", "Di", (7, 8, 9))
    answer = Prediction("Di", ((7, 1, 9), (2, 8, 3), (4, 5, 6)))
    assert [support_recall(path, answer, k) for k in (1, 2, 3)] == pytest.approx([1 / 3, 2 / 3, 1])


def test_any_of_the_alternatives_of_a_hop_counts_as_found() -> None:
    """Three facts answer the question; the last layer ranks one of them second and another third."""
    several = question(0, "temporal", "Di", (3, 2, 6), year_window(2002))
    said = Predictions([several], [Prediction("Di", ((5, 4, 3), (1, 2, 6)))], FACTS)
    row = score_table(said, **SETTINGS)["temporal"]
    assert (row["recall_at_1"], row["recall_at_k"]) == (0.0, 1.0)
    assert (row["support_recall_at_1"], row["support_recall_at_k"]) == (0.0, 1.0)
    assert recall_curve(said) == {"temporal": [0.0, 1.0, 1.0]}
    first_alone = Predictions([several], [Prediction("Di", ((6, 0, 0), (1, 0, 4)))], FACTS)
    row = score_table(first_alone, **SETTINGS)["temporal"]
    assert (row["recall_at_k"], row["support_recall_at_1"]) == (0.0, 1.0), "recall is of the last layer"


def test_facts_of_a_path_are_no_alternatives() -> None:
    """The first hop's fact on top is no hit for the question, which wants the last one's."""
    path = question(0, "multi-hop", "Di", (1, 3), year_window(2002))
    said = Predictions([path], [Prediction("Di", ((1, 0), (1, 0)))], FACTS)
    row = score_table(said, **SETTINGS)["two_hop"]
    assert (row["recall_at_k"], row["support_recall_at_k"]) == (0.0, 0.5)


def test_a_question_of_several_alternatives_is_no_multi_hop_question() -> None:
    said = Predictions([question(0, "single-hop", "Di", (1, 2, 3))], [Prediction("Di", ((1, 2),))], FACTS)
    assert set(score_table(said, **SETTINGS)) == {"single_hop", "answerable", "all"}


def test_time_accuracy_is_of_questions_with_competing_windows(table: dict[str, dict[str, Any]]) -> None:
    assert (table["temporal"]["time_accuracy"], table["temporal"]["time_n"]) == (0.5, 2)
    assert (table["two_hop"]["time_accuracy"], table["two_hop"]["time_n"]) == (0.0, 1)  # its top fact has no window
    assert "time_accuracy" not in table["single_hop"]
    assert "time_accuracy" not in table["three_hop"], "the last hop, Di's employer, has one fact"


def test_the_null_weight_tells_unanswerable_questions_apart() -> None:
    assert score_table(SAID, **SETTINGS)["all"]["abstain_auroc"] == 1.0
    low = [*PREDICTIONS[:-1], predicted("", (0, 1, 2), 0.15)]  # above four of seven, below three
    changed = score_table(Predictions(QUESTIONS, low, FACTS), **SETTINGS)
    assert changed["all"]["abstain_auroc"] == changed["unanswerable"]["abstain_auroc"] == pytest.approx(4 / 7, abs=1e-5)


def test_abstention_needs_both_kinds_of_questions() -> None:
    table = score_table(Predictions(QUESTIONS[:-1], PREDICTIONS[:-1], FACTS), **SETTINGS)
    assert table["all"]["abstain_auroc"] is None
    assert "unanswerable" not in table


def test_a_system_without_retrieval_has_no_retrieval_figures() -> None:
    plain = [Prediction(answer.text, prompt_tokens=5) for answer in PREDICTIONS]
    table = score_table(Predictions(QUESTIONS, plain, FACTS), **SETTINGS)
    for row in table.values():
        assert set(row) == {"n", "em", "em_stderr", "f1", "prompt_tokens"}


def test_an_answer_of_unknown_is_an_abstention_too() -> None:
    answers = [Prediction("Unknown."), Prediction("Rome")]
    twice = [QUESTIONS[-1], question(8, "unanswerable", "", ())]
    assert score_table(Predictions(twice, answers, FACTS), **SETTINGS)["unanswerable"]["em"] == 0.5


def test_equal_seeds_give_equal_tables() -> None:
    first = score_table(SAID, bootstrap_samples=50, seed=1)
    assert first == score_table(SAID, bootstrap_samples=50, seed=1)
    assert first != score_table(SAID, bootstrap_samples=50, seed=2)


def test_recall_curves_rise_and_end_at_recall_at_k(table: dict[str, dict[str, Any]]) -> None:
    curves = recall_curve(SAID)
    assert set(curves) == {"single_hop", "temporal", "two_hop", "three_hop"}
    for name, curve in curves.items():
        assert len(curve) == 3
        assert curve == sorted(curve)
        assert (curve[0], curve[-1]) == (table[name]["recall_at_1"], table[name]["recall_at_k"])
    assert curves["single_hop"] == [0.5, 1.0, 1.0]


def test_first_of_each_type_keeps_the_order_of_the_file() -> None:
    assert first_of_each_type(QUESTIONS, 1) == [0, 2, 5, 7]
    assert first_of_each_type(QUESTIONS, 2) == [0, 1, 2, 3, 5, 6, 7]
    assert first_of_each_type(QUESTIONS, 100) == list(range(8))
    assert first_of_each_type(QUESTIONS, 0) == []


def test_a_system_is_compared_with_another_on_the_questions_that_both_were_asked() -> None:
    silent = Predictions(QUESTIONS[1:], [Prediction("unknown")] * 7, FACTS)
    table = differences(silent, SAID, "stage_a", **SETTINGS)
    assert table["temporal"]["em_minus_stage_a"] == pytest.approx(-1 / 3, abs=1e-5)
    assert table["single_hop"]["em_minus_stage_a"] == -1.0, "the first question was asked of the other alone"
    assert table["unanswerable"] == dict.fromkeys(
        ("em_minus_stage_a", "em_minus_stage_a_low", "em_minus_stage_a_high"), 0.0
    )
    assert set(table) == set(TYPES)
    for row in table.values():
        assert row["em_minus_stage_a_low"] <= row["em_minus_stage_a"] <= row["em_minus_stage_a_high"]


def test_a_retriever_without_null_fact_has_recall_but_no_abstention_score() -> None:
    found = Predictions(QUESTIONS, [Prediction("x", ranked=(answer.ranked[-1],)) for answer in PREDICTIONS], FACTS)
    table = score_table(found, **SETTINGS)
    assert table["single_hop"]["recall_at_1"] == 0.5
    assert "abstain_auroc" not in table["all"]


def full_table() -> dict[str, Any]:
    """Three splits with figures that differ everywhere."""
    table: dict[str, Any] = {}
    for place, split in enumerate(("dev", "swap", "novel")):
        base = 0.9 - place / 10
        kinds = ("single_hop", "temporal", "two_hop", "three_hop", "answerable", "all")
        rows = {kind: {"em": round(base + number / 1000, 5)} for number, kind in enumerate(kinds)}
        rows["answerable"]["recall_at_8"] = base + 0.05
        rows["all"]["abstain_auroc"] = base + 0.07
        closed = {"answerable": {"em": place / 100}}
        table[split] = {"stage_b": rows, "closed_book": closed, "in_context": {"single_hop": {"em": base + 0.08}}}
        table[split]["stage_a"] = {kind: {"em": 0.123} for kind in kinds}
    return table


def test_headline_takes_its_figures_from_the_table() -> None:
    figures = headline(full_table(), "stage_b")
    assert len(figures) == 12
    assert figures == pytest.approx(
        {
            "swap_em_single_hop": 0.8,
            "swap_em_temporal": 0.801,
            "swap_em_two_hop": 0.802,
            "swap_em_three_hop": 0.803,
            "swap_recall_at_8": 0.85,
            "swap_abstain_auroc": 0.87,
            "swap_em_in_context": 0.88,
            "novel_em_single_hop": 0.7,
            "novel_em_temporal": 0.701,
            "novel_em_two_hop": 0.702,
            "closed_book_em_max": 0.02,
            "dev_minus_swap_em": 0.1,
        },
        abs=1e-5,
    )


def test_headline_leaves_out_what_was_not_measured() -> None:
    table = full_table()
    del table["novel"], table["dev"], table["swap"]["closed_book"], table["swap"]["in_context"]
    table["swap"]["stage_b"]["all"]["abstain_auroc"] = None
    figures = headline(table, "stage_b")
    assert set(figures) == {
        "swap_em_single_hop",
        "swap_em_temporal",
        "swap_em_two_hop",
        "swap_em_three_hop",
        "swap_recall_at_8",
    }
    assert headline({}, "stage_b") == {}


def test_headline_is_that_of_the_system_asked_for() -> None:
    assert headline(full_table(), "stage_a")["swap_em_single_hop"] == 0.123


def converted_table() -> dict[str, Any]:
    """A converted dataset's splits, with figures that differ everywhere, for every kind and system."""
    table: dict[str, Any] = {}
    systems = ("stage_b", "stage_a", "closed_book", "in_context", "rag_1", "rag_5", "lookup", "no_hop")
    figures = ("em", "f1", "recall_at_1", "recall_at_8", "support_recall_at_1", "support_recall_at_8", "abstain_auroc")
    for s, split in enumerate(("dev", "test", "test_hard")):
        for y, system in enumerate(systems):
            rows = {
                kind: {name: round(0.2 * s + 0.02 * y + 0.001 * k + 0.0001 * f, 5) for f, name in enumerate(figures)}
                for k, kind in enumerate(TYPES)
            }
            table.setdefault(split, {})[system] = rows
    return table


def test_headline_of_a_converted_dataset_is_of_its_test_questions() -> None:
    table = converted_table()
    figures = headline(table, "stage_b")
    assert len(figures) <= 12
    test, hard = table["test"], table["test_hard"]["stage_b"]
    answerable = test["stage_b"]["answerable"]
    expected = {
        "test_em": answerable["em"],
        "test_f1": answerable["f1"],
        "test_recall_at_1": answerable["recall_at_1"],
        "test_recall_at_8": answerable["recall_at_8"],
        "test_support_recall_at_8": answerable["support_recall_at_8"],
        "test_abstain_auroc": test["stage_b"]["all"]["abstain_auroc"],
        "test_hard_em": hard["answerable"]["em"],
        "test_hard_recall_at_8": hard["answerable"]["recall_at_8"],
        "test_em_in_context": test["in_context"]["answerable"]["em"],
        "test_em_rag_1": test["rag_1"]["answerable"]["em"],
        "closed_book_em_max": max(table[split]["closed_book"]["answerable"]["em"] for split in ("dev", "test")),
    }
    assert figures == pytest.approx(expected, abs=1e-5)
    assert headline(table, "stage_a")["test_em"] == pytest.approx(test["stage_a"]["answerable"]["em"], abs=1e-5)


def test_headline_of_a_converted_dataset_without_hard_questions_has_the_rest() -> None:
    table = converted_table()
    whole = headline(table, "stage_b")
    del table["test_hard"], table["dev"]
    kept = {name: value for name, value in whole.items() if not name.startswith("test_hard")}
    assert headline(table, "stage_b") == kept
