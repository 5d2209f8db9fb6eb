"""The time that a question asks about."""

from __future__ import annotations

import datetime
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kblampp.core.errors import DataError
from kblampp.data.windows import Window, day
from kblampp.time_expressions.parse import parse_question_time, read_time, without_time
from tests.converting import real_lines, real_list, real_rows

# Text, first day, first day after; a short form such as "2012" or "2012-03" stands for its first day.
CASES: list[tuple[str, str | None, str | None]] = [
    # one unit
    ("Who led Silver Harbor as CEO in 2012?", "2012", "2013"),
    ("In 1960, where was steven ozment going to school?", "1960", "1961"),
    ("Who was king in 830?", "830", "831"),
    ("Who ruled in 79 AD?", "79", "80"),
    ("Who ruled in AD 79?", "79", "80"),
    ("Who ruled in 1812 AD over Parma?", "1812", "1813"),
    ("Who led it in the year 1996?", "1996", "1997"),
    ("Who coached in the 2018 season?", "2018", "2019"),
    ("Who coached in the summer of 2012?", "2012", "2013"),
    ("Who led it during 2012", "2012", "2013"),
    ("Who led it around 1812?", "1812", "1813"),
    ("Who led it in March 2015?", "2015-03", "2015-04"),
    ("Who led it in mar 2015?", "2015-03", "2015-04"),
    ("Who led it in Sept. 2015?", "2015-09", "2015-10"),
    ("Who led it in December, 2015?", "2015-12", "2016"),
    ("Who led it as of March 2015?", "2015-03", "2015-04"),
    ("As of 2015, who led it?", "2015", "2016"),
    ("Who led it on 5 March 2015?", "2015-03-05", "2015-03-06"),
    ("Who led it on the 5th of March 2015?", "2015-03-05", "2015-03-06"),
    ("Who led it on March 5, 2015?", "2015-03-05", "2015-03-06"),
    ("Who led it on March 5th 2015?", "2015-03-05", "2015-03-06"),
    ("Who led it on 2015-03-05?", "2015-03-05", "2015-03-06"),
    ("Who led it on 29 February 2012?", "2012-02-29", "2012-03-01"),
    ("What was the host city of the dec 2010 world festival of black arts?", "2010-12", "2011"),
    ("Who hosted the talk show The Cycle from in Jun 2013?", "2013-06", "2013-07"),
    ("Who coached in the 2018/2019 season?", "2018", "2020"),
    ("Who coached in 2018/19?", "2018", "2020"),
    ("Who coached in 1998\u20132001?", "1998", "2002"),
    ("Who coached in 1914-18?", "1914", "1919"),
    # before the year 1: 0 is 1 BC, -43 is 44 BC
    ("Who ruled in 44 BC?", "-43", "-42"),
    ("Who ruled in 44 B.C.E.?", "-43", "-42"),
    ("Who was king in 1 BC?", "0", "1"),
    ("Who was killed on 15 March 44 BC?", "-43-03-15", "-43-03-16"),
    ("Who was killed on March 15, 44 BCE?", "-43-03-15", "-43-03-16"),
    ("Who ruled in March 44 BC?", "-43-03", "-43-04"),
    ("Who ruled from March to May 44 BC?", "-43-03", "-43-06"),
    ("Who ruled from 50 BC to 20 BC?", "-49", "-18"),
    ("Who fought between 58 and 50 BC?", "-57", "-48"),
    ("Who fought from 58 to 50 BC?", "-57", "-48"),
    ("Who fought in 58\u201350 BC?", "-57", "-48"),
    ("Who ruled from 44 BC to AD 14?", "-43", "15"),
    ("Who ruled before 44 BC?", None, "-43"),
    ("Who has ruled since 27 BC?", "-26", None),
    ("Who ruled until 44 BC?", None, "-42"),
    ("Who ruled in the 40s BC?", "-48", "-38"),
    ("Who ruled in the 5th century BC?", "-499", "-399"),
    ("Who ruled in the first half of the 1st century BC?", "-99", "-49"),
    ("Who ruled in early 44 BC?", "-43", "-43-05"),
    ("Who ruled in -44?", "-44", "-43"),
    ("Who ruled in -0043?", "-43", "-42"),
    ("Who was killed on -0043-03-15?", "-43-03-15", "-43-03-16"),
    # parts, decades, centuries
    ("Who owned it in the 1970s?", "1970", "1980"),
    ("Who owned it in 1970s?", "1970", "1980"),
    ("Who owned it in the 1970's?", "1970", "1980"),
    ("Who owned it in the '90s?", "1990", "2000"),
    ("Who owned it in the 90s?", "1990", "2000"),
    ("Who owned it in the 830s?", "830", "840"),
    ("Who owned it in early 1970s?", "1970", "1974"),
    ("Who owned it in mid 1970s?", "1974", "1977"),
    ("Who owned it in the mid-1970s?", "1974", "1977"),
    ("Who owned it in late 1960s?", "1967", "1970"),
    ("Who owned it in the late part of the 1960s?", "1967", "1970"),
    ("Who owned it in early 2012?", "2012-01", "2012-05"),
    ("Who owned it in late 2012?", "2012-09", "2013"),
    ("Who owned it in early March 2015?", "2015-03-01", "2015-03-11"),
    ("Who owned it in late March 2015?", "2015-03-21", "2015-04-01"),
    ("Who owned it in the 19th century?", "1801", "1901"),
    ("Who owned it in the late 19th century?", "1868", "1901"),
    # ranges
    ("Who led it from 2009 to 2014?", "2009", "2015"),
    ("From 2009 to 2011, who led it?", "2009", "2012"),
    ("Who led it between 2009 and 2011?", "2009", "2012"),
    ("Between 2009 and 2011 who led it?", "2009", "2012"),
    ("Who led it from Jun 2004 to Mar 2005?", "2004-06", "2005-04"),
    ("Who led it from 2004 to mar 2005?", "2004", "2005-04"),
    ("Who led it between July 1929 and 1943?", "1929-07", "1944"),
    ("Where was the Army Reserve Post In 2005 to 2006?", "2005", "2007"),
    ("Who led it during the year 1996 to 1998?", "1996", "1999"),
    ("Who led it in between May 2004 and Jul 2004?", "2004-05", "2004-08"),
    ("At what station did the line end between May 1991 and May 1991?", "1991-05", "1991-06"),
    ("Which organization named wgaw after apr 1933 to 1954?", "1933-05", "1955"),
    ("Who was emperor from 8 to 9?", "8", "10"),
    ("Who was king from 998 to 1002?", "998", "1003"),
    ("Who was abbot from 1369 to1420?", "1369", "1421"),
    ("Who led it from 1998 until 2001?", "1998", "2002"),
    ("Who led it from 1998 through 2001?", "1998", "2002"),
    ("Who led it from 1998 \u2013 2001?", "1998", "2002"),
    ("Who led it from the early 1970s to the late 1980s?", "1970", "1990"),
    ("Who led it from 5 March 2015 to 9 May 2016?", "2015-03-05", "2016-05-10"),
    ("Who led it from March to May 2015?", "2015-03", "2015-06"),
    ("Who led it from 5 March to 9 May 2015?", "2015-03-05", "2015-05-10"),
    ("Who led it between 3 and 9 March 2015?", "2015-03-03", "2015-03-10"),
    ("Who used a 4 to 4-0 steam locomotive from 1923 to Dec 1947?", "1923", "1948"),
    ("In Room 5, who was there from 1998 to 2001 or in 2004?", "1998", "2002"),
    # numbers, quarters, halves
    ("In 2012-05, who led it?", "2012-05", "2012-06"),
    ("Who led it in 05/2012?", "2012-05", "2012-06"),
    ("Who led it on 13/5/2012?", "2012-05-13", "2012-05-14"),
    ("Who led it on 5/13/2012?", "2012-05-13", "2012-05-14"),
    ("Who led it on 5/5/2012?", "2012-05-05", "2012-05-06"),
    ("Who led it on 3.5.2012?", "2012-05-03", "2012-05-04"),
    ("Who led it on 2012/05/03?", "2012-05-03", "2012-05-04"),
    ("Who led it on Thursday, 3 May 2012?", "2012-05-03", "2012-05-04"),
    ("Who led it in the 2010-11 season?", "2010", "2012"),
    ("Revenue in Q2 2012?", "2012-04", "2012-07"),
    ("Revenue 2012 Q4?", "2012-10", "2013"),
    ("Revenue in the 2nd quarter of 2012?", "2012-04", "2012-07"),
    ("Revenue in the first half of 2012?", "2012-01", "2012-07"),
    ("Revenue in H2 2012?", "2012-07", "2013"),
    ("Who ruled in the second half of the 19th century?", "1851", "1901"),
    ("Who ruled in the first half of the 1990s?", "1990", "1995"),
    ("Who led it from Q1 to Q3 2012?", "2012-01", "2012-10"),
    # other words before a time
    ("Who led it at the end of 2012?", "2012-09", "2013"),
    ("What was the budget for 2023 of Acme?", "2023", "2024"),
    ("Who led it back in 2012?", "2012", "2013"),
    ("Who led it as early as 2012?", "2012", "2013"),
    ("Who led it right after 1997?", "1998", None),
    ("Who led it shortly before 2015?", None, "2015"),
    ("Who led it just before March 2015?", None, "2015-03"),
    ("Who led it by the end of 2012?", None, "2013"),
    ("Who led it before the end of 2012?", None, "2013"),
    # a year at the very end
    ("league position of carrigbeg rovers 2022", "2022", "2023"),
    ("Revenue 2019?", "2019", "2020"),
    # open ends
    ("Who led it before 1998?", None, "1998"),
    ("Who led it before Jan 1996?", None, "1996"),
    ("Who led it prior to 5 March 2015?", None, "2015-03-05"),
    ("Who led it before the 1970s?", None, "1970"),
    ("Who led it after 2015?", "2016", None),
    ("Who filled the vacant manager position after december 11, 2017?", "2017-12-12", None),
    ("After the season 2018/2019, who did sv darmstadt hire?", "2020", None),
    ("Who led it after Nov 1935?", "1935-12", None),
    ("Who has led it since 2015?", "2015", None),
    ("Who has led it since March 2015?", "2015-03", None),
    ("Who has led it from 2015 onwards?", "2015", None),
    ("Who has led it from 2015 to the present?", "2015", None),
    ("Who led it until 2015?", None, "2016"),
    ("Who led it up to March 2015?", None, "2015-04"),
    ("Who had led it by 2015?", None, "2016"),
    ("Who led it until the end of 2015?", None, "2016"),
    ("Who led it after the end of 2015?", "2016", None),
    # several expressions
    ("Who purchased the Villa in 1787 and owned it until 1796?", "1787", "1797"),
    ("Who led it after 2009 and before 2012?", "2010", "2012"),
    ("Who led it since 2009 until 2012?", "2009", "2013"),
    ("In 2009, who led the club founded in 1990?", "2009", "2010"),
    ("Who led the club founded in 1990 in 2009?", "2009", "2010"),
    ("Where did the line that began in 1990 end in Jul 1990?", "1990-07", "1990-08"),
]

