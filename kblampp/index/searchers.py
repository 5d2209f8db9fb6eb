"""The faiss indexes behind `knowledge_index`: making them from options, and reading them back."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import faiss

from kblampp.core.errors import StoreError
from kblampp.encoding.sentence_encoder import FloatArray

logger = logging.getLogger(__name__)

METHODS = ("flat", "hnsw", "ivfpq")
SIMILARITIES = ("ip", "cosine")

_TRAINING_POINTS = 39  # vectors that k-means wants for a centroid, faiss's own rule
_MAX_PQ_BITS = 16


def check_options(method: str, similarity: str, options: Mapping[str, int]) -> None:
    """Raise a StoreError unless the options describe an index."""
    if method not in METHODS:
        raise StoreError(f"index.method must be {', '.join(METHODS)}, got {method!r}; set it in params.yaml")
    if similarity not in SIMILARITIES:
        raise StoreError(
            f"index.similarity must be {' or '.join(SIMILARITIES)}, got {similarity!r}; set it in params.yaml"
        )
    for name, value in options.items():
        if name != "seed" and value < 1:
            raise StoreError(f"index.{name} must be at least 1, got {value}; set it in params.yaml")


def make_searcher(method: str, keys: FloatArray, options: Mapping[str, int]) -> Any:
    """A faiss index of ``keys`` ``(n, d_k)`` for the inner product.

    Raises:
        StoreError: If the keys are too few or too narrow for the method.
    """
    with _one_thread():  # links and centroids depend on the order of the work
        if method == "flat":
            searcher = faiss.IndexFlatIP(keys.shape[1])
        elif method == "hnsw":
            searcher = _empty_hnsw(keys, options)
        else:
            searcher = _trained_ivfpq(keys, options)
        searcher.add(keys)
    return searcher


def read_searcher(path: Path, n_keys: int, d_k: int) -> Any:
    """Read a faiss index and compare its size with the store's distinct keys.

    Raises:
        StoreError: If the file is not an index of that many keys.
    """
    try:
        searcher = faiss.read_index(str(path))
    except RuntimeError as error:
        raise StoreError(f"{path} is not a readable index; run `dvc repro index`") from error
    if (searcher.ntotal, searcher.d) != (n_keys, d_k):
        raise StoreError(
            f"{path} has {searcher.ntotal} keys of width {searcher.d}, expected {n_keys} of width "
            f"{d_k}; run `dvc repro index`"
        )
    return searcher


def write_searcher(path: Path, searcher: Any) -> None:
    """Write a faiss index; the caller makes it atomic."""
    faiss.write_index(searcher, str(path))


def _empty_hnsw(keys: FloatArray, options: Mapping[str, int]) -> Any:
    searcher = faiss.IndexHNSWFlat(keys.shape[1], options["hnsw_m"], faiss.METRIC_INNER_PRODUCT)
    searcher.hnsw.efConstruction = options["hnsw_ef_construction"]
    searcher.hnsw.efSearch = options["hnsw_ef_search"]
    return searcher


def _trained_ivfpq(keys: FloatArray, options: Mapping[str, int]) -> Any:
    n_keys, d_k = keys.shape
    bits = options["pq_bits"]
    if d_k % options["pq_m"]:
        raise StoreError(
            f"index.pq_m of {options['pq_m']} does not divide encoder.d_k, the key width of {d_k}; "
            "set index.pq_m to a divisor"
        )
    if bits > _MAX_PQ_BITS:
        raise StoreError(f"index.pq_bits must be at most {_MAX_PQ_BITS}, got {bits}; set it in params.yaml")
    if n_keys < 2**bits:
        raise StoreError(
            f"ivfpq with index.pq_bits = {bits} needs at least {2**bits} distinct keys, but the "
            f"store has {n_keys}; lower index.pq_bits or set index.method to flat"
        )
    n_cells = max(1, min(options["ivf_nlist"], n_keys // _TRAINING_POINTS))
    if n_cells < options["ivf_nlist"]:
        logger.warning(
            "index.ivf_nlist lowered from %d to %d: %d distinct keys cannot train more cells",
            options["ivf_nlist"],
            n_cells,
            n_keys,
        )
    if n_keys < _TRAINING_POINTS * 2**bits:
        logger.warning("%d distinct keys are few to train codes of %d bits", n_keys, bits)
    searcher = faiss.IndexIVFPQ(faiss.IndexFlatIP(d_k), d_k, n_cells, options["pq_m"], bits, faiss.METRIC_INNER_PRODUCT)
    for clustering in (searcher.cp, searcher.pq.cp):
        clustering.seed = options["seed"]
        clustering.min_points_per_centroid = 1  # faiss warns on stderr; the log has said it
    searcher.nprobe = min(options["ivf_nprobe"], n_cells)
    searcher.train(keys)
    return searcher


@contextmanager
def _one_thread() -> Iterator[None]:
    """Make faiss work on one thread, and set its number back afterwards."""
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)
