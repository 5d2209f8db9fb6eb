"""What a search costs beside Faiss's own of the same index: ``python benchmarks/search_cost.py --keys 20000``.

Our search scores its candidates again with the stored keys, breaks ties by the fact and expands keys to facts.  Bare is
Faiss's search of the same index for as many results.  Keys are drawn by lot around so many centres, in float16; queries
lie near some of them.  How much is found, and of real keys, says `index_scale.py`.  Both take turns, query for query;
ratios are medians over the turns.  The last line on stdout is a JSON object.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Callable, Sequence
from typing import Any

import faiss
import numpy as np
from ratios import Row, add_clock, ratios, result, row, take_turns, timed

from kblampp.core.errors import one_line_errors
from kblampp.encoding.sentence_encoder import FloatArray
from kblampp.index.knowledge_index import KnowledgeIndex

WIDTH = 288
"""`encoder.d_k`."""
FEW, MANY = 8, 72
"""Results: of a question's evidence, and of what a layer asks for (`selector.over_fetch` and 8)."""
CALLS = ((1, FEW), (8, FEW), (64, FEW), (1, MANY))
"""Queries a call, and results a query."""
FACTORIES = {"Flat": None, "HNSW32_SQ8": "efConstruction=200,efSearch=256"}
AIM = 1.2


def make_keys(n_keys: int, n_queries: int) -> tuple[FloatArray, FloatArray]:
    """Keys (n_keys, d_k) of unit norm, float16, and queries (n_queries, d_k), float32."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((max(1, n_keys // 50), WIDTH), dtype=np.float32)
    keys = centres[rng.integers(len(centres), size=n_keys)]
    keys += 0.7 * rng.standard_normal(keys.shape, dtype=np.float32)
    keys /= np.linalg.norm(keys, axis=1, keepdims=True)
    queries = keys[rng.integers(n_keys, size=n_queries)]
    queries = queries + 0.02 * rng.standard_normal(queries.shape, dtype=np.float32)
    return keys.astype(np.float16), queries.astype(np.float32)


def overhead(
    index: KnowledgeIndex, queries: FloatArray, batch: int, k: int, turns: int, clock: str
) -> dict[str, list[float]]:
    """Seconds of a call for `batch` queries in each turn: Faiss for as many results, for as many candidates, ours."""
    searcher = index._searcher  # the bare call is what is compared with
    bare: Any = searcher._index
    wanted = searcher.n_candidates(k)

    def chosen(turn: int) -> FloatArray:
        return np.ascontiguousarray(queries[np.arange(turn * batch, (turn + 1) * batch) % len(queries)])

    calls: dict[str, Callable[[FloatArray], object]] = {
        "bare": lambda asked: bare.search(asked, k),
        "candidates": lambda asked: bare.search(asked, wanted),
        "ours": lambda asked: index.search(asked, k),
    }

    def call(name: str, turn: int) -> float:
        asked = chosen(turn)
        return timed(lambda: calls[name](asked), clock)

    return take_turns({name: lambda turn, name=name: call(name, turn) for name in calls}, turns, warm_up=3)


def measure(n_keys: int, turns: int, clock: str) -> dict[str, object]:
    """Build each kind of index and compare."""
    keys, queries = make_keys(n_keys, 1000)
    rows: list[Row] = []
    told: dict[str, float] = {}
    for factory, options in FACTORIES.items():
        index = KnowledgeIndex.build(keys, factory=factory, search=options)
        for batch, k in CALLS:
            times = overhead(index, queries, batch, k, max(7, turns // batch), clock)
            name = (
                f"{factory}, {n_keys:,} keys, {batch} {'query' if batch == 1 else 'queries'}, {k} results: time : Faiss"
            )
            rows.append(row(name, ratios(times["ours"], times["bare"]), aim=AIM))
            told[f"ms_{factory}_{batch}_{k}"] = round(1000 * statistics.median(times["ours"]), 3)
    return result("search_cost", rows, **told, keys=n_keys, turns=turns, clock=clock)


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the arguments, measure, and print the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keys", type=int, default=20_000, metavar="N", help="default: 20000")
    parser.add_argument("--turns", type=int, default=200, metavar="N", help="of single queries (default: 200)")
    add_clock(parser)
    arguments = parser.parse_args(argv)
    if arguments.keys < 1000 or arguments.turns < 1:
        parser.error("--keys must be at least 1000, --turns 1")
    faiss.omp_set_num_threads(1)
    return one_line_errors(lambda: print(json.dumps(measure(arguments.keys, arguments.turns, arguments.clock))))


if __name__ == "__main__":
    sys.exit(main())
