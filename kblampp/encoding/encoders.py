"""The two encoders of a base: one for names and sentences, and one for what relations and questions are about.

A sentence encoder hears the names in a question above all.  The second is the same model with low-rank updates, tuned
(`tuning`) to put a question beside the labels of the relations that it asks for, whatever names stand in it.  A
question's vector is that of both, one after the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from kblampp.core.errors import StoreError
from kblampp.core.files import fingerprint, read_manifest
from kblampp.core.low_rank import WEIGHTS
from kblampp.encoding.sentence_encoder import DETERMINISTIC, DoubleArray, EmbeddingCache, SentenceEncoder, load_encoder
from kblampp.encoding.vector_cache import CachedEncoder, with_disk_cache

TUNED = "encoder"
"""Folder of the tuned encoder below `store`."""
KIND = "encoder"


@dataclass(frozen=True, eq=False)
class Encoders:
    """Two encoders of the same width; each encodes a text once over its life.

    Attributes:
        names: Of names, sentences and questions.
        relations: Of relation labels and questions.
    """

    names: EmbeddingCache
    relations: EmbeddingCache

    @classmethod
    def of(cls, names: SentenceEncoder, relations: SentenceEncoder | None = None) -> Encoders:
        """From one encoder for both, or two."""
        first = EmbeddingCache(names)
        return cls(first, first if relations is None else EmbeddingCache(relations))

    @property
    def name(self) -> str:
        """Of the encoder, as `encoder.model` has it."""
        return self.names.encoder.name

    @cached_property
    def fingerprint(self) -> str:
        """Hash of both encoders' weights."""
        return fingerprint(self.names.encoder.fingerprint, self.relations.encoder.fingerprint)

    @property
    def n_cached(self) -> int:
        """How many texts a cache of earlier runs had."""
        encoders = (cache.encoder for cache in self._caches)
        return sum(encoder.n_cached for encoder in encoders if isinstance(encoder, CachedEncoder))

    @property
    def n_encoded(self) -> int:
        """How many texts were asked for, each once an encoder."""
        return sum(cache.n_encoded for cache in self._caches)

    @property
    def _caches(self) -> set[EmbeddingCache]:
        """One where a single encoder serves both."""
        return {self.names, self.relations}

    def forget(self, most: int) -> None:
        """Forgets the vectors of an encoder that holds more than `most`."""
        for cache in self._caches:
            cache.forget(most)

    def embed(self, texts: Sequence[str], *, progress: bool = False) -> DoubleArray:
        """Vectors of names and sentences, `(n, d_sent)` float64 unit rows."""
        return self.names.embed(texts, progress)

    def embed_relations(self, texts: Sequence[str], *, progress: bool = False) -> DoubleArray:
        """Vectors of relation labels, `(n, d_sent)` float64 unit rows."""
        return self.relations.embed(texts, progress)

    def embed_questions(self, texts: Sequence[str], *, progress: bool = False) -> DoubleArray:
        """Vectors of questions without their time words, `(n, 2 d_sent)`: two unit vectors, for names and relations."""
        return np.concatenate([self.embed(texts, progress=progress), self.embed_relations(texts, progress=progress)], 1)


def fingerprint_of_tuned(manifest: Mapping[str, Any]) -> str:
    """The fingerprint of the encoders that `load_encoders` opens with a tuned encoder's folder, from its manifest."""
    base = str(manifest["base"])
    return fingerprint(base, fingerprint(base, manifest["files"][WEIGHTS]["sha256"]) if manifest["tuned"] else base)


def load_encoders(model: str, store: Path, *, batch_size: int = 64, device: str = "cpu") -> Encoders:
    """The encoders of `encoder.model`, with the cache of this machine.

    Args:
        model: See `load_encoder`; `deterministic` is never tuned.
        store: The folder `store`, where the stage `tune` has put the tuned one.
        batch_size: Texts a forward pass.
        device: Torch device.

    Raises:
        EncoderError: The model is missing or broken.
        StoreError: The tuned one is missing, damaged, or of another model.
    """
    plain = load_encoder(model, batch_size=batch_size, device=device)
    if model == DETERMINISTIC:
        return Encoders.of(plain)
    folder = store / TUNED
    manifest = read_manifest(folder, KIND, stage="tune")
    if manifest.get("base") != plain.fingerprint:
        raise StoreError(f"{folder} was tuned from another encoder than {model!r}; run `dvc repro tune`")
    if not manifest.get("tuned"):
        return Encoders.of(with_disk_cache(plain))
    tuned = load_encoder(model, batch_size=batch_size, device=device, adapter=folder)
    return Encoders.of(with_disk_cache(plain), with_disk_cache(tuned))
