"""The facts of each group, such as those of one head and relation, found without a look at all facts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

SHIFT = 32
"""A group of a name and a relation is numbered by both: the name's number before that of the relation."""
FEW = 512
"""New facts that are put among the others one by one; all are sorted anew where there are more."""


def pair_numbers(names: NDArray[np.integer], relations: NDArray[np.integer]) -> NDArray[np.int64]:
    """A number for the name and relation of each fact, (n,); equal where both are, and the same in all states."""
    return (np.asarray(names).astype(np.int64) << SHIFT) | np.asarray(relations).astype(np.int64)


@dataclass(frozen=True)
class Moved:
    """How the facts of one state stand in another one.

    Attributes:
        now: The place of each fact of the first, (m,); -1 for one that is gone or says something else.
        fresh: The places of the others, ascending, (k,).
        n: Number of facts of the second.
    """

    now: NDArray[np.int64]
    fresh: NDArray[np.int64]
    n: int

    def carried(self, column: NDArray[Any], fill: int = 0) -> NDArray[Any]:
        """What a column (m,) says of the facts that stayed, in their places, (n,); `fill` for the others."""
        found = np.full((self.n, *column.shape[1:]), fill, dtype=column.dtype)
        stayed = self.now >= 0
        if stayed.all():
            found[self.now] = column
        else:
            found[self.now[stayed]] = column[stayed]
        return found

    def places(self, links: NDArray[np.int64]) -> NDArray[np.int64]:
        """Links from fact to fact (m,), -1 for none, between the facts that stayed and in their places, (n,)."""
        found = self.carried(links, -1)
        return np.where(found >= 0, self.now[found], -1)


@dataclass(frozen=True, eq=False)
class Groups:
    """Facts by their groups.

    Attributes:
        facts: All facts, group by group and in their order within it, (n,).
        numbers: The groups of `facts`, ascending, (n,).
    """

    facts: NDArray[np.int64]
    numbers: NDArray[np.int64]

    @classmethod
    def of(cls, numbers: NDArray[np.int64]) -> Groups:
        """From the group of each fact, (n,)."""
        facts = np.argsort(numbers, kind="stable")
        return cls(facts, numbers[facts])

    def of_group(self, number: int) -> NDArray[np.int64]:
        """The facts of a group, in their order."""
        first, stop = np.searchsorted(self.numbers, (number, number + 1))
        return self.facts[first:stop]

    def of_groups(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """The facts of distinct groups, in their order over all of them."""
        found = [self.of_group(int(number)) for number in numbers]
        return np.sort(np.concatenate(found)) if found else np.empty(0, dtype=np.int64)

    def sizes(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """How many facts groups of any shape have."""
        stops, starts = np.searchsorted(self.numbers, numbers, "right"), np.searchsorted(self.numbers, numbers)
        return np.asarray(stops - starts)

    def moved(self, moved: Moved, numbers: NDArray[np.int64]) -> Groups:
        """Those of another state, from the group of each of its facts, (n,)."""
        if len(moved.fresh) > FEW:
            return Groups.of(numbers)
        places = moved.now[self.facts]
        stayed = places >= 0
        facts, of_facts = (places, self.numbers) if stayed.all() else (places[stayed], self.numbers[stayed])
        own = numbers[moved.fresh]
        order = np.argsort(own, kind="stable")
        added, of_added = moved.fresh[order], own[order]
        starts, stops = np.searchsorted(of_facts, of_added), np.searchsorted(of_facts, of_added, "right")
        at = [
            start + int(np.searchsorted(facts[start:stop], fact))
            for fact, start, stop in zip(added, starts, stops, strict=True)
        ]
        return Groups(np.insert(facts, at, added), np.insert(of_facts, at, of_added))
