"""What may say when something is, and what cannot."""

from __future__ import annotations

import pytest

from kblampp.data.time_words import may_be_a_time


@pytest.mark.parametrize(
    "name",
    ["1931", "12 May 1931", "c. 1990", "6:30", "every Monday", "Easter", "May", "New Year's Eve", "٢٠١٢", "昭和3年"],
)
def test_a_date_and_a_word_of_the_calendar_may(name: str) -> None:
    assert may_be_a_time(name)


@pytest.mark.parametrize(
    "name", ["Turku", "Sigrid Aune", "Tuesdayville", "Mayfield", "", "Summers", "北京市", "New York", "New Delhi"]
)
def test_a_name_without_either_cannot(name: str) -> None:
    assert not may_be_a_time(name)
