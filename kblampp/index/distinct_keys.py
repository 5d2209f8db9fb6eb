"""Distinct rows of a key matrix, exact scores of candidates, and their expansion to fact ids."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from kblampp.encoding.growing import Readable
from kblampp.encoding.sentence_encoder import FloatArray

IdArray = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

_GATHERED = 2 << 20  # bytes of the candidates' keys that are scored at a time
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
        first, groups = _in_order(first, inverse)
        return cls._of_groups(rows[first], groups)

    @classmethod
    def of_many(cls, keys: Readable, room: npt.NDArray[Any]) -> DistinctKeys:
        """The same where the rows of ``(n, d_k)`` float16 are too many to be held.

        Rows are compared by a hash and then, those of one hash, with each other.

        Args:
            keys: The rows, of which some are read at a time.
            room: Where the distinct ones go, such as a mapped file; at least ``(n, d_k)`` float16.
        """
        for seed in itertools.count():
            _, first, inverse = np.unique(_hashes(keys, seed), return_index=True, return_inverse=True)
            first, groups = _in_order(first, inverse)
            for start in range(0, len(first), _BLOCK):
                block = first[start : start + _BLOCK]
                room[start : start + len(block)] = _without_minus_zero(keys[block])
            if all(
                np.array_equal(room[groups[start : start + _BLOCK]], _without_minus_zero(keys[start : start + _BLOCK]))
                for start in range(0, len(groups), _BLOCK)
            ):
                break  # else two keys had one hash
        return cls._of_groups(room[: len(first)], groups)

    @classmethod
    def _of_groups(cls, keys: npt.NDArray[Any], groups: IdArray) -> DistinctKeys:
        counts = np.bincount(groups, minlength=len(keys)).astype(np.int64)
        ids = np.argsort(groups, kind="stable").astype(np.int64)
        return cls(keys, np.cumsum(counts) - counts, counts, ids, groups)

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

    def holding(self, among: Mask) -> Mask:
        """Which keys ``(n_distinct,)`` have a fact in the mask ``(n,)``."""
        held: Mask = np.logical_or.reduceat(among[self.ids], self.starts)
        return held

    def best_of(self, query: FloatArray, groups: IdArray, k: int, *, exact: bool) -> tuple[FloatArray, IdArray] | None:
        """What `exact_scores`, `expand` and `certain` give of one query's candidates, where no more is to be done.

        Args:
            query: ``(d_k,)``.
            groups: ``(m,)`` distinct keys.
            k: Facts wanted.
            exact: Whether the candidates are those of a search that compared every key, which `certain` is asked about.

        Returns:
            Scores and ids ``(1, k)``; None where candidates are missing, a key has several facts, or scores lie so near
            that every key has to be scored.
        """
        if len(groups) < k or groups.min() < 0 or self.counts[groups].max() > 1:
            return None
        wide = self.keys.take(groups, axis=0).astype(np.float64)
        scores = np.einsum("d,md->m", query.astype(np.float64), wide).astype(np.float32)
        order = np.lexsort((groups, -scores))
        scores, groups = scores[order], groups[order[:k]]
        if exact:
            last = scores[k - 1]
            if (scores[1 : k + 1] == scores[:k][: len(scores) - 1]).any():
                return None
            if len(scores) < self.n_distinct and not apart(last, scores[-1], scores[0]):
                return None
        return scores[None, :k], self.ids[self.starts[groups]][None]

    def expand(
        self, scores: FloatArray, groups: IdArray, k: int, among: Mask | None = None
    ) -> tuple[FloatArray, IdArray]:
        """Candidates to the best ``k`` facts.

        Args:
            scores: ``(n_queries, m)`` of the candidates; minus infinity where there is none.
            groups: ``(n_queries, m)`` distinct keys, -1 where there is none.
            k: Facts a query.
            among: ``(n,)`` the facts that may be found; None for all.

        Returns:
            Scores and ids ``(n_queries, k)``, ordered by score and then by id of the key's first fact, padded with
            minus infinity and -1.
        """
        order = np.lexsort((groups, -scores), axis=-1)[:, :k]  # each key brings a fact, so k of them are enough
        rows = np.arange(len(scores))[:, None]
        scores, groups = scores[rows, order], groups[rows, order]
        counts = self.counts[groups]
        if among is None and scores.shape[1] == k and counts.max(initial=0) == 1:  # nothing to expand
            return scores, np.where(groups < 0, -1, self.ids[self.starts[groups]])
        counts[groups < 0] = 0
        before = np.cumsum(counts, axis=1) - counts
        size = (counts if among is not None else np.clip(k - before, 0, counts)).ravel()
        item = np.repeat(np.arange(len(size)), size)
        within = np.arange(len(item)) - (np.cumsum(size) - size)[item]
        ids = self.ids[self.starts[groups.ravel()[item]] + within]
        row, place = item // groups.shape[1], before.ravel()[item] + within
        if among is not None:
            allowed = among[ids]
            item, row, ids = item[allowed], row[allowed], ids[allowed]
            place = np.arange(len(row)) - np.searchsorted(row, row)
            first = place < k
            item, row, ids, place = item[first], row[first], ids[first], place[first]
        found_scores = np.full((len(scores), k), -np.inf, dtype=np.float32)
        found_ids = np.full((len(scores), k), -1, dtype=np.int64)
        found_scores[row, place], found_ids[row, place] = scores.ravel()[item], ids
        return found_scores, found_ids


def _in_order(first: IdArray, inverse: IdArray) -> tuple[IdArray, IdArray]:
    """First rows of groups, ascending, and the group of each row by its place among them."""
    order = np.argsort(first)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return first[order], rank[inverse].astype(np.int64)


def _without_minus_zero(rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Rows in which -0.0 is 0.0, which it equals."""
    return np.ascontiguousarray(rows + rows.dtype.type(0))


