"""Which facts may hold in the time that a question names: what a search leaves out while it runs, not afterwards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from kblampp.core.errors import StoreError
from kblampp.data.windows import UNKNOWN_DAY
from kblampp.encoding.encoded_facts import EncodedFacts
from kblampp.index.distinct_keys import Mask

Days = npt.NDArray[np.integer]


@dataclass(frozen=True, eq=False)
class Validity:
    """The windows of the facts behind the keys, with the sentinels of `data.windows`.

    Attributes:
        first: ``(n,)`` first days.
        last: ``(n,)`` first days after the windows.
    """

    first: Days
    last: Days

    @classmethod
    def of(cls, store: EncodedFacts) -> Validity:
        """Of a store's ``2 n`` keys: a fact holds as long whichever end it is read from."""
        return cls(np.tile(np.asarray(store.tau_min), 2), np.tile(np.asarray(store.tau_max), 2))

    def may_hold(self, window: Days) -> Mask:
        """Which facts ``(n,)`` do not surely lie outside a window ``(2,)``; all, where it is unknown.

        The rule of `model.scores.disjoint`: surely means that both are known and share no day.
        """
        start, end = window
        if UNKNOWN_DAY in (start, end):
            return np.ones(len(self.first), dtype=np.bool_)
        may: Mask = (self.first < end) & (self.last > start) | (self.first == UNKNOWN_DAY)
        return may


def checked_windows(windows: npt.NDArray[Any], n_queries: int) -> npt.NDArray[np.int64]:
    """The windows of questions, a row a query.

    Raises:
        StoreError: They are not ``(n_queries, 2)`` whole numbers.
    """
    rows = np.asarray(windows)
    if rows.shape != (n_queries, 2) or not np.issubdtype(rows.dtype, np.integer):
        raise StoreError(
            f"the windows of a search have shape {rows.shape} and type {rows.dtype}, expected ({n_queries}, 2) whole "
            "numbers, the first day and the first day after for each query, as `data.windows.window_bounds` makes them"
        )
    return rows.astype(np.int64)
