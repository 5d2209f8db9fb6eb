"""The files of a language model: found or downloaded, told from others, and hashed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from fnmatch import fnmatch
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import EntryNotFoundError, GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError
from safetensors import SafetensorError, safe_open

from kblampp.backbone.gguf import SMOLLM2, gguf_folder, is_gguf
from kblampp.core import files as artifacts
from kblampp.core.errors import BackboneError, first_line

EMBEDDED = "embedded"
EMBEDDED_FOLDER = Path(__file__).parents[1] / "embedded"
_SAFE_WEIGHTS = ("model*.safetensors", "model.safetensors.index.json")
_TORCH_WEIGHTS = ("pytorch_model*.bin", "pytorch_model.bin.index.json")  # of old repositories; read as tensors only
_OTHER_FILES = ("config.json", "generation_config.json", "*token*.json", "*.model", "vocab.*", "merges.txt")


def resolve_folder(name: str, revision: str | None) -> Path:
    """The folder with the files of a model; downloads or converts them where this machine has not yet done so.

    Args:
        name: "embedded" for the model in the package, "smollm2", the path of a GGUF file or of a folder, or a Hugging
            Face name.
        revision: branch, tag or commit of a Hugging Face name.

    Raises:
        BackboneError: there is no such model or revision, it lacks config or weights, or it cannot be converted.
    """
    if is_gguf(name):
        _refuse_revision(name, revision, "is one file")
        return gguf_folder(name)
    folder = EMBEDDED_FOLDER if name == EMBEDDED else Path(name).expanduser()
    if name == EMBEDDED and not (folder / "config.json").is_file():
        raise BackboneError(
            "backbone.name is embedded, but the package carries no weights: run `make pretrain` or name another model"
        )
    if folder.is_dir():
        _check_folder(name, folder, revision)
        return folder
    if Path(name).is_absolute() or name.startswith(("~", ".")) or name.count("/") > 1:
        raise BackboneError(f"backbone.name is {name}, but there is no such folder: correct the path")
    folder = _download(name, revision, _SAFE_WEIGHTS)
    if not _weights(folder):
        folder = _download(name, revision, _TORCH_WEIGHTS)
    _check_folder(name, folder, None)
    return folder


def is_downloaded(name: str) -> bool:
    """Whether a backbone's name is one of Hugging Face's hub."""
    return name != EMBEDDED and not is_gguf(name) and not Path(name).expanduser().is_dir()


def _refuse_revision(name: str, revision: str | None, what: str) -> None:
    if revision is not None:
        raise BackboneError(f"backbone.revision is {revision}, but {name} {what} without revisions: set it to null")


def _check_folder(name: str, folder: Path, revision: str | None) -> None:
    _refuse_revision(name, revision, "is a local folder")
    missing = [] if (folder / "config.json").is_file() else ["config.json"]
    missing += [] if _weights(folder) else ["model.safetensors"]
    if missing:
        raise BackboneError(
            f"backbone.name is {name}, but its folder has no {' and no '.join(missing)}: "
            "name a folder written by save_pretrained, or a causal language model of the Hugging Face hub"
        )


def check_weights(name: str, folder: Path) -> None:
    """Looks whether the weights are whole, by the headers and lists of their files, without reading them.

    Raises:
        BackboneError: A file is cut off or damaged, or a part that a list names is missing.
    """
    for path in _weights(folder):
        problem = None
        try:
            if path.suffix == ".safetensors":
                with safe_open(path, framework="numpy"):  # compares its size with that of the tensors it lists
                    pass
            elif path.suffix == ".json":
                parts = set(json.loads(path.read_text(encoding="utf-8"))["weight_map"].values())
                lacking = sorted(part for part in parts if not (folder / part).is_file())
                problem = f"it names {', '.join(lacking)}, which is missing" if lacking else None
        except (OSError, ValueError, KeyError, AttributeError, TypeError, SafetensorError) as error:
            problem = first_line(error)
        if problem:
            raise BackboneError(
                f"backbone.name is {name}, but {path.name} in its folder is not whole ({problem}): get the files again"
            )


def _weights(folder: Path) -> list[Path]:
    return _matching(folder, _SAFE_WEIGHTS) or _matching(folder, _TORCH_WEIGHTS)


def _matching(folder: Path, patterns: tuple[str, ...]) -> list[Path]:
    return sorted(
        path for path in folder.iterdir() if path.is_file() and any(fnmatch(path.name, pattern) for pattern in patterns)
    )


def _download(name: str, revision: str | None, weights: tuple[str, ...]) -> Path:
    """The snapshot of a Hugging Face name in the local cache, without files that no one reads."""
    where = f"backbone.name is {name}" + (f" at revision {revision}" if revision else "")
    try:
        return Path(
            snapshot_download(
                name, revision=revision, allow_patterns=[*_OTHER_FILES, *weights], ignore_patterns=["*/*"]
            )
        )
    except GatedRepoError as error:
        raise BackboneError(
            f"{where}, whose owner asks for an agreement: accept it on huggingface.co and run `hf auth login`"
        ) from error
    except RevisionNotFoundError as error:
        raise BackboneError(f"{where}, but there is no such revision: correct backbone.revision") from error
    except RepositoryNotFoundError as error:
        raise BackboneError(
            f"{where}, but Hugging Face has no such model, or a private one: correct the name or run `hf auth login`"
        ) from error
    except (OSError, ValueError, EntryNotFoundError) as error:
        raise BackboneError(
            f"{where}, which is no local folder and cannot be had from Hugging Face ({first_line(error)}): "
            f"check the name and the connection, or set it to {EMBEDDED}, {SMOLLM2} or a local folder"
        ) from error


def file_hashes(folder: Path) -> dict[str, str]:
    """sha256 of the files that make the model what it is, by name; others in the folder do not count."""
    patterns = (*_SAFE_WEIGHTS, *_OTHER_FILES)
    if not _matching(folder, _SAFE_WEIGHTS):
        patterns = (*_TORCH_WEIGHTS, *_OTHER_FILES)
    return {path.name: artifacts.sha256_file(path) for path in _matching(folder, patterns)}


def files_fingerprint(hashes: Mapping[str, str]) -> str:
    """One hex digest for the result of `file_hashes`."""
    return artifacts.fingerprint(*(part for item in sorted(hashes.items()) for part in item))
