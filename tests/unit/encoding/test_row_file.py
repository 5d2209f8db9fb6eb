"""A file of rows is what numpy writes of the whole array, and is read back in any part."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kblampp.core.errors import StoreError
from kblampp.core.files import save_array
from kblampp.encoding.row_file import RowFile


@pytest.mark.parametrize("shape", [(7, 3), (7,), (0, 4), (5, 2, 2)])
@pytest.mark.parametrize("dtype", ["float16", "float64", "int32"])
def test_blocks_give_the_bytes_of_numpy(tmp_path: Path, shape: tuple[int, ...], dtype: str) -> None:
    rows = np.random.default_rng(0).integers(-9, 9, shape).astype(dtype)
    with RowFile.create(tmp_path / "blocks.npy", shape, dtype) as file:
        for start in reversed(range(0, len(rows), 3)):
            file.write(start, rows[start : start + 3])
    save_array(tmp_path / "whole.npy", rows)
    assert (tmp_path / "blocks.npy").read_bytes() == (tmp_path / "whole.npy").read_bytes()


@pytest.mark.parametrize("numbers", [[4, 1, 1, 5, 0], [[2, 3], [3, 6]], []])
def test_rows_are_taken_as_of_the_array(tmp_path: Path, numbers: list[int]) -> None:
    rows, wanted = np.arange(21.0).reshape(7, 3), np.array(numbers, dtype=np.int64)
    save_array(tmp_path / "rows.npy", rows)
    with RowFile(tmp_path / "rows.npy") as file:
        np.testing.assert_array_equal(file.take(wanted), rows[wanted])
        np.testing.assert_array_equal(file.read(2, 5), rows[2:5])


@pytest.mark.parametrize("change", [lambda data: data[:-1], lambda data: data + b"x", lambda data: b"no array"])
def test_a_file_that_is_cut_off_or_none_is_refused(tmp_path: Path, change: object) -> None:
    path = tmp_path / "rows.npy"
    save_array(path, np.zeros((3, 2)))
    path.write_bytes(change(path.read_bytes()))  # type: ignore[operator]
    with pytest.raises(StoreError, match="remove its folder"):
        RowFile(path)
