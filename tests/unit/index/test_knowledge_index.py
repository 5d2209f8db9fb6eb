from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kblampp.core.errors import StoreError
from kblampp.data.facts import Context, Entity, FiveTuple, Relation
from kblampp.data.windows import UNKNOWN
from kblampp.encoding.projections import fit_projections
from kblampp.encoding.sentence_encoder import DeterministicEncoder
from kblampp.encoding.store import KBValueStore
from kblampp.index.knowledge_index import KnowledgeIndex, recall_against_exact

ANN = {
    "hnsw": {"hnsw_m": 16, "hnsw_ef_construction": 80, "hnsw_ef_search": 64},
    "ivfpq": {"ivf_nlist": 8, "ivf_nprobe": 4, "pq_m": 4, "pq_bits": 4},
}


def brute_force(keys: np.ndarray, queries: np.ndarray, k: int, similarity: str) -> tuple[np.ndarray, np.ndarray]:
    keys, queries = keys.astype(np.float64), queries.astype(np.float64)
    if similarity == "cosine":
        keys, queries = (x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-30) for x in (keys, queries))
    scores = (queries[:, None] * keys).sum(axis=2).astype(np.float32)  # no BLAS: equal keys score the same bits
    ids = np.lexsort((np.broadcast_to(np.arange(len(keys)), scores.shape), -scores), axis=-1)[:, :k]
    return np.take_along_axis(scores, ids, axis=1), ids


def world(n: int, seed: int, d: int = 16, repeats: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Keys shaped like a store's (two unit blocks, some keys repeated) and queries near some of them."""
    rng = np.random.default_rng(seed)
    keys = rng.normal(size=(n, d)).astype(np.float32)
    keys = keys[rng.integers(0, n, size=n)] if repeats > 1 else keys
    half = d // 2
    for block in (keys[:, :half], keys[:, half:]):
        block /= np.linalg.norm(block, axis=1, keepdims=True)
    queries = keys[rng.integers(0, n, size=20)] + 0.3 * rng.normal(size=(20, d))
    return keys, queries.astype(np.float32)


@pytest.mark.parametrize("similarity", ["ip", "cosine"])
@pytest.mark.parametrize("seed", range(10))
def test_flat_is_brute_force(seed: int, similarity: str) -> None:
    keys, queries = world(300, seed, repeats=1 + seed % 2)
    index = KnowledgeIndex.build(keys, similarity=similarity)
    for k in (1, 7, 64, 300):
        scores, ids = index.search(queries, k)
        assert (scores.dtype, ids.dtype) == (np.float32, np.int64)
        wanted_scores, wanted_ids = brute_force(keys, queries, k, similarity)
        np.testing.assert_allclose(scores, wanted_scores, atol=1e-5)
        np.testing.assert_array_equal(ids, wanted_ids)


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(1, 40),
    d=st.integers(1, 4),
    spread=st.integers(0, 2),
    k_share=st.floats(0, 1),
    seed=st.integers(0, 10_000),
)
def test_flat_breaks_ties_by_the_lower_id(n: int, d: int, spread: int, k_share: float, seed: int) -> None:
    rng = np.random.default_rng(seed)  # small integers: sums are exact, ties are everywhere
    keys = rng.integers(-spread, spread + 1, size=(n, d)).astype(np.float32)
    queries = rng.integers(-spread, spread + 1, size=(5, d)).astype(np.float32)
    k = max(1, round(k_share * n))
    scores, ids = KnowledgeIndex.build(keys).search(queries, k)
    wanted_scores, wanted_ids = brute_force(keys, queries, k, "ip")
    np.testing.assert_array_equal(scores, wanted_scores)
    np.testing.assert_array_equal(ids, wanted_ids)


def test_tie_beyond_the_candidates_is_still_broken_by_the_lower_id() -> None:
    rng = np.random.default_rng(0)
    keys = np.zeros((500, 4), np.float32)
    keys[:, 1:] = rng.normal(size=(500, 3))  # the query sees only the first dimension: all tie
    scores, ids = KnowledgeIndex.build(keys).search(np.array([[1, 0, 0, 0]], np.float32), 10)
    assert ids.tolist() == [list(range(10))]
    assert scores.tolist() == [[0.0] * 10]


def test_batches_do_not_change_results(monkeypatch: pytest.MonkeyPatch) -> None:
    keys, queries = world(200, 3, repeats=2)
    index = KnowledgeIndex.build(keys)
    whole = index.search(queries, 5)
    monkeypatch.setattr("kblampp.index.knowledge_index._BATCH_BYTES", 1)
    for a, b in zip(whole, index.search(queries, 5), strict=True):
        np.testing.assert_array_equal(a, b)
    for row in range(len(queries)):
        np.testing.assert_array_equal(index.search(queries[row : row + 1], 5)[1][0], whole[1][row])


