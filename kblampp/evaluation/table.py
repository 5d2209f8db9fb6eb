"""Every system on every split: EM and F1 by question type, retrieval, abstention, baselines, each with n and error."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kblampp.data.facts import UNKNOWN_ANSWER, FiveTuple, Question
from kblampp.evaluation.answering import Answered
from kblampp.evaluation.metrics import auroc, bootstrap_stderr, exact_match, f1, hit_at, paired_bootstrap_interval

TYPES: Mapping[str, Callable[[Question], bool]] = {
    "single_hop": lambda question: question.type == "single-hop",
    "temporal": lambda question: question.type == "temporal",
    "multi_hop": lambda question: question.type == "multi-hop",
    "two_hop": lambda question: question.type == "multi-hop" and len(question.hops) == 2,
    "three_hop": lambda question: question.type == "multi-hop" and len(question.hops) == 3,
    "unanswerable": lambda question: question.type == "unanswerable",
    "answerable": lambda question: question.type != "unanswerable",
    "all": lambda question: True,
}
"""The rows of the table; `multi_hop` is 2 and 3 hops together, `all` is every question that was asked."""
SEPARATE_TYPES = ("single_hop", "temporal", "two_hop", "three_hop", "unanswerable")
"""The rows that share no question."""
RECALLS = (1, 8)
DIGITS = 5
SYSTEM_OF = {"trainA": "stage_a", "trainB": "stage_b"}
"""The system's name in the tables by the stage that trained it."""


@dataclass(frozen=True)
class Asked:
    """Questions of one split with what one system said to them."""

    questions: Sequence[Question]
    answers: Sequence[Answered]
    facts: Sequence[FiveTuple]

    @property
    def top_k(self) -> int:
        """How many facts were ranked for each question; 0 for a system without retrieval."""
        return len(self.answers[0].ranked[-1]) if self.answers and self.answers[0].ranked else 0

    def of(self, belongs: Callable[[Question], bool]) -> Asked:
        """The part whose questions belong."""
        places = [place for place, question in enumerate(self.questions) if belongs(question)]
        return Asked([self.questions[i] for i in places], [self.answers[i] for i in places], self.facts)

    def matches(self) -> list[float]:
        """EM of each question."""
        pairs = zip(self.questions, self.answers, strict=True)
        return [exact_match(answer.prediction, accepted(question)) for question, answer in pairs]


def accepted(question: Question) -> list[str]:
    """The answers that count as right; "unknown" for an unanswerable question."""
    return [question.answer or UNKNOWN_ANSWER, *question.aliases]


def recalls(top_k: int) -> dict[str, int]:
    """At which k recall is measured, by the end of the figure's name."""
    return {**{str(k): k for k in RECALLS if k <= top_k}, "k": top_k}


def first_of_each_type(questions: Sequence[Question], n: int) -> list[int]:
    """Positions of the first `n` questions of each type; questions stand in random order in their file."""
    counts: Counter[str] = Counter()
    chosen = []
    for place, question in enumerate(questions):
        if counts[question.type] < n:
            counts[question.type] += 1
            chosen.append(place)
    return chosen


def score_table(asked: Asked, *, bootstrap_samples: int, seed: int) -> dict[str, dict[str, Any]]:
    """One system on one split: `{type: {figure: value}}`.

    Args:
        asked: Questions, answers and facts.
        bootstrap_samples: Of the standard error of EM.
        seed: Of the bootstrap.
    """
    table = {}
    for name, belongs in TYPES.items():
        part = asked.of(belongs)
        if part.questions:
            table[name] = _score(part, bootstrap_samples, seed)
    if all(answer.null is not None for answer in asked.answers):
        for name in ("unanswerable", "all"):
            if name in table:
                table[name]["abstain_auroc"] = _abstain_auroc(asked)
    return {name: rounded(row) for name, row in table.items()}


def _score(asked: Asked, bootstrap_samples: int, seed: int) -> dict[str, Any]:
    matches, top_k = asked.matches(), asked.top_k
    overlaps = [f1(a.prediction, accepted(q)) for q, a in zip(asked.questions, asked.answers, strict=True)]
    row: dict[str, Any] = {
        "n": len(matches),
        "em": float(np.mean(matches)),
        "em_stderr": bootstrap_stderr(matches, bootstrap_samples, seed),
        "f1": float(np.mean(overlaps)),
        "prompt_tokens": float(np.mean([answer.prompt_tokens for answer in asked.answers])),
    }
    supported = [(q, a) for q, a in zip(asked.questions, asked.answers, strict=True) if q.supporting_facts]
    if top_k and supported:
        for name, k in recalls(top_k).items():
            row[f"recall_at_{name}"] = float(np.mean([hit_at(a.ranked[-1], q.hops[-1], k) for q, a in supported]))
            row[f"support_recall_at_{name}"] = float(np.mean([support_recall(q, a, k) for q, a in supported]))
        row |= _time_accuracy(asked.facts, supported)
    return row


def support_recall(question: Question, answer: Answered, k: int) -> float:
    """Share of the question's hops that have a fact among the first `k` of any layer."""
    return float(np.mean([max(hit_at(ranked, hop, k) for ranked in answer.ranked) for hop in question.hops]))


