"""Facts by groups, and what a change moves: as if all had been sorted anew."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from kblampp.encoding.seats import Moved, Seats
from kblampp.model.groups import Groups, pair_numbers

FACTS = st.dictionaries(st.integers(0, 40), st.integers(0, 5), max_size=30)
"""Groups of facts by their ids."""
MOST = 41


def numbers(facts: dict[int, int]) -> np.ndarray:
    return np.array([facts[fact] for fact in sorted(facts)], dtype=np.int64)


@given(states=st.lists(FACTS, min_size=2, max_size=5))
def test_groups_of_the_next_states_are_as_if_made_anew(states: list[dict[int, int]]) -> None:
    """Each fact has its id as its seat."""
    seats = Seats(MOST, np.setdiff1d(np.arange(MOST), list(states[0])))
    found = Groups.of(numbers(states[0]), seats)
    for before, after in itertools.pairwise(states):
        gone = [fact for fact in sorted(before) if after.get(fact) != before[fact]]
        fresh = [fact for fact in sorted(after) if after[fact] != before.get(fact)]
        moved = Moved.of(found.seats, np.array(gone, dtype=np.int64), np.array(fresh, dtype=np.int64), MOST)
        of_gone, of_fresh = (
            np.array([groups[fact] for fact in facts], dtype=np.int64)
            for groups, facts in ((before, gone), (after, fresh))
        )
        found = found.moved(moved, of_gone, of_fresh)
        expected, every = Groups.of(numbers(after)), np.arange(7)
        assert found.seats.n == len(after)
        assert found.sizes(every).tolist() == expected.sizes(every).tolist()
        for number in every:
            assert found.of_group(number).tolist() == expected.of_group(number).tolist()
        for most in (1, 3, 40):
            assert found.first_of(every, most).tolist() == expected.first_of(every, most).tolist()


@given(facts=FACTS)
def test_a_group_is_all_its_facts_in_their_order(facts: dict[int, int]) -> None:
    column = numbers(facts)
    groups = Groups.of(column)
    for number in range(7):
        assert groups.of_group(number).tolist() == np.flatnonzero(column == number).tolist()
    assert groups.of_groups(np.array([1, 4])).tolist() == np.flatnonzero(np.isin(column, [1, 4])).tolist()
    assert groups.sizes(np.arange(7)).tolist() == np.bincount(column, minlength=7).tolist()


@given(pairs=st.lists(st.tuples(st.integers(0, 2**31 - 1), st.integers(0, 2**31 - 1)), min_size=2, max_size=9))
def test_pairs_have_one_number_if_and_only_if_they_are_equal(pairs: list[tuple[int, int]]) -> None:
    names, relations = np.array(pairs, dtype=np.int32).T
    assert len(set(pair_numbers(names, relations).tolist())) == len(set(pairs))
