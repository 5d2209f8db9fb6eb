"""A stranger's table is read, every row of it is a fact or is kept with a reason, and what was understood is said."""

from __future__ import annotations

import csv
import datetime as dt
import io
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kblampp.core.errors import DataError
from kblampp.data.windows import UNKNOWN, Window, day
from kblampp.tables.dates import bound_text
from kblampp.tables.decoding import stripped
from kblampp.tables.reading import TableReading, preview, read_facts_table, write_rejected

HEADER = "head,relation,tail,context,start,end\n"
Put = Callable[[str | bytes], Path]


@pytest.fixture
def put(tmp_path: Path) -> Put:
    """Writes a file of facts."""

    def write(content: str | bytes) -> Path:
        path = tmp_path / "facts.csv"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


def names(reading: TableReading) -> list[tuple[str, str, str]]:
    return [(row.fact.head.name, row.fact.relation.name, row.fact.tail.name) for row in reading.facts]


def said(reading: TableReading) -> str:
    return "\n".join(reading.notes)


DOCK = [("Marlow Dock", "architect", "Ines Varga"), ("Marlow Dock", "opened", "1931")]
PLAIN = "head,relation,tail\nMarlow Dock,architect,Ines Varga\nMarlow Dock,opened,1931\n"


@pytest.mark.parametrize(
    ("content", "note"),
    [
        (PLAIN, None),
        (PLAIN.replace("\n", "\r\n"), None),
        (PLAIN.replace("\n", "\r"), None),
        (PLAIN.removesuffix("\n"), None),
        ("\n\n" + PLAIN.replace("1931", "1931\n,,\n ,\t,\u00a0"), None),
        ("\ufeff" + PLAIN.replace("head,relation,tail", '"head","relation","tail"'), None),
        (PLAIN.encode("utf-16"), "UTF-16, as its byte order mark says"),
        (PLAIN.encode("utf-16-le"), "UTF-16, as its zero bytes say"),
        (PLAIN.replace(",", ";"), "semicolons between the columns"),
        (PLAIN.replace(",", "\t"), "tabs between the columns"),
        (PLAIN.replace(",", "|"), "bars between the columns"),
        ("sep=,\r\n" + PLAIN, None),
        ("sep=^\n" + PLAIN.replace(",", "^"), "'^' between the columns, as its first line says"),
        (PLAIN.replace(",", " , "), None),
        (PLAIN.replace("\n", ",,,\n"), None),
        (PLAIN.replace("head,", ",head,").replace("Marlow", "7,Marlow"), None),
        (PLAIN.replace("tail", "tail,context,start,end"), "rows with fewer cells than the first line"),
        (PLAIN.replace("head,relation,tail", "Head,Relation,Tail"), "head is 'Head'"),
        (PLAIN.replace("head,relation,tail", ":START_ID,:TYPE,:END_ID"), "relation is ':TYPE'"),
        (PLAIN.replace("head,relation,tail", "subject,predicate,object"), "tail is 'object'"),
        (PLAIN.replace("tail", "tail,colour").replace("\n", ",red\n", 1), "columns that are not read: 'colour'"),
    ],
)
def test_a_table_is_read_as_other_programs_save_it(put: Put, content: str | bytes, note: str | None) -> None:
    reading = read_facts_table(put(content))
    assert names(reading) == DOCK
    assert [row.row for row in reading.facts] == [0, 1]
    assert not reading.rejected
    assert note in said(reading) if note else not [said for said in reading.notes if "not read" not in said]
    assert all(row.fact.context.source == "custom" and row.fact.window == UNKNOWN for row in reading.facts)


def test_a_cell_is_kept_letter_by_letter(put: Put) -> None:
    address = "Quay  4\nPort Ellis\u00a0\u201c\u00e9\u201d; a, b\u2028\t\x0b\u200b."
    reading = read_facts_table(put(f'{HEADER}Marlow Dock,address,"\u00a0{address}\n ","{"word " * 28_000}",,\n'))
    (row,) = reading.facts
    assert row.fact.tail.name == address
    assert row.fact.context.sent_span == ("word " * 28_000).strip()


