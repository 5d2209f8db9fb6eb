"""An index of keys of half precision: the same results as a flat one of the same keys, in memory and mapped."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kblampp.core.errors import StoreError
from kblampp.index.half_index import KEYS, HalfIndex, KeyRows
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
