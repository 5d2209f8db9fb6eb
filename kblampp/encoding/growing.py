"""Rows and numbers that are only added to: some that never change, in memory or mapped from a file, and later ones.

States of a living base share them.  A state knows only what was there when it was made, so what comes later may be
written beyond that without a copy.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from kblampp.core.errors import StoreError

DIGEST_BYTES = 16


class Readable(Protocol):
    """Rows that numbers read: an array, mapped or not, or what makes them."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of each entry."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of rows, then the shape of a row."""

    def __getitem__(self, rows: Any, /) -> npt.NDArray[Any]:
        """The rows of these numbers."""


class Gathered(Protocol):
    """A tensor, or what reads rows of it when they are asked for (`RowTensors`)."""

    def __getitem__(self, rows: Any, /) -> Tensor:
        """The rows of numbers of any shape, a tensor or one number."""


class GrowingRows:
    """Rows of one width; one thread adds to them while others read.

    Args:
        first: The rows that never change; those added follow them.
        room: Where those go, as long as there is room; elsewhere from then on.
    """

    def __init__(self, first: Readable, room: npt.NDArray[Any] | None = None) -> None:
        self._first = first
        self._late = np.empty((0, *first.shape[1:]), dtype=first.dtype) if room is None else room
        self._size = 0

    @classmethod
    def of_shape(cls, row: tuple[int, ...], dtype: npt.DTypeLike) -> GrowingRows:
        """Without a row yet, each of the shape `row`."""
        return cls(np.empty((0, *row), dtype=dtype))

    def __len__(self) -> int:
        return self._first.shape[0] + self._size

    def append(self, rows: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        """Adds rows; their numbers, (m,)."""
        start, stop = self._size, self._size + len(rows)
        if stop > len(self._late):  # twice as many, so that a row costs constant time on average
            late = np.empty((max(64, stop, 2 * len(self._late)), *self._late.shape[1:]), dtype=self._late.dtype)
            late[:start] = self._late[:start]
            self._late = late  # who reads the old one goes on with it
        self._late[start:stop] = rows
        self._size = stop
        return np.arange(start, stop, dtype=np.int64) + self._first.shape[0]

    def whole(self) -> npt.NDArray[Any]:
        """All rows there are, as one array, which is no copy where all of them lie in one."""
        late = self._late[: self._size]
        return late if not self._first.shape[0] else np.concatenate([self._first[:], late])

    def take(self, numbers: npt.NDArray[np.integer]) -> npt.NDArray[Any]:
        """The rows of numbers of any shape."""
        first, late = self._first.shape[0], self._late
        added = numbers >= first
        if not added.any():
            return self._first[numbers]
        if added.all():
            found: npt.NDArray[Any] = late[numbers - first]
            return found
        rows = np.empty((*numbers.shape, *late.shape[1:]), dtype=late.dtype)
        rows[added] = late[numbers[added] - first]
        rows[~added] = self._first[numbers[~added]]
        return rows


class RowTensors:
    """Rows that become tensors when they are read: a model reads those of few facts.

    Args:
        take: Gives the rows of numbers of any shape.
        device: Where the tensors lie.
        dtype: Theirs.
    """

    def __init__(
        self,
        take: Callable[[npt.NDArray[np.int64]], npt.NDArray[Any]],
        device: str | torch.device,
        dtype: torch.dtype,
    ) -> None:
        self._take, self._device, self._dtype = take, device, dtype

    def __getitem__(self, rows: Tensor | int, /) -> Tensor:
        """The rows of numbers of any shape, a tensor or one number."""
        numbers = np.asarray(rows.cpu().numpy() if isinstance(rows, Tensor) else rows)
        return torch.from_numpy(np.asarray(self._take(numbers))).to(self._device, self._dtype)


class Numbering:
    """Numbers of texts, counted from 0 as they are first met; one keeps its number for ever.

    Args:
        digests: Of the texts that have numbers from the start, sorted, (m,); their texts are not kept.
        numbers: Those of `digests`, (m,).
    """

    def __init__(self, digests: npt.NDArray[np.bytes_] | None = None, numbers: npt.NDArray[Any] | None = None) -> None:
        self._digests = np.empty(0, dtype=f"S{DIGEST_BYTES}") if digests is None else digests
        self._numbers = np.empty(0, dtype=np.int32) if numbers is None else numbers
        if self._digests.shape != self._numbers.shape:
            raise StoreError(f"{len(self._digests)} digests have {len(self._numbers)} numbers: expected one each")
        self._late: dict[str, int] = {}
        self._size = len(self._digests)

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, text: str) -> int:
        """The number of a text, the next one where it is new."""
        number = self._late.get(text)
        if number is None:
            number = self._early(text)
            if number is None:
                number = self._size
                self._size += 1
                self._late[text] = number
        return number

    def _early(self, text: str) -> int | None:
        if not len(self._digests):
            return None
        digest = digest_of(text)
        place = int(np.searchsorted(self._digests, np.bytes_(digest)))
        found = place < len(self._digests) and bytes(self._digests[place]).ljust(DIGEST_BYTES, b"\0") == digest
        return int(self._numbers[place]) if found else None

    def arrays(self) -> tuple[npt.NDArray[np.bytes_], npt.NDArray[np.int32]]:
        """`digests` and `numbers` of all texts, from which the same numbering is made."""
        late = np.array([digest_of(text) for text in self._late], dtype=f"S{DIGEST_BYTES}")
        digests = np.concatenate([self._digests, late])
        numbers = np.concatenate([self._numbers, np.fromiter(self._late.values(), np.int32, len(self._late))])
        order = np.argsort(digests)
        return digests[order], numbers[order].astype(np.int32)


def digest_of(text: str) -> bytes:
    """What stands for a text where texts are told apart and not kept, `DIGEST_BYTES` long."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=DIGEST_BYTES).digest()


def numbers_of(texts: Sequence[str], numbering: Numbering) -> npt.NDArray[np.int32]:
    """The numbers of texts, (n,)."""
    return np.fromiter((numbering[text] for text in texts), np.int32, len(texts))