NO_TIME = [
    "",
    "Who led Silver Harbor?",
    "What became of the planetarium located at 15 South State Street in Salt Lake City?",
    "Who directed Space Odyssey 2001?",
    "Odyssey 2001 author",
    "How many cost more than 2000?",
    "Who sold it for 2000 dollars?",
    "Who starred in '12 Monkeys'?",
    "Who scored in the first half of the 2012 final?",
    "Who directed Last Year at Marienbad?",
    "What was his last year?",
    "What was the last year of the war?",
    "Who leads it today, now, currently, at the moment, these days, nowadays or at present?",
    "Who won in 12 games?",
    "Who won gold in 1500 metres?",
    "Who counted from 3 to 5 points?",
    "Who had 4 to 6 players?",
    "Who sold 1,200 cars in 2,000 towns?",
    "Who ruled in 0 BC?",
    "Who ruled from 20 BC to 50 BC?",
    "Who worked in -44 degrees?",
    "revenue -2001",
    "Who flew the F-16?",
    "Which fact may 5 people know in May?",
    "from 1998 to 200",
    "Which theater employed Liina Tennosaar from 1998 to 1993?",
    "from 1985 to 1848",
    "from 1977 to 179",
    "between Jun 2004 and Mar 2004",
    "on 31 February 2015",
    "on 30 Feb 2012",
    "in 0",
    "in 0000",
    "after 9999",
    "after 2012 and before 2010",
    "in 12345",
    "in \u0661\u0669\u0669\u0668",
]