def _hashes(keys: Readable, seed: int) -> npt.NDArray[np.uint64]:
    """A hash of each row, a sum of its words times odd random numbers (Dietzfelbinger et al. 1997), (n,)."""
    n, width = keys.shape
    factors = np.random.default_rng(seed).integers(0, 1 << 63, width, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    found = np.empty(n, dtype=np.uint64)
    for start in range(0, n, _BLOCK):
        words = _without_minus_zero(keys[start : start + _BLOCK]).view(np.uint16).astype(np.uint64)
        found[start : start + _BLOCK] = words @ factors
    return found


def certain(scores: FloatArray, last: FloatArray, n_keys: int) -> Mask:
    """Whether the scores of a flat search lie far enough apart to be sure of the choice, ``(n_queries,)``.

    Args:
        scores: ``(n_queries, m)`` of the candidates, in any order.
        last: ``(n_queries,)`` the lowest score that was taken.
        n_keys: How many keys were searched.

    Returns:
        True where no two keys that were taken tie exactly, and none beyond the candidates is near.
    """
    ordered = np.sort(scores, axis=1)
    tied = (ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= last[:, None])
    sure: Mask = ~tied.any(axis=1)
    if scores.shape[1] < n_keys:
        sure &= apart(last, ordered[:, 0], ordered[:, -1])
    return sure


def apart(last: Any, lowest: Any, highest: Any) -> Any:
    """Whether the lowest score taken lies above those that a search in float32 may have taken for lower than they are.

    Args:
        last: The lowest score that was taken; a number, or ``(n_queries,)``.
        lowest: That of the last candidate.
        highest: That of the first.
    """
    return last > lowest + _TIE * np.maximum(1.0, np.maximum(highest, -lowest))


def exact_scores(queries: FloatArray, keys: npt.NDArray[Any], groups: IdArray) -> FloatArray:
    """Inner products ``(n_queries, m)`` of queries with their candidates; -inf for a -1.

    Summed in float64, so that they do not depend on how faiss or BLAS orders a sum; few queries at a time, so that the
    keys that were gathered stay in the processor's cache.
    """
    wide = queries.astype(np.float64)
    exact: FloatArray = np.empty(groups.shape, dtype=np.float32)
    step = max(1, _GATHERED // (8 * max(1, keys.shape[1] * groups.shape[1])))
    for start in range(0, len(groups), step):
        rows = slice(start, start + step)
        exact[rows] = np.einsum("qd,qmd->qm", wide[rows], keys.take(groups[rows], axis=0).astype(np.float64))
    exact[groups < 0] = -np.inf
    return exact


def exact_top(
    queries: FloatArray, distinct: DistinctKeys, k: int, among: Mask | None = None
) -> tuple[FloatArray, IdArray]:
    """The best ``k`` facts by scoring every key; slow, for queries that tie many keys.

    Args:
        queries: ``(n_queries, d_k)``.
        distinct: The keys.
        k: Facts a query, at most as many as may be found.
        among: ``(n,)`` the facts that may be found; None for all.

    Returns:
        Scores and ids ``(n_queries, k)``, ordered by score and then by id.
    """
    facts = np.arange(distinct.n) if among is None else np.flatnonzero(among)
    scores = np.empty((len(queries), k), dtype=np.float32)
    ids = np.empty((len(queries), k), dtype=np.int64)
    for row, query in enumerate(queries.astype(np.float64)):
        by_fact = _score_all(query, distinct.keys)[distinct.groups[facts]]
        threshold = np.partition(by_fact, len(facts) - k)[len(facts) - k]
        candidates = np.flatnonzero(by_fact >= threshold)
        best = candidates[np.lexsort((candidates, -by_fact[candidates]))][:k]
        ids[row], scores[row] = facts[best], by_fact[best]
    return scores, ids


def _score_all(query: npt.NDArray[np.float64], keys: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Inner products ``(n_distinct,)`` float32 of one query, in blocks to bound the memory."""
    blocks = [
        np.einsum("d,md->m", query, keys[start : start + _BLOCK].astype(np.float64))
        for start in range(0, len(keys), _BLOCK)
    ]
    return np.concatenate(blocks).astype(np.float32)
