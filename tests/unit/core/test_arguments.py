"""What a program passes is taken where its meaning is certain; anything else is told as an error of the package."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

from kblampp.core.arguments import date_text, name_of, text_of
from kblampp.core.errors import DataError


@pytest.mark.parametrize(("value", "text"), [("A", "A"), (42, "42"), (2.5, "2.5"), (-1, "-1"), ("", "")])
def test_a_name_may_be_a_number(value: Any, text: str) -> None:
    assert name_of(value, "the tail") == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (2012, "2012"),
        (2012.0, "2012.0"),
        ("May 2012", "May 2012"),
        (datetime.date(2012, 5, 1), "2012-05-01"),
        (datetime.datetime(2012, 5, 1, 9, 30), "2012-05-01"),
        (None, ""),
    ],
)
def test_a_date_may_be_a_year_a_day_or_nothing(value: Any, text: str) -> None:
    assert date_text(value, "the start") == text


@pytest.mark.parametrize("value", [True, None, ["A"], b"A", float("nan"), float("inf")])
def test_what_is_no_name_is_told_with_what_was_expected(value: Any) -> None:
    with pytest.raises(DataError, match=r"the tail is .* \(\w+\): expected a text or a number, such as"):
        name_of(value, "the tail")


@pytest.mark.parametrize("value", [True, ["2012"], (2012, 5), b"2012", float("nan")])
def test_what_is_no_date_is_told_with_what_was_expected(value: Any) -> None:
    with pytest.raises(DataError, match=r"the start is .* \(\w+\): expected a year such as 2009"):
        date_text(value, "the start")


@pytest.mark.parametrize("value", [None, 3, ["A"] * 1000])
def test_what_is_no_text_is_told_shortly(value: Any) -> None:
    with pytest.raises(DataError, match=r"a question is .*: expected a text such as 'Who") as caught:
        text_of(value, "a question", "Who?")
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(("sign", "digits"), [(1, 400), (-1, 400), (1, 5000)])
def test_a_number_beyond_every_float_is_told_shortly(sign: int, digits: int) -> None:
    """Python writes none of more than 4,300 digits."""
    number = sign * 10**digits
    for read in (name_of, date_text):
        with pytest.raises(DataError, match=r"the start is .* \(int\): expected") as caught:
            read(number, "the start")
        assert len(str(caught.value)) < 200
    with pytest.raises(DataError, match="expected a text"):
        text_of([number], "a question", "Who?")
