"""Questions that somebody has written about facts of his own: `questions.jsonl`, of the datasets `custom` and `base`.

They name their supporting facts by what these are called where they come from: the rows of a file, or the ids of a
living base.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kblampp.converters.conversion import Conversion
from kblampp.converters.reading import files_named
from kblampp.data.facts import MOST_HOPS, Question
from kblampp.data.jsonl import Fields

logger = logging.getLogger(__name__)
QUESTIONS = "questions.jsonl"
SPLITS = ("train", "dev", "test")


@dataclass(frozen=True)
class Called:
    """What questions call the facts.

    Attributes:
        dataset: What the questions become part of.
        numbers: Name of a fact -> its id in the dataset's base; None for one that is left out.
        names: What the names are, in words: "row numbers from 0".
        expected: Which of them there are: "row numbers below 12 of facts.csv, of rows that are not left out".
    """

    dataset: str
    numbers: Mapping[int, int | None]
    names: str
    expected: str


def add_questions(raw: Path, called: Called, conversion: Conversion) -> None:
    """Adds the questions of `questions.jsonl` if it is there.

    Args:
        raw: The folder in which it lies, its name in any case.
        called: The facts that they are about.
        conversion: Takes them.

    Raises:
        DataError: A question is malformed (unless `skip_bad`).
    """
    path = next(iter(files_named(raw, QUESTIONS)), None)
    if path is None:
        logger.info("%s does not exist: the dataset has no questions, and no split", raw / QUESTIONS)
        return
    for row in conversion.rows(path):
        conversion.attempt(lambda row: _add_question(row, called, conversion), row)


def _add_question(row: Fields, called: Called, conversion: Conversion) -> None:
    text, split = row.name("question"), row.text_or_none("split") or "test"
    if split not in SPLITS:
        raise row.error("split", f"one of {', '.join(SPLITS)}", split)
    answer = (row.text_or_none("answer") or "").strip()
    time = conversion.time_of(text)
    kind = "unanswerable" if not answer else "single-hop" if time is None else "temporal"
    named = row.row.get("supporting_facts") is not None
    names = row.items("supporting_facts", int, f"{called.names} of facts") if named else []
    if split == "train" and answer and not names:
        raise row.error("supporting_facts", f"the {called.names} of its facts, since its split is train", names)
    if conversion.options.max_samples == len(called.numbers) and any(name not in called.numbers for name in names):
        conversion.skip("question about facts beyond max_samples")
        return
    full: dict[str, Any] = {
        "aliases": [],
        "answer": answer,
        "qid": f"{called.dataset}_{row.where.rsplit(maxsplit=1)[-1]}",  # it ends in the number of the line
        "type": kind,
        "question_time": None if time is None else time.to_row(),
        **{name: value for name, value in row.row.items() if value is not None},
        "dataset": called.dataset,
        "supporting_facts": list(dict.fromkeys(_number(name, row, called) for name in names)),
    }
    if split == "train" and full["type"] == "multi-hop" and len(full["supporting_facts"]) > MOST_HOPS:
        expected = f"at most {MOST_HOPS} facts, since its type is multi-hop and its split is train"
        raise row.error("supporting_facts", expected, names)
    conversion.add_question(split, Question.from_row(full | {"answer": answer}, row.where))


def _number(name: int, row: Fields, called: Called) -> int:
    found = called.numbers.get(name)
    if found is None:
        raise row.error("supporting_facts", called.expected, name)
    return found
