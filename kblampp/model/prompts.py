"""The text that the language model reads: one prompt form for every system, so that comparisons are fair."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence

from kblampp.data.facts import FiveTuple

ANSWER_CUE = "Answer:"


def closed_book_prompt(question: str) -> str:
    """The question alone; what Stage A, Stage B and closed book read."""
    return f"Question: {question}\n{ANSWER_CUE}"


def in_context_prompt(question: str, sentences: Sequence[str]) -> str:
    """Evidence sentences, then the question; what the in-context and RAG baselines read."""
    return "".join(f"{sentence}\n" for sentence in sentences) + closed_book_prompt(question)


def answer_continuation(answer: str) -> str:
    """The answer as it continues a prompt: with a leading space, so that it tokenises as in running text."""
    return f" {answer}"


class DistractorSampler:
    """Draws facts that stand beside the gold ones in a prompt: near ones first, so that names alone do not decide.

    Args:
        facts: The knowledge base; positions are fact ids.
    """

    def __init__(self, facts: Sequence[FiveTuple]) -> None:
        self._facts = facts
        self._by_head: dict[str, list[int]] = defaultdict(list)
        self._by_relation: dict[str, list[int]] = defaultdict(list)
        for number, fact in enumerate(facts):
            self._by_head[fact.head.name].append(number)
            self._by_relation[fact.relation.name].append(number)

    def draw(self, gold: Sequence[int], n: int, rng: random.Random) -> list[int]:
        """`n` facts (fewer in a tiny base) that are not gold: about a third each of the same head, of the same
        relation, and any; without gold facts all are random."""
        chosen: list[int] = []
        for position in range(n):
            fact = self._facts[rng.choice(gold)] if gold else None
            pools: list[Sequence[int]] = [range(len(self._facts))]
            if fact is not None and position % 3 == 0:
                pools.insert(0, self._by_head[fact.head.name])
            elif fact is not None and position % 3 == 1:
                pools.insert(0, self._by_relation[fact.relation.name])
            for pool in pools:
                free = [i for i in _some(pool, rng) if i not in gold and i not in chosen]
                if free:
                    chosen.append(free[0])
                    break
        return chosen


def _some(pool: Sequence[int], rng: random.Random) -> list[int]:
    """Up to 20 members of a pool in random order; enough to find one that is free."""
    return rng.sample(pool, min(len(pool), 20))
