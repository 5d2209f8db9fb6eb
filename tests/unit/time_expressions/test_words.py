"""Times in words: decades, centuries and years, from the day of asking where they need one; names stay names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kblampp.data.windows import Window, day
from kblampp.time_expressions.parse import TimeReading, read_time, without_time

AS_OF = "2026-03-31"

# What stands behind "Who led it", the first year, and the first year after.
READ: list[tuple[str, int | None, int | None]] = [
    ("in the nineties", 1990, 2000),
    ("in the Nineties", 1990, 2000),
    ("in nineties", 1990, 2000),
    ("in the noughties", 2000, 2010),
    ("in the aughts", 2000, 2010),
    ("in the 00s", 2000, 2010),
    ("in the early '00s", 2000, 2004),
    ("in the tens", 2010, 2020),
    ("in the late teens", 2017, 2020),
    ("in the thirties", 1930, 1940),
    ("in the early nineties", 1990, 1994),
    ("in the mid-nineties", 1994, 1997),
    ("in the late Fifties", 1957, 1960),
    ("at the end of the eighties", 1987, 1990),
    ("in the second half of the sixties", 1965, 1970),
    ("in the swinging sixties", 1960, 1970),
    ("in the roaring twenties", 1920, 1930),
    ("in the eighteen-sixties", 1860, 1870),
    ("in the nineteen tens", 1910, 1920),
    ("since the nineties", 1990, None),
    ("before the late nineties", None, 1997),
    ("by the nineties", None, 2000),
    ("from the eighties to the nineties", 1980, 2000),
    ("in the sixties and seventies", 1960, 1980),
    ("in the 1960s and 1970s", 1960, 1980),
    ("in the eighties or nineties", 1980, 2000),
    ("in the twentieth century", 1901, 2001),
    ("in the early twentieth century", 1901, 1935),
    ("in the Twentieth Century", 1901, 2001),
    ("in the twenty-first century", 2001, 2101),
    ("in the XIX century", 1801, 1901),
    ("in the second century BC", -199, -99),
    ("in the 3rd millennium BC", -2999, -1999),
    ("in the second millennium", 1001, 2001),
    ("in the first decade of the century", 2001, 2011),
    ("in the second decade of the 20th century", 1911, 1921),
    ("in the last decade of the nineteenth century", 1891, 1901),
    ("in the first half of the century", 2001, 2051),
    ("in the last century", 1901, 2001),
    ("in the previous century", 1901, 2001),
    ("at the end of the last century", 1968, 2001),
    ("early last century", 1901, 1935),
    ("in the previous decade", 2010, 2020),
    ("in this millennium", 2001, 3001),
    ("at the turn of the millennium", 2000, 2001),
    ("around the millennium", 2000, 2001),
    ("at the turn of the century", 2000, 2001),
    ("at the turn of the last century", 1900, 1901),
    ("at the turn of the 20th century", 1900, 1901),
    ("at the turn of the twenty-first century", 2000, 2001),
    ("since the turn of the millennium", 2000, None),
    ("in nineteen ninety-five", 1995, 1996),
    ("in nineteen oh five", 1905, 1906),
    ("in eighteen hundred and twelve", 1812, 1813),
    ("in two thousand and five", 2005, 2006),
    ("in the year two thousand", 2000, 2001),
    ("in twenty twenty-one", 2021, 2022),
    ("from nineteen fourteen to nineteen eighteen", 1914, 1919),
    ("twenty-five years ago", 2001, 2002),
    ("a hundred years ago", 1926, 1927),
    ("half a century ago", 1976, 1977),
    ("ten years back", 2016, 2017),
    ("earlier this year", 2026, 2027),
    ("at Christmas 2010", 2010, 2011),
    ("in ten sixty-six", 1066, 1067),
    ("since early nineteen hundred", 1900, None),
    # several times with one noun
    ("from the eighteenth to the twentieth century", 1701, 2001),
    ("from the 18th to the 20th century", 1701, 2001),
    ("from the XVIII to the XX century", 1701, 2001),
    ("from the second to the first century BC", -199, 1),
    ("in the late 20th and early 21st century", 1968, 2035),
    ("between the eighteenth and twentieth centuries", 1701, 2001),
    ("in the nineteenth and twentieth centuries", 1801, 2001),
    ("in the 18th, 19th and 20th centuries", 1701, 2001),
    ("in the first and second millennia", 1, 2001),
    ("in the early to mid nineties", 1990, 1997),
    ("in the mid to late nineties", 1994, 2000),
    ("in the mid-to-late 1990s", 1994, 2000),
    ("in the early and mid 1990s", 1990, 1997),
    ("in the early or mid 20th century", 1901, 1968),
    ("in 1999 and the noughties", 1999, 2010),
    ("in 1995 and the nineties", 1990, 2000),
    # a decade of a century that is said
    ("in the nineties of the twentieth century", 1990, 2000),
    ("in the early forties of the 19th century", 1840, 1844),
    ("in the 40s of the 19th century", 1840, 1850),
    ("in the 1840s of the 19th century", 1840, 1850),
    ("in the forties of the first century BC", -48, -38),
    ("in the twenties of the last century", 1920, 1930),
    ("in the twenties of this century", 2020, 2030),
    # the hundred years, but of the running century
    ("in the 1800s", 1800, 1900),
    ("in the early 1900s", 1900, 1934),
    ("in the 800s", 800, 900),
    ("in the 400s BC", -498, -398),
    ("in the 2000s", 2000, 2010),
    # counted from a year
    ("three years before 2010", 2007, 2008),
    ("10 years after nineteen ninety", 2000, 2001),
    ("a decade after 1990", 2000, 2001),
    ("the year before 2010", 2009, 2010),
]

UNSURE = [
    ("in the twenties", "may be the 1920s or the 2020s"),
    ("in the '20s", "may be the 1920s or the 2020s"),
    ("in the early twenties", "may be the 1920s or the 2020s"),
    ("in the nineteen hundreds", "may be the years 1900 to 1909 or 1900 to 1999"),
    ("at the end of the century", "may be of this century or of the last"),
    ("at the start of the millennium", "is no certain time"),
    ("at the turn of the year 2010", "is no certain time"),
    ("at the turn of the decade", "is no certain time"),
    ("in the first years of the century", "is no certain time"),
    ("in the past", "is no certain time"),
    ("in the old days", "is no certain time"),
    ("in the Middle Ages".lower(), "is no certain time"),
    ("in former times", "is no certain time"),
    ("back then", "is no certain time"),
    ("long ago", "is no certain time"),
    ("decades ago", "is no certain time"),
    ("a couple of years back", "is no certain time"),
    ("ten years earlier", "is no certain time"),
    ("in the previous year", "is no certain time"),
    ("in the first decade of 1995", "is no time of the calendar"),
    ("in the iiiii century", "is no time of the calendar"),
    ("in the vx century", "is no time of the calendar"),
    ("in the 0th century", "is no time of the calendar"),
    ("in the forties of the 0th century", "is no time of the calendar"),
    ("in the 1740s of the 19th century", "may be one of two times"),
    ("from the 20th to the 18th century", "ends before it starts"),
    ("in 1990 and the noughties", "are times that do not follow on each other"),
    ("in the nineties and 2010", "are times that do not follow on each other"),
    ("in the seventies and nineties", "are times that do not follow on each other"),
    ("in the 17th and 19th centuries", "are times that do not follow on each other"),
    ("in the early and late nineties", "are times that do not follow on each other"),
    ("two months after March 2010", "is counted from another time"),
    ("3 days before 5 May 2010", "is counted from another time"),
    ("a few years before 2010", "is counted from another time"),
]

NAMES = [
    "Who directed The Roaring Twenties?",
    "What was the Roaring Twenties about?",
    "Who owns the Nineties Club?",
    "Who played in The Nineties?",
    "Who owns Sixty Acres?",
    "Who wrote Memories of the Sixties?",
    "Who wrote The Turn of the Screw?",
    "Who wrote The Turn of the Century?",
    "Who owned Twentieth Century Fox?",
    "Who owned the Twentieth Century Fund?",
    "Who built the Millennium Dome?",
    "Who opened the millennium bridge?",
    "Who played in Long Ago and Far Away?",
    "Eighties Club members",
    "Who ran 20th Century Fox?",
    "Who is in the Tens?",
]

NO_TIMES = [
    "Who is the coach of the teens?",
    "Who coached the under-twenties?",
    "Who sold the tens of thousands of tickets?",
    "Who led it in twenty ten-minute sessions?",
    "Who left at ten fifteen?",
    "Who won in two thousand matches?",
    "Who won in nineteen games?",
    "Who led it for two decades?",
    "Who was the previous owner?",
    "Who is paid at the end of the month?",
    "What is due at the end of the year?",
    "When does it open in the summer?",
    "Who turned back the clock?",
    "Who led the roaring forties expedition?",
    "Who sailed in nineteen twelve boats?",
    "Who won in nineteen fifty matches?",
    "Who won in 1950 matches?",
]


def _years(first: int | None, stop: int | None) -> Window:
    start, end = (None if year is None else day(f"{'-' * (year < 0)}{abs(year):04}-01-01") for year in (first, stop))
    return Window(start, end, "question_text")


@pytest.mark.parametrize(("time", "first", "stop"), READ, ids=[time for time, *_ in READ])
def test_a_time_in_words_is_read_and_taken_out(time: str, first: int | None, stop: int | None) -> None:
    for text, rest in (
        (f"Who led it {time}?", "Who led it?"),
        (f"{time[0].upper()}{time[1:]}, who led it?", "who led it?"),
        (f"WHO LED IT {time.upper()}?", "WHO LED IT?"),
    ):
        reading = read_time(text, day(AS_OF))
        assert (reading.window, reading.rest, reading.problem) == (_years(first, stop), rest, None), text


@pytest.mark.parametrize(("time", "problem"), UNSURE, ids=[time for time, _ in UNSURE])
def test_a_time_in_words_that_may_be_several_is_said(time: str, problem: str) -> None:
    reading = read_time(f"Who led it {time}?", day(AS_OF))
    assert reading.window is None
    assert reading.problem is not None
    assert reading.problem.startswith(f'"{time}" {problem}')
    assert reading.rest == "Who led it?"


@pytest.mark.parametrize("text", NAMES + NO_TIMES)
def test_names_and_numbers_are_no_times(text: str) -> None:
    reading = read_time(text, day(AS_OF))
    assert (reading.window, reading.rest, reading.problem) == (None, text, None)


@pytest.mark.parametrize("text", NAMES)
def test_a_name_stays_beside_a_time(text: str) -> None:
    text = text.rstrip("?")
    assert without_time(f"{text} in the nineties?") == f"{text}?"


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("What hits of the nineties were played?", "What hits were played?"),
        ("Which nineties band played there?", "Which band played there?"),
        ("Who owned the Nineties Club in the nineties?", "Who owned the Nineties Club?"),
        ("Who was in office early this year?", "Who was in office?"),
    ],
)
def test_what_is_left_is_what_is_asked_for(text: str, rest: str) -> None:
    assert without_time(text) == rest


@pytest.mark.parametrize("time", ["in his sixties", "in her late twenties", "in their teens"])
def test_an_age_is_a_time_that_only_an_event_tells(time: str) -> None:
    reading = read_time(f"Who led it {time}?", day(AS_OF))
    assert reading.window is None
    assert reading.problem is not None
    assert reading.problem.startswith(f'"{time}" is a time that only an event tells')


DECADES = [
    "noughties",
    "tens",
    "twenties",
    "thirties",
    "forties",
    "fifties",
    "sixties",
    "seventies",
    "eighties",
    "nineties",
]


@given(st.sampled_from(DECADES), st.integers(day("0201-01-01"), day("2500-01-01")))
def test_a_decade_without_its_century_has_begun_and_is_sure_unless_it_runs(word: str, as_of: int) -> None:
    reading = read_time(f"Who led it in the {word}?", as_of)
    digits = read_time(f"Who led it in the {10 * DECADES.index(word):02}s?", as_of)
    assert (reading.window, reading.rest) == (digits.window, digits.rest)
    assert (reading.window is None) == (reading.problem is not None)
    if reading.window is not None:
        assert reading.window.start is not None
        assert as_of - 36525 <= reading.window.start <= as_of
    else:
        assert reading.problem is not None
        assert " may be the " in reading.problem


@given(st.sampled_from(DECADES[2:]), st.sampled_from(["early ", "mid-", "late ", "first half of the ", ""]))
def test_a_decade_in_words_is_that_in_digits(word: str, part: str) -> None:
    digits = 1900 + 10 * DECADES.index(word)
    expected = read_time(f"Who led it in the {part}{digits}s?", day(AS_OF))
    assert read_time(f"Who led it in the {part}nineteen-{word}?", day(AS_OF)) == expected
    if word != "twenties":
        assert read_time(f"Who led it in the {part}{word}?", day(AS_OF)) == expected


UNITS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
TEENS = ["ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"]
TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]


def _spoken(number: int) -> str:
    if number < 10:
        return f"oh {UNITS[number - 1]}"
    if number < 20:
        return TEENS[number - 10]
    unit = f"-{UNITS[number % 10 - 1]}" if number % 10 else ""
    return TENS[number // 10 - 2] + unit


@given(st.integers(13, 20), st.integers(1, 99))
def test_a_spoken_year_is_that_in_digits(hundreds: int, number: int) -> None:
    spoken = f"{'twenty' if hundreds == 20 else TEENS[hundreds - 10]} {_spoken(number)}"
    year = 100 * hundreds + number
    for form in ("in {}", "since {}", "before {}", "from {} to 2100"):
        assert read_time(f"Who led it {form.format(spoken)}?") == read_time(f"Who led it {form.format(year)}?")


@given(st.integers(10, 99))
def test_a_spoken_number_of_years_ago_is_that_in_digits(number: int) -> None:
    assert read_time(f"Who led it {_spoken(number)} years ago?", day(AS_OF)) == read_time(
        f"Who led it {number} years ago?", day(AS_OF)
    )


@given(st.integers(13, 20), st.integers(1, 99), st.sampled_from(["May", "sept.", "december"]), st.integers(1, 28))
def test_a_date_with_its_year_in_words_is_that_in_digits(hundreds: int, number: int, month: str, of_month: int) -> None:
    spoken = f"{'twenty' if hundreds == 20 else TEENS[hundreds - 10]} {_spoken(number)}"
    year = f"{100 * hundreds + number}"
    for form in (
        f"in {month} {{}}",
        f"since {month} {{}}",
        f"on {of_month} {month} {{}}",
        f"before {month} {of_month}, {{}}",
        f"from March to {month} {{}}",
        f"from {month} {{}} to 2100",
        "in early {}",
        "at the end of {}",
        "in the second half of {}",
    ):
        assert read_time(f"Who led it {form.format(spoken)}?") == _said(read_time, form.format(year), year, spoken)


def _said(read: Callable[[str], TimeReading], time: str, year: str, spoken: str) -> TimeReading:
    """What is read of the time in digits, with the words in what is told of it."""
    reading = read(f"Who led it {time}?")
    return replace(reading, problem=reading.problem and reading.problem.replace(year, spoken))


DAYS = ["first", "second", "third", "fifth", "twelfth", "twentieth", "twenty-first", "twenty-ninth", "thirty-first"]


@pytest.mark.parametrize(("word", "number"), list(zip(DAYS, [1, 2, 3, 5, 12, 20, 21, 29, 31], strict=True)))
def test_a_day_in_words_is_that_in_digits(word: str, number: int) -> None:
    for form in ("on the {} of May 1995", "on May the {}, 1995", "since the {} of May nineteen ninety-five"):
        assert read_time(f"Who led it {form.format(word)}?") == read_time(f"Who led it {form.format(number)}?")


MIXED = (
    "who led in the nineties of The Twenties turn century first decade last half a early twentieth Club , ? his back"
)


@given(st.lists(st.sampled_from(MIXED.split()), max_size=10), st.integers(day("1900-01-01"), day("2100-01-01")))
def test_any_words_are_read_and_what_is_left_names_no_more(words: list[str], as_of: int) -> None:
    text = " ".join(words)
    reading = read_time(text, as_of)
    assert reading.window is None or reading.problem is None
    assert bool(reading.rest.strip()) == bool(text.strip())
    assert reading.rest == without_time(text)
