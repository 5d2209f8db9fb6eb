"""`index.factory: auto`: the kind of index that suits a number of keys, said in one line of the log.

Up to `FLAT` keys a search compares them all.  Up to `GRAPH` it walks a graph (HNSW, Malkov and Yashunin 2018) over keys
of a byte a dimension, and beyond visits cells of product-quantised keys (Jégou et al. 2011) of half a byte a dimension,
without links.  Both fetch more than is asked for, and the stored keys give the scores.  What they find and cost is
measured by `benchmarks/index_scale.py`.
"""

from __future__ import annotations

import logging
import math

from kblampp.core.errors import StoreError

logger = logging.getLogger(__name__)

AUTO = "auto"
FLAT = 100_000
"""Up to so many distinct keys an exact search takes milliseconds."""
GRAPH = 2_000_000
"""Up to so many distinct keys the links of a graph and its build, on one thread, are bearable."""
_GRAPH_FACTORY, _GRAPH_SEARCH = "HNSW32_SQ8", "efConstruction=200,efSearch=256"
_LEAST_DIMENSIONS = 2  # of a key that a byte of the product quantiser stands for


def resolve(factory: str, search: str | None, n_keys: int, d_k: int) -> tuple[str, str | None]:
    """Factory string and search options that `auto` stands for; any others as they are.

    Args:
        factory: `index.factory`.
        search: `index.search`.
        n_keys: Number of distinct keys.
        d_k: Their width.

    Raises:
        StoreError: Options are given for an index that is yet to be chosen.
    """
    if factory != AUTO:
        return factory, search
    if search is not None:
        raise StoreError(
            f"index.search is {search!r}, but index.factory is auto, which sets the options of what it chooses; "
            "set index.search to null, or index.factory to the index that they belong to, such as HNSW32 or IVF64,Flat"
        )
    chosen, options, why = _choice(n_keys, d_k)
    logger.info(
        "index.factory auto: %s%s for %d distinct keys of width %d: %s",
        chosen,
        f" with {options}" if options else "",
        n_keys,
        d_k,
        why,
    )
    return chosen, options


def _choice(n_keys: int, d_k: int) -> tuple[str, str | None, str]:
    if n_keys <= FLAT:
        return "Flat", None, f"up to {FLAT} are compared one by one, exactly"
    if n_keys <= GRAPH:
        return _GRAPH_FACTORY, _GRAPH_SEARCH, f"a graph over byte codes up to {GRAPH}, scored again by the keys"
    cells = 2 ** round(math.log2(4 * math.sqrt(n_keys)))
    codes = max(m for m in range(1, max(1, d_k // _LEAST_DIMENSIONS) + 1) if d_k % m == 0)
    return f"IVF{cells},PQ{codes}x8", f"nprobe={max(1, cells // 16)}", "cells of short codes, scored again by the keys"
