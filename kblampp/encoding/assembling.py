"""From the vectors of texts to projections and stores, a block of facts at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kblampp.core.files import write_manifest
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
from kblampp.encoding.fact_arrays import FactVectors, float_rows
from kblampp.encoding.ledger import NAMES, blocks
from kblampp.encoding.linear_maps import Moments
from kblampp.encoding.projections import Projections
from kblampp.encoding.row_file import RowFile
from kblampp.encoding.store import manifest_fields
from kblampp.encoding.work_folder import (
    BLOCK,
    HEAD,
    HEAD_SYMBOL,
    RELATION,
    RELATION_SYMBOL,
    SENTENCE,
    TAIL,
    TAIL_SYMBOL,
    WorkFolder,
)


def fit_on(work: WorkFolder, kb: str, encoders: Encoders, **layout: Any) -> Projections:
    """Fits the projections on a base and the general relation labels, as `fit_projections` does, without holding it.

    Args:
        work: The folder, with the vectors of all texts.
        kb: The training base.
        encoders: Whose vectors they are.
        **layout: Widths and whitening, as of `Projections.fit`.

    Raises:
        ParamsError: If the widths leave no room for a block.
        DataError: If there is too little to fit a map on.
    """
    facts, labels = f"facts/{kb}", "labels"
    moments = (
        _counted(work, "entity", NAMES, {facts: (HEAD, TAIL)}),
        _counted(work, "relation", work.relations, {facts: (RELATION,), labels: (0,)}),
        _counted(work, "context", NAMES, {facts: (SENTENCE,)}),
    )
    return Projections.fit(*moments, encoder_name=encoders.name, encoder_fingerprint=encoders.fingerprint, **layout)


def _counted(work: WorkFolder, what: str, space: int, columns: dict[str, Sequence[int]]) -> Moments:
    """The moments of the distinct texts in some columns of places."""
    moments = Moments(what)
    with RowFile(work.numbers) as numbers, RowFile(work.vectors(space)) as vectors:
        # One byte a text, mapped: what the system takes back, it takes back.
        path = work.folder / "places" / f"of_{what}.npy"
        chosen = np.lib.format.open_memmap(path, "w+", np.bool_, (vectors.shape[0],))
        for of, wanted in columns.items():
            with RowFile(work.places(of)) as places:
                for start, stop in blocks(places.shape[0], BLOCK):
                    chosen[numbers.take(places.read(start, stop)[:, wanted]).ravel()] = True
        for start, stop in blocks(vectors.shape[0], BLOCK):
            moments.add(vectors.read(start, stop)[chosen[start:stop]])
    return moments


def assemble_store(
    work: WorkFolder, kb: str, splits: Sequence[str], encoders: Encoders, projections: Projections, dtype: str
) -> Iterator[int]:
    """Writes what a store lacks after its facts were read; yields how many facts are done since the last time.

    Args:
        work: The folder, with the vectors of all texts.
        kb: The base.
        splits: Those that ask about it.
        encoders: Whose vectors they are.
        projections: The fitted maps.
        dtype: Of the float arrays.
    """
    key, folder = f"rows {kb}", work.store(kb)
    done, whole = work.ledger.note(key) or (0, False)
    yield done
    if whole:
        return
    with ExitStack() as stack:
        opened = {
            name: stack.enter_context(RowFile(path))
            for name, path in {
                "places": work.places(f"facts/{kb}"),
                "numbers": work.numbers,
                "names": work.vectors(NAMES),
                "relations": work.vectors(work.relations),
                FIRST_DAYS: folder / FIRST_DAYS,
                LAST_DAYS: folder / LAST_DAYS,
            }.items()
        }
        places, numbers, names, relations = (opened[name] for name in ("places", "numbers", "names", "relations"))
        n = places.shape[0]
        shapes: dict[str, tuple[tuple[int, ...], str]] = {
            KEYS: ((2 * n, projections.d_k), dtype),
            VALUES: ((n, projections.d_v), dtype),
            CONTEXTS: ((n, projections.d_ctx), dtype),
            SENTENCES: ((n, projections.d_sent), dtype),
            ENTITIES: ((n, 2), "int32"),
            RELATIONS: ((n,), "int32"),
        }
        files = {
            name: stack.enter_context(RowFile(folder / name) if done else RowFile.create(folder / name, *shape))
            for name, shape in shapes.items()
        }
        for start, stop in blocks(n, BLOCK, done):
            number = numbers.take(places.read(start, stop))
            ends = names.take(number[:, [HEAD, TAIL, SENTENCE]])
            vectors = FactVectors(ends[:, 0], ends[:, 1], relations.take(number[:, RELATION]), ends[:, 2])
            days = opened[FIRST_DAYS].read(start, stop), opened[LAST_DAYS].read(start, stop)
            keys, inverse_keys, rows = float_rows(vectors, days, projections, dtype)
            rows |= {
                KEYS: keys,
                ENTITIES: number[:, [HEAD_SYMBOL, TAIL_SYMBOL]],
                RELATIONS: number[:, RELATION_SYMBOL],
            }
            for name, written in rows.items():
                files[name].write(start, written)
            files[KEYS].write(n + start, inverse_keys)
            for file in files.values():
                file.sync()
            with work.ledger.transaction():
                work.ledger.write_note(key, (stop, False))
            yield stop - start
        for split in splits:
            _write_questions(work, split, folder / "questions" / f"{split}.npy", numbers, (names, relations), dtype)
    for left in folder.rglob(".*"):  # of a kill
        left.unlink()
    asked = {split: tuple(work.ledger.note(f"questions {split}")) for split in splits}
    write_manifest(folder, "store", manifest_fields(n, encoders, projections, dtype, asked))
    with work.ledger.transaction():
        work.ledger.write_note(key, (n, True))


def _write_questions(
    work: WorkFolder, split: str, path: Path, numbers: RowFile, encoded: tuple[RowFile, RowFile], dtype: str
) -> None:
    """Writes the vectors of a split's questions, of both encoders side by side."""
    with RowFile(work.places(f"questions/{split}")) as places:
        width = sum(vectors.shape[1] for vectors in encoded)
        with RowFile.create(path, (places.shape[0], width), dtype) as file:
            for start, stop in blocks(places.shape[0], BLOCK):
                number: npt.NDArray[np.int64] = numbers.take(places.read(start, stop))
                rows = [vectors.take(number[:, column]) for column, vectors in enumerate(encoded)]
                file.write(start, np.concatenate(rows, axis=1))
            file.sync()
