"""The null fact's bias: set after training on bases that nothing was trained on, so that it refuses where it should.

In training about one question in eight has no answer, and names and relations are known; on a stranger's base neither
holds.  The bias makes the null fact outweigh all others for one in twenty of the questions whose fact was found, and so
for as many of those without an answer as that costs: a fixed rate of false alarms (Neyman and Pearson 1933, "On the
Problem of the Most Efficient Tests of Statistical Hypotheses").
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
FALSE_REFUSALS = 0.05
CALIBRATION = "unseen"
"""Split whose questions it is set on: an open base of held-out relations and names."""


def calibrate(model: KBInjectedModel, workspace: Workspace) -> float:
    """Moves the null fact's bias in the last layer to the `refusal_cut` of the questions of `CALIBRATION`.

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
    found = [
        bool(question.hops) and prediction.ranked[-1][0] in question.hops[-1]
        for question, prediction in zip(chosen, predictions, strict=True)
    ]
    cut = refusal_cut(odds[np.array(found)])
    last = cast(KBSelector, model.selectors[len(model.selectors) - 1])
    with torch.no_grad():
        last.null.out.bias.sub_(cut / NULL_SCALE)
    logger.info("calibration on %d questions: the null fact's log-odds get %+.2f", len(chosen), -cut)
    return -cut


def refusal_cut(odds: NDArray[Any]) -> float:
    """The log-odds of the null fact above which `FALSE_REFUSALS` of the questions lie whose fact was found, (n,).

    Zero where none was found.
    """
    return float(np.quantile(odds, 1 - FALSE_REFUSALS)) if len(odds) else 0.0
