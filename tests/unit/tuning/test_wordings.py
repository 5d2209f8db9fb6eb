"""`relation_wordings.jsonl`: each line is whole, and no wording means two relations of one subject."""

from __future__ import annotations

import json
import string
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import pytest

from kblampp.synthetic.open_schema import is_held_out
from kblampp.tuning.examples import wordings
from tests.house import ROOT

LINES = (ROOT / "kblampp" / "synthetic" / "relation_wordings.jsonl").read_text(encoding="utf-8").splitlines()
ROWS: list[dict[str, Any]] = [json.loads(line) for line in LINES]
PLACES = {"questions": ["x"], "noun": ["x"], "inverse": ["t"]}
"""Kind of wording -> the fields that it has, each once."""


def texts(row: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Kind and text of every wording of a line."""
    yield from ((kind, text) for kind in PLACES for text in row[kind])


def test_every_line_has_the_same_fields_and_enough_of_each() -> None:
    for number, row in enumerate(ROWS, start=1):
        assert list(row) == ["subject", "labels", *PLACES], number
        assert all(isinstance(row[key], list) for key in ("labels", *PLACES)), number
        assert len(row["labels"]) >= 2, number
        assert len(row["questions"]) >= 5, number
        assert row["noun"], number


def test_every_text_is_one_clean_line() -> None:
    for number, row in enumerate(ROWS, start=1):
        for text in (row["subject"], *row["labels"], *(text for _, text in texts(row))):
            assert text, number
            assert text == " ".join(text.split()), (number, text)


def test_each_wording_has_its_place_for_a_name_exactly_once_and_labels_have_none() -> None:
    for number, row in enumerate(ROWS, start=1):
        for kind, text in texts(row):
            fields = [field for _, field, _, _ in string.Formatter().parse(text) if field is not None]
            assert fields == PLACES[kind], (number, text)
        assert not any(mark in label for label in row["labels"] for mark in "{}"), number


def test_the_labels_and_the_wordings_of_a_line_are_distinct() -> None:
    for number, row in enumerate(ROWS, start=1):
        for said in (row["labels"], [text for _, text in texts(row)]):
            lowered = [text.casefold() for text in said]
            assert len(set(lowered)) == len(lowered), (number, sorted(lowered))


@pytest.mark.parametrize("what", ["labels", "wordings"])
def test_two_relations_of_one_subject_share_nothing(what: str) -> None:
    """Else a question would ask for both."""
    users: dict[tuple[str, str], list[int]] = defaultdict(list)
    for number, row in enumerate(ROWS, start=1):
        said = row["labels"] if what == "labels" else [text for _, text in texts(row)]
        for text in said:
            users[row["subject"], text.casefold().rstrip("?.")].append(number)
    assert not {key: lines for key, lines in users.items() if len(set(lines)) > 1}


def held_out_texts() -> set[str]:
    """Labels and wordings of the relations of the part `unseen`, as they stand in the file, in lower case."""
    path = ROOT / "kblampp" / "synthetic" / "open_relations.json"
    relations = [row for row in json.loads(path.read_text(encoding="utf-8")) if is_held_out(row["id"])]
    assert len(relations) > 30
    labels = {row[key] for row in relations for key in ("name", "noun")} | {
        a for row in relations for a in row["aliases"]
    }
    wordings_of = {key for row in relations for key in row if isinstance(row[key], list)} - {"aliases", "sentences"}
    asked = {text for row in relations for key in wordings_of for text in row.get(key, ())}
    return {text.casefold() for text in labels | asked}


def said_in(row: dict[str, Any]) -> set[str]:
    """Labels and wordings of a line, in lower case."""
    return {text.casefold() for text in (*row["labels"], *(text for _, text in texts(row)))}


def test_they_are_read_as_they_stand_but_for_those_that_say_what_a_held_out_relation_says() -> None:
    held_out = held_out_texts()
    kept = [row for row in ROWS if not said_in(row) & held_out]
    read = wordings()
    assert [(w.subject, list(w.labels), list(w.questions), list(w.noun), list(w.inverse)) for w in read] == [
        tuple(row.values()) for row in kept
    ]
    assert 0.8 * len(ROWS) < len(kept) < len(ROWS)
    assert {row["subject"] for row in kept} == {row["subject"] for row in ROWS}


def test_each_stands_for_a_relation_of_its_own() -> None:
    read = wordings()
    assert len({wording.relation for wording in read}) == len(read)


def test_none_shares_a_label_or_a_wording_with_a_held_out_relation_whatever_its_marks() -> None:
    held_out = {text.rstrip("?.") for text in held_out_texts()}
    for wording in wordings():
        said = {text.rstrip("?.") for text in wording.texts}
        assert not said & held_out, wording.relation
        assert {label.casefold() for label in wording.labels} <= wording.texts
