"""The facts of each group, such as those of one head and relation, found without a look at all facts."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from kblampp.encoding.seats import Moved, Seats, is_among, no_ids

SHIFT = 32
"""A group of a name and a relation is numbered by both: the name's number before that of the relation."""
FEW = 512
"""New facts that are put among the others one by one; all are sorted anew where there are more."""


def pair_numbers(names: NDArray[np.integer], relations: NDArray[np.integer]) -> NDArray[np.int64]:
    """A number for the name and relation of each fact, (n,); equal where both are, and the same in all states."""
    return (np.asarray(names).astype(np.int64) << SHIFT) | np.asarray(relations).astype(np.int64)


@dataclass(frozen=True, eq=False)
class Groups:
    """Facts by their groups.

    Attributes:
        facts: The seats of facts, group by group and in their order within it, (m,).
        numbers: The groups of `facts`, ascending, (m,).
        seats: Of the state whose facts these are; facts are told by their places in it.
        void: Seats in `facts` that are no longer in their group, ascending.
        of_void: The groups in which they were, ascending.
        late: Seats that came to groups since, group by group and in their order within it.
        of_late: Their groups, ascending.
    """

    facts: NDArray[np.int64]
    numbers: NDArray[np.int64]
    seats: Seats
    void: NDArray[np.int64] = field(default_factory=no_ids)
    of_void: NDArray[np.int64] = field(default_factory=no_ids)
    late: NDArray[np.int64] = field(default_factory=no_ids)
    of_late: NDArray[np.int64] = field(default_factory=no_ids)

    @classmethod
    def of(cls, numbers: NDArray[np.int64], seats: Seats | None = None) -> Groups:
        """From the group of each fact, (n,), and the seats; without, each has its own number."""
        own = Seats(len(numbers)) if seats is None else seats
        facts = np.argsort(numbers, kind="stable")
        return cls(np.asarray(own.of(facts)), numbers[facts], own)

    def of_group(self, number: int) -> NDArray[np.int64]:
        """The facts of a group, in their order."""
        first, stop = np.searchsorted(self.numbers, (number, number + 1))
        found = self.facts[first:stop]
        if len(self.void):
            found = found[~is_among(found, self.void)]
        if len(self.late):
            first, stop = np.searchsorted(self.of_late, (number, number + 1))
            found = np.sort(np.concatenate([found, self.late[first:stop]]))
        return np.asarray(self.seats.places(found))

    def of_groups(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """The facts of distinct groups, in their order over all of them."""
        found = [self.of_group(int(number)) for number in numbers]
        return np.sort(np.concatenate(found)) if found else no_ids()

    def first_of(self, numbers: NDArray[np.int64], most: int) -> NDArray[np.int64]:
        """The first facts of each of some groups (k,), at most `most`, (k, most or fewer); -1 pads."""
        if len(self.void) or len(self.late) or len(self.seats.empty):
            rows = [self.of_group(int(number))[:most] for number in numbers]
            found = np.full((len(rows), max(map(len, rows), default=0)), -1, dtype=np.int64)
            for place, row in enumerate(rows):
                found[place, : len(row)] = row
            return found
        starts, stops = np.searchsorted(self.numbers, numbers), np.searchsorted(self.numbers, numbers, "right")
        width = min(most, int((stops - starts).max(initial=0)))
        places = starts[:, None] + np.arange(width)
        return np.where(places < stops[:, None], self.facts[places.clip(max=len(self.facts) - 1)], -1)

    def sizes(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """How many facts groups of any shape have."""
        return np.asarray(_count(self.numbers, numbers) - _count(self.of_void, numbers) + _count(self.of_late, numbers))

    def moved(self, moved: Moved, gone: NDArray[np.int64], fresh: NDArray[np.int64]) -> Groups:
        """Those of another state.

        Args:
            moved: How facts stand in it.
            gone: The groups in which `moved.gone` were.
            fresh: Those in which `moved.fresh` are.
        """
        was_late = np.isin(moved.gone, self.late)
        kept = ~np.isin(self.late, moved.gone)
        late, of_late = self.late[kept], self.of_late[kept]
        order = np.argsort(fresh, kind="stable")
        added, of_added = moved.fresh[order], fresh[order]
        starts, stops = np.searchsorted(of_late, of_added), np.searchsorted(of_late, of_added, "right")
        at = [
            start + int(np.searchsorted(late[start:stop], fact))
            for fact, start, stop in zip(added, starts, stops, strict=True)
        ]
        return replace(
            self,
            seats=moved.now,
            void=np.union1d(self.void, moved.gone[~was_late]),
            of_void=np.sort(np.concatenate([self.of_void, gone[~was_late]])),
            late=np.insert(late, at, added),
            of_late=np.insert(of_late, at, of_added),
        )


def _count(ascending: NDArray[np.int64], numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """How often each of some numbers is among ascending ones."""
    return np.asarray(np.searchsorted(ascending, numbers, "right") - np.searchsorted(ascending, numbers))
