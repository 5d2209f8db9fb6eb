"""A cell of a table is the date that it names, or the error says why it names none."""

from __future__ import annotations

import calendar
import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kblampp.core.errors import DataError
from kblampp.data.calendar import FIRST_DAY, LAST_DAY
from kblampp.data.windows import UNITS, Window, day
from kblampp.tables.dates import ABOUT, CLOCK, ERA, OPEN, UNSAID, ZEROS, Bound, bound_text, read_bound

DATES = st.dates(datetime.date(1, 1, 1), datetime.date(9998, 12, 31))


def bound(year: int, month: int = 1, of_month: int = 1, unit: str = "day") -> Bound:
    return Bound(datetime.date(year, month, of_month).toordinal(), unit)


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("1994", bound(1994, unit="year"), bound(1995, unit="year")),
        ("1994-05", bound(1994, 5, unit="month"), bound(1994, 6, unit="month")),
        ("1994-12", bound(1994, 12, unit="month"), bound(1995, 1, unit="month")),
        ("1994-05-02", bound(1994, 5, 2), bound(1994, 5, 3)),
        ("1994-5-2", bound(1994, 5, 2), bound(1994, 5, 3)),
        ("1994/05/02", bound(1994, 5, 2), bound(1994, 5, 3)),
        ("1994.05.02", bound(1994, 5, 2), bound(1994, 5, 3)),
        ("19940502", bound(1994, 5, 2), bound(1994, 5, 3)),
        ("987", bound(987, unit="year"), bound(988, unit="year")),
        ("0054", bound(54, unit="year"), bound(55, unit="year")),
        ("79 AD", bound(79, unit="year"), bound(80, unit="year")),
        ("AD 79", bound(79, unit="year"), bound(80, unit="year")),
        ("2019.0", bound(2019, unit="year"), bound(2020, unit="year")),
        ("\u00a01994\u2013 05 ".replace(" ", ""), bound(1994, 5, unit="month"), bound(1994, 6, unit="month")),
        ("May 1994", bound(1994, 5, unit="month"), bound(1994, 6, unit="month")),
        ("2 May 1994", bound(1994, 5, 2), bound(1994, 5, 3)),
        ("2nd Sept. 1994", bound(1994, 9, 2), bound(1994, 9, 3)),
        ("May 2, 1994", bound(1994, 5, 2), bound(1994, 5, 3)),
        ("44 BC", Bound(day("-0043-01-01"), "year"), Bound(day("-0042-01-01"), "year")),
        ("44 B.C.E.", Bound(day("-0043-01-01"), "year"), Bound(day("-0042-01-01"), "year")),
        ("BC 400", Bound(day("-0399-01-01"), "year"), Bound(day("-0398-01-01"), "year")),
        ("1 bc", Bound(day("0000-01-01"), "year"), Bound(day("0001-01-01"), "year")),
        ("9999 BCE", Bound(day("-9998-01-01"), "year"), Bound(day("-9997-01-01"), "year")),
        ("March 44 BC", Bound(day("-0043-03-01"), "month"), Bound(day("-0043-04-01"), "month")),
        ("15 March 44 BC", Bound(day("-0043-03-15"), "day"), Bound(day("-0043-03-16"), "day")),
        ("25.12.2019", bound(2019, 12, 25), bound(2019, 12, 26)),
        ("12/31/2015", bound(2015, 12, 31), bound(2016, 1, 1)),
        ("31-12-2016", bound(2016, 12, 31), bound(2017, 1, 1)),
        ("5/5/2012", bound(2012, 5, 5), bound(2012, 5, 6)),
        ("15.3.44 BC", Bound(day("-0043-03-15"), "day"), Bound(day("-0043-03-16"), "day")),
        ("", Bound(None, None), Bound(None, None)),
        ("  ", Bound(None, None), Bound(None, None)),
    ],
)
def test_a_date_that_is_plain_needs_no_word(text: str, start: Bound, end: Bound) -> None:
    for found, expected in ((read_bound(text, end=False), start), (read_bound(text, end=True), end)):
        assert found == expected
        assert found.note is None


