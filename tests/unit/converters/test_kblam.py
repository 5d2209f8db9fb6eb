"""KBLaM: a row is a fact and a question, in both layouts, and whatever is in the file."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kblampp.converters.kblam import convert
from kblampp.core.errors import DataError
from tests.converting import (
    BROKEN_TEXTS,
    SAMPLES,
    VALUES,
    Converted,
    Row,
    converted,
    edited,
    peak_bytes,
    real_lines,
    real_list,
    unit_of,
    write,
)

ROW: Row = {
    "name": "Sigma Hub",
    "description_type": "objectives",
    "description": "Build a community.",
    "Q": "What is the objectives of Sigma Hub?",
    "A": "The objectives of Sigma Hub is Build a community..",
    "key_string": "the objectives of Sigma Hub",
}


def run(folder: Path, *rows: object, lines: bool = False, **changes: Any) -> Converted:
    write(folder, "synthetic.json", rows, lines=lines)
    return converted("kblam", convert, folder, **changes)


@pytest.mark.parametrize("lines", [False, True], ids=["list", "lines"])
def test_a_row_is_a_fact_and_its_question(tmp_path: Path, lines: bool) -> None:
    result = run(tmp_path, {**ROW, "entity_type": "project"}, lines=lines)
    (fact,), (question,) = result.facts["all"], result.asked
    assert fact.to_row() == {
        "head": {"id": None, "name": "Sigma Hub", "type": "project"},
        "relation": {"id": None, "name": "objectives"},
        "tail": {"id": None, "name": "Build a community.", "type": "TEXT"},
        "context": {"source": "kblam", "page_title": "", "sent_span": ROW["A"], "disamb": {}, "ver": {}},
        "time_window": {"start": None, "end": None, "source": None},
    }
    assert (question.question, question.answer) == (ROW["Q"], "Build a community.")
    assert (question.type, question.aliases, question.question_time) == ("single-hop", (), None)
    assert result.support(question) == [fact]


def test_optional_fields_may_be_absent_and_unused_ones_are_counted(tmp_path: Path) -> None:
    bare = edited(edited(ROW, "key_string", ...), "name", "Other")
    result = run(tmp_path, bare, {**ROW, "extended_Q": "What are ...?", "extended_A": "They ...", "entity_type": None})
    assert [fact.head.type for fact in result.facts["all"]] == [None, None]
    assert result.report["counts"] == {
        "rows with extended_A (not used)": 1,
        "rows with extended_Q (not used)": 1,
        "rows with key_string (not used)": 1,
    }
    assert not {"What are ...?", "They ..."} & {question.question for question in result.asked}


def test_a_repeated_row_is_asked_once_and_counted(tmp_path: Path) -> None:
    result = run(tmp_path, ROW, edited(ROW, "description", "Another."), ROW)
    assert [question.answer for question in result.asked] == ["Build a community.", "Another."]
    assert len(result.facts["all"]) == 2
    assert result.report["skipped"] == {"question id seen before": 1}


@pytest.mark.parametrize("split", ["train", "dev", "test"])
def test_all_questions_about_a_name_are_in_one_split(tmp_path: Path, split: str) -> None:
    name = unit_of(split, "Name {}".format)
    rows = [{**ROW, "name": name, "description_type": kind} for kind in ("purpose", "objectives", "description")]
    result = run(tmp_path, *rows)
    assert {split: len(result.questions[split])} == {split: 3} == result.report["questions"]


@pytest.mark.parametrize(
    ("path", "value", "field"),
    [
        *((name, value, name) for name in ("name", "description_type", "description", "Q") for value in (..., 5, " ")),
        ("A", ..., "A"),
        ("A", None, "A"),
        ("entity_type", 3, "entity_type"),
        ("extended_A", [], "extended_A"),
    ],
)
def test_a_malformed_row_stops_with_its_place_or_leaves_nothing_behind(
    tmp_path: Path, path: str, value: object, field: str
) -> None:
    good, bad = edited(ROW, "name", "Good"), edited(ROW, path, value)
    with pytest.raises(DataError, match=rf"synthetic\.json, record 2: field '{field}'.*expected"):
        run(tmp_path / "a", good, bad)
    skipping, without = run(tmp_path / "b", good, bad, skip_bad=True), run(tmp_path / "c", good)
    assert skipping.report["skipped"] == {"malformed": 1}
    assert skipping.report["counts"] == without.report["counts"]
    assert (skipping.facts, skipping.questions) == (without.facts, without.questions)


@pytest.mark.parametrize(
    "row", [{"_id": "1", "question": "Who?", "context": []}, {"docid": "Q1", "triples": []}, [], 1]
)
def test_rows_of_another_dataset_are_refused(tmp_path: Path, row: object) -> None:
    with pytest.raises(DataError, match=r"synthetic\.json, record 1\b.*expected"):
        run(tmp_path, row)


def test_no_file_is_an_error_that_names_the_readme(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    with pytest.raises(DataError, match=r"holds no KBLaM file.*README\.md"):
        converted("kblam", convert, tmp_path)


def test_converting_again_changes_no_byte(tmp_path: Path) -> None:
    rows = [{**ROW, "name": f"Name {n}"} for n in range(30)]
    assert run(tmp_path / "a", *rows).files == run(tmp_path / "b", *rows).files


@pytest.mark.parametrize("lines", [False, True], ids=["list", "lines"])
def test_memory_does_not_grow_with_the_file(tmp_path: Path, lines: bool) -> None:
    peaks = []
    for n in (300, 3000):
        write(tmp_path / str(n), "synthetic.json", [ROW] * n, lines=lines)
        peaks.append(peak_bytes("kblam", convert, tmp_path / str(n)))
    assert peaks[1] < peaks[0] + 100_000


def test_real_rows_of_both_layouts_are_all_facts_and_questions(tmp_path: Path) -> None:
    rows = real_list(SAMPLES / "kblam" / "sample_data.json")
    lines = real_lines(SAMPLES / "kblam" / "test_dataset.jsonl")
    write(tmp_path, "a.json", rows)
    write(tmp_path, "b.jsonl", lines, lines=True)
    result = converted("kblam", convert, tmp_path)
    expected = sorted((row["name"], row["description"], row["A"]) for row in [*rows, *lines])
    assert result.report["rows_read"] == {"a.json": len(rows), "b.jsonl": len(lines)}
    assert sorted((f.head.name, f.tail.name, f.context.sent_span) for f in result.facts["all"]) == expected
    assert sorted(question.question for question in result.asked) == sorted(row["Q"] for row in [*rows, *lines])
    assert result.report["skipped"] == {}


ROWS = st.fixed_dictionaries(
    dict.fromkeys(("name", "description_type", "description", "Q", "A"), BROKEN_TEXTS),
    optional={name: BROKEN_TEXTS | st.none() for name in ("key_string", "entity_type", "extended_Q", "extended_A")},
)


@given(st.lists(ROWS | st.dictionaries(st.sampled_from(list(ROW)), VALUES), min_size=1, max_size=4))
@settings(max_examples=60, deadline=None)
def test_any_row_is_converted_or_reported(rows: list[Row]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        result = run(Path(folder), *rows, lines=True, skip_bad=True)
    skipped = result.report["skipped"]
    assert len(result.asked) + skipped.get("malformed", 0) + skipped.get("question id seen before", 0) == len(rows)
