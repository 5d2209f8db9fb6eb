"""From a dataset to its projections and stores: what the stage `encode` does."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from kblampp.core.errors import ParamsError, StoreError
from kblampp.core.files import atomic_dir
from kblampp.core.params import EncoderParams, of_start
from kblampp.data.dataset import TRAINING_KB, Dataset
from kblampp.data.facts import evidence_sentence
from kblampp.encoding.encoders import Encoders
from kblampp.encoding.projections import PROJECTION, Projections, fit_projections, general_relation_labels
from kblampp.encoding.store import KBValueStore
from kblampp.time_expressions.parse import without_time

logger = logging.getLogger(__name__)


def encode_dataset(
    dataset: Dataset, output: Path, params: EncoderParams, encoders: Encoders, start: Path | None = None
) -> None:
    """Encodes every distinct string once and writes `output/projection` and `output/kb/<kb>`.

    The files do not depend on the processor, the number of threads, the batch size, or what the cache had.

    Args:
        dataset: Facts and questions.
        output: `store/<dataset>`.
        params: Of the encoder.
        encoders: The ones that they name.
        start: `store/<start_from>`, whose projections are taken over; None to fit them on the training base.

    Raises:
        EncoderError: The sentence encoder fails.
        StoreError: The projections of `start` are missing, damaged, or of another encoder.
        ParamsError: They have other widths.
    """
    taken = None if start is None else _take_projections(start, encoders, params)  # before the long part
    labels = general_relation_labels() if taken is None else []  # which only a fit reads
    _encode_all(dataset, labels, encoders)
    logger.info("%d distinct texts, %d of them from the cache of earlier runs", encoders.n_encoded, encoders.n_cached)
    projections = taken or fit_projections(dataset.kbs[TRAINING_KB], encoders, **_layout(params))
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
                encoders,
                projections,
                dtype=params.store_dtype,
                questions=questions,
            )
    projections.save(output / PROJECTION)


def _layout(params: EncoderParams) -> dict[str, Any]:
    return {name: getattr(params, name) for name in ("d_k", "d_v", "d_ctx", "d_tau", "whitening")}


def _take_projections(start: Path, encoders: Encoders, params: EncoderParams) -> Projections:
    """The projections of another dataset, if they are of this encoder and of these widths."""
    folder = start / PROJECTION
    try:
        projections = Projections.load(folder)
    except StoreError as error:
        raise StoreError(f"start_from is {start.name}, but {error} {of_start(start.name)}") from error
    if projections.encoder_fingerprint != encoders.fingerprint:
        fitted = projections.encoder_name
        same = fitted == encoders.name  # which says nothing of the weights: tuned ones have no name of their own
        raise StoreError(
            f"start_from is {start.name}, but {folder} was fitted on {'other weights, plain or tuned, of ' * same}"
            f"encoder {fitted!r} ({projections.encoder_fingerprint[:12]}), expected {encoders.name!r} "
            f"({encoders.fingerprint[:12]}); "
            + (f"run `dvc repro trainA` {of_start(start.name)}" if same else f"set encoder.model to {fitted}")
            + ", or set start_from to scratch"
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


def _encode_all(dataset: Dataset, labels: list[str], encoders: Encoders) -> None:
    """Encodes every text of a dataset in long runs with a progress bar; the stores then find all of them done."""
    facts = [fact for every in dataset.kbs.values() for fact in every]
    questions = [without_time(question.question) for every in dataset.questions.values() for question in every]
    names = [text for fact in facts for text in (fact.head.name, fact.tail.name, evidence_sentence(fact))]
    encoders.embed(list(dict.fromkeys([*names, *questions])), progress=True)
    relations = [*labels, *(fact.relation.name for fact in facts), *questions]
    encoders.embed_relations(list(dict.fromkeys(relations)), progress=True)
