"""Facts to the arrays of a store: what `store` writes, computed in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from kblampp.core.errors import StoreError
from kblampp.data.facts import FiveTuple, evidence_sentence, inverse_phrase, key_phrase
from kblampp.data.windows import window_bounds
from kblampp.encoding.projections import Projections
from kblampp.encoding.sentence_encoder import Embed, embed_unique

_Numbers = dict[tuple[str, str], int]


def encode_facts(
    facts: Sequence[FiveTuple],
    embed: Embed,
    projections: Projections,
    dtype: str,
    questions: Mapping[str, Sequence[str]],
) -> dict[str, npt.NDArray[Any]]:
    """Every array of a store by its file's name.

    Args:
        facts: The KB.
        embed: Strings to ``(n, d_sent)`` vectors; called once.
        projections: The fitted maps.
        dtype: ``float16`` or ``float32``, of the float arrays.
        questions: Question texts by split.

    Raises:
        StoreError: If the vectors are not as wide as the projections take them.
    """
    groups = {
        "head": [fact.head.name for fact in facts],
        "relation": [fact.relation.name for fact in facts],
        "tail": [fact.tail.name for fact in facts],
        "phrase": [key_phrase(fact) for fact in facts],
        "inverse": [inverse_phrase(fact) for fact in facts],
        "context": [evidence_sentence(fact) for fact in facts],
        **{f"questions/{split}.npy": list(texts) for split, texts in questions.items()},
    }
    # One call for everything, so that no string is encoded twice and batches are full.
    vectors = embed_unique(embed, [text for texts in groups.values() for text in texts])
    if vectors.shape[1] != projections.d_sent:
        raise StoreError(
            f"the encoder's vectors have width {vectors.shape[1]}, but the projections take "
            f"{projections.d_sent}; run `dvc repro encode`"
        )
    ends = np.cumsum([len(texts) for texts in groups.values()])
    part = dict(zip(groups, np.split(vectors, ends[:-1]), strict=True))
    tau_min, tau_max = window_bounds([fact.window for fact in facts])
    entities, relations = _Numbers(), _Numbers()
    pairs = [[_number(e.id, e.name, entities) for e in (f.head, f.tail)] for f in facts]
    of_relation = [_number(f.relation.id, f.relation.name, relations) for f in facts]
    keys = projections.keys(part["head"], part["relation"], part["phrase"])
    inverse = projections.keys(part["tail"], part["relation"], part["inverse"])
    return {
        "K.npy": np.concatenate([keys, inverse]).astype(dtype),
        "V.npy": projections.values(part["tail"], part["context"], tau_min, tau_max).astype(dtype),
        "meta/ctx_vec.npy": projections.contexts(part["context"]).astype(dtype),
        "meta/sent_vec.npy": part["context"].astype(dtype),
        "meta/tau_min.npy": tau_min.astype(np.int32),
        "meta/tau_max.npy": tau_max.astype(np.int32),
        "meta/entity_ids.npy": np.array(pairs, dtype=np.int32),
        "meta/rel_ids.npy": np.array(of_relation, dtype=np.int32),
        **{name: part[name].astype(dtype) for name in groups if name.endswith(".npy")},
    }


def _number(identifier: str | None, name: str, numbers: _Numbers) -> int:
    """The integer of an entity or relation: by its id, or by its name where it has none."""
    key = ("id", identifier) if identifier else ("name", name)
    return numbers.setdefault(key, len(numbers))
