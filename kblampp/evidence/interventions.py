"""Whether evidence is the cause of an answer: facts are taken away, and the answer must change with them."""

from __future__ import annotations

import random

from kblampp.evaluation.metrics import is_correct
from kblampp.evidence.measures import Explained
from kblampp.evidence.trace import Trace, trace_answers
from kblampp.model.inputs import EncodedBase
from kblampp.model.predictor import Predictor

EFFECT_DIGITS = 5
"""Log-probabilities that differ by less differ by rounding, and count as ties."""


def random_others(trace: Trace, rng: random.Random) -> list[int]:
    """As many facts as the chain has, drawn from the same top-k but not from the chain; fewer if there are fewer."""
    others = sorted({number for number in trace.ids.ravel().tolist() if number >= 0} - set(trace.chain))
    return rng.sample(others, min(len(trace.chain), len(others)))


def causal_deltas(predictor: Predictor, base: EncodedBase, explained: Explained, seed: int) -> dict[str, list[float]]:
    """How EM falls when the top fact of each layer is withheld, and when as many others of the same top-k are.

    Each deletion is of one question alone; the base is searched again without those facts.

    Args:
        predictor: The model.
        base: The base that was asked about.
        explained: The questions with answers and traces of the untouched base, (n,).
        seed: Of the random facts, with each question's id.

    Returns:
        For each question, (n,): `causal_delta`, `causal_delta_random` and the EM before, `causal_em_before`.
    """
    chains = [trace.chain for trace in explained.traces]
    others = [
        random_others(trace, random.Random(f"causal/{seed}/{question.qid}"))
        for question, trace in zip(explained.questions, explained.traces, strict=True)
    ]
    figures = {"causal_em_before": explained.correct}
    for name, withheld in (("causal_delta", chains), ("causal_delta_random", others)):
        predictions = predictor.predict(base, explained.encoded, name, withheld)
        after = [is_correct(q, said.text) for q, said in zip(explained.questions, predictions, strict=True)]
        figures[name] = [old - new for old, new in zip(explained.correct, after, strict=True)]
    return figures


def leave_one_out(predictor: Predictor, base: EncodedBase, explained: Explained, facts: int) -> list[list[float]]:
    """The effect of each of the top facts of the last layer on the answer.

    It is how much less probable (natural logarithm, teacher-forced) the model finds its own answer when that fact alone
    is withheld; below zero where the fact only competed with the right one.  Source of the measure: Jain and Wallace
    2019, "Attention is not Explanation", section 3, which compares it with attention weights.

    Args:
        predictor: The model.
        base: The base that was asked about.
        explained: The questions with answers and traces, (n,).
        facts: How many facts of a question are left out, one at a time.

    Returns:
        For each question, (n,), the effects of its facts by falling alpha.
    """
    # A fact that is read from both ends stands there twice, and is withheld once.
    found = [dict.fromkeys(number for number in trace.ids[-1].tolist() if number >= 0) for trace in explained.traces]
    top = [list(numbers)[:facts] for numbers in found]
    places = [place for place, numbers in enumerate(top) for _ in numbers]
    part = explained.part(places)
    withheld = [[number] for numbers in top for number in numbers]
    left_out = trace_answers(predictor, base, part.encoded, part.texts, "leave one out", withheld)
    effects: list[list[float]] = [[] for _ in top]
    for place, trace in zip(places, left_out, strict=True):
        effects[place].append(round(explained.traces[place].log_prob - trace.log_prob, EFFECT_DIGITS))
    return effects
