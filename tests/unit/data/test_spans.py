"""Spans of time: who is meant by "from 1995 to 2003"."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kblampp.data.spans import within_span
from kblampp.data.windows import Bounds


def days(text: str) -> Bounds:
    """ "1995..2003": from the first day of one year to the last of another; "1995-05-02..": open."""
    start, end = text.split("..")
    first = datetime.date.fromisoformat(start if "-" in start else f"{start}-01-01").toordinal() if start else None
    if not end:
        return first, None
    stop = datetime.date.fromisoformat(end) if "-" in end else datetime.date(int(end) + 1, 1, 1)
    return first, stop.toordinal()


@pytest.mark.parametrize(
    ("asked", "held", "meant"),
    [
        ("1995..2003", ["..1995", "1995..2003", "2003.."], [False, True, False]),
        ("2005..2010", ["2001..2005", "2005..2008", "2008..2010", "2010.."], [False, True, True, False]),
        ("2005..2010", ["2005-03-01..2005-06-01", "2005..2010"], [True, True]),
        ("2005..2010", ["2001..2005", "2006.."], [True, True]),  # nobody else led it in 2005
        ("2020..", ["2018..2020", "2020..2021", "2021.."], [True, True, True]),  # since 2020
        ("2005..2010", ["1999..2005", "1990..2020"], [True, True]),  # side by side: nobody came for anybody
        ("..2010", ["..2010", "2010.."], [True, True]),
        ("2005..2006", ["..2005", "2005..2006", "2006.."], [True, True, True]),  # two years have no middle
        ("2005..2005", ["..2005", "2005.."], [True, True]),
        ("2005-01-02..2010-05-06", ["..2005", "2005.."], [True, True]),  # days are meant as they are said
        ("1990..2010", [".."], [True]),
    ],
)
def test_who_only_left_or_came_at_an_edge_is_not_meant(asked: str, held: list[str], meant: list[bool]) -> None:
    assert within_span(days(asked), [days(text) for text in held]) == meant


@given(
    st.integers(1900, 1960),
    st.integers(0, 40),
    st.lists(st.tuples(st.integers(1880, 2000), st.integers(0, 60)), min_size=1, max_size=5),
)
def test_somebody_is_always_meant_and_who_holds_inside_is(
    first: int, length: int, spans: list[tuple[int, int]]
) -> None:
    asked = days(f"{first}..{first + length}")
    held = [(low, high) for low, high in (days(f"{start}..{start + more}") for start, more in spans)]
    touching = [bounds for bounds in held if bounds[0] < asked[1] and asked[0] < bounds[1]]  # type: ignore[operator]
    meant = within_span(asked, touching)
    assert any(meant) or not touching
    for (low, high), is_meant in zip(touching, meant, strict=True):
        if asked[0] <= low and high <= asked[1]:  # type: ignore[operator]
            assert is_meant
