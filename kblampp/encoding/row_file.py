"""Rows in a `.npy` file that are written and read a block at a time.

The file is what `numpy.save` would write of the whole array.  It is read and written and not mapped: the pages of a map
count as memory of the process until the system takes them back, up to the size of the file.
"""

from __future__ import annotations

import math
import os
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from kblampp.core.errors import StoreError


class RowFile(AbstractContextManager["RowFile"]):
    """An array on disk, open for reading and writing; used as a context, it is closed at the end.

    Attributes:
        shape: Number of rows, then the shape of a row.
        dtype: Of each entry.
    """

    def __init__(self, path: Path) -> None:
        """Opens what `create` has made.

        Raises:
            StoreError: The file is missing, no array, or not as long as its rows.
        """
        self.path = path
        try:
            self._file = open(path, "r+b", buffering=0)  # noqa: SIM115
            np.lib.format.read_magic(self._file)
            self.shape, _, self.dtype = np.lib.format.read_array_header_1_0(self._file)
        except (OSError, ValueError) as error:
            raise StoreError(f"{path} is not a readable array ({error}): remove its folder and run again") from error
        self._start = self._file.tell()
        self._row = math.prod(self.shape[1:]) * self.dtype.itemsize
        if path.stat().st_size != self._start + self.shape[0] * self._row:
            raise StoreError(f"{path} is shorter or longer than its {self.shape[0]} rows: remove its folder, run again")

    @classmethod
    def create(cls, path: Path, shape: tuple[int, ...], dtype: npt.DTypeLike) -> RowFile:
        """Makes the file anew, all of it zeros, which take no room on disk until they are written."""
        kind = np.dtype(dtype)
        path.parent.mkdir(parents=True, exist_ok=True)
        header = {"descr": np.lib.format.dtype_to_descr(kind), "fortran_order": False, "shape": shape}
        with open(path, "wb") as file:
            np.lib.format.write_array_header_1_0(file, header)
            file.truncate(file.tell() + math.prod(shape) * kind.itemsize)
        return cls(path)

    def write(self, start: int, rows: npt.NDArray[Any]) -> None:
        """Writes rows from number `start` on, in the file's own type."""
        data = memoryview(np.ascontiguousarray(rows, dtype=self.dtype).tobytes())
        self._file.seek(self._start + start * self._row)
        while data:  # what is not buffered may be written in parts
            data = data[self._file.write(data) :]

    def read(self, start: int, stop: int) -> npt.NDArray[Any]:
        """Rows `start` to `stop`."""
        rows = np.empty((stop - start, *self.shape[1:]), dtype=self.dtype)
        self._file.seek(self._start + start * self._row)
        data = rows.reshape(-1).view(np.uint8).data
        while data:
            taken = self._file.readinto(data)
            if not taken:
                raise StoreError(f"{self.path} ends before row {stop}: remove its folder and run again")
            data = data[taken:]
        return rows

    def take(self, numbers: npt.NDArray[np.integer]) -> npt.NDArray[Any]:
        """The rows of numbers of any shape; each is read once, neighbours together."""
        wanted, places = np.unique(numbers, return_inverse=True)
        if not len(wanted):
            return np.empty((*numbers.shape, *self.shape[1:]), dtype=self.dtype)
        runs = np.split(wanted, np.flatnonzero(np.diff(wanted) > 1) + 1)
        rows = np.concatenate([self.read(int(run[0]), int(run[-1]) + 1) for run in runs])
        found: npt.NDArray[Any] = rows[places.reshape(numbers.shape)]
        return found

    def sync(self) -> None:
        """Returns when what was written is on the disk."""
        os.fsync(self._file.fileno())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
