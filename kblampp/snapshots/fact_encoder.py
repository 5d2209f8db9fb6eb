"""What a model reads of a fact: its key, inverse key, value and context vector, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from kblampp.base.vectors import DTYPE
from kblampp.data.facts import FiveTuple, evidence_sentence
from kblampp.encoding.encoded_facts import CONTEXTS, KEYS, VALUES
from kblampp.encoding.encoders import Encoders
from kblampp.encoding.fact_arrays import encode_facts
from kblampp.encoding.projections import Projections

MOST_STRINGS = 1 << 14
"""Texts whose vectors are held from one call to the next, 48 MB an encoder: names come again in facts that stand near
one another, and a million facts must not be held."""


@dataclass(frozen=True, eq=False)
class FactEncoder:
    """Makes the vectors of facts that a model reads.

    Attributes:
        encoders: Of names, sentences and relations.
        projections: Those of the model.
    """

    encoders: Encoders
    projections: Projections

    @cached_property
    def fingerprint(self) -> str:
        """Hash of all that its vectors depend on."""
        return self.projections.fingerprint

    @property
    def widths(self) -> tuple[int, int, int, int]:
        """Of a fact's key, inverse key, value and context vector."""
        projections = self.projections
        return projections.d_k, projections.d_k, projections.d_v, projections.d_ctx

    def encode(self, facts: Sequence[FiveTuple]) -> npt.NDArray[np.float16]:
        """Key, inverse key, value and context vector of each fact side by side, (n, sum of `widths`)."""
        self.encoders.forget(MOST_STRINGS)
        # Names and sentences in one pass, kept by the encoders: of a few texts, a pass mostly reads the weights.
        self.encoders.embed([text for fact in facts for text in _texts(fact)])
        arrays = encode_facts(facts, self.encoders, self.projections, DTYPE, {})
        n = len(facts)
        return np.concatenate([arrays[KEYS][:n], arrays[KEYS][n:], arrays[VALUES], arrays[CONTEXTS]], axis=1)

    def split(self, rows: npt.NDArray[np.float16]) -> list[npt.NDArray[np.float16]]:
        """Keys, inverse keys, values and context vectors of facts, from their rows."""
        return np.split(rows, np.cumsum(self.widths)[:-1], axis=1)


def _texts(fact: FiveTuple) -> tuple[str, str, str]:
    return fact.head.name, fact.tail.name, evidence_sentence(fact)