def test_dates_become_windows_and_what_is_said_of_them_is_kept(put: Put) -> None:
    rows = [
        "1994,2003",
        "circa 1905,present",
        "2019.0,nan",
        "987,1002",
        "1883-00-00,",
        "2019-03-01T00:00:00Z,2021-07-01",
    ]
    reading = read_facts_table(put(HEADER + "".join(f"a,b,c{number},,{row}\n" for number, row in enumerate(rows))))
    windows = [row.fact.window for row in reading.facts]
    assert windows == [
        Window(day("1994-01-01"), day("2004-01-01"), "custom", "year", "year"),
        Window(day("1905-01-01"), None, "custom", "year"),
        Window(day("2019-01-01"), None, "custom", "year"),
        Window(day("0987-01-01"), day("1003-01-01"), "custom", "year", "year"),
        Window(day("1883-01-01"), None, "custom", "year"),
        Window(day("2019-03-01"), day("2021-07-02"), "custom", "day", "day"),
    ]
    assert [len(row.notes) for row in reading.facts] == [0, 2, 1, 0, 1, 1]
    assert "start 'circa 1905' is read as 1905" in reading.facts[1].notes
    assert len(reading.notes) == 5
    assert "said to be uncertain, taken as certain: 1 (line 3, start 'circa 1905' is read as 1905)" in said(reading)


def test_a_note_on_several_rows_names_their_lines(put: Put) -> None:
    ends = ["now", "2003", *["present"] * 6]
    reading = read_facts_table(put(HEADER + "".join(f"a,b,c{number},,1994,{end}\n" for number, end in enumerate(ends))))
    (note,) = reading.notes
    assert "an empty cell: 7 (lines 2, 4, 5, 6, 7 and 2 more; line 2: end 'now' is read as" in note


def dated(*windows: str) -> str:
    """A table with a row for each start and end, "25.12.2019,"; the first one stands in line 2."""
    return HEADER + "".join(f"a,b,c{number},,{window}\n" for number, window in enumerate(windows))


@pytest.mark.parametrize(
    ("windows", "order", "read"),
    [
        (["25.12.2019,", "03.02.2019,", "13.02.2019,"], "day.month.year, since line 2 leaves", {3: "2019-02-03"}),
        (["3/2/2019,", "2/3/2019,12/31/2019"], "month/day/year, since line 3 leaves", {2: "2019-03-02"}),
        (["3-2-2019,", "1-2-2003,25-12-2003 0:00"], "day-month-year, since line 3 leaves", {2: "2019-02-03"}),
        (["since 3.2.2019,", ",until 31.12.2020"], "day.month.year, since line 3 leaves", {2: "2019-02-03"}),
        (["ca. 03/02/2019,", "5/5/2012,", "12/13/2012,"], "month/day/year, since line 4 leaves", {2: "2019-03-02"}),
        (["02.03.44 BC,", "25.12.2019,"], "day.month.year, since line 3 leaves", {2: "-0043-03-02"}),
    ],
)
def test_a_date_that_leaves_one_order_settles_that_of_its_file(
    put: Put, windows: list[str], order: str, read: dict[int, str]
) -> None:
    reading = read_facts_table(put(dated(*windows)))
    assert not reading.rejected
    assert len([note for note in reading.notes if f"read as {order} no other order: " in note]) == 1
    for row in reading.facts:
        if row.line in read:
            assert row.fact.window.start == day(read[row.line])
            assert any(f"is read as {read[row.line]}" in note for note in row.notes)


