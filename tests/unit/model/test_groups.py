"""Facts by groups, and what a change moves: as if all had been sorted anew."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kblampp.model.groups import Groups, Moved, pair_numbers

FACTS = st.dictionaries(st.integers(0, 40), st.integers(0, 5), max_size=30)
"""Groups of facts by their ids."""


def moved_between(before: dict[int, int], after: dict[int, int]) -> Moved:
    ids, now = sorted(before), {fact: place for place, fact in enumerate(sorted(after))}
    same = {fact for fact in ids if after.get(fact) == before[fact]}
    places = [now[fact] if fact in same else -1 for fact in ids]
    fresh = [place for fact, place in now.items() if fact not in same]
    return Moved(np.array(places, dtype=np.int64), np.array(fresh, dtype=np.int64), len(after))


def numbers(facts: dict[int, int]) -> np.ndarray:
    return np.array([facts[fact] for fact in sorted(facts)], dtype=np.int64)


@given(before=FACTS, after=FACTS, few=st.sampled_from([0, 100]))
def test_groups_of_the_next_state_are_sorted_anew(before: dict[int, int], after: dict[int, int], few: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("kblampp.model.groups.FEW", few)
        found = Groups.of(numbers(before)).moved(moved_between(before, after), numbers(after))
    expected = Groups.of(numbers(after))
    assert found.facts.tolist() == expected.facts.tolist()
    assert found.numbers.tolist() == expected.numbers.tolist()


@given(facts=FACTS)
def test_a_group_is_all_its_facts_in_their_order(facts: dict[int, int]) -> None:
    column = numbers(facts)
    groups = Groups.of(column)
    for number in range(7):
        assert groups.of_group(number).tolist() == np.flatnonzero(column == number).tolist()
    assert groups.of_groups(np.array([1, 4])).tolist() == np.flatnonzero(np.isin(column, [1, 4])).tolist()
    assert groups.sizes(np.arange(7)).tolist() == np.bincount(column, minlength=7).tolist()


def test_links_lead_to_where_facts_stand_now_and_nowhere_from_those_that_went() -> None:
    moved = Moved(now=np.array([0, -1, 3]), fresh=np.array([1, 2]), n=4)
    assert moved.places(np.array([2, 0, 1])).tolist() == [3, -1, -1, -1]
    assert moved.carried(np.array([5, 6, 7])).tolist() == [5, 0, 0, 7]


@given(pairs=st.lists(st.tuples(st.integers(0, 2**31 - 1), st.integers(0, 2**31 - 1)), min_size=2, max_size=9))
def test_pairs_have_one_number_if_and_only_if_they_are_equal(pairs: list[tuple[int, int]]) -> None:
    names, relations = np.array(pairs, dtype=np.int32).T
    assert len(set(pair_numbers(names, relations).tolist())) == len(set(pairs))
