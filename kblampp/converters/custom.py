"""Someone's own facts, a table (`kblampp.tables` reads it) or five-tuples, and questions about them if there are any.

All facts go to the one base `train`, and every split asks it.  Questions name their supporting facts by the row in the
facts file, from 0 (a table's header is no row), whether or not rows before it are left out.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from kblampp.converters.conversion import Conversion
from kblampp.converters.reading import Record
from kblampp.core.errors import DataError
from kblampp.data.facts import MOST_HOPS, FiveTuple, Question
from kblampp.data.jsonl import Fields
from kblampp.tables.facts_of_rows import SOURCE
from kblampp.tables.reading import Rejected, RowFact, read_facts_table

logger = logging.getLogger(__name__)
TABLE, FIVE_TUPLES, QUESTIONS = "facts.csv", "facts.jsonl", "questions.jsonl"
SPLITS = ("train", "dev", "test")


def convert(raw: Path, conversion: Conversion) -> None:
    """Converts `facts.csv` or `facts.jsonl`, and `questions.jsonl` if it is there.

    Raises:
        DataError: There is not one facts file, a column is missing, or a row is malformed (unless `skip_bad`).
    """
    conversion.one_base = True
    facts = _facts_file(raw)
    questions = next(iter(_named(raw, QUESTIONS)), raw / QUESTIONS)
    numbers = _add_facts(facts, conversion)
    if not questions.exists():
        logger.info("%s does not exist: the dataset has no questions, and no split", questions)
        return
    for row in conversion.rows(questions):
        conversion.attempt(lambda row: _add_question(row, numbers, facts, conversion), row)


def _facts_file(raw: Path) -> Path:
    found = [*_named(raw, TABLE), *_named(raw, FIVE_TUPLES)]
    if len(found) == 1:
        return found[0]
    if found:
        names = " and ".join(path.name for path in found)
        raise DataError(f"{raw} holds both {names}: expected one file of facts; remove the other")
    remedy = f"{raw / 'README.md'} says what to put there"
    raise DataError(f"{raw} holds neither {TABLE} nor {FIVE_TUPLES}: expected one of them; {remedy}")


def _named(raw: Path, name: str) -> list[Path]:
    """The files of that name in any case: "Facts.CSV" is how some systems write it."""
    if not raw.is_dir():
        return []
    return sorted(path for path in raw.iterdir() if path.name.lower() == name and path.is_file())


def _add_facts(path: Path, conversion: Conversion) -> list[int | None]:
    """Adds the facts; the id of each row, None where the row is left out."""
    numbers: list[int | None] = []
    distinct = 0
    table = path.name.lower() == TABLE

    def add(row: Fields) -> None:
        nonlocal distinct
        fact = row.row["fact"] if table else FiveTuple.from_row(row.row, row.where)
        numbers[-1] = number = conversion.add_fact(fact, "train")
        if number < distinct:
            conversion.skip("fact seen before")
        distinct = max(distinct, number + 1)

    for row in conversion.rows(path, _read_table) if table else conversion.rows(path):
        numbers += [None] * (conversion.n_read(path) - len(numbers))  # for this row, and those left out before it
        conversion.attempt(add, row)
    return numbers + [None] * (conversion.n_read(path) - len(numbers))


def _read_table(path: Path) -> Iterator[Record]:
    """Yields the rows of a table: each holds its fact, or the error that says why it is none.

    Raises:
        DataError: Nothing of it can be read.
    """
    reading = read_facts_table(path)
    for note in reading.notes:
        logger.warning("%s: %s", path, note)
    rows: list[RowFact | Rejected] = sorted([*reading.facts, *reading.rejected], key=lambda row: row.row)
    for row in rows:
        where = f"{path}, line {row.line}"
        yield Record(where, {"fact": row.fact} if isinstance(row, RowFact) else DataError(f"{where}: {row.reason}"))


def _add_question(row: Fields, numbers: Sequence[int | None], facts: Path, conversion: Conversion) -> None:
    text, split = row.name("question"), row.text_or_none("split") or "test"
    if split not in SPLITS:
        raise row.error("split", f"one of {', '.join(SPLITS)}", split)
    answer = (row.text_or_none("answer") or "").strip()
    time = conversion.time_of(text)
    kind = "unanswerable" if not answer else "single-hop" if time is None else "temporal"
    named = row.row.get("supporting_facts") is not None
    rows = row.items("supporting_facts", int, "row numbers of facts, from 0") if named else []
    if split == "train" and answer and not rows:
        raise row.error("supporting_facts", "the rows of its facts, since its split is train", rows)
    if conversion.options.max_samples == len(numbers) and any(number >= len(numbers) for number in rows):
        conversion.skip("question about facts beyond max_samples")
        return
    full: dict[str, Any] = {
        "aliases": [],
        "answer": answer,
        "qid": f"{SOURCE}_{row.where.rsplit(maxsplit=1)[-1]}",  # it ends in the number of the line
        "type": kind,
        "question_time": None if time is None else time.to_row(),
        **{name: value for name, value in row.row.items() if value is not None},
        "dataset": SOURCE,
        "supporting_facts": list(dict.fromkeys(_fact_of(number, row, numbers, facts) for number in rows)),
    }
    if split == "train" and full["type"] == "multi-hop" and len(full["supporting_facts"]) > MOST_HOPS:
        expected = f"at most {MOST_HOPS} facts, since its type is multi-hop and its split is train"
        raise row.error("supporting_facts", expected, rows)
    conversion.add_question(split, Question.from_row(full | {"answer": answer}, row.where))


def _fact_of(number: int, row: Fields, numbers: Sequence[int | None], facts: Path) -> int:
    if number >= len(numbers):
        raise row.error("supporting_facts", f"row numbers below {len(numbers)}, the rows of {facts.name}", number)
    found = numbers[number]
    if found is None:
        raise row.error("supporting_facts", f"rows of {facts.name} that are not left out", number)
    return found
