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
from kblampp.index.distinct_keys import IdArray
from kblampp.index.half_index import HalfIndex
from kblampp.index.knowledge_index import SearchIndex
from kblampp.index.layered_index import LayeredIndex
from kblampp.model.fact_order import FactOrder
from kblampp.model.groups import Moved
from kblampp.model.inputs import EncodedBase
from kblampp.model.mentions import NameTable, NameUses
from kblampp.model.onward import FactsByHead
from kblampp.snapshots import rows as rows_of_base
from kblampp.snapshots import segments
from kblampp.snapshots.fact_encoder import FactEncoder
from kblampp.snapshots.rows import NAMES, SLOTS, STATES, BaseRows, Columns, LiveFacts

FEW, PART = 512, 32
"""The index is built anew when more facts than FEW and one in PART of all differ from it."""
EARLY = 4
"""The next segment is written when a part in EARLY of so many differ."""
WORTH = 1000
"""Facts of a base that is kept as a segment; fewer are soon read."""
_IDS, _USES, _USERS = "ids.npy", "name_uses.npy", "word_users.npy"


@dataclass(frozen=True)
class _Indexed:
    """An index of the facts of an earlier state.

    Attributes:
        index: Of their keys and inverse keys.
        places: Where each of its facts stands now, (m,); -1 for one that is gone or says something else.
        kept: Whether it lies in a segment.
    """

    index: HalfIndex
    places: IdArray
    kept: bool = False

    @classmethod
    def of(cls, index: HalfIndex, *, kept: bool = False) -> _Indexed:
        """As its facts stand in their own state."""
        return cls(index, np.arange(index.distinct.n // 2), kept)

    def moved(self, moved: Moved) -> _Indexed:
        """The same index in another state."""
        return replace(self, places=np.where(self.places >= 0, moved.now[self.places], -1))

    def fresh(self, n: int) -> IdArray:
        """The places of the facts of a state of n that it does not have."""
        there = np.zeros(n, dtype=np.bool_)
        there[self.places[self.places >= 0]] = True
        return np.flatnonzero(~there)

    def differs(self, n: int) -> int:
        """How many facts were added to it or are gone."""
        return len(self.fresh(n)) + int((self.places < 0).sum())

    def search_index(self, store: LiveFacts) -> SearchIndex:
        """What finds the keys of a state."""
        n, fresh = store.n, self.fresh(store.n)
        if not len(fresh) and len(self.places) == n:
            return self.index.index
        both = np.concatenate([self.places, np.where(self.places >= 0, self.places + n, -1)])
        fresh = np.concatenate([fresh, fresh + n])
        return LayeredIndex(self.index.index, both, store.keys_of(fresh), fresh)


@dataclass(frozen=True, kw_only=True)
class _LiveBase(EncodedBase):
    """The arrays of a state; what was made of the state before is given."""

    uses: NameUses
    name_columns: npt.NDArray[np.integer]
    order_before: FactOrder | None = None
    by_head_before: FactsByHead | None = None

    @cached_property
    def names(self) -> NameTable:
        """The trigrams and words of its names."""
        heads, tails, relations = self.name_columns.T
        return self.uses.table(heads, tails, relations, self.device)

    @cached_property
    def order(self) -> FactOrder:
        """Which facts stand in a row in time."""
        return super().order if self.order_before is None else self.order_before

    @cached_property
    def by_head(self) -> FactsByHead:
        """The facts about each entity."""
        return super().by_head if self.by_head_before is None else self.by_head_before


@dataclass(frozen=True)
class Snapshot:
    """A state of a base; `of` makes the first, `moved` another one of it.

    Attributes:
        version: The call after which the base was so.
        ids: Its facts, in their order; a fact's place here is its row in `base`.
        base: What the model reads; None where there is no fact.
    """

    version: int
    ids: IdArray
    base: _LiveBase | None
    _columns: Columns
    _indexed: _Indexed | None
    _rows: BaseRows

    @classmethod
    def of(cls, base: KnowledgeBase, encoder: FactEncoder, version: int, device: str = "cpu") -> Snapshot:
        """The state after a call: of a segment where there is one; else facts without vectors are encoded first."""
        segment = segments.nearest(base, encoder.fingerprint, version)
        if segment is None:
            state = cls(0, np.zeros(0, dtype=np.int64), None, {}, None, BaseRows.none(base, encoder))
        else:
            state = cls._of_segment(base, segment, device)
        if version != state.version:
            state = state.moved(base, encoder, version, device)
        past = segment is not None and version < segment.version
        if past or state.is_kept or len(state.ids) < WORTH or base.database.read_only:
            return state
        if not state.keep(base, encoder):
            return state
        segment = segments.nearest(base, encoder.fingerprint, version)
        if segment is None or segment.version != version:
            return state
        return cls._of_segment(base, segment, device)  # mapped, so that what it was made in is given back

    @classmethod
    def _of_segment(cls, base: KnowledgeBase, segment: segments.Segment, device: str) -> Snapshot:
        arrays, rows = segment.arrays, BaseRows.of_arrays(base, segment.arrays, segment.index)
        columns = {name: arrays[name] for name in (FIRST_DAYS, LAST_DAYS, ENTITIES, RELATIONS, NAMES, STATES)}
        columns[SLOTS] = np.arange(len(arrays[_IDS]))
        indexed = _Indexed.of(segment.index, kept=True)
        uses = NameUses(rows.names, arrays[_USES].copy(), arrays[_USERS].copy())
        return cls._made(segment.version, arrays[_IDS], columns, indexed, rows, uses, device)

    @classmethod
    def _made(
        cls,
        version: int,
        ids: IdArray,
        columns: Columns,
        indexed: _Indexed,
        rows: BaseRows,
        uses: NameUses,
        device: str,
        **before: Any,
    ) -> Snapshot:
        store = LiveFacts(columns, rows)
        index, names = indexed.search_index(store), columns[NAMES]
        live = _LiveBase(store=store, index=index, device=device, uses=uses, name_columns=names, **before)
        return cls(version, ids, live, columns, indexed, rows)

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
        return 0 if self._indexed is None else self._indexed.differs(len(self.ids))

    @property
    def many_late(self) -> bool:
        """Whether it is time to write the next segment, before so many facts differ that a question waits for it."""
        n = len(self.ids)
        return n >= WORTH and (not self.is_kept or self.late * EARLY > max(FEW, n // PART))

    def read_from(self, base: KnowledgeBase) -> None:
        """Reads texts from `base` from here on, which has the call of this state too."""
        self._rows.texts.base = base

    def moved(self, base: KnowledgeBase, encoder: FactEncoder, version: int, device: str = "cpu") -> Snapshot:
        """Another state of the same base, later or earlier."""
        self.read_from(base)
        changed = base.changed(self.version, version)
        new = changed[changed[:, 1] > 0]
        kept = ~_among(self.ids, changed[:, 0])
        if not len(new) and kept.all():
            return replace(self, version=version)
        n = int(kept.sum()) + len(new)
        if not n:
            return Snapshot(version, self.ids[:0], None, {}, None, self._rows)
        left = self.ids[kept]
        at = np.searchsorted(left, new[:, 0])
        moved = _moved(kept, at + np.arange(len(new)), n)
        if self.base is None or self._indexed is None:
            with rows_of_base.scratch(base, n, base.path / segments.FOLDER) as folder:
                rows = self._rows if folder is None else self._rows.with_room(n, folder)
                columns = rows.add(new[:, 1], encoder)
                uses = NameUses.of(rows.names, columns[NAMES][:, :2].ravel())
                rows, index = rows.compacted(columns[SLOTS], folder)
            columns[SLOTS], indexed = np.arange(n), _Indexed.of(index)
            return self._made(version, new[:, 0].copy(), columns, indexed, rows, uses, device)
        fresh = self._rows.add(new[:, 1], encoder) if len(new) else {}
        gone = self._columns[NAMES][~kept, :2].ravel()
        columns = {name: _with_rows(column, kept, at, fresh.get(name)) for name, column in self._columns.items()}
        uses = self.base.uses.moved(gone, fresh[NAMES][:, :2].ravel() if fresh else gone[:0])
        indexed, rows = self._indexed.moved(moved), self._rows
        if indexed.differs(n) > max(FEW, n // PART):
            with rows_of_base.scratch(base, n, base.path / segments.FOLDER) as folder:
                rows, index = rows.compacted(columns[SLOTS], folder)
            columns[SLOTS], indexed = np.arange(n), _Indexed.of(index)
        ids = _with_rows(self.ids, kept, at, new[:, 0])
        return self._made(
            version, ids, columns, indexed, rows, uses, device, **self._before(columns, rows, moved, device)
        )

    def _before(self, columns: Columns, rows: BaseRows, moved: Moved, device: str) -> dict[str, Any]:
        """What the next state has of this one, as far as it was asked for."""
        if self.base is None or not {"order", "by_head"} <= vars(self.base).keys():
            return {}
        store = LiveFacts(columns, rows)
        order = self.base.order.moved(store, moved, device)
        return {"order_before": order, "by_head_before": self.base.by_head.moved(store, moved, order, device)}

    def compacted(self) -> Snapshot:
        """The same state, all of whose facts are in its index."""
        if self.base is None or not self.late:
            return self
        base = self._rows.texts.base
        with rows_of_base.scratch(base, len(self.ids), base.path / segments.FOLDER) as folder:
            rows, index = self._rows.compacted(self._columns[SLOTS], folder)
        columns = self._columns | {SLOTS: np.arange(len(self.ids))}
        indexed, uses = _Indexed.of(index), self.base.uses
        return self._made(self.version, self.ids, columns, indexed, rows, uses, self.base.device)

    def keep(self, base: KnowledgeBase, encoder: FactEncoder) -> bool:
        """Writes this state beside the base, so that it opens at once; whether it could be written."""
        state = self.compacted()
        if state.base is None or state._indexed is None:
            return False
        columns = {name: column for name, column in state._columns.items() if name != SLOTS}
        arrays = {**columns, **state._rows.arrays(), _IDS: state.ids}
        arrays |= {_USES: state.base.uses.uses, _USERS: state.base.uses.users}
        return segments.keep(base, encoder.fingerprint, segments.Segment(self.version, arrays, state._indexed.index))


def _among(ids: IdArray, facts: IdArray) -> npt.NDArray[np.bool_]:
    """Which of the ids, ascending, are among some facts."""
    found = np.zeros(len(ids), dtype=np.bool_)
    places = np.searchsorted(ids, facts)
    there = places < len(ids)
    places, facts = places[there], facts[there]
    found[places[ids[places] == facts]] = True
    return found


def _moved(kept: npt.NDArray[np.bool_], fresh: IdArray, n: int) -> Moved:
    stayed = np.ones(n, dtype=np.bool_)
    stayed[fresh] = False
    now = np.full(len(kept), -1, dtype=np.int64)
    now[kept] = np.flatnonzero(stayed)
    return Moved(now, fresh, n)


def _with_rows(
    column: npt.NDArray[Any], kept: npt.NDArray[np.bool_], at: IdArray, new: npt.NDArray[Any] | None
) -> npt.NDArray[Any]:
    """The rows of a column that are kept, with new ones put in at places among them."""
    left = column if kept.all() else column[kept]
    if new is None:
        return left
    if not len(at) or at[0] == len(left):  # all at the end, as where facts are added
        return np.concatenate([left, new])
    return np.insert(left, at, new, axis=0)
