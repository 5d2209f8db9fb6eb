"""Fixed maps from sentence vectors and windows to the keys and values of a store.

The entity map is shared by heads and tails, so the tail part of a value is the head part of the
next hop's key.  The maps are fitted once, on the training KB, and saved; every later fact and
every other KB is encoded with the same ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from kblampp.core.errors import ParamsError, StoreError
from kblampp.core.files import atomic_dir, fingerprint, read_manifest, write_manifest
from kblampp.data.facts import FiveTuple, evidence_sentence
from kblampp.encoding.encoders import Encoders
from kblampp.encoding.linear_maps import IntArray, LinearMap, Moments, TauEncoder, fit_whitened, unit
from kblampp.encoding.sentence_encoder import DoubleArray

__all__ = [
    "PROJECTION",
    "LinearMap",
    "Projections",
    "TauEncoder",
    "fit_projections",
    "fit_whitened",
    "general_relation_labels",
    "unit",
]

PROJECTION = "projection"
"""Folder of the projections among the stores of a dataset."""

_WEIGHTS = "projection.safetensors"
_MAPS = ("entity", "relation", "context")


def general_relation_labels() -> list[str]:
    """The bundled relation labels: ten names of one world have too low a rank to fit a map on."""
    text = (resources.files("kblampp") / "encoding" / "relation_labels.txt").read_text(encoding="utf-8")
    return [label for line in text.splitlines() if (label := line.strip())]


@dataclass(frozen=True, eq=False)
class Projections:
    """The fitted maps and the layout of keys and values.

    ``K = [unit entity(head) (d_ent) ; unit relation(relation) (d_rel)]``, ``V = [unit entity(tail) (d_ent) ; context
    (d_val_ctx) ; window (d_tau)]``.  A fact has a second, inverse key for questions that name its tail: ``[unit
    entity(tail) ; unit relation(relation)]``.

    Attributes:
        entity: Map of head and tail names, ``(d_ent, d_sent)``.
        relation: Map of relation labels, as the tuned encoder has them, ``(d_rel, d_sent)``.
        context: Map of evidence sentences, ``(max(d_ctx, d_val_ctx), d_sent)``.
        whitening: 0 for plain PCA to 1 for unit variance.
        encoder_name: Encoder that the maps were fitted on.
        encoder_fingerprint: Hash of the weights (`Encoders.fingerprint`).
    """

    entity: LinearMap
    relation: LinearMap
    context: LinearMap
    d_k: int
    d_v: int
    d_ctx: int
    d_tau: int
    whitening: float
    encoder_name: str
    encoder_fingerprint: str

    def __post_init__(self) -> None:
        _check_widths(self.d_k, self.d_v, self.d_ctx, self.d_tau)
        rows = (self.d_ent, self.d_rel, max(self.d_ctx, self.d_val_ctx))
        for name, n_rows in zip(_MAPS, rows, strict=True):
            weight, bias = self._map(name).weight, self._map(name).bias
            if weight.shape != (n_rows, self.d_sent) or bias.shape != (n_rows,):
                raise StoreError(
                    f"the {name} projection has weights {weight.shape} and bias {bias.shape}, "
                    f"expected {(n_rows, self.d_sent)} and {(n_rows,)}; run `dvc repro encode`"
                )

    @property
    def d_sent(self) -> int:
        """Width of a sentence vector."""
        return int(self.entity.weight.shape[-1])

    @property
    def d_ent(self) -> int:
        """Width of the entity block of keys and values."""
        return 3 * min(self.d_k, self.d_v) // 4

    @property
    def d_rel(self) -> int:
        """Width of the relation block of a key: what the entity block leaves of it."""
        return self.d_k - self.d_ent

    @property
    def d_question(self) -> int:
        """Width of a question's vector, `Encoders.embed_questions`."""
        return 2 * self.d_sent

    @property
    def d_val_ctx(self) -> int:
        """Width of the context block of a value."""
        return self.d_v - self.d_ent - self.d_tau

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the weights and the layout."""
        arrays = [a for name in _MAPS for a in (self._map(name).weight, self._map(name).bias)]
        layout = f"{self.d_k} {self.d_v} {self.d_ctx} {self.d_tau} {self.encoder_fingerprint}"
        return fingerprint(layout, *(np.ascontiguousarray(a, "<f4").tobytes() for a in arrays))

    @classmethod
    def fit(
        cls,
        entity_vectors: DoubleArray | Moments,
        relation_vectors: DoubleArray | Moments,
        context_vectors: DoubleArray | Moments,
        *,
        d_k: int,
        d_v: int,
        d_ctx: int,
        d_tau: int,
        whitening: float = 0.5,
        encoder_name: str,
        encoder_fingerprint: str,
    ) -> Projections:
        """Fit the three maps on sentence vectors of distinct strings, each ``(n, d_sent)``, or on their moments.

        ``relation_vectors`` are those of the KB's relations and of ``general_relation_labels()``.

        Raises:
            ParamsError: If the widths leave no room for a block, or ``whitening`` is not in 0..1.
            DataError: If there is too little to fit a map on.
        """
        _check_widths(d_k, d_v, d_ctx, d_tau)
        if not 0 <= whitening <= 1:
            raise ParamsError(f"encoder.whitening must be between 0 and 1, got {whitening}; set it in params.yaml")
        d_ent = 3 * min(d_k, d_v) // 4
        d_context = max(d_ctx, d_v - d_ent - d_tau)
        return cls(
            fit_whitened(entity_vectors, d_ent, whitening, "entity"),
            # Not centred or whitened: what is tuned is the cosine, and more alike directions keep it.
            fit_whitened(relation_vectors, d_k - d_ent, 0.0, "relation", centred=False),
            fit_whitened(context_vectors, d_context, whitening, "context"),
            d_k=d_k,
            d_v=d_v,
            d_ctx=d_ctx,
            d_tau=d_tau,
            whitening=float(whitening),
            encoder_name=encoder_name,
            encoder_fingerprint=encoder_fingerprint,
        )

    def keys(self, name_vectors: DoubleArray, relation_vectors: DoubleArray) -> DoubleArray:
        """Keys ``(n, d_k)`` of heads (or tails, for inverse keys) and relations, both ``(n, d_sent)``."""
        return np.concatenate([self.entity.unit(name_vectors), self.relation.unit(relation_vectors)], axis=1)

    def queries(self, question_vectors: DoubleArray) -> DoubleArray:
        """The untrained queries ``(n, d_k)`` of questions ``(n, d_question)``."""
        return self.keys(question_vectors[:, : self.d_sent], question_vectors[:, self.d_sent :])

    def of_question(self, name: str) -> LinearMap:
        """A map as it reads a question's vector, ``(rows, d_question)``: that of relations its second part."""
        linear = self._map(name)
        nothing = np.zeros_like(linear.weight)
        parts = (nothing, linear.weight) if name == "relation" else (linear.weight, nothing)
        return LinearMap(np.concatenate(parts, axis=1), linear.bias)

    def values(
        self,
        tail_vectors: DoubleArray,
        context_vectors: DoubleArray,
        tau_min: IntArray,
        tau_max: IntArray,
    ) -> DoubleArray:
        """Values ``(n, d_v)`` of tails and contexts, both ``(n, d_sent)``, and windows ``(n,)``."""
        # Divided by the norm of the whole row: its first d_ctx dimensions are contexts() when
        # d_val_ctx <= d_ctx, and the block is a unit vector when the values have room for more.
        context = self.context.unit(context_vectors)[:, : self.d_val_ctx]
        window = TauEncoder(self.d_tau)(tau_min, tau_max)
        return np.concatenate([self.entity.unit(tail_vectors), context, window], axis=1)

    def contexts(self, context_vectors: DoubleArray) -> DoubleArray:
        """Context vectors ``(n, d_ctx)`` of norm one, from ``(n, d_sent)``."""
        return unit(self.context(context_vectors)[:, : self.d_ctx])

    def save(self, directory: Path) -> None:
        """Write the weights and a manifest to ``directory``, atomically."""
        tensors = {}
        for name in _MAPS:
            tensors[f"{name}.weight"] = np.ascontiguousarray(self._map(name).weight)
            tensors[f"{name}.bias"] = np.ascontiguousarray(self._map(name).bias)
        with atomic_dir(directory) as folder:
            save_file(tensors, folder / _WEIGHTS)
            write_manifest(folder, "projection", self._manifest_fields())

    @classmethod
    def load(cls, directory: Path, *, verify: Literal["sha256", "size", "none"] = "sha256") -> Projections:
        """Read what :meth:`save` wrote.

        Raises:
            StoreError: If the folder is missing, damaged, or not a projection.
        """
        manifest = read_manifest(directory, "projection", verify=verify, stage="encode")
        try:
            tensors = load_file(directory / _WEIGHTS)
            entity, relation, context = (
                LinearMap(tensors[f"{name}.weight"], tensors[f"{name}.bias"]) for name in _MAPS
            )
            dims = manifest["dims"]
            return cls(
                entity,
                relation,
                context,
                d_k=int(dims["d_k"]),
                d_v=int(dims["d_v"]),
                d_ctx=int(dims["d_ctx"]),
                d_tau=int(dims["d_tau"]),
                whitening=float(manifest["whitening"]),
                encoder_name=str(manifest["encoder"]["name"]),
                encoder_fingerprint=str(manifest["encoder"]["fingerprint"]),
            )
        except (KeyError, TypeError, OSError, SafetensorError) as error:
            raise StoreError(
                f"{directory} does not hold a readable projection ({error!r}); run `dvc repro encode`"
            ) from error

    def dims(self) -> dict[str, int]:
        """Every width by name, as manifests state them."""
        names = ("d_k", "d_v", "d_ctx", "d_tau", "d_ent", "d_rel", "d_val_ctx", "d_sent", "d_question")
        return {name: int(getattr(self, name)) for name in names}

    def _map(self, name: str) -> LinearMap:
        linear: LinearMap = getattr(self, name)
        return linear

    def _manifest_fields(self) -> dict[str, Any]:
        return {
            "dims": self.dims(),
            "encoder": {"name": self.encoder_name, "fingerprint": self.encoder_fingerprint},
            "fingerprint": self.fingerprint,
            "whitening": self.whitening,
        }


