"""`index.factory: auto`: the kind of index that suits a number of keys, said in one line of the log.

Up to `FLAT` keys a search compares them all.  Beyond it visits half of the cells of product-quantised keys (Jégou et
al. 2011) of four bits for two dimensions, whose distances are looked up in registers (André et al. 2015, "Cache
locality is not enough: high-performance nearest neighbor search with product quantization fast scan").  It fetches more
than is asked for, and the stored keys give the scores.  Half of the cells are many, and needed: keys of one name lie in
many cells, since half of a key is of its relation.  What it finds and costs is measured by
`benchmarks/index_scale.py`.
"""

from __future__ import annotations

import logging
import math

from kblampp.core.errors import StoreError

logger = logging.getLogger(__name__)

AUTO = "auto"
FLAT = 100_000
"""Up to so many distinct keys an exact search takes milliseconds."""
_DIMENSIONS = 2  # of a key that four bits of the product quantiser stand for
_VISITED = 2  # one in so many cells


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
    cells = 2 ** round(math.log2(math.sqrt(n_keys)))
    codes = max(m for m in range(1, max(1, d_k // _DIMENSIONS) + 1) if d_k % m == 0)
    why = "half of the cells of short codes are visited, scored again by the keys"
    return f"IVF{cells},PQ{codes}x4fs", f"nprobe={max(1, cells // _VISITED)}", why
