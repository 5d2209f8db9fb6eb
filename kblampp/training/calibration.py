"""What is set after training on a base that nothing was trained on: the context score's share, the null fact's biases.

The context score reads question and sentence through an MLP, and some of what it has learned holds for the training
base's wordings alone.  As much of it counts as finds about as many facts on the other base as any share does.

In training about one question in eight has no answer, and names and relations are known; on a stranger's base neither
holds.  The biases make the null fact outweigh all others for one in twenty of the questions whose fact was found, and
so for as many of those without an answer as that costs: a fixed rate of false alarms (Neyman and Pearson 1933, "On the
Problem of the Most Efficient Tests of Statistical Hypotheses"), in each group of questions by itself (Romano et al.
2020, "With Malice Toward None"): facts that are read from their tails fit less well, and would be refused most.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from kblampp.data.facts import Question
from kblampp.data.windows import SYNTHETIC_TODAY
from kblampp.model.candidates import REFUSAL_GROUPS
from kblampp.model.injection import KBInjectedModel
from kblampp.model.inputs import EncodedQuestions, SelectorOptions
from kblampp.model.predictor import Prediction, Predictor
from kblampp.model.selector import KBSelector
from kblampp.model.workspace import Workspace

logger = logging.getLogger(__name__)
TINY = 1e-9
TOP_K, OVER_FETCH = 16, 64
"""The null fact looks at the best candidate, which does not depend on how many are weighed."""
FALSE_REFUSALS = 0.05
CALIBRATION = "unseen"
"""Split whose questions it is set on: an open base of held-out relations and names."""


CONTEXT_SHARES = (0.0, 0.25, 0.5, 1.0)
"""How much of the context score may count."""


def calibrate(model: KBInjectedModel, workspace: Workspace) -> list[float]:
    """Sets the share of all layers' context scores, then the null fact's biases in the last layer to `refusal_cuts`.

    Both on the questions of `CALIBRATION`; those that want yes or no are left out, since they are never refused.

    Args:
        model: The trained model, changed in place.
        workspace: Its backbone, and the dataset with that split.

    Returns:
        What was added to the log-odds of each of `REFUSAL_GROUPS`.

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
    tried = {}
    for share in CONTEXT_SHARES:
        model.context_share = share
        predictions = predictor.predict(base, encoded, f"calibration, context {share:g}")
        tried[share] = predictions, _found(chosen, predictions)
    model.context_share = kept = largest_as_good({share: found for share, (_, found) in tried.items()})
    predictions, found = tried[kept]
    groups = np.array([prediction.group for prediction in predictions])
    cuts = refusal_cuts(_odds(predictions)[found], groups[found])
    last = cast(KBSelector, model.selectors[-1])
    with torch.no_grad():
        last.null_by_group.sub_(torch.tensor(cuts, device=last.null_by_group.device))
    shares = ", ".join(f"{share:g}: {found.mean():.3f}" for share, (_, found) in tried.items())
    logger.info("calibration on %d questions: facts found by share of the context score %s", len(chosen), shares)
    moved = ", ".join(f"{group}: {-cut:+.2f}" for group, cut in zip(REFUSAL_GROUPS, cuts, strict=True))
    logger.info("%g of it counts; added to the null fact's log-odds, by how the best fact is read: %s", kept, moved)
    return [-cut for cut in cuts]


def _odds(predictions: Sequence[Prediction]) -> NDArray[np.float64]:
    """The null fact's log-odds, (n,)."""
    null = np.array([prediction.null for prediction in predictions], dtype=np.float64)
    odds: NDArray[np.float64] = np.log(np.clip(null, TINY, 1) / np.clip(1 - null, TINY, 1))
    return odds


def _found(questions: Sequence[Question], predictions: Sequence[Prediction]) -> NDArray[np.bool_]:
    """For which questions the heaviest fact of the last layer is the right one, (n,)."""
    pairs = zip(questions, predictions, strict=True)
    return np.array([bool(q.hops) and said.ranked[-1][0] in q.hops[-1] for q, said in pairs])


def largest_as_good(found: Mapping[float, NDArray[np.bool_]]) -> float:
    """The largest share that finds as many facts as the best, but for a standard error of the difference.

    The questions that one of two finds and the other does not fall to either like coins (McNemar 1947, "Note on the
    Sampling Error of the Difference Between Correlated Proportions"): by the square root of how many they are.

    Args:
        found: By share, which questions' facts were found, (n,).
    """
    best = max(found.values(), key=lambda hits: int(hits.sum()))
    lost = {share: int(best.sum()) - int(hits.sum()) for share, hits in found.items()}
    return max(share for share, hits in found.items() if lost[share] <= math.sqrt((hits != best).sum()))


def refusal_cuts(odds: NDArray[Any], groups: NDArray[Any]) -> list[float]:
    """`refusal_cut` of each of `REFUSAL_GROUPS`; those too small for a rate of `FALSE_REFUSALS` together have one.

    Args:
        odds: The null fact's log-odds of questions whose fact was found, (n,).
        groups: Their groups, (n,).
    """
    groups = groups.astype(np.int64)
    few = np.bincount(groups, minlength=len(REFUSAL_GROUPS)) * FALSE_REFUSALS < 1
    together = refusal_cut(odds[few[groups]])
    return [together if small else refusal_cut(odds[groups == group]) for group, small in enumerate(few)]


def refusal_cut(odds: NDArray[Any]) -> float:
    """The log-odds of the null fact above which `FALSE_REFUSALS` of the questions lie whose fact was found, (n,).

    Zero where none was found.
    """
    return float(np.quantile(odds, 1 - FALSE_REFUSALS)) if len(odds) else 0.0