@pytest.mark.parametrize(
    ("text", "expected", "note"),
    [
        ("circa 1905", bound(1905, unit="year"), ABOUT),
        ("c. 1905", bound(1905, unit="year"), ABOUT),
        ("ca 1905-03", bound(1905, 3, unit="month"), ABOUT),
        ("~1905", bound(1905, unit="year"), ABOUT),
        ("1905?", bound(1905, unit="year"), ABOUT),
        ("About May 1905", bound(1905, 5, unit="month"), ABOUT),
        ("2019-03-01T00:00:00Z", bound(2019, 3, 1), CLOCK),
        ("2019-03-01T23:30:00+02:00", bound(2019, 3, 1), CLOCK),
        ("2019-03-01 10:20", bound(2019, 3, 1), CLOCK),
        ("+2019-03-01T00:00:00.000Z", bound(2019, 3, 1), CLOCK),
        ("1883-00-00", bound(1883, unit="year"), ZEROS),
        ("1883-00", bound(1883, unit="year"), ZEROS),
        ("+1890-05-00T00:00:00Z", bound(1890, 5, unit="month"), ZEROS),
        ("circa 400 BCE", Bound(day("-0399-01-01"), "year"), ABOUT),
        ("-44", Bound(day("-0044-01-01"), "year"), ERA),
        ("\u2212400", Bound(day("-0400-01-01"), "year"), ERA),
        ("-0043-03-15", Bound(day("-0043-03-15"), "day"), ERA),
        ("-0043-03-15T00:00:00Z", Bound(day("-0043-03-15"), "day"), CLOCK),
        ("0000-02-29", Bound(day("0000-02-29"), "day"), ERA),
        ("25.12.2019 10:20", bound(2019, 12, 25), CLOCK),
        ("12/31/2015 0:00", bound(2015, 12, 31), CLOCK),
        ("2015-12-31 0:00", bound(2015, 12, 31), CLOCK),
        ("12/31/2015 2:30 PM", bound(2015, 12, 31), CLOCK),
        ("12/31/2015, 12:05:09\u202fa.m.", bound(2015, 12, 31), CLOCK),
        ("2015-12-31 11pm", bound(2015, 12, 31), CLOCK),
        ("nan", Bound(None, None), UNSAID),
        ("NaT", Bound(None, None), UNSAID),
        ("?", Bound(None, None), UNSAID),
        ("\u2014", Bound(None, None), UNSAID),
    ],
)
def test_what_says_more_or_less_than_a_date_is_read_with_a_note(text: str, expected: Bound, note: str) -> None:
    found = read_bound(text, end=False)
    assert (found, found.note) == (expected, note)


