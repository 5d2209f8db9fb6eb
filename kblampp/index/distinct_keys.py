"""Distinct rows of a key matrix, exact scores of candidates, and their expansion to fact ids."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from kblampp.encoding.sentence_encoder import FloatArray

IdArray = npt.NDArray[np.int64]

_BLOCK = 1 << 16  # keys scored at a time by the brute-force search
_TIE = 1e-5  # float32 search may swap scores that are this near, relative to the largest


@dataclass(frozen=True, eq=False)
class DistinctKeys:
    """Each distinct key once, and the ids of the facts that have it.

    Attributes:
        keys: ``(n_distinct, d_k)`` float32 or float16, in the order of their lowest ids.
        starts: ``(n_distinct,)`` where a key's ids begin in ``ids``.
        counts: ``(n_distinct,)`` how many ids it has.
        ids: ``(n,)`` fact ids grouped by key, ascending within a key.
        groups: ``(n,)`` the row of `keys` that each fact has.
    """

    keys: npt.NDArray[Any]
    starts: IdArray
    counts: IdArray
    ids: IdArray
    groups: IdArray

    @classmethod
    def of(cls, keys: npt.NDArray[Any]) -> DistinctKeys:
        """Group the rows of ``(n, d_k)`` that are equal."""
        rows = np.ascontiguousarray(keys + keys.dtype.type(0))  # -0.0 becomes 0.0, which it equals
        as_bytes = rows.view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1])))[:, 0]
        _, first, inverse = np.unique(as_bytes, return_index=True, return_inverse=True)
        order = np.argsort(first)
        rank = np.empty_like(order)
        rank[order] = np.arange(len(order))
        group = rank[inverse]
        counts = np.bincount(group, minlength=len(first)).astype(np.int64)
        ids = np.argsort(group, kind="stable").astype(np.int64)
        return cls(rows[first[order]], np.cumsum(counts) - counts, counts, ids, group.astype(np.int64))

    @property
    def n(self) -> int:
        """Number of facts."""
        return len(self.ids)

    @property
    def n_distinct(self) -> int:
        """Number of distinct keys."""
        return len(self.keys)

    @property
    def width(self) -> int:
        """Width of a key."""
        return int(self.keys.shape[1])

    def expand(self, scores: FloatArray, groups: IdArray, k: int) -> tuple[FloatArray, IdArray, npt.NDArray[np.bool_]]:
        """Candidates to the best ``k`` facts.

        Args:
            scores: ``(n_queries, m)`` of the candidates; minus infinity where there is none.
            groups: ``(n_queries, m)`` distinct keys, -1 where there is none.
            k: Facts a query.

        Returns:
            Scores and ids ``(n_queries, k)``, padded with minus infinity and -1, and
            ``(n_queries,)`` whether scores of different keys lie far enough apart to be sure of
            the choice.
        """
        order = np.lexsort((groups, -scores), axis=-1)
        scores = np.take_along_axis(scores, order, axis=1)
        groups = np.take_along_axis(groups, order, axis=1)
        counts = np.where(groups >= 0, self.counts[groups], 0)
        before = np.cumsum(counts, axis=1) - counts
        taken = np.clip(k - before, 0, counts)
        row, column = np.nonzero(taken)
        size = taken[row, column]
        within = np.arange(size.sum()) - np.repeat(np.cumsum(size) - size, size)
        place = np.repeat(before[row, column], size) + within
        row_of = np.repeat(row, size)
        found_scores = np.full((len(scores), k), -np.inf, dtype=np.float32)
        found_ids = np.full((len(scores), k), -1, dtype=np.int64)
        found_scores[row_of, place] = np.repeat(scores[row, column], size)
        found_ids[row_of, place] = self.ids[np.repeat(self.starts[groups[row, column]], size) + within]
        return found_scores, found_ids, self._certain(scores, taken, found_scores[:, -1])

    def _certain(self, scores: FloatArray, taken: IdArray, last: FloatArray) -> npt.NDArray[np.bool_]:
        """No exact tie between keys that were taken, and none beyond the candidates is near."""
        tied = (scores[:, 1:] == scores[:, :-1]) & (taken[:, :-1] > 0)
        certain: npt.NDArray[np.bool_] = ~tied.any(axis=1)
        if scores.shape[1] < self.n_distinct:
            worst = scores[:, -1]
            scale = np.maximum(1.0, np.abs(np.where(scores > -np.inf, scores, 0)).max(axis=1))
            certain &= last > worst + _TIE * scale
        return certain


def exact_scores(queries: FloatArray, keys: npt.NDArray[Any], groups: IdArray) -> FloatArray:
    """Inner products ``(n_queries, m)`` of queries with their candidates; -inf for a -1.

    Summed in float64, so that they do not depend on how faiss or BLAS orders a sum.
    """
    gathered = keys[groups].astype(np.float64)
    scores = np.einsum("qd,qmd->qm", queries.astype(np.float64), gathered)
    exact: FloatArray = np.where(groups >= 0, scores, -np.inf).astype(np.float32)
    return exact


def exact_top(queries: FloatArray, distinct: DistinctKeys, k: int) -> tuple[FloatArray, IdArray]:
    """The best ``k`` facts by scoring every key; slow, for queries that tie many keys.

    Returns:
        Scores and ids ``(n_queries, k)``, ordered by score and then by id.
    """
    scores = np.empty((len(queries), k), dtype=np.float32)
    ids = np.empty((len(queries), k), dtype=np.int64)
    for row, query in enumerate(queries.astype(np.float64)):
        by_fact = _score_all(query, distinct.keys)[distinct.groups]
        threshold = np.partition(by_fact, distinct.n - k)[distinct.n - k]
        candidates = np.flatnonzero(by_fact >= threshold)
        ids[row] = candidates[np.lexsort((candidates, -by_fact[candidates]))][:k]
        scores[row] = by_fact[ids[row]]
    return scores, ids


def _score_all(query: npt.NDArray[np.float64], keys: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Inner products ``(n_distinct,)`` float32 of one query, in blocks to bound the memory."""
    blocks = [
        np.einsum("d,md->m", query, keys[start : start + _BLOCK].astype(np.float64))
        for start in range(0, len(keys), _BLOCK)
    ]
    return np.concatenate(blocks).astype(np.float32)