AS_OF = "2026-03-31"  # a Tuesday

RELATIVE: list[tuple[str, str | None, str | None]] = [
    ("Who led it last year?", "2025", "2026"),
    ("Last year, who led it?", "2025", "2026"),
    ("Who was last year's champion?", "2025", "2026"),
    ("Who led it this year?", "2026", "2027"),
    ("Who will lead it next year?", "2027", "2028"),
    ("Who led it the year before last?", "2024", "2025"),
    ("Who led it two years ago?", "2024", "2025"),
    ("Who led it a month ago?", "2026-02", "2026-03"),
    ("Who led it 3 days ago?", "2026-03-28", "2026-03-29"),
    ("Who led it a century ago?", "1901", "2001"),
    ("Who led it last month?", "2026-02", "2026-03"),
    ("Who led it this month?", "2026-03", "2026-04"),
    ("Who led it last week?", "2026-03-23", "2026-03-30"),
    ("Who led it yesterday?", "2026-03-30", "2026-03-31"),
    ("Who led it the day before yesterday?", "2026-03-29", "2026-03-30"),
    ("Who led it last decade?", "2010", "2020"),
    ("Who led it last century?", "1901", "2001"),
    ("Who led it in the last five years?", "2021-03-31", "2026-04-01"),
    ("Who led it over the past year?", "2025-03-31", "2026-04-01"),
    ("Who led it in the past month?", "2026-02-28", "2026-04-01"),
    ("Who led it in the last 10 days?", "2026-03-21", "2026-04-01"),
    ("Who has led it since last year?", "2025", None),
    ("Who led it before last month?", None, "2026-02"),
    ("Who led it from last year to this year?", "2025", "2027"),
    ("Who led it in '12?", "2012", "2013"),
    ("Who led it in \u201926?", "2026", "2027"),
    ("Who led it in '27?", "1927", "1928"),
    ("Who led it in May '12?", "2012-05", "2012-06"),
    ("Who led it between '10 and '12?", "2010", "2013"),
]

