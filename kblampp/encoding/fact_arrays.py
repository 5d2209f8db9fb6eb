"""Facts to the arrays of a store: what `store` writes, computed in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from kblampp.core.errors import StoreError
from kblampp.data.facts import FiveTuple, evidence_sentence
from kblampp.data.windows import window_bounds
from kblampp.encoding.encoded_facts import CONTEXTS, ENTITIES, FIRST_DAYS, KEYS, LAST_DAYS, RELATIONS, VALUES
from kblampp.encoding.encoders import Encoders
from kblampp.encoding.growing import Numbering, numbers_of
from kblampp.encoding.projections import Projections


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
    tau_min, tau_max = symbols[FIRST_DAYS], symbols[LAST_DAYS]
    return {
        KEYS: np.concatenate([projections.keys(head, relation), projections.keys(tail, relation)]).astype(dtype),
        VALUES: projections.values(tail, context, tau_min, tau_max).astype(dtype),
        CONTEXTS: projections.contexts(context).astype(dtype),
        "meta/sent_vec.npy": context.astype(dtype),
        **symbols,
        **{f"questions/{split}.npy": encoders.embed_questions(t).astype(dtype) for split, t in questions.items()},
    }


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
        tau_min, tau_max = window_bounds([fact.window for fact in facts])
        ends = [_symbol(end.id, end.name) for fact in facts for end in (fact.head, fact.tail)]
        relations = [_symbol(fact.relation.id, fact.relation.name) for fact in facts]
        return {
            FIRST_DAYS: tau_min.astype(np.int32),
            LAST_DAYS: tau_max.astype(np.int32),
            ENTITIES: numbers_of(ends, self.entities).reshape(-1, 2),
            RELATIONS: numbers_of(relations, self.relations),
        }


def _symbol(identifier: str | None, name: str) -> str:
    """What tells an entity or relation from others: its id, or its name where it has none."""
    return f"id {identifier}" if identifier else f"name {name}"
