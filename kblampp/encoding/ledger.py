"""What a run of `encode` has read and finished, in an SQLite file: what a killed run had done is not done again.

Facts are told apart from memory: SQLite's sorter, which works on disk, finds equal texts whatever their number.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from kblampp.core.errors import StoreError
from kblampp.encoding.growing import digest_of
from kblampp.encoding.row_file import RowFile

NAMES, RELATIONS, SYMBOLS = 0, 1, 2
"""Spaces in which texts are told apart: those of the two encoders, and from `SYMBOLS` on two of each base."""

_TABLES = """
CREATE TABLE IF NOT EXISTS note (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS occurrence
    (place INTEGER PRIMARY KEY, space INTEGER NOT NULL, digest BLOB NOT NULL, text TEXT);
CREATE TABLE IF NOT EXISTS first (space INTEGER, number INTEGER, place INTEGER NOT NULL, PRIMARY KEY (space, number))
    WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS encoded (space INTEGER, start INTEGER, PRIMARY KEY (space, start)) WITHOUT ROWID;
"""
_FIRSTS = "SELECT place, space, MIN(place) OVER (PARTITION BY space, digest) FROM occurrence ORDER BY place"
_ROWS = 1 << 16
_CACHE_KB = 32 << 10


class Page:
    """The texts of one block as they are met: equal ones of a space share a place.

    Args:
        first: The first place that is free.
    """

    def __init__(self, first: int) -> None:
        self._first = first
        self._places: dict[tuple[int, str], int] = {}

    def place(self, space: int, text: str) -> int:
        """The place of a text of a space, a new one where the block has not met it."""
        return self._places.setdefault((space, text), self._first + len(self._places))

    def rows(self) -> Iterator[tuple[int, int, bytes, str | None]]:
        """Place, space, digest and text; symbols are told apart by their digests alone."""
        for (space, text), place in self._places.items():
            yield place, space, digest_of(text), text if space < SYMBOLS else None


class Ledger(AbstractContextManager["Ledger"]):
    """The file of one run; a second process cannot open it meanwhile.

    Args:
        path: Made where it is missing.

    Raises:
        StoreError: Another process has it open, or it is damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._base = sqlite3.connect(path, timeout=0, isolation_level=None)
            self._base.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._base.execute(f"PRAGMA cache_size = -{_CACHE_KB}")
            # What a commit says is done is on the disk before it; a commit that the disk has not yet may be lost.
            self._base.execute("PRAGMA journal_mode = WAL")
            self._base.execute("PRAGMA synchronous = NORMAL")
            self._base.execute("BEGIN EXCLUSIVE")
            self._base.execute("COMMIT")
            self._base.executescript(_TABLES)
        except sqlite3.OperationalError as error:
            raise StoreError(f"{path.parent} is in use by another run of encode ({error}): wait for its end") from error
        except sqlite3.DatabaseError as error:
            raise StoreError(f"{path} is damaged ({error}): remove {path.parent} and run encode again") from error

    def note(self, key: str) -> Any:
        """What was noted under a key; None for nothing."""
        row = self._base.execute("SELECT value FROM note WHERE key = ?", (key,)).fetchone()
        return None if row is None else json.loads(row[0])

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """What is written in the block is there as a whole, or not at all."""
        self._base.execute("BEGIN")
        try:
            yield
        except BaseException:
            self._base.execute("ROLLBACK")
            raise
        self._base.execute("COMMIT")

    def write_note(self, key: str, value: Any) -> None:
        """Notes a JSON value."""
        self._base.execute("INSERT OR REPLACE INTO note VALUES (?, ?)", (key, json.dumps(value)))

    def forget(self, start: str) -> None:
        """Removes the notes whose keys begin so."""
        self._base.execute("DELETE FROM note WHERE substr(key, 1, ?) = ?", (len(start), start))

    def clear(self) -> None:
        """Forgets everything."""
        with self.transaction():
            for table in ("note", "occurrence", "first", "encoded"):
                self._base.execute(f"DELETE FROM {table}")

    def page(self) -> Page:
        """For the next block of texts."""
        (last,) = self._base.execute("SELECT MAX(place) FROM occurrence").fetchone()
        return Page(0 if last is None else last + 1)

    def keep(self, page: Page) -> None:
        """Writes the texts of a block."""
        self._base.executemany("INSERT INTO occurrence VALUES (?, ?, ?, ?)", page.rows())

    def number(self, path: Path) -> None:
        """Numbers the distinct texts of each space from 0 as they were first met: a number a place, `(places,)` int64.

        Notes how many texts each encoder has as `texts`.
        """
        (places,) = self._base.execute("SELECT COUNT(*) FROM occurrence").fetchone()
        counts: dict[int, int] = {}
        with RowFile.create(path, (places,), np.int64) as numbers, self.transaction():
            self._base.execute("DELETE FROM first")
            cursor = self._base.execute(_FIRSTS)
            while rows := cursor.fetchmany(_ROWS):
                place, space, first = np.array(rows, dtype=np.int64).T
                found, new = np.empty_like(place), first == place
                for one in np.unique(space[new]).tolist():
                    fresh = np.flatnonzero(new & (space == one))
                    start = counts.get(one, 0)
                    found[fresh] = np.arange(start, start + len(fresh))
                    counts[one] = start + len(fresh)
                    if one < SYMBOLS:
                        texts = zip(found[fresh].tolist(), place[fresh].tolist(), strict=True)
                        self._base.executemany("INSERT INTO first VALUES (?, ?, ?)", ((one, *text) for text in texts))
                here = ~new & (first >= place[0])
                found[here] = found[first[here] - place[0]]
                earlier = ~new & (first < place[0])
                found[earlier] = numbers.take(first[earlier])
                numbers.write(int(place[0]), found)
            numbers.sync()
            self.write_note("texts", [counts.get(space, 0) for space in (NAMES, RELATIONS)])

    def texts(self, space: int, start: int, stop: int) -> list[str]:
        """The texts of an encoder by their numbers."""
        rows = self._base.execute(
            "SELECT text FROM first JOIN occurrence USING (place) WHERE first.space = ? AND number >= ? AND number < ? "
            "ORDER BY number",
            (space, start, stop),
        )
        return [text for (text,) in rows]

    def encoded(self, space: int) -> set[int]:
        """The first numbers of the blocks of texts whose vectors are written."""
        rows = self._base.execute("SELECT start FROM encoded WHERE space = ?", (space,))
        return {start for (start,) in rows}

    def write_encoded(self, space: int, start: int) -> None:
        """Says that the vectors of a block are on the disk."""
        self._base.execute("INSERT INTO encoded VALUES (?, ?)", (space, start))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._base.close()


def blocks(count: int, size: int, start: int = 0) -> Sequence[tuple[int, int]]:
    """First and one after the last of each block of so many, from `start` on."""
    return [(first, min(first + size, count)) for first in range(start, count, size)]