PROBLEMS = [
    ("Who led it on 3/5/2012?", '"on 3/5/2012" may be 3 May or 5 March 2012: write the month as a word'),
    ("Who led it in 2010-11?", '"in 2010-11" may be November 2010 or the years 2010 to 2011: '),
    ("Who led it on 31 February 2012?", '"on 31 February 2012" is no time of the calendar'),
    ("Who led it in the third half of 2012?", '"in the third half of 2012" is no time of the calendar'),
    ("Who led it from 1998 to 1993?", '"from 1998 to 1993" ends before it starts'),
    ("Who led it after 2012 or before 2010?", '"after 2012" and "before 2010" have no day in common'),
    ("Who led it in 12000 BC?", '"in 12000 BC" is no time of the calendar'),
    ("Who led it from 20 BC to 50 BC?", '"from 20 BC to 50 BC" ends before it starts'),
    ("Who led it last summer?", '"last summer" is no certain time: write a date, a month or a year'),
    ("Who led it a few years ago?", '"a few years ago" is no certain time'),
    ("Who led it 2 to 3 years ago?", '"2 to 3 years ago" is no certain time'),
    ("Who led it on 3 May?", '"on 3 May" is of no year'),
    ("Who led it 200 centuries ago?", '"200 centuries ago" is no time of the calendar'),
]


def _day(text: str | None) -> int | None:
    if text is None:
        return None
    year, *rest = text.removeprefix("-").split("-")
    return day("-" * text.startswith("-") + "-".join([year.zfill(4), *rest, "01", "01"][:3]))


@pytest.mark.parametrize(("text", "start", "end"), CASES, ids=[case[0] for case in CASES])
def test_the_time_is_read(text: str, start: str | None, end: str | None) -> None:
    assert parse_question_time(text) == Window(_day(start), _day(end), "question_text")


@pytest.mark.parametrize("text", NO_TIME)
def test_no_time_and_nonsense_give_none(text: str) -> None:
    assert parse_question_time(text) is None


@pytest.mark.parametrize(("text", "start", "end"), CASES, ids=[case[0] for case in CASES])
def test_case_and_spacing_do_not_matter(text: str, start: str | None, end: str | None) -> None:
    expected = Window(_day(start), _day(end), "question_text")
    assert parse_question_time(text.upper()) == expected
    assert parse_question_time("  " + text.replace(" ", " \n ")) == expected


@pytest.mark.parametrize(("text", "start", "end"), RELATIVE, ids=[case[0] for case in RELATIVE])
def test_times_told_from_the_day_of_asking(text: str, start: str | None, end: str | None) -> None:
    expected = Window(_day(start), _day(end), "question_text")
    for form in (text, text.upper()):
        assert read_time(form, day(AS_OF)).window == expected


