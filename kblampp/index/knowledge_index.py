"""Nearest keys of a store by the inner product, exact or approximate, with any index that faiss can make.

Facts of one head and relation have the same key, since keys carry no time.  The index therefore
holds each distinct key once and expands it to its facts, so that ties cost no recall and are
broken by the lower id.  Whatever finds the candidates, scores are computed from the keys.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from kblampp.core.errors import StoreError
from kblampp.core.files import atomic_dir, read_manifest, write_manifest
from kblampp.encoding.linear_maps import unit
from kblampp.encoding.sentence_encoder import FloatArray
from kblampp.encoding.store import KBValueStore
from kblampp.index.automatic import resolve
from kblampp.index.distinct_keys import DistinctKeys, IdArray, Mask, certain, exact_scores, exact_top
from kblampp.index.milvus_index import ENGINE, MilvusIndex
from kblampp.index.searchers import Searcher
from kblampp.index.validity import Validity, checked_windows

SIMILARITIES = ("ip", "cosine")

_FILE = "index.faiss"
_ROUNDING = 1e-6  # two float32 sums of one product may differ by this, relatively


class SearchIndex(Protocol):
    """What a model searches."""

    @property
    def n(self) -> int:
        """Number of keys."""

    def search(self, queries: npt.NDArray[Any], k: int) -> tuple[FloatArray, IdArray]:
        """The ``k`` best keys of every query, as `KnowledgeIndex.search`."""


class KnowledgeIndex:
    """Finds the ids of the keys with the highest scores; make one with :meth:`build`.

    Attributes:
        d_k: Their width.
        factory: The faiss factory string that it was made from.
        search_options: The faiss options set on it, if any.
        similarity: ``ip`` or ``cosine``.
        keys_sha256: sha256 of the ``K.npy`` that the keys come from, if known.
    """

    def __init__(
        self,
        distinct: DistinctKeys,
        searcher: Searcher,
        *,
        factory: str,
        search: str | None,
        similarity: str,
        keys_sha256: str | None,
        validity: Validity | None,
    ) -> None:
        """Wrap a searcher of the distinct keys."""
        self.d_k = distinct.width
        self.factory = factory
        self.search_options = search
        self.similarity = similarity
        self.keys_sha256 = keys_sha256
        self._distinct = distinct
        self._searcher = searcher
        self._validity = validity

    @property
    def n(self) -> int:
        """Number of keys."""
        return self._distinct.n

    @classmethod
    def build(
        cls,
        keys: npt.NDArray[Any],
        *,
        factory: str = "Flat",
        search: str | None = None,
        similarity: str = "ip",
        keys_sha256: str | None = None,
        validity: Validity | None = None,
    ) -> KnowledgeIndex:
        """Index ``keys`` ``(n, d_k)``; one input gives one index.

        Args:
            keys: The keys of a store, float16 or float32.
            factory: A string of `faiss.index_factory`; ``Flat`` is exact, and ``auto`` chooses by the number of keys.
            search: A string of `faiss.ParameterSpace`, such as ``efSearch=128``; None leaves the index as it is.
            similarity: ``ip`` for the inner product, ``cosine`` for that of normalised vectors.
            keys_sha256: ``store.keys_sha256``, needed to save the index.
            validity: When the facts hold, needed to search by time.

        Raises:
            StoreError: If the keys or the options cannot make such an index.
        """
        distinct = _distinct_keys(keys, similarity)
        factory, search = resolve(factory, search, *distinct.keys.shape)
        searcher = Searcher.build(distinct.keys, factory, search)
        return cls(
            distinct,
            searcher,
            factory=factory,
            search=search,
            similarity=similarity,
            keys_sha256=keys_sha256,
            validity=validity,
        )

    def search(
        self, queries: npt.NDArray[Any], k: int, windows: npt.NDArray[Any] | None = None
    ) -> tuple[FloatArray, IdArray]:
        """The ``k`` best keys of every query.

        Args:
            queries: ``(n_queries, d_k)``.
            k: Results a query, 0 to ``n``.
            windows: ``(n_queries, 2)`` days; facts that surely do not hold then are passed over by the search itself.
                None, or a window that is unknown, leaves nothing out.

        Returns:
            Scores ``(n_queries, k)`` float32, descending, and ids ``(n_queries, k)`` int64; equal
            scores are ordered by id.  Where an approximate search finds fewer than ``k``, or fewer hold, the row
            ends in ids of -1 with scores of minus infinity.

        Raises:
            StoreError: If ``k``, the queries or the windows are not as above, or no windows of facts are known.
        """
        queries = np.ascontiguousarray(queries, dtype=np.float32)
        self._check_search(queries, k)
        if k == 0 or not len(queries):
            return _nothing(len(queries), k)
        if self.similarity == "cosine":
            queries = unit(queries).astype(np.float32)
        if windows is None:
            return self._search(queries, k)
        if self._validity is None:
            raise StoreError(
                "an index of keys alone cannot search by time; load it with its store, or build it with validity"
            )
        scores, ids = _nothing(len(queries), k)
        asked, of_query = np.unique(checked_windows(windows, len(queries)), axis=0, return_inverse=True)
        for place, window in enumerate(asked):
            rows = np.flatnonzero(of_query == place)
            among = self._validity.may_hold(window)
            scores[rows], ids[rows] = self._search(queries[rows], k, None if among.all() else among)
        return scores, ids

    def save(self, directory: Path) -> None:
        """Write the index and a manifest that names the store's keys.

        Raises:
            StoreError: If the index does not know which store it is of.
        """
        if self.keys_sha256 is None:
            raise StoreError(
                f"an index without keys_sha256 cannot be saved to {directory}; build it with "
                "keys_sha256=store.keys_sha256"
            )
        fields = {
            "n": self.n,
            "d_k": self.d_k,
            "factory": self.factory,
            "search": self.search_options,
            "similarity": self.similarity,
            "keys_sha256": self.keys_sha256,
        }
        with atomic_dir(directory) as folder:
            self._searcher.write(folder / _FILE)
            write_manifest(folder, "index", fields)

    @classmethod
    def load(
        cls,
        directory: Path,
        store: KBValueStore,
        *,
        verify: Literal["sha256", "size", "none"] = "sha256",
    ) -> KnowledgeIndex | MilvusIndex:
        """Open an index of ``store``, whichever engine it was built for.

        Raises:
            StoreError: If the folder is missing or damaged, or the index is of another store.
        """
        manifest = read_manifest(directory, "index", verify=verify, stage="index")
        found = manifest.get("keys_sha256")
        if found != store.keys_sha256:
            raise StoreError(
                f"index {directory} was built for keys {str(found)[:12]}, but store "
                f"{store.directory} has keys {store.keys_sha256[:12]}; run `dvc repro index`"
            )
        if manifest.get("engine") == ENGINE:
            return MilvusIndex.load(directory, manifest, store)
        try:
            factory, similarity = str(manifest["factory"]), str(manifest["similarity"])
            search = None if manifest["search"] is None else str(manifest["search"])
        except KeyError as error:
            raise StoreError(
                f"index {directory}: the manifest lacks what an index must state ({error}); run `dvc repro index`"
            ) from error
        distinct = _distinct_keys(store.keys, similarity)
        searcher = Searcher.read(directory / _FILE, distinct.keys, factory, search)
        return cls(
            distinct,
            searcher,
            factory=factory,
            search=search,
            similarity=similarity,
            keys_sha256=store.keys_sha256,
            validity=Validity.of(store),
        )

    def _search(self, queries: FloatArray, k: int, among: Mask | None = None) -> tuple[FloatArray, IdArray]:
        """The ``k`` best of the facts in the mask ``among`` ``(n,)``; None for all."""
        distinct = self._distinct
        n_keys, n_facts, of_keys = distinct.n_distinct, self.n, None
        if among is not None:
            of_keys = distinct.holding(among)
            n_keys, n_facts = int(of_keys.sum()), int(among.sum())
        groups = self._searcher.candidates(queries, k, of_keys)
        if among is None and len(queries) == 1:  # as a question asks: a dozen small calls are a part of its time
            found = distinct.best_of(queries[0], groups[0], k, exact=self._searcher.misses_none)
            if found is not None:
                return found
        group_scores = exact_scores(queries, distinct.keys, groups)
        scores, ids = distinct.expand(group_scores, groups, k, among)
        wanted = min(k, n_facts)
        if not self._searcher.misses_none or not wanted:
            return scores, ids
        doubtful = ~certain(group_scores, scores[:, wanted - 1], n_keys)
        if doubtful.any():
            best = exact_top(queries[doubtful], distinct, wanted, among)
            scores[doubtful, :wanted], ids[doubtful, :wanted] = best
        return scores, ids

    def _check_search(self, queries: FloatArray, k: int) -> None:
        if not 0 <= k <= self.n:
            raise StoreError(f"search for k={k} of an index of {self.n} keys; k must lie between 0 and {self.n}")
        if queries.ndim != 2 or queries.shape[1] != self.d_k:
            raise StoreError(
                f"queries have shape {queries.shape}, expected (n_queries, {self.d_k}), the width "
                "of the index's keys; encode them with the store's projections"
            )
        if not np.isfinite(queries).all():
            raise StoreError(
                "queries must be finite, but some entries are NaN or infinite; check the model that makes them"
            )


def recall_against_exact(
    index: SearchIndex,
    keys: npt.NDArray[Any],
    queries: npt.NDArray[Any],
    ks: Sequence[int] = (1, 8, 32),
    *,
    similarity: str = "ip",
) -> dict[int, float]:
    """Mean share of the ``k`` results that belong to the exact top ``k``, for every ``k``.

    A result belongs to it by its score: which of several facts with one score is returned does not
    count.  A ``k`` above the number of keys is measured with all of them.

    Args:
        index: The index to check.
        keys: ``(n, d_k)``, the keys it was built from.
        queries: ``(n_queries, d_k)``.
        ks: Numbers of results.
        similarity: That of the index.

    Raises:
        StoreError: If there are no queries, or they do not fit the index.
    """
    if not len(queries):
        raise StoreError("the recall of an index needs at least one query, got none")
    exact = KnowledgeIndex.build(keys, similarity=similarity)
    recall = {}
    for k in ks:
        width = min(k, index.n)
        wanted, _ = exact.search(queries, width)
        found, _ = index.search(queries, width)
        tolerance = _ROUNDING * np.maximum(1.0, np.abs(wanted[:, :1]))
        recall[k] = float((found >= wanted[:, -1:] - tolerance).mean())
    return recall


def _nothing(n_queries: int, k: int) -> tuple[FloatArray, IdArray]:
    """Scores and ids of a search that found nothing."""
    return np.full((n_queries, k), -np.inf, dtype=np.float32), np.full((n_queries, k), -1, dtype=np.int64)


def _distinct_keys(keys: npt.NDArray[Any], similarity: str) -> DistinctKeys:
    """The distinct float32 keys, normalised for cosine; all checks of the keys and their similarity are here."""
    if similarity not in SIMILARITIES:
        raise StoreError(
            f"index.similarity must be {' or '.join(SIMILARITIES)}, got {similarity!r}; set it in params.yaml"
        )
    if keys.ndim != 2 or not keys.size:
        raise StoreError(f"an index needs keys of shape (n, d_k), got {keys.shape}; run `dvc repro encode`")
    rows = np.asarray(keys, dtype=np.float32)
    if not np.isfinite(rows).all():
        raise StoreError("keys must be finite, but some are NaN or infinite; run `dvc repro encode`")
    return DistinctKeys.of(unit(rows).astype(np.float32) if similarity == "cosine" else rows)
