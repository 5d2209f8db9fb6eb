"""From stores to checked search indexes: what the stage `index` does."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kblampp.core.errors import StoreError
from kblampp.core.files import atomic_dir, write_json
from kblampp.core.params import IndexParams
from kblampp.encoding.projections import PROJECTION, Projections
from kblampp.encoding.store import KBValueStore
from kblampp.index.knowledge_index import KnowledgeIndex, SearchIndex, recall_against_exact
from kblampp.index.milvus_index import ENGINE, MilvusIndex

logger = logging.getLogger(__name__)
RECALLS = (1, 8, 32)
OWN_QUERIES = 2000
"""At most so many keys check the index of a base without questions."""
INDEX_OPTIONS = ("factory", "search", "similarity")
"""What of `IndexParams` goes to the index of either engine."""


def build_indexes(kbs: Sequence[str], folder: Path, params: IndexParams) -> dict[str, Any]:
    """Builds `folder/index/<kb>` for each knowledge base in `folder/kb` and checks it against exact search.

    Returns:
        `{kb: {"n": facts, "recall_at_1": …, "recall_at_8": …, "recall_at_32": …}}` of the questions' untrained queries;
        of a base without questions, of some of its own keys.

    Raises:
        StoreError: A store is damaged, the options do not fit it, or recall@8 is below `min_recall_at_8`.
    """
    projections = Projections.load(folder / PROJECTION)
    report: dict[str, Any] = {}
    with atomic_dir(folder / "index") as output:
        for kb in kbs:
            store = KBValueStore.load(folder / "kb" / kb, projections.fingerprint)
            index = _built(store, params)
            index.save(output / kb)
            report[kb] = {"n": store.n, **_self_check(index, store, projections, params.similarity)}
            found = report[kb]["recall_at_8"]
            if found < params.min_recall_at_8:
                kind = index.factory if isinstance(index, KnowledgeIndex) else params.engine
                raise StoreError(
                    f"the index {kind} of knowledge base {kb} has recall@8 {found:.3f} against exact search, "
                    f"expected at least {params.min_recall_at_8} (index.min_recall_at_8); "
                    "search wider with index.search (efSearch for HNSW, nprobe for IVF), or set index.factory to Flat"
                )
    return report


def _built(store: KBValueStore, params: IndexParams) -> KnowledgeIndex | MilvusIndex:
    """The index of a store by the engine that the parameters name."""
    options = {name: getattr(params, name) for name in INDEX_OPTIONS}
    if params.engine == ENGINE and params.uri is not None:
        return MilvusIndex.build(store, uri=params.uri, **options)
    return KnowledgeIndex.build(store.keys, keys_sha256=store.keys_sha256, **options)


def write_index_report(path: Path, report: dict[str, Any]) -> None:
    """Writes the self-check, rounded so that it stays readable in git."""
    write_json(path, {kb: {name: round(value, 5) for name, value in row.items()} for kb, row in report.items()})


def _self_check(index: SearchIndex, store: KBValueStore, projections: Projections, similarity: str) -> dict[str, float]:
    """Recall of the questions' untrained queries [E e_q ; R e_q'], all splits of the base together.

    A base without questions is searched with keys of its own: queries that name a head and a relation as it does.
    """
    if store.splits:
        vectors = np.concatenate([store.question_vectors(split) for split in store.splits])
        queries = projections.queries(vectors)
    else:
        rows = np.unique(np.linspace(0, store.n - 1, OWN_QUERIES).astype(int))
        queries = np.asarray(store.keys[rows], dtype=np.float32)
        logger.info("%s has no questions: the index is checked with %d of its keys", store.directory, len(rows))
    recall = recall_against_exact(index, store.keys, queries, RECALLS, similarity=similarity)
    return {f"recall_at_{k}": recall[k] for k in RECALLS}
