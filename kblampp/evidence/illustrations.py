"""One question of each type with all that is needed to draw it: weights, gates over tokens, competing windows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kblampp.data.facts import FiveTuple, Question
from kblampp.evaluation.table import SEPARATE_TYPES, TYPES
from kblampp.evidence.measures import Explained, triple, window_row
from kblampp.evidence.trace import Trace

NULL = "null fact"
DIGITS = 5


def illustrations(
    explained: Explained, facts: Sequence[FiveTuple], layers: Sequence[int], facts_per_hop: int
) -> list[dict[str, Any]]:
    """The first question of each type.

    Args:
        explained: Questions with answers and traces.
        facts: The knowledge base.
        layers: Numbers of the injected layers, in their order.
        facts_per_hop: Facts shown of each layer.

    Returns:
        A list of objects, at most one for each of `SEPARATE_TYPES`, in that order:

        * `type`, `qid`, `question`, `answer` ("" if there is none), `prediction`;
        * `question_time`: `[start, end]`, ISO dates or null where open; null if the question names no time;
        * `layers`: numbers of the injected layers;
        * `heat_map`: `facts`, a list of `{index, label, supporting}` (the union of each layer's best, then the null
          fact with index null), and `alpha`, a row for each layer with a number for each of `facts`, 0 where the layer
          did not select it;
        * `bars`: the last layer's best facts and the null fact, by falling weight: `{label, alpha, supporting}`;
        * `tokens`: `text` (prompt, answer, end), `answer_start` (position of the answer's first token), `beta` (the
          fusion gate: a row for each layer, a number for each token), `copy_gate` (a number) and `copied` (for each
          answer token the share of the facts in the probability of the answer up to it);
        * `timeline`: the facts that compete with the last supporting fact (of an unanswerable question: with the last
          layer's top fact): `head`, `relation`, and `facts`, a list of `{index, tail, window, supporting, alpha}` by
          start; `window` as `question_time`, null if unknown; `alpha` is the last layer's.
    """
    shown = []
    for kind in SEPARATE_TYPES:
        place = next((place for place, question in enumerate(explained.questions) if TYPES[kind](question)), None)
        if place is not None:
            shown.append(_illustration(kind, explained.part([place]), facts, layers, facts_per_hop))
    return shown


def _illustration(
    kind: str, one: Explained, facts: Sequence[FiveTuple], layers: Sequence[int], most: int
) -> dict[str, Any]:
    (question,), (window,), (trace,), (prediction,) = one.questions, one.encoded.windows, one.traces, one.predictions
    return {
        "type": kind,
        "qid": question.qid,
        "question": question.question,
        "answer": question.answer,
        "prediction": prediction.text,
        "question_time": window_row(window),
        "layers": list(layers),
        "heat_map": _heat_map(question, trace, facts, most),
        "bars": _bars(question, trace, facts, most),
        "tokens": {
            "text": list(trace.tokens),
            "answer_start": trace.start,
            "beta": [_numbers(gates) for gates in trace.beta],
            "copy_gate": _numbers([trace.copy_gate])[0],
            "copied": _numbers(trace.copied),
        },
        "timeline": _timeline(question, trace, facts),
    }


def _heat_map(question: Question, trace: Trace, facts: Sequence[FiveTuple], most: int) -> dict[str, Any]:
    numbers = list(dict.fromkeys(number for row in trace.ids[:, :most].tolist() for number in row if number >= 0))
    labels = [_label(number, question, facts) for number in numbers]
    rows = [_weights(trace, hop) for hop in range(len(trace.ids))]
    return {
        "facts": [*labels, {"index": None, "label": NULL, "supporting": not question.supporting_facts}],
        "alpha": [
            _numbers([*(row.get(number, 0.0) for number in numbers), null])
            for row, null in zip(rows, trace.null, strict=True)
        ],
    }


def _bars(question: Question, trace: Trace, facts: Sequence[FiveTuple], most: int) -> list[dict[str, Any]]:
    weights = list(_weights(trace, -1).items())[:most]
    bars = [{**_label(number, question, facts), "alpha": round(weight, DIGITS)} for number, weight in weights]
    bars.append({"label": NULL, "supporting": not question.supporting_facts, "alpha": _numbers(trace.null)[-1]})
    keys = ("label", "alpha", "supporting")
    return [{key: bar[key] for key in keys} for bar in sorted(bars, key=lambda bar: -bar["alpha"])]


def _timeline(question: Question, trace: Trace, facts: Sequence[FiveTuple]) -> dict[str, Any]:
    subject = facts[question.hops[-1][0] if question.hops else trace.chain[-1]]
    head, relation, weights = subject.head.name, subject.relation.name, _weights(trace, -1)
    rivals = [number for number, f in enumerate(facts) if (f.head.name, f.relation.name) == (head, relation)]
    return {
        "head": head,
        "relation": relation,
        "facts": [
            {
                "index": number,
                "tail": facts[number].tail.name,
                "window": window_row(facts[number].window),
                "supporting": number in question.supporting_facts,
                "alpha": round(weights.get(number, 0.0), DIGITS),
            }
            for number in sorted(rivals, key=lambda number: facts[number].window.start or 0)
        ],
    }


def _label(number: int, question: Question, facts: Sequence[FiveTuple]) -> dict[str, Any]:
    window = window_row(facts[number].window)
    when = f" ({window[0] or '…'} to {window[1] or '…'})" if window and any(window) else ""
    supporting = number in question.supporting_facts
    return {"index": number, "label": triple(facts[number]) + when, "supporting": supporting}


def _weights(trace: Trace, hop: int) -> dict[int, float]:
    """Fact -> alpha in one layer, best first; a fact that is read from both ends has the weights of both."""
    weights: dict[int, float] = {}
    for number, alpha in zip(trace.ids[hop].tolist(), trace.alpha[hop].tolist(), strict=True):
        if number >= 0:
            weights[number] = weights.get(number, 0.0) + alpha
    return dict(sorted(weights.items(), key=lambda item: -item[1]))


def _numbers(values: Any) -> list[float]:
    return [round(float(value), DIGITS) for value in values]
