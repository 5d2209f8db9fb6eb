"""Whether a model knows what its knowledge base does not say: the null fact's weight as a reason to refuse.

The score is the null weight of the last layer at the answer's first token.  With a threshold, a question whose score
lies above it is refused; any other gets the model's own answer, which may be a refusal ("unknown") as well.  The
threshold is chosen on `dev` alone.

Confidence, for risk-coverage curve and calibration, is the weight of the heaviest candidate of the last layer, the null
fact included: how sure the model is of what it says, be it an answer or that there is none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kblampp.data.facts import REASONS
from kblampp.evaluation.metrics import auroc, calibration_error, is_abstention, risk_by_coverage
from kblampp.evaluation.table import DIGITS, Predictions, rounded

DEV = "dev"
CURVE_POINTS = 101


def abstention_table(splits: Mapping[str, Predictions]) -> dict[str, dict[str, Any]]:
    """`{split: {figure: value}}`, and under each reason why a question has no answer the figures of those questions.

    Args:
        splits: What the model said, by split.  Without `dev` there is no threshold, nor what follows of
            it; a model that weighs no facts (`selector.top_k` 0) has no figures at all.
    """
    known = {split: said for split, said in splits.items() if said.top_k}
    threshold = choose_threshold(known[DEV]) if DEV in known else None
    return {split: _figures(said, threshold) for split, said in known.items()}


def choose_threshold(said: Predictions) -> float:
    """The null weight above which refusing makes most answers right, a refusal of an unanswerable question being right.

    It stands midway between two scores that occur, or at 0 (refuse all) or 1 (refuse none); among equally good ones it
    is the middle one, which leaves most room to both sides.
    """
    null, unanswerable, right = said.null, said.unanswerable, np.array(said.matches())
    scores = np.unique(null)
    cuts = np.array([0.0, *(scores[1:] + scores[:-1]) / 2, 1.0])
    accuracy = np.array([np.where(null > cut, unanswerable, right).mean() for cut in cuts])
    best = cuts[accuracy == accuracy.max()]
    return round(float(best[len(best) // 2]), DIGITS)


def _figures(said: Predictions, threshold: float | None) -> dict[str, Any]:
    null, unanswerable, right = said.null, said.unanswerable, np.array(said.matches())
    confidence = _confidence(said)
    row: dict[str, Any] = {
        "n": len(null),
        "auroc": said.abstain_auroc,
        "aurc": float(risk_by_coverage(confidence, right).mean()),
        "ece": calibration_error(confidence, right),
    }
    refused = None if threshold is None else _refused(said, threshold)
    if refused is not None:
        row |= {"threshold": threshold, **_at_threshold(refused, unanswerable, right)}
    for reason in REASONS:
        near = np.array([question.reason == reason for question in said.questions])
        if near.any():
            part = near | ~unanswerable
            figures = {"n": int(near.sum()), "auroc": auroc(null[part], near[part])}
            if refused is not None:
                figures["refused"] = float(refused[near].mean())
            row[reason] = rounded(figures)
    return rounded(row)


def _at_threshold(
    refused: NDArray[np.bool_], unanswerable: NDArray[np.bool_], right: NDArray[np.float64]
) -> dict[str, float | None]:
    """Figures of the decisions; precision, recall and F1 are those of refusals, None where they are undefined."""
    correct = np.where(refused, unanswerable, right)
    hits, refusals, wanted = (refused & unanswerable).sum(), refused.sum(), unanswerable.sum()
    return {
        "em_answerable": float(correct[~unanswerable].mean()) if not unanswerable.all() else None,
        "refusal_precision": float(hits / refusals) if refusals else None,
        "refusal_recall": float(hits / wanted) if wanted else None,
        "refusal_f1": float(2 * hits / (refusals + wanted)) if refusals + wanted else None,
        "accuracy": float(correct.mean()),
    }


def risk_coverage(splits: Mapping[str, Predictions]) -> list[dict[str, Any]]:
    """Points of the risk-coverage curves, at most 101 a split, at even steps of coverage."""
    points = []
    for split, said in splits.items():
        if said.top_k:
            risk = risk_by_coverage(_confidence(said), said.matches())
            places = np.unique(np.linspace(0, len(risk) - 1, CURVE_POINTS).round().astype(int))
            points += [
                {"split": split, "coverage": round((i + 1) / len(risk), DIGITS), "risk": round(float(risk[i]), DIGITS)}
                for i in places.tolist()
            ]
    return points


def _refused(said: Predictions, threshold: float) -> NDArray[np.bool_]:
    in_words = [is_abstention(prediction.text) for prediction in said.predictions]
    return np.logical_or(said.null > threshold, in_words)


def _confidence(said: Predictions) -> NDArray[np.float64]:
    return np.array([max(prediction.alpha[-1][0], prediction.null or 0.0) for prediction in said.predictions])
