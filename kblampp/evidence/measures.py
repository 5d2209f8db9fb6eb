"""How good evidence is, and how it is written down: paths, recall, answers that count only with their evidence."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kblampp.core.errors import DataError
from kblampp.data.facts import FiveTuple, Question
from kblampp.data.windows import UNKNOWN, Window
from kblampp.evaluation.metrics import bootstrap_stderr, is_correct, recall_at
from kblampp.evaluation.table import DIGITS, TYPES, recalls
from kblampp.evidence.trace import Trace
from kblampp.model.inputs import EncodedQuestions
from kblampp.model.predictor import Prediction

COPIED = 0.5
"""Share of a token's probability above which it counts as copied."""
LINE_DIGITS = 6

Rows = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Explained:
    """Questions with their answers and what stood behind them, place by place.

    Attributes:
        encoded: What was asked, (n,).
        predictions: What the model answered, (n,).
        traces: What it read, (n,).
    """

    encoded: EncodedQuestions
    predictions: Sequence[Prediction]
    traces: Sequence[Trace]

    def part(self, places: Sequence[int]) -> Explained:
        """Some of them, in this order."""
        chosen = list(places)
        return Explained(
            self.encoded.part(chosen),
            [self.predictions[place] for place in chosen],
            [self.traces[place] for place in chosen],
        )

    @property
    def questions(self) -> Sequence[Question]:
        """The questions, (n,)."""
        return self.encoded.questions

    @property
    def texts(self) -> list[str]:
        """What was answered to each question."""
        return [said.text for said in self.predictions]

    @property
    def correct(self) -> list[float]:
        """EM of each question."""
        return [is_correct(q, text) for q, text in zip(self.questions, self.texts, strict=True)]


def gold_path(question: Question, found: Sequence[int]) -> tuple[int, ...]:
    """A fact for each hop: of several that do, the one that was found first, or the first one if none was."""
    place = {number: rank for rank, number in reversed(list(enumerate(found)))}
    return tuple(min(hop, key=lambda number: place.get(number, len(found))) for hop in question.hops)


def path_f1(predicted: Sequence[int], gold: Sequence[int]) -> float:
    """F1 of two sets of facts (0 to 1): predicted path and supporting facts.

    Raises:
        DataError: There is no gold fact.
    """
    found, wanted = set(predicted), set(gold)
    if not wanted:
        raise DataError(
            "path F1 has no gold facts, expected at least one: leave out questions without supporting facts"
        )
    return 2 * len(found & wanted) / (len(found) + len(wanted))


def kilt_em(correct: float, predicted: Sequence[int], gold: Sequence[int]) -> float:
    """EM that counts only if every supporting fact is in the predicted path.

    Source: Petroni et al. 2021, "KILT: a Benchmark for Knowledge Intensive Language Tasks", the KILT scores of its
    section on evaluation metrics; facts stand in the place of pages.
    """
    return correct if set(gold) <= set(predicted) else 0.0


def top_agreement(effects: Sequence[float]) -> float | None:
    """Whether the heaviest fact is also the one without which the answer loses most: 1.0 if so, 0.0 if not.

    Facts whose effects are the same share the first place, and the figure is the heaviest one's share of it, so that a
    fact drawn by lot gets 1/n on average.  Where no fact's removal makes the answer less probable, no fact is the cause
    and the figure is 0.  Only first places are compared: nearly all weight is on one fact, and how the others are
    ranked says nothing.

    Args:
        effects: What the answer's log-probability loses without each fact, by falling weight of the facts, (n,).

    Returns:
        The figure, or None if fewer than two facts were left out, which leaves nothing to choose from.
    """
    if len(effects) < 2:
        return None
    most = max(effects)
    return 1 / list(effects).count(most) if most > 0 and effects[0] == most else 0.0


def mean_rows(
    questions: Sequence[Question],
    figures: Mapping[str, Sequence[float]],
    *,
    n: str,
    samples: int,
    seed: int,
    groups: Mapping[str, Callable[[Question], bool]] = TYPES,
) -> Rows:
    """Means by question type or other groups: `{type: {figure: mean, figure_stderr: …, n: questions}}`.

    Args:
        questions: What was asked, (n,).
        figures: For each figure its value for each question, (n,).
        n: Name under which the number of questions stands.
        samples: Of the bootstrap errors.
        seed: Of the bootstrap.
        groups: Which questions belong to each row; `all` has none.
    """
    rows: Rows = {}
    for kind, belongs in groups.items():
        places = [place for place, question in enumerate(questions) if belongs(question)]
        if not places or kind == "all":
            continue
        rows[kind] = {n: len(places)}
        for name, values in figures.items():
            chosen = [values[place] for place in places]
            rows[kind][name] = round(float(np.mean(chosen)), DIGITS)
            rows[kind][f"{name}_stderr"] = round(bootstrap_stderr(chosen, samples, seed), DIGITS)
    return rows


