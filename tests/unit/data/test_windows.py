"""Days, windows and their arrays."""

from __future__ import annotations

import datetime
import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kblampp.core.errors import DataError
from kblampp.data.calendar import FIRST_DAY, LAST_DAY
from kblampp.data.windows import (
    OPEN_END,
    OPEN_START,
    UNKNOWN,
    UNKNOWN_DAY,
    Window,
    day,
    in_words,
    iso,
    month_window,
    window_bounds,
    year_window,
)

DAYS = st.integers(FIRST_DAY, LAST_DAY) | st.integers(-2, 2)
ALWAYS = Window(None, None, "test")


@st.composite
def windows(draw: st.DrawFn) -> Window:
    """Any window: known or not, open or closed."""
    start, end = sorted((draw(DAYS), draw(DAYS)))
    source = draw(st.sampled_from([None, "test"]))
    if end == start:
        return Window(start, None, source)
    return Window(draw(st.sampled_from([None, start])), draw(st.sampled_from([None, end])), source)


@given(DAYS)
def test_iso_is_the_inverse_of_day(number: int) -> None:
    assert day(iso(number)) == number


def test_days_are_ordinals() -> None:
    assert day("0001-01-01") == 1
    assert day("2009-03-02") == datetime.date(2009, 3, 2).toordinal()


@pytest.mark.parametrize(
    "text", ["", "2009", "2009-3-2", "20090302", "2009-W10-1", "2009-02-29", "2009-13-01", "10000-01-01", " 2009-03-02"]
)
def test_day_refuses_what_is_no_iso_date(text: str) -> None:
    with pytest.raises(DataError, match="YYYY-MM-DD"):
        day(text)


@pytest.mark.parametrize("number", [FIRST_DAY - 1, 3_652_060])
def test_iso_refuses_days_outside_the_calendar(number: int) -> None:
    with pytest.raises(DataError, match="outside the calendar"):
        iso(number)


@pytest.mark.parametrize(("start", "end"), [(5, 5), (6, 5)])
def test_a_window_without_a_day_is_refused(start: int, end: int) -> None:
    with pytest.raises(DataError, match="expected end after start"):
        Window(start, end)


@pytest.mark.parametrize(("start", "end"), [(FIRST_DAY - 1, 5), (1, 3_652_060), (True, 5), (1.0, 5), ("1", 5)])
def test_bounds_that_are_no_days_are_refused(start: Any, end: Any) -> None:
    with pytest.raises(DataError, match=r"window (start|end) is"):
        Window(start, end)


def test_a_source_must_be_a_string() -> None:
    with pytest.raises(DataError, match="source"):
        Window(1, 2, 3)  # type: ignore[arg-type]


def test_windows_are_hashable_values() -> None:
    assert {Window(1, 2, "a"), Window(1, 2, "a"), Window(1, 2, "b")} == {Window(1, 2, "a"), Window(1, 2, "b")}


def holds(window: Window, number: int) -> bool:
    """Whether a window holds a day, by the definition of half-open."""
    after = window.start is None or window.start <= number
    return window.known and after and (window.end is None or number < window.end)


def test_only_the_empty_window_is_unknown() -> None:
    assert not UNKNOWN.known
    assert ALWAYS.known
    assert Window(1, None).known
    assert Window(None, 1).known


def test_a_window_holds_its_start_and_not_its_end() -> None:
    window = year_window(2012)
    for text, inside in (("2012-01-01", True), ("2012-12-31", True), ("2011-12-31", False), ("2013-01-01", False)):
        assert window.overlaps(Window(day(text), day(text) + 1)) == inside


def test_touching_windows_share_no_day() -> None:
    assert year_window(2012).end == year_window(2013).start
    assert not year_window(2012).overlaps(year_window(2013))


def test_one_shared_day_is_an_overlap() -> None:
    first, second = Window(10, 21), Window(20, 30)
    assert first.overlaps(second)
    assert first.overlap_days(second) == 1


@given(windows())
def test_unknown_overlaps_and_holds_nothing(window: Window) -> None:
    assert not UNKNOWN.overlaps(window)
    assert not window.overlaps(UNKNOWN)


@given(windows())
def test_an_always_valid_window_overlaps_every_known_one(window: Window) -> None:
    overlaps = ALWAYS.overlaps(window)
    has_calendar_day = window.end != FIRST_DAY
    assert overlaps == (window.known and has_calendar_day)


