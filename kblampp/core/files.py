"""Files that are either complete or absent, and manifests that say what a folder must hold.

Everything is written beside its final place and moved there at the end, so a killed stage leaves
the former file untouched. A move also replaces a link instead of writing through it: with a linked
DVC cache, writing in place would damage the cache.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO, Any, BinaryIO, Literal, TextIO, overload

import numpy as np
import numpy.typing as npt

from kblampp.core.errors import KBLaMError, StoreError

MANIFEST = "manifest.json"
MANIFEST_VERSION = 1
_SMALL = 1 << 16  # bytes of an array that is not worth a map
_RESERVED = frozenset({"kind", "version", "files"})


def _sibling(path: Path, suffix: str) -> Path:
    """A fresh hidden name in the folder of `path`: a move within one folder is atomic."""
    return path.parent / f".{path.name}.{secrets.token_hex(4)}.{suffix}"


@overload
def atomic_write(path: Path, mode: Literal["w"] = "w") -> AbstractContextManager[TextIO]: ...
@overload
def atomic_write(path: Path, mode: Literal["wb"]) -> AbstractContextManager[BinaryIO]: ...
def atomic_write(path: Path, mode: Literal["w", "wb"] = "w") -> AbstractContextManager[Any]:
    """Opens a file that appears at `path` only when the block ends without an exception.

    Args:
        path: the final place; missing parent folders are created.
        mode: "w" for UTF-8 text with "\\n" line ends on every system, "wb" for bytes.
    """
    return _atomic_write(Path(path), mode)


@contextmanager
def _atomic_write(path: Path, mode: Literal["w", "wb"]) -> Iterator[IO[Any]]:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _sibling(path, "tmp")
    text: dict[str, str] = {} if mode == "wb" else {"encoding": "utf-8", "newline": "\n"}
    try:
        with open(temporary, mode, **text) as file:  # type: ignore[call-overload]
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_dir(path: Path) -> Iterator[Path]:
    """Yields an empty folder that takes the place of `path` when the block ends well.

    On an exception the new folder is removed and what stood at `path` is untouched. Replacing a
    folder takes two moves; a kill between them leaves the former one beside it as `.<name>.*.old`.

    Raises:
        StoreError: `path` is a file.
    """
    path = Path(path)
    if path.exists() and not path.is_dir():
        raise StoreError(f"{path} is a file, but a folder is to be written there: remove it")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _sibling(path, "tmp")
    temporary.mkdir()
    try:
        yield temporary
        move_into_place(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def move_into_place(new: Path, path: Path) -> None:
    """Moves a folder to `path` on the same disk, for what stands there; puts that back when it fails."""
    if not (path.exists() or path.is_symlink()):
        os.rename(new, path)
        return
    old = _sibling(path, "old")
    os.rename(path, old)
    try:
        os.rename(new, path)
    except BaseException:
        os.rename(old, path)
        raise
    if old.is_symlink():
        old.unlink()
    else:
        shutil.rmtree(old)


def write_json(path: Path, obj: Any) -> None:
    """Writes `obj` with sorted keys, so that equal objects give equal bytes.

    Raises:
        ValueError: a number is NaN or infinite.
    """
    text = json.dumps(obj, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False)
    with atomic_write(path) as file:
        file.write(text + "\n")


def read_json(path: Path, error: type[KBLaMError] = StoreError) -> Any:
    """Reads one JSON value.

    Raises:
        error: the file is missing, unreadable or not JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise error(f"{path} does not exist, expected a JSON file") from None
    except (OSError, ValueError) as problem:
        raise error(f"{path} is not a readable JSON file ({problem})") from problem


