"""The facts of one head and relation as a row in time: which is first, which last, what comes before and after."""

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kblampp.data.windows import OPEN_END, OPEN_START, UNKNOWN_DAY
from kblampp.encoding.encoded_facts import EncodedFacts
from kblampp.encoding.growing import Gathered, Readable, RowTensors
from kblampp.encoding.seats import Moved, Patched, Seats
from kblampp.model.groups import FEW, Groups, pair_numbers

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
        by_seats: `before`, `after`, `several` and `inverse_several` on the host, by seats and with seats for facts.
    """

    rows: Groups
    inverse_rows: Groups
    before: Gathered
    after: Gathered
    timed: Gathered
    several: Gathered
    inverse_several: Gathered
    low: Readable
    high: Readable
    row: Gathered
    inverse_row: Gathered
    by_seats: tuple[Patched, ...]

    @classmethod
    def of(cls, store: EncodedFacts, device: str = "cpu", seats: Seats | None = None) -> FactOrder:
        """Of a store's facts: by the start of their windows, then by their ends, then as they stand in the file.

        Args:
            store: The facts.
            device: Where the model computes.
            seats: Theirs, where states share them.
        """
        heads, tails, relations = (np.asarray(part) for part in (store.head_ids, store.tail_ids, store.rel_ids))
        row, inverse_row = pair_numbers(heads, relations), pair_numbers(tails, relations)
        rows, inverse_rows = Groups.of(row, seats), Groups.of(inverse_row, seats)
        low, high = (np.asarray(bound).astype(np.int64) for bound in (store.tau_min, store.tau_max))
        before, after, several = _in_time(low, high, row, np.arange(len(row)))
        inverse_several, own = inverse_rows.sizes(inverse_row) > 1, rows.seats
        by_seats = (own.of(before), own.of(after), several, inverse_several)

        def tensor(array: NDArray[Any]) -> Tensor:
            return torch.from_numpy(array).to(device)

        return cls(
            rows,
            inverse_rows,
            before=tensor(before),
            after=tensor(after),
            timed=tensor(_timed(low, high)),
            several=tensor(several),
            inverse_several=tensor(inverse_several),
            low=low,
            high=high,
            row=tensor(row),
            inverse_row=tensor(inverse_row),
            by_seats=tuple(Patched(own.on_seats(column)) for column in by_seats),
        )

    def moved(self, store: EncodedFacts, moved: Moved, device: str = "cpu") -> FactOrder:
        """Of another state of the same base: only the rows of facts that differ are looked at.

        Args:
            store: The facts of that state.
            moved: How facts stand in it.
            device: Where the model computes.
        """
        if len(moved.fresh) > FEW:
            return FactOrder.of(store, device, moved.now)
        gone, fresh = moved.before.places(moved.gone), moved.now.places(moved.fresh)
        row, inverse_row = _numbers_of(store.head_ids, store.rel_ids), _numbers_of(store.tail_ids, store.rel_ids)
        was, was_inverse = (_on_host(numbers[torch.from_numpy(gone)]) for numbers in (self.row, self.inverse_row))
        rows = self.rows.moved(moved, was, row(fresh))
        inverse_rows = self.inverse_rows.moved(moved, was_inverse, inverse_row(fresh))
        before, after, several, inverse_several = self.by_seats
        low, high = store.tau_min, store.tau_max
        touched = rows.of_groups(np.union1d(was, row(fresh)))
        seats = np.asarray(moved.now.of(touched))
        first, last = (bound[touched].astype(np.int64) for bound in (low, high))
        links = _in_time(first, last, row(touched), seats)
        before, after, several = (
            part.with_rows(seats, own) for part, own in zip((before, after, several), links, strict=True)
        )
        groups = np.union1d(was_inverse, inverse_row(fresh))
        # Whether a fact has others beside it changes only where there was, or is, one at most: most of a large group
        # is not looked at.
        small = np.minimum(self.inverse_rows.sizes(groups), inverse_rows.sizes(groups)) <= 1
        touched = np.union1d(inverse_rows.of_groups(groups[small]), fresh)
        beside_others = inverse_rows.sizes(inverse_row(touched)) > 1
        inverse_several = inverse_several.with_rows(moved.now.of(touched), beside_others)
        own = moved.now

        def gathered(take: Callable[[NDArray[np.int64]], NDArray[Any]], dtype: torch.dtype) -> Gathered:
            return RowTensors(take, device, dtype)

        return FactOrder(
            rows,
            inverse_rows,
            before=gathered(lambda facts: own.places(before.take(own.of(facts))), torch.int64),
            after=gathered(lambda facts: own.places(after.take(own.of(facts))), torch.int64),
            timed=gathered(lambda facts: _timed(low[facts], high[facts]), torch.bool),
            several=gathered(lambda facts: several.take(own.of(facts)), torch.bool),
            inverse_several=gathered(lambda facts: inverse_several.take(own.of(facts)), torch.bool),
            low=low,
            high=high,
            row=gathered(row, torch.int64),
            inverse_row=gathered(inverse_row, torch.int64),
            by_seats=(before, after, several, inverse_several),
        )

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
        low, high = ([int(bound[fact]) for fact in (one, other)] for bound in (self.low, self.high))
        return min(high) - max(low) > LONG


def _on_host(column: Tensor) -> NDArray[Any]:
    return np.asarray(column.cpu().numpy())


def _numbers_of(names: Readable, relations: Readable) -> Callable[[NDArray[np.integer]], NDArray[np.int64]]:
    """What gives `pair_numbers` of facts."""
    return lambda facts: pair_numbers(names[facts], relations[facts])


def _timed(low: NDArray[np.integer], high: NDArray[np.integer]) -> NDArray[np.bool_]:
    return np.asarray(~((low == UNKNOWN_DAY) | ((low == OPEN_START) & (high == OPEN_END))))


def _in_time(
    low: NDArray[np.int64], high: NDArray[np.int64], row: NDArray[np.int64], facts: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """`before`, `after` and `several` of facts (k,) that are all those of their rows, ascending.

    Args:
        low: First days of their windows, (k,).
        high: First days after them, (k,).
        row: Their rows, (k,).
        facts: What they are called.
    """
    timed, group = _timed(low, high), np.unique(row, return_inverse=True)[1]
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


def _next(links: Gathered, facts: Tensor, withheld: Tensor | None) -> Tensor:
    found = links[facts]
    if withheld is None:
        return found
    while bool((gone := (found >= 0) & (found[..., None] == withheld[:, None]).any(-1)).any()):
        found = torch.where(gone, links[found], found)
    return found
