"""Where a converter puts what it finds: facts and questions go to their files, and everything is counted.

Nothing is dropped in silence: a row, question or part of one that is left out is counted under its reason, and the
counts are written beside the questions (`data/qa/conversion.json`).
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from kblampp.converters.reading import BrokenFile, Record, read_records
from kblampp.core.errors import DataError
from kblampp.core.params import ConvertParams
from kblampp.data.dataset import TRAINING_KB, DatasetWriter
from kblampp.data.facts import FiveTuple, Question
from kblampp.data.jsonl import Fields
from kblampp.data.windows import Window
from kblampp.time_expressions.parse import parse_question_time

logger = logging.getLogger(__name__)
WHOLE_KB = "all"
"""The base of all units; `train` is the part of it whose questions train."""
EXAMPLES = 3
_PARENTHESES = re.compile(r"\S \(([^()]+)\)$")


class Conversion:
    """The sink of one conversion.

    Args:
        writer: Of the dataset's files.
        options: `convert` in params.yaml.
        seed: Deals the units to the splits.
        as_of: Day of asking, from which "last year" in a question is told: the same files give the same on any day.
        measured: Whether nothing will be trained on: every unit is test, and all facts are in one base.

    Attributes:
        seed: As above; for a converter that draws questions.
        one_base: Set by a converter before it adds anything: all facts are in the base `train`, which every split asks.
    """

    def __init__(
        self, writer: DatasetWriter, options: ConvertParams, seed: int, as_of: int, *, measured: bool = False
    ) -> None:
        self.options = options
        self._as_of = as_of
        self.one_base = measured
        self._measured = measured
        self.seed = seed
        self._writer = writer
        self._files: dict[str, int] = {}
        self._skipped: Counter[str] = Counter()
        self._counts: Counter[str] = Counter()
        self._bad: list[str] = []

    def rows(self, path: Path, read: Callable[[Path], Iterator[Record]] = read_records) -> Iterator[Fields]:
        """Yields the objects of a raw file, at most `max_samples` of them.

        Args:
            path: The file.
            read: Opens it; for a file that is no JSON.

        Raises:
            DataError: A row or the file is broken, unless `skip_bad`: then it is counted.
        """
        self._files[path.name] = 0
        try:
            for record in read(path):
                if self._files[path.name] == (self.options.max_samples or -1):
                    return
                self._files[path.name] += 1
                if isinstance(record.value, DataError):
                    self.bad(record.value)
                elif not isinstance(record.value, dict):
                    kind = type(record.value).__name__
                    self.bad(DataError(f"{record.where} is a JSON {kind}: expected an object"))
                else:
                    yield Fields(record.value, record.where)
        except BrokenFile as error:
            self.bad(error)

    def n_read(self, path: Path) -> int:
        """How many rows of a raw file have been read so far, the malformed ones included."""
        return self._files[path.name]

    def attempt(self, work: Callable[[Fields], None], row: Fields) -> None:
        """Converts one row; what is wrong with it stops the stage, or is counted with `skip_bad`.

        `work` checks a row before it adds anything of it, so that a bad row leaves nothing behind.
        """
        try:
            work(row)
        except DataError as error:
            self.bad(error)

    def bad(self, error: DataError) -> None:
        """A malformed row or file.

        Raises:
            DataError: Unless `skip_bad`.
        """
        if not self.options.skip_bad:
            raise DataError(
                f"{error}; correct the file, or set convert.skip_bad: true to leave such rows out"
            ) from None
        self._skipped["malformed"] += 1
        if len(self._bad) < EXAMPLES:
            self._bad.append(str(error))
        logger.warning("left out: %s", error)

    def skip(self, reason: str, n: int = 1) -> None:
        """Counts what is left out because the data are so, not because a row is malformed."""
        self._skipped[reason] += n

    def count(self, name: str, n: int = 1) -> None:
        """Counts something else that the report should say."""
        self._counts[name] += n

    def time_of(self, question: str) -> Window | None:
        """The time that a question names; None if it names none."""
        return parse_question_time(question, self._as_of)

    def split_of(self, unit: str) -> str:
        """train, dev or test of a unit (a page, a question, …), from its name and the seed alone."""
        if self._measured or int(_share(f"fold/{self.seed}/{unit}") * self.options.folds) == self.options.fold:
            return "test"
        return "dev" if _share(f"dev/{self.seed}/{unit}") < self.options.dev_share else "train"

    def add_fact(self, fact: FiveTuple, split: str) -> int:
        """Adds a fact unless an equal one is there; its id in the base that `split` asks about.

        Facts of training units are in both bases, so that the others are asked about the whole.
        """
        if self.one_base:
            return self._writer.add_fact(TRAINING_KB, fact)
        number = self._writer.add_fact(WHOLE_KB, fact)
        return self._writer.add_fact(TRAINING_KB, fact) if split == "train" else number

    def add_question(self, split: str, question: Question) -> bool:
        """Adds a question to a split; a second one of the same id in the same split is left out and counted.

        Returns:
            Whether it was added.
        """
        kb = TRAINING_KB if self.one_base or split == "train" else WHOLE_KB
        added = self._writer.add_question(split, kb, question)
        if not added:
            self.skip("question id seen before")
        return added

    def report(self) -> dict[str, Any]:
        """What was read, written and left out; the counts of each list are sorted by name."""
        return {
            "rows_read": dict(sorted(self._files.items())),
            "facts": self._writer.n_facts,
            "questions": self._writer.n_questions,
            "counts": dict(sorted(self._counts.items())),
            "skipped": dict(sorted(self._skipped.items())),
            "malformed_examples": self._bad,
        }


def _share(key: str) -> float:
    """A number from 0 to 1 that only the key decides."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") / 2**64


def digest(text: str) -> str:
    """An id for a row that has none, from what it says; equal rows have the same."""
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def disambiguation(name: str) -> dict[str, str]:
    """What a page's name has in parentheses at its end, as `context.disamb` holds it: "Kiss and Tell (1945 film)"."""
    found = _PARENTHESES.search(name)
    return {"parentheses": found[1]} if found else {}
