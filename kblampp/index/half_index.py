"""The keys of a living base, of half precision: each distinct one once, searched and read where it lies.

In memory or in files that are mapped, they are the only copy of the keys.  Few are compared with a query one by one;
many have an index beside them (`automatic`), and what it finds is scored by the keys.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kblampp.core.errors import StoreError
from kblampp.core.files import map_array, read_json, save_array, write_json
from kblampp.encoding.growing import Readable
from kblampp.index.automatic import AUTO, FLAT, resolve
from kblampp.index.distinct_keys import DistinctKeys
from kblampp.index.knowledge_index import KnowledgeIndex
from kblampp.index.searchers import Searcher

KEYS = "keys.faiss"
MANY_KEYS, INDEX, CHOICE = "keys.npy", "index.faiss", "index.json"
"""Instead of `KEYS` where there is an index: the keys, it, and how it was made."""
_COLUMNS = ("starts", "counts", "ids", "groups")
_HALF = "SQfp16"
_BLOCK = 1 << 16


@dataclass(frozen=True, eq=False)
class HalfIndex:
    """Keys and their index.

    Attributes:
        distinct: The keys.
        searcher: Finds candidates among them.
        factory: What the searcher was made from.
        search: The options set on it, if any.
    """

    distinct: DistinctKeys
    searcher: Searcher
    factory: str = _HALF
    search: str | None = None

    @classmethod
    def build(cls, keys: npt.NDArray[np.float16]) -> HalfIndex:
        """Of keys ``(n, d_k)``, searched exactly.

        Raises:
            StoreError: There are none, or some are not finite.
        """
        if keys.ndim != 2 or not keys.size or not np.isfinite(keys).all():
            raise _unfit(keys.shape)
        return cls._exact(DistinctKeys.of(keys))

    @classmethod
    def build_many(cls, keys: Readable, folder: Path) -> HalfIndex:
        """Of keys ``(n, d_k)`` float16 of which some are read at a time, searched as `automatic` chooses.

        Args:
            keys: The keys.
            folder: An empty folder, where the distinct keys go; the index may be read as long as they lie there.

        Raises:
            StoreError: There are none, or some are not finite.
        """
        n, width = keys.shape
        if not n or not all(np.isfinite(keys[start : start + _BLOCK]).all() for start in range(0, n, _BLOCK)):
            raise _unfit((n, width))
        room = np.lib.format.open_memmap(folder / MANY_KEYS, mode="w+", dtype=np.float16, shape=(n, width))
        found = DistinctKeys.of_many(keys, room)
        if found.n_distinct <= FLAT:
            return cls._exact(found)
        factory, search = resolve(AUTO, None, found.n_distinct, width)
        return cls(found, Searcher.build(found.keys, factory, search), factory, search)

    @classmethod
    def _exact(cls, found: DistinctKeys) -> HalfIndex:
        searcher = Searcher.build_half(found.keys)
        return cls(DistinctKeys(searcher.half_keys, found.starts, found.counts, found.ids, found.groups), searcher)

    def write(self, folder: Path) -> None:
        """Writes it to a folder that is there; the caller makes it atomic."""
        if self.factory == _HALF:
            self.searcher.write(folder / KEYS)
        else:
            save_array(folder / MANY_KEYS, self.distinct.keys)
            self.searcher.write(folder / INDEX)
            write_json(folder / CHOICE, {"factory": self.factory, "search": self.search})
        for name in _COLUMNS:
            save_array(folder / f"key_{name}.npy", getattr(self.distinct, name))

    @classmethod
    def map(cls, folder: Path) -> HalfIndex:
        """What `write` wrote, left where it is.

        Raises:
            StoreError: It is missing or damaged.
        """
        columns = [map_array(folder / f"key_{name}.npy") for name in _COLUMNS]
        if not (folder / CHOICE).is_file():
            searcher, keys = Searcher.map_half(folder / KEYS)
            return cls(DistinctKeys(keys, *columns), searcher)
        choice = read_json(folder / CHOICE)
        try:
            factory, search = str(choice["factory"]), choice["search"]
        except (KeyError, TypeError) as error:
            raise StoreError(f"{folder / CHOICE} does not say how the index was made: remove the folder") from error
        keys = map_array(folder / MANY_KEYS)
        searcher = Searcher.map(folder / INDEX, keys, factory, search)
        return cls(DistinctKeys(keys, *columns), searcher, factory, search)

    @property
    def index(self) -> KnowledgeIndex:
        """What is asked for the nearest keys."""
        return KnowledgeIndex(
            self.distinct,
            self.searcher,
            factory=self.factory,
            search=self.search,
            similarity="ip",
            keys_sha256=None,
            validity=None,
        )


def _unfit(shape: tuple[int, ...]) -> StoreError:
    return StoreError(f"an index needs finite keys of shape (n, d_k), got {shape}: make the vectors of the facts anew")


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
