"""The vectors of a fact are those of the pipeline's stores, made with few passes of the encoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from kblampp.base.vectors import DTYPE
from kblampp.encoding.encoded_facts import CONTEXTS, KEYS, VALUES
from kblampp.encoding.encoders import Encoders
from kblampp.encoding.fact_arrays import encode_facts
from kblampp.encoding.projections import fit_projections
from kblampp.encoding.sentence_encoder import DeterministicEncoder
from kblampp.snapshots.fact_encoder import FactEncoder
from tests.kb import WIDTHS, make_facts


class CountedEncoder(DeterministicEncoder):
    """Knows how often it was called."""

    calls = 0

    def encode(self, texts: Sequence[str], *, progress: bool = False) -> Any:
        self.calls += 1
        return super().encode(texts, progress=progress)


def test_names_and_sentence_of_a_fact_take_one_pass_and_give_the_vectors_of_a_store() -> None:
    facts = make_facts()
    plain = Encoders.of(DeterministicEncoder())
    projections = fit_projections(facts, plain, **WIDTHS)
    counted, relations = CountedEncoder(), CountedEncoder()
    made = FactEncoder(Encoders.of(counted, relations), projections).encode(facts[:1])
    assert (counted.calls, relations.calls) == (1, 1)
    stored = encode_facts(facts[:1], plain, projections, DTYPE, {})
    wanted = np.concatenate([stored[KEYS][:1], stored[KEYS][1:], stored[VALUES], stored[CONTEXTS]], axis=1)
    np.testing.assert_array_equal(made, wanted)