@pytest.mark.parametrize("text", ["present", "Now", "today", "ongoing", "9999", "9999-12-31", "December 9999"])
def test_an_open_end_is_open(text: str) -> None:
    found = read_bound(text, end=True)
    assert (found, found.note) == (Bound(None, None), OPEN)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("0000", "may stand for what is not known"),
        ("0000-00-00", "may stand for what is not known"),
        ("-1", "may stand for what is not known"),
        ("-9999", "may stand for what is not known"),
        ("0 BC", "may stand for what is not known"),
        ("0 AD", "may stand for what is not known"),
        ("000", "may stand for what is not known"),
        ("0000.0", "may stand for what is not known"),
        ("00000502", "may stand for what is not known"),
        ("May 0000", "may stand for what is not known"),
        ("-44 BC", "is no date"),
        ("50-44 BC", "is no date"),
        ("10000 BC", "no year from 9999 BC to 9999"),
        ("-0043-02-29", "no day of the calendar"),
        ("5th century BC", "is no date"),
        ("94", "of any century"),
        ("7", "of any century"),
        ("12345", "no year from 9999 BC to 9999"),
        ("03/02/2009", "which number is the month"),
        ("02.03.2009", "which number is the month"),
        ("3-2-09", "which number is the month"),
        ("3/5/2012 10:20", "which number is the month"),
        ("02.03.44 BC", "which number is the month"),
        ("25.12.19", "of any century"),
        ("25.12.019", "a year of three digits"),
        ("3/2/019", "a year of three digits"),
        ("25.12.987", "a year of three digits"),
        ("019", "a year of three digits that begins with 0"),
        ("019-12-25", "a year of three digits that begins with 0"),
        ("25 December 019", "a year of three digits that begins with 0"),
        ("0.12.2019", "a day or month 0, which the calendar lacks"),
        ("12/0/2019", "a day or month 0, which the calendar lacks"),
        ("00.00.2019", "a day or month 0, which the calendar lacks"),
        ("25.00.2019 10:20", "a day or month 0, which the calendar lacks"),
        ("00/00/0000", "may stand for what is not known"),
        ("13/13/2012", "no day of the calendar"),
        ("31/02/2016", "no day of the calendar"),
        ("from 1994 to 2003", "is a span"),
        ("since the war", "is no date"),
        ("until 03/02/2009", "which number is the month"),
        ("1994-2003", "is a span"),
        ("1994 to 2003", "is a span"),
        ("2009-13", "no month of the calendar"),
        ("2009-02-30", "no day of the calendar"),
        ("2009-02-02T99:00", "is no date"),
        ("2009-02-02 25:00", "is no date"),
        ("2009-02-02 2", "is no date"),
        ("2009-02-02 14:30 PM", "is no date"),
        ("2009-02-02 2:3", "is no date"),
        ("2009/10", "is no date"),
        ("Smarch 2009", "is no date"),
        ("2 May 3, 2009", "is no date"),
        ("1990s", "is no date"),
        ("carrot 12", "is no date"),
        ("\u0662\u0660\u0660\u0669", "is no date"),
        ("x" * 200_000, "is no date"),
    ],
)
@pytest.mark.parametrize("end", [False, True])
def test_what_is_no_date_or_no_certain_one_is_not_guessed(text: str, says: str, end: bool) -> None:
    with pytest.raises(DataError) as caught:
        read_bound(text, end=end)
    assert says in str(caught.value)
    assert text[:60] in str(caught.value)
    assert len(str(caught.value)) < 250


@given(DATES, st.sampled_from("-/."), st.booleans(), st.booleans())
def test_a_day_with_the_year_last_is_read_where_its_numbers_leave_one_order(
    date: datetime.date, mark: str, month_first: bool, end: bool
) -> None:
    numbers = (date.month, date.day) if month_first else (date.day, date.month)
    text = f"{numbers[0]}{mark}{numbers[1]}{mark}{date.year:04}"
    if date.day > 12 or date.day == date.month:
        assert read_bound(text, end=end) == Bound(date.toordinal() + end, "day")
    else:
        with pytest.raises(DataError, match="which number is the month"):
            read_bound(text, end=end)


@given(DATES, st.times(), st.sampled_from(["{y:04}-{m}-{d}", "{m}/{d}/{y:04}", "{d}.{m}.{y:04}"]), st.booleans())
def test_the_time_of_day_changes_nothing_however_a_program_writes_it(
    date: datetime.date, time: datetime.time, form: str, end: bool
) -> None:
    if not form.startswith("{y") and date.day <= 12:
        date = date.replace(day=date.day + 12)
    text = form.format(y=date.year, m=date.month, d=date.day)
    half, hour, minutes = "AP"[time.hour >= 12], time.hour % 12 or 12, f"{time.minute:02}"
    for clock in (
        f"{time.hour}:{minutes}",
        f"{time.hour:02}:{minutes}:{time.second:02}",
        f"{hour}:{minutes} {half}M",
        f"{hour:02}:{minutes}:{time.second:02}{half.lower()}m",
    ):
        found = read_bound(f"{text} {clock}", end=end)
        assert (found, found.note) == (Bound(date.toordinal() + end, "day"), CLOCK)


