"""Seats and patched rows, against plain lists."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kblampp.encoding.seats import Column, Moved, Patched, Seats, is_among


@st.composite
def seated(draw: st.DrawFn) -> Seats:
    size = draw(st.integers(0, 20))
    empty = sorted(draw(st.sets(st.integers(0, size - 1)))) if size else []
    return Seats(size, np.array(empty, dtype=np.int64))


@given(seats=seated())
def test_facts_stand_in_the_order_of_their_seats(seats: Seats) -> None:
    taken = [seat for seat in range(seats.size) if seat not in seats.empty]
    assert seats.n == len(taken)
    assert seats.every().tolist() == taken
    assert seats.places(np.array([-1, *taken])).tolist() == list(range(-1, len(taken)))
    assert (seats.places(seats.empty) == -1).all()
    column = np.arange(1, seats.n + 1)
    assert seats.on_seats(column)[taken].tolist() == column.tolist()


@given(seats=seated(), gone=st.sets(st.integers(0, 19)), fresh=st.integers(0, 3), back=st.booleans())
def test_a_move_empties_and_fills_seats_and_gives_the_last_empty_ones_up(
    seats: Seats, gone: set[int], fresh: int, back: bool
) -> None:
    least, taken = min(4, seats.size), set(seats.every().tolist())
    leave = sorted(gone & taken)
    come = (seats.empty.tolist()[:1] if back else []) + list(range(seats.size, seats.size + fresh))
    moved = Moved.of(seats, np.array(leave, dtype=np.int64), np.array(come, dtype=np.int64), least)
    left = sorted((taken - set(leave)) | set(come))
    assert moved.now.every().tolist() == left
    assert moved.now.size == max([least, *(seat + 1 for seat in left)])


@given(
    first=st.lists(st.integers(0, 99), max_size=8),
    steps=st.lists(st.dictionaries(st.integers(0, 15), st.integers(100, 199)), max_size=5),
)
def test_patched_rows_are_a_list_with_other_rows(first: list[int], steps: list[dict[int, int]]) -> None:
    """Rows that are nowhere are zeros, and earlier states go on as they were."""
    rows, expected = Patched(np.array(first, dtype=np.int32)), dict(enumerate(first))
    states = [(rows, dict(expected))]
    for step in steps:
        at = np.array(sorted(step), dtype=np.int64)
        rows, expected = rows.with_rows(at, np.array([step[number] for number in at])), expected | step
        states.append((rows, expected))
    for state, numbers in states:
        wanted = [numbers.get(number, 0) for number in range(18)]
        assert state.take(np.arange(18).reshape(3, 6)).ravel().tolist() == wanted
        assert state.whole(18).tolist() == wanted
        assert state.whole(len(first)).tolist() == wanted[: len(first)]
        assert int(state.take(np.array(5))) == wanted[5]


def test_a_column_is_read_by_places_and_as_an_array() -> None:
    pairs = np.arange(10).reshape(5, 2)
    column = Column(Patched(pairs), Seats(5, np.array([1, 4])), 1)
    assert column.tolist() == list(column) == [1, 5, 7]
    assert (column.shape, len(column), column.dtype) == ((3,), 3, pairs.dtype)
    assert column[np.array([[2, 0]])].tolist() == [[7, 1]]
    assert column[[-1]].tolist() == column[2:].tolist() == [7]
    assert np.asarray(column, dtype=np.float32).dtype == np.float32
    with pytest.raises(IndexError, match="3"):
        column[3]


def test_what_is_among_nothing_is_nowhere() -> None:
    assert not is_among(np.arange(3), np.empty(0, dtype=np.int64)).any()
    assert is_among(np.array([[0, 2], [3, 9]]), np.array([2, 3])).tolist() == [[False, True], [True, False]]


@pytest.mark.parametrize("empty", [[], [1]])
def test_a_mask_is_refused_since_its_values_would_be_read_as_places(empty: list[int]) -> None:
    column = Column(Patched(np.arange(10, 15)), Seats(5, np.array(empty, dtype=np.int64)))
    with pytest.raises(TypeError, match="mask"):
        column[np.asarray(column) > 12]


def test_an_array_that_states_share_cannot_be_written() -> None:
    first = np.arange(10, 15)
    shared, differs = Column(Patched(first), Seats(5)), Column(Patched(first), Seats(5, np.array([1])))
    with pytest.raises(ValueError, match="read-only"):
        np.asarray(shared)[0] = 99
    for own in (np.array(shared, copy=True), np.asarray(differs)):
        own[0] = 99
    assert first.tolist() == list(range(10, 15))
    assert np.shares_memory(np.array(shared, copy=False), first)
    with pytest.raises(ValueError, match="without a copy"):
        np.array(differs, copy=False)
