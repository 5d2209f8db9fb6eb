"""Hidden states that stay as they are while the knowledge modules learn, kept on disk.

In Stage A nothing up to and including the first injected decoder layer's own output learns, and it sees the same tokens
in every epoch.  So what that layer hands out is computed once for each training question, and a step costs the layers
above alone.

The files lie in the machine's cache, or beside the checkpoints where that is off, and may be deleted at any time.  A
store that cannot be kept must not stop the training that it speeds up: it is reported, and training goes on without it.
"""

from __future__ import annotations

import itertools
import logging
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import numpy.typing as npt
import torch
from filelock import FileLock
from torch import Tensor, nn

from kblampp.backbone.decoder_layers import find_decoder_layers
from kblampp.core.cache import cache_root
from kblampp.core.errors import StoreError, first_line
from kblampp.core.files import MANIFEST, atomic_dir, fingerprint, read_manifest, write_manifest
from kblampp.core.progress import progress_bar
from kblampp.model.batches import TrainingBatch, by_length, padded
from kblampp.model.injection import KBInjectedModel

logger = logging.getLogger(__name__)

GIB = 1 << 30
_KIND, _STATES = "hidden states", "states.bin"
# Part of each key.  Raise the number when the same backbone and tokens are made to give other states.
_RULE = "right-padded, by length, version 1"
_LIBRARIES = ("torch", "transformers")


class _Reached(Exception):
    """Ends a forward pass after the layer whose output is wanted."""


class StoredStates:
    """What the first injected layer hands out for each training question, and how it stands in for the layers.

    Attributes:
        folder: Where the files lie.
    """

    def __init__(
        self,
        folder: Path,
        lower: Sequence[nn.Module],
        states: npt.NDArray[Any],
        offsets: npt.NDArray[np.int64],
        dtype: torch.dtype,
        parts: int | None,
    ) -> None:
        """Holds what `stored_states` has made or found.

        Args:
            folder: Where the files lie.
            lower: The decoder layers from the first to the first injected one.
            states: Of all questions' tokens one after another, (n_tokens, d_hidden).
            offsets: Where each question begins, and the end of the last, (n_questions + 1,).
            dtype: Torch's, of the states.
            parts: How long the tuple is that a layer returns; None where it returns the tensor alone.
        """
        self.folder = folder
        self._lower, self._states, self._offsets, self._dtype, self._parts = lower, states, offsets, dtype, parts

    def of(self, batch: TrainingBatch) -> Tensor:
        """The hidden states of a batch, (batch, seq, d_hidden), on its device; zero where it is padded."""
        padded_states = np.zeros((*batch.input_ids.shape, self._states.shape[1]), dtype=self._states.dtype)
        for place, row in enumerate(batch.rows.tolist()):
            states = self._states[self._offsets[row] : self._offsets[row + 1]]
            padded_states[place, : len(states)] = states
        return torch.from_numpy(padded_states).view(self._dtype).to(batch.input_ids.device)

    @contextmanager
    def standing_in(self, batch: TrainingBatch) -> Iterator[None]:
        """Within it, a forward pass of this batch runs no decoder layer up to the first injected one.

        Each of these layers returns the stored states instead of computing them, through an attribute `forward` of its
        own that is taken away at the end.  The layers stay the same objects in the same list, so hooks on them run and
        their other attributes (`attention_type`, ...) are read as ever.  Nothing else in the backbone changes: the
        embeddings are computed and not used, and masks, positions and rotary embeddings are made by the model outside
        of the layers, from the tokens and their mask.
        """
        states = self.of(batch)
        output = states if self._parts is None else (states, *[None] * (self._parts - 1))
        former = [vars(layer).get("forward") for layer in self._lower]  # None: the one of its class
        try:
            for layer in self._lower:
                vars(layer)["forward"] = lambda *_args, **_kwargs: output
            yield
        finally:
            for layer, forward in zip(self._lower, former, strict=True):
                if forward is None:
                    vars(layer).pop("forward", None)
                else:
                    vars(layer)["forward"] = forward


def states_folder(otherwise: Path) -> Path:
    """Where the stores lie: in the machine's cache, or in a folder of their own in `otherwise` where that is off."""
    return (cache_root() or otherwise) / "hidden-states"


