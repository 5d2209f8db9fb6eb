"""A knowledge base as arrays in memory or on disk: keys, values, context vectors and windows, a row a fact."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from kblampp.data.calendar import LAST_DAY
from kblampp.data.facts import FiveTuple
from kblampp.data.windows import OPEN_END, OPEN_START, UNKNOWN_DAY
from kblampp.encoding.growing import Gathered, Readable

KEYS, VALUES, CONTEXTS = "K.npy", "V.npy", "meta/ctx_vec.npy"
SENTENCES = "meta/sent_vec.npy"
FIRST_DAYS, LAST_DAYS = "meta/tau_min.npy", "meta/tau_max.npy"
ENTITIES, RELATIONS = "meta/entity_ids.npy", "meta/rel_ids.npy"
"""The arrays that a model reads, by their files' names in a store."""
_SENTINELS = (UNKNOWN_DAY, OPEN_START, OPEN_END)


@dataclass(frozen=True)
class StoreTensors:
    """A base's arrays as tensors on one device, or what reads the rows of few facts as tensors.

    Attributes:
        keys: ``(2 n, d_k)``, the keys of the facts and then their inverse keys.
        values: ``(n, d_v)``.
        ctx: ``(n, d_ctx)``.
        tau_min: ``(n,)`` int64 first days, with the sentinels of ``windows`` (int64, so that
            differences of sentinels do not overflow).
        tau_max: ``(n,)`` int64 first days after the window.
    """

    keys: Gathered
    values: Gathered
    ctx: Gathered
    tau_min: Gathered
    tau_max: Gathered


class EncodedFacts:
    """Facts and their arrays, as `encode_facts` makes them.

    Attributes:
        name: What messages call the base.
        n: Number of facts.
        tau_min: ``(n,)`` int32 first days.
        tau_max: ``(n,)`` int32 first days after the window.
        head_ids: ``(n,)`` one integer per distinct entity, shared by heads and tails.
        tail_ids: ``(n,)`` the same for tails.
        rel_ids: ``(n,)`` one integer per distinct relation.
    """

    def __init__(self, name: str, arrays: Mapping[str, Any], facts: Sequence[FiveTuple] | None) -> None:
        """From the arrays by their files' names; without facts a subclass reads them when they are asked for."""
        self.name = name
        self._facts, self._arrays = facts, arrays
        self.n = len(arrays[RELATIONS])
        self.tau_min: Readable = arrays[FIRST_DAYS]
        self.tau_max: Readable = arrays[LAST_DAYS]
        self.head_ids, self.tail_ids = self._ends()
        self.rel_ids: Readable = arrays[RELATIONS]
        self._tensors: dict[tuple[str, torch.dtype], StoreTensors] = {}

    def _ends(self) -> tuple[Readable, Readable]:
        """Heads and tails."""
        entities = self._arrays[ENTITIES]
        return entities[:, 0], entities[:, 1]

    @property
    def keys(self) -> npt.NDArray[Any]:
        """``(2 n, d_k)``: row i is fact i's key, row n + i its inverse key."""
        keys: npt.NDArray[Any] = self._arrays[KEYS]
        return keys

    @property
    def values(self) -> npt.NDArray[Any]:
        """``(n, d_v)``."""
        values: npt.NDArray[Any] = self._arrays[VALUES]
        return values

    @property
    def ctx(self) -> npt.NDArray[Any]:
        """``(n, d_ctx)`` context vectors."""
        contexts: npt.NDArray[Any] = self._arrays[CONTEXTS]
        return contexts

    @property
    def facts(self) -> Sequence[FiveTuple]:
        """The facts, a row each."""
        if self._facts is None:
            self._facts = self._read_facts()
        return self._facts

    def _read_facts(self) -> Sequence[FiveTuple]:
        raise NotImplementedError(f"{self.name} was made without its facts")

    @cached_property
    def horizon(self) -> tuple[int, int]:
        """First day and first day after all finite window ends; the whole calendar without any."""
        if self.extent is None:
            return 1, LAST_DAY
        first, last = self.extent
        return first, max(last, first + 1)

    @cached_property
    def extent(self) -> tuple[int, int] | None:
        """The lowest and the highest of all finite window ends; None without any."""
        return extent_of(np.asarray(self.tau_min), np.asarray(self.tau_max))

    def tensors(self, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32) -> StoreTensors:
        """The arrays on ``device``, float arrays as ``dtype``; the same object at every call."""
        place = (str(device), dtype)
        if place not in self._tensors:
            self._tensors[place] = StoreTensors(*self._floats(device, dtype), *self._days(device))
        return self._tensors[place]

    def _days(self, device: str | torch.device) -> tuple[Gathered, Gathered]:
        """First days and first days after the windows as a model reads them."""
        first, last = (
            torch.from_numpy(np.asarray(days).astype(np.int64)).to(device) for days in (self.tau_min, self.tau_max)
        )
        return first, last

    def _floats(self, device: str | torch.device, dtype: torch.dtype) -> tuple[Gathered, Gathered, Gathered]:
        """Keys, values and contexts as a model reads them."""

        def tensor(array: npt.NDArray[Any]) -> torch.Tensor:
            own = array if array.flags.writeable else np.array(array)  # a memory map, which torch would write to
            return torch.from_numpy(own).to(device, dtype)

        return tensor(self.keys), tensor(self.values), tensor(self.ctx)


def extent_of(first: npt.NDArray[np.integer], last: npt.NDArray[np.integer]) -> tuple[int, int] | None:
    """The lowest and the highest of the finite ends of windows, (k,) each; None without any."""
    days = np.concatenate([first, last])
    days = days[~np.isin(days, _SENTINELS)]
    return (int(days.min()), int(days.max())) if len(days) else None