@pytest.mark.parametrize("rest", ["2012", "May 2012", "2012-05-02", "31.12.2012", "circa 2012", "?", "44 BC"])
@pytest.mark.parametrize(("word", "end"), [("since", 0), ("From", 0), ("until", 1), ("till", 1), ("TO", 1)])
def test_a_word_that_says_what_the_column_says_adds_nothing(word: str, end: int, rest: str) -> None:
    found, plain = read_bound(f"{word} {rest}", end=bool(end)), read_bound(rest, end=bool(end))
    assert (found, found.note) == (plain, plain.note)


@pytest.mark.parametrize(
    ("text", "end", "remedy"),
    [
        ("since 2010", True, "names a start and stands where an end is expected: put '2010' into the start"),
        ("from May 2011", True, "put 'May 2011' into the start"),
        ("until 2012", False, "names an end and stands where a start is expected: put '2012' into the end"),
        ("till circa 2012", False, "put 'circa 2012' into the end"),
    ],
)
def test_a_word_that_contradicts_the_column_is_refused_with_the_remedy(text: str, end: bool, remedy: str) -> None:
    with pytest.raises(DataError) as caught:
        read_bound(text, end=end)
    assert repr(text) in str(caught.value)
    assert remedy in str(caught.value)


def test_nothing_starts_in_the_present() -> None:
    with pytest.raises(DataError, match="'present' is no start"):
        read_bound("present", end=False)


@given(DATES, st.sampled_from(UNITS), st.booleans())
def test_a_year_month_or_day_is_as_the_calendar_says(date: datetime.date, unit: str, end: bool) -> None:
    """The oracle counts days of months itself."""
    text = date.isoformat()[: {"year": 4, "month": 7, "day": 10}[unit]]
    first = {"year": date.replace(month=1, day=1), "month": date.replace(day=1), "day": date}[unit]
    days = {
        "year": 365 + calendar.isleap(date.year),
        "month": calendar.monthrange(date.year, date.month)[1],
        "day": 1,
    }[unit]
    found = read_bound(text, end=end)
    assert found == Bound(first.toordinal() + (days if end else 0), unit)
    assert bound_text(found.day, found.unit, end=end) == text


@given(st.integers(FIRST_DAY, LAST_DAY) | st.integers(-800, 2), st.none() | st.sampled_from(UNITS), st.booleans())
def test_a_bound_that_is_written_is_read_as_it_was(number: int, unit: str | None, end: bool) -> None:
    try:
        text = bound_text(number, unit, end=end)
    except DataError:
        assert (end and number == FIRST_DAY) or _no_window(number, unit)
        return
    found = read_bound(text, end=end)
    assert found.day == number
    assert unit in (None, found.unit)


def _no_window(number: int, unit: str | None) -> bool:
    try:
        Window(number, None, None, unit)
    except DataError:
        return True
    return False


def test_an_open_bound_is_an_empty_cell() -> None:
    assert bound_text(None, None, end=True) == bound_text(None, "year", end=False) == ""


@pytest.mark.parametrize("number", [FIRST_DAY - 1, LAST_DAY + 1])
def test_a_day_outside_the_calendar_is_not_written(number: int) -> None:
    with pytest.raises(DataError, match="outside the calendar"):
        bound_text(number, None, end=False)


@given(st.text(max_size=20) | st.text("0123456789-/.: TZcaBD?~+", max_size=20), st.booleans())
def test_any_text_is_a_bound_or_an_error(text: str, end: bool) -> None:
    try:
        found = read_bound(text, end=end)
    except DataError:
        return
    assert (found.day is None) == (found.unit is None)
    assert read_bound(bound_text(found.day, found.unit, end=end), end=end) == found
