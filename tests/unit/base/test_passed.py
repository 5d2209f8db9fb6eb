"""Facts as a program passes them: years as numbers, days, numbers as names."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import pytest

from kblampp.base.knowledge_base import KnowledgeBase
from kblampp.core.errors import DataError


def test_a_year_may_be_a_number_and_so_may_a_name(tmp_path: Path) -> None:
    with KnowledgeBase.create(tmp_path / "a.kb") as base:
        number = base.add_fact("A", "seats", 42, start=2012, end=datetime.date(2014, 5, 1))
        assert number == base.add_fact("A", "seats", "42", start="2012", end="2014-05-01")
        assert base.add_fact("A", "seats", 43, start=2015, end=None) == number + 1
        base.end(number + 1, 2016)
        assert base.fact(number + 1).content.window.in_words("end") == "2016"


@pytest.mark.parametrize(
    ("names", "fields", "says"),
    [
        (("A", "chief", None), {}, "the tail of a fact is None"),
        (("A", "chief", True), {}, "the tail of a fact is True"),
        (("A", ["chief"], "B"), {}, "the relation of a fact is"),
        (("A", "chief", "B"), {"start": True}, "the start of a fact is True"),
        (("A", "chief", "B"), {"end": [2012]}, "the end of a fact is"),
        (("A", "chief", "B"), {"context": 3}, "the context of a fact is 3"),
        (("A", "chief", "B"), {"start": 12}, "of any century"),
    ],
)
def test_what_is_neither_is_an_error_of_the_package_and_writes_nothing(
    tmp_path: Path, names: tuple[Any, Any, Any], fields: dict[str, Any], says: str
) -> None:
    with KnowledgeBase.create(tmp_path / "a.kb") as base:
        with pytest.raises(DataError, match=says):
            base.add_fact(*names, **fields)
        assert base.count() == 0
