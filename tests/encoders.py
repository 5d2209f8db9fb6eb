"""Encoders without weights, for tests that must tell two of them apart."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kblampp.core.files import fingerprint
from kblampp.encoding.sentence_encoder import DeterministicEncoder, DoubleArray


class Counting:
    """Passes texts on to a deterministic encoder and remembers them.

    Attributes:
        seen: Every text that it was given, in order.
    """

    def __init__(self, dim: int) -> None:
        self.inner = DeterministicEncoder(dim)
        self.name, self.fingerprint, self.dim = self.inner.name, self.inner.fingerprint, dim
        self.seen: list[str] = []

    def encode(self, texts: Sequence[str], *, progress: bool = False) -> DoubleArray:
        """The vectors of the deterministic encoder."""
        self.seen += texts
        return self.inner.encode(texts, progress=progress)


class Reversed(Counting):
    """The same with the numbers of each vector in the opposite order: a second encoder of the same width."""

    def __init__(self, dim: int) -> None:
        super().__init__(dim)
        self.fingerprint = fingerprint("reversed", self.inner.fingerprint)

    def encode(self, texts: Sequence[str], *, progress: bool = False) -> DoubleArray:
        """The reversed vectors."""
        return np.ascontiguousarray(super().encode(texts, progress=progress)[:, ::-1])
