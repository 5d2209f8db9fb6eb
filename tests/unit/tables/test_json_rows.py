"""Facts as JSON: five-tuples as the package writes them, and objects as other people do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kblampp.core.errors import DataError
from kblampp.data.facts import Context, Entity, FiveTuple, Relation
from kblampp.data.windows import Window, day
from kblampp.tables.reading import read_facts_table

FACT = FiveTuple(
    Entity("Q1", "Marlow Dock", "dock"),
    Relation("P1", "architect"),
    Entity(None, "Ines Varga"),
    Context("elsewhere", "page", "A sentence.", {"n": 1.50}),
    Window(day("1994-01-01"), None, "elsewhere", "year"),
)


def put(folder: Path, content: str | list[Any], *, lines: bool = True) -> Path:
    path = folder / "facts.jsonl"
    if not isinstance(content, str):
        content = "".join(json.dumps(row) + "\n" for row in content) if lines else json.dumps(content, indent=1)
    path.write_text(content, encoding="utf-8")
    return path


@pytest.mark.parametrize("lines", [True, False])
def test_five_tuples_are_kept_whole(tmp_path: Path, lines: bool) -> None:
    reading = read_facts_table(put(tmp_path, [FACT.to_row(), FACT.to_row() | {"time_window": None}], lines=lines))
    first, second = reading.facts
    assert first.fact == FACT
    assert second.fact.context == FACT.context
    assert not second.fact.window.known
    assert not reading.rejected


@pytest.mark.parametrize("lines", [True, False])
def test_objects_have_the_names_of_columns(tmp_path: Path, lines: bool) -> None:
    rows = [
        {"subject": " Rye Loaf ", "predicate": "salt", "object": 2.80, "since": 2019, "colour": None},
        {"subject": "Rye Loaf", "predicate": "fat", "object": "4.3", "since": None, "until": "2020"},
    ]
    reading = read_facts_table(put(tmp_path, rows, lines=lines))
    first, second = (row.fact for row in reading.facts)
    assert (first.head.name, first.tail.name, first.context.source) == ("Rye Loaf", "2.8", "custom")
    assert first.window == Window(day("2019-01-01"), None, "custom", "year")
    assert second.window == Window(None, day("2021-01-01"), "custom", None, "year")
    assert "head is 'subject'" in reading.notes[0]
    assert "'colour'" in reading.notes[1]


@pytest.mark.parametrize("lines", [True, False])
def test_a_date_settles_the_order_of_the_other_objects(tmp_path: Path, lines: bool) -> None:
    rows = [{"head": "a", "relation": "b", "tail": "c", "start": one} for one in ("3/2/2019", "12/31/2019", None)]
    reading = read_facts_table(put(tmp_path, [*rows, rows[0] | {"start": ["4/31/2019"]}], lines=lines))
    assert [row.fact.window.start for row in reading.facts] == [day("2019-03-02"), day("2019-12-31"), None]
    assert [note for note in reading.notes if "read as month/day/year, since line " in note]


def test_a_number_is_the_text_that_stands_in_the_file(tmp_path: Path) -> None:
    rows = [
        '{"s": 007.0, "p": "x", "o": "y"}',
        '{"s": 7, "p": "n", "o": 16.00}',
        '{"s": "a", "p": "n", "o": 9e99, "start": NaN}',
    ]
    text = "\n".join(rows)
    reading = read_facts_table(put(tmp_path, text))
    assert [row.fact.tail.name for row in reading.facts] == ["16.00", "9e99"]
    assert [(lost.line, lost.raw) for lost in reading.rejected] == [(1, text.splitlines()[0])]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"s": "a", "p": "b"}', "column 'o' is empty"),
        ('{"s": "a", "p": "b", "o": ["c"]}', "'o' is a JSON list: expected a text or a number"),
        ('{"s": "a", "p": "b", "o": true}', "'o' is a JSON bool"),
        ('{"s": "a", "p": "b", "o": NaN}', "column 'o' is empty"),
        ('{"s": "a", "p": "b", "o": Infinity}', "Infinity is not JSON"),
        ('{"s": "a", "p": "b", "o": "c", "o": "d"}', "field 'o' stands twice"),
        ('{"s": "a", "p": "b", "o": "\\ud800"}', "half of a character"),
        ('{"s": "a", "p": "b", "o": "\\u0000"}', "zero byte"),
        ('{"s": "a", "p": "b", "o": "c"', "it is not valid JSON"),
        ("[1]", "it is a JSON list: expected an object"),
        ("[" * 100_000, "it is not valid JSON"),
        ('{"head": {"name": "a"}, "relation": {"name": " "}, "time_window": null}', "field 'relation.name'"),
        ('{"head": {"name": "a"}, "x": NaN}', "NaN is not JSON"),
    ],
)
def test_a_line_that_is_no_fact_is_kept_with_its_reason(tmp_path: Path, line: str, reason: str) -> None:
    good = '{"s": "a", "p": "b", "o": "c"}'
    reading = read_facts_table(put(tmp_path, f"{good}\n\n{line}\n{good}\n"))
    (lost,) = reading.rejected
    assert (lost.line, lost.row, lost.raw) == (3, 1, line)
    assert reason in lost.reason
    assert [(row.line, row.row) for row in reading.facts] == [(1, 0), (4, 2)]


def test_a_list_that_breaks_off_keeps_what_stands_before(tmp_path: Path) -> None:
    reading = read_facts_table(put(tmp_path, '[\n{"s": "a", "p": "b", "o": "c"},\n {"s": "a", '))
    assert (len(reading.facts), reading.facts[0].line) == (1, 2)
    (lost,) = reading.rejected
    assert lost.line == 3
    assert "what follows is lost" in lost.reason


def test_elements_of_a_list_know_their_lines(tmp_path: Path) -> None:
    rows = [{"s": "a", "p": "b", "o": str(number)} for number in range(3)]
    reading = read_facts_table(put(tmp_path, rows, lines=False))
    lines = (tmp_path / "facts.jsonl").read_text(encoding="utf-8").splitlines()
    assert [lines[row.line - 1].strip() for row in reading.facts] == ["{"] * 3


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{\n "s": "a"\n}', "holds no object a line"),
        ("[]", "empty list"),
        ("[1, 2]", "holds no object"),
        ('{"a": 1, "b": 2}', "lacks columns head, relation, tail: it has 'a', 'b'"),
    ],
)
def test_json_of_another_kind_is_named(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(DataError) as caught:
        read_facts_table(put(tmp_path, text))
    assert says in str(caught.value)