@pytest.mark.parametrize(("text", "problem"), PROBLEMS, ids=[case[0] for case in PROBLEMS])
def test_a_time_that_is_not_understood_is_said(text: str, problem: str) -> None:
    reading = read_time(text, day(AS_OF))
    assert reading.window is None
    assert reading.problem is not None
    assert reading.problem.startswith(problem)
    assert reading.rest in ("Who led it?", "Who led it or?")


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("In 2009, who led Silver Harbor?", "who led Silver Harbor?"),
        ("Who led Silver Harbor (in 2012)?", "Who led Silver Harbor?"),
        ("Who led Stra\u00dfe \u0130stanbul in 2012?", "Who led Stra\u00dfe \u0130stanbul?"),
        ("Who was last year's champion?", "Who was champion?"),
        ("Who leads it today?", "Who leads it today?"),
        ("in 2012", "in 2012"),
    ],
)
def test_the_rest_of_a_question(text: str, rest: str) -> None:
    assert without_time(text) == rest


def test_the_day_of_asking_is_today_unless_given() -> None:
    first = datetime.date.today()
    window = parse_question_time("Who led it yesterday?")
    days = [date.toordinal() - 1 for date in (first, datetime.date.today())]  # midnight may have passed
    assert window is not None
    assert window.start in days


@pytest.mark.parametrize("as_of", [-(10**7), 10**7])
def test_a_day_of_asking_outside_the_calendar_is_an_error(as_of: int) -> None:
    with pytest.raises(DataError, match=f"day number {as_of} is outside the calendar"):
        read_time("Who led it last year?", as_of)


TIMES = st.sampled_from(
    """in the nineties|in the twenties|at the turn of the century|in nineteen ninety-five
    |since the twentieth century|in the first decade of the century|half a century ago|in the old days|early last year
    |in the sixties and seventies|before the turn of the year 2010|in the nineteen hundreds|at Christmas 2010
    |in 2012|in 2012-05|on 13/5/2012|in Q2 2012|in the first half of 2012|on 3 May 2012|in the 1990s|in '12
    |since 2010|before March 2015|shortly before 2015|from 2009 to 2011|between 3 and 9 March 2015|in the 19th century
    |last year|two years ago|in the last five years|over the past 10 months|yesterday|since last month|on 3/5/2012
    |on 31 February 2012|from 1998 to 1993|a few years ago|in the 2010-11 season
    |in 44 BC|between 58 and 50 BC|in -0043""".replace("\n    ", "").split("|")
)
PLAIN = st.sampled_from(["who led Silver Harbor", "Where does Ida work", "height of the tower", "revenue"])


@given(PLAIN, TIMES, st.booleans(), st.integers(day("1200-01-01"), day("2500-01-01")))
def test_what_is_left_of_a_question_names_no_time(plain: str, time: str, front: bool, as_of: int) -> None:
    reading = read_time(f"{time}, {plain}?" if front else f"{plain} {time}?", as_of)
    assert (reading.window is None) != (reading.problem is None)
    assert _ends_after_start(reading.window)
    assert not re.search(r"\d", reading.rest)
    again = read_time(reading.rest, as_of)
    assert (again.window, again.rest, again.problem) == (None, reading.rest, None)


@given(st.text())
def test_a_text_that_names_no_time_is_left_as_it_is(text: str) -> None:
    reading = read_time(text)
    if reading.window is None and reading.problem is None:
        assert reading.rest == " ".join(text.split())


NO_TIME_WORDS = "who led the town May march second of a part an end now today , ?"


@given(st.lists(st.sampled_from(NO_TIME_WORDS.split()), max_size=9))
def test_words_without_a_number_are_left_as_they_are(words: list[str]) -> None:
    text = " ".join(words)
    if not re.search(r"(may|march)( [?,]|$)", text.lower()):
        assert read_time(text).rest == text


def _ends_after_start(window: Window | None) -> bool:
    return window is None or (window.known and window.overlaps(Window(None, None, "always")))


@given(st.text())
def test_any_text_gives_a_window_with_a_day_or_none(text: str) -> None:
    assert _ends_after_start(parse_question_time(text))


TIME_WORDS = """
in from to between and before after since until by of the early mid late end May march dec. 5 31 12th 8 200 1998 2012
9999 0 1970s '90s 1100s 20th century 2018/2019 1998-97 - , ? BC AD present on as q2 half quarter 3/5/2012 2012-05 '12
last past years year ago yesterday two few this month at over for -43 BCE b.c.
"""
WORDS = st.sampled_from(TIME_WORDS.split())


