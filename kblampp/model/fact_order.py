"""The facts of one head and relation as a row in time: which is first, which last, what comes before and after."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kblampp.data.windows import OPEN_END, OPEN_START, UNKNOWN_DAY
from kblampp.encoding.encoded_facts import EncodedFacts

LONG = 366
"""Days that two windows share and yet touch: the year in which one ends and the next begins, each written as a year."""


@dataclass(frozen=True, eq=False)
class _Rows:
    """The facts of each row, found without a look at those of the others; on the host, where answers are read.

    Attributes:
        numbers: Each fact's row, (n,).
        facts: All facts, row by row and in their order within it, (n,).
        sorted_numbers: The rows of `facts`, (n,).
    """

    numbers: NDArray[np.int64]
    facts: NDArray[np.int64]
    sorted_numbers: NDArray[np.int64]

    @classmethod
    def of(cls, numbers: NDArray[np.int64]) -> _Rows:
        facts = np.argsort(numbers, kind="stable")
        return cls(numbers, facts, numbers[facts])

    def with_fact(self, fact: int) -> list[int]:
        number = self.numbers[fact]
        first, stop = (np.searchsorted(self.sorted_numbers, number, side) for side in ("left", "right"))
        return [int(other) for other in self.facts[first:stop]]


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

    rows: _Rows
    inverse_rows: _Rows
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
        low, high = (np.asarray(bound).astype(np.int64) for bound in (store.tau_min, store.tau_max))
        timed = ~((low == UNKNOWN_DAY) | ((low == OPEN_START) & (high == OPEN_END)))
        group = row_numbers(store.head_ids, store.rel_ids)
        before, after = np.full(store.n, -1), np.full(store.n, -1)
        order = np.lexsort((high, low, group))
        order = order[timed[order]]
        next_to = group[order[1:]] == group[order[:-1]]
        before[order[1:][next_to]] = order[:-1][next_to]
        after[order[:-1][next_to]] = order[1:][next_to]
        inverse_group = row_numbers(store.tail_ids, store.rel_ids)
        several = ~timed & (np.bincount(group, weights=~timed)[group] > 1)
        several[order] |= _side_by_side(group[order], low[order], high[order])
        inverse_several = np.bincount(inverse_group)[inverse_group] > 1
        arrays = {
            "before": before,
            "after": after,
            "timed": timed,
            "several": several,
            "inverse_several": inverse_several,
            "row": group,
            "inverse_row": inverse_group,
        }
        tensors = {name: torch.from_numpy(np.ascontiguousarray(array)).to(device) for name, array in arrays.items()}
        return cls(_Rows.of(group), _Rows.of(inverse_group), low=low, high=high, **tensors)

    def neighbours(self, facts: Tensor, withheld: Tensor | None) -> tuple[Tensor, Tensor]:
        """The facts before and after facts (batch, n) in time, -1 for none, as if those withheld were not there.

        Args:
            facts: The facts.
            withheld: Facts that do not count for a row, (batch, m); -1 pads.
        """
        return _next(self.before, facts, withheld), _next(self.after, facts, withheld)

    def same(self, fact: int, *, inverse: bool) -> list[int]:
        """The facts of the same head and relation (inverse: tail and relation) as a fact, itself among them."""
        return (self.inverse_rows if inverse else self.rows).with_fact(fact)

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


def row_numbers(names: NDArray[np.integer], relations: NDArray[np.integer]) -> NDArray[np.int64]:
    """A number for the name and relation of each fact, (n,), counted from 0 without gaps."""
    pairs = np.stack([names, relations], axis=1)
    return np.asarray(np.unique(pairs, axis=0, return_inverse=True)[1]).reshape(-1).astype(np.int64)
