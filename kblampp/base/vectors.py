"""The vectors of a base's facts: each distinct content is encoded once and kept beside the facts.

They are derived from the facts alone, so a model that encodes otherwise only means that they are computed anew, and a
process that dies while it encodes loses what it had not yet kept and nothing else.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from kblampp.base.database import Database
from kblampp.base.states import digest_of, read_content
from kblampp.core.errors import StoreError
from kblampp.core.progress import progress_bar
from kblampp.data.facts import FiveTuple

logger = logging.getLogger(__name__)
DTYPE = "float16"
BATCH = 256
"""Facts whose vectors are kept in one transaction."""
FEW = 32
"""Facts that are encoded without a progress bar."""


class VectorMaker(Protocol):
    """What makes the vectors of facts, as `FactEncoder` does."""

    @property
    def fingerprint(self) -> str:
        """Hash of all that its vectors depend on."""

    @property
    def widths(self) -> Sequence[int]:
        """Of the parts of a fact's row."""

    def encode(self, facts: Sequence[FiveTuple]) -> npt.NDArray[np.float16]:
        """A row a fact, (n, sum of `widths`)."""


class VectorTable:
    """The vectors of one encoder in the file of a base."""

    def __init__(self, database: Database, encoder: VectorMaker) -> None:
        """Those that `encoder` makes; nothing is computed yet."""
        self._database = database
        self._encoder = encoder
        self._keeping = not database.read_only

    def rows(self, facts: Sequence[FiveTuple], digests: Sequence[bytes] | None = None) -> npt.NDArray[np.float16]:
        """The vectors of facts, a row each as the encoder makes it; what is not there is computed and kept.

        Args:
            facts: The facts.
            digests: Theirs, where they are known.
        """
        if digests is None:
            digests = [digest_of(fact) for fact in facts]
        found = self._read(digests)
        missing = {digest: fact for digest, fact in zip(digests, facts, strict=True) if digest not in found}
        if missing:
            found |= self._encode(missing)
        width = sum(self._encoder.widths)
        rows = np.empty((len(facts), width), dtype=DTYPE)
        for place, digest in enumerate(digests):
            rows[place] = np.frombuffer(found[digest], dtype=DTYPE)
        return rows

    def _read(self, digests: Sequence[bytes]) -> dict[bytes, bytes]:
        wanted, size = set(digests), sum(self._encoder.widths) * np.dtype(DTYPE).itemsize
        with self._database.reading() as connection:
            query = "SELECT digest, numbers FROM vectors WHERE encoder = ?"
            if len(wanted) <= BATCH:
                rows = connection.execute(
                    f"{query} AND digest IN ({', '.join('?' * len(wanted))})", (self._encoder.fingerprint, *wanted)
                ).fetchall()
            else:
                rows = connection.execute(query, (self._encoder.fingerprint,)).fetchall()
        return {digest: numbers for digest, numbers in rows if digest in wanted and len(numbers) == size}

    def _encode(self, missing: Mapping[bytes, FiveTuple]) -> dict[bytes, bytes]:
        found: dict[bytes, bytes] = {}
        items = list(missing.items())
        with progress_bar(
            total=len(items), desc="Encoding facts", unit="facts", leave=False, disable=len(items) <= FEW
        ) as progress:
            for start in range(0, len(items), BATCH):
                part = items[start : start + BATCH]
                rows = self._encoder.encode([fact for _, fact in part])
                made = {digest: row.tobytes() for (digest, _), row in zip(part, rows, strict=True)}
                self._keep(made)
                found |= made
                progress.update(len(part))
        return found

    def _keep(self, made: Mapping[bytes, bytes]) -> None:
        if not self._keeping:
            return
        rows = [(self._encoder.fingerprint, digest, numbers) for digest, numbers in made.items()]
        try:
            with self._database.writing() as connection:
                connection.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?, ?)", rows)
        except StoreError as error:  # who only reads must not fail because of what can be computed again
            logger.warning("the vectors of facts are not kept: %s", error)
            self._keeping = False

    def make_missing(self) -> int:
        """Makes the vectors that facts of the present state lack; how many."""
        with self._database.reading() as connection:
            numbers = [
                number
                for (number,) in connection.execute(
                    "SELECT v.id FROM versions v WHERE v.until IS NULL AND NOT EXISTS "
                    "(SELECT 1 FROM vectors x WHERE x.encoder = ? AND x.digest = v.digest)",
                    (self._encoder.fingerprint,),
                )
            ]
        with progress_bar(
            total=len(numbers), desc="Encoding facts", unit="facts", leave=False, disable=len(numbers) <= FEW
        ) as progress:
            for start in range(0, len(numbers), BATCH):  # a few at a time: all texts and vectors need not be held
                page = numbers[start : start + BATCH]
                marks = ", ".join("?" * len(page))
                with self._database.reading() as connection:
                    rows = connection.execute(
                        f"SELECT digest, content FROM versions WHERE id IN ({marks}) ORDER BY id", page
                    ).fetchall()
                self._encode({digest: read_content(content) for digest, content in rows})
                progress.update(len(page))
        return len(numbers)

    def forget_others(self) -> int:
        """Removes vectors of other encoders, and of facts that no state of the base has any more; how many."""
        with self._database.writing() as connection:
            cursor = connection.execute(
                "DELETE FROM vectors WHERE encoder <> ? OR digest NOT IN (SELECT digest FROM versions)",
                (self._encoder.fingerprint,),
            )
            return cursor.rowcount
