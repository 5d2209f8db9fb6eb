"""What a search costs in Milvus against Faiss: ``python benchmarks/engines.py --base swap``.

The keys of a base of the pipeline and the queries of its questions, as the stage `index` checks them.  Milvus is
milvus-lite's server in a process of its own, reached over loopback, or the server that `--uri` names.  Needs the extra
`milvus` and the stages up to `encode`.  Ratios are of the medians of calls that take turns.  The last line on stdout is
a JSON object.
"""

from __future__ import annotations

import argparse
import json
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from kblampp.encoding.projections import PROJECTION, Projections
from kblampp.encoding.store import KBValueStore
from kblampp.index.knowledge_index import KnowledgeIndex
from kblampp.index.milvus_index import MilvusIndex
from kblampp.index.validity import Validity

K = 64
BATCHES = (1, 64)
REPEATS = 15


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of a milvus-lite server that ends with the block."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "milvus_lite", "server", "--data-dir", str(folder), "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(600):
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def measure(store: KBValueStore, queries: Any, uri: str, folder: Path) -> dict[str, Any]:
    """Build and search of both engines, and whether they answer the same."""
    start = time.perf_counter()
    milvus = MilvusIndex.build(store, uri=uri)
    built = time.perf_counter() - start
    faiss = KnowledgeIndex.build(store.keys, validity=Validity.of(store))
    every = np.stack([store.tau_min, store.tau_max], axis=1)[np.arange(len(queries)) % store.n]
    row: dict[str, Any] = {"keys": milvus.n, "d_k": milvus.d_k, "queries": len(queries), "build_s": round(built, 1)}
    row["bytes_a_key"] = round(sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / milvus.n)
    for name, windows in (("all", None), ("windows", every)):
        pairs = zip(milvus.search(queries, K, windows), faiss.search(queries, K, windows), strict=True)
        row[f"same_{name}"] = all(np.array_equal(a, b) for a, b in pairs)
    for batch in BATCHES:
        times: dict[str, list[float]] = {"milvus": [], "faiss": []}
        for number in range(REPEATS):
            chosen = queries[np.arange(number * batch, (number + 1) * batch) % len(queries)]
            for name, index in (("milvus", milvus), ("faiss", faiss)):
                start = time.perf_counter()
                index.search(chosen, K)
                times[name].append((time.perf_counter() - start) / batch)
        cost = {name: statistics.median(each) for name, each in times.items()}
        row[f"batch_{batch}"] = {
            "milvus_ms_a_query": round(1000 * cost["milvus"], 2),
            "milvus_to_faiss": round(cost["milvus"] / cost["faiss"], 1),
        }
    return row


def main() -> None:
    """Measures one base."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--store", type=Path, default=Path("store/synth_world"))
    parser.add_argument("--base", default="swap")
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--uri", help="a Milvus server; without it milvus-lite's is started")
    arguments = parser.parse_args()
    store = KBValueStore.load(arguments.store / "kb" / arguments.base, verify="size")
    vectors = np.concatenate([store.question_vectors(split) for split in store.splits])[: arguments.queries]
    queries = Projections.load(arguments.store / PROJECTION).queries(vectors).astype(np.float32)
    with tempfile.TemporaryDirectory() as scratch:
        if arguments.uri:
            row = measure(store, queries, arguments.uri, Path(scratch))
        else:
            with served(Path(scratch)) as uri:
                row = measure(store, queries, uri, Path(scratch))
    print(json.dumps(row))


if __name__ == "__main__":
    main()
