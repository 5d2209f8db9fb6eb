"""The facts of one head and relation as a row in time: which is first, which last, what comes before and after."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kblampp.data.windows import OPEN_END, OPEN_START, UNKNOWN_DAY
from kblampp.encoding.encoded_facts import EncodedFacts
from kblampp.model.groups import FEW, Groups, Moved, pair_numbers

LONG = 366
"""Days that two windows share and yet touch: the year in which one ends and the next begins, each written as a year."""


@dataclass(frozen=True, eq=False)
class FactOrder:
    """Each fact's place among the facts that answer the same question, and who they are.

    Attributes:
        rows: The facts of each head and relation.
        inverse_rows: The facts of each tail and relation.
        before: The fact before it in time, (n,); -1 for the first, and where a window has neither start nor end.
        after: The fact after it, (n,); -1 likewise.
        timed: Whether its window has a start or an end, (n,).
        several: Whether it is one of several of its head and relation that no time tells apart, (n,): their windows
            have no ends, or it shares more than `LONG` days with another.
        inverse_several: Whether it is one of several of its tail and relation, (n,).
        low: First day of its window, (n,) with the sentinels of `windows`; on the host.
        high: First day after it, (n,); on the host.
        row: A number for its head and relation, (n,).
        inverse_row: One for its tail and relation, (n,).
    """

    rows: Groups
    inverse_rows: Groups
    before: Tensor
    after: Tensor
    timed: Tensor
    several: Tensor
    inverse_several: Tensor
    low: NDArray[np.int64]
    high: NDArray[np.int64]
    row: Tensor
    inverse_row: Tensor

    @classmethod
    def of(cls, store: EncodedFacts, device: str = "cpu") -> FactOrder:
        """Of a store's facts: by the start of their windows, then by their ends, then as they stand in the file."""
        row, inverse_row = _rows_of(store)
        rows, inverse_rows = Groups.of(row), Groups.of(inverse_row)
        before, after, several = _in_time(store, row, np.arange(store.n))
        inverse_several = inverse_rows.sizes(inverse_row) > 1
        return cls._made(store, rows, inverse_rows, (before, after, several, inverse_several, row, inverse_row), device)

    def moved(self, store: EncodedFacts, moved: Moved, device: str = "cpu") -> FactOrder:
        """Of another state of the same base: only the rows of facts that differ are looked at."""
        if len(moved.fresh) > FEW:
            return FactOrder.of(store, device)
        gone = np.flatnonzero(moved.now < 0)
        row, inverse_row = _rows_of(store)
        rows, inverse_rows = self.rows.moved(moved, row), self.inverse_rows.moved(moved, inverse_row)
        before, after = (moved.places(_on_host(links)) for links in (self.before, self.after))
        several, inverse_several = (moved.carried(_on_host(which)) for which in (self.several, self.inverse_several))
        touched = rows.of_groups(np.union1d(_on_host(self.row)[gone], row[moved.fresh]))
        before[touched], after[touched], several[touched] = _in_time(store, row, touched)
        touched = inverse_rows.of_groups(np.union1d(_on_host(self.inverse_row)[gone], inverse_row[moved.fresh]))
        inverse_several[touched] = inverse_rows.sizes(inverse_row[touched]) > 1
        return self._made(
            store, rows, inverse_rows, (before, after, several, inverse_several, row, inverse_row), device
        )

    @classmethod
    def _made(
        cls, store: EncodedFacts, rows: Groups, inverse_rows: Groups, arrays: Sequence[NDArray[Any]], device: str
    ) -> FactOrder:
        before, after, several, inverse_several, row, inverse_row = (
            torch.from_numpy(array).to(device) for array in arrays
        )
        low, high = _bounds(store)
        timed = torch.from_numpy(_timed(low, high)).to(device)
        return cls(rows, inverse_rows, before, after, timed, several, inverse_several, low, high, row, inverse_row)

    def neighbours(self, facts: Tensor, withheld: Tensor | None) -> tuple[Tensor, Tensor]:
        """The facts before and after facts (batch, n) in time, -1 for none, as if those withheld were not there.

        Args:
            facts: The facts.
            withheld: Facts that do not count for a row, (batch, m); -1 pads.
        """
        return _next(self.before, facts, withheld), _next(self.after, facts, withheld)

    def same(self, fact: int, *, inverse: bool) -> list[int]:
        """The facts of the same head and relation (inverse: tail and relation) as a fact, itself among them."""
        groups, numbers = (self.inverse_rows, self.inverse_row) if inverse else (self.rows, self.row)
        return [int(other) for other in groups.of_group(int(numbers[fact]))]

    def one_of_several(self, fact: int, *, inverse: bool, withheld: Container[int]) -> bool:
        """`several` (inverse: `inverse_several`) of a fact, as if those withheld were not there."""
        if not bool((self.inverse_several if inverse else self.several)[fact]):
            return False
        row = self.same(fact, inverse=inverse)
        others = [other for other in row if other != fact and other not in withheld]
        return any(inverse or self._not_told_apart(fact, other) for other in others)

    def _not_told_apart(self, one: int, other: int) -> bool:
        if not (self.timed[one] and self.timed[other]):
            return not (self.timed[one] or self.timed[other])
        shared = min(self.high[one], self.high[other]) - max(self.low[one], self.low[other])
        return bool(shared > LONG)


