"""Where the facts of one state stand, and rows of a state as what many states share and the few that differ.

The facts of a state are counted by their places, 0 to n - 1.  When one goes, all behind it move up, so nothing that is
kept from state to state goes by places.  It goes by seats: each fact has one from when it is first met, and nobody else
gets it.  The states that were made of one another share their arrays by seats; what a state adds to them is as large
as what differs, not as the base.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from kblampp.encoding.growing import Readable

IdArray = npt.NDArray[np.int64]


def no_ids() -> IdArray:
    """No numbers, (0,)."""
    return np.empty(0, dtype=np.int64)


@dataclass(frozen=True, eq=False)
class Seats:
    """The seats of one state.

    Attributes:
        size: How many there are.
        empty: Those whose fact the state lacks, ascending.
    """

    size: int
    empty: IdArray = field(default_factory=no_ids)

    @property
    def n(self) -> int:
        """Number of facts."""
        return self.size - len(self.empty)

    def of(self, places: npt.NDArray[np.integer]) -> npt.NDArray[np.integer]:
        """The seats of places of any shape; -1 stays."""
        if not len(self.empty):
            return places
        return np.asarray(places + np.searchsorted(self.empty - np.arange(len(self.empty)), places, side="right"))

    def places(self, seats: npt.NDArray[np.integer]) -> npt.NDArray[np.integer]:
        """The places of seats of any shape, -1 for one that is empty; -1 stays."""
        if not len(self.empty):
            return seats
        found = seats - np.searchsorted(self.empty, seats)
        return np.where(is_among(seats, self.empty) | (seats < 0), -1, found)

    def every(self) -> IdArray:
        """The seats of all facts, (n,)."""
        return np.asarray(self.of(np.arange(self.n)))

    def on_seats(self, column: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """A column by places (n, ...) by seats, (size, ...), with zeros for empty ones."""
        if not len(self.empty):
            return column
        found = np.zeros((self.size, *column.shape[1:]), dtype=column.dtype)
        found[self.every()] = column
        return found


@dataclass(frozen=True, eq=False)
class Moved:
    """How the facts of one state stand in another one that shares its seats.

    Attributes:
        before: The seats of the first.
        now: Those of the second.
        gone: Seats whose fact the second lacks, or has with something else to say, ascending.
        fresh: Seats whose fact is new in it, or says something else, ascending.
    """

    before: Seats
    now: Seats
    gone: IdArray
    fresh: IdArray

    @classmethod
    def of(cls, before: Seats, gone: IdArray, fresh: IdArray, least: int) -> Moved:
        """From what differs.

        Args:
            before: The seats of the first state.
            gone: As above.
            fresh: As above.
            least: Seats that stay although they are the last and empty.
        """
        size = max(before.size, int(fresh.max(initial=-1)) + 1)
        empty = np.union1d(before.empty, gone)
        empty = empty[~is_among(empty, fresh)]
        # Empty ones at the end are given up, so that a state of the past and one of today count alike.
        left = len(empty)
        while left and size > least and empty[left - 1] == size - 1:
            left, size = left - 1, size - 1
        return cls(before, Seats(size, empty[:left]), gone, fresh)


class Patched:
    """Rows that do not change, those in which a state differs, and those that it has more.

    Args:
        first: The rows that do not change.
        at: Numbers of the others, ascending, (m,).
        rows: The others, (m, ...).
    """

    def __init__(self, first: Readable, at: IdArray | None = None, rows: npt.NDArray[Any] | None = None) -> None:
        self._first = first
        self._at = no_ids() if at is None else at
        self._rows = np.empty((0, *first.shape[1:]), dtype=first.dtype) if rows is None else rows

    def take(self, numbers: npt.NDArray[np.integer]) -> npt.NDArray[Any]:
        """The rows of numbers of any shape; zeros where there is none."""
        numbers, size = np.asarray(numbers), self._first.shape[0]
        if not len(self._at) and not (numbers >= size).any():
            return np.asarray(self._first[numbers])
        found = np.zeros((*numbers.shape, *self._rows.shape[1:]), dtype=self._rows.dtype)
        early = numbers < size
        found[early] = self._first[numbers[early]]
        if len(self._at):
            places = np.searchsorted(self._at, numbers).clip(max=len(self._at) - 1)
            own = self._at[places] == numbers
            found[own] = self._rows[places[own]]
        return found

    def with_rows(self, at: npt.NDArray[np.integer], rows: npt.NDArray[Any]) -> Patched:
        """The same with other rows at some numbers, ascending, which may be new ones."""
        if not len(at):
            return self
        rows = np.asarray(rows, dtype=self._rows.dtype)
        kept = ~is_among(self._at, at)
        if kept.all() and (not len(self._at) or at[0] > self._at[-1]):  # as where facts are added
            return Patched(self._first, np.concatenate([self._at, at]), np.concatenate([self._rows, rows]))
        numbers = np.concatenate([self._at[kept], at])
        order = np.argsort(numbers, kind="stable")
        return Patched(self._first, numbers[order], np.concatenate([self._rows[kept], rows])[order])

    def is_whole(self, n: int) -> bool:
        """Whether nothing differs and the first n rows are all of them."""
        return not len(self._at) and n == self._first.shape[0]

    def whole(self, n: int) -> npt.NDArray[Any]:
        """The first n rows; no copy where `is_whole`."""
        size = self._first.shape[0]
        if self.is_whole(n):
            return self._first[:]
        found = np.zeros((n, *self._rows.shape[1:]), dtype=self._rows.dtype)
        found[: min(n, size)] = self._first[: min(n, size)]
        there = self._at < n
        found[self._at[there]] = self._rows[there]
        return found


class Column:
    """A column by the places of a state: an array to who reads rows of it, and to numpy.

    Args:
        rows: By seats.
        seats: Of the state.
        part: Which of the numbers in a row; None for the row.
    """

    def __init__(self, rows: Patched, seats: Seats, part: int | None = None) -> None:
        self._rows, self._seats, self._part = rows, seats, part

    def __len__(self) -> int:
        return self._seats.n

    def __getitem__(self, places: Any, /) -> npt.NDArray[Any]:
        """The rows of places, from the end where they are negative, or of a slice of them.

        Raises:
            IndexError: There is none.
            TypeError: `places` is a mask.
        """
        n = len(self)
        numbers = np.arange(n)[places] if isinstance(places, slice) else np.asarray(places)
        if numbers.dtype == np.bool_:
            raise TypeError("a column is read by places, not by a mask: give it np.flatnonzero(mask)")
        if numbers.size and not -n <= numbers.min() <= numbers.max() < n:
            raise IndexError(f"there are {n} rows, none of them has the number {places}")
        return self._own(self._rows.take(self._seats.of(np.where(numbers < 0, numbers + n, numbers))))

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[Any]:
        """All rows, as a new array unless nothing differs; then states share it, and it cannot be written.

        Raises:
            ValueError: `copy` is False and a new array is needed.
        """
        shared = not len(self._seats.empty) and self._rows.is_whole(self._seats.size)
        if copy is False and not shared:
            raise ValueError("this column cannot be read as an array without a copy: some of its rows differ")
        whole = self._rows.whole(self._seats.size)
        found = self._own(whole if not len(self._seats.empty) else whole[self._seats.every()]).view()
        found.flags.writeable = not shared
        return np.array(found, dtype=dtype, copy=copy)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of each number."""
        return self._rows.take(no_ids()).dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of facts, then the shape of a row."""
        return len(self), *self._own(self._rows.take(no_ids())).shape[1:]

    def tolist(self) -> list[Any]:
        """All rows."""
        found: list[Any] = np.asarray(self).tolist()
        return found

    def _own(self, rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return rows if self._part is None else rows[..., self._part]


def is_among(numbers: npt.NDArray[np.integer], ascending: npt.NDArray[np.integer]) -> npt.NDArray[np.bool_]:
    """Which numbers, of any shape, are among ascending ones."""
    if not len(ascending):
        return np.zeros(np.shape(numbers), dtype=np.bool_)
    places = np.searchsorted(ascending, numbers).clip(max=len(ascending) - 1)
    return np.asarray(ascending[places] == numbers)
