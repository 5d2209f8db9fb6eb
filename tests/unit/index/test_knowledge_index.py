from __future__ import annotations

from pathlib import Path

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kblampp.core.errors import StoreError
from kblampp.index.knowledge_index import KnowledgeIndex, recall_against_exact
from kblampp.index.searchers import Searcher
from tests.unit.index.stores import make_store

# Approximate indexes of every kind, with options wide enough to find nearly everything; each works from 80 keys on.
ANN: dict[str, str | None] = {
    "HNSW32": "efSearch=128",
    "HNSW16": "efConstruction=80,efSearch=64",
    "HNSW16_SQ8": "efSearch=128",
    "IVF16,Flat": "nprobe=12",
    "IVF8_HNSW8,Flat": "nprobe=6",
    "IVF8,PQ8x4": "nprobe=6",
    "IVF8,PQ4x4fs": "nprobe=8",
    "SQ8": None,
    "PCA12,SQ8": None,
    "PCAR12,IVF4,PQ3x4,RFlat": "nprobe=4,k_factor_rf=16",
    "L2norm,Flat": None,
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
    monkeypatch.setattr("kblampp.index.distinct_keys._GATHERED", 1)
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


@settings(max_examples=40, deadline=None)
@given(
    factory=st.sampled_from(sorted(ANN)),
    similarity=st.sampled_from(["ip", "cosine"]),
    n=st.integers(100, 300),
    k=st.integers(1, 40),
    seed=st.integers(0, 10_000),
)
def test_approximate_scores_are_exactly_those_of_the_ids(
    factory: str, similarity: str, n: int, k: int, seed: int
) -> None:
    keys, queries = world(n, seed, repeats=1 + seed % 2)
    index = KnowledgeIndex.build(keys, factory=factory, search=ANN[factory], similarity=similarity)
    scores, ids = index.search(queries, k)
    true_scores, order = brute_force(keys, queries, n, similarity)
    by_id = np.take_along_axis(true_scores, np.argsort(order, axis=1), axis=1)
    for score, found, true in zip(scores, ids, by_id, strict=True):
        assert found[0] >= 0
        kept = int((found >= 0).sum())
        assert (found[kept:] == -1).all()
        assert np.isneginf(score[kept:]).all()
        np.testing.assert_allclose(score[:kept], true[found[:kept]], atol=1e-6)
        assert len(set(found[:kept].tolist())) == kept
        assert np.lexsort((found[:kept], -score[:kept])).tolist() == list(range(kept))  # by score, then by lower id


@pytest.mark.parametrize("factory", ANN)
def test_approximate_recall_is_high_and_the_function_measures_it(factory: str) -> None:
    keys, queries = world(600, 6)
    index = KnowledgeIndex.build(keys, factory=factory, search=ANN[factory])
    recall = recall_against_exact(index, keys, queries, ks=(1, 8, 1000))
    assert set(recall) == {1, 8, 1000}
    assert recall[8] >= 0.9
    _, wanted = brute_force(keys, queries, 8, "ip")
    _, found = index.search(queries, 8)
    by_hand = np.mean([len(set(a) & set(b)) / 8 for a, b in zip(wanted.tolist(), found.tolist(), strict=True)])
    assert recall[8] == pytest.approx(by_hand)


@pytest.mark.parametrize("factory", ["HNSW32", "IVF8,Flat", "PQ2x4", "SQ8", "PCA12,Flat"])
def test_the_coarser_the_codes_the_more_candidates_than_results(factory: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    candidates = Searcher.candidates

    def record(self: Searcher, queries: np.ndarray, k: int, among: np.ndarray | None) -> np.ndarray:
        asked.append(candidates(self, queries, k, among).shape[1])
        return candidates(self, queries, k, among)

    monkeypatch.setattr(Searcher, "candidates", record)
    keys, queries = world(400, 6)
    KnowledgeIndex.build(keys, factory=factory).search(queries, 8)
    assert asked == [{"HNSW32": 8, "IVF8,Flat": 8, "SQ8": 18}.get(factory, 72)]


@pytest.mark.parametrize(
    ("factory", "narrow", "wide"),
    [("IVF16,Flat", "nprobe=1", "nprobe=16"), ("HNSW4", "efConstruction=1,efSearch=1", "efSearch=200")],
)
def test_a_wider_search_finds_more(factory: str, narrow: str, wide: str) -> None:
    keys, queries = world(2000, 8)
    recall = [
        recall_against_exact(KnowledgeIndex.build(keys, factory=factory, search=search), keys, queries, ks=(8,))[8]
        for search in (narrow, wide)
    ]
    assert recall[0] < 0.9 < recall[1]


def test_flat_recall_is_one_even_with_ties() -> None:
    keys, queries = world(200, 7, repeats=2)
    index = KnowledgeIndex.build(keys)
    assert recall_against_exact(index, keys, queries) == {1: 1.0, 8: 1.0, 32: 1.0}


def test_recall_of_too_narrow_a_search_is_low() -> None:
    keys, queries = world(2000, 8)
    index = KnowledgeIndex.build(keys, factory="IVF50,PQ1x1", search="nprobe=1")
    assert recall_against_exact(index, keys, queries, ks=(32,))[32] < 0.8


def test_missing_results_end_the_row() -> None:
    keys, queries = world(400, 9)
    index = KnowledgeIndex.build(keys, factory="IVF10,PQ4x4", search="nprobe=1")
    scores, ids = index.search(queries, 400)
    missing = ids == -1
    assert missing.any()
    assert np.isneginf(scores[missing]).all()
    assert np.isfinite(scores[~missing]).all()
    assert (np.diff(missing.astype(int), axis=1) >= 0).all()


@pytest.mark.parametrize("factory", [*ANN, "NSG16", "RQ2x4", "RR12,SQ6"])
def test_one_input_gives_one_index(factory: str, tmp_path: Path) -> None:
    keys, _ = world(300, 10)
    for name in "ab":
        index = KnowledgeIndex.build(keys, factory=factory, search=ANN.get(factory), keys_sha256="k")
        index.save(tmp_path / name)
        np.random.default_rng().normal(size=3)
        faiss.rand(3)
    assert (tmp_path / "a" / "index.faiss").read_bytes() == (tmp_path / "b" / "index.faiss").read_bytes()


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
    "factory",
    [
        "",
        "tree",
        "flat",
        "HNSW0",  # faiss ends the process
        "HNSW1",
        "IVF4_HNSW1,Flat",
        "IVF0,Flat",
        "RR0,Flat",
        "IVF400,Flat",  # more cells than keys
        "PQ4x8",
        "PQ5x4",  # 5 does not divide 16
        "PCA17,Flat",
        "IVF99999999999999999999,Flat",
        "IDMap,Flat",
        "LSH",  # not for the inner product
        "HNSW16_PQ4x4",
    ],
)
def test_factory_strings_that_make_no_index_are_refused(factory: str) -> None:
    keys, _ = world(100, 0)
    with pytest.raises(StoreError, match=rf"^index\.factory '{factory}' .*set index\.factory to .*Flat") as caught:
        KnowledgeIndex.build(keys, factory=factory)
    assert "\n" not in str(caught.value)
    assert ".cpp" not in str(caught.value)


@pytest.mark.parametrize(
    ("factory", "search"),
    [
        ("Flat", "nprobe=2"),
        ("HNSW32", "nprobe=2"),
        ("IVF4,Flat", "efSearch=64"),
        ("IVF4,Flat", "nprobe=0"),
        ("IVF4,Flat", "nprobe=99999999999"),
        ("IVF4,Flat", "nprobe=2;max_codes=9"),
        ("HNSW32", "efSearch"),
        ("HNSW32", "efSearch=-3"),
        ("HNSW32", "efSearch=wide"),
        ("HNSW32", "efSearch=64, efConstruction=80"),
        ("HNSW32", ""),
    ],
)
def test_search_options_that_the_index_does_not_have_are_refused(factory: str, search: str) -> None:
    keys, _ = world(100, 0)
    with pytest.raises(StoreError, match=rf"{factory}.*set index\.search to null") as caught:
        KnowledgeIndex.build(keys, factory=factory, search=search)
    assert f"index.search '{search}'" in str(caught.value)
    assert ".cpp" not in str(caught.value)


def test_another_similarity_is_refused() -> None:
    with pytest.raises(StoreError, match=r"index\.similarity must be ip or cosine"):
        KnowledgeIndex.build(world(10, 0)[0], similarity="l2")


def test_too_few_keys_to_train_well_are_said_once_in_the_log(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    keys, queries = world(100, 0)
    index = KnowledgeIndex.build(keys, factory="PQ8x4")
    assert index.search(queries, 3)[1].shape == (20, 3)
    assert len(caplog.records) == 1
    assert "PQ8x4" in caplog.text
    assert caplog.text.count("100 points to 16 centroids") == 1
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("keys", [np.zeros((0, 4)), np.zeros(4), np.full((2, 2), np.nan)])
def test_keys_that_cannot_be_indexed_are_refused(keys: np.ndarray) -> None:
    with pytest.raises(StoreError, match="keys"):
        KnowledgeIndex.build(keys)


@pytest.mark.parametrize("similarity", ["ip", "cosine"])
@pytest.mark.parametrize("factory", ["Flat", *ANN])
def test_saved_index_searches_like_the_one_it_was(tmp_path: Path, factory: str, similarity: str) -> None:
    store = make_store(tmp_path / "store")
    search = ANN.get(factory)
    index = KnowledgeIndex.build(
        store.keys, factory=factory, search=search, similarity=similarity, keys_sha256=store.keys_sha256
    )
    index.save(tmp_path / "index")
    assert (tmp_path / "index" / "index.faiss").exists() == (factory != "Flat")
    loaded = KnowledgeIndex.load(tmp_path / "index", store)
    assert (loaded.factory, loaded.search_options, loaded.similarity) == (factory, search, similarity)
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
    index = KnowledgeIndex.build(store.keys, factory="HNSW32", keys_sha256=store.keys_sha256)
    index.save(tmp_path / "index")
    path = tmp_path / "index" / "index.faiss"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(StoreError, match=r"index\.faiss.*dvc repro index"):
        KnowledgeIndex.load(tmp_path / "index", store, verify=verify)  # type: ignore[arg-type]


def test_index_that_knows_no_store_cannot_be_saved(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="keys_sha256"):
        KnowledgeIndex.build(np.eye(4)).save(tmp_path / "index")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("factory", ["Flat", "HNSW8"])
@pytest.mark.parametrize("ties", ["none", "near", "equal", "several facts"])
def test_a_query_alone_finds_what_it_finds_among_others(factory: str, ties: str) -> None:
    """Scores and ids, bit by bit; of one query few steps are taken where nothing is in doubt."""
    rng = np.random.default_rng(7)
    keys = rng.standard_normal((60, 8)).astype(np.float32)
    if ties == "near":
        keys[1::2] = keys[::2] * np.float32(1 + 1e-7)
    elif ties == "equal":  # other keys with the same score for queries that end in 0
        keys[1::2] = keys[::2]
        keys[1::2, -1] += 1
    elif ties == "several facts":
        keys[40:] = keys[:20]
    queries = rng.standard_normal((12, 8)).astype(np.float32)
    queries[::2, -1] = 0
    index = KnowledgeIndex.build(keys, factory=factory)
    for k in (1, 7, 59, 60):
        scores, ids = index.search(queries, k)
        for row, query in enumerate(queries):
            alone = index.search(query[None], k)
            np.testing.assert_array_equal(alone[0][0], scores[row])
            np.testing.assert_array_equal(alone[1][0], ids[row])
