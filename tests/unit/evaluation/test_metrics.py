"""Figures against hand-computed cases and naive implementations."""

from __future__ import annotations

import random
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kblampp.core.errors import DataError
from kblampp.evaluation.metrics import (
    auroc,
    bootstrap_stderr,
    calibration_error,
    exact_match,
    f1,
    hit_at,
    is_abstention,
    normalize_answer,
    paired_bootstrap_interval,
    recall_at,
    risk_by_coverage,
)

FLOATS = st.floats(-1e3, 1e3)
WORDS = st.lists(st.sampled_from(["port", "alder", "north", "unknown", "1998"]), max_size=5).map(" ".join)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The  Port of Alder.", "port of alder"),
        ("U.S.A.", "usa"),
        ("a an the", "a an the"),
        ("!!!", "!!!"),
        ("", ""),
        ("  \n", ""),
        ("Anna the Great", "anna great"),
        ("Jean-Luc", "jeanluc"),
        ("Łódź", "łódź"),
    ],
)
def test_normalised(text: str, expected: str) -> None:
    assert normalize_answer(text) == expected


@given(st.text())
def test_normalising_twice_changes_nothing_that_counts(text: str) -> None:
    once = normalize_answer(text)
    assert once == " ".join(once.split())
    assert (once == "") == (text.strip() == "")


@pytest.mark.parametrize(
    ("prediction", "answers", "em", "f_one"),
    [
        ("the Port Alder", ["Port Alder"], 1.0, 1.0),
        ("Port", ["Port Alder"], 0.0, 2 / 3),
        ("Port Alder North", ["Port Alder"], 0.0, 4 / 5),
        ("Alder Port", ["Port Alder"], 0.0, 1.0),
        ("port port", ["Port Alder"], 0.0, 1 / 2),
        ("Jo", ["Joanna", "Jo"], 1.0, 1.0),
        ("Anna Lee", ["B. Lee", "Anna M. Lee"], 0.0, 4 / 5),
        ("", ["Port Alder"], 0.0, 0.0),
        ("unknown", ["Port Alder"], 0.0, 0.0),
        ("Unknown.", ["unknown"], 1.0, 1.0),
        ("", ["unknown"], 1.0, 1.0),
        ("unknown", [""], 1.0, 1.0),
        ("Port Alder", ["unknown"], 0.0, 0.0),
        ("unknown soldier", ["unknown"], 0.0, 0.0),
        ("the", [""], 0.0, 0.0),
        ("The The", ["the the"], 1.0, 1.0),
    ],
)
def test_answers_by_hand(prediction: str, answers: list[str], em: float, f_one: float) -> None:
    assert exact_match(prediction, answers) == em
    assert f1(prediction, answers) == pytest.approx(f_one)


@given(WORDS, st.lists(WORDS, min_size=1, max_size=3))
def test_f1_is_bounded_symmetric_and_at_least_exact_match(prediction: str, answers: list[str]) -> None:
    score = f1(prediction, answers)
    assert 0 <= exact_match(prediction, answers) <= score <= 1
    assert score == max(f1(answer, [prediction]) for answer in answers)
    assert exact_match(answers[0], answers) == f1(answers[0], answers) == 1


@given(WORDS, WORDS)
def test_f1_is_the_harmonic_mean_of_precision_and_recall(prediction: str, gold: str) -> None:
    if is_abstention(prediction) or is_abstention(gold):
        return
    rest = gold.split()
    hits = 0
    for word in prediction.split():
        if word in rest:
            rest.remove(word)
            hits += 1
    precision, recall = hits / len(prediction.split()), hits / len(gold.split())
    expected = 0.0 if hits == 0 else 2 * precision * recall / (precision + recall)
    assert f1(prediction, [gold]) == pytest.approx(expected)


@pytest.mark.parametrize("answers", [[], (), "unknown"])
def test_answers_must_be_a_list_that_is_not_empty(answers: list[str]) -> None:
    with pytest.raises(DataError, match="answers is"):
        exact_match("x", answers)
    with pytest.raises(DataError, match="answers is"):
        f1("x", answers)


def test_bootstrap_error_of_a_share_is_near_the_formula() -> None:
    values = [1.0] * 300 + [0.0] * 100
    expected = (0.75 * 0.25 / 400) ** 0.5
    assert bootstrap_stderr(values, 4000, seed=1) == pytest.approx(expected, rel=0.05)


def test_bootstrap_error_against_a_naive_bootstrap() -> None:
    values = [random.Random(0).gauss(0, 3) for _ in range(50)]
    rng = random.Random(1)
    naive = statistics.stdev(statistics.fmean(rng.choices(values, k=50)) for _ in range(4000))
    assert bootstrap_stderr(values, 4000, seed=1) == pytest.approx(naive, rel=0.06)


