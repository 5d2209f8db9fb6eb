"""The measure of an encoder against a search without matrices."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from kblampp.encoding.sentence_encoder import DeterministicEncoder
from kblampp.synthetic.open_schema import is_held_out
from kblampp.time_expressions.parse import without_time
from kblampp.tuning.measure import FACTS, PER_KIND, measure, open_base


@pytest.mark.parametrize("seed", [0, 3])
def test_accuracy_and_auroc_are_those_of_a_search_by_hand(seed: int) -> None:
    encoder = DeterministicEncoder(32)
    facts, questions = open_base("unseen", FACTS, PER_KIND, seed)
    assert all(is_held_out(str(fact.relation.id)) for fact in facts)
    right, there, missing = [], [], []
    for question in questions:
        if len(question.hops) != 1 or question.inverse:
            continue
        gold = facts[question.hops[0][0]]
        labels = [fact.relation.name for fact in facts if fact.head.name == gold.head.name]
        if len(set(labels)) == 1:
            continue
        (asked,) = encoder.encode([without_time(question.question)])
        near = {label: float(np.dot(asked, encoder.encode([label])[0])) for label in labels}
        best = max(near, key=lambda label: near[label])
        right.append(best == gold.relation.name)
        there.append(near[best])
        missing.append(max(score for label, score in near.items() if label != gold.relation.name))
    wins = [(a > b) + (abs(a - b) < 1e-12) / 2 for a, b in product(there, missing) if a > b or abs(a - b) < 1e-12]
    assert len(right) > 100
    found = measure(encoder.encode, seed)
    assert found == {
        "accuracy": pytest.approx(np.mean(right), abs=2 / len(right)),  # equally near labels may go either way
        "missing_auroc": pytest.approx(sum(wins) / len(there) ** 2, abs=2e-3),
    }
