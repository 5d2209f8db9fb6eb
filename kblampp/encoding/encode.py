"""From a dataset to its projections and stores: what the stage `encode` does."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from kblampp.core.errors import ParamsError, StoreError
from kblampp.core.files import atomic_dir
from kblampp.core.params import EncoderParams
from kblampp.data.dataset import TRAINING_KB, Dataset
from kblampp.data.facts import evidence_sentence, inverse_phrase, key_phrase
from kblampp.encoding.projections import PROJECTION, Projections, fit_projections, general_relation_labels
from kblampp.encoding.sentence_encoder import EmbeddingCache, SentenceEncoder, load_encoder
from kblampp.encoding.store import KBValueStore
from kblampp.encoding.vector_cache import with_disk_cache
from kblampp.time_expressions.parse import without_time

logger = logging.getLogger(__name__)


def encode_dataset(dataset: Dataset, output: Path, params: EncoderParams, start: Path | None = None) -> None:
    """Encodes every distinct string once and writes `output/projection` and `output/kb/<kb>`.

    The files do not depend on the processor, the number of threads, the batch size, or what the cache had.

    Args:
        dataset: Facts and questions.
        output: `store/<dataset>`.
        params: Of the encoder.
        start: `store/<start_from>`, whose projections are taken over; None to fit them on the training base.

    Raises:
        EncoderError: The sentence encoder is not to be had.
        StoreError: The projections of `start` are missing, damaged, or of another encoder.
        ParamsError: They have other widths.
    """
    encoder = with_disk_cache(load_encoder(params.model, batch_size=params.batch_size))
    taken = None if start is None else _take_projections(start, encoder, params)  # before the long part
    cache = EmbeddingCache(encoder)
    labels = general_relation_labels() if taken is None else []  # which only a fit reads
    cache.embed(list(dict.fromkeys([*_all_texts(dataset), *labels])), progress=True)
    logger.info("%d distinct texts, %d of them from the cache of earlier runs", cache.n_encoded, encoder.n_cached)
    projections = taken or fit_projections(
        dataset.kbs[TRAINING_KB],
        cache.embed,
        **_layout(params),
        encoder_name=encoder.name,
        encoder_fingerprint=encoder.fingerprint,
    )
    with atomic_dir(output / "kb") as folder:
        for kb, facts in dataset.kbs.items():
            questions = {
                split: [without_time(question.question) for question in dataset.questions[split]]
                for split, base in dataset.kb_of_split.items()
                if base == kb
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


def _layout(params: EncoderParams) -> dict[str, Any]:
    return {name: getattr(params, name) for name in ("d_k", "d_v", "d_ctx", "d_tau", "whitening")}


def _take_projections(start: Path, encoder: SentenceEncoder, params: EncoderParams) -> Projections:
    """The projections of another dataset, if they are of this encoder and of these widths."""
    folder = start / PROJECTION
    try:
        projections = Projections.load(folder)
    except StoreError as error:
        raise StoreError(f"start_from is {start.name}, but {error} with dataset: {start.name}") from error
    if projections.encoder_fingerprint != encoder.fingerprint:
        raise StoreError(
            f"start_from is {start.name}, but {folder} was fitted on encoder {projections.encoder_name!r} "
            f"({projections.encoder_fingerprint[:12]}), expected {encoder.name!r} ({encoder.fingerprint[:12]}); "
            f"set encoder.model to {projections.encoder_name}, or start_from to scratch"
        )
    other = [
        f"encoder.{name} is {wanted}, not {found}"
        for name, wanted in _layout(params).items()
        if (found := getattr(projections, name)) != wanted
    ]
    if other:
        raise ParamsError(
            f"start_from is {start.name}, but {folder} was made with other parameters ({'; '.join(other)}): "
            "set them to those, or start_from to scratch"
        )
    return projections


def _all_texts(dataset: Dataset) -> list[str]:
    texts = [
        name for facts in dataset.kbs.values() for f in facts for name in (f.head.name, f.relation.name, f.tail.name)
    ]
    texts += [
        text
        for facts in dataset.kbs.values()
        for fact in facts
        for text in (key_phrase(fact), inverse_phrase(fact), evidence_sentence(fact))
    ]
    texts += [without_time(question.question) for questions in dataset.questions.values() for question in questions]
    return texts
