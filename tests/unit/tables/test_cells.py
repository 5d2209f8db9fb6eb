"""Rows and cells are those that were written, and a broken quote costs its own line."""

from __future__ import annotations

import csv
import io
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kblampp.tables.cells import records, sep_line
from kblampp.tables.decoding import stripped

CELL = st.text(st.sampled_from('ab,;\t|"\n\r \u00e9'), max_size=6)
ROWS = st.lists(st.lists(CELL, min_size=1, max_size=4), max_size=5)


@given(ROWS, st.sampled_from(",;\t|"), st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_what_a_csv_writer_writes_is_read(rows: list[list[str]], separator: str, ends: str, quoted: bool) -> None:
    text = io.StringIO()
    quoted = quoted or ends == "\n"  # the writer forgets to quote a lone carriage return
    quoting = csv.QUOTE_ALL if quoted else csv.QUOTE_MINIMAL
    csv.writer(text, delimiter=separator, lineterminator=ends, quoting=quoting).writerows(rows)
    found = list(records(text.getvalue(), separator))
    assert [record.problem for record in found] == [None] * len(rows)
    assert [record.cells for record in found] == [[stripped(cell) for cell in row] for row in rows]


@given(st.text(st.sampled_from('ab,"\n '), max_size=40))
def test_any_text_is_rows_and_each_line_is_in_one(text: str) -> None:
    found = list(records(text, ","))
    assert [record.line for record in found] == sorted({record.line for record in found})
    assert "\n".join(record.raw for record in found) == text.removesuffix("\n")
    line = 1
    for record in found:
        assert record.line == line
        line += record.raw.count("\n") + 1


def test_a_cell_may_hold_several_lines() -> None:
    found = list(records('a,"Quay 4\nPort ""Ellis""\n",c\nd\n', ","))
    assert [(record.line, record.cells) for record in found] == [(1, ["a", 'Quay 4\nPort "Ellis"', "c"]), (4, ["d"])]


def test_a_blank_before_or_after_a_quoted_cell_is_no_part_of_it() -> None:
    (found,) = records('Marlow Dock, architect, "Varga, Ines" , x', ",")
    assert found.cells == ["Marlow Dock", "architect", "Varga, Ines", "x"]


def test_a_quote_inside_a_cell_is_a_letter() -> None:
    (found,) = records('pipe,width,5" or 6"', ",")
    assert found.cells == ["pipe", "width", '5" or 6"']


@pytest.mark.parametrize(
    ("text", "lost", "inside"),
    [
        ('a,"b\nc,d\n"e",f\n', {1: "lines 1 to 3"}, [2]),
        ('a,"b\nc,d\ne,f\n', {1: "lines 1 to 3"}, [2, 3]),
        ('a,"b\n', {1: "is not closed"}, []),
        ('a,"b"c\nd,e\n', {1: "closing quote"}, []),
        ('"a\n' * 4, {1: "lines 1 to 2", 2: "lines 2 to 3", 3: "lines 3 to 4", 4: "is not closed"}, [4]),
    ],
)
def test_a_broken_quote_costs_its_line(text: str, lost: dict[int, str], inside: list[int]) -> None:
    found = list(records(text, ","))
    assert len(found) == text.count("\n")
    problems = {record.line: record.problem for record in found if record.problem}
    assert problems.keys() == lost.keys()
    assert all(says in str(problems[line]) for line, says in lost.items())
    assert [record.line for record in found if record.inside and record.line in inside] == inside


def test_a_large_cell_and_many_broken_quotes_take_no_long_time() -> None:
    begin = time.perf_counter()
    (found,) = records(f'a,"{"word " * 200_000}"', ",")
    assert len(found.cells[1]) == 999_999
    for broken in ('x","q\n', 'x",\n"q",""', '"a\n', '"",""a,"\n'):
        assert len(list(records(broken * 20_000, ","))) >= 20_000
    assert time.perf_counter() - begin < 10


@pytest.mark.parametrize(
    ("text", "separator", "at"),
    [
        ("sep=;\nhead", ";", 6),
        ("SEP=,\r\nhead", ",", 7),
        ('"sep=|"\nhead', "|", 8),
        ("sep=\t\nhead", "\t", 6),
        ("sep=;;;\nx", ";", 8),
    ],
)
def test_the_line_of_excel_names_the_separator(text: str, separator: str, at: int) -> None:
    assert sep_line(text) == (separator, at)


@pytest.mark.parametrize("text", ["head;relation", "sep=ab\n", "sep\n", "sep=a\n", ""])
def test_another_line_names_none(text: str) -> None:
    assert sep_line(text) is None
