"""What all states of a base read: rows of vectors and names that are only added to, and texts that stay in the file."""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, overload

import numpy as np
import numpy.typing as npt
import torch

from kblampp.base.knowledge_base import KnowledgeBase
from kblampp.base.vectors import DTYPE, VectorTable
from kblampp.core.progress import progress_bar
from kblampp.data.facts import FiveTuple
from kblampp.encoding.encoded_facts import (
    CONTEXTS,
    ENTITIES,
    FIRST_DAYS,
    LAST_DAYS,
    RELATIONS,
    VALUES,
    EncodedFacts,
    extent_of,
)
from kblampp.encoding.fact_arrays import SymbolNumbers
from kblampp.encoding.growing import Gathered, GrowingRows, Numbering, Readable, RowTensors
from kblampp.encoding.seats import Column, Moved, Patched, Seats, is_among, no_ids
from kblampp.index.half_index import HalfIndex, KeyRows
from kblampp.model.mentions import NameRows
from kblampp.snapshots.fact_encoder import FactEncoder

logger = logging.getLogger(__name__)
Columns = dict[str, npt.NDArray[Any]]
"""Arrays with a row a fact, by their names."""
IDS, STATES, SLOTS, NAMES = "ids.npy", "states.npy", "slots.npy", "names.npy"
"""Columns beside those of `SymbolNumbers`: a fact's id, the number of its content, the number of its vectors, and those
of the names of its head, tail and relation."""
_NUMBERINGS = (("entity_digests.npy", "entity_numbers.npy"), ("relation_digests.npy", "relation_numbers.npy"))
KEPT_TEXTS = 1 << 12
PAGE = 256
"""Facts whose texts are read at a time."""
MANY = 50_000
"""Facts whose vectors are not held: what is made of more of them goes to files beside the base, a block at a time."""
BLOCK = 1 << 14


class Texts:
    """The contents of a base by their numbers, read from its file when they are asked for.

    Attributes:
        base: Where they are read; another one that has the same call does as well.
    """

    def __init__(self, base: KnowledgeBase) -> None:
        self.base = base
        self.read = lru_cache(KEPT_TEXTS)(self._read)

    def _read(self, number: int) -> FiveTuple:
        return self.base.contents([number])[0][1]


class FactTexts(Sequence[FiveTuple]):
    """The facts of a state, each read when it is asked for.

    Args:
        texts: Of the base.
        numbers: Of the contents of its facts, (n,).
    """

    def __init__(self, texts: Texts, numbers: Readable) -> None:
        self._texts, self._numbers = texts, numbers

    def __len__(self) -> int:
        return self._numbers.shape[0]

    @overload
    def __getitem__(self, row: int) -> FiveTuple: ...
    @overload
    def __getitem__(self, row: slice) -> list[FiveTuple]: ...
    def __getitem__(self, row: int | slice) -> FiveTuple | list[FiveTuple]:
        if isinstance(row, slice):
            return [self._texts.read(int(number)) for number in self._numbers[row]]
        return self._texts.read(int(self._numbers[row]))


