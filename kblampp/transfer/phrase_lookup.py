"""Search without training: the fact whose "<relation> of <head>" lies nearest to the question answers with its tail."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from kblampp.data.facts import UNKNOWN_ANSWER, FiveTuple, key_phrase
from kblampp.data.windows import UNKNOWN, UNKNOWN_DAY, Window, window_bounds
from kblampp.encoding.sentence_encoder import Embed
from kblampp.model.inputs import EncodedQuestions


def phrase_lookup(facts: Sequence[FiveTuple], encoded: EncodedQuestions, embed: Embed) -> list[str]:
    """An answer to each question, (n,).

    Only facts that hold in the time that a question names compete; one without a window holds always.  Of facts whose
    phrases are equally near the one that starts last answers, then the first of the base.

    Args:
        facts: The base, (m,).
        encoded: The questions, (n,), with vectors of the same encoder.
        embed: Strings to unit vectors.

    Returns:
        The tails; "unknown" where no fact holds in the time.
    """
    phrases = [key_phrase(fact) for fact in facts]
    distinct = {phrase: place for place, phrase in enumerate(dict.fromkeys(phrases))}
    # One score a phrase: equal rows of a matrix product may differ in the last bit, and would not tie.
    vectors = embed(list(distinct))
    scores = encoded.vectors[:, : vectors.shape[1]] @ vectors.T  # the part of the encoder as it comes
    phrase_of = np.array([distinct[phrase] for phrase in phrases])
    first, stop = window_bounds([fact.window for fact in facts])
    answers = []
    for row, time in zip(scores, encoded.windows, strict=True):
        held = np.flatnonzero(_hold(first, stop, time))
        if not len(held):
            answers.append(UNKNOWN_ANSWER)
            continue
        near = row[phrase_of[held]]
        nearest = held[near == near.max()]
        answers.append(facts[nearest[first[nearest].argmax()]].tail.name)
    return answers


def _hold(first: npt.NDArray[np.int32], stop: npt.NDArray[np.int32], time: Window | None) -> npt.NDArray[np.bool_]:
    """Which facts hold at some time in a window; all do if there is none."""
    (start,), (end,) = window_bounds([time or UNKNOWN])
    if start == UNKNOWN_DAY:
        return np.ones(len(first), dtype=bool)
    holds: npt.NDArray[np.bool_] = (first == UNKNOWN_DAY) | ((first < end) & (stop > start))
    return holds
