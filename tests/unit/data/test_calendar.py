"""The calendar below the year 1: against `datetime.date` where that has days, and numpy's dates everywhere."""

from __future__ import annotations

import datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kblampp.core.errors import DataError
from kblampp.data.calendar import FIRST_DAY, LAST_DAY, date_of, day_number, year_in_words
from kblampp.data.windows import day, iso

ANY_DAY = st.integers(FIRST_DAY, LAST_DAY) | st.integers(-1000, 1000)
UNIX_DAY = datetime.date(1970, 1, 1).toordinal()


@given(st.dates())
def test_the_days_that_python_has_keep_their_numbers(date: datetime.date) -> None:
    assert day_number(date.year, date.month, date.day) == date.toordinal()
    found = date_of(date.toordinal())
    assert (found, found.weekday) == ((date.year, date.month, date.day), date.weekday())
    assert iso(date.toordinal()) == date.isoformat()


@given(ANY_DAY)
def test_every_day_is_that_of_numpy_and_comes_back(number: int) -> None:
    text = iso(number)
    assert (np.datetime64(text, "D") - np.datetime64("1970-01-01", "D")).astype(int) == number - UNIX_DAY
    assert day(text) == number
    assert date_of(number).number == number


@given(ANY_DAY)
def test_weekdays_follow_one_another(number: int) -> None:
    assert date_of(number).weekday == (date_of(max(number - 1, FIRST_DAY)).weekday + (number > FIRST_DAY)) % 7


def test_years_are_those_of_iso_8601_and_said_as_people_do() -> None:
    assert (iso(0), iso(1), iso(-365)) == ("0000-12-31", "0001-01-01", "0000-01-01")
    assert [year_in_words(year) for year in (12, 1, 0, -43)] == ["12", "1", "1 BC", "44 BC"]
    assert (iso(FIRST_DAY), iso(LAST_DAY)) == ("-9998-01-01", "9999-12-31")
    assert day("-0043-03-15") < day("0000-02-29") < day("0001-01-01")


@pytest.mark.parametrize("text", ["-0000-01-01", "-43-03-15", "0000-02-30", "-0001-02-29", "-9999-01-01"])
def test_what_is_no_day_before_the_year_1_is_refused(text: str) -> None:
    with pytest.raises(DataError, match="YYYY-MM-DD"):
        day(text)
