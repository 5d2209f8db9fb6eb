"""What was deleted is passed over, however much of it would be found first; what was added is found beside the rest."""

from __future__ import annotations

import numpy as np
import pytest

from kblampp.index.knowledge_index import KnowledgeIndex
from kblampp.index.layered_index import LayeredIndex

N, WIDTH, FRESH = 200, 8, 5


@pytest.mark.parametrize("gone", [0, 1, 30, 190])
@pytest.mark.parametrize("k", [1, 8])
def test_a_search_finds_what_an_index_of_all_keys_finds(gone: int, k: int) -> None:
    rng = np.random.default_rng(gone)
    query = rng.standard_normal((1, WIDTH)).astype(np.float32)
    keys = rng.standard_normal((N, WIDTH)).astype(np.float32)
    best = np.argsort(-(keys @ query[0]))[:gone]  # those that are deleted
    places = np.arange(N)
    places[best] = -1
    fresh = rng.standard_normal((FRESH, WIDTH)).astype(np.float32)
    index = LayeredIndex(
        KnowledgeIndex.build(keys),
        places.__getitem__,
        gone,
        np.concatenate([fresh, keys[:1]]),
        np.append(N + np.arange(FRESH), -1),  # a late key may be gone too
    )
    assert index.n == N - gone + FRESH
    others = rng.standard_normal((3, WIDTH)).astype(np.float32)
    queries = np.concatenate([query, others])  # of which some find enough at once
    scores, ids = index.search(queries, k)
    left = np.concatenate([keys[places >= 0], fresh])
    numbers = np.concatenate([np.flatnonzero(places >= 0), N + np.arange(FRESH)])
    expected, rows = KnowledgeIndex.build(left).search(queries, k)
    np.testing.assert_array_equal(scores, expected)
    np.testing.assert_array_equal(ids, numbers[rows])
