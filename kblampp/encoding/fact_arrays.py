"""Facts to the arrays of a store: what `store` writes, computed in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from kblampp.core.errors import StoreError
from kblampp.data.facts import Entity, FiveTuple, Relation, evidence_sentence
from kblampp.data.windows import window_bounds
from kblampp.encoding.encoded_facts import (
    CONTEXTS,
    ENTITIES,
    FIRST_DAYS,
    KEYS,
    LAST_DAYS,
    RELATIONS,
    SENTENCES,
    VALUES,
)
from kblampp.encoding.encoders import Encoders
from kblampp.encoding.growing import Numbering, numbers_of
from kblampp.encoding.linear_maps import IntArray
from kblampp.encoding.projections import Projections
from kblampp.encoding.sentence_encoder import DoubleArray


def encode_facts(
    facts: Sequence[FiveTuple],
    encoders: Encoders,
    projections: Projections,
    dtype: str,
    questions: Mapping[str, Sequence[str]],
) -> dict[str, npt.NDArray[Any]]:
    """Every array of a store by its file's name.

    Args:
        facts: The KB.
        encoders: Make vectors of the texts.
        projections: The fitted maps.
        dtype: ``float16`` or ``float32``, of the float arrays.
        questions: Question texts by split.

    Raises:
        StoreError: If the vectors are not as wide as the projections take them.
    """
    head, tail = (encoders.embed([getattr(fact, end).name for fact in facts]) for end in ("head", "tail"))
    relation = encoders.embed_relations([fact.relation.name for fact in facts])
    context = encoders.embed([evidence_sentence(fact) for fact in facts])
    if head.shape[1] != projections.d_sent:
        raise StoreError(
            f"the encoder's vectors have width {head.shape[1]}, but the projections take "
            f"{projections.d_sent}; run `dvc repro encode`"
        )
    symbols = SymbolNumbers().arrays(facts)
    days = symbols[FIRST_DAYS], symbols[LAST_DAYS]
    keys, inverse_keys, floats = float_rows(FactVectors(head, tail, relation, context), days, projections, dtype)
    return {
        KEYS: np.concatenate([keys, inverse_keys]),
        **floats,
        **symbols,
        **{f"questions/{split}.npy": encoders.embed_questions(t).astype(dtype) for split, t in questions.items()},
    }


@dataclass(frozen=True)
class FactVectors:
    """What encoders make of the texts of facts, each `(n, d_sent)` float64.

    Attributes:
        head: Of the heads' names.
        tail: Of the tails' names.
        relation: Of the relations' labels.
        context: Of the evidence sentences.
    """

    head: DoubleArray
    tail: DoubleArray
    relation: DoubleArray
    context: DoubleArray


def float_rows(
    vectors: FactVectors, days: tuple[IntArray, IntArray], projections: Projections, dtype: str
) -> tuple[npt.NDArray[Any], npt.NDArray[Any], dict[str, npt.NDArray[Any]]]:
    """The rows of some facts in the float arrays of a store: keys, inverse keys, and the others by their files' names.

    Args:
        vectors: Of the facts.
        days: First days and first days after the windows, ``(n,)`` each.
        projections: The fitted maps.
        dtype: Of the rows.
    """
    keys, inverse = (projections.keys(end, vectors.relation).astype(dtype) for end in (vectors.head, vectors.tail))
    others = {
        VALUES: projections.values(vectors.tail, vectors.context, *days).astype(dtype),
        CONTEXTS: projections.contexts(vectors.context).astype(dtype),
        SENTENCES: vectors.context.astype(dtype),
    }
    return keys, inverse, others


@dataclass(frozen=True)
class SymbolNumbers:
    """Numbers of entities and relations, which stay while facts come and go.

    Attributes:
        entities: Those of heads and tails.
        relations: Those of relations.
    """

    entities: Numbering = field(default_factory=Numbering)
    relations: Numbering = field(default_factory=Numbering)

    def arrays(self, facts: Sequence[FiveTuple]) -> dict[str, npt.NDArray[np.int32]]:
        """The arrays that need no encoder: days of the windows and numbers of entities and relations."""
        ends = [symbol(end) for fact in facts for end in (fact.head, fact.tail)]
        relations = [symbol(fact.relation) for fact in facts]
        return {
            **day_rows(facts),
            ENTITIES: numbers_of(ends, self.entities).reshape(-1, 2),
            RELATIONS: numbers_of(relations, self.relations),
        }


def day_rows(facts: Sequence[FiveTuple]) -> dict[str, npt.NDArray[np.int32]]:
    """The rows of some facts in the arrays of days, by their files' names."""
    tau_min, tau_max = window_bounds([fact.window for fact in facts])
    return {FIRST_DAYS: tau_min.astype(np.int32), LAST_DAYS: tau_max.astype(np.int32)}


def symbol(of: Entity | Relation) -> str:
    """What tells an entity or relation from others: its id, or its name where it has none."""
    return f"id {of.id}" if of.id else f"name {of.name}"
