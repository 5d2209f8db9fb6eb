"""Someone's own facts, a table (`kblampp.tables` reads it) or five-tuples, and questions about them if there are any.

All facts go to the one base `train`, and every split asks it.  Questions name their supporting facts by the row in the
facts file, from 0 (a table's header is no row), whether or not rows before it are left out.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

from kblampp.converters.conversion import Conversion
from kblampp.converters.own_questions import Called, add_questions
from kblampp.converters.reading import Record, files_named
from kblampp.core.errors import DataError
from kblampp.data.facts import FiveTuple
from kblampp.data.jsonl import Fields
from kblampp.tables.facts_of_rows import SOURCE
from kblampp.tables.reading import Rejected, RowFact, read_facts_table

logger = logging.getLogger(__name__)
TABLE, FIVE_TUPLES = "facts.csv", "facts.jsonl"


def convert(raw: Path, conversion: Conversion) -> None:
    """Converts `facts.csv` or `facts.jsonl`, and `questions.jsonl` if it is there.

    Raises:
        DataError: There is not one facts file, a column is missing, or a row is malformed (unless `skip_bad`).
    """
    conversion.one_base = True
    facts = _facts_file(raw)
    numbers = _add_facts(facts, conversion)
    expected = f"row numbers below {len(numbers)} of {facts.name}, of rows that are not left out"
    add_questions(raw, Called(SOURCE, dict(enumerate(numbers)), "row numbers from 0", expected), conversion)


def _facts_file(raw: Path) -> Path:
    found = [*files_named(raw, TABLE), *files_named(raw, FIVE_TUPLES)]
    if len(found) == 1:
        return found[0]
    if found:
        names = " and ".join(path.name for path in found)
        raise DataError(f"{raw} holds both {names}: expected one file of facts; remove the other")
    remedy = f"{raw / 'README.md'} says what to put there"
    raise DataError(f"{raw} holds neither {TABLE} nor {FIVE_TUPLES}: expected one of them; {remedy}")


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
