"""The keys of a living base, of half precision: each distinct one once, searched and read where it lies.

In memory or in files that are mapped, they are the only copy of the keys.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kblampp.core.errors import StoreError
from kblampp.core.files import map_array, save_array
from kblampp.index.distinct_keys import DistinctKeys
from kblampp.index.knowledge_index import KnowledgeIndex
from kblampp.index.searchers import Searcher

KEYS = "keys.faiss"
_COLUMNS = ("starts", "counts", "ids", "groups")


@dataclass(frozen=True, eq=False)
class HalfIndex:
    """Keys and their index.

    Attributes:
        distinct: The keys.
        searcher: Finds candidates among them.
    """

    distinct: DistinctKeys
    searcher: Searcher

    @classmethod
    def build(cls, keys: npt.NDArray[np.float16]) -> HalfIndex:
        """Of keys ``(n, d_k)``.

        Raises:
            StoreError: There are none, or some are not finite.
        """
        if keys.ndim != 2 or not keys.size or not np.isfinite(keys).all():
            raise StoreError(
                f"an index needs finite keys of shape (n, d_k), got {keys.shape}: make the vectors of the facts anew"
            )
        found = DistinctKeys.of(keys)
        searcher = Searcher.build_half(found.keys)
        return cls(DistinctKeys(searcher.half_keys, found.starts, found.counts, found.ids, found.groups), searcher)

    def write(self, folder: Path) -> None:
        """Writes it to a folder that is there; the caller makes it atomic."""
        self.searcher.write(folder / KEYS)
        for name in _COLUMNS:
            save_array(folder / f"key_{name}.npy", getattr(self.distinct, name))

    @classmethod
    def map(cls, folder: Path) -> HalfIndex:
        """What `write` wrote, left where it is.

        Raises:
            StoreError: It is missing or damaged.
        """
        searcher, keys = Searcher.map_half(folder / KEYS)
        return cls(DistinctKeys(keys, *(map_array(folder / f"key_{name}.npy") for name in _COLUMNS)), searcher)

    @property
    def index(self) -> KnowledgeIndex:
        """What is asked for the nearest keys."""
        return KnowledgeIndex(
            self.distinct,
            self.searcher,
            factory="SQfp16",
            search=None,
            similarity="ip",
            keys_sha256=None,
            validity=None,
        )


class KeyRows:
    """The keys of some facts, read from an index by their numbers.

    Args:
        index: Of all keys.
        start: The row of the first.
        stop: The row after the last.
    """

    def __init__(self, index: HalfIndex, start: int, stop: int) -> None:
        self._distinct, self._groups = index.distinct, index.distinct.groups[start:stop]
        self._index = index  # the keys are read while it is there

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the keys."""
        return self._distinct.keys.dtype

    @property
    def shape(self) -> tuple[int, int]:
        """How many, and how wide."""
        return len(self._groups), self._distinct.width

    def __getitem__(self, rows: Any, /) -> npt.NDArray[Any]:
        """The keys of these numbers."""
        return np.asarray(self._distinct.keys[self._groups[rows]])