def stored_states(
    model: KBInjectedModel,
    sequences: Sequence[Sequence[int]],
    backbone_fingerprint: str,
    *,
    limit: float,
    batch_size: int,
    folder: Path,
) -> StoredStates | None:
    """Finds or makes the hidden states of the training questions.

    Several processes may ask at once: one makes them, and the others wait.

    Args:
        model: The model.
        sequences: Token ids of each question, those of the answer included.
        backbone_fingerprint: Of the backbone's files.
        limit: GiB that all stores of this machine may take together; older ones are removed to make room. 0 for none.
        batch_size: Sequences a forward pass.
        folder: Where the stores lie; nothing else may.

    Returns:
        None, with a line in the log, where they do not fit, something at or below the layer learns or is random
        (dropout), or the files cannot be written.
    """
    if limit == 0:
        return None
    layers = list(find_decoder_layers(model.backbone, cast("str | None", model.config["layer_path"])))
    first = model.layers[0]
    if not _is_fixed(model.backbone, layers[first + 1 :]):
        logger.info("something at or below decoder layer %d learns, so its hidden states are not stored", first)
        return None
    probe = _run(model, layers[first], [sequences[0]])
    hidden, parts = _hidden(probe), len(probe) if isinstance(probe, tuple) else None
    size = sum(map(len, sequences)) * hidden.shape[-1] * hidden.element_size()
    if size > limit * GIB:
        logger.info(
            "the hidden states of decoder layer %d would take %.2f GiB, more than trainA.cache_states_gb (%g), "
            "so training goes on without them",
            first,
            size / GIB,
            limit,
        )
        return None
    offsets: npt.NDArray[np.int64] = np.cumsum([0, *map(len, sequences)], dtype=np.int64)
    tokens = np.fromiter(itertools.chain.from_iterable(sequences), dtype=np.int64, count=int(offsets[-1]))
    key = fingerprint(
        _RULE,
        *(f"{library} {version(library)}" for library in _LIBRARIES),
        f"{torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}, {hidden.device}",
        backbone_fingerprint,
        f"layer {first}, {hidden.dtype}, batches of {batch_size}",
        offsets.tobytes(),
        tokens.tobytes(),
        _raw(hidden).tobytes(),  # tells what no file says, such as 4-bit weights or how attention is computed
    )
    store = folder / key[:32]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".lock"):
            if not _is_whole(store):
                _make_room(store, size, limit)
                logger.info("storing the hidden states of decoder layer %d, %.2f GiB, in %s", first, size / GIB, store)
                with atomic_dir(store) as new:
                    with open(new / _STATES, "wb") as file:
                        _fill(file, model, layers[first], sequences, offsets, batch_size)
                    write_manifest(new, _KIND, {"layer": first, "dtype": str(hidden.dtype)})
            os.utime(store / MANIFEST)  # used now
            shape = (int(offsets[-1]), hidden.shape[-1])
            states = np.memmap(store / _STATES, dtype=_raw(hidden).dtype, mode="r", shape=shape)
    except OSError as error:
        logger.warning(
            "the hidden states cannot be stored in %s (%s), so training goes on without them",
            folder,
            first_line(error),
        )
        return None
    return StoredStates(store, layers[: first + 1], states, offsets, hidden.dtype, parts)


def _is_fixed(backbone: nn.Module, above: Sequence[nn.Module]) -> bool:
    """Whether nothing in the backbone but the layers above learns or drops out."""
    free = {id(module) for layer in above for module in layer.modules()}
    return not any(
        module.training or any(parameter.requires_grad for parameter in module.parameters(recurse=False))
        for module in backbone.modules()
        if id(module) not in free
    )


@torch.no_grad()
def _run(model: KBInjectedModel, layer: nn.Module, sequences: Sequence[Sequence[int]]) -> Any:
    """What a decoder layer returns for token sequences, right-padded; the layers above are not run."""
    returned: list[Any] = []

    def stop(_module: nn.Module, _args: Any, output: Any) -> None:
        returned.append(output)
        raise _Reached

    backbone = model.backbone
    ids, mask = (
        tensor.to(backbone.device) for tensor in padded(sequences, 0)
    )  # what stands in a masked place is not read
    handle = layer.register_forward_hook(stop, prepend=True)
    try:
        backbone(input_ids=ids, attention_mask=mask)
    except _Reached:
        pass
    finally:
        handle.remove()
    return returned[0]


def _hidden(output: Any) -> Tensor:
    """The hidden states (batch, seq, d_hidden) in what a decoder layer returns."""
    hidden: Tensor = output[0] if isinstance(output, tuple) else output
    return hidden


def _raw(states: Tensor) -> npt.NDArray[Any]:
    """The same bits as an array; numpy has no bfloat16, so of that as integers."""
    states = states.cpu().contiguous()
    return (states.view(torch.int16) if states.dtype == torch.bfloat16 else states).numpy()


def _fill(
    file: BinaryIO,
    model: KBInjectedModel,
    layer: nn.Module,
    sequences: Sequence[Sequence[int]],
    offsets: npt.NDArray[np.int64],
    batch_size: int,
) -> None:
    """Computes the states and writes each question's to its place.

    Written and not mapped: a full disk is then an error, and not the end of the process.
    """
    with progress_bar(total=len(sequences), desc="hidden states") as progress:
        for places in by_length(sequences, batch_size):
            states = _raw(_hidden(_run(model, layer, [sequences[place] for place in places])))
            for place, rows in zip(places, states, strict=True):
                file.seek(int(offsets[place]) * rows[0].nbytes)
                file.write(rows[: len(sequences[place])].tobytes())
            progress.update(len(places))


def _is_whole(folder: Path) -> bool:
    """Whether a store is there with the bytes that were written."""
    if not folder.is_dir():
        return False
    try:
        read_manifest(folder, _KIND, stage="trainA")
    except StoreError as error:
        logger.warning("%s is damaged (%s): it is made anew", folder, first_line(error))
        return False
    return True


def _make_room(folder: Path, size: int, limit: float) -> None:
    """Removes what killed processes have left, and the stores used longest ago, until one of `size` bytes fits."""
    shutil.rmtree(folder, ignore_errors=True)
    stores: list[tuple[float, int, Path]] = []
    for other in folder.parent.iterdir():
        manifest = other / MANIFEST
        if other.is_dir() and not other.name.startswith(".") and manifest.is_file():
            stores.append((manifest.stat().st_mtime, (other / _STATES).stat().st_size, other))
        elif other.is_dir():
            shutil.rmtree(other, ignore_errors=True)
    total = size + sum(taken for _, taken, _ in stores)
    for _, taken, other in sorted(stores):
        if total > limit * GIB:
            logger.info("removing the hidden states in %s to make room", other)
            shutil.rmtree(other, ignore_errors=True)
            total -= taken
