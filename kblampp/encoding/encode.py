"""From a dataset to its projections and stores: what the stage `encode` does.

Memory does not depend on the number of facts, and a run that was killed is gone on with: see `work_folder`.
"""

from __future__ import annotations

import logging
import shutil
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from kblampp.core.errors import DataError, EncoderError, ParamsError, StoreError
from kblampp.core.files import fingerprint, move_into_place
from kblampp.core.params import EncoderParams, of_start
from kblampp.core.progress import progress_bar
from kblampp.data.dataset import TRAINING_KB, DatasetFiles
from kblampp.encoding.assembling import assemble_store, fit_on
from kblampp.encoding.encoders import Encoders
from kblampp.encoding.engines import Engine, LocalEngine, TextBlock
from kblampp.encoding.ledger import NAMES, RELATIONS, blocks
from kblampp.encoding.projections import PROJECTION, Projections, general_relation_labels
from kblampp.encoding.row_file import RowFile
from kblampp.encoding.store import check_build
from kblampp.encoding.vector_cache import computed_with
from kblampp.encoding.work_folder import BLOCK, KB, WORK, WorkFolder, read_dataset

logger = logging.getLogger(__name__)

TEXTS = 2048
"""Texts that are encoded together: enough to sort by length, few enough to do again after a kill."""


def encode_dataset(
    dataset: DatasetFiles,
    output: Path,
    params: EncoderParams,
    encoders: Encoders,
    start: Path | None = None,
    engine: Engine | None = None,
) -> None:
    """Encodes every distinct string once and writes `output/projection` and `output/kb/<kb>`.

    The files do not depend on the processor, the number of threads, the batch size, the engine, or what the cache had.
    They appear when all of them are whole.  Until then everything lies in `output/.encode.tmp`, from where a run of the
    same dataset and encoders goes on.

    Args:
        dataset: Facts and questions.
        output: `store/<dataset>`.
        params: Of the encoder.
        encoders: The ones that they name; nothing that they encode here stays in their memory.
        start: `store/<start_from>`, whose projections are taken over; None to fit them on the training base.
        engine: Who encodes; None for this process.

    Raises:
        DataError: Facts or questions are missing or malformed.
        EncoderError: The sentence encoder or the engine fails.
        StoreError: The projections of `start` are missing, damaged, or of another encoder, or another run is under way.
        ParamsError: They have other widths.
    """
    taken = None if start is None else _take_projections(start, encoders, params)  # before the long part
    labels = general_relation_labels() if taken is None else []  # which only a fit reads
    parts = [dataset.fingerprint, encoders.fingerprint, *computed_with(), *labels, f"blocks of {BLOCK} and {TEXTS}"]
    one_encoder = encoders.names is encoders.relations
    try:
        with WorkFolder.open(output, fingerprint(*parts), one_encoder=one_encoder) as work:
            read_dataset(work, dataset, labels)
            _encode_texts(work, encoders, engine or LocalEngine(encoders))
            projections = _projections(work, taken, encoders, params)
            check_build(1, projections, params.store_dtype, encoders.fingerprint, dataset.kb_of_split)
            total = sum(work.ledger.note(f"facts {kb}")[0] for kb in dataset.kbs)
            with progress_bar(total=total, desc="Rows") as shown:
                for kb in dataset.kbs:
                    splits = [split for split, base in dataset.kb_of_split.items() if base == kb]
                    for done in assemble_store(work, kb, splits, encoders, projections, params.store_dtype):
                        shown.update(done)
            projections.save(output / PROJECTION)
            move_into_place(work.folder / KB, output / KB)
            work.ledger.clear()  # first: what is half removed must not be gone on with
    except (DataError, ParamsError):  # once that is mended, nothing there is of use
        shutil.rmtree(output / WORK)
        with suppress(OSError):  # others are there
            output.rmdir()
        raise
    shutil.rmtree(output / WORK)


def _encode_texts(work: WorkFolder, encoders: Encoders, engine: Engine) -> None:
    """Writes the vectors of all texts that have none yet."""
    spaces = dict(zip((NAMES, RELATIONS), work.n_texts, strict=True))
    done = {space: work.ledger.encoded(space) for space in spaces}
    dim = encoders.names.encoder.dim
    with ExitStack() as stack:
        files = {
            space: stack.enter_context(
                RowFile(work.vectors(space))
                if done[space]
                else RowFile.create(work.vectors(space), (count, dim), "float64")
            )
            for space, count in spaces.items()
        }
        left = [
            (space, first, last)
            for space, count in spaces.items()
            for first, last in blocks(count, TEXTS)
            if first not in done[space]
        ]
        total, n_left, n_cached = sum(spaces.values()), sum(last - first for _, first, last in left), 0
        shown = stack.enter_context(progress_bar(total=total, initial=total - n_left, desc="Texts"))
        asked = (TextBlock(space, first, work.ledger.texts(space, first, last)) for space, first, last in left)
        for block in engine.encode(asked):
            count = min(TEXTS, spaces[block.space] - block.start)
            if block.vectors.shape != (count, dim):
                raise EncoderError(
                    f"encoder {encoders.name!r} gave {count} texts an array {block.vectors.shape}, expected "
                    f"{(count, dim)}; choose another encoder.model"
                )
            files[block.space].write(block.start, block.vectors)
            files[block.space].sync()
            with work.ledger.transaction():
                work.ledger.write_encoded(block.space, block.start)
            n_cached += block.n_cached
            shown.update(count)
    logger.info(
        "%d distinct texts, %d of them encoded before this run was started and %d from the cache of earlier runs",
        total,
        total - n_left,
        n_cached,
    )


def _projections(work: WorkFolder, taken: Projections | None, encoders: Encoders, params: EncoderParams) -> Projections:
    """Those that are taken over, or those that were or are now fitted; with other ones no row of a store stays."""
    folder = work.folder / PROJECTION
    layout = fingerprint(repr(_layout(params)), params.store_dtype, "" if taken is None else taken.fingerprint)
    if work.ledger.note("layout") != layout:
        shutil.rmtree(folder, ignore_errors=True)
        with work.ledger.transaction():
            work.ledger.forget("rows ")
            work.ledger.write_note("layout", layout)
    if taken is not None:
        return taken
    if not folder.is_dir():
        fit_on(work, TRAINING_KB, encoders, **_layout(params)).save(folder)
    return Projections.load(folder)


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