@given(windows(), windows())
def test_overlap_is_symmetric_and_counts_shared_days(first: Window, second: Window) -> None:
    assert first.overlap_days(second) == second.overlap_days(first) >= 0
    assert first.overlaps(second) == (first.overlap_days(second) > 0)


@given(windows(), windows(), DAYS)
def test_a_day_in_both_windows_means_overlap(first: Window, second: Window, number: int) -> None:
    if holds(first, number) and holds(second, number):
        assert first.overlaps(second)


def test_open_ends_reach_beyond_every_day() -> None:
    assert Window(day("2015-01-01"), None).overlaps(Window(day("9999-12-31"), None))
    assert Window(None, day("2015-01-01")).overlaps(Window(day("0001-01-01"), day("0001-01-02")))
    assert Window(100, None).overlaps(Window(None, 101))
    assert not Window(100, None).overlaps(Window(None, 100))


def test_clipping_closes_open_ends_at_the_horizon() -> None:
    horizon = Window(day("1950-01-01"), day("2020-01-01"))
    assert Window(None, day("1998-01-01"), "q").clip(horizon) == Window(horizon.start, day("1998-01-01"), "q")
    assert Window(day("2016-01-01"), None, "q").clip(horizon) == Window(day("2016-01-01"), horizon.end, "q")
    assert Window(None, None, "q").clip(horizon) == Window(horizon.start, horizon.end, "q")
    assert year_window(2000).clip(horizon) == year_window(2000)
    assert Window(day("1900-01-01"), day("1960-01-01")).clip(horizon).start == horizon.start


def test_clipping_leaves_what_the_horizon_does_not_touch() -> None:
    horizon = Window(day("1950-01-01"), day("2020-01-01"))
    later = Window(day("2020-01-01"), None, "q")
    assert later.clip(horizon) == later
    assert UNKNOWN.clip(horizon) == UNKNOWN
    assert later.clip(UNKNOWN) == later


@given(windows(), windows(), DAYS)
def test_clipping_keeps_the_days_in_the_horizon(window: Window, horizon: Window, number: int) -> None:
    if window.overlaps(horizon):
        clipped = window.clip(horizon)
        assert holds(clipped, number) == (holds(window, number) and holds(horizon, number))
        assert clipped.clip(horizon) == clipped


@given(windows())
def test_a_row_reads_back_as_the_window(window: Window) -> None:
    assert Window.from_row(window.to_row(), "here") == window


def test_a_row_is_iso_dates_and_source() -> None:
    row = Window(day("2009-03-02"), None, "synthetic").to_row()
    assert row == {"start": "2009-03-02", "end": None, "source": "synthetic"}


def test_a_row_may_lack_the_source() -> None:
    assert Window.from_row({"start": "2012-01-01", "end": "2013-01-01"}, "here") == year_window(2012)


@pytest.mark.parametrize(
    "row",
    [
        None,
        [],
        {"start": "2012-01-01"},
        {"end": "2012-01-01"},
        {"start": 2012, "end": None},
        {"start": "2012", "end": None},
        {"start": "2012-01-01", "end": "2012-01-01"},
        {"start": "2013-01-01", "end": "2012-01-01"},
        {"start": "2012-01-01", "end": None, "source": 3},
    ],
)
def test_a_broken_row_is_refused_with_its_place(row: Any) -> None:
    with pytest.raises(DataError, match=r"^facts\.jsonl:7"):
        Window.from_row(row, "facts.jsonl:7")


def test_years_and_months_are_half_open() -> None:
    assert year_window(2012) == Window(day("2012-01-01"), day("2013-01-01"))
    assert month_window(2012, 2, "s") == Window(day("2012-02-01"), day("2012-03-01"), "s")
    assert month_window(2012, 12) == Window(day("2012-12-01"), day("2013-01-01"))


def test_the_calendars_last_year_is_open() -> None:
    assert year_window(9999) == Window(day("9999-01-01"), None)
    assert month_window(9999, 12) == Window(day("9999-12-01"), None)


@given(st.integers(-9998, 9999))
def test_the_months_tile_their_year(year: int) -> None:
    months = [month_window(year, month) for month in range(1, 13)]
    assert all(first.end == second.start for first, second in itertools.pairwise(months))
    assert (months[0].start, months[-1].end) == (year_window(year).start, year_window(year).end)


@pytest.mark.parametrize(("year", "month"), [(-9999, 1), (10000, 1), (2012, 0), (2012, 13)])
def test_there_is_no_such_month(year: int, month: int) -> None:
    with pytest.raises(DataError, match="no such time"):
        month_window(year, month)


