"""What the index finds and costs by its kind: ``python benchmarks/index_scale.py --keys 100000 --factories auto``.

The keys are those of names and relation labels of open synthetic bases, by the sentence encoders and the committed
projections: so many distinct pairs of a name and a label, drawn by lot.  A real base has fewer facts an entity: the
more pairs a name has, the harder the search.  The queries are those of questions in words about some of the pairs.
Recall is against exact search over the same keys.  Of each time the ratio to the bare Faiss call of the same index is
given, for as many results (`over_bare`) and for as many candidates as are scored again (`over_candidates`), as medians
over calls that take turns, on one thread and by the processor's clock.  A factory may be followed by its options, and
by further ones that are set on the same index for another search.  A line is printed for each search, and added to
`--output`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from ratios import ratios
from search_cost import overhead

from kblampp.core.files import write_json
from kblampp.encoding.encoders import load_encoders
from kblampp.encoding.projections import PROJECTION, Projections
from kblampp.encoding.sentence_encoder import FloatArray
from kblampp.index.knowledge_index import KnowledgeIndex
from kblampp.synthetic.open_worlds import make_open_base

K = 8
BATCHES = (1, 8, 64)


def make_keys(n_keys: int, n_names: int, n_queries: int, store: Path) -> tuple[FloatArray, FloatArray]:
    """Keys ``(n_keys, d_k)``, rounded to float16 as a store's are, and queries ``(n_queries, d_k)``, both float32."""
    encoders = load_encoders("all-MiniLM-L6-v2", store)
    projections = Projections.load(store / "synth_world" / PROJECTION)
    facts = make_open_base(4 * n_names, seed="benchmark", part="train", taken=set()).facts
    names = list(dict.fromkeys(name for fact in facts for name in (fact.head.name, fact.tail.name)))[:n_names]
    labels = list(dict.fromkeys(fact.relation.name for fact in facts))
    rng = np.random.default_rng(0)
    name, label = np.divmod(rng.choice(len(names) * len(labels), n_keys, replace=False), len(labels))
    of_name, of_label = encoders.embed(names, progress=True), encoders.embed_relations(labels)
    keys = np.empty((n_keys, projections.dims()["d_k"]), dtype=np.float32)
    for start in range(0, n_keys, 50_000):
        rows = slice(start, start + 50_000)
        keys[rows] = projections.keys(of_name[name[rows]], of_label[label[rows]]).astype(np.float16)
    asked = rng.choice(n_keys, n_queries, replace=False)
    questions = [f"What is the {labels[label[row]]} of {names[name[row]]}?" for row in asked]
    return keys, projections.queries(encoders.embed_questions(questions)).astype(np.float32)


def measure(index: KnowledgeIndex, queries: FloatArray, exact: FloatArray) -> dict[str, Any]:
    """Recall and overhead of an index as it is set."""
    found, _ = index.search(queries, K)
    row: dict[str, Any] = {"recall_at_8": round(float((found >= exact[:, -1:] - 1e-6).mean()), 4)}
    for batch in BATCHES:
        times = overhead(index, queries, batch, K, max(25, 1000 // batch), "cpu")
        row[f"batch_{batch}"] = {
            "ms_a_query": round(1000 * statistics.median(times["ours"]) / batch, 3),
            "over_bare": round(statistics.median(ratios(times["ours"], times["bare"])), 2),
            "over_candidates": round(statistics.median(ratios(times["ours"], times["candidates"])), 2),
        }
    return row


def main() -> None:
    """Measures each kind of index in turn, over the same keys."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--keys", type=int, default=100_000, metavar="N")
    parser.add_argument("--names", type=int, default=20_000, metavar="N", help="distinct names (default: 20000)")
    parser.add_argument("--queries", type=int, default=1000, metavar="N")
    parser.add_argument("--factories", nargs="+", default=["auto"], metavar="FACTORY[;OPTIONS]...")
    parser.add_argument("--store", type=Path, default=Path("store"))
    parser.add_argument("--output", type=Path, help="a JSON file to which the rows are added")
    arguments = parser.parse_args()
    faiss.omp_set_num_threads(1)
    keys, queries = make_keys(arguments.keys, arguments.names, arguments.queries, arguments.store)
    exact, _ = KnowledgeIndex.build(keys).search(queries, K)
    output: Path | None = arguments.output
    for given in arguments.factories:
        factory, *searches = given.split(";")
        start = time.perf_counter()
        index = KnowledgeIndex.build(keys, factory=factory, search=searches[0] if searches else None)
        built: dict[str, Any] = {
            "keys": index.n,
            "names": arguments.names,
            "queries": len(queries),
            "factory": index.factory,
            "build_s": round(time.perf_counter() - start, 1),
            "index_bytes_a_key": round(faiss.serialize_index(index._searcher._index).nbytes / index.n, 1),
        }
        for search in searches or [index.search_options]:
            if search != index.search_options:
                faiss.ParameterSpace().set_index_parameters(index._searcher._index, search)
            row = {**built, "search": search, **measure(index, queries, exact)}
            print(json.dumps(row), flush=True)
            if output is not None:
                rows = json.loads(output.read_text(encoding="utf-8"))["rows"] if output.exists() else []
                write_json(output, {"rows": [*rows, row]})


if __name__ == "__main__":
    main()