def test_float16_keys_are_scored_as_they_are_stored() -> None:
    keys, queries = world(100, 4)
    half = keys.astype(np.float16)
    scores, ids = KnowledgeIndex.build(half).search(queries, 5)
    wanted, wanted_ids = brute_force(half.astype(np.float32), queries, 5, "ip")
    np.testing.assert_allclose(scores, wanted, atol=1e-6)
    np.testing.assert_array_equal(ids, wanted_ids)


@pytest.mark.parametrize("similarity", ["ip", "cosine"])
@pytest.mark.parametrize("method", ["hnsw", "ivfpq"])
def test_approximate_scores_are_exactly_those_of_the_ids(method: str, similarity: str) -> None:
    keys, queries = world(600, 5, repeats=2)
    index = KnowledgeIndex.build(keys, method=method, similarity=similarity, **ANN[method])
    exact, _ = KnowledgeIndex.build(keys, similarity=similarity).search(queries, 600)
    scores, ids = index.search(queries, 20)
    assert (ids >= 0).all()
    assert all(len(set(row)) == 20 for row in ids.tolist())
    true_scores, order = brute_force(keys, queries, 600, similarity)
    by_id = np.take_along_axis(true_scores, np.argsort(order, axis=1), axis=1)
    np.testing.assert_allclose(scores, np.take_along_axis(by_id, ids, axis=1), atol=1e-5)
    assert (np.diff(scores, axis=1) <= 0).all()
    assert np.isin(scores, exact).all()
    tied = np.diff(scores, axis=1) == 0
    assert (np.diff(ids, axis=1)[tied] > 0).all()


@pytest.mark.parametrize("method", ["hnsw", "ivfpq"])
def test_approximate_recall_is_high_and_the_function_measures_it(method: str) -> None:
    keys, queries = world(600, 6)
    index = KnowledgeIndex.build(keys, method=method, **ANN[method])
    recall = recall_against_exact(index, keys, queries, ks=(1, 8, 1000))
    assert set(recall) == {1, 8, 1000}
    assert recall[8] >= 0.9
    _, wanted = brute_force(keys, queries, 8, "ip")
    _, found = index.search(queries, 8)
    by_hand = np.mean([len(set(a) & set(b)) / 8 for a, b in zip(wanted.tolist(), found.tolist(), strict=True)])
    assert recall[8] == pytest.approx(by_hand)


def test_flat_recall_is_one_even_with_ties() -> None:
    keys, queries = world(200, 7, repeats=2)
    index = KnowledgeIndex.build(keys)
    assert recall_against_exact(index, keys, queries) == {1: 1.0, 8: 1.0, 32: 1.0}


def test_recall_of_too_narrow_a_search_is_low() -> None:
    keys, queries = world(2000, 8)
    options = {"ivf_nlist": 50, "ivf_nprobe": 1, "pq_m": 1, "pq_bits": 1}
    index = KnowledgeIndex.build(keys, method="ivfpq", **options)
    assert recall_against_exact(index, keys, queries, ks=(32,))[32] < 0.8


def test_missing_results_end_the_row() -> None:
    keys, queries = world(400, 9)
    index = KnowledgeIndex.build(keys, method="ivfpq", ivf_nlist=10, ivf_nprobe=1, pq_m=4, pq_bits=4)
    scores, ids = index.search(queries, 400)
    missing = ids == -1
    assert missing.any()
    assert np.isneginf(scores[missing]).all()
    assert np.isfinite(scores[~missing]).all()
    assert (np.diff(missing.astype(int), axis=1) >= 0).all()


@pytest.mark.parametrize("method", ["hnsw", "ivfpq"])
def test_one_seed_gives_one_index(method: str) -> None:
    keys, queries = world(500, 10)
    found = [KnowledgeIndex.build(keys, method=method, seed=3, **ANN[method]).search(queries, 9) for _ in "ab"]
    np.testing.assert_array_equal(found[0][1], found[1][1])


def test_k_zero_and_no_queries_give_empty_arrays() -> None:
    keys, queries = world(10, 0)
    index = KnowledgeIndex.build(keys)
    assert [a.shape for a in index.search(queries, 0)] == [(20, 0), (20, 0)]
    assert [a.shape for a in index.search(queries[:0], 3)] == [(0, 3), (0, 3)]


@pytest.mark.parametrize("k", [11, -1])
def test_k_outside_the_index_is_refused(k: int) -> None:
    keys, queries = world(10, 0)
    with pytest.raises(StoreError, match=f"k={k} of an index of 10 keys"):
        KnowledgeIndex.build(keys).search(queries, k)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_queries_that_are_not_finite_are_refused(value: float) -> None:
    keys, queries = world(10, 0)
    queries[3, 2] = value
    with pytest.raises(StoreError, match="finite"):
        KnowledgeIndex.build(keys).search(queries, 1)


