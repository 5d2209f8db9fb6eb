"""States of a base that are kept beside its file as arrays, which a reader maps and need not make.

They are derived: each may be removed at any time, and one that is damaged, of another copy of the base or of another
encoder is passed over.  A segment is written to a hidden folder and moved to its place as a whole.
"""

from __future__ import annotations

import contextlib
import logging
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt

from kblampp.base.knowledge_base import KnowledgeBase
from kblampp.core.errors import StoreError
from kblampp.core.files import atomic_dir, map_array, read_manifest, save_array, write_manifest
from kblampp.index.half_index import HalfIndex

logger = logging.getLogger(__name__)
FOLDER, KIND = "segments", "segment"
FORMAT = 2
"""To be raised when what is read from a name or a fact, or how it is laid out, becomes another."""
LEFT_S = 3600.0
"""Age of a hidden folder that nobody writes to any more: what a kill has left."""


@dataclass(frozen=True, eq=False)
class Segment:
    """A state of a base as arrays.

    Attributes:
        version: The call after which the base was so.
        arrays: By the names of their files.
        index: Of its keys.
    """

    version: int
    arrays: Mapping[str, npt.NDArray[Any]]
    index: HalfIndex


def keep(base: KnowledgeBase, encoder: str, segment: Segment) -> bool:
    """Writes a state beside the base, in the place of earlier ones; whether it could be written.

    Args:
        base: The base.
        encoder: Fingerprint of what made its vectors.
        segment: The state.
    """
    folder = base.path / FOLDER
    place = folder / f"{segment.version}-{encoder[:16]}"
    fields = {
        "format": FORMAT,
        "call": segment.version,
        "token": base.token(segment.version),
        "encoder": encoder,
    }
    try:
        with atomic_dir(place) as made:
            for name, array in segment.arrays.items():
                save_array(made / name, array)
            segment.index.write(made)
            write_manifest(made, KIND, fields)
        _tidy(folder, place)
    except (OSError, RuntimeError) as error:  # faiss's is a RuntimeError; what can be made again must not fail readers
        logger.warning("%s is not kept, the base opens slowly: %s", place, error)
        return False
    return True


def nearest(base: KnowledgeBase, encoder: str, version: int) -> Segment | None:
    """The segment whose state has the least calls between it and `version`; None where none can be read.

    Args:
        base: The base.
        encoder: Fingerprint of what makes its vectors.
        version: A call.
    """
    for folder in sorted(_segments(base.path / FOLDER, encoder), key=lambda path: abs(_call(path) - version)):
        try:
            return _read(base, encoder, folder)
        except (StoreError, OSError) as error:
            logger.warning("a segment is passed over: %s", error)
    return None


def forget_others(base: KnowledgeBase, encoder: str) -> None:
    """Removes the segments of other encoders."""
    own = _segments(base.path / FOLDER, encoder)
    for path in _segments(base.path / FOLDER, "*"):
        if path not in own:
            shutil.rmtree(path, ignore_errors=True)


def _read(base: KnowledgeBase, encoder: str, folder: Path) -> Segment:
    remedy = "remove the folder, it is made anew"
    manifest = read_manifest(folder, KIND, verify="size", remedy=remedy)
    version = manifest.get("call")
    if manifest.get("format") != FORMAT or not isinstance(version, int):
        raise StoreError(f"{folder} has format {manifest.get('format')!r}, expected {FORMAT}: {remedy}")
    if manifest.get("encoder") != encoder or manifest.get("token") != base.token(version):
        raise StoreError(f"{folder} is of another base or encoder: {remedy}")
    arrays = {name: map_array(folder / name) for name in manifest["files"] if name.endswith(".npy")}
    return Segment(version, arrays, HalfIndex.map(folder))


def _segments(folder: Path, encoder: str) -> list[Path]:
    return [path for path in folder.glob(f"*-{encoder[:16]}") if path.name.partition("-")[0].isdigit()]


def _call(path: Path) -> int:
    return int(path.name.partition("-")[0])


def _tidy(folder: Path, own: Path) -> None:
    """Removes earlier segments of the encoder, which who reads them goes on to read, and what kills have left."""
    for path in _segments(folder, own.name.partition("-")[2]):
        if _call(path) < _call(own):
            shutil.rmtree(path, ignore_errors=True)
    for path in folder.glob(".*"):
        with contextlib.suppress(OSError):  # somebody else removes it too
            if time.time() - path.stat().st_mtime > LEFT_S:
                shutil.rmtree(path, ignore_errors=True)
