"""The facts of one head and relation as a row in time: which is first, which last, what comes before and after."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kblampp.data.windows import UNKNOWN_DAY
from kblampp.encoding.store import KBValueStore


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
        before: The fact before it in time, (n,); -1 for the first, and where a window is unknown.
        after: The fact after it, (n,); -1 likewise.
        timed: Whether its window is known, (n,).
        several: Whether it is one of several of its head and relation that no time tells apart, (n,).
        inverse_several: Whether it is one of several of its tail and relation, (n,).
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
    row: Tensor
    inverse_row: Tensor

    @classmethod
    def of(cls, store: KBValueStore, device: str = "cpu") -> FactOrder:
        """Of a store's facts: by the start of their windows, then by their ends, then as they stand in the file."""
        timed = np.asarray(store.tau_min) != UNKNOWN_DAY
        group = _numbers(store.head_ids, store.rel_ids)
        before, after = np.full(store.n, -1), np.full(store.n, -1)
        order = np.lexsort((store.tau_max, store.tau_min, group))
        order = order[timed[order]]
        next_to = group[order[1:]] == group[order[:-1]]
        before[order[1:][next_to]] = order[:-1][next_to]
        after[order[:-1][next_to]] = order[1:][next_to]
        inverse_group = _numbers(store.tail_ids, store.rel_ids)
        several = ~timed & (np.bincount(group, weights=~timed)[group] > 1)
        inverse_several = np.bincount(inverse_group)[inverse_group] > 1
        arrays = (before, after, timed, several, inverse_several, group, inverse_group)
        tensors = (torch.from_numpy(np.ascontiguousarray(array)).to(device) for array in arrays)
        return cls(_Rows.of(group), _Rows.of(inverse_group), *tensors)

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
        others = (other for other in self.same(fact, inverse=inverse) if other != fact and other not in withheld)
        return any(inverse or not bool(self.timed[other]) for other in others)


def _next(links: Tensor, facts: Tensor, withheld: Tensor | None) -> Tensor:
    found = links[facts]
    if withheld is None:
        return found
    while bool((gone := (found >= 0) & (found[..., None] == withheld[:, None]).any(-1)).any()):
        found = torch.where(gone, links[found], found)
    return found


def _numbers(names: NDArray[np.integer], relations: NDArray[np.integer]) -> NDArray[np.int64]:
    pairs = np.stack([names, relations], axis=1)
    return np.asarray(np.unique(pairs, axis=0, return_inverse=True)[1]).reshape(-1).astype(np.int64)