@pytest.mark.parametrize(
    ("windows", "rejected", "note"),
    [
        (["25.12.2019,", "03.02.2019,", "12/31/2019,"], [3], "in '25.12.2019' (line 2) and '12/31/2019' (line 4)"),
        (["3/2/2019,", "31/12/2019,12/31/2020"], [2], "in '12/31/2020' (line 3) and '31/12/2019' (line 3)"),
        (["25.12.2019,", "12/31/2019,"], [], None),
        (["3/2/2019,", "5/5/2019,", "31/02/2019,", "2019-12-31,", "25.12.19,"], [2, 4, 6], None),
        (["25.12.2019,", "3-2-09,"], [3], None),
    ],
)
def test_dates_that_settle_no_order_leave_those_in_doubt_rejected(
    put: Put, windows: list[str], rejected: list[int], note: str | None
) -> None:
    reading = read_facts_table(put(dated(*windows)))
    assert [row.line for row in reading.rejected] == rejected
    told = [told for told in reading.notes if "order" in told]
    assert (len(told) == 1 and note in told[0]) if note else not told


def test_a_row_of_which_no_cell_can_be_told_settles_no_order(put: Put) -> None:
    reading = read_facts_table(put(dated("3/2/2019,") + "a,b,c,,12/31/2019,,d\n"))
    assert [row.line for row in reading.rejected] == [2, 3]


DAYS = st.dates(dt.date(1000, 1, 1), dt.date(9000, 1, 1))


@given(st.lists(DAYS, min_size=1, max_size=6), st.booleans(), st.sampled_from("-/."))
@settings(deadline=None)
def test_a_file_of_days_in_one_order_is_read_whole_or_none_of_its_doubtful_ones_is(
    days: list[dt.date], month_first: bool, mark: str
) -> None:
    order = "{0.month}{1}{0.day}{1}{0.year}" if month_first else "{0.day}{1}{0.month}{1}{0.year}"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "facts.csv"
        path.write_text(dated(*(f"{order.format(one, mark)}," for one in days)), encoding="utf-8")
        reading = read_facts_table(path)
    sure = [one.day > 12 or one.day == one.month for one in days]
    settled = any(one.day > 12 for one in days)
    expected = [one.toordinal() for one, plain in zip(days, sure, strict=True) if plain or settled]
    assert [row.fact.window.start for row in reading.facts] == expected
    assert len([note for note in reading.notes if "order" in note]) == (settled and not all(sure))


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("Sarnath,ruler,Belkara,,-0044-03-15,44 BCE?!", "column 'end': '44 BCE?!' is no date"),
        ("Sarnath,ruler,Belkara,,1920,1871", "starts in '1920' and ends in '1871': expected end after start"),
        ("Sarnath,ruler,Belkara,,2009-03-02,2009-03-01", "expected end after start"),
        ("Sarnath,ruler,Belkara,,03/02/2009,", "which number is the month"),
        ("Sarnath,ruler,Belkara,,,94", "column 'end': '94' could be a year of any century"),
        ("Sarnath,,Belkara,,,", "column 'relation' is empty: expected a name"),
        ("Sarnath,ruler,\u00a0,,,", "column 'tail' is empty: expected a name"),
        ("Sarnath,ruler", "column 'tail' is empty: expected a name (the row has 2 cells, the first line 6)"),
        ("Sarnath,ruler,Belkara,,,,and others", "it has 7 cells, expected 6: quote a cell that holds the separator"),
        ("Sarnath,ruler,Bel\x00kara,,,", "it holds a zero byte"),
        ('Sarnath,ruler,"Bel"kara,,,', "text follows a closing quote"),
        ('Sarnath,ruler,"Belkara,,,', "a quote holds lines 3 to 4"),
        ("Sarnath,ruler,Belk\udce9ra,,,", "a byte that is no UTF-8 (0xe9, 'é' in cp1252)"),
        ("head,relation,tail,context,start,end", "it repeats the names of the columns"),
        ("---,:---:,---,---", "a line of dashes"),
    ],
)
def test_a_row_that_cannot_be_read_is_kept_with_its_reason_and_costs_no_other(put: Put, row: str, reason: str) -> None:
    content = f"{HEADER}Zoë,b,c,,,\n{row}\nMarlow Dock,owner,Bo,,2001,\n"
    reading = read_facts_table(put(content.encode("utf-8", "surrogateescape")))
    (lost,) = reading.rejected
    assert (lost.line, lost.row) == (3, 1)
    assert reason in lost.reason
    assert lost.raw == row.replace("\x00", "\\x00").replace("\udce9", "\\xe9")
    assert [(row.line, row.row) for row in reading.facts] == [(2, 0), (4, 2)]


