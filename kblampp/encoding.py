"""From a dataset to its stores and indexes: what the stages `encode` and `index` do."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np

from kblampp.artifacts import atomic_dir, write_json
from kblampp.config import EncoderParams, IndexParams
from kblampp.datasets import Dataset
from kblampp.encoder import EmbeddingCache, load_encoder
from kblampp.errors import StoreError
from kblampp.kb_store import KBValueStore
from kblampp.knowledge_index import KnowledgeIndex, recall_against_exact
from kblampp.projections import Projections, fit_projections, general_relation_labels
from kblampp.prompts import evidence_sentence

logger = logging.getLogger(__name__)
PROJECTION = "projection"
RECALLS = (1, 8, 32)
INDEX_OPTIONS = (
    "method",
    "similarity",
    "hnsw_m",
    "hnsw_ef_construction",
    "hnsw_ef_search",
    "ivf_nlist",
    "ivf_nprobe",
    "pq_m",
    "pq_bits",
)


def encode_dataset(dataset: Dataset, output: Path, params: EncoderParams) -> None:
    """Encodes every distinct string once and writes `output/projection` and `output/<kb>`.

    Raises:
        EncoderError: The sentence encoder is not to be had.
    """
    encoder = load_encoder(params.model, batch_size=params.batch_size)
    cache = EmbeddingCache(encoder)
    cache.embed(_all_texts(dataset), progress=True)
    logger.info("encoded %d distinct texts", cache.n_encoded)
    with atomic_dir(output) as folder:
        projections = fit_projections(
            dataset.kbs[dataset.projection_kb],
            cache.embed,
            d_k=params.d_k,
            d_v=params.d_v,
            d_ctx=params.d_ctx,
            d_tau=params.d_tau,
            whitening=params.whitening,
            encoder_name=encoder.name,
            encoder_fingerprint=encoder.fingerprint,
        )
        projections.save(folder / PROJECTION)
        for kb, facts in dataset.kbs.items():
            questions = {
                split: [question.question for question in dataset.questions[split]]
                for split, asked in dataset.kb_of_split.items()
                if asked == kb
            }
            KBValueStore.build(
                folder / kb,
                facts,
                cache.embed,
                projections,
                dtype=params.store_dtype,
                encoder_name=encoder.name,
                encoder_fingerprint=encoder.fingerprint,
                questions=questions,
            )


def build_indexes(dataset: Dataset, stores: Path, output: Path, params: IndexParams, *, seed: int) -> dict[str, Any]:
    """Builds `output/<kb>` for each knowledge base and checks it against exact search.

    Returns:
        `{kb: {"n": facts, "recall_at_1": …, "recall_at_8": …, "recall_at_32": …}}` of the questions' untrained queries.

    Raises:
        StoreError: A store is damaged, the options do not fit it, or recall@8 is below `min_recall_at_8`.
    """
    projections = Projections.load(stores / PROJECTION)
    report: dict[str, Any] = {}
    with atomic_dir(output) as folder:
        for kb in dataset.kbs:
            store = KBValueStore.load(stores / kb, projections.fingerprint)
            options = {name: getattr(params, name) for name in INDEX_OPTIONS}
            index = KnowledgeIndex.build(store.keys, seed=seed, keys_sha256=store.keys_sha256, **options)
            index.save(folder / kb)
            report[kb] = {"n": store.n, **_self_check(index, store, projections)}
            found = report[kb]["recall_at_8"]
            if found < params.min_recall_at_8:
                raise StoreError(
                    f"the {params.method} index of knowledge base {kb} has recall@8 {found:.3f} against exact search, expected "
                    f"at least index.min_recall_at_8 {params.min_recall_at_8}; raise index.hnsw_ef_search or index.ivf_nprobe, "
                    "or use index.method flat"
                )
    return report


def write_index_report(path: Path, report: dict[str, Any]) -> None:
    """Writes the self-check, rounded so that it stays readable in git."""
    write_json(path, {kb: {name: round(value, 5) for name, value in row.items()} for kb, row in report.items()})


def _self_check(index: KnowledgeIndex, store: KBValueStore, projections: Projections) -> dict[str, float]:
    """Recall of the questions' untrained queries [E ; R] e_q, all splits of the base together."""
    vectors = np.concatenate([store.question_vectors(split) for split in store.splits])
    recall = recall_against_exact(index, store.keys, projections.keys(vectors, vectors), RECALLS)
    return {f"recall_at_{k}": recall[k] for k in RECALLS}


def _all_texts(dataset: Dataset) -> list[str]:
    texts = [name for facts in dataset.kbs.values() for f in facts for name in (f.head.name, f.relation.name, f.tail.name)]
    texts += [evidence_sentence(fact) for facts in dataset.kbs.values() for fact in facts]
    texts += [question.question for questions in dataset.questions.values() for question in questions]
    return list(dict.fromkeys([*texts, *general_relation_labels()]))