@given(st.lists(WORDS, max_size=14))
def test_any_mix_of_time_words_gives_a_window_with_a_day_or_none(words: list[str]) -> None:
    assert _ends_after_start(parse_question_time(" ".join(words)))


@given(st.integers(0, 99999), st.integers(0, 99999))
def test_ranges_of_any_two_years(first: int, last: int) -> None:
    sensible = 1 <= first <= last <= 9998
    expected = Window(_day(str(first)), _day(str(last + 1)), "question_text") if sensible else None
    for text in (f"who from {first} to {last}", f"who between {first} and {last}?"):
        window = parse_question_time(text)
        if sensible or (first > last and last >= 1 and first <= 9999):
            assert window == expected
        assert _ends_after_start(window)


@given(st.integers(1000, 9998), st.sampled_from(["in", "before", "after", "since", "until"]))
def test_one_year_and_its_prepositions_fit_together(year: int, preposition: str) -> None:
    start, end = _day(str(year)), _day(str(year + 1))
    expected = {
        "in": (start, end),
        "before": (None, start),
        "after": (end, None),
        "since": (start, None),
        "until": (None, end),
    }[preposition]
    window = parse_question_time(f"Who led it {preposition} {year}?")
    assert window is not None
    assert (window.start, window.end) == expected


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("Who led Alder in 2012?", "Who led Alder?"),
        ("Where was the mayor of Vesk in 2005 born?", "Where was the mayor of Vesk born?"),
        ("In 2009, who led Alder?", "who led Alder?"),
        ("Who led Alder from March to May 2015?", "Who led Alder?"),
        ("Who led Alder between 2009 and 2011?", "Who led Alder?"),
        ("Who was mayor of Port in 2001 until 2004?", "Who was mayor of Port?"),
        ("Which team did he play for in 2014-2015, and where?", "Which team did he play for, and where?"),
        ("Who led it on 3 March 2015?", "Who led it?"),
        ("Who led it since 2010 onwards?", "Who led it?"),
        ("What did Odyssey 2001 win?", "What did Odyssey 2001 win?"),
        ("  Who   led?  ", "Who led?"),
        ("in 2012", "in 2012"),
    ],
)
def test_without_its_time_a_question_says_what_is_asked_for(text: str, rest: str) -> None:
    assert without_time(text) == rest


@pytest.mark.parametrize("text", [text for text, *_ in CASES])
def test_a_text_without_its_time_names_none_and_stays(text: str) -> None:
    rest = without_time(text)
    assert rest.strip()
    assert parse_question_time(rest) is None or rest == " ".join(text.split())
    assert without_time(rest) == rest


@given(st.text())
def test_any_text_keeps_words_without_its_time(text: str) -> None:
    assert bool(without_time(text).strip()) == bool(text.strip())


def test_a_long_text_is_read_quickly() -> None:
    for piece in (
        "the ",
        "in the ",
        "from 1998 ",
        "1998 to ",
        "early ",
        "9",
        "may 5 ",
        "' ",
        "and ",
        "'12 ",
        "a ",
        "last ",
        "3/5/",
        "the last ",
        "nineties ",
        "nineteen ",
        "one hundred and ",
        "the first decade of ",
        "turn of the ",
        "half a ",
        "of the ",
        "his early ",
    ):
        assert _ends_after_start(parse_question_time("in " + piece * 3000))


@real_rows
def test_the_human_questions_of_timeqa_parse_unless_their_times_are_reversed(real: Path) -> None:
    pages = real_list(real / "timeqa" / "human_annotated.json")
    for text in (text for page in pages for text, _ in page["questions"]):
        years = [int(year) for year in re.findall(r"\b[0-9]{3,4}\b", text)]
        if years and parse_question_time(text) is None:
            assert years != sorted(years), text


FORMS = [r"\bbetween .* and ", r"\bbefore ", r"\bafter ", r"\bin (early|late) \d{4}s", r"\bin [A-Z][a-z]{2} \d{4}"]
"""What the dataset's hard questions ask for times with."""


@real_rows
@pytest.mark.parametrize(("level", "forms"), [("easy", [r"\bfrom .* to "]), ("hard", FORMS)])
def test_every_training_question_of_timeqa_parses(real: Path, level: str, forms: list[str]) -> None:
    lines = real_lines(real / "timeqa" / f"human_train.{level}.json.gzip")
    questions = [line["question"] for line in lines]
    assert [text for text in questions if parse_question_time(text) is None] == []
    for form in forms:
        assert any(re.search(form, text) for text in questions), form
