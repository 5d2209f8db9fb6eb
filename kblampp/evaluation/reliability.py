"""How often answers are right that the model gives with some probability, for the reliability diagram."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.calibration import calibration_curve

from kblampp.evaluation.metrics import calibration_error
from kblampp.evaluation.table import DIGITS, Predictions

BINS = 10


def reliability(splits: Mapping[str, Predictions]) -> list[dict[str, Any]]:
    """Points of the reliability diagram: mean probability and share right of bins that hold equally many answers.

    Bins between which probabilities are all the same are one bin.  Source: Guo et al. 2017, "On Calibration of Modern
    Neural Networks", section 2, with equal masses, since most probabilities lie near 1.

    Args:
        splits: What the model said, by split, with the probability of each answer.

    Returns:
        At most 10 points a split; `ece`, the split's expected calibration error (`calibration_error`), in each of them.
    """
    points = []
    for split, said in splits.items():
        # A sum of shares may round above 1.
        confidence = np.array([row.probability for row in said.predictions], dtype=np.float64).clip(0, 1)
        right = np.array(said.matches())
        shares, means = calibration_curve(right, confidence, n_bins=BINS, strategy="quantile")
        ece = round(calibration_error(confidence, right), DIGITS)
        points += [
            {"split": split, "confidence": round(float(mean), DIGITS), "right": round(float(share), DIGITS), "ece": ece}
            for mean, share in zip(means, shares, strict=True)
        ]
    return points