def _on_host(column: Tensor) -> NDArray[Any]:
    return np.asarray(column.cpu().numpy())


def _rows_of(store: EncodedFacts) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """A number for each fact's head and relation, and one for its tail and relation."""
    return pair_numbers(store.head_ids, store.rel_ids), pair_numbers(store.tail_ids, store.rel_ids)


def _bounds(store: EncodedFacts) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    return np.asarray(store.tau_min).astype(np.int64), np.asarray(store.tau_max).astype(np.int64)


def _timed(low: NDArray[np.int64], high: NDArray[np.int64]) -> NDArray[np.bool_]:
    return np.asarray(~((low == UNKNOWN_DAY) | ((low == OPEN_START) & (high == OPEN_END))))


def _in_time(
    store: EncodedFacts, row: NDArray[np.int64], facts: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """`before`, `after` and `several` of facts (k,) that are all those of their rows, ascending."""
    low, high = (bound[facts] for bound in _bounds(store))
    timed, group = _timed(low, high), np.unique(row[facts], return_inverse=True)[1]
    before, after = np.full(len(facts), -1), np.full(len(facts), -1)
    order = np.lexsort((high, low, group))
    order = order[timed[order]]
    next_to = group[order[1:]] == group[order[:-1]]
    before[order[1:][next_to]] = facts[order[:-1][next_to]]
    after[order[:-1][next_to]] = facts[order[1:][next_to]]
    several = ~timed & (np.bincount(group, weights=~timed)[group] > 1)
    several[order] |= _side_by_side(group[order], low[order], high[order])
    return before, after, several


def _side_by_side(group: NDArray[np.int64], low: NDArray[np.int64], high: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which facts share more than `LONG` days with another of their group, all (n,), by group and then by `low`."""
    found = np.zeros(len(group), dtype=np.bool_)
    (long,) = np.nonzero(high - low > LONG)  # no other shares so many
    group, low, high = group[long], low[long], high[long]
    if not len(long):
        return found
    same = group[1:] == group[:-1]
    apart = 2 * (OPEN_END - OPEN_START)  # so that no end of an earlier group counts
    latest = np.maximum.accumulate(high + apart * group) - apart * group
    found[long[1:]] |= same & (latest[:-1] - low[1:] > LONG)
    found[long[:-1]] |= same & (high[:-1] - low[1:] > LONG)
    return found


def _next(links: Tensor, facts: Tensor, withheld: Tensor | None) -> Tensor:
    found = links[facts]
    if withheld is None:
        return found
    while bool((gone := (found >= 0) & (found[..., None] == withheld[:, None]).any(-1)).any()):
        found = torch.where(gone, links[found], found)
    return found
