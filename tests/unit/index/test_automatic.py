from __future__ import annotations

import logging

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kblampp.core.errors import StoreError
from kblampp.encoding.linear_maps import unit
from kblampp.index import automatic
from kblampp.index.automatic import FLAT, resolve
from kblampp.index.knowledge_index import KnowledgeIndex, recall_against_exact


@pytest.mark.parametrize(
    ("n_keys", "kind"),
    [
        (1, faiss.IndexFlat),
        (FLAT, faiss.IndexFlat),
        (FLAT + 1, faiss.IndexIVFPQFastScan),
        (10**9, faiss.IndexIVFPQFastScan),
    ],
)
def test_kind_goes_by_the_number_of_keys_and_is_said_in_one_line(
    n_keys: int, kind: type, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        factory, _ = resolve("auto", None, n_keys, 288)
    assert isinstance(faiss.index_factory(288, factory, faiss.METRIC_INNER_PRODUCT), kind)
    (line,) = [record.getMessage() for record in caplog.records]
    assert factory in line
    assert f"{n_keys} distinct keys" in line


@settings(max_examples=20, deadline=None)
@given(n_keys=st.integers(1, 10**10), d_k=st.integers(2, 1024))
def test_every_choice_is_one_that_faiss_makes(n_keys: int, d_k: int) -> None:
    factory, search = resolve("auto", None, n_keys, d_k)
    index = faiss.index_factory(d_k, factory, faiss.METRIC_INNER_PRODUCT)
    if search is not None:
        faiss.ParameterSpace().set_index_parameters(index, search)  # raises on what the index does not have


def test_what_is_not_auto_stays_as_it_is() -> None:
    assert resolve("HNSW8", "efSearch=9", 10, 4) == ("HNSW8", "efSearch=9")


def test_options_of_an_index_that_is_not_chosen_yet_are_refused() -> None:
    with pytest.raises(StoreError, match=r"index\.search to null"):
        resolve("auto", "nprobe=2", 10, 4)


def test_small_base_is_searched_exactly_as_before() -> None:
    keys = np.random.default_rng(0).standard_normal((60, 8)).astype(np.float32)
    chosen, flat = KnowledgeIndex.build(keys, factory="auto"), KnowledgeIndex.build(keys, factory="Flat")
    assert (chosen.factory, chosen.search_options) == ("Flat", None)
    for a, b in zip(chosen.search(keys, 20), flat.search(keys, 20), strict=True):
        np.testing.assert_array_equal(a, b)


def test_what_is_chosen_for_more_keys_finds_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(automatic, "FLAT", 100)
    rng = np.random.default_rng(1)
    names, labels = unit(rng.standard_normal((300, 12))), unit(rng.standard_normal((10, 4)))
    keys = np.concatenate([np.repeat(names, 10, axis=0), np.tile(labels, (300, 1))], axis=1).astype(np.float32)
    queries = (keys[::60] + 0.1 * rng.standard_normal((50, 16))).astype(np.float32)
    index = KnowledgeIndex.build(keys, factory="auto")
    assert index.factory == "IVF64,PQ8x4fs"
    assert recall_against_exact(index, keys, queries, ks=(8,))[8] >= 0.9
