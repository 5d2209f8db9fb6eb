"""Rows and numbers that only grow: what was there stays what it was, wherever it lies."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kblampp.core.errors import StoreError
from kblampp.encoding.growing import GrowingRows, Numbering, RowTensors, numbers_of

PARTS = st.lists(st.lists(st.integers(-99, 99), max_size=90), max_size=5)


@given(first=st.lists(st.integers(-99, 99), max_size=5), parts=PARTS, seed=st.integers(0, 9))
def test_rows_are_read_by_the_numbers_that_adding_gave(first: list[int], parts: list[list[int]], seed: int) -> None:
    rows, expected = GrowingRows(np.array(first, dtype=np.int16)), list(first)
    for part in parts:
        numbers = rows.append(np.array(part, dtype=np.int16))
        assert numbers.tolist() == list(range(len(expected), len(expected) + len(part)))
        expected += part
    assert len(rows) == len(expected)
    assert rows.whole().tolist() == expected
    if expected:
        asked = np.random.default_rng(seed).integers(0, len(expected), (3, 4))
        assert rows.take(asked).tolist() == np.array(expected)[asked].tolist()


def test_tensors_are_of_the_rows_and_the_shape_asked_for() -> None:
    rows = GrowingRows(np.eye(3, 2, dtype=np.float16))
    rows.append(np.full((1, 2), 7, dtype=np.float16))
    found = RowTensors(rows.take, "cpu", torch.float32)[torch.tensor([[3, 0], [1, 3]])]
    assert found.dtype == torch.float32
    assert found.tolist() == [[[7, 7], [1, 0]], [[0, 1], [7, 7]]]
    numbers = GrowingRows(np.array([False, True]))
    assert bool(RowTensors(numbers.take, "cpu", torch.bool)[torch.tensor(1)])  # of one number, not of one row


@given(early=st.lists(st.text(max_size=4), max_size=20), late=st.lists(st.text(max_size=4), max_size=20))
def test_a_numbering_made_of_arrays_goes_on_as_the_one_they_are_of(early: list[str], late: list[str]) -> None:
    numbering = Numbering()
    first = numbers_of(early, numbering).tolist()
    again = Numbering(*numbering.arrays())
    assert numbers_of(early, again).tolist() == first
    assert numbers_of(late, again).tolist() == numbers_of(late, numbering).tolist()
    assert len(again) == len(numbering) == len({*early, *late})
    third = Numbering(*again.arrays())
    assert numbers_of([*late, *early], third).tolist() == numbers_of([*late, *early], numbering).tolist()


def test_digests_without_numbers_are_refused() -> None:
    with pytest.raises(StoreError, match="expected one each"):
        Numbering(np.zeros(2, dtype="S16"), np.zeros(1, dtype=np.int32))