def _time_accuracy(facts: Sequence[FiveTuple], supported: Sequence[tuple[Question, Answered]]) -> dict[str, Any]:
    """Share of top-1 facts that hold at the question's time, among questions whose last hop has competing windows."""
    competing = Counter((fact.head.name, fact.relation.name) for fact in facts)
    holds = []
    for question, answer in supported:
        last = facts[question.hops[-1][0]]
        if question.question_time is not None and competing[last.head.name, last.relation.name] > 1:
            holds.append(facts[answer.ranked[-1][0]].window.overlaps(question.question_time))
    return {"time_accuracy": float(np.mean(holds)), "time_n": len(holds)} if holds else {}


def _abstain_auroc(asked: Asked) -> float | None:
    labels = [question.type == "unanswerable" for question in asked.questions]
    return auroc([answer.null or 0.0 for answer in asked.answers], labels)


def recall_curve(asked: Asked) -> dict[str, list[float]]:
    """Recall of the last hop's fact in the last layer by k, 1 to top k, for each type that has supporting facts."""
    curves = {}
    for name, belongs in TYPES.items():
        rows = [
            (q, a) for q, a in zip(asked.questions, asked.answers, strict=True) if belongs(q) and q.supporting_facts
        ]
        if rows and asked.top_k and name in SEPARATE_TYPES:
            curves[name] = [
                round(float(np.mean([hit_at(a.ranked[-1], q.hops[-1], k) for q, a in rows])), DIGITS)
                for k in range(1, asked.top_k + 1)
            ]
    return curves


def differences(
    asked: Asked, reference: Asked, name: str, *, bootstrap_samples: int, seed: int
) -> dict[str, dict[str, float]]:
    """EM of a system minus that of another one on the same questions, with its 95 % interval, by type.

    Args:
        asked: The system.
        reference: The other one; it may have been asked more.
        name: The other one's, which becomes part of the figures' names.
        bootstrap_samples: Of the interval.
        seed: Of the bootstrap.
    """
    other = dict(zip((question.qid for question in reference.questions), reference.matches(), strict=True))
    table = {}
    for kind, belongs in TYPES.items():
        part = asked.of(belongs)
        if part.questions:
            ours, theirs = part.matches(), [other[question.qid] for question in part.questions]
            low, high = paired_bootstrap_interval(ours, theirs, bootstrap_samples, seed)
            figures = {"": float(np.mean(ours) - np.mean(theirs)), "_low": low, "_high": high}
            table[kind] = rounded({f"em_minus_{name}{end}": value for end, value in figures.items()})
    return table


def headline(table: Mapping[str, Any], system: str) -> dict[str, float]:
    """At most 12 figures of the table that say whether the model reads a knowledge base it has never seen.

    Of the worlds these are figures of `swap` and `novel`, of a converted dataset those of `test` and `test_hard`.

    Args:
        table: `{split: {system: {type: {figure: value}}}}`.
        system: The model whose figures they are, "stage_a" or "stage_b".
    """
    swap, novel, dev, test, hard = (table.get(split, {}) for split in ("swap", "novel", "dev", "test", "test_hard"))

    def figure(split: Mapping[str, Any], kind: str, name: str = "em", system: str = system) -> float | None:
        value: float | None = split.get(system, {}).get(kind, {}).get(name)
        return value

    pairs = [(figure(dev, kind), figure(swap, kind)) for kind in ("single_hop", "temporal")]
    gaps = [seen - unseen for seen, unseen in pairs if seen is not None and unseen is not None]
    closed = [figure(part, "answerable", system="closed_book") for part in (swap, novel, dev, test)]
    converted = {
        "test_em": figure(test, "answerable"),
        "test_f1": figure(test, "answerable", "f1"),
        "test_recall_at_1": figure(test, "answerable", "recall_at_1"),
        "test_recall_at_8": figure(test, "answerable", "recall_at_8"),
        "test_support_recall_at_8": figure(test, "answerable", "support_recall_at_8"),
        "test_abstain_auroc": figure(test, "all", "abstain_auroc"),
        "test_hard_em": figure(hard, "answerable"),
        "test_hard_recall_at_8": figure(hard, "answerable", "recall_at_8"),
        "test_em_in_context": figure(test, "answerable", system="in_context"),
        "test_em_rag_1": figure(test, "answerable", system="rag_1"),
    }
    figures = {
        **converted,
        "swap_em_single_hop": figure(swap, "single_hop"),
        "swap_em_temporal": figure(swap, "temporal"),
        "swap_em_two_hop": figure(swap, "two_hop"),
        "swap_em_three_hop": figure(swap, "three_hop"),
        "swap_recall_at_8": figure(swap, "answerable", "recall_at_8"),
        "swap_abstain_auroc": figure(swap, "all", "abstain_auroc"),
        "swap_em_in_context": figure(swap, "single_hop", system="in_context"),
        "novel_em_single_hop": figure(novel, "single_hop"),
        "novel_em_temporal": figure(novel, "temporal"),
        "novel_em_two_hop": figure(novel, "two_hop"),
        "closed_book_em_max": max((value for value in closed if value is not None), default=None),
        "dev_minus_swap_em": sum(gaps) / len(gaps) if gaps else None,
    }
    return {name: round(value, DIGITS) for name, value in figures.items() if value is not None}


def rounded(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row with its floats as they are written down."""
    return {name: round(value, DIGITS) if isinstance(value, float) else value for name, value in row.items()}
