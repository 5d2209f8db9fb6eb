"""A search by time finds what a search of the facts that may hold would find."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kblampp.core.errors import StoreError
from kblampp.data.windows import OPEN_END, OPEN_START, UNKNOWN_DAY
from kblampp.index import searchers
from kblampp.index.knowledge_index import KnowledgeIndex
from kblampp.index.validity import Validity
from kblampp.model.scores import disjoint


def windows(n: int, rng: np.random.Generator) -> np.ndarray:
    """Windows of every kind: known, open on either side or both, unknown."""
    start = rng.integers(1, 60, n)
    rows = np.stack([start, start + rng.integers(1, 20, n)], axis=1)
    kind = rng.integers(0, 6, n)
    rows[(kind == 0) | (kind == 2), 0] = OPEN_START
    rows[(kind == 1) | (kind == 2), 1] = OPEN_END
    rows[kind == 3] = UNKNOWN_DAY
    return rows


def timed_world(n: int, seed: int, d: int = 16) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Keys of which each stands about three times, the windows of their facts, and queries near some of them."""
    rng = np.random.default_rng(seed)
    keys = rng.standard_normal((n // 3 + 1, d)).astype(np.float32)[rng.integers(0, n // 3 + 1, n)]
    queries = keys[rng.integers(0, n, 12)] + 0.2 * rng.standard_normal((12, d))
    return keys, windows(n, rng), queries.astype(np.float32)


@settings(max_examples=40, deadline=None)
@given(n=st.integers(1, 80), seed=st.integers(0, 10_000))
def test_what_may_hold_is_what_the_model_does_not_take_for_disjoint(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    facts, asked = windows(n, rng), windows(1, rng)[0]
    apart = disjoint(torch.tensor(asked)[None], *(torch.tensor(facts[:, end])[None, None] for end in (0, 1)))
    np.testing.assert_array_equal(Validity(facts[:, 0], facts[:, 1]).may_hold(asked), ~apart[0, 0].numpy())


@settings(max_examples=40, deadline=None)
@given(n=st.integers(1, 120), k=st.integers(1, 40), few=st.sampled_from([0, 4096]), seed=st.integers(0, 10_000))
def test_flat_search_by_time_is_brute_force_over_what_may_hold(n: int, k: int, few: int, seed: int) -> None:
    keys, held, queries = timed_world(n, seed)
    k = min(k, n)
    asked = windows(len(queries), np.random.default_rng(seed + 1))
    validity = Validity(held[:, 0], held[:, 1])
    index = KnowledgeIndex.build(keys, validity=validity)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(searchers, "_FEW", few)  # 0: always by Faiss's selector
        scores, ids = index.search(queries, k, asked)
    everything = (queries.astype(np.float64)[:, None] * keys).sum(axis=2).astype(np.float32)
    for row, window in enumerate(asked):
        allowed = np.flatnonzero(validity.may_hold(window))
        wanted = allowed[np.lexsort((allowed, -everything[row, allowed]))][:k]
        assert ids[row, : len(wanted)].tolist() == wanted.tolist()
        np.testing.assert_allclose(scores[row, : len(wanted)], everything[row, wanted], atol=1e-5)
        assert (ids[row, len(wanted) :] == -1).all()
        assert np.isneginf(scores[row, len(wanted) :]).all()


@pytest.mark.parametrize(
    ("factory", "search"),
    [
        ("HNSW32", "efSearch=64"),
        ("HNSW32_SQ8", "efSearch=64"),
        ("IVF8,Flat", "nprobe=6"),
        ("IVF8,PQ8x4", "nprobe=6"),
        ("SQ8", None),
        ("PCA12,Flat", None),
    ],
)
def test_approximate_search_by_time_finds_nearly_all_and_nothing_outside(
    factory: str, search: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searchers, "_FEW", 0)
    keys, held, queries = timed_world(2000, 3)
    validity = Validity(held[:, 0], held[:, 1])
    asked = np.tile([[20, 22]], (len(queries), 1))
    _, found = KnowledgeIndex.build(keys, factory=factory, search=search, validity=validity).search(queries, 8, asked)
    _, wanted = KnowledgeIndex.build(keys, validity=validity).search(queries, 8, asked)
    assert validity.may_hold(asked[0])[found].all()
    assert np.mean([len(set(a) & set(b)) / 8 for a, b in zip(found.tolist(), wanted.tolist(), strict=True)]) >= 0.9


def test_office_with_many_holders_does_not_hide_the_one_that_is_asked_for() -> None:
    keys = np.ones((500, 4), np.float32)
    years = np.stack([np.arange(500), np.arange(500) + 1], axis=1) + 1
    index = KnowledgeIndex.build(keys, validity=Validity(years[:, 0], years[:, 1]))
    assert index.search(keys[:1], 2, np.array([[401, 402]]))[1].tolist() == [[400, -1]]


def test_index_without_windows_says_so() -> None:
    with pytest.raises(StoreError, match="validity"):
        KnowledgeIndex.build(np.eye(4)).search(np.eye(4), 1, np.zeros((4, 2), dtype=int))


@pytest.mark.parametrize("asked", [np.zeros((3, 2), dtype=int), np.zeros((4, 2)), np.zeros(4, dtype=int)])
def test_windows_of_another_form_are_refused(asked: np.ndarray) -> None:
    index = KnowledgeIndex.build(np.eye(4), validity=Validity(np.ones(4, dtype=int), np.full(4, 9)))
    with pytest.raises(StoreError, match=r"expected \(4, 2\) whole numbers"):
        index.search(np.eye(4), 1, asked)


def test_kind_of_index_that_cannot_search_among_some_keys_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searchers, "_FEW", 0)
    keys, held, queries = timed_world(400, 5)
    index = KnowledgeIndex.build(keys, factory="PQ8x4", validity=Validity(held[:, 0], held[:, 1]))
    with pytest.raises(StoreError, match=r"cannot search among some of its keys.*index\.factory"):
        index.search(queries, 3, np.tile([[20, 22]], (len(queries), 1)))
