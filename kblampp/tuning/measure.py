"""How well an encoder tells which relation a question asks for, on held-out relations and names."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
from sklearn.metrics import roc_auc_score

from kblampp.encoding.sentence_encoder import Embed
from kblampp.time_expressions.parse import without_time
from kblampp.tuning.examples import open_base

FACTS, PER_KIND = 700, 60
"""Sizes of the base that is asked about."""


def measure(embed: Embed, seed: int) -> dict[str, float]:
    """Asks about the relations held out (`open_schema.is_held_out`): of all facts of a head, whose label is nearest?

    Args:
        embed: Strings to unit vectors.
        seed: Of the base.

    Returns:
        `accuracy`, the share of the questions where it is that of the right fact, and `missing_auroc`, how well the
        cosine of the nearest label tells bases that have the answer from those whose right facts are taken away; over
        questions of one hop about heads with at least two relations.
    """
    facts, questions = open_base("unseen", FACTS, PER_KIND, seed)
    of_head: dict[str, list[str]] = defaultdict(list)
    for fact in facts:
        if fact.relation.name not in of_head[fact.head.name]:
            of_head[fact.head.name].append(fact.relation.name)
    asked = [question for question in questions if len(question.hops) == 1 and not question.inverse]
    gold = [facts[question.hops[0][0]] for question in asked]
    chosen = [place for place, fact in enumerate(gold) if len(of_head[fact.head.name]) > 1]
    labels = sorted({label for every in of_head.values() for label in every})
    place_of = {label: place for place, label in enumerate(labels)}
    texts = [without_time(asked[place].question) for place in chosen]
    scores = embed(texts) @ embed(labels).T
    right, there, missing = [], [], []
    for row, place in zip(scores, chosen, strict=True):
        own = of_head[gold[place].head.name]
        near = {label: float(row[place_of[label]]) for label in own}
        right.append(max(own, key=near.__getitem__) == gold[place].relation.name)
        there.append(max(near.values()))
        missing.append(max(score for label, score in near.items() if label != gold[place].relation.name))
    area = roc_auc_score([True] * len(there) + [False] * len(missing), there + missing)
    return {"accuracy": float(np.mean(right)), "missing_auroc": float(area)}
