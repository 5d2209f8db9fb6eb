"""An index of keys of half precision: the same results as a flat one of the same keys, in memory and mapped."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kblampp.core.errors import StoreError
from kblampp.index import distinct_keys, half_index
from kblampp.index.half_index import CHOICE, INDEX, KEYS, MANY_KEYS, HalfIndex, KeyRows
from kblampp.index.knowledge_index import KnowledgeIndex

N, WIDTH = 500, 24


def keys() -> np.ndarray:
    """With equal keys, both zeros, and keys that lie near one another."""
    made = np.random.default_rng(3).standard_normal((N, WIDTH)).astype(np.float16)
    made[5:9] = made[3]
    made[100] = made[3]
    made[20], made[21] = 0.0, -0.0
    made[30:40] = made[30] + np.arange(10)[:, None].astype(np.float16) / 4096
    return made


@pytest.mark.parametrize("mapped", [False, True])
@pytest.mark.parametrize("k", [1, 9, 60, N])
def test_a_search_finds_what_a_flat_index_finds(tmp_path: Path, k: int, mapped: bool) -> None:
    index = HalfIndex.build(keys())
    if mapped:
        index.write(tmp_path)
        index = HalfIndex.map(tmp_path)
    queries = np.concatenate(
        [np.random.default_rng(4).standard_normal((6, WIDTH)), keys()[[3, 20, 33]].astype(float), np.zeros((1, WIDTH))]
    ).astype(np.float32)
    scores, ids = index.index.search(queries, k)
    expected, wanted = KnowledgeIndex.build(keys()).search(queries, k)
    np.testing.assert_array_equal(ids, wanted)
    np.testing.assert_array_equal(scores, expected)


@pytest.mark.parametrize("one_hash", [False, True])
def test_many_keys_of_which_some_are_read_at_a_time_are_told_apart_as_few_are(
    tmp_path: Path, one_hash: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Blocks that cut groups of equal keys, and a hash that is the same for all where it is first tried."""
    monkeypatch.setattr(half_index, "_BLOCK", 64)
    monkeypatch.setattr(distinct_keys, "_BLOCK", 64)
    if one_hash:
        real = distinct_keys._hashes
        monkeypatch.setattr(
            distinct_keys, "_hashes", lambda rows, seed: real(rows, seed) * np.uint64(0 if seed == 0 else 1)
        )
    many, few = HalfIndex.build_many(keys(), tmp_path), HalfIndex.build(keys())
    for name in ("keys", "starts", "counts", "ids", "groups"):
        np.testing.assert_array_equal(getattr(many.distinct, name), getattr(few.distinct, name))


@pytest.fixture
def approximate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder of an index that `auto` has chosen."""
    monkeypatch.setattr("kblampp.index.automatic.FLAT", 100)
    monkeypatch.setattr(half_index, "FLAT", 100)
    (tmp_path / "made").mkdir()
    (tmp_path / "kept").mkdir()
    HalfIndex.build_many(keys(), tmp_path / "made").write(tmp_path / "kept")
    return tmp_path / "kept"


def test_an_index_that_was_chosen_is_made_again_byte_by_byte(approximate: Path, tmp_path: Path) -> None:
    (tmp_path / "again").mkdir()
    (tmp_path / "kept again").mkdir()
    HalfIndex.build_many(keys(), tmp_path / "again").write(tmp_path / "kept again")
    names = sorted(path.name for path in approximate.iterdir())
    assert {INDEX, MANY_KEYS, CHOICE} < set(names)
    assert KEYS not in names
    for name in names:
        assert (approximate / name).read_bytes() == (tmp_path / "kept again" / name).read_bytes(), name


def test_what_an_index_finds_is_scored_by_the_keys(approximate: Path) -> None:
    index = HalfIndex.map(approximate)
    assert "fs" in index.factory
    queries = np.random.default_rng(4).standard_normal((20, WIDTH)).astype(np.float32)
    scores, ids = index.index.search(queries, 8)
    expected, _ = KnowledgeIndex.build(keys()).search(queries, 8)
    np.testing.assert_allclose(scores, np.einsum("qd,qkd->qk", queries, keys()[ids].astype(np.float32)), rtol=1e-5)
    assert (scores >= expected[:, -1:] - 1e-4).mean() > 0.7  # these keys have no neighbours
    np.testing.assert_array_equal(KeyRows(index, 100, 400)[np.array([0, 299])], keys()[[100, 399]])


@pytest.mark.parametrize("name", [INDEX, MANY_KEYS, CHOICE])
@pytest.mark.parametrize("harm", ["missing", "garbage", "another"])
def test_a_damaged_index_is_refused(approximate: Path, name: str, harm: str, tmp_path: Path) -> None:
    if harm == "missing":
        (approximate / name).unlink()
    elif harm == "garbage":
        (approximate / name).write_bytes(b"{")
    else:
        KnowledgeIndex.build(keys()[:50], factory="HNSW8", keys_sha256="x").save(tmp_path / "other")
        np.save(tmp_path / "other" / MANY_KEYS, keys()[:50])
        (tmp_path / "other" / CHOICE).write_text("{}", encoding="utf-8")
        (tmp_path / "other" / name).replace(approximate / name)
    with pytest.raises(StoreError):
        HalfIndex.map(approximate)


def test_keys_are_read_from_the_index_by_their_rows(tmp_path: Path) -> None:
    HalfIndex.build(keys()).write(tmp_path)
    rows = KeyRows(HalfIndex.map(tmp_path), 100, 400)
    assert rows.shape == (300, WIDTH)
    np.testing.assert_array_equal(rows[np.array([[0, 299], [7, 7]])], keys()[[[100, 399], [107, 107]]])


@pytest.mark.parametrize("bad", [np.zeros((0, 4)), np.full((2, 4), np.nan)])
def test_what_cannot_be_searched_is_refused(bad: np.ndarray) -> None:
    with pytest.raises(StoreError, match="finite keys"):
        HalfIndex.build(bad.astype(np.float16))


@pytest.mark.parametrize("harm", ["missing", "garbage", "another kind"])
def test_a_damaged_file_is_refused_with_a_remedy(tmp_path: Path, harm: str) -> None:
    HalfIndex.build(keys()).write(tmp_path)
    if harm == "missing":
        (tmp_path / KEYS).unlink()
    elif harm == "garbage":
        (tmp_path / KEYS).write_bytes(b"no index at all")
    else:
        KnowledgeIndex.build(keys(), factory="HNSW8", keys_sha256="x").save(tmp_path / "other")
        (tmp_path / "other" / "index.faiss").replace(tmp_path / KEYS)
    with pytest.raises(StoreError, match="made anew"):
        HalfIndex.map(tmp_path)
