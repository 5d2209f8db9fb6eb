"""The folder in which a run of `encode` works, beside its outputs, until they are whole.

First the facts and questions are read: what needs no encoder is written at once, and of each text its place in the
ledger, where equal texts find together whatever base they are of.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt

from kblampp.core.files import fingerprint, jsonl_line
from kblampp.core.progress import progress_bar
from kblampp.data.dataset import DatasetFiles
from kblampp.data.facts import FiveTuple, evidence_sentence
from kblampp.encoding.encoded_facts import FIRST_DAYS, LAST_DAYS
from kblampp.encoding.fact_arrays import day_rows, symbol
from kblampp.encoding.ledger import NAMES, RELATIONS, SYMBOLS, Ledger, Page
from kblampp.encoding.row_file import RowFile
from kblampp.time_expressions.parse import without_time

logger = logging.getLogger(__name__)

WORK = ".encode.tmp"
"""Name of the folder; it is hidden, and git passes it by."""
KB = "kb"
"""What becomes the output of that name."""
BLOCK = 4096
"""Facts, or texts that need no encoder, that are in memory at a time."""
FACTS = "facts.jsonl"
HEAD, TAIL, SENTENCE, RELATION, HEAD_SYMBOL, TAIL_SYMBOL, RELATION_SYMBOL = range(7)
"""What has a place in the ledger of each fact."""


@dataclass(frozen=True)
class WorkFolder:
    """Where everything lies.

    Attributes:
        folder: The folder.
        ledger: What is read and finished.
        relations: The space of relation labels: `NAMES` where one encoder serves both.
    """

    folder: Path
    ledger: Ledger
    relations: int

    @classmethod
    @contextmanager
    def open(cls, output: Path, key: str, *, one_encoder: bool) -> Iterator[WorkFolder]:
        """The folder of a run, with what a killed run of the same key has left.

        Args:
            output: `store/<dataset>`.
            key: Hash of everything on which texts and their vectors depend.
            one_encoder: Whether one encoder serves both.

        Raises:
            StoreError: Another process works there.
        """
        folder = output / WORK
        folder.mkdir(parents=True, exist_ok=True)
        with Ledger(folder / "ledger.sqlite") as ledger:
            if ledger.note("key") != key or not (folder / KB).is_dir():  # without it, a run was killed at its very end
                ledger.clear()
                for path in folder.iterdir():
                    if path.is_dir():
                        shutil.rmtree(path)
                with ledger.transaction():
                    ledger.write_note("key", key)
            else:
                logger.info("goes on with what an earlier run has left in %s", folder)
            yield cls(folder, ledger, NAMES if one_encoder else RELATIONS)

    def store(self, kb: str) -> Path:
        """The folder that becomes the store of a base."""
        return self.folder / KB / kb

    def places(self, of: str) -> Path:
        """Places in the ledger: seven a fact in `facts/<kb>`, two a question in `questions/<split>`, one a label."""
        return self.folder / "places" / f"{of}.npy"

    @property
    def numbers(self) -> Path:
        """Place in the ledger -> number of the text."""
        return self.folder / "places" / "numbers.npy"

    def vectors(self, space: int) -> Path:
        """The vectors of an encoder's texts by their numbers."""
        return self.folder / "vectors" / f"{space}.npy"

    @property
    def n_texts(self) -> tuple[int, int]:
        """How many texts each encoder has, once the dataset is read."""
        names, relations = self.ledger.note("texts")
        return names, relations


def read_dataset(work: WorkFolder, dataset: DatasetFiles, labels: Sequence[str]) -> None:
    """Reads facts, questions and labels, as far as that is not done, and numbers their texts.

    Args:
        work: The folder.
        dataset: Facts and questions.
        labels: General relation labels; none where no projection is fitted.

    Raises:
        DataError: A file is missing or malformed.
    """
    if work.ledger.note("texts") is not None:
        return
    counts = {kb: dataset.n_facts(kb) for kb in dataset.kbs}
    with progress_bar(total=sum(counts.values()), desc="Facts") as shown:
        for number, (kb, count) in enumerate(counts.items()):
            for done in _read_base(work, dataset, kb, count, SYMBOLS + 2 * number):
                shown.update(done)
    for split, kb in dataset.kb_of_split.items():
        _read_questions(work, dataset, split, counts[kb])
    if work.ledger.note("labels") is None:
        page = work.ledger.page()
        _write_places(work.places("labels"), [[page.place(work.relations, label)] for label in labels])
        with work.ledger.transaction():
            work.ledger.keep(page)
            work.ledger.write_note("labels", len(labels))
    work.ledger.number(work.numbers)