@given(st.lists(FLOATS, min_size=1, max_size=20), st.integers(0, 1000))
def test_bootstrap_error_is_deterministic_and_ignores_a_shift(values: list[float], seed: int) -> None:
    error = bootstrap_stderr(values, 20, seed)
    assert error == bootstrap_stderr(np.array(values), 20, seed)
    assert error >= 0
    assert bootstrap_stderr([value + 5 for value in values], 20, seed) == pytest.approx(error, abs=1e-9)


def test_equal_values_have_no_error() -> None:
    assert bootstrap_stderr([1.0] * 7, 50, seed=0) == 0
    assert bootstrap_stderr([True], 50, seed=0) == 0


def test_bootstrap_in_blocks_is_a_bootstrap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kblampp.evaluation.metrics._CELLS", 1000)
    assert bootstrap_stderr([0, 1] * 200, 999, seed=3) == pytest.approx(0.025, rel=0.1)


@pytest.mark.parametrize(("values", "samples"), [([], 10), ([float("nan")], 10), ([[1.0]], 10), ([1.0, 2.0], 1)])
def test_bootstrap_refuses(values: list[float], samples: int) -> None:
    with pytest.raises(DataError):
        bootstrap_stderr(values, samples, seed=0)


def test_pairing_cancels_what_questions_share() -> None:
    rng = np.random.default_rng(0)
    hard = rng.normal(0, 10, 200)
    a, b = hard + 1 + rng.normal(0, 0.1, 200), hard
    low, high = paired_bootstrap_interval(a, b, 1000, seed=0)
    assert 0.9 < low < high < 1.1
    assert paired_bootstrap_interval(a, b, 1000, seed=0) == (low, high)
    assert paired_bootstrap_interval(b, a, 1000, seed=0) == pytest.approx((-high, -low))


def test_a_wider_confidence_is_a_wider_interval() -> None:
    a, b = [1, 0, 1, 1, 0, 1, 0, 1], [0, 0, 1, 0, 1, 1, 0, 0]
    low, high = paired_bootstrap_interval(a, b, 500, seed=0, confidence=0.5)
    lower, higher = paired_bootstrap_interval(a, b, 500, seed=0, confidence=0.99)
    assert lower <= low <= np.mean(a) - np.mean(b) <= high <= higher
    assert paired_bootstrap_interval(a, a, 500, seed=0) == (0, 0)


def test_interval_refuses() -> None:
    with pytest.raises(DataError, match="a has 2 values and b 1"):
        paired_bootstrap_interval([1, 2], [1], 10, seed=0)
    with pytest.raises(DataError, match="confidence is 95"):
        paired_bootstrap_interval([1, 2], [1, 2], 10, seed=0, confidence=95)


@pytest.mark.parametrize(
    ("scores", "labels", "area"),
    [
        ([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1], 0.75),
        ([1, 2, 3], [False, False, True], 1.0),
        ([3, 2, 1], [False, False, True], 0.0),
        ([5, 5, 5, 5], [1, 0, 1, 0], 0.5),
        ([1, 1, 2], [0, 1, 1], 0.75),
        ([1, 2], [1, 1], None),
        ([1, 2], [0, 0], None),
    ],
)
def test_area_by_hand(scores: list[float], labels: list[bool], area: float | None) -> None:
    assert auroc(scores, labels) == (None if area is None else pytest.approx(area))


@given(st.lists(st.tuples(st.integers(-3, 3) | FLOATS, st.booleans()), min_size=1, max_size=30))
def test_area_is_the_share_of_pairs_in_order(pairs: list[tuple[int, bool]]) -> None:
    scores, labels = zip(*pairs, strict=True)
    positive = [score for score, label in pairs if label]
    negative = [score for score, label in pairs if not label]
    wins = [(p > n) + (p == n) / 2 for p in positive for n in negative]
    area = auroc(scores, labels)
    assert (area is None) == (not wins)
    if area is not None:
        assert area == pytest.approx(sum(wins) / len(wins))
        assert auroc([-score for score in scores], labels) == pytest.approx(1 - area)


@pytest.mark.parametrize(("scores", "labels"), [([], []), ([1.0, float("nan")], [0, 1]), ([1.0, 2.0], [1])])
def test_area_refuses(scores: list[float], labels: list[bool]) -> None:
    with pytest.raises(DataError):
        auroc(scores, labels)


@pytest.mark.parametrize(
    ("ranked", "gold", "k", "share"),
    [
        ([7, 3, 9], [7], 1, 1.0),
        ([7, 3, 9], [3], 1, 0.0),
        ([7, 3, 9], [3, 9], 2, 0.5),
        ([7, 3, 9], [9, 9, 3], 8, 1.0),
        ([], [1], 4, 0.0),
    ],
)
def test_recall(ranked: list[int], gold: list[int], k: int, share: float) -> None:
    assert recall_at(ranked, gold, k) == share
    assert recall_at(np.array(ranked, dtype=np.int64), gold, k) == share