def test_rows_that_cannot_be_read_are_written_to_a_file_beside(put: Put, tmp_path: Path) -> None:
    reading = read_facts_table(put(f'{HEADER}a,,"c, d",,,\na,b,"two\nlines",,x,\nZoë,b,c\n'.encode() + b"\xe9,b,c\n"))
    path = tmp_path / "kept" / "rejected.csv"
    write_rejected(reading, path)
    with path.open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["line", "reason", "raw"]
    assert [(int(line), raw) for line, _, raw in rows] == [
        (2, 'a,,"c, d",,,'),
        (3, 'a,b,"two\nlines",,x,'),
        (6, "\\xe9,b,c"),
    ]
    assert [reason for _, reason, _ in rows] == [lost.reason for lost in reading.rejected]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        ("\ufeff \r\n\r\n".encode(), "is empty"),
        (b"PK\x03\x04....", "Excel workbook"),
        (b"\x1f\x8b....", "gzip"),
        (b"<!DOCTYPE html><html>", "HTML"),
        (bytes(range(256)) * 4, "is no text table"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\xf0\x9f\xe2\xe3\xe4,\xff\xfe\xfd", "is no text table"),
        (b'"\x01\x02\nhead', "is no text table"),
        (b"Marlow Dock,architect,Ines Varga\nMarlow Dock,opened,1931\n", "the table has no header"),
        (b"head,relation,tail,tail\na,b,c,c\n", "has column 'tail' twice"),
        (b'"head,relation,tail\na,b,c\n', "should hold the names of the columns, but a quote holds lines 1 to 2"),
        (b"sep=;\n", "lacks columns"),
    ],
)
def test_a_file_of_which_nothing_can_be_read_is_named(put: Put, content: bytes, says: str) -> None:
    path = put(content)
    with pytest.raises(DataError) as caught:
        read_facts_table(path)
    assert says in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["", "none.csv", "no\x00name"])
def test_a_file_that_is_not_there_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_facts_table(tmp_path / name)


def test_a_header_without_rows_is_no_error_and_is_said(put: Put) -> None:
    reading = read_facts_table(put(HEADER))
    assert (reading.facts, reading.rejected, reading.notes) == ([], [], ["it holds no row of facts"])


def test_columns_and_encoding_can_be_said(put: Put) -> None:
    path = put("Имя;Свойство;Город\nАда;мэр;Казань\n".encode("cp1251"))
    with pytest.raises(DataError, match="cannot be told"):
        read_facts_table(path)
    columns = {"head": "Имя", "relation": "Свойство", "tail": "Город"}
    reading = read_facts_table(path, columns=columns, encoding="cp1251")
    assert names(reading) == [("Ада", "мэр", "Казань")]
    assert reading.columns == columns


def test_facts_that_are_equal_or_nearly_are_said_and_kept(put: Put) -> None:
    rows = [
        "Marlow Dock,architect,Ines Varga,,,",
        "marlow dock,Architect,ines varga,,,",
        "Marlow  Dock,architect,Ines Varga,,,",
    ]
    reading = read_facts_table(put(HEADER + "\n".join([*rows, rows[0], "Marlow Dock,architect,Ines Varga,,2001,"])))
    assert len(reading.facts) == 5
    assert "equal to an earlier one (line 5)" in said(reading)
    assert "but for case, blanks or context (lines 3, 4;" in said(reading)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("http://ex.org/dock#MarlowDock", "URIs"),
        ("<https://ex.org/a>", "URIs"),
        ("CafÃ©", "wrong encoding"),
        ("Caf\ufffd", "lost"),
    ],
)
def test_names_that_answer_badly_are_said_and_kept(put: Put, name: str, says: str) -> None:
    reading = read_facts_table(put(f"head,relation,tail\nx,y,z\n{name},b,c\n"))
    assert reading.facts[1].fact.head.name == name
    assert f"{says}" in said(reading)
    assert "line 3" in said(reading)