@pytest.mark.parametrize("shape", [(3, 15), (16,)])
def test_queries_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    keys, _ = world(10, 0)
    with pytest.raises(StoreError, match=r"expected \(n_queries, 16\)"):
        KnowledgeIndex.build(keys).search(np.ones(shape, np.float32), 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "lsh"}, r"index\.method"),
        ({"similarity": "l2"}, r"index\.similarity"),
        ({"method": "ivfpq", "pq_m": 5}, r"index\.pq_m"),
        ({"method": "ivfpq", "pq_m": 4, "pq_bits": 8}, r"index\.pq_bits.*flat"),
        ({"method": "ivfpq", "pq_m": 4, "pq_bits": 20}, r"index\.pq_bits"),
        ({"method": "hnsw", "hnsw_m": 0}, r"index\.hnsw_m"),
    ],
)
def test_options_that_make_no_index_are_refused(options: dict[str, object], message: str) -> None:
    keys, _ = world(100, 0)
    with pytest.raises(StoreError, match=message):
        KnowledgeIndex.build(keys, **options)  # type: ignore[arg-type]


def test_cells_are_lowered_for_few_keys_and_the_log_says_so(caplog: pytest.LogCaptureFixture) -> None:
    keys, queries = world(100, 0)
    index = KnowledgeIndex.build(keys, method="ivfpq", ivf_nlist=64, pq_m=4, pq_bits=4)
    assert "ivf_nlist lowered from 64 to 2" in caplog.text
    assert index.search(queries, 3)[1].shape == (20, 3)


@pytest.mark.parametrize("keys", [np.zeros((0, 4)), np.zeros(4), np.full((2, 2), np.nan)])
def test_keys_that_cannot_be_indexed_are_refused(keys: np.ndarray) -> None:
    with pytest.raises(StoreError, match="keys"):
        KnowledgeIndex.build(keys)


def make_store(directory: Path, width: int = 48, n: int = 80) -> KBValueStore:
    encoder = DeterministicEncoder(width)
    mark = {"encoder_name": encoder.name, "encoder_fingerprint": encoder.fingerprint}
    facts = [
        FiveTuple(Entity(None, f"Town {i}"), Relation(None, "leader"), Entity(None, f"P{i}"), Context("t"), UNKNOWN)
        for i in range(n)
    ]
    projections = fit_projections(facts, encoder.encode, d_k=16, d_v=24, d_ctx=8, d_tau=6, **mark)
    return KBValueStore.build(directory, facts, encoder.encode, projections, **mark)


@pytest.mark.parametrize("method", ["flat", "hnsw", "ivfpq"])
def test_saved_index_searches_like_the_one_it_was(tmp_path: Path, method: str) -> None:
    store = make_store(tmp_path / "store")
    options = {} if method == "flat" else ANN[method]
    index = KnowledgeIndex.build(store.keys, method=method, keys_sha256=store.keys_sha256, **options)
    index.save(tmp_path / "index")
    loaded = KnowledgeIndex.load(tmp_path / "index", store)
    assert (loaded.method, loaded.similarity, loaded.options) == (method, "ip", index.options)
    queries = np.random.default_rng(0).normal(size=(12, 16)).astype(np.float32)
    for a, b in zip(index.search(queries, 9), loaded.search(queries, 9), strict=True):
        np.testing.assert_array_equal(a, b)


def test_index_of_another_store_is_refused(tmp_path: Path) -> None:
    first, second = make_store(tmp_path / "a"), make_store(tmp_path / "b", width=40)
    KnowledgeIndex.build(first.keys, keys_sha256=first.keys_sha256).save(tmp_path / "index")
    with pytest.raises(StoreError, match="dvc repro index"):
        KnowledgeIndex.load(tmp_path / "index", second)


@pytest.mark.parametrize("verify", ["sha256", "none"])
def test_truncated_index_is_refused(tmp_path: Path, verify: str) -> None:
    store = make_store(tmp_path / "store")
    index = KnowledgeIndex.build(store.keys, method="hnsw", keys_sha256=store.keys_sha256)
    index.save(tmp_path / "index")
    path = tmp_path / "index" / "index.faiss"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(StoreError, match=r"index\.faiss.*dvc repro index"):
        KnowledgeIndex.load(tmp_path / "index", store, verify=verify)  # type: ignore[arg-type]


def test_index_that_knows_no_store_cannot_be_saved(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="keys_sha256"):
        KnowledgeIndex.build(np.eye(4)).save(tmp_path / "index")
    assert list(tmp_path.iterdir()) == []
