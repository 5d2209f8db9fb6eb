"""Refusing by the null weight: figures counted by hand, and the threshold against a plain search."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kblampp.data.facts import Question
from kblampp.evaluation.abstention import CURVE_POINTS, abstention_table, choose_threshold, risk_coverage
from kblampp.evaluation.table import Predictions
from kblampp.model.predictor import Prediction


def said(*rows: tuple[str, str, float]) -> Predictions:
    """Questions as (right answer or reason, prediction, null weight); what is no reason is an answer."""
    questions, predictions = [], []
    for number, (truth, prediction, null) in enumerate(rows):
        reason = truth if "_" in truth else None
        kind, answer, support = ("unanswerable", "", ()) if reason else ("single-hop", truth, (0,))
        questions.append(Question(f"q{number}", "test", "?", answer, (), kind, support, None, reason))
        predictions.append(Prediction(prediction, ((0,),), ((1 - null,),), null))
    return Predictions(questions, predictions, [])


DEV = said(("Rome", "Rome", 0.1), ("Oslo", "Oslo", 0.2), ("unknown_head", "Oslo", 0.6), ("wrong_time", "Rome", 0.8))
SWAP = said(
    ("Rome", "Rome", 0.0),
    ("Oslo", "Oslo", 0.5),  # right, but refused
    ("Oslo", "Rome", 0.1),
    ("Oslo", "unknown", 0.1),  # refused by the model itself
    ("unknown_head", "Oslo", 0.9),
    ("unknown_head", "unknown", 0.3),
    ("missing_relation", "Rome", 0.05),  # answered, though there is no answer
)


def test_the_threshold_stands_midway_between_what_is_to_be_told_apart() -> None:
    assert choose_threshold(DEV) == 0.4


def test_figures_at_the_threshold_by_hand() -> None:
    row = abstention_table({"dev": DEV, "swap": SWAP})["swap"]
    assert (row["threshold"], row["n"]) == (0.4, 7)
    assert row["em_answerable"] == 1 / 4
    assert row["refusal_precision"] == 2 / 4
    assert row["refusal_recall"] == pytest.approx(2 / 3, abs=1e-5)
    assert row["refusal_f1"] == pytest.approx(4 / 7, abs=1e-5)
    assert row["accuracy"] == pytest.approx(3 / 7, abs=1e-5)


def test_areas_by_reason_are_against_all_answerable_questions() -> None:
    row = abstention_table({"dev": DEV, "swap": SWAP})["swap"]
    assert row["auroc"] == pytest.approx((4 + 3 + 1) / 12, abs=1e-5)
    assert row["unknown_head"] == {"n": 2, "auroc": 7 / 8, "refused": 1.0}
    assert row["missing_relation"] == {"n": 1, "auroc": 1 / 4, "refused": 0.0}
    assert "wrong_time" not in row


def test_confidence_is_that_of_the_heaviest_candidate() -> None:
    row = abstention_table({"dev": DEV})["dev"]  # confidences 0.9, 0.8, 0.6, 0.8; the last two are wrong
    assert row["aurc"] == pytest.approx((0 + 1 / 4 + 1 / 3 + 1 / 2) / 4, abs=1e-5)
    assert row["ece"] == pytest.approx((0.1 + 0.6 + 0.6) / 4, abs=1e-5)


def test_the_threshold_is_chosen_on_dev_alone() -> None:
    other = said(("Rome", "Rome", 0.9), ("unknown_head", "Rome", 0.1))
    assert abstention_table({"dev": DEV, "swap": other})["swap"]["threshold"] == 0.4
    alone = abstention_table({"swap": SWAP})["swap"]
    assert {"threshold", "accuracy", "refusal_f1"}.isdisjoint(alone)
    assert "refused" not in alone["unknown_head"]
    assert alone["auroc"] is not None


def test_a_model_that_weighs_no_facts_has_no_figures() -> None:
    plain = Predictions(DEV.questions, [Prediction("x")] * 4, [])
    assert abstention_table({"dev": plain}) == {}
    assert risk_coverage({"dev": plain}) == []


ROWS = st.lists(
    st.tuples(
        st.sampled_from(["Rome", "unknown_head"]),
        st.sampled_from(["Rome", "Oslo", "unknown"]),
        st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]),
    ),
    min_size=1,
    max_size=20,
)


def accuracy(rows: list[tuple[str, str, float]], threshold: float) -> float:
    """Share of right decisions, told question by question."""
    right = 0
    for truth, prediction, null in rows:
        said = "unknown" if null > threshold else prediction
        right += said == ("unknown" if truth == "unknown_head" else truth)
    return right / len(rows)


@settings(deadline=None)
@given(ROWS)
def test_no_other_threshold_is_more_often_right(rows: list[tuple[str, str, float]]) -> None:
    table = abstention_table({"dev": said(*rows)})["dev"]
    assert table["threshold"] == choose_threshold(said(*rows))
    assert table["accuracy"] == pytest.approx(accuracy(rows, table["threshold"]), abs=1e-5)
    for other in (0.0, 0.1, 0.3, 0.6, 0.8, 1.0):
        assert accuracy(rows, other) <= accuracy(rows, table["threshold"]) + 1e-9


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 400))
def test_curves_have_few_points_and_reach_full_coverage(n: int) -> None:
    rows = [("Rome", "Rome" if number % 3 else "Oslo", number / n) for number in range(n)]
    points = risk_coverage({"swap": said(*rows)})
    assert len(points) == min(n, CURVE_POINTS)
    assert points[-1]["coverage"] == 1.0
    assert points[-1]["risk"] == pytest.approx(-(-n // 3) / n, abs=1e-5)
    assert [point["coverage"] for point in points] == sorted({point["coverage"] for point in points})
