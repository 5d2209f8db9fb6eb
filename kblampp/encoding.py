"""From a dataset to its projections and stores: what the stage `encode` does."""

from __future__ import annotations

import logging
from pathlib import Path

from kblampp.artifacts import atomic_dir
from kblampp.config import EncoderParams
from kblampp.datasets import Dataset
from kblampp.encoder import EmbeddingCache, load_encoder
from kblampp.kb_store import KBValueStore
from kblampp.projections import PROJECTION, fit_projections, general_relation_labels
from kblampp.prompts import evidence_sentence

logger = logging.getLogger(__name__)


def encode_dataset(dataset: Dataset, output: Path, params: EncoderParams) -> None:
    """Encodes every distinct string once and writes `output/projection` and `output/kb/<kb>`.

    Raises:
        EncoderError: The sentence encoder is not to be had.
    """
    encoder = load_encoder(params.model, batch_size=params.batch_size)
    cache = EmbeddingCache(encoder)
    cache.embed(_all_texts(dataset), progress=True)
    logger.info("encoded %d distinct texts", cache.n_encoded)
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
    with atomic_dir(output / "kb") as folder:
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
    projections.save(output / PROJECTION)


def _all_texts(dataset: Dataset) -> list[str]:
    texts = [
        name for facts in dataset.kbs.values() for f in facts for name in (f.head.name, f.relation.name, f.tail.name)
    ]
    texts += [evidence_sentence(fact) for facts in dataset.kbs.values() for fact in facts]
    texts += [question.question for questions in dataset.questions.values() for question in questions]
    return list(dict.fromkeys([*texts, *general_relation_labels()]))