def fit_projections(
    facts: Sequence[FiveTuple],
    encoders: Encoders,
    *,
    d_k: int,
    d_v: int,
    d_ctx: int,
    d_tau: int,
    whitening: float = 0.5,
) -> Projections:
    """Fit the maps on the distinct names and evidence sentences of a KB; see ``Projections.fit``.

    Args:
        facts: The training KB.
        encoders: Make vectors of them.
    """
    entities = _distinct(name for fact in facts for name in (fact.head.name, fact.tail.name))
    relations = _distinct([*(fact.relation.name for fact in facts), *general_relation_labels()])
    contexts = _distinct(evidence_sentence(fact) for fact in facts)
    return Projections.fit(
        encoders.embed(entities),
        encoders.embed_relations(relations),
        encoders.embed(contexts),
        d_k=d_k,
        d_v=d_v,
        d_ctx=d_ctx,
        d_tau=d_tau,
        whitening=whitening,
        encoder_name=encoders.name,
        encoder_fingerprint=encoders.fingerprint,
    )


def _distinct(texts: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(texts))


def _check_widths(d_k: int, d_v: int, d_ctx: int, d_tau: int) -> None:
    """Every block needs room: the entity block is three quarters of the smaller width."""
    d_ent = 3 * min(d_k, d_v) // 4
    if min(d_k, d_v) < 2 or d_ctx < 1 or d_tau < 0:
        raise ParamsError(
            f"encoder.d_k, d_v, d_ctx and d_tau must be at least 2, 2, 1 and 0, got {d_k}, {d_v}, "
            f"{d_ctx} and {d_tau}; set them in params.yaml"
        )
    if d_v < d_ent + d_tau:
        raise ParamsError(
            f"encoder.d_v of {d_v} has no room for the entity block ({d_ent}) and encoder.d_tau "
            f"({d_tau}); set d_v to at least {d_ent + d_tau} or d_tau to at most {d_v - d_ent}"
        )
