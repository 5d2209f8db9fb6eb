"""Every system on every split: EM and F1 by question type, retrieval, abstention, baselines, each with n and error."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kblampp.answering import Answered
from kblampp.facts import UNKNOWN_ANSWER, FiveTuple, Question
from kblampp.scoring import auroc, bootstrap_stderr, exact_match, f1, recall_at

TYPES: Mapping[str, Callable[[Question], bool]] = {
    "single_hop": lambda question: question.type == "single-hop",
    "temporal": lambda question: question.type == "temporal",
    "multi_hop": lambda question: question.type == "multi-hop",
    "two_hop": lambda question: question.type == "multi-hop" and len(question.supporting_facts) == 2,
    "three_hop": lambda question: question.type == "multi-hop" and len(question.supporting_facts) == 3,
    "unanswerable": lambda question: question.type == "unanswerable",
    "answerable": lambda question: question.type != "unanswerable",
    "all": lambda question: True,
}
"""The rows of the table; `multi_hop` is 2 and 3 hops together, `all` is every question that was asked."""
RECALLS = (1, 8)
DIGITS = 5


@dataclass(frozen=True)
class Asked:
    """Questions of one split with what one system said to them."""

    questions: Sequence[Question]
    answers: Sequence[Answered]
    facts: Sequence[FiveTuple]


def first_of_each_type(questions: Sequence[Question], n: int) -> list[int]:
    """Positions of the first `n` questions of each type; questions stand in random order in their file."""
    counts: Counter[str] = Counter()
    chosen = []
    for place, question in enumerate(questions):
        if counts[question.type] < n:
            counts[question.type] += 1
            chosen.append(place)
    return chosen


def score_table(asked: Asked, *, top_k: int | None, bootstrap_samples: int, seed: int) -> dict[str, dict[str, Any]]:
    """One system on one split: `{type: {figure: value}}`.

    Args:
        asked: Questions, answers and facts.
        top_k: Facts that the model weighed; None for systems without retrieval.
        bootstrap_samples: Of the standard error of EM.
        seed: Of the bootstrap.
    """
    table = {}
    for name, belongs in TYPES.items():
        places = [place for place, question in enumerate(asked.questions) if belongs(question)]
        if places:
            part = Asked([asked.questions[i] for i in places], [asked.answers[i] for i in places], asked.facts)
            table[name] = _score(part, top_k, bootstrap_samples, seed)
    if top_k is not None:
        for name in ("unanswerable", "all"):
            if name in table:
                table[name]["abstain_auroc"] = _abstain_auroc(asked)
    return {name: _rounded(row) for name, row in table.items()}


def _score(asked: Asked, top_k: int | None, bootstrap_samples: int, seed: int) -> dict[str, Any]:
    gold = [[question.answer or UNKNOWN_ANSWER, *question.aliases] for question in asked.questions]
    matches = [exact_match(a.prediction, answers) for a, answers in zip(asked.answers, gold, strict=True)]
    overlaps = [f1(a.prediction, answers) for a, answers in zip(asked.answers, gold, strict=True)]
    row: dict[str, Any] = {
        "n": len(matches),
        "em": float(np.mean(matches)),
        "em_stderr": bootstrap_stderr(matches, bootstrap_samples, seed),
        "f1": float(np.mean(overlaps)),
        "prompt_tokens": float(np.mean([answer.prompt_tokens for answer in asked.answers])),
    }
    supported = [(q, a) for q, a in zip(asked.questions, asked.answers, strict=True) if q.supporting_facts]
    if top_k is not None and supported:
        for name, k in {**{str(k): k for k in RECALLS if k <= top_k}, "k": top_k}.items():
            found = [recall_at(a.ranked[-1], q.supporting_facts[-1:], k) for q, a in supported]
            row[f"recall_at_{name}"] = float(np.mean(found))
        row |= _time_accuracy(asked.facts, supported)
    return row


def _time_accuracy(facts: Sequence[FiveTuple], supported: Sequence[tuple[Question, Answered]]) -> dict[str, Any]:
    """Share of top-1 facts that hold at the question's time, among questions whose last hop has competing windows."""
    competing = Counter((fact.head.name, fact.relation.name) for fact in facts)
    holds = []
    for question, answer in supported:
        last = facts[question.supporting_facts[-1]]
        if question.question_time is not None and competing[last.head.name, last.relation.name] > 1:
            holds.append(facts[answer.ranked[-1][0]].window.overlaps(question.question_time))
    return {"time_accuracy": float(np.mean(holds)), "time_n": len(holds)} if holds else {}


def _abstain_auroc(asked: Asked) -> float | None:
    labels = [question.type == "unanswerable" for question in asked.questions]
    return auroc([answer.null or 0.0 for answer in asked.answers], labels)


def recall_curve(asked: Asked, top_k: int) -> dict[str, list[float]]:
    """Recall of the last hop's fact in the last layer by k, 1 to `top_k`, for each type that has supporting facts."""
    curves = {}
    for name, belongs in TYPES.items():
        rows = [
            (q, a) for q, a in zip(asked.questions, asked.answers, strict=True) if belongs(q) and q.supporting_facts
        ]
        if rows and name not in ("all", "answerable", "multi_hop"):
            curves[name] = [
                round(float(np.mean([recall_at(a.ranked[-1], q.supporting_facts[-1:], k) for q, a in rows])), DIGITS)
                for k in range(1, top_k + 1)
            ]
    return curves


def headline(table: Mapping[str, Any]) -> dict[str, float]:
    """At most 12 figures of the table that say whether the model reads a knowledge base it has never seen."""
    swap, novel, dev = (table.get(split, {}) for split in ("swap", "novel", "dev"))

    def figure(split: Mapping[str, Any], system: str, kind: str, name: str = "em") -> float | None:
        value: float | None = split.get(system, {}).get(kind, {}).get(name)
        return value

    pairs = [(figure(dev, "stage_a", kind), figure(swap, "stage_a", kind)) for kind in ("single_hop", "temporal")]
    gaps = [seen - unseen for seen, unseen in pairs if seen is not None and unseen is not None]
    closed = [figure(part, "closed_book", "answerable") for part in (swap, novel, dev)]
    figures = {
        "swap_em_single_hop": figure(swap, "stage_a", "single_hop"),
        "swap_em_temporal": figure(swap, "stage_a", "temporal"),
        "swap_em_two_hop": figure(swap, "stage_a", "two_hop"),
        "swap_em_unanswerable": figure(swap, "stage_a", "unanswerable"),
        "swap_recall_at_8": figure(swap, "stage_a", "answerable", "recall_at_8"),
        "swap_abstain_auroc": figure(swap, "stage_a", "all", "abstain_auroc"),
        "swap_time_accuracy": figure(swap, "stage_a", "temporal", "time_accuracy"),
        "swap_em_in_context": figure(swap, "in_context", "single_hop"),
        "novel_em_single_hop": figure(novel, "stage_a", "single_hop"),
        "novel_em_temporal": figure(novel, "stage_a", "temporal"),
        "closed_book_em_max": max((value for value in closed if value is not None), default=None),
        "dev_minus_swap_em": sum(gaps) / len(gaps) if gaps else None,
    }
    return {name: round(value, DIGITS) for name, value in figures.items() if value is not None}


def _rounded(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: round(value, DIGITS) if isinstance(value, float) else value for name, value in row.items()}
