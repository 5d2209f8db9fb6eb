"""Facts of one head and relation stand in a row: by the start of their windows, their ends, and their lines."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kblampp.data.windows import Window, window_bounds, year_window
from kblampp.encoding.seats import Moved, Patched, Seats
from kblampp.model.fact_order import FactOrder
from tests.kb import make_world

Triple = tuple[int, int, int, Window]
"""Head, relation, tail and window."""
ALWAYS = Window(None, None, "said")


def store_of(facts: Sequence[Triple]) -> Any:
    """What `FactOrder` reads of a store."""
    heads, relations, tails = (np.array([fact[column] for fact in facts], dtype=np.int32) for column in range(3))
    low, high = window_bounds([fact[3] for fact in facts])
    return SimpleNamespace(n=len(facts), head_ids=heads, tail_ids=tails, rel_ids=relations, tau_min=low, tau_max=high)


def timed(fact: Triple) -> bool:
    """Neither what holds always nor what nobody knows the time of is first or last, nor does it begin or end."""
    return (fact[3].start, fact[3].end) != (None, None)


def told_apart(one: Triple, other: Triple) -> bool:
    """Day by day, on a calendar that is long enough: by a time for which one of them holds and the other does not."""
    if not timed(one) and not timed(other):
        return False
    if not timed(one) or not timed(other):
        return True
    days = [range(fact[3].start or -9999, fact[3].end or 9999) for fact in (one, other)]
    return len(set(days[0]) & set(days[1])) <= 366


def sorted_rows(facts: Sequence[Triple]) -> dict[tuple[int, int], list[int]]:
    """Each head's and relation's facts that have a time, in time; None sorts as the edge that it stands for."""

    def place(number: int) -> tuple[float, float, int]:
        window = facts[number][3]
        start = float("-inf") if window.start is None else window.start
        return start, float("inf") if window.end is None else window.end, number

    rows: dict[tuple[int, int], list[int]] = {}
    for number in sorted(range(len(facts)), key=place):
        if timed(facts[number]):
            rows.setdefault(facts[number][:2], []).append(number)
    return rows


def check(facts: Sequence[Triple]) -> None:
    order = FactOrder.of(store_of(facts))
    before, after = [-1] * len(facts), [-1] * len(facts)
    for row in sorted_rows(facts).values():
        for place, number in enumerate(row):
            before[number] = row[place - 1] if place else -1
            after[number] = row[place + 1] if place + 1 < len(row) else -1
    assert order.before.tolist() == before
    assert order.after.tolist() == after
    assert order.timed.tolist() == [timed(fact) for fact in facts]
    for number, fact in enumerate(facts):
        same = [other for other, one in enumerate(facts) if one[:2] == fact[:2]]
        assert order.same(number, inverse=False) == same
        inverse = [other for other, one in enumerate(facts) if one[1:3] == fact[1:3]]
        assert order.same(number, inverse=True) == inverse
        beside = [other for other in same if other != number and not told_apart(fact, facts[other])]
        assert bool(order.several[number]) is bool(beside)
        assert bool(order.inverse_several[number]) is (len(inverse) > 1)


windows = st.one_of(
    st.sampled_from([Window(None, None), ALWAYS, Window(None, 5), Window(5, None), Window(3, 6)]),
    st.builds(lambda start, days: Window(start, start + days), st.integers(1, 9), st.integers(1, 5)),
    st.builds(lambda start, days: Window(start, start + days), st.integers(1, 900), st.integers(300, 900)),
    st.builds(Window, st.integers(1, 900), st.none()),
)


facts_of_rows = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 1), st.integers(0, 3), windows), min_size=1, max_size=14
)


@settings(deadline=None, max_examples=200)
@given(facts_of_rows)
def test_the_order_is_that_of_sorting(facts: list[Triple]) -> None:
    check(facts)


def test_a_fact_of_unknown_time_has_no_place_but_belongs_to_its_row() -> None:
    order = FactOrder.of(store_of([(0, 0, 1, Window(1, 2)), (0, 0, 2, Window(None, None)), (0, 0, 3, Window(2, 3))]))
    assert order.before.tolist() == [-1, -1, 0]
    assert order.after.tolist() == [2, -1, -1]
    assert order.timed.tolist() == [True, False, True]
    assert order.same(1, inverse=False) == [0, 1, 2]


def test_several_are_those_that_no_time_tells_apart() -> None:
    unknown = Window(None, None)
    facts = [(0, 0, 1, unknown), (0, 0, 2, unknown), (0, 0, 3, Window(1, 2)), (0, 1, 1, unknown), (1, 0, 1, unknown)]
    order = FactOrder.of(store_of(facts))
    assert order.several.tolist() == [True, True, False, False, False]


def years(first: int, last: int | None) -> Window:
    return Window(year_window(first).start, None if last is None else year_window(last).end)


def test_members_side_by_side_are_several_and_holders_who_share_a_year_are_not() -> None:
    members = [(0, 0, 1, years(2001, None)), (0, 0, 2, years(2004, 2009)), (0, 0, 3, years(1990, 1994))]
    holders = [(0, 1, 1, years(1990, 1994)), (0, 1, 2, years(1994, 2003)), (0, 1, 3, years(2003, None))]
    assert FactOrder.of(store_of(members)).several.tolist() == [True, True, False]
    assert FactOrder.of(store_of(holders)).several.tolist() == [False, False, False]


def test_inverse_facts_are_several_at_any_time() -> None:
    unknown = Window(None, None)
    facts = [(0, 0, 1, unknown), (0, 0, 2, unknown), (0, 0, 3, Window(1, 2)), (0, 1, 1, unknown), (1, 0, 1, unknown)]
    order = FactOrder.of(store_of(facts))
    assert order.inverse_several.tolist() == [True, False, False, False, True]


@settings(deadline=None, max_examples=200)
@given(facts_of_rows, st.sets(st.integers(0, 13)))
def test_one_of_several_is_as_if_the_withheld_facts_were_not_there(facts: list[Triple], withheld: set[int]) -> None:
    kept = [number for number in range(len(facts)) if number not in withheld]
    whole, left = FactOrder.of(store_of(facts)), FactOrder.of(store_of([facts[number] for number in kept]))
    for place, number in enumerate(kept):
        for inverse, several in ((False, left.several), (True, left.inverse_several)):
            found = whole.one_of_several(number, inverse=inverse, withheld=withheld)
            assert found is bool(several[place])


def test_open_windows_stand_at_the_edges() -> None:
    facts = [(0, 0, 1, Window(9, None)), (0, 0, 2, Window(2, 9)), (0, 0, 3, Window(None, 2)), (0, 0, 4, ALWAYS)]
    check(facts)
    assert FactOrder.of(store_of(facts)).after.tolist() == [-1, 0, 1, -1]


def test_the_same_triple_in_two_windows_stands_twice() -> None:
    facts = [(0, 0, 1, Window(8, 9)), (0, 0, 2, Window(4, 8)), (0, 0, 1, Window(1, 4))]
    order = FactOrder.of(store_of(facts))
    assert order.after.tolist() == [-1, 0, 1]
    assert order.same(0, inverse=True) == [0, 2]


@pytest.mark.parametrize("inverse", [False, True])
def test_a_store_keeps_heads_and_tails_of_one_name_together(tmp_path: Path, inverse: bool) -> None:
    world = make_world(tmp_path)
    for number, fact in enumerate(world.facts):
        end = fact.tail if inverse else fact.head
        expected = [
            other
            for other, one in enumerate(world.facts)
            if one.relation == fact.relation and (one.tail if inverse else one.head) == end
        ]
        assert world.base.order.same(number, inverse=inverse) == expected


def test_facts_that_are_withheld_leave_their_place_to_the_next() -> None:
    facts = [(0, 0, number, Window(number + 1, number + 2)) for number in range(5)]
    order = FactOrder.of(store_of(facts))
    asked = torch.tensor([[0, 2, 4], [0, 2, 4]])
    withheld = torch.tensor([[1, 3, -1], [2, 3, 1]])
    assert order.neighbours(asked, withheld)[0].tolist() == [[-1, 0, 2], [-1, 0, 0]]
    assert order.neighbours(asked, withheld)[1].tolist() == [[2, 4, -1], [4, 4, -1]]
    assert order.neighbours(asked, None)[1].tolist() == [[1, 3, -1]] * 2


@dataclass
class Seated:
    """Facts at seats, of which states are made one after the other."""

    facts: dict[int, Triple]
    seats: Seats
    order: FactOrder

    @classmethod
    def of(cls, facts: Sequence[Triple]) -> Seated:
        seats = Seats(len(facts))
        return cls(dict(enumerate(facts)), seats, FactOrder.of(store_of(facts), seats=seats))

    def move(self, gone: set[int], fresh: dict[int, Triple]) -> None:
        """Deletes the facts at some seats, then puts others there or at new ones."""
        left, come = (np.array(sorted(seats), dtype=np.int64) for seats in (gone, fresh))
        moved = Moved.of(self.seats, left, come, 0)
        self.facts = {seat: fact for seat, fact in self.facts.items() if seat not in gone} | fresh
        self.seats, self.order = moved.now, self.order.moved(self.store(), moved)

    def store(self) -> Any:
        return store_of([self.facts[seat] for seat in sorted(self.facts)])


@settings(deadline=None, max_examples=200)
@given(facts_of_rows, st.data())
def test_an_order_made_of_another_is_the_order_made_from_nothing(facts: list[Triple], data: st.DataObject) -> None:
    world = Seated.of(facts)
    for _ in range(data.draw(st.integers(1, 5))):
        taken = sorted(world.facts)
        gone = data.draw(st.sets(st.sampled_from(taken)))
        again = data.draw(st.sets(st.sampled_from(sorted(gone)))) if gone else set()
        size = world.seats.size
        come = sorted(again | set(range(size, size + data.draw(st.integers(0, 2)))))
        if len(gone) == len(taken) and not come:
            continue
        some = st.lists(facts_of_rows.map(lambda some: some[0]), min_size=len(come), max_size=len(come))
        world.move(gone, dict(zip(come, data.draw(some), strict=True)))
        expected, every = FactOrder.of(world.store()), torch.arange(len(world.facts))
        for name in ("before", "after", "timed", "several", "inverse_several"):
            assert torch.equal(getattr(world.order, name)[every], getattr(expected, name)), name
        for inverse, fact in itertools.product((False, True), range(len(every))):
            assert world.order.same(fact, inverse=inverse) == expected.same(fact, inverse=inverse)


def test_a_fact_under_a_tail_that_many_share_leaves_the_others_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    patched: list[int] = []
    with_rows = Patched.with_rows

    def counted(rows: Patched, at: Any, new: Any) -> Patched:
        patched.append(len(at))
        return with_rows(rows, at, new)

    monkeypatch.setattr(Patched, "with_rows", counted)
    world = Seated.of([(head, 0, 999, ALWAYS) for head in range(500)])
    world.move(set(), {500: (500, 0, 999, ALWAYS)})
    world.move({3}, {501: (501, 0, 999, ALWAYS)})
    assert max(patched) <= 2
    assert world.order.inverse_several[torch.arange(501)].all()
