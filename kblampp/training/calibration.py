"""The null fact's bias: set after training on bases that nothing was trained on, so that it refuses where it should.

In training about one question in eight has no answer, and names and relations are known; on a stranger's base neither
holds.  The bias makes the null fact outweigh all others just where refusing is right most often, unanswerable
questions and those whose fact was found counting the same.  After Platt 1999, "Probabilistic Outputs for Support
Vector Machines", with the slope left at one.
"""

from __future__ import annotations

import logging
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from kblampp.data.windows import SYNTHETIC_TODAY
from kblampp.model.injection import KBInjectedModel
from kblampp.model.inputs import EncodedQuestions, SelectorOptions
from kblampp.model.predictor import Predictor
from kblampp.model.scores import NULL_SCALE
from kblampp.model.selector import KBSelector
from kblampp.model.workspace import Workspace

logger = logging.getLogger(__name__)
TINY = 1e-9
TOP_K, OVER_FETCH = 16, 64
"""The null fact looks at the best candidate, which does not depend on how many are weighed."""
CALIBRATION = "unseen"
"""Split whose questions it is set on: an open base of held-out relations and names."""


def calibrate(model: KBInjectedModel, workspace: Workspace) -> float:
    """Adds to the null fact's bias in the last layer what refuses best on the questions of `CALIBRATION`.

    Those that want yes or no are left out, since they are never refused.

    Args:
        model: The trained model, changed in place.
        workspace: Its backbone, and the dataset with that split.

    Returns:
        What was added to the log-odds.

    Raises:
        StoreError: The split's store or index is missing, damaged, or made from other data.
    """
    base = workspace.open_base(CALIBRATION)
    questions = workspace.dataset.questions[CALIBRATION]
    places = [place for place, question in enumerate(questions) if question.form != "yes_no"]
    chosen = [questions[place] for place in places]
    windows = tuple(question.question_time for question in chosen)
    encoded = EncodedQuestions(chosen, base.store.question_vectors(CALIBRATION)[places], windows)
    options = SelectorOptions(top_k=min(TOP_K, base.store.n), over_fetch=OVER_FETCH, as_of=SYNTHETIC_TODAY)
    predictor = Predictor(model.eval(), workspace.backbone, options, batch_size=64, max_new_tokens=1)
    predictions = predictor.predict(base, encoded, "calibration")
    null = np.array([prediction.null for prediction in predictions], dtype=np.float64)
    odds = np.log(np.clip(null, TINY, 1) / np.clip(1 - null, TINY, 1))
    unanswerable = np.array([question.type == "unanswerable" for question in chosen])
    found = [
        bool(question.hops) and prediction.ranked[-1][0] in question.hops[-1]
        for question, prediction in zip(chosen, predictions, strict=True)
    ]
    cut = best_cut(odds, unanswerable, np.array(found))
    last = cast(KBSelector, model.selectors[len(model.selectors) - 1])
    with torch.no_grad():
        last.null.out.bias.sub_(cut / NULL_SCALE)
    logger.info("calibration on %d questions: the null fact's log-odds get %+.2f", len(chosen), -cut)
    return -cut


def best_cut(odds: NDArray[Any], unanswerable: NDArray[Any], found: NDArray[Any]) -> float:
    """The log-odds above which refusing is right most often, both kinds of questions counting the same.

    Source: Youden 1950, "Index for rating diagnostic tests".  The cut is midway between two log-odds that occur; of
    equally good ones the middle one.  Zero where there is only one kind.

    Args:
        odds: Log-odds of the null fact, (n,).
        unanswerable: Which questions have no answer, (n,).
        found: Of which the fact that answers weighs most, (n,): refusing others loses nothing.
    """
    if not found.any() or not unanswerable.any():
        return 0.0
    values = np.unique(odds)
    cuts = np.concatenate([[values[0] - 1], (values[1:] + values[:-1]) / 2, [values[-1] + 1]])
    refused = odds[None] > cuts[:, None]
    index = refused[:, unanswerable].mean(1) - refused[:, found].mean(1)
    best = cuts[index == index.max()]
    return float(best[len(best) // 2])
