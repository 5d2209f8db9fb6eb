"""One state of a living base as a model reads it.

A state does not change while it is read; the next one is made of it and of the facts that differ, so that a change in a
large base costs little.  What stays over all states of a base (`_Shared`) only grows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from kblampp.base.knowledge_base import KnowledgeBase
from kblampp.base.vectors import VectorTable
from kblampp.data.facts import FiveTuple
from kblampp.encoding.encoded_facts import KEYS, EncodedFacts
from kblampp.encoding.fact_arrays import SymbolNumbers
from kblampp.index.distinct_keys import IdArray
from kblampp.index.knowledge_index import KnowledgeIndex
from kblampp.index.layered_index import LayeredIndex
from kblampp.model.inputs import EncodedBase
from kblampp.model.mentions import NameRows, NameTable
from kblampp.snapshots.fact_encoder import FactEncoder

Columns = dict[str, npt.NDArray[Any]]
"""Arrays with a row a fact, by their names."""
VECTORS, NAMES = "vectors", "names"
"""Columns beside those of `SymbolNumbers`: vectors, and the name rows of head, tail and relation."""
FEW, PART = 512, 32
"""The index is built anew when more facts than FEW and one in PART of all differ from it."""


@dataclass(frozen=True)
class _Shared:
    """What is looked up once for all states of a base."""

    symbols: SymbolNumbers = field(default_factory=SymbolNumbers)
    names: NameRows = field(default_factory=NameRows)


@dataclass(frozen=True)
class _Segment:
    """An index of the facts of an earlier state.

    Attributes:
        index: Of their keys and inverse keys.
        places: Where each of its facts stands now; -1 for one that is gone or says something else.
    """

    index: KnowledgeIndex
    places: IdArray


@dataclass(frozen=True, kw_only=True)
class _LiveBase(EncodedBase):
    """The arrays of a state, whose names were looked at before."""

    rows: NameRows
    name_columns: npt.NDArray[np.int64]

    @cached_property
    def names(self) -> NameTable:
        """The trigrams and words of its names."""
        heads, tails, relations = self.name_columns.T
        return self.rows.table(heads, tails, relations, device=self.device)


@dataclass(frozen=True)
class Snapshot:
    """A state of a base; `of` makes the first, `moved` another one of it.

    Attributes:
        version: The call after which the base was so.
        ids: Its facts, in their order; a fact's place here is its row in `base`.
        facts: What they say.
        base: What the model reads; None where there is no fact.
    """

    version: int
    ids: IdArray
    facts: tuple[FiveTuple, ...]
    base: EncodedBase | None
    _columns: Columns
    _segment: _Segment | None
    _shared: _Shared

    @classmethod
    def of(cls, base: KnowledgeBase, encoder: FactEncoder, version: int, device: str = "cpu") -> Snapshot:
        """The state after a call; facts without vectors are encoded first."""
        nothing = cls(0, np.zeros(0, dtype=np.int64), (), None, {}, None, _Shared())
        return nothing.moved(base, encoder, version, device)

    def moved(self, base: KnowledgeBase, encoder: FactEncoder, version: int, device: str = "cpu") -> Snapshot:
        """Another state of the same base, later or earlier."""
        changes = base.changes(self.version, version)
        new = {fact: content for fact, content in sorted(changes.items()) if content is not None}
        kept = np.flatnonzero(~np.isin(self.ids, np.fromiter(changes, np.int64, len(changes))))
        ids = np.concatenate([self.ids[kept], np.fromiter(new, np.int64, len(new))])
        order = np.argsort(ids, kind="stable")
        in_order = bool((order == np.arange(len(ids))).all())  # as it is where facts were added or taken away alone
        contents = [*(self.facts if len(kept) == len(self.ids) else [self.facts[row] for row in kept]), *new.values()]
        facts = tuple(contents if in_order else [contents[row] for row in order])
        if not facts:
            return Snapshot(version, ids, (), None, {}, None, self._shared)
        fresh = self._fresh(list(new.values()), base, encoder)
        columns = fresh
        if self._columns:
            old = self._columns if len(kept) == len(self.ids) else {name: c[kept] for name, c in self._columns.items()}
            columns = {name: np.concatenate([old[name], column]) for name, column in fresh.items()}
        if not in_order:
            columns = {name: column[order] for name, column in columns.items()}
        arrays = {name: column for name, column in columns.items() if name not in (VECTORS, NAMES)}
        arrays |= encoder.arrays(columns[VECTORS])
        now = np.full(len(self.ids), -1)
        now[kept] = np.argsort(order)[: len(kept)]
        segment = _segment(arrays[KEYS], self._segment, now)
        live = _LiveBase(
            store=EncodedFacts(base.name, arrays, facts),
            index=_index(arrays[KEYS], segment),
            device=device,
            rows=self._shared.names,
            name_columns=columns[NAMES],
        )
        return Snapshot(version, ids[order], facts, live, columns, segment, self._shared)

    def _fresh(self, facts: Sequence[FiveTuple], base: KnowledgeBase, encoder: FactEncoder) -> Columns:
        names = self._shared.names
        parts = ([f.head.name for f in facts], [f.tail.name for f in facts], [f.relation.name for f in facts])
        return {
            **self._shared.symbols.arrays(facts),
            VECTORS: VectorTable(base.database, encoder).rows(facts),
            NAMES: np.stack([names.numbers(part) for part in parts], axis=1),
        }


def _segment(keys: npt.NDArray[Any], before: _Segment | None, now: IdArray) -> _Segment:
    """The index of the state before, with the places where its facts stand `now`; a new one where too many differ."""
    n = len(keys) // 2
    if before is not None:
        places = np.where(before.places >= 0, now[before.places], -1)
        differ = int((places < 0).sum()) + n - int((places >= 0).sum())
        if differ <= max(FEW, n // PART):
            return _Segment(before.index, places)
    return _Segment(KnowledgeIndex.build(keys), np.arange(n))


def _index(keys: npt.NDArray[Any], segment: _Segment) -> KnowledgeIndex | LayeredIndex:
    """The index of all keys (2 n, d_k)."""
    n, places = len(keys) // 2, segment.places
    fresh = np.setdiff1d(np.arange(n), places)
    if not len(fresh) and len(places) == n:
        return segment.index
    both = np.concatenate([places, np.where(places >= 0, places + n, -1)])
    fresh = np.concatenate([fresh, fresh + n])
    return LayeredIndex(segment.index, both, keys[fresh], fresh)
