"""One state of a living base as a model reads it.

A state does not change while it is read; the next one is made of it and of the facts that differ, so that a change in a
large base costs little.  What stays over all states of a base (`BaseRows`) is only added to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from kblampp.base.knowledge_base import KnowledgeBase
from kblampp.data.facts import FiveTuple
from kblampp.encoding.encoded_facts import ENTITIES, FIRST_DAYS, LAST_DAYS, RELATIONS
from kblampp.encoding.growing import GrowingRows
from kblampp.encoding.seats import Column, IdArray, Moved, Patched, Seats, is_among, no_ids
from kblampp.index.half_index import HalfIndex
from kblampp.index.knowledge_index import SearchIndex
from kblampp.index.layered_index import LayeredIndex
from kblampp.model.fact_order import FactOrder
from kblampp.model.inputs import EncodedBase
from kblampp.model.mentions import NameTable, NameUses
from kblampp.model.onward import FactsByHead
from kblampp.snapshots import rows as rows_of_base
from kblampp.snapshots import segments
from kblampp.snapshots.fact_encoder import FactEncoder
from kblampp.snapshots.rows import IDS, NAMES, SLOTS, STATES, BaseRows, FactTable, LiveFacts

FEW, PART = 512, 32
"""The index is built anew when more facts than FEW and one in PART of all differ from it."""
EARLY = 4
"""The next segment is written when a part in EARLY of so many differ."""
WORTH = 1000
"""Facts of a base that is kept as a segment; fewer are soon read."""
_USES, _USERS = "name_uses.npy", "word_users.npy"
_COLUMNS = (IDS, FIRST_DAYS, LAST_DAYS, ENTITIES, RELATIONS, NAMES, STATES)


@dataclass(frozen=True, eq=False)
class _Indexed:
    """An index of the facts of an earlier state.

    Attributes:
        index: Of their keys and inverse keys.
        late: Seats of the facts that it lacks, in the order of `keys`; -1 for one that is gone since.
        keys: Keys and inverse keys of the facts that it lacks, (2, d_k) each; other states may have more.
        void: Its facts that are gone or say something else, by their numbers in it, ascending.
        seats: Where each of its facts sits; None where its number is its seat.
        kept: Whether it lies in a segment.
    """

    index: HalfIndex
    late: IdArray
    keys: GrowingRows
    void: IdArray
    seats: IdArray | None = None
    kept: bool = False

    @classmethod
    def of(cls, index: HalfIndex, *, kept: bool = False) -> _Indexed:
        """As its facts stand in their own state."""
        nothing = no_ids()
        return cls(index, nothing, GrowingRows.of_shape((2, index.distinct.width), np.float32), nothing, kept=kept)

    def moved(self, moved: Moved, keys: npt.NDArray[Any]) -> _Indexed:
        """The same index in another state.

        Args:
            moved: How facts stand in it.
            keys: Key and inverse key of each fact of `moved.fresh`, (m, 2, d_k).
        """
        was_late = np.isin(moved.gone, self.late)
        late = np.where(np.isin(self.late, moved.gone), -1, self.late)
        void = np.union1d(self.void, self._numbers_of(moved.gone[~was_late]))
        rows = self.keys
        if len(rows) != len(self.late):  # another state has added keys of its own
            rows = GrowingRows.of_shape(keys.shape[1:], np.float32)
            rows.append(self._own_keys())
        rows.append(keys)
        found = replace(self, late=np.concatenate([late, moved.fresh]), keys=rows, void=void)
        there = found.late >= 0
        return found if 2 * there.sum() >= len(there) else found._without_gone(there)

    def _without_gone(self, there: npt.NDArray[np.bool_]) -> _Indexed:
        """The same without entries of `late` that are gone, so that a fact that changes often adds one in all."""
        rows = GrowingRows.of_shape(self._own_keys().shape[1:], np.float32)
        rows.append(self._own_keys()[there])
        return replace(self, late=self.late[there], keys=rows)

    def reseated(self, before: Seats, now: IdArray) -> _Indexed:
        """The same index where all facts have got other seats.

        Args:
            before: The seats that they had.
            now: Those that they have, by their places before; -1 for one that is gone or says something else.
        """
        seats = self._seats_of(np.arange(self.index.distinct.n // 2))
        seats, late = (np.where(part >= 0, now[before.places(part)], -1) for part in (seats, self.late))
        return replace(self, seats=seats, late=late, void=np.flatnonzero(seats < 0))

    def differs(self) -> int:
        """How many facts were added to it or are gone."""
        return int((self.late >= 0).sum()) + len(self.void)

    def search_index(self, seats: Seats) -> SearchIndex:
        """What finds the keys of a state."""
        if not self.differs():
            return self.index.index
        m, n = self.index.distinct.n // 2, seats.n

        def places(rows: IdArray) -> IdArray:
            found = seats.places(self._seats_of(rows % m))
            return np.where(found >= 0, found + n * (rows >= m), -1)

        late = seats.places(self.late)
        both = np.where(late >= 0, np.stack([late, late + n]), -1).T.ravel()
        fresh = self._own_keys().reshape(len(both), self.index.distinct.width)
        return LayeredIndex(self.index.index, places, 2 * len(self.void), fresh, both)

    def _own_keys(self) -> npt.NDArray[Any]:
        return self.keys.whole()[: len(self.late)]

    def _seats_of(self, numbers: IdArray) -> IdArray:
        """Where facts sit, -1 for one that is gone."""
        seats = numbers if self.seats is None else self.seats[numbers]
        return np.where(is_among(numbers, self.void), -1, seats)

    def _numbers_of(self, seats: IdArray) -> IdArray:
        return seats if self.seats is None else np.flatnonzero(np.isin(self.seats, seats))


@dataclass(frozen=True, kw_only=True)
class _LiveBase(EncodedBase):
    """The arrays of a state."""

    store: LiveFacts
    uses: NameUses
    table: FactTable

    @cached_property
    def names(self) -> NameTable:
        """The trigrams and words of its names."""
        heads, tails, relations = (self.table.column(NAMES, part) for part in range(3))
        return self.uses.table(heads, tails, relations, self.device)

    @cached_property
    def order(self) -> FactOrder:
        """Which facts stand in a row in time."""
        return FactOrder.of(self.store, self.device, self.table.seats)

    @cached_property
    def by_head(self) -> FactsByHead:
        """The facts about each entity."""
        return FactsByHead.of(self.store, self.device, self.table.seats)

    def take_over(self, before: _LiveBase, moved: Moved) -> None:
        """Makes what another state has already of it and of the facts that differ."""
        self.store.with_extent_of(before.store, moved)
        if {"order", "by_head"} <= vars(before).keys():
            order = before.order.moved(self.store, moved, self.device)
            by_head = before.by_head.moved(self.store, moved, order, self.device)
            vars(self).update(order=order, by_head=by_head)


@dataclass(frozen=True)
class Snapshot:
    """A state of a base; `of` makes the first, `moved` another one of it.

    Attributes:
        version: The call after which the base was so.
        base: What the model reads; None where there is no fact.
    """

    version: int
    base: _LiveBase | None
    _table: FactTable
    _indexed: _Indexed | None
    _rows: BaseRows

    @classmethod
    def of(cls, base: KnowledgeBase, encoder: FactEncoder, version: int, device: str = "cpu") -> Snapshot:
        """The state after a call: of a segment where there is one; else facts without vectors are encoded first."""
        segment = segments.nearest(base, encoder.fingerprint, version)
        if segment is None:
            state = cls._of_nothing(0, BaseRows.none(base, encoder))
        else:
            state = cls._of_segment(base, segment, device)
        if version != state.version:
            state = state.moved(base, encoder, version, device)
        past = segment is not None and version < segment.version
        if past or state.is_kept or state.n < WORTH or base.database.read_only:
            return state
        if not state.keep(base, encoder):
            return state
        segment = segments.nearest(base, encoder.fingerprint, version)
        if segment is None or segment.version != version:
            return state
        return cls._of_segment(base, segment, device)  # mapped, so that what it was made in is given back

    @classmethod
    def _of_nothing(cls, version: int, rows: BaseRows) -> Snapshot:
        return cls(version, None, FactTable.of({IDS: no_ids()}), None, rows)

    @classmethod
    def _of_segment(cls, base: KnowledgeBase, segment: segments.Segment, device: str) -> Snapshot:
        arrays, rows = segment.arrays, BaseRows.of_arrays(base, segment.arrays, segment.index)
        columns = {name: arrays[name] for name in _COLUMNS} | {SLOTS: np.arange(len(arrays[IDS]))}
        indexed = _Indexed.of(segment.index, kept=True)
        uses = NameUses(rows.names, Patched(arrays[_USES]), Patched(arrays[_USERS]))
        return cls._made(segment.version, FactTable.of(columns), indexed, rows, uses, device)

    @classmethod
    def _made(
        cls,
        version: int,
        table: FactTable,
        indexed: _Indexed,
        rows: BaseRows,
        uses: NameUses,
        device: str,
        taken_over: tuple[_LiveBase, Moved] | None = None,
    ) -> Snapshot:
        """From its parts; `taken_over` is another state, and how facts stand in this one."""
        store, index = LiveFacts(table, rows), indexed.search_index(table.seats)
        live = _LiveBase(store=store, index=index, device=device, uses=uses, table=table)
        if taken_over is not None:
            live.take_over(*taken_over)
        return cls(version, live, table, indexed, rows)

    @property
    def n(self) -> int:
        """Number of facts."""
        return self._table.n

    @property
    def ids(self) -> IdArray:
        """Its facts, in their order, (n,); a fact's place here is its row in `base`."""
        return np.asarray(self.id_column)

    @property
    def id_column(self) -> Column:
        """The same for who reads few of them."""
        return self._table.column(IDS)

    @property
    def facts(self) -> Sequence[FiveTuple]:
        """What its facts say."""
        return () if self.base is None else self.base.store.facts

    @property
    def is_kept(self) -> bool:
        """Whether it rests on a segment, but for few facts."""
        return self._indexed is not None and self._indexed.kept

    @property
    def late(self) -> int:
        """How many facts its index lacks, or has too many."""
        return 0 if self._indexed is None else self._indexed.differs()

    @property
    def many_late(self) -> bool:
        """Whether it is time to write the next segment, before so many facts differ that a question waits for it."""
        n = self.n
        return n >= WORTH and (not self.is_kept or self.late * EARLY > max(FEW, n // PART))

    def read_from(self, base: KnowledgeBase) -> None:
        """Reads texts from `base` from here on, which has the call of this state too."""
        self._rows.texts.base = base

    def moved(self, base: KnowledgeBase, encoder: FactEncoder, version: int, device: str = "cpu") -> Snapshot:
        """Another state of the same base, later or earlier."""
        self.read_from(base)
        changed = base.changed(self.version, version)
        new, before = changed[changed[:, 1] > 0], self._table.seats
        gone = self._table.seats_of(changed[:, 0])
        gone = gone[(gone >= 0) & ~is_among(gone, before.empty)]
        n = before.n - len(gone) + len(new)
        if not len(new) and not len(gone):
            return replace(self, version=version)
        if not n:
            return self._of_nothing(version, self._rows)
        if self.base is None or self._indexed is None:
            with rows_of_base.scratch(base, n, base.path / segments.FOLDER) as folder:
                rows = self._rows if folder is None else self._rows.with_room(n, folder)
                columns = rows.add(new[:, 1], encoder) | {IDS: new[:, 0].copy()}
                uses = NameUses.of(rows.names, columns[NAMES][:, :2].ravel())
                rows, index = rows.compacted(columns[SLOTS], folder)
            table = FactTable.of(columns | {SLOTS: np.arange(n)})
            return self._made(version, table, _Indexed.of(index), rows, uses, device)
        nothing = no_ids()
        fresh = {name: part.take(nothing) for name, part in self._table.columns.items()}
        if len(new):
            fresh = self._rows.add(new[:, 1], encoder) | {IDS: new[:, 0].copy()}
        left = self._table.column(NAMES)[before.places(gone)]
        uses = self.base.uses.moved(left[:, :2].ravel(), fresh[NAMES][:, :2].ravel())
        keys = np.stack([part.take(fresh[SLOTS]) for part in self._rows.vectors[:2]], axis=1)
        seats = self._table.seats_of(new[:, 0])
        unseated, last = seats < 0, self._table.last
        if (new[unseated, 0] < last).any():
            table, now = self._table.reseated(before.places(gone), new[:, 0], fresh)
            moved = Moved(table.seats, table.seats, nothing, np.searchsorted(np.asarray(table.column(IDS)), new[:, 0]))
            indexed, taken_over = self._indexed.reseated(before, now).moved(moved, keys), None
        else:
            seats[unseated] = before.size + np.arange(unseated.sum())
            moved = Moved.of(before, gone, seats, len(self._table.early))
            table, indexed = self._table.moved(moved, fresh), self._indexed.moved(moved, keys)
            taken_over = self.base, moved
        if indexed.differs() > max(FEW, n // PART):
            return self._compacted(version, table, uses, device)
        return self._made(version, table, indexed, self._rows, uses, device, taken_over)

    def compacted(self) -> Snapshot:
        """The same state, all of whose facts are in its index."""
        if self.base is None or (not self.late and len(self._rows.vectors[0]) == self._table.n):
            return self
        return self._compacted(self.version, self._table, self.base.uses, self.base.device)

    def _compacted(self, version: int, table: FactTable, uses: NameUses, device: str) -> Snapshot:
        base, columns = self._rows.texts.base, table.whole()
        with rows_of_base.scratch(base, table.n, base.path / segments.FOLDER) as folder:
            rows, index = self._rows.compacted(columns[SLOTS], folder)
        table = FactTable.of(columns | {SLOTS: np.arange(table.n)})
        return self._made(version, table, _Indexed.of(index), rows, uses, device)

    def keep(self, base: KnowledgeBase, encoder: FactEncoder) -> bool:
        """Writes this state beside the base, so that it opens at once; whether it could be written."""
        state = self.compacted()
        if state.base is None or state._indexed is None:
            return False
        columns = {name: column for name, column in state._table.whole().items() if name != SLOTS}
        arrays = {**columns, **state._rows.arrays()}
        arrays |= zip((_USES, _USERS), state.base.uses.arrays(), strict=True)
        return segments.keep(base, encoder.fingerprint, segments.Segment(self.version, arrays, state._indexed.index))
