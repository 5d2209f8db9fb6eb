"""A knowledge base on disk as arrays: keys, values, context vectors and windows, a row a fact."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch

from kblampp.core.errors import DataError, StoreError
from kblampp.core.files import atomic_dir, fingerprint, read_manifest, save_array, write_manifest
from kblampp.data.facts import FiveTuple, read_facts, write_facts
from kblampp.data.windows import LAST_DAY, OPEN_END, OPEN_START, UNKNOWN_DAY
from kblampp.encoding.encoders import Encoders
from kblampp.encoding.fact_arrays import encode_facts
from kblampp.encoding.projections import Projections
from kblampp.encoding.sentence_encoder import FloatArray

_SENTINELS = (UNKNOWN_DAY, OPEN_START, OPEN_END)
_DTYPES = ("float16", "float32")
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True)
class StoreTensors:
    """A store's arrays as tensors on one device.

    Attributes:
        keys: ``(2 n, d_k)``, the keys of the facts and then their inverse keys.
        values: ``(n, d_v)``.
        ctx: ``(n, d_ctx)``.
        tau_min: ``(n,)`` int64 first days, with the sentinels of ``windows`` (int64, so that
            differences of sentinels do not overflow).
        tau_max: ``(n,)`` int64 first days after the window.
    """

    keys: torch.Tensor
    values: torch.Tensor
    ctx: torch.Tensor
    tau_min: torch.Tensor
    tau_max: torch.Tensor


class KBValueStore:
    """A store that has been checked against its manifest; keys and values stay on disk.

    Attributes:
        directory: Where the store lies.
        manifest: Its manifest.
        n: Number of facts; a fact's row is its line number in ``facts.jsonl``.
        keys: ``(2 n, d_k)`` memory map, float16 or float32: row i is fact i's key, row n + i its inverse key.
        values: ``(n, d_v)`` memory map of the same type.
        ctx: ``(n, d_ctx)`` context vectors.
        tau_min: ``(n,)`` int32 first days.
        tau_max: ``(n,)`` int32 first days after the window.
        head_ids: ``(n,)`` one integer per distinct entity, shared by heads and tails.
        tail_ids: ``(n,)`` the same for tails.
        rel_ids: ``(n,)`` one integer per distinct relation.
    """

    def __init__(self, directory: Path, manifest: Mapping[str, Any]) -> None:
        """Open the arrays; use :meth:`load`, which checks the manifest first."""
        self.directory = directory
        self.manifest = manifest
        try:
            self.n = int(manifest["n"])
            dims = {name: int(width) for name, width in manifest["dims"].items()}
            dtype = str(manifest["dtype"])
            widths = (dims["d_k"], dims["d_v"], dims["d_ctx"])
            self.encoder_name = str(manifest["encoder"]["name"])
            self.encoder_fingerprint = str(manifest["encoder"]["fingerprint"])
            self.projection_fingerprint = str(manifest["projection_fingerprint"])
            self.keys_sha256 = str(manifest["files"]["K.npy"]["sha256"])
            self._questions = {str(k): int(v) for k, v in manifest["questions"].items()}
            self._asked = {str(k): str(v) for k, v in manifest["questions_sha256"].items()}
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise StoreError(
                f"{directory}: the manifest lacks what a store must state ({error!r}); run `dvc repro encode`"
            ) from error
        self.dims = dims
        self.dtype = dtype
        self.keys = self._open("K.npy", (2 * self.n, widths[0]), dtype, mapped=True)
        self.values = self._open("V.npy", (self.n, widths[1]), dtype, mapped=True)
        self.ctx = self._open("meta/ctx_vec.npy", (self.n, widths[2]), dtype)
        self.tau_min = self._open("meta/tau_min.npy", (self.n,), "int32")
        self.tau_max = self._open("meta/tau_max.npy", (self.n,), "int32")
        entity_ids = self._open("meta/entity_ids.npy", (self.n, 2), "int32")
        self.head_ids, self.tail_ids = entity_ids[:, 0], entity_ids[:, 1]
        self.rel_ids = self._open("meta/rel_ids.npy", (self.n,), "int32")
        self._tensors: dict[tuple[str, torch.dtype], StoreTensors] = {}

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
        _check_build(facts, projections, dtype, encoders.fingerprint, questions)
        arrays = encode_facts(facts, encoders, projections, dtype, questions)
        fields = {
            "n": len(facts),
            "dims": projections.dims(),
            "dtype": dtype,
            "encoder": {"name": encoders.name, "fingerprint": encoders.fingerprint},
            "projection_fingerprint": projections.fingerprint,
            "questions": {split: len(texts) for split, texts in questions.items()},
            "questions_sha256": {split: fingerprint(*texts) for split, texts in questions.items()},
        }
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

    @cached_property
    def facts(self) -> list[FiveTuple]:
        """The facts, read from ``facts.jsonl`` at first use."""
        facts = read_facts(self.directory / "facts.jsonl")
        if len(facts) != self.n:
            raise StoreError(
                f"{self.directory / 'facts.jsonl'} has {len(facts)} facts, expected {self.n}; run `dvc repro encode`"
            )
        return facts

    @cached_property
    def horizon(self) -> tuple[int, int]:
        """First day and first day after all finite window ends; the whole calendar without any."""
        days = np.concatenate([self.tau_min, self.tau_max])
        days = days[~np.isin(days, _SENTINELS)]
        if not len(days):
            return 1, LAST_DAY
        first = int(days.min())
        return first, max(int(days.max()), first + 1)

    @cached_property
    def sentence_vectors(self) -> FloatArray:
        """Vectors of the evidence sentences as the encoder made them, ``(n, d_sent)`` float32; for dense retrieval."""
        shape = (self.n, self.dims["d_sent"])
        return self._open("meta/sent_vec.npy", shape, self.dtype).astype(np.float32)

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

    def tensors(self, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32) -> StoreTensors:
        """The arrays on ``device``, float arrays as ``dtype``; the same object at every call."""
        place = (str(device), dtype)
        if place not in self._tensors:

            def floats(array: npt.NDArray[Any]) -> torch.Tensor:
                return torch.from_numpy(np.array(array)).to(device, dtype)

            def days(array: npt.NDArray[Any]) -> torch.Tensor:
                return torch.from_numpy(array.astype(np.int64)).to(device)

            self._tensors[place] = StoreTensors(
                floats(self.keys),
                floats(self.values),
                floats(self.ctx),
                days(self.tau_min),
                days(self.tau_max),
            )
        return self._tensors[place]

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


def _check_build(
    facts: Sequence[FiveTuple],
    projections: Projections,
    dtype: str,
    encoder_fingerprint: str,
    questions: Mapping[str, Sequence[str]],
) -> None:
    if not facts:
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
