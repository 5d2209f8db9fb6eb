"""A living base becomes a dataset that says what the base says, at any of its states, and comes back unchanged."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from kblampp.base.knowledge_base import KnowledgeBase
from kblampp.converters import base
from kblampp.core.errors import DataError
from kblampp.data.facts import FiveTuple
from kblampp.tables.reading import read_facts_table
from tests.converting import converted, write


@pytest.fixture
def living(tmp_path: Path) -> KnowledgeBase:
    """A base of two facts, the first of three having been deleted; it lies among the raw files."""
    made = KnowledgeBase.create(tmp_path / "raw" / "museum.kb")
    made.add_fact("Museum", "mascot", "Bilbo")
    made.add_fact("Museum", "director", "Odile", start="1994", end="2003-05")
    made.add_fact("Museum", "director", "Tomas", context="Tomas directs the Museum.", start="2004")
    made.delete([1])
    return made


def contents(living: KnowledgeBase, known_at: int | str | None = None) -> list[FiveTuple]:
    return [version.content for version in living.facts(known_at=known_at)]


def test_a_base_is_converted_as_it_is_and_comes_back_the_same(living: KnowledgeBase, tmp_path: Path) -> None:
    found = converted("base", base.convert, tmp_path)
    assert found.facts == {"train": contents(living)}
    assert (found.questions, found.report["rows_read"]) == ({}, {"museum.kb": 2})
    with KnowledgeBase.create(tmp_path / "again.kb") as again:
        again.add([row.fact for row in read_facts_table(tmp_path / "data/5tuple/train.jsonl").facts])
        assert contents(again) == contents(living)


@pytest.mark.parametrize("known_at", [2, 4, "9999-01-01"])
def test_a_base_is_converted_as_it_was(living: KnowledgeBase, tmp_path: Path, known_at: int | str) -> None:
    found = converted("base", base.convert, tmp_path, known_at=known_at)
    assert found.facts["train"] == contents(living, known_at)


def test_what_no_state_of_the_base_is_is_refused(living: KnowledgeBase, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"convert\.known_at.*no call 9"):
        converted("base", base.convert, tmp_path, known_at=9)


def test_questions_name_facts_by_their_ids(living: KnowledgeBase, tmp_path: Path) -> None:
    question = {"question": "Who was the director of the Museum in 1999?", "answer": "Odile", "supporting_facts": [2]}
    write(tmp_path, "questions.jsonl", [question, {"question": "Who owns the Museum?"}], lines=True)
    found = converted("base", base.convert, tmp_path)
    first, second = found.questions["test"]
    assert (first.dataset, first.qid, first.type) == ("base", "base_1", "temporal")
    assert [found.facts["train"][number].tail.name for number in first.supporting_facts] == ["Odile"]
    assert (second.type, second.supporting_facts) == ("unanswerable", ())


@pytest.mark.parametrize("gone", [1, 9])
def test_a_question_about_a_fact_that_the_base_has_not_is_refused(
    living: KnowledgeBase, tmp_path: Path, gone: int
) -> None:
    question = {"question": "What is the mascot of the Museum?", "answer": "Bilbo", "supporting_facts": [gone]}
    write(tmp_path, "questions.jsonl", [question], lines=True)
    with pytest.raises(DataError, match=r"line 1: field 'supporting_facts'.*museum\.kb.*kblampp facts"):
        converted("base", base.convert, tmp_path)
    assert converted("base", base.convert, tmp_path, skip_bad=True).report["skipped"] == {"malformed": 1}


def test_only_so_many_facts_are_read_and_questions_about_others_are_left_out(
    living: KnowledgeBase, tmp_path: Path
) -> None:
    rows = [
        {"question": "Who leads it?", "answer": name, "supporting_facts": [fact]} for fact, name in ((2, "a"), (3, "b"))
    ]
    write(tmp_path, "questions.jsonl", rows[:1], lines=True)
    found = converted("base", base.convert, tmp_path, max_samples=1)
    assert (found.facts["train"], len(found.asked)) == (contents(living)[:1], 1)
    write(tmp_path, "questions.jsonl", rows[1:], lines=True)
    found = converted("base", base.convert, tmp_path, max_samples=1)
    assert json.dumps(found.report["skipped"]) == '{"question about facts beyond max_samples": 1}'


def test_exactly_one_base_is_expected(living: KnowledgeBase, tmp_path: Path) -> None:
    shutil.copytree(living.path, tmp_path / "raw" / "second.kb")
    with pytest.raises(DataError, match=r"museum\.kb and second\.kb"):
        converted("base", base.convert, tmp_path)
    shutil.rmtree(tmp_path / "raw" / "second.kb")
    shutil.rmtree(living.path)
    with pytest.raises(DataError, match=r"kblampp init.*README"):
        converted("base", base.convert, tmp_path)
