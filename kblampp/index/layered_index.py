"""An index that facts come to and go from: one that does not change, and what differs from it.

The index is built once.  Keys that are gone since are passed over, and the new ones, few as they are, are compared with
the query one by one; when they are no longer few, whoever holds it builds anew.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from kblampp.core.errors import StoreError
from kblampp.encoding.sentence_encoder import FloatArray
from kblampp.index.distinct_keys import IdArray
from kblampp.index.knowledge_index import KnowledgeIndex

_SOME = 16
"""Keys that are fetched beyond those wanted, in place of those that are gone."""


class LayeredIndex:
    """Finds the same as a `KnowledgeIndex` of all keys would.

    Args:
        segment: The index that does not change, of inner products.
        places: Where keys of it stand now, by their numbers; -1 for one that is gone.
        gone: How many are.
        fresh: The other keys, (m, d_k) float32.
        fresh_places: Where they stand, (m,); -1 for one that is gone.
    """

    def __init__(
        self,
        segment: KnowledgeIndex,
        places: Callable[[IdArray], IdArray],
        gone: int,
        fresh: FloatArray,
        fresh_places: IdArray,
    ) -> None:
        self._segment, self._places, self._gone = segment, places, gone
        self._fresh, self._fresh_places = fresh, fresh_places

    @property
    def n(self) -> int:
        """Number of keys."""
        return self._segment.n - self._gone + int((self._fresh_places >= 0).sum())

    def search(self, queries: npt.NDArray[Any], k: int) -> tuple[FloatArray, IdArray]:
        """The ``k`` best keys of every query, as `KnowledgeIndex.search`.

        Raises:
            StoreError: There are fewer than ``k`` keys, or the queries do not fit.
        """
        if not 0 <= k <= self.n:
            raise StoreError(f"search for k={k} of an index of {self.n} keys; k must lie between 0 and {self.n}")
        scores, places = self._of_segment(queries, k)
        if len(self._fresh_places):
            new = self._scores_of_fresh(np.asarray(queries, dtype=np.float32))
            scores = np.concatenate([scores, new], axis=1)
            places = np.concatenate([places, np.broadcast_to(self._fresh_places, new.shape)], axis=1)
        scores = np.where(places >= 0, scores, -np.inf).astype(np.float32)
        order = np.lexsort((places, -scores), axis=-1)[:, :k]
        best, ids = np.take_along_axis(scores, order, axis=1), np.take_along_axis(places, order, axis=1)
        return best, np.where(best > -np.inf, ids, -1)

    def _of_segment(self, queries: npt.NDArray[Any], k: int) -> tuple[FloatArray, IdArray]:
        """The best keys of the segment with their places, -1 for one that is gone: `k` at least that are not.

        Few of those found are gone, so some more are asked for first, and twice as many where they are not enough.
        """
        most = min(self._segment.n, k + self._gone)
        width = min(most, k + _SOME)
        while True:
            scores, rows = self._segment.search(queries, width)
            places = np.where(rows >= 0, self._places(rows), -1)
            if width == most or ((places >= 0).sum(1) >= k).all():
                return scores, places
            width = min(most, 2 * width)

    def _scores_of_fresh(self, queries: FloatArray) -> FloatArray:
        """As `exact_scores`, of all fresh keys, without a copy of them for each query."""
        keys = self._fresh.astype(np.float64)
        rows = [np.einsum("d,md->m", query, keys) for query in queries.astype(np.float64)]
        return np.stack(rows).astype(np.float32)
