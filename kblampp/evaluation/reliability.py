"""How often answers are right that the model gives with some probability, for the reliability diagram."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.calibration import calibration_curve

from kblampp.evaluation.metrics import calibration_error
from kblampp.evaluation.systems import Split
from kblampp.evaluation.table import DIGITS, Predictions
from kblampp.model.batches import padded, prompt_batches
from kblampp.model.predictor import Predictor
from kblampp.model.prompts import closed_book_prompt

BINS = 10


@torch.no_grad()
def answer_probabilities(predictor: Predictor, split: Split) -> NDArray[np.float64]:
    """How probable the answer is that `Predictor.predict` gives to each question, (n,); of own words all together."""
    found = np.zeros(len(split.encoded))
    tokenizer, device = predictor.backbone.tokenizer, predictor.backbone.model.device
    prompts = [closed_book_prompt(question.question) for question in split.encoded.questions]
    for places, ids, mask in prompt_batches(prompts, tokenizer, predictor.batch_size):
        # Padded on the right, as `predict` does.
        rows = [row[kept.bool()].tolist() for row, kept in zip(ids, mask, strict=True)]
        tokens, there = (part.to(device) for part in padded(rows, int(tokenizer.pad_token_id)))
        knowledge = predictor.knowledge(split.base, split.encoded, places)
        state = predictor.model(tokens, there, knowledge=knowledge, answer_start=there.sum(1)).state
        found[places] = [
            own if own > 0.5 else answers[0].probability
            for answers, own in zip(state.answers(), state.own_words(), strict=True)
        ]
    return found.clip(0, 1)  # a sum of shares may round above 1


def reliability(splits: Mapping[str, tuple[Predictions, NDArray[np.float64]]]) -> list[dict[str, Any]]:
    """Points of the reliability diagram: mean probability and share right of bins that hold equally many answers.

    Bins between which probabilities are all the same are one bin.  Source: Guo et al. 2017, "On Calibration of Modern
    Neural Networks", section 2, with equal masses, since most probabilities lie near 1.

    Args:
        splits: What the model said, by split, and how probable each answer was, (n,).

    Returns:
        At most 10 points a split; `ece`, the split's expected calibration error (`calibration_error`), in each of them.
    """
    points = []
    for split, (said, confidence) in splits.items():
        right = np.array(said.matches())
        shares, means = calibration_curve(right, confidence, n_bins=BINS, strategy="quantile")
        ece = round(calibration_error(confidence, right), DIGITS)
        points += [
            {"split": split, "confidence": round(float(mean), DIGITS), "right": round(float(share), DIGITS), "ece": ece}
            for mean, share in zip(means, shares, strict=True)
        ]
    return points