def test_a_preview_shows_how_the_first_rows_were_understood(put: Put) -> None:
    rows = [
        "Marlow Dock,mayor,Ada,A sentence.,1994,2003-05",
        "Marlow Dock,opened,1931,,circa 1931,1931",
        "a,,b,,,",
        "a,b,c,,,",
        "d,e,f,,,",
    ]
    lines = list(
        preview(
            read_facts_table(
                put(HEADER.replace("head", "subject").replace(",", ";") + "\n".join(rows).replace(",", ";"))
            ),
            3,
        )
    )
    text = "\n".join(lines)
    assert lines[0] == "facts.csv: table in UTF-8, semicolons between its columns"
    assert "head = 'subject'" in lines[1]
    assert "line 2: (Marlow Dock, mayor, Ada) from 1994 to May 2003\n    context: A sentence." in text
    assert "line 3: (Marlow Dock, opened, 1931) in 1931\n    note: start 'circa 1931' is read as 1931" in text
    assert "… and 1 more" in text
    assert "line 4 cannot be read: column 'relation' is empty" in text
    assert "4 facts, 1 row that cannot be read" in text
    assert "note: semicolons between the columns" in text


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=12).map(stripped)
NAME = TEXT.filter(bool)
YEARS = st.none() | st.integers(1, 9998)
FACTS = st.lists(
    st.tuples(NAME, NAME, NAME, TEXT, YEARS, YEARS).filter(lambda row: (row[4] or 1) <= (row[5] or 9999)),
    min_size=1,
    max_size=5,
)


@given(FACTS, st.sampled_from(",;\t|"), st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"]))
@settings(deadline=None)
def test_any_facts_written_in_any_way_are_read_as_they_were(
    facts: list[tuple[str, str, str, str, int | None, int | None]], separator: str, encoding: str
) -> None:
    rows = [
        (*texts, *("" if year is None else f"{year:04d}" for year in years))
        for *texts, start, end in facts
        for years in [(start, end)]
    ]
    text = io.StringIO()
    writer = csv.writer(text, delimiter=separator, quoting=csv.QUOTE_ALL)
    writer.writerows([HEADER.strip().split(","), *rows])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "facts.csv"
        path.write_bytes(text.getvalue().encode(encoding))
        named = None if encoding != "utf-16-le" and encoding != "utf-16-be" else "utf-16"
        reading = read_facts_table(path, encoding=named)
        assert not reading.rejected
        assert [
            (
                *name,
                row.fact.context.sent_span,
                bound_text(window.start, window.start_unit, end=False),
                bound_text(window.end, window.end_unit, end=True),
            )
            for name, row in zip(names(reading), reading.facts, strict=True)
            for window in [row.fact.window]
        ] == rows
        "\n".join(preview(reading)).encode()


BITS = [
    b"head,relation,tail\n",
    b"a,b,c",
    b"\n",
    b'"',
    b",",
    b";",
    b"\xe9",
    "é".encode(),
    b"\x00",
    b"{",
    b'{"head": ',
    b"[",
    b"1",
    b'"a"',
    b"]",
    b"}",
    b"\xff\xfe",
    b"sep=;\n",
    b"\\ud800",
    b"s,p,o,from\n",
    b"-5",
]


@given(st.binary(max_size=60) | st.lists(st.sampled_from(BITS), max_size=14).map(b"".join))
@settings(deadline=None, max_examples=400)
def test_any_bytes_are_read_or_refused_and_every_row_is_told(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "facts.csv"
        path.write_bytes(data)
        told = ""
        try:
            reading = read_facts_table(path)
        except DataError as error:
            told = str(error)
        else:
            n_rows = len(reading.facts) + len(reading.rejected)
            assert sorted(row.row for row in [*reading.facts, *reading.rejected]) == list(range(n_rows))
            write_rejected(reading, path.with_name("rejected.csv"))
            "\n".join([*preview(reading), *reading.notes]).encode()
        assert "\n" not in told
        told.encode()