@dataclass(frozen=True, eq=False)
class BaseRows:
    """Rows that states share.  One thread makes states; any may read them.

    Attributes:
        texts: What facts say.
        symbols: Numbers of entities and relations.
        names: What is read from names.
        vectors: Key, inverse key, value and context vector of facts, by slots.
    """

    texts: Texts
    symbols: SymbolNumbers
    names: NameRows
    vectors: tuple[GrowingRows, ...]

    @classmethod
    def none(cls, base: KnowledgeBase, encoder: FactEncoder) -> BaseRows:
        """None yet."""
        vectors = tuple(GrowingRows.of_shape((width,), DTYPE) for width in encoder.widths)
        return cls(Texts(base), SymbolNumbers(), NameRows(), vectors)

    def with_room(self, facts: int, folder: Path) -> BaseRows:
        """The same without vectors, of which those of so many facts will lie in files of a folder."""
        vectors = []
        for place, rows in enumerate(self.vectors):
            empty = rows.take(no_ids())
            room = _room(folder / f"vectors_{place}.npy", (facts, empty.shape[1]))
            vectors.append(GrowingRows(empty, room))
        return replace(self, vectors=tuple(vectors))

    @classmethod
    def of_arrays(cls, base: KnowledgeBase, arrays: Mapping[str, npt.NDArray[Any]], index: HalfIndex) -> BaseRows:
        """From what `arrays` gave, which is left where it is, and the index of the keys."""
        symbols = SymbolNumbers(*(Numbering(*(arrays[name] for name in pair)) for pair in _NUMBERINGS))
        vectors = _vectors(index, arrays[VALUES], arrays[CONTEXTS])
        return cls(Texts(base), symbols, NameRows.of_arrays(arrays), vectors)

    def arrays(self) -> Columns:
        """All but keys and texts, by names of files."""
        found = self.names.arrays()
        for pair, numbering in zip(_NUMBERINGS, (self.symbols.entities, self.symbols.relations), strict=True):
            found |= zip(pair, numbering.arrays(), strict=True)
        return found | {VALUES: self.vectors[2].whole(), CONTEXTS: self.vectors[3].whole()}

    def keys(self, slots: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        """The keys of facts by their slots (n,), and then their inverse keys, (2 n, d_k)."""
        return np.concatenate([rows.take(slots) for rows in self.vectors[:2]])

    def compacted(self, slots: npt.NDArray[np.int64], folder: Path | None = None) -> tuple[BaseRows, HalfIndex]:
        """The same with the vectors of the facts of some slots (n,) alone, in this order, and their index.

        Args:
            slots: The slots.
            folder: Where they go, whose files are mapped; None for memory, where they are searched exactly.
        """
        if folder is None:
            index = HalfIndex.build(self.keys(slots))
            values, contexts = (rows.take(slots) for rows in self.vectors[2:])
        else:
            index = HalfIndex.build_many(_KeysOf(self.vectors[:2], slots), folder)
            values, contexts = (
                _copied(rows, slots, folder / f"compact_{place}.npy") for place, rows in enumerate(self.vectors[2:])
            )
        return replace(self, vectors=_vectors(index, values, contexts)), index

    def add(self, numbers: npt.NDArray[np.int64], encoder: FactEncoder) -> Columns:
        """The columns of contents, whose vectors are made where they are missing."""
        base = self.texts.base
        table = VectorTable(base.database, encoder)
        pages = []
        few = len(numbers) <= BLOCK
        with progress_bar(total=len(numbers), desc="Facts", unit="facts", leave=False, disable=few) as progress:
            for start in range(0, len(numbers), PAGE):
                page = numbers[start : start + PAGE]
                digests, facts = zip(*base.contents(page.tolist()), strict=True)
                vectors = table.rows(facts, digests)
                parts = ([f.head.name for f in facts], [f.tail.name for f in facts], [f.relation.name for f in facts])
                columns = {
                    **self.symbols.arrays(facts),
                    NAMES: np.stack([self.names.add(part) for part in parts], axis=1),
                    STATES: page,
                }
                for rows, part in zip(self.vectors, encoder.split(vectors), strict=True):
                    columns[SLOTS] = rows.append(part)
                pages.append(columns)
                progress.update(len(page))
        return {name: np.concatenate([page[name] for page in pages]) for name in pages[0]}


@contextmanager
def scratch(base: KnowledgeBase, facts: int, folder: Path) -> Iterator[Path | None]:
    """A hidden folder beside a base, for what is made of `MANY` facts; None for fewer, or where none can be made.

    It is removed at once, where a system removes files that are mapped, or else with what kills have left.
    """
    place: Path | None = None
    if facts > MANY and not base.database.read_only:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            place = Path(tempfile.mkdtemp(prefix=".making-", dir=folder))
        except OSError as error:
            logger.warning("vectors of %d facts are held in memory: %s", facts, error)
    try:
        yield place
    finally:
        if place is not None:
            shutil.rmtree(place, ignore_errors=True)


def _room(path: Path, shape: tuple[int, int]) -> npt.NDArray[Any]:
    room: npt.NDArray[Any] = np.lib.format.open_memmap(path, mode="w+", dtype=np.dtype(DTYPE), shape=shape)
    return room


def _copied(rows: GrowingRows, slots: npt.NDArray[np.int64], path: Path) -> npt.NDArray[Any]:
    """Rows by their numbers, in a file that is mapped; as they are where these are all of them in their order."""
    if len(rows) == len(slots) and np.array_equal(slots, np.arange(len(slots))):
        return rows.whole()
    room = _room(path, (len(slots), rows.take(slots[:1]).shape[1]))
    for start in range(0, len(slots), BLOCK):
        room[start : start + BLOCK] = rows.take(slots[start : start + BLOCK])
    return room


class _KeysOf:
    """The keys of facts by their slots, and then their inverse keys, of which some are read at a time.

    Args:
        parts: Keys and inverse keys by slots.
        slots: The slots, (n,).
    """

    def __init__(self, parts: Sequence[GrowingRows], slots: npt.NDArray[np.int64]) -> None:
        self._parts, self._slots = parts, slots
        self.dtype = np.dtype(DTYPE)
        self.shape = 2 * len(slots), parts[0].take(slots[:1]).shape[1]

    def __getitem__(self, rows: Any, /) -> npt.NDArray[Any]:
        """The keys of these numbers, or of a slice."""
        n = len(self._slots)
        numbers = np.arange(2 * n)[rows] if isinstance(rows, slice) else np.asarray(rows)
        found = np.empty((*numbers.shape, self.shape[1]), dtype=self.dtype)
        for place, part in enumerate(self._parts):
            own = numbers // n == place
            found[own] = part.take(self._slots[numbers[own] % n])
        return found


def _vectors(index: HalfIndex, values: npt.NDArray[Any], contexts: npt.NDArray[Any]) -> tuple[GrowingRows, ...]:
    n = len(values)
    return tuple(GrowingRows(rows) for rows in (KeyRows(index, 0, n), KeyRows(index, n, 2 * n), values, contexts))


@dataclass(frozen=True, eq=False)
class FactTable:
    """What is kept of each fact of a state, by seats that it shares with others.

    Attributes:
        seats: Of its facts.
        columns: By their names; `IDS`, which never changes at a seat, among them.
        early: Ids of the facts at the first seats, which are never given up, ascending.
        late: Those of the facts at the others, ascending.
    """

    seats: Seats
    columns: Mapping[str, Patched]
    early: npt.NDArray[np.int64]
    late: npt.NDArray[np.int64]

    @classmethod
    def of(cls, columns: Columns) -> FactTable:
        """A row a fact, ascending by ids, each at its own seat."""
        ids = columns[IDS]
        parts = {name: Patched(column) for name, column in columns.items()}
        return cls(Seats(len(ids)), parts, ids, no_ids())

    @property
    def n(self) -> int:
        """Number of facts."""
        return self.seats.n

    def column(self, name: str, part: int | None = None) -> Column:
        """A column by places; of rows that have several numbers, one part where it is named."""
        return Column(self.columns[name], self.seats, part)

    def whole(self) -> Columns:
        """All columns by places, as arrays."""
        return {name: np.asarray(self.column(name)) for name in self.columns}

    def seats_of(self, ids: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """The seats of facts by their ids, empty or not; -1 for one that has none, (m,)."""
        early, late = np.searchsorted(self.early, ids), np.searchsorted(self.late, ids)
        found = np.where(
            is_among(ids, self.early), early, np.where(is_among(ids, self.late), len(self.early) + late, -1)
        )
        return np.where(found < self.seats.size, found, -1)

    @property
    def last(self) -> int:
        """The highest id at a seat; 0 without any."""
        return int(self.columns[IDS].take(np.array(self.seats.size - 1))) if self.seats.size else 0

    def reseated(
        self, gone: npt.NDArray[np.integer], ids: npt.NDArray[np.int64], fresh: Columns
    ) -> tuple[FactTable, npt.NDArray[np.int64]]:
        """That of another state of which a fact comes between those that have seats, with seats of its own.

        Args:
            gone: Places of facts that it lacks, or that say something else in it.
            ids: Its other facts, ascending, (m,).
            fresh: Their rows.

        Returns:
            The table, and for each fact here its place there, -1 for those of `gone`, (n,).
        """
        kept = np.ones(self.n, dtype=np.bool_)
        kept[gone] = False
        left = {name: column[kept] for name, column in self.whole().items()}
        at = np.searchsorted(left[IDS], ids)
        now = np.full(self.n, -1, dtype=np.int64)
        now[kept] = np.arange(kept.sum()) + np.searchsorted(at, np.arange(kept.sum()), side="right")
        return FactTable.of({name: np.insert(part, at, fresh[name], axis=0) for name, part in left.items()}), now

    def moved(self, moved: Moved, fresh: Columns) -> FactTable:
        """That of another state; `fresh` are the rows at `moved.fresh`."""
        columns = {name: part.with_rows(moved.fresh, fresh[name]) for name, part in self.columns.items()}
        late = self.late[: max(0, min(self.seats.size, moved.now.size) - len(self.early))]
        behind = moved.fresh >= len(self.early) + len(late)
        return FactTable(moved.now, columns, self.early, np.concatenate([late, fresh[IDS][behind]]))


class LiveFacts(EncodedFacts):
    """The facts of one state, whose vectors are read when they are asked for.

    Args:
        table: What is kept of each fact.
        rows: What states share.
    """

    def __init__(self, table: FactTable, rows: BaseRows) -> None:
        self._table, self._rows, self._slots = table, rows, table.column(SLOTS)
        columns = {name: table.column(name) for name in (FIRST_DAYS, LAST_DAYS, RELATIONS)}
        super().__init__(rows.texts.base.name, columns, FactTexts(rows.texts, table.column(STATES)))

    def _ends(self) -> tuple[Readable, Readable]:
        return self._table.column(ENTITIES, 0), self._table.column(ENTITIES, 1)

    @property
    def seats(self) -> Seats:
        """Those of its facts."""
        return self._table.seats

    @property
    def keys(self) -> npt.NDArray[Any]:
        """A copy of all keys and inverse keys, (2 n, d_k)."""
        return self._rows.keys(np.asarray(self._slots))

    @property
    def values(self) -> npt.NDArray[Any]:
        """A copy of all values, (n, d_v)."""
        return self._rows.vectors[2].take(np.asarray(self._slots))

    @property
    def ctx(self) -> npt.NDArray[Any]:
        """A copy of all context vectors, (n, d_ctx)."""
        return self._rows.vectors[3].take(np.asarray(self._slots))

    def with_extent_of(self, before: EncodedFacts, moved: Moved) -> None:
        """Takes over where the windows of another state end, unless a fact that is gone may have been the one.

        Args:
            before: The other state.
            moved: How its facts stand in this one.
        """
        extent: tuple[int, int] | None = vars(before).get("extent")
        if extent is None:
            return
        (gone, fresh) = moved.before.places(moved.gone), moved.now.places(moved.fresh)
        left = extent_of(before.tau_min[gone], before.tau_max[gone])
        if left is not None and (left[0] <= extent[0] or left[1] >= extent[1]):
            return
        come = extent_of(self.tau_min[fresh], self.tau_max[fresh]) or extent
        vars(self)["extent"] = min(extent[0], come[0]), max(extent[1], come[1])

    def keys_of(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        """Keys by their rows in `keys`, of any shape."""
        slots = self._slots[rows % self.n]
        key, inverse = (part.take(slots) for part in self._rows.vectors[:2])
        return np.where((rows >= self.n)[..., None], inverse, key)

    def _days(self, device: str | torch.device) -> tuple[Gathered, Gathered]:
        first, last = (RowTensors(days.__getitem__, device, torch.int64) for days in (self.tau_min, self.tau_max))
        return first, last

    def _floats(self, device: str | torch.device, dtype: torch.dtype) -> tuple[Gathered, Gathered, Gathered]:
        values, contexts = self._rows.vectors[2:]
        return (
            RowTensors(self.keys_of, device, dtype),
            RowTensors(lambda facts: values.take(self._slots[facts]), device, dtype),
            RowTensors(lambda facts: contexts.take(self._slots[facts]), device, dtype),
        )
