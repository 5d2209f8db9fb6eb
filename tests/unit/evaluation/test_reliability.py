"""The points of the reliability diagram, against bins that are filled by hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kblampp.data.facts import Question
from kblampp.evaluation.reliability import BINS, reliability
from kblampp.evaluation.table import Predictions
from kblampp.model.inputs import SelectorOptions
from kblampp.model.predictor import Prediction, Predictor
from tests.kb import make_world
from tests.tiny import FAMILIES


def said(right: Sequence[bool], confidence: Sequence[float]) -> Predictions:
    questions = [Question(f"q{n}", "test", "?", "Rome", (), "single-hop", (0,)) for n in range(len(right))]
    rows = zip(right, confidence, strict=True)
    answers = [Prediction("Rome" if hit else "Oslo", probability=float(sure)) for hit, sure in rows]
    return Predictions(questions, answers, [])


ANSWERS = st.lists(st.tuples(st.integers(0, 1000), st.booleans()), min_size=1, max_size=20)


@given(answers=ANSWERS, copies=st.integers(1, 3))
def test_bins_hold_a_tenth_each(answers: list[tuple[int, bool]], copies: int) -> None:
    """Distinct probabilities, ten times as many as bins: each bin is the next tenth of the sorted answers."""
    n = BINS * copies
    right = [answers[place % len(answers)][1] for place in range(n)]
    order = np.random.default_rng(len(answers)).permutation(n)
    confidence = (order + 1) / (n + 1)
    points = reliability({"swap": said(right, confidence)})
    ranked = sorted(zip(confidence, right, strict=True))
    bins = [ranked[place * copies : (place + 1) * copies] for place in range(BINS)]
    assert [point["confidence"] for point in points] == pytest.approx(
        [sum(c for c, _ in b) / copies for b in bins], abs=1e-4
    )
    assert [point["right"] for point in points] == pytest.approx(
        [sum(r for _, r in b) / copies for b in bins], abs=1e-4
    )


@given(answers=ANSWERS)
def test_points_lie_among_the_answers_and_ties_are_one_bin(answers: list[tuple[int, bool]]) -> None:
    confidence, right = np.array([c / 1000 for c, _ in answers]), [hit for _, hit in answers]
    points = reliability({"dev": said(right, confidence)})
    means = [point["confidence"] for point in points]
    assert means == sorted(means)
    assert 1 <= len(points) <= min(BINS, len(set(confidence)))
    assert min(confidence) - 1e-4 <= means[0] <= means[-1] <= max(confidence) + 1e-4
    assert all(0 <= point["right"] <= 1 for point in points)


def test_the_error_is_the_gap_by_hand() -> None:
    """Two of four answers of probability 0.9 are right: a gap of 0.4; of the one of 0.1 none is: 0.1."""
    points = reliability({"swap": said([True, True, False, False, False], [0.9, 0.9, 0.9, 0.9, 0.1])})
    assert [point["ece"] for point in points] == pytest.approx([0.8 * 0.4 + 0.2 * 0.1] * len(points))
    assert reliability({}) == []


def test_an_answers_probability_is_that_of_what_is_said_first(tmp_path: Path) -> None:
    """Asked one by one with the prompt alone, whatever the batch."""
    world = make_world(tmp_path)
    model = world.model(FAMILIES["llama"](), layers=(1, 3))
    options = SelectorOptions(top_k=6, over_fetch=24)
    predictor = Predictor(model, world.backbone(model.backbone), options, batch_size=3, max_new_tokens=4)
    found = predictor.predict(world.base, world.encoded(list(range(7))))
    for row, said in enumerate(found):
        ids, mask = world.prompts([row])
        with torch.no_grad():
            state = model(ids, mask, knowledge=world.ask([row])).state
        assert state is not None
        (answers,), (own,) = state.answers(), state.own_words()
        assert said.probability == pytest.approx(own if own > 0.5 else answers[0].probability, abs=1e-4)
