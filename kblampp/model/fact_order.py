"""The facts of one head and relation as a row in time: which is first, which last, what comes before and after."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from kblampp.data.windows import UNKNOWN_DAY
from kblampp.encoding.store import KBValueStore


@dataclass(frozen=True, eq=False)
class FactOrder:
    """Each fact's place among the facts that answer the same question, and who they are.

    Attributes:
        group: Number of the fact's head and relation, (n,).
        inverse_group: Number of its tail and relation, (n,).
        before: The fact before it in time, (n,); -1 for the first, and where a window is unknown.
        after: The fact after it, (n,); -1 likewise.
        timed: Whether its window is known, (n,).
        several: Whether it is one of several of its head and relation that no time tells apart, (n,).
        inverse_several: Whether it is one of several of its tail and relation, (n,).
    """

    group: Tensor
    inverse_group: Tensor
    before: Tensor
    after: Tensor
    timed: Tensor
    several: Tensor
    inverse_several: Tensor

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
        arrays = (group, inverse_group, before, after, timed, several, inverse_several)
        return cls(*(torch.from_numpy(np.ascontiguousarray(array)).to(device) for array in arrays))

    def neighbours(self, facts: Tensor, withheld: Tensor | None) -> tuple[Tensor, Tensor]:
        """The facts before and after facts (batch, n) in time, -1 for none, as if those withheld were not there.

        Args:
            facts: The facts.
            withheld: Facts that do not count for a row, (batch, m); -1 pads.
        """
        return _next(self.before, facts, withheld), _next(self.after, facts, withheld)

    def same(self, fact: int, *, inverse: bool) -> list[int]:
        """The facts of the same head and relation (inverse: tail and relation) as a fact, itself among them."""
        groups = self.inverse_group if inverse else self.group
        return (groups == groups[fact]).nonzero().flatten().tolist()


def _next(links: Tensor, facts: Tensor, withheld: Tensor | None) -> Tensor:
    found = links[facts]
    if withheld is None:
        return found
    while bool((gone := (found >= 0) & (found[..., None] == withheld[:, None]).any(-1)).any()):
        found = torch.where(gone, links[found], found)
    return found


def _numbers(names: np.ndarray, relations: np.ndarray) -> np.ndarray:
    pairs = np.stack([names, relations], axis=1)
    return np.asarray(np.unique(pairs, axis=0, return_inverse=True)[1]).reshape(-1).astype(np.int64)
