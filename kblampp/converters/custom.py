"""Someone's own facts, a table or five-tuples, and questions about them if there are any.

All facts go to the one base `train`, and every split asks it.  Questions name their supporting facts by the row in the
facts file, from 0 (a table's header is no row), whether or not rows before it are left out.
"""

from __future__ import annotations

import csv
import logging
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from kblampp.converters.conversion import Conversion
from kblampp.converters.reading import BrokenFile, Record
from kblampp.core.errors import DataError
from kblampp.data.facts import MOST_HOPS, Context, Entity, FiveTuple, Question, Relation
from kblampp.data.jsonl import Fields
from kblampp.data.windows import LAST_DAY, UNKNOWN, Window, day, month_window, year_window

logger = logging.getLogger(__name__)
SOURCE = "custom"
TABLE, FIVE_TUPLES, QUESTIONS = "facts.csv", "facts.jsonl", "questions.jsonl"
NEEDED = ("head", "relation", "tail")
COLUMNS = (*NEEDED, "context", "start", "end")
SPLITS = ("train", "dev", "test")
_DATE = re.compile(r"([0-9]{4})(?:-([0-9]{2}))?(-[0-9]{2})?")


def convert(raw: Path, conversion: Conversion) -> None:
    """Converts `facts.csv` or `facts.jsonl`, and `questions.jsonl` if it is there.

    Raises:
        DataError: There is not one facts file, a column is missing, or a row is malformed (unless `skip_bad`).
    """
    conversion.one_base = True
    facts, questions = _facts_file(raw), raw / QUESTIONS
    numbers = _add_facts(facts, conversion)
    if not questions.exists():
        logger.info("%s does not exist: the dataset has no questions, and no split", questions)
        return
    for row in conversion.rows(questions):
        conversion.attempt(lambda row: _add_question(row, numbers, facts, conversion), row)


def _facts_file(raw: Path) -> Path:
    found = [path for path in (raw / TABLE, raw / FIVE_TUPLES) if path.is_file()]
    if len(found) == 1:
        return found[0]
    state = "holds both" if found else "holds neither"
    remedy = "remove one of them" if found else f"{raw / 'README.md'} says what to put there"
    raise DataError(f"{raw} {state} {TABLE} {'and' if found else 'nor'} {FIVE_TUPLES}: expected one of them; {remedy}")


def _add_facts(path: Path, conversion: Conversion) -> list[int | None]:
    """Adds the facts; the id of each row, None where the row is left out."""
    numbers: list[int | None] = []
    distinct = 0

    def add(row: Fields) -> None:
        nonlocal distinct
        fact = FiveTuple.from_row(row.row, row.where) if path.name == FIVE_TUPLES else _from_table(row)
        numbers[-1] = number = conversion.add_fact(fact, "train")
        if number < distinct:
            conversion.skip("fact seen before")
        distinct = max(distinct, number + 1)

    for row in conversion.rows(path, _read_table) if path.name == TABLE else conversion.rows(path):
        numbers += [None] * (conversion.n_read(path) - len(numbers))  # for this row, and those left out before it
        conversion.attempt(add, row)
    return numbers + [None] * (conversion.n_read(path) - len(numbers))


def _read_table(path: Path) -> Iterator[Record]:
    """Yields the rows of a CSV file with a header; what stands in each column is checked later.

    Raises:
        BrokenFile: It is not UTF-8, or a row goes on over several lines and is none, so that what follows is lost too.
        DataError: A column is missing.
    """
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            header = _header(path, reader)
            while True:
                first = reader.line_num + 1
                where = f"{path}, line {first}"
                try:
                    cells = next(reader)
                except StopIteration:
                    return
                except csv.Error as error:
                    problem, last = f"{where} is no row of a CSV file ({error})", reader.line_num
                    if last > first:  # whatever is in between, and where the next row starts, is not to be told
                        raise BrokenFile(f"{problem}: a quote holds lines {first} to {last}; close it") from None
                    yield Record(where, DataError(f"{problem}: check its quotes"))
                    continue
                if any(cell.strip() for cell in cells):  # Excel ends files in rows of empty cells
                    yield _record(where, header, cells)
    except UnicodeDecodeError as error:
        raise BrokenFile(f"{path} is not UTF-8 ({error.reason} near byte {error.start}): save it as UTF-8") from None
    except OSError as error:
        raise BrokenFile(f"{path} cannot be read ({error.strerror}): expected a CSV file") from None


def _header(path: Path, reader: Iterator[list[str]]) -> list[str]:
    try:
        header = [name.strip() for name in next(reader, [])]
    except csv.Error as error:
        raise DataError(f"{path}: the first line is no row of a CSV file ({error}): check its quotes") from None
    missing = [name for name in NEEDED if name not in header]
    if missing:
        raise DataError(
            f"{path} lacks {'column' if len(missing) == 1 else 'columns'} {', '.join(missing)}: expected a first line "
            f"with {', '.join(COLUMNS)} (the last three may be missing), with commas between, found {header}"
        )
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise DataError(f"{path} has column {twice[0]!r} twice: remove one of them")
    unread = [name for name in header if name not in COLUMNS]
    if unread:
        logger.warning("%s: columns that are not read: %s (known are %s)", path, ", ".join(unread), ", ".join(COLUMNS))
    return header


def _record(where: str, header: Sequence[str], cells: Sequence[str]) -> Record:
    if len(cells) != len(header):
        problem = f"{where} has {len(cells)} cells, expected {len(header)}: quote a cell that holds a comma"
        return Record(where, DataError(problem))
    return Record(where, {name: cell.strip() for name, cell in zip(header, cells, strict=True)})


def _from_table(row: Fields) -> FiveTuple:
    for name in NEEDED:
        if not row.row[name]:
            raise DataError(f"{row.where}: column {name!r} is empty: expected a name")
    try:
        (start, start_unit), (end, end_unit) = _bound(row, "start"), _bound(row, "end")
        window = UNKNOWN if (start, end) == (None, None) else Window(start, end, SOURCE, start_unit, end_unit)
    except DataError as error:
        raise DataError(f"{row.where}: {error}") from None
    return FiveTuple(
        head=Entity(None, row.row["head"]),
        relation=Relation(None, row.row["relation"]),
        tail=Entity(None, row.row["tail"]),
        context=Context(SOURCE, sent_span=row.row.get("context", "")),
        window=window,
    )


def _bound(row: Fields, name: str) -> tuple[int | None, str | None]:
    """First day, or first day after, as a column says it, and its unit; what is named as an end counts as a whole."""
    text = row.row.get(name, "")
    if not text:
        return None, None
    found = _DATE.fullmatch(text)
    if found is None or (found[3] and not found[2]):
        raise DataError(f"column {name!r} is {text!r}: expected 2009, 2009-03 or 2009-03-02, or nothing")
    if found[3]:
        number = day(text) + (name == "end")
        return (number, "day") if number <= LAST_DAY else (None, None)
    year = int(found[1])
    whole, unit = (month_window(year, int(found[2])), "month") if found[2] else (year_window(year), "year")
    bound = whole.start if name == "start" else whole.end
    return bound, None if bound is None else unit  # the calendar stops in 9999, which is open


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
