"""A living base becomes a dataset: its facts as they are, or were after a call, and questions about them, if any.

All facts go to the one base `train`, in the order of their ids, and every split asks it.  Questions name their
supporting facts by these ids, as `kblampp facts` shows them.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from kblampp.base.database import FILE
from kblampp.base.knowledge_base import KnowledgeBase, Moment
from kblampp.converters.conversion import Conversion
from kblampp.converters.own_questions import Called, add_questions
from kblampp.converters.reading import Record
from kblampp.core.errors import DataError

NAME = "base"


def convert(raw: Path, conversion: Conversion) -> None:
    """Converts the base that lies in `raw`, and `questions.jsonl` if it is there.

    Raises:
        DataError: There is not one base, it had no such state, or a question is malformed (unless `skip_bad`).
        StoreError: The base is damaged.
    """
    conversion.one_base = True
    folder, known_at = _base_in(raw), conversion.options.known_at
    numbers: dict[int, int | None] = {}
    for row in conversion.rows(folder, partial(_read, known_at=known_at)):
        numbers[row.row["id"]] = conversion.add_fact(row.row["fact"], "train")
    when = "" if known_at is None else f" at {known_at}"
    expected = f"ids of facts that {folder.name} has{when}, as `kblampp facts` shows them"
    add_questions(raw, Called(NAME, numbers, "ids", expected), conversion)


def _base_in(raw: Path) -> Path:
    found = sorted(path.parent for path in raw.glob(f"*/{FILE}"))
    if len(found) == 1:
        return found[0]
    if found:
        names = " and ".join(path.name for path in found)
        raise DataError(f"{raw} holds the bases {names}: expected one; remove the others")
    remedy = f"copy the folder that `kblampp init` made; {raw / 'README.md'} says more"
    raise DataError(f"{raw} holds no folder with {FILE}: expected a living base; {remedy}")


def _read(folder: Path, known_at: Moment) -> Iterator[Record]:
    """Yields the facts of a base with their ids.

    Raises:
        DataError: It had no such state.
    """
    with KnowledgeBase.open(folder, read_only=True) as base:
        try:
            versions = base.facts(known_at=known_at)
        except DataError as error:
            raise DataError(f"convert.known_at: {error}") from None
    for version in versions:
        yield Record(f"{folder}, fact {version.fact}", {"id": version.fact, "fact": version.content})