@pytest.mark.parametrize("year", [-9999, 10000])
def test_there_is_no_such_year(year: int) -> None:
    with pytest.raises(DataError, match="no such time"):
        year_window(year)


def test_bounds_arrays_mark_open_and_unknown() -> None:
    rows = [Window(5, 9), Window(None, 9), Window(5, None), ALWAYS, UNKNOWN]
    tau_min, tau_max = window_bounds(rows)
    assert tau_min.dtype == tau_max.dtype == np.int32
    assert tau_min.tolist() == [5, OPEN_START, 5, OPEN_START, UNKNOWN_DAY]
    assert tau_max.tolist() == [9, 9, OPEN_END, OPEN_END, UNKNOWN_DAY]


def test_bounds_arrays_of_nothing_are_empty() -> None:
    tau_min, tau_max = window_bounds([])
    assert tau_min.shape == tau_max.shape == (0,)


@given(st.lists(windows(), max_size=8))
def test_known_windows_have_positive_length_in_the_arrays(rows: list[Window]) -> None:
    tau_min, tau_max = window_bounds(rows)
    known = np.array([window.known for window in rows], dtype=bool)
    assert ((tau_min.astype(np.int64) < tau_max) == known).all()
    assert ((tau_min == UNKNOWN_DAY) == ~known).all()


@pytest.mark.parametrize(
    ("date", "first", "last"),
    [
        ("1922-01-01", "1922", "1 January 1922"),
        ("1922-12-31", "31 December 1922", "1922"),
        ("2023-10-01", "October 2023", "1 October 2023"),
        ("2023-10-31", "31 October 2023", "October 2023"),
        ("2006-05-18", "18 May 2006", "18 May 2006"),
        ("2024-02-29", "29 February 2024", "February 2024"),
        ("2023-02-28", "28 February 2023", "February 2023"),
        ("2024-02-28", "28 February 2024", "28 February 2024"),
    ],
)
def test_a_bound_whose_unit_is_not_known_is_as_precise_as_it_seems(date: str, first: str, last: str) -> None:
    assert in_words(day(date), last=False) == first
    assert in_words(day(date), last=True) == last


@pytest.mark.parametrize(
    ("unit", "first", "last"),
    [
        ("year", "2015", "2015"),
        ("month", "January 2015", "December 2015"),
        ("day", "1 January 2015", "31 December 2015"),
        (None, "2015", "2015"),
    ],
)
def test_a_window_is_said_with_the_unit_that_it_was_written_with(unit: str | None, first: str, last: str) -> None:
    window = replace(year_window(2015), start_unit=unit, end_unit=unit)
    again = Window.from_row(window.to_row(), "here")
    assert again == window
    assert (again.in_words("start"), again.in_words("end")) == (first, last)
    assert ALWAYS.in_words("start") is ALWAYS.in_words("end") is None


def test_a_row_holds_only_the_units_that_are_known() -> None:
    window = year_window(2015)
    assert set(window.to_row()) == {"start", "end", "source"}
    assert replace(window, end_unit="month").to_row() == {**window.to_row(), "end_unit": "month"}


@pytest.mark.parametrize(
    ("start", "end", "unit"),
    [
        ("2015-02-01", None, {"start_unit": "year"}),
        ("2015-01-02", None, {"start_unit": "month"}),
        (None, "2015-02-01", {"end_unit": "year"}),
        (None, "2015-02-01", {"start_unit": "day"}),
        ("2015-01-01", None, {"start_unit": "century"}),
        ("2015-01-01", None, {"start_unit": 3}),
    ],
)
def test_a_unit_that_does_not_begin_on_its_bound_is_an_error(
    start: str | None, end: str | None, unit: dict[str, object]
) -> None:
    with pytest.raises(DataError, match=rf"here: window {next(iter(unit)).removesuffix('_unit')}.*: expected"):
        Window.from_row({"start": start, "end": end, **unit}, "here")


@given(st.integers(1, 9998), st.integers(1, 12))
def test_the_bounds_of_a_year_and_of_a_month_are_named_by_it(year: int, month: int) -> None:
    starts, ends = window_bounds([year_window(year), month_window(year, month)])
    assert in_words(int(starts[0]), last=False) == in_words(int(ends[0]) - 1, last=True) == str(year)
    named = datetime.date(2000, month, 1).strftime("%B") + f" {year}"
    assert in_words(int(starts[1]), last=False) == (str(year) if month == 1 else named)
    assert in_words(int(ends[1]) - 1, last=True) == (str(year) if month == 12 else named)
