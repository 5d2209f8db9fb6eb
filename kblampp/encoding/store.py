"""A knowledge base on disk: its arrays, its facts, the vectors of its questions, and a manifest that they must fit."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from kblampp.core.errors import DataError, StoreError
from kblampp.core.files import atomic_dir, fingerprint, read_manifest, save_array, write_manifest
from kblampp.data.facts import FiveTuple, read_facts, write_facts
from kblampp.encoding.encoded_facts import (
    CONTEXTS,
    ENTITIES,
    FIRST_DAYS,
    KEYS,
    LAST_DAYS,
    RELATIONS,
    SENTENCES,
    VALUES,
    EncodedFacts,
)
from kblampp.encoding.encoders import Encoders
from kblampp.encoding.fact_arrays import encode_facts
from kblampp.encoding.projections import Projections
from kblampp.encoding.sentence_encoder import FloatArray

_DTYPES = ("float16", "float32")
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_-]+")


class KBValueStore(EncodedFacts):
    """A store that has been checked against its manifest; keys and values stay on disk, as memory maps.

    Its arrays are float16 or float32; a fact's row is its line number in ``facts.jsonl``.

    Attributes:
        directory: Where the store lies.
        manifest: Its manifest.
    """

    def __init__(self, directory: Path, manifest: Mapping[str, Any]) -> None:
        """Open the arrays; use :meth:`load`, which checks the manifest first."""
        self.directory = directory
        self.manifest = manifest
        try:
            n = int(manifest["n"])
            dims = {name: int(width) for name, width in manifest["dims"].items()}
            dtype = str(manifest["dtype"])
            widths = (dims["d_k"], dims["d_v"], dims["d_ctx"])
            self.encoder_name = str(manifest["encoder"]["name"])
            self.encoder_fingerprint = str(manifest["encoder"]["fingerprint"])
            self.projection_fingerprint = str(manifest["projection_fingerprint"])
            self.keys_sha256 = str(manifest["files"][KEYS]["sha256"])
            self._questions = {str(k): int(v) for k, v in manifest["questions"].items()}
            self._asked = {str(k): str(v) for k, v in manifest["questions_sha256"].items()}
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise StoreError(
                f"{directory}: the manifest lacks what a store must state ({error!r}); run `dvc repro encode`"
            ) from error
        self.dims = dims
        self.dtype = dtype
        arrays = {
            KEYS: self._open(KEYS, (2 * n, widths[0]), dtype, mapped=True),
            VALUES: self._open(VALUES, (n, widths[1]), dtype, mapped=True),
            CONTEXTS: self._open(CONTEXTS, (n, widths[2]), dtype),
            FIRST_DAYS: self._open(FIRST_DAYS, (n,), "int32"),
            LAST_DAYS: self._open(LAST_DAYS, (n,), "int32"),
            ENTITIES: self._open(ENTITIES, (n, 2), "int32"),
            RELATIONS: self._open(RELATIONS, (n,), "int32"),
        }
        super().__init__(directory.name, arrays, None)

    @classmethod
    def build(
        cls,
        directory: Path,
        facts: Sequence[FiveTuple],
        encoders: Encoders,
        projections: Projections,
        *,
        dtype: str = "float16",
        questions: Mapping[str, Sequence[str]] | None = None,
    ) -> KBValueStore:
        """Encode a KB and write it to ``directory``; an older store there is replaced at the end.

        Args:
            facts: The KB, in the order of its file.
            encoders: Make vectors of the texts; those of the projections.
            projections: The fitted maps.
            dtype: ``float16`` or ``float32``, of keys, values, contexts and question vectors.
            questions: Question texts by split, encoded to ``questions/<split>.npy``.

        Raises:
            StoreError: If encoder and projections do not fit, or an argument is not as above.
            DataError: If there are no facts.
        """
        questions = dict(questions or {})
        check_build(len(facts), projections, dtype, encoders.fingerprint, questions)
        arrays = encode_facts(facts, encoders, projections, dtype, questions)
        asked = {split: (len(texts), fingerprint(*texts)) for split, texts in questions.items()}
        fields = manifest_fields(len(facts), encoders, projections, dtype, asked)
        with atomic_dir(directory) as folder:
            for name, array in arrays.items():
                save_array(folder / name, array)
            write_facts(folder / "facts.jsonl", facts)
            write_manifest(folder, "store", fields)
        return cls.load(directory, verify="size")

    @classmethod
    def load(
        cls,
        directory: Path,
        projection_fingerprint: str | None = None,
        *,
        verify: Literal["sha256", "size", "none"] = "sha256",
    ) -> KBValueStore:
        """Open a store.

        Args:
            directory: Where :meth:`build` wrote it.
            projection_fingerprint: Hash of the projections the caller works with; None trusts any.
            verify: How closely the files are compared with the manifest.

        Raises:
            StoreError: If the folder is missing or damaged, or was made with other projections.
        """
        store = cls(directory, read_manifest(directory, "store", verify=verify, stage="encode"))
        if projection_fingerprint not in (None, store.projection_fingerprint):
            raise StoreError(
                f"store {directory} was encoded with projection "
                f"{store.projection_fingerprint[:12]} (encoder {store.encoder_name!r}), expected "
                f"projection {str(projection_fingerprint)[:12]}; run `dvc repro encode`"
            )
        return store

    def _read_facts(self) -> list[FiveTuple]:
        facts = read_facts(self.directory / "facts.jsonl")
        if len(facts) != self.n:
            raise StoreError(
                f"{self.directory / 'facts.jsonl'} has {len(facts)} facts, expected {self.n}; run `dvc repro encode`"
            )
        return facts

    @cached_property
    def sentence_vectors(self) -> FloatArray:
        """Vectors of the evidence sentences as the encoder made them, ``(n, d_sent)`` float32; for dense retrieval."""
        shape = (self.n, self.dims["d_sent"])
        return self._open(SENTENCES, shape, self.dtype).astype(np.float32)

    @property
    def splits(self) -> list[str]:
        """Splits whose question vectors are in the store."""
        return sorted(self._questions)

    def encoded(self, split: str, texts: Sequence[str]) -> bool:
        """Whether the question vectors of a split are those of these texts, in this order."""
        return self._asked.get(split) == fingerprint(*texts)

    def question_vectors(self, split: str) -> FloatArray:
        """Vectors ``(n_questions, d_question)`` float32 of the questions of one split, in its file's order.

        Raises:
            StoreError: If the store has no such split.
        """
        if split not in self._questions:
            raise StoreError(
                f"store {self.directory} has no question vectors of split {split!r}, only "
                f"{', '.join(self.splits) or 'none'}; run `dvc repro encode`"
            )
        shape = (self._questions[split], self.dims["d_question"])
        vectors = self._open(f"questions/{split}.npy", shape, self.dtype)
        return vectors.astype(np.float32)

    def _open(self, name: str, shape: tuple[int, ...], dtype: str, *, mapped: bool = False) -> npt.NDArray[Any]:
        """Open one array and compare it with what the manifest says."""
        path = self.directory / name
        try:
            array = np.load(path, mmap_mode="r" if mapped else None, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise StoreError(f"{path} is not a readable array ({error}); run `dvc repro encode`") from error
        if array.shape != shape or array.dtype != np.dtype(dtype):
            raise StoreError(
                f"{path} has shape {array.shape} and type {array.dtype}, expected {shape} and "
                f"{dtype}; run `dvc repro encode`"
            )
        opened: npt.NDArray[Any] = array
        return opened


def manifest_fields(
    n: int, encoders: Encoders, projections: Projections, dtype: str, questions: Mapping[str, tuple[int, str]]
) -> dict[str, Any]:
    """What the manifest of a store states.

    Args:
        n: Number of facts.
        encoders: Those of the store.
        projections: The fitted maps.
        dtype: Of the float arrays.
        questions: Of each split the number of questions and the `fingerprint` of their texts.
    """
    return {
        "n": n,
        "dims": projections.dims(),
        "dtype": dtype,
        "encoder": {"name": encoders.name, "fingerprint": encoders.fingerprint},
        "projection_fingerprint": projections.fingerprint,
        "questions": {split: count for split, (count, _) in questions.items()},
        "questions_sha256": {split: digest for split, (_, digest) in questions.items()},
    }


def check_build(
    n: int, projections: Projections, dtype: str, encoder_fingerprint: str, questions: Iterable[str]
) -> None:
    """Whether a store can be made of `n` facts and of questions of these splits.

    Raises:
        StoreError: Encoder and projections do not fit, or dtype or the name of a split is not one of a store.
        DataError: There are no facts.
    """
    if not n:
        raise DataError("a store needs at least one fact, got none; check the stage's input file")
    if dtype not in _DTYPES:
        raise StoreError(f"encoder.store_dtype must be float16 or float32, got {dtype!r}; set it in params.yaml")
    if encoder_fingerprint != projections.encoder_fingerprint:
        raise StoreError(
            f"the projections were fitted on encoder {projections.encoder_name!r} "
            f"({projections.encoder_fingerprint[:12]}), but the store would be encoded with "
            f"{encoder_fingerprint[:12]}; run `dvc repro encode`"
        )
    for split in questions:
        if not _PLAIN_NAME.fullmatch(split):
            raise StoreError(f"question split {split!r} cannot be a file name; use letters, digits, _ and -")