def write_jsonl(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Writes one JSON object a line; keys keep their order, for people who read the file.

    Raises:
        ValueError: a number is NaN or infinite.
    """
    with atomic_write(path) as file:
        for row in rows:
            file.write(jsonl_line(row))


def jsonl_line(row: Mapping[str, Any]) -> str:
    """A line of what `write_jsonl` writes.

    Raises:
        ValueError: a number is NaN or infinite.
    """
    return json.dumps(dict(row), ensure_ascii=False, allow_nan=False) + "\n"


def save_array(path: Path, array: npt.NDArray[Any]) -> None:
    """Writes an array of any shape as `.npy`, at exactly `path`.

    Raises:
        ValueError: the array holds Python objects.
    """
    with atomic_write(path, "wb") as file:
        np.save(file, array, allow_pickle=False)


def map_array(path: Path) -> npt.NDArray[Any]:
    """What `save_array` wrote, read where it lies; a small one is read whole.

    Raises:
        StoreError: the file is missing or no array.
    """
    try:
        return np.asarray(np.load(path, mmap_mode="r" if path.stat().st_size > _SMALL else None, allow_pickle=False))
    except (OSError, ValueError) as error:
        raise StoreError(f"{path} is not a readable array ({error}): make its folder anew") from error


def sha256_file(path: Path) -> str:
    """Hex digest of the bytes of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fingerprint(*parts: str | bytes) -> str:
    """Hex digest of a sequence of parts; ("ab", "c") differs from ("a", "bc"), and str from bytes."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode("utf-8") if isinstance(part, str) else part
        digest.update(f"{'s' if isinstance(part, str) else 'b'}{len(data)}:".encode())
        digest.update(data)
    return digest.hexdigest()


def _payload(directory: Path) -> dict[str, Path]:
    """The files a manifest covers, by relative path with forward slashes, sorted.

    Left out are hidden files and folders (DVC's `.gitignore`, leftovers of a kill) and subfolders
    with a manifest of their own, which another stage may write later (an index inside its store).
    """
    found: dict[str, Path] = {}
    for folder, subfolders, names in os.walk(directory):
        subfolders[:] = [
            name for name in subfolders if not name.startswith(".") and not (Path(folder) / name / MANIFEST).is_file()
        ]
        for name in names:
            path = Path(folder) / name
            relative = path.relative_to(directory).as_posix()
            if not name.startswith(".") and relative != MANIFEST:
                found[relative] = path
    return dict(sorted(found.items()))


def write_manifest(directory: Path, kind: str, fields: Mapping[str, Any]) -> None:
    """Writes `manifest.json`, the last file of a folder: its presence says the folder is complete.

    Args:
        directory: the folder, with every other file already in it.
        kind: what the folder is, e.g. "store"; `read_manifest` asks for the same word.
        fields: what a reader must know, JSON values.

    Raises:
        ValueError: `fields` uses a name that the manifest needs for itself.
    """
    clash = sorted(_RESERVED & fields.keys())
    if clash:
        raise ValueError(f"manifest fields {clash} of {directory} are reserved: rename them")
    files = {
        name: {"sha256": sha256_file(path), "bytes": path.stat().st_size}
        for name, path in _payload(Path(directory)).items()
    }
    manifest = {"kind": kind, "version": MANIFEST_VERSION, **fields, "files": files}
    write_json(Path(directory) / MANIFEST, manifest)


def read_manifest(
    directory: Path,
    kind: str,
    *,
    verify: Literal["sha256", "size", "none"] = "sha256",
    stage: str = "",
    remedy: str = "",
) -> dict[str, Any]:
    """Reads the manifest of a folder and compares the folder with it.

    Args:
        directory: the folder.
        kind: what the folder must be.
        verify: "sha256" compares every byte, "size" names and sizes, "none" trusts the folder.
        stage: the pipeline stage that writes the folder, named in the error as the way out.
        remedy: the way out where no stage writes it.

    Raises:
        StoreError: no folder or manifest, another kind or version, or files missing, changed or
            not listed.
    """
    directory = Path(directory)
    path = directory / MANIFEST
    remedy = remedy or f"run `dvc repro {stage}`"
    if not path.is_file():
        where = "the folder is missing" if not directory.is_dir() else "the folder is incomplete"
        raise StoreError(f"{path} does not exist ({where}): {remedy}")
    try:
        manifest = read_json(path)
    except StoreError as error:
        raise StoreError(f"{error}; {remedy}") from error
    problem = _header_problem(manifest, kind)
    if problem is None and verify != "none":
        problem = _files_problem(directory, manifest["files"], hashed=verify == "sha256")
    if problem is not None:
        raise StoreError(f"{directory}: {problem}; {remedy}")
    return dict(manifest)


def _header_problem(manifest: Any, kind: str) -> str | None:
    if not isinstance(manifest, dict) or not isinstance(manifest.get("files"), dict):
        return f"{MANIFEST} is not a manifest: it has no list of files"
    if manifest.get("kind") != kind:
        return f"expected a {kind!r} folder, found {manifest.get('kind')!r}"
    if manifest.get("version") != MANIFEST_VERSION:
        return f"expected manifest version {MANIFEST_VERSION}, found {manifest.get('version')!r}"
    for name, entry in manifest["files"].items():
        if not isinstance(entry, dict) or not {"sha256", "bytes"} <= entry.keys():
            return f"{MANIFEST} has no sha256 and bytes for {name}"
    return None


def _files_problem(directory: Path, listed: Mapping[str, Any], *, hashed: bool) -> str | None:
    """The first difference; the cheap comparisons of all files come before any hashing."""
    present = _payload(directory)
    if missing := sorted(listed.keys() - present.keys()):
        return f"{', '.join(missing)} missing, though the manifest lists it"
    if extra := sorted(present.keys() - listed.keys()):
        return f"{', '.join(extra)} not in the manifest"
    for name, entry in listed.items():
        if (size := present[name].stat().st_size) != entry["bytes"]:
            return f"{name} has {size} bytes, expected {entry['bytes']}"
    for name, entry in listed.items():
        if hashed and (found := sha256_file(present[name])) != entry["sha256"]:
            return f"{name} has sha256 {found[:12]}…, expected {str(entry['sha256'])[:12]}…"
    return None