@given(st.lists(st.integers(0, 20), unique=True), st.lists(st.integers(0, 20), min_size=1), st.integers(1, 20))
def test_recall_grows_with_k(ranked: list[int], gold: list[int], k: int) -> None:
    assert 0 <= recall_at(ranked, gold, k) <= recall_at(ranked, gold, k + 1) <= 1


def test_recall_refuses() -> None:
    with pytest.raises(DataError, match="no gold ids"):
        recall_at([1], [], 1)
    with pytest.raises(DataError, match="k = 0"):
        recall_at([1], [1], 0)


@pytest.mark.parametrize(
    ("gold", "k", "hit"),
    [([5], 1, 1.0), ([7], 1, 0.0), ([7], 2, 1.0), ([9, 7, 3], 2, 1.0), ([9, 3], 99, 0.0), ([7, 5], 1, 1.0)],
)
def test_one_of_several_gold_ids_is_enough_for_a_hit(gold: list[int], k: int, hit: float) -> None:
    for ranked in ([5, 7, 2], np.array([5, 7, 2])):
        assert hit_at(ranked, gold, k) == hit


@given(st.lists(st.integers(0, 20), unique=True), st.lists(st.integers(0, 20), min_size=1), st.integers(1, 20))
def test_a_hit_is_that_of_the_best_gold_id(ranked: list[int], gold: list[int], k: int) -> None:
    assert hit_at(ranked, gold, k) == max(recall_at(ranked, [one], k) for one in gold)


def test_a_hit_refuses_what_recall_refuses() -> None:
    with pytest.raises(DataError, match="no gold ids"):
        hit_at([1], [], 1)
    with pytest.raises(DataError, match="k = 0"):
        hit_at([1], [1], 0)


def test_risk_by_hand() -> None:
    assert risk_by_coverage([0.2, 0.9, 0.8], [0, 1, 0]).tolist() == pytest.approx([0, 1 / 2, 2 / 3])
    assert risk_by_coverage([0.5, 0.5, 0.9], [1, 0, 1]).tolist() == pytest.approx([0, 1 / 4, 1 / 3])


ANSWERED = st.lists(st.tuples(st.sampled_from([0.0, 0.1, 0.4, 1.0]), st.booleans()), min_size=1, max_size=30)


@given(ANSWERED, st.randoms())
def test_risk_depends_on_no_order_and_ends_at_the_share_of_errors(
    pairs: list[tuple[float, bool]], rng: random.Random
) -> None:
    confidence, correct = zip(*pairs, strict=True)
    risk = risk_by_coverage(confidence, correct)
    assert len(risk) == len(pairs)
    assert risk[-1] == pytest.approx(1 - statistics.fmean(correct))
    mixed = rng.sample(pairs, len(pairs))
    assert risk_by_coverage(*zip(*mixed, strict=True)) == pytest.approx(risk)


@given(ANSWERED)
def test_no_confidence_beats_being_sure_of_what_is_right(pairs: list[tuple[float, bool]]) -> None:
    confidence, correct = zip(*pairs, strict=True)
    assert risk_by_coverage(correct, correct).mean() <= risk_by_coverage(confidence, correct).mean() + 1e-9


@pytest.mark.parametrize(
    ("confidence", "correct", "bins", "error"),
    [
        ([1.0, 1.0], [1, 1], 15, 0.0),
        ([1.0, 1.0], [0, 0], 15, 1.0),
        ([0.9, 0.9, 0.1, 0.1], [1, 1, 0, 0], 15, 0.1),
        ([0.4, 0.2], [0, 1], 2, 0.2),  # one bin: confidence 0.3, accuracy 0.5
        ([0.4, 0.6], [0, 1], 2, 0.4),  # two bins
        ([0.0, 0.5], [0, 1], 2, 0.25),  # an upper edge belongs to its bin: one bin again
    ],
)
def test_calibration_by_hand(confidence: list[float], correct: list[int], bins: int, error: float) -> None:
    assert calibration_error(confidence, correct, bins) == pytest.approx(error)


@given(ANSWERED, st.integers(1, 20))
def test_calibration_error_is_a_share_and_at_least_the_gap_of_the_means(
    pairs: list[tuple[float, bool]], bins: int
) -> None:
    confidence, correct = zip(*pairs, strict=True)
    error = calibration_error(confidence, correct, bins)
    gap = abs(statistics.fmean(confidence) - statistics.fmean(correct))
    assert gap - 1e-9 <= error <= 1 + 1e-9


@pytest.mark.parametrize(("confidence", "correct"), [([], []), ([0.5], [1, 0]), ([float("nan")], [1])])
def test_confidence_refuses(confidence: list[float], correct: list[int]) -> None:
    with pytest.raises(DataError):
        risk_by_coverage(confidence, correct)
    with pytest.raises(DataError):
        calibration_error(confidence, correct)