def evidence_rows(explained: Explained, *, top_k: int, samples: int, seed: int) -> Rows:
    """EM, path F1, KILT-EM and support recall by type; of unanswerable questions EM alone, since they have no support.

    Support recall@k is the share of all supporting facts among the first k of any injected layer.
    """
    correct = explained.correct
    rows = mean_rows(explained.questions, {"em": correct}, n="n", samples=samples, seed=seed)
    places = [place for place, question in enumerate(explained.questions) if question.supporting_facts]
    part = explained.part(places)
    pairs = [
        (trace, gold_path(question, trace.ids.T.ravel().tolist()))
        for trace, question in zip(part.traces, part.questions, strict=True)
    ]
    figures = {
        "path_f1": [path_f1(trace.chain, gold) for trace, gold in pairs],
        "kilt_em": [kilt_em(correct[p], t.chain, gold) for p, (t, gold) in zip(places, pairs, strict=True)],
    }
    for name, k in recalls(top_k).items():
        figures[f"recall_at_{name}"] = [recall_at(t.ids[:, :k].ravel(), gold, t.ids.size) for t, gold in pairs]
    merge(rows, mean_rows(part.questions, figures, n="n", samples=samples, seed=seed))
    return rows


def merge(rows: Rows, more: Rows) -> None:
    """Adds the figures of `more` to `rows`, type by type."""
    for kind, figures in more.items():
        rows.setdefault(kind, {}).update(figures)


def headline(rows: Rows) -> dict[str, float]:
    """The figures of one split's rows that have targets, those that were measured.

    `path_f1` and `tail_swap_follow` are of single-hop and temporal questions together, `stale_rate` of temporal ones,
    the others of all answerable ones.
    """
    direct = ("single_hop", "temporal")
    places = {
        "path_f1": (direct, "n"),
        "kilt_em": (("answerable",), "n"),
        "causal_delta": (("answerable",), "causal_n"),
        "causal_delta_random": (("answerable",), "causal_n"),
        "tail_swap_follow": (direct, "tail_swap_n"),
        "stale_rate": (("temporal",), "stale_n"),
        "leave_one_out_agreement": (("answerable",), "leave_one_out_n"),
        "leave_one_out_chance": (("answerable",), "leave_one_out_n"),
    }
    figures = {}
    for name, (kinds, n) in places.items():
        found = [rows[kind] for kind in kinds if name in rows.get(kind, {})]
        if found:
            total = sum(row[name] * row[n] for row in found)
            figures[name] = round(total / sum(row[n] for row in found), DIGITS)
    return figures


def triple(fact: FiveTuple) -> str:
    """The fact as people read it."""
    return f"{fact.head.name} — {fact.relation.name} — {fact.tail.name}"


def window_row(window: Window | None) -> list[str | None] | None:
    """`[start, end]` as ISO dates, null where open; null altogether if unknown."""
    if window is None or window == UNKNOWN:
        return None
    row = window.to_row()
    return [row["start"], row["end"]]


def evidence_line(
    question: Question,
    window: Window | None,
    prediction: Prediction,
    trace: Trace,
    facts: Sequence[FiveTuple],
    layers: Sequence[int],
    facts_per_hop: int,
) -> dict[str, Any]:
    """One line of the evidence file (docs/data-formats.md).

    Args:
        question: What was asked.
        window: The time that its words name.
        prediction: What the model answered, and from what.
        trace: What it read.
        facts: The knowledge base.
        layers: Numbers of the injected layers, in their order.
        facts_per_hop: Facts listed for each hop; `top_k_facts` are those of the last one.

    Returns:
        The line. `question_time` is that window; `hops` go from the first injected layer
        to the last; weights and gates are those of the answer's first token; `copied` goes over the answer's tokens.
    """
    hops: list[dict[str, Any]] = [
        {
            "layer": layer,
            "facts": _fact_rows(trace, hop, facts, facts_per_hop),
            "null": _number(trace.null[hop]),
            "hop_gate": _number(trace.hop[hop]),
            "fusion_gate": _number(trace.beta[hop, trace.start - 1]),
        }
        for hop, layer in enumerate(layers)
    ]
    answer = zip(trace.tokens[trace.start :], trace.copied, strict=True)
    return {
        "qid": question.qid,
        "dataset": question.dataset,
        "type": question.type,
        "question": question.question,
        "answer": question.answer,
        "pred_answer": prediction.text,
        "sources": _source_rows(prediction),
        "question_time": window_row(window),
        "supporting_facts": list(question.supporting_facts),
        "chain": {"facts": list(trace.chain), "triples": [triple(facts[number]) for number in trace.chain]},
        "null": _number(trace.null[-1]),
        "copy_gate": _number(trace.copy_gate),
        "copied": [{"token": token, "share": _number(s), "copied": bool(s > COPIED)} for token, s in answer],
        "hops": hops,
        "top_k_facts": [{key: row[key] for key in row if key != "scores"} for row in hops[-1]["facts"]],
    }


def _source_rows(prediction: Prediction) -> list[dict[str, Any]] | None:
    if prediction.sources is None:
        return None
    return [{"index": source.fact, "field": source.field} for source in prediction.sources]


def _fact_rows(trace: Trace, hop: int, facts: Sequence[FiveTuple], most: int) -> list[dict[str, Any]]:
    return [
        {
            "index": number,
            "head": facts[number].head.name,
            "relation": facts[number].relation.name,
            "tail": facts[number].tail.name,
            "context": facts[number].context.sent_span,
            "time_window": window_row(facts[number].window),
            "alpha": _number(trace.alpha[hop, rank]),
            "scores": dict(
                zip(("meaning", "context", "time", "name"), map(_number, trace.parts[:, hop, rank]), strict=True)
            ),
        }
        for rank, number in enumerate(trace.ids[hop, :most].tolist())
        if number >= 0
    ]


def _number(value: Any) -> float:
    return round(float(value), LINE_DIGITS)
