"""How answers, rankings and abstention are measured, and how sure one may be of the figures.

An abstention is the word "unknown" or nothing at all, in predictions and gold answers alike: both mean that the
knowledge base does not say.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import roc_auc_score

from kblampp.core.errors import DataError
from kblampp.data.facts import UNKNOWN_ANSWER

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)
_CELLS = 1 << 22  # resampled values held at a time: 32 MiB


def normalize_answer(text: str) -> str:
    """Lower case, without ASCII punctuation, articles and extra blanks, as SQuAD compares answers.

    Source: Rajpurkar et al. 2016, "SQuAD: 100,000+ Questions for Machine Comprehension of Text", section 6.1, and the
    evaluation script published with it.  One exception: a text that consists of nothing else ("The The", "!!!") keeps
    its articles and punctuation, so that it does not look like no answer.
    """
    lowered = text.lower()
    bare = " ".join(_ARTICLES.sub(" ", lowered.translate(_NO_PUNCTUATION)).split())
    return bare or " ".join(lowered.split())


def is_abstention(text: str) -> bool:
    """Whether an answer says that the knowledge base does not tell: "unknown", in any writing, or nothing."""
    return normalize_answer(text) in ("", UNKNOWN_ANSWER)


def exact_match(prediction: str, answers: Sequence[str]) -> float:
    """1.0 if the normalised prediction is one of the normalised answers, else 0.0 (source: `normalize_answer`).

    Args:
        prediction: what the model wrote.
        answers: the answer and its aliases.  An abstention matches an abstention, however either is written.

    Raises:
        DataError: there is no answer to compare with.
    """
    return max(float(_tokens(prediction) == _tokens(answer)) for answer in _checked(answers))


def f1(prediction: str, answers: Sequence[str]) -> float:
    """Harmonic mean of token precision and recall, for the answer that gives the highest (0 to 1).

    Source: Rajpurkar et al. 2016, section 6.1.  Where either side abstains it is 1.0 if both do, else 0.0, as in
    Rajpurkar et al. 2018, "Know What You Don't Know: Unanswerable Questions for SQuAD".

    Args:
        prediction: what the model wrote.
        answers: the answer and its aliases.

    Raises:
        DataError: there is no answer to compare with.
    """
    return max(_f1(_tokens(prediction), _tokens(answer)) for answer in _checked(answers))


def _checked(answers: Sequence[str]) -> Sequence[str]:
    if isinstance(answers, str) or not answers:  # a lone text would be read as a list of letters
        raise DataError(f"answers is {answers!r}, expected a list with the answer and its aliases")
    return answers


def _tokens(text: str) -> list[str]:
    """Normalised words; none for an abstention."""
    return [] if is_abstention(text) else normalize_answer(text).split()


def _f1(predicted: list[str], gold: list[str]) -> float:
    if not predicted or not gold:
        return float(predicted == gold)
    shared = (Counter(predicted) & Counter(gold)).total()
    return 2 * shared / (len(predicted) + len(gold))


def bootstrap_stderr(values: ArrayLike, samples: int, seed: int) -> float:
    """Bootstrap standard error of the mean.

    Source: Efron and Tibshirani 1993, "An Introduction to the Bootstrap", algorithm 6.1: the standard deviation, with
    `samples - 1` in the denominator, of the means of samples drawn with replacement.

    Args:
        values: shape (n,), one figure a question.
        samples: bootstrap samples, at least 2.
        seed: equal seeds give equal results.

    Raises:
        DataError: no values, values that are not finite, or fewer than 2 samples.
    """
    return float(np.std(_resampled_means(_finite(values, "values"), samples, seed), ddof=1))


def paired_bootstrap_interval(
    a: ArrayLike, b: ArrayLike, samples: int, seed: int, confidence: float = 0.95
) -> tuple[float, float]:
    """Bootstrap interval of mean(a) - mean(b), where `a[i]` and `b[i]` are figures of the same question.

    Questions are drawn, not figures, so what makes a question hard for both systems cancels.  Source: Efron and
    Tibshirani 1993, chapter 13 (percentile intervals), applied to the differences.

    Args:
        a: shape (n,).
        b: shape (n,).
        samples: bootstrap samples, at least 2.
        seed: equal seeds give equal results.
        confidence: share of the bootstrap means inside the interval, between 0 and 1.

    Returns:
        Its lower and upper end.

    Raises:
        DataError: as `bootstrap_stderr`, `a` and `b` differ in length, or `confidence` is out of range.
    """
    first, second = _finite(a, "a"), _finite(b, "b")
    if first.shape != second.shape:
        raise DataError(f"a has {len(first)} values and b {len(second)}, expected one of each for the same questions")
    if not 0 < confidence < 1:
        raise DataError(f"confidence is {confidence}, expected a number between 0 and 1")
    tail = (1 - confidence) / 2
    low, high = np.quantile(_resampled_means(first - second, samples, seed), [tail, 1 - tail])
    return float(low), float(high)


def _resampled_means(values: NDArray[np.float64], samples: int, seed: int) -> NDArray[np.float64]:
    """Means of `samples` draws of n values with replacement, shape (samples,); in blocks that fit in memory."""
    if samples < 2:
        raise DataError(f"the number of bootstrap samples is {samples}, expected at least 2")
    n = len(values)
    rows = max(1, _CELLS // n)
    rng = np.random.default_rng(seed)
    blocks = [
        values[rng.integers(n, size=(min(rows, samples - start), n))].mean(axis=1) for start in range(0, samples, rows)
    ]
    return np.concatenate(blocks)


def _finite(values: ArrayLike, name: str) -> NDArray[np.float64]:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or len(array) == 0 or not np.isfinite(array).all():
        raise DataError(f"{name} has shape {array.shape}, expected one or more finite numbers in a row")
    return array


def auroc(scores: ArrayLike, labels: ArrayLike) -> float | None:
    """Probability that a random positive scores above a random negative, a tie counting one half.

    Source: Hanley and McNeil 1982, "The Meaning and Use of the Area under a Receiver Operating Characteristic (ROC)
    Curve"; computed by scikit-learn.

    Args:
        scores: shape (n,), high where the label should be true.
        labels: shape (n,), true or false.

    Returns:
        The area (0 to 1), or None if all labels are the same: then there is nothing to tell apart.

    Raises:
        DataError: the lengths differ, there are none, or a score is not finite.
    """
    values = _finite(scores, "scores")
    positive = np.asarray(labels, dtype=bool)
    if positive.shape != values.shape:
        raise DataError(f"labels has shape {positive.shape}, expected one label for each of {len(values)} scores")
    if positive.all() or not positive.any():
        return None
    return float(roc_auc_score(positive, values))


def risk_by_coverage(confidence: ArrayLike, correct: ArrayLike) -> NDArray[np.float64]:
    """Risk, the share of wrong answers, when only the n most confident questions are answered, for n = 1 … all.

    Source: El-Yaniv and Wiener 2010, "On the Foundations of Noise-free Selective Classification", section 2.  Questions
    of equal confidence come in no order, so each counts as their mean.  The mean of the curve is the AURC of Geifman et
    al. 2019, "Bias-Reduced Uncertainty Estimation for Deep Neural Classifiers".

    Args:
        confidence: shape (n,).
        correct: shape (n,), 1 for a right answer and 0 for a wrong one, or a figure between.

    Returns:
        Shape (n,); position i is the risk at coverage (i + 1) / n.

    Raises:
        DataError: the lengths differ, there are none, or one is not finite.
    """
    values, right = _paired(confidence, correct)
    _, place, counts = np.unique(-values, return_inverse=True, return_counts=True)
    means = np.bincount(place, weights=right) / counts
    risk: NDArray[np.float64] = 1 - np.cumsum(np.repeat(means, counts)) / np.arange(1, len(values) + 1)
    return risk


def calibration_error(confidence: ArrayLike, correct: ArrayLike, bins: int = 15) -> float:
    """Expected calibration error: mean gap between confidence and accuracy over bins of equal width (0 to 1).

    Source: Guo et al. 2017, "On Calibration of Modern Neural Networks", section 2, equation 3.

    Args:
        confidence: shape (n,), 0 to 1; a bin holds its upper edge, and the first one 0 as well.
        correct: shape (n,), as for `risk_by_coverage`.
        bins: how many.

    Raises:
        DataError: as `risk_by_coverage`.
    """
    values, right = _paired(confidence, correct)
    place = np.clip(np.ceil(values * bins) - 1, 0, bins - 1).astype(int)
    return float(np.abs(np.bincount(place, weights=values - right)).sum() / len(values))


def _paired(confidence: ArrayLike, correct: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    values, right = _finite(confidence, "confidence"), _finite(correct, "correct")
    if values.shape != right.shape:
        raise DataError(f"correct has {len(right)} values, expected one for each of {len(values)} confidences")
    return values, right


def hit_at(ranked: Sequence[int] | NDArray[np.integer], gold: Sequence[int], k: int) -> float:
    """1.0 if one of several gold ids, each of which does by itself, is among the first `k` ranked ones, else 0.0.

    Args:
        ranked: ids for one question, best first.
        gold: ids that do.
        k: at least 1.

    Raises:
        DataError: as `recall_at`.
    """
    return float(recall_at(ranked, gold, k) > 0)


def recall_at(ranked: Sequence[int] | NDArray[np.integer], gold: Sequence[int], k: int) -> float:
    """Share of the distinct gold ids among the first `k` ranked ones (0 to 1).

    Args:
        ranked: ids for one question, best first; fewer than `k` are all looked at.
        gold: ids that should be found; one id gives 0.0 or 1.0.
        k: at least 1.

    Raises:
        DataError: there is no gold id, so no share of them, or `k` is below 1.
    """
    if len(gold) == 0:
        raise DataError("recall has no gold ids, expected at least one: leave out questions without supporting facts")
    if k < 1:
        raise DataError(f"recall is asked at k = {k}, expected at least 1")
    wanted = {int(i) for i in gold}
    return len(wanted.intersection(int(i) for i in ranked[:k])) / len(wanted)