def _read_base(work: WorkFolder, dataset: DatasetFiles, kb: str, count: int, space: int) -> Iterator[int]:
    """Writes what needs no encoder of a base's facts, and their places; yields how many are done since it yielded."""
    key, folder = f"facts {kb}", work.store(kb)
    done, length = work.ledger.note(key) or (0, 0)
    yield done
    if count and done == count:
        return
    shapes: dict[Path, tuple[tuple[int, ...], type[np.integer]]] = {
        work.places(f"facts/{kb}"): ((count, RELATION_SYMBOL + 1), np.int64),
        folder / FIRST_DAYS: ((count,), np.int32),
        folder / LAST_DAYS: ((count,), np.int32),
    }
    facts = dataset.facts(kb, done)
    with ExitStack() as stack:
        files = [
            stack.enter_context(RowFile(path) if done else RowFile.create(path, *shape))
            for path, shape in shapes.items()
        ]
        (folder / FACTS).touch()
        lines = stack.enter_context(open(folder / FACTS, "r+b"))
        lines.truncate(length)  # behind it is what a killed run has not noted
        lines.seek(length)
        while block := list(islice(facts, BLOCK)):
            page = work.ledger.page()
            days = day_rows(block)
            rows: list[npt.NDArray[np.integer]] = [_places(block, page, work.relations, space)]
            rows += [days[FIRST_DAYS], days[LAST_DAYS]]
            for file, written in zip(files, rows, strict=True):
                file.write(done, written)
                file.sync()
            lines.write("".join(jsonl_line(fact.to_row()) for fact in block).encode("utf-8"))
            lines.flush()
            os.fsync(lines.fileno())
            done += len(block)
            with work.ledger.transaction():
                work.ledger.keep(page)
                work.ledger.write_note(key, (done, lines.tell()))
            yield len(block)


def _places(facts: Sequence[FiveTuple], page: Page, relations: int, space: int) -> npt.NDArray[np.int64]:
    """The places of facts, (n, 7); `space` and the next one are those of the base's entities and relations."""
    return np.array(
        [
            (
                page.place(NAMES, fact.head.name),
                page.place(NAMES, fact.tail.name),
                page.place(NAMES, evidence_sentence(fact)),
                page.place(relations, fact.relation.name),
                page.place(space, symbol(fact.head)),
                page.place(space, symbol(fact.tail)),
                page.place(space + 1, symbol(fact.relation)),
            )
            for fact in facts
        ],
        dtype=np.int64,
    )


def _read_questions(work: WorkFolder, dataset: DatasetFiles, split: str, n_facts: int) -> None:
    """Writes the places of a split's questions, (n, 2), and notes their number and the hash of their texts."""
    key = f"questions {split}"
    if work.ledger.note(key) is not None:
        return
    texts = [without_time(question.question) for question in dataset.questions(split, n_facts)]
    page = work.ledger.page()
    rows = [(page.place(NAMES, text), page.place(work.relations, text)) for text in texts]
    _write_places(work.places(f"questions/{split}"), rows)
    with work.ledger.transaction():
        work.ledger.keep(page)
        work.ledger.write_note(key, (len(texts), fingerprint(*texts)))


def _write_places(path: Path, rows: Sequence[Sequence[int]]) -> None:
    places = np.array(rows, dtype=np.int64).reshape(len(rows), -1 if rows else 1)
    with RowFile.create(path, places.shape, places.dtype) as file:
        file.write(0, places)
        file.sync()
