"""Sentence vectors on disk, so that no run encodes a text that an earlier one on this machine has encoded.

The cache lies outside of the repository and of what DVC knows, since it changes no result: what it gives back is what
was computed, bit for bit. `diskcache` keeps it in one SQLite file, so a killed process leaves no half a vector, two
processes may use it at once, and what was not used for longest goes when it is full.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
import sqlite3
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TypeVar

import diskcache
import numpy as np

from kblampp.core.cache import CACHE_VARIABLE, cache_root
from kblampp.core.files import fingerprint
from kblampp.encoding.sentence_encoder import DETERMINISTIC, DoubleArray, SentenceEncoder

logger = logging.getLogger(__name__)

SIZE_LIMIT = 2 << 30
"""Bytes; a vector of 384 numbers takes 4 KiB, so half a million texts."""

# Part of each key.  Raise the number when the same weights and libraries are made to give other vectors.
_RULE = "float64, unit norm, version 1"
_LIBRARIES = ("sentence-transformers", "tokenizers", "torch", "transformers")
_DIGEST = 16
_BATCH = 512  # texts a transaction: others need not wait long, and what a full cache loses is counted after each

Result = TypeVar("Result")


class VectorCache:
    """Vectors of one encoder by text.

    A cache must not stop the work that it speeds up: what is damaged is reported and thrown away, and a cache that
    cannot be used (no room, no rights, locked) is reported and left alone from then on.
    """

    def __init__(self, folder: Path, encoder_fingerprint: str, dim: int, *, size_limit: int = SIZE_LIMIT) -> None:
        """A cache in `folder`, of vectors of width `dim`; it may hold those of other encoders too.

        Args:
            folder: Made when it is needed; nothing else may lie in it.
            encoder_fingerprint: Of the weights.
            dim: Width of a vector.
            size_limit: Bytes; above it what was not used for longest is removed.
        """
        self.folder = folder
        self._dim = dim
        self._size_limit = size_limit
        self._mark = fingerprint(*computed_with(), encoder_fingerprint)
        self._usable = True
        self._opened: diskcache.Cache | None = None

    def get(self, texts: Sequence[str]) -> dict[str, DoubleArray]:
        """Those of the texts that are there, with their vectors `(dim,)` float64."""
        found: dict[str, DoubleArray] = {}

        def read(cache: diskcache.Cache, batch: Sequence[str]) -> None:
            for text in batch:
                key = self._key(text)
                packed = cache.get(key)
                if packed is None:
                    continue
                vector = self._unpack(key, packed)
                if vector is None:
                    logger.warning("%s holds a damaged vector, which is removed and computed anew", self.folder)
                    cache.delete(key)
                else:
                    found[text] = vector

        self._in_batches(read, texts)
        return found

    def put(self, texts: Sequence[str], vectors: DoubleArray) -> None:
        """Keeps the vectors `(n, dim)` of the texts."""
        rows = dict(zip(texts, vectors, strict=True))

        def write(cache: diskcache.Cache, batch: Sequence[str]) -> None:
            for text in batch:
                key = self._key(text)
                data = rows[text].astype("<f8").tobytes()
                cache.set(key, data + _check(key, data))

        self._in_batches(write, list(rows))

    def close(self) -> None:
        """Gives the file back; the cache opens it again when it is used."""
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    def _key(self, text: str) -> bytes:
        return hashlib.sha256(self._mark.encode() + text.encode("utf-8", "surrogatepass")).digest()

    def _unpack(self, key: bytes, packed: object) -> DoubleArray | None:
        if not isinstance(packed, bytes) or len(packed) != 8 * self._dim + _DIGEST:
            return None
        data = packed[:-_DIGEST]
        return np.frombuffer(data, "<f8").astype(np.float64) if packed[-_DIGEST:] == _check(key, data) else None

    def _in_batches(self, work: Callable[[diskcache.Cache, Sequence[str]], None], texts: Sequence[str]) -> None:
        """Works on some texts at a time, each time in one transaction; goes on after a damaged file is thrown away."""
        for start in range(0, len(texts), _BATCH):
            if not self._usable:
                return
            try:
                self._transact(work, texts[start : start + _BATCH])
            except (sqlite3.OperationalError, diskcache.Timeout, OSError) as error:
                self._give_up(error)
            except sqlite3.DatabaseError as error:  # not a database, or a malformed one
                logger.warning("the cache %s is damaged (%s): it is removed and made anew", self.folder, error)
                self._remove()

    def _transact(self, work: Callable[[diskcache.Cache, Sequence[str]], None], texts: Sequence[str]) -> None:
        if self._opened is None:
            # Room is counted when a transaction ends, so each of its puts removes `cull_limit` of a full cache.
            self._opened = diskcache.Cache(
                str(self.folder), size_limit=self._size_limit, eviction_policy="least-recently-used", cull_limit=2
            )
        with self._opened.transact():
            work(self._opened, texts)

    def _remove(self) -> None:
        self.close()
        try:
            shutil.rmtree(self.folder)
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        self._usable = False
        logger.warning(
            "the cache %s cannot be used (%s), so every text is encoded; set %s to another folder, or to off",
            self.folder,
            error or type(error).__name__,
            CACHE_VARIABLE,
        )


class CachedEncoder:
    """An encoder that asks a cache first; the same vectors as without it.

    Attributes:
        n_cached: Number of texts so far whose vectors the cache had.
    """

    def __init__(self, encoder: SentenceEncoder, cache: VectorCache | None) -> None:
        """Wraps `encoder`; without a cache it passes everything on."""
        self.name = encoder.name
        self.fingerprint = encoder.fingerprint
        self.dim = encoder.dim
        self.n_cached = 0
        self._encoder = encoder
        self._cache = cache

    def encode(self, texts: Sequence[str], *, progress: bool = False) -> DoubleArray:
        """Encode every text, in order: ``(n, dim)`` float64 rows of unit norm."""
        if self._cache is None:
            return self._encoder.encode(texts, progress=progress)
        known = self._cache.get(list(dict.fromkeys(texts)))
        new = [text for text in dict.fromkeys(texts) if text not in known]
        if new:
            vectors = self._encoder.encode(new, progress=progress)
            self._cache.put(new, vectors)
        self.n_cached += len(known)
        known.update(zip(new, vectors, strict=True) if new else ())
        rows = [known[text] for text in texts]
        return np.stack(rows) if rows else np.zeros((0, self.dim))


def with_disk_cache(encoder: SentenceEncoder) -> CachedEncoder:
    """The encoder with the cache of this machine; `deterministic` computes faster than a disk reads, and has none."""
    folder = cache_folder()
    if folder is None or encoder.name == DETERMINISTIC:
        return CachedEncoder(encoder, None)
    return CachedEncoder(encoder, VectorCache(folder, encoder.fingerprint, encoder.dim))


def computed_with() -> list[str]:
    """Besides the weights, all that decides what a text's vector is."""
    return [_RULE, *(f"{library} {version(library)}" for library in _LIBRARIES)]


def cache_folder() -> Path | None:
    """Where the cache lies; None where there is to be none."""
    root = cache_root()
    return None if root is None else root / "sentence-vectors"


def _check(key: bytes, data: bytes) -> bytes:
    """Of key and vector together, so that a vector never stands for another text."""
    return hashlib.sha256(key + data).digest()[:_DIGEST]
