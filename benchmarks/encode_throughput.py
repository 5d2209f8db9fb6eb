"""Measures what the encoder costs: texts a second against sentence-transformers alone, float64 and cache included.

The ways encode the same texts with the same weights, in turn, in one process:

* ``float32``: sentence-transformers alone, as it comes;
* ``alone``: sentence-transformers alone, in float64;
* ``kblampp``: the encoder of the package, which computes in float64;
* ``cache``: the same with every vector in the disk cache.

Ratios are medians over the repeats.  The last line on stdout is a JSON object.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from sentence_transformers import SentenceTransformer

from kblampp.core.errors import one_line_errors
from kblampp.encoding.projections import general_relation_labels
from kblampp.encoding.sentence_encoder import BUNDLED, bundled_folder, load_encoder
from kblampp.encoding.vector_cache import CachedEncoder, VectorCache


def make_texts(n_texts: int, seed: int) -> list[str]:
    """Distinct texts of the lengths of names, labels and evidence sentences."""
    rng = random.Random(seed)
    words = [word for label in general_relation_labels() for word in label.split()]
    return [f"{number} " + " ".join(rng.choices(words, k=rng.choice((1, 2, 3, 12, 20)))) for number in range(n_texts)]


def seconds(function: Callable[[], object]) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def measure(n_texts: int, batch_size: int, repeats: int, device: str, folder: Path) -> dict[str, object]:
    """Time all ways in turn, changing which goes first at every repeat; the cache lies in ``folder``."""
    texts = make_texts(n_texts, seed=0)
    single = SentenceTransformer(str(bundled_folder()), device=device)
    alone = SentenceTransformer(str(bundled_folder()), device=device).double()
    encoder = load_encoder(BUNDLED, batch_size=batch_size, device=device)
    cached = CachedEncoder(encoder, VectorCache(folder, encoder.fingerprint, encoder.dim))
    runs: dict[str, Callable[[], object]] = {
        "float32": lambda: single.encode(texts, batch_size=batch_size, show_progress_bar=False),
        "alone": lambda: alone.encode(texts, batch_size=batch_size, show_progress_bar=False),
        "kblampp": lambda: encoder.encode(texts),
        "cache": lambda: cached.encode(texts),
    }
    times: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():  # warm up, and fill the cache
        run()
    for repeat in range(repeats):
        for name in sorted(runs, reverse=bool(repeat % 2)):
            times[name].append(seconds(runs[name]))
    ratios = _ratios(times["alone"], times["kblampp"])
    return {
        "benchmark": "encode_throughput",
        "ratio": round(statistics.median(ratios), 4),
        "ratio_min": round(min(ratios), 4),
        "ratio_max": round(max(ratios), 4),
        "float64_to_float32_time": round(statistics.median(_ratios(times["kblampp"], times["float32"])), 2),
        "miss_to_hit_time": round(statistics.median(_ratios(times["kblampp"], times["cache"])), 1),
        "texts_per_second": round(n_texts / statistics.median(times["kblampp"]), 1),
        "texts_per_second_alone": round(n_texts / statistics.median(times["alone"]), 1),
        "texts_per_second_float32": round(n_texts / statistics.median(times["float32"]), 1),
        "texts_per_second_cache": round(n_texts / statistics.median(times["cache"]), 1),
        "texts": n_texts,
        "batch_size": batch_size,
        "repeats": repeats,
        "device": device,
        "threads": torch.get_num_threads(),
    }


def _ratios(above: Sequence[float], below: Sequence[float]) -> list[float]:
    return [a / b for a, b in zip(above, below, strict=True)]


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the arguments, measure, and print the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", type=int, default=1000, metavar="N", help="texts to encode (default: 1000)")
    parser.add_argument("--batch-size", type=int, default=64, metavar="N", help="texts a batch (default: 64)")
    parser.add_argument("--repeats", type=int, default=5, metavar="N", help="timings of each (default: 5)")
    parser.add_argument("--device", default="cpu", help="torch device (default: cpu)")
    arguments = parser.parse_args(argv)
    if min(arguments.texts, arguments.batch_size, arguments.repeats) < 1:
        parser.error("--texts, --batch-size and --repeats must be at least 1")

    def work() -> None:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            result = measure(
                arguments.texts, arguments.batch_size, arguments.repeats, arguments.device, Path(folder, "cache")
            )
        print(json.dumps(result))

    return one_line_errors(work)


if __name__ == "__main__":
    sys.exit(main())
