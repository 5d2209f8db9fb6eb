"""Measures what the encoder costs: texts a second against sentence-transformers alone, float64 and cache included.

The ways encode the same texts with the same weights, in turn, in one process:

* ``float32``: sentence-transformers alone, as it comes;
* ``alone``: sentence-transformers alone, in float64;
* ``kblampp``: the encoder of the package, which computes in float64;
* ``cache``: the same with every vector in the disk cache.

One fact, as it is added to a living base, is encoded as well: its few short texts at a time.  Ratios are medians over
the repeats.  The last line on stdout is a JSON object.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from ratios import add_clock, ratios, result, row, take_turns, timed
from sentence_transformers import SentenceTransformer

from kblampp.core.errors import one_line_errors
from kblampp.encoding.projections import general_relation_labels
from kblampp.encoding.sentence_encoder import BUNDLED, bundled_folder, load_encoder
from kblampp.encoding.vector_cache import CachedEncoder, VectorCache

FACT = ("Odile Brennan", "Harrowgate Museum", "Odile Brennan was director of the Harrowgate Museum from 1994.")


def make_texts(n_texts: int, seed: int) -> list[str]:
    """Distinct texts of the lengths of names, labels and evidence sentences."""
    rng = random.Random(seed)
    words = [word for label in general_relation_labels() for word in label.split()]
    return [f"{number} " + " ".join(rng.choices(words, k=rng.choice((1, 2, 3, 12, 20)))) for number in range(n_texts)]


def measure(n_texts: int, batch_size: int, repeats: int, clock: str, device: str, folder: Path) -> dict[str, object]:
    """Time all ways in turn; the cache lies in ``folder``."""
    texts = make_texts(n_texts, seed=0)
    single = SentenceTransformer(str(bundled_folder()), device=device)
    alone = SentenceTransformer(str(bundled_folder()), device=device).double()
    encoder = load_encoder(BUNDLED, batch_size=batch_size, device=device)
    cached = CachedEncoder(encoder, VectorCache(folder, encoder.fingerprint, encoder.dim))

    def bare(model: SentenceTransformer, texts: Sequence[str]) -> None:
        model.encode(list(texts), batch_size=batch_size, show_progress_bar=False)

    ways: dict[str, Callable[[Sequence[str]], object]] = {
        "float32": lambda texts: bare(single, texts),
        "alone": lambda texts: bare(alone, texts),
        "kblampp": encoder.encode,
        "cache": cached.encode,
    }
    times = take_turns(
        {name: lambda _, way=way: timed(lambda: way(texts), clock) for name, way in ways.items()}, repeats
    )
    few = take_turns(
        {
            name: lambda turn, way=ways[name]: timed(lambda: way([f"{text} {turn}" for text in FACT]), clock)
            for name in ("alone", "kblampp")
        },
        10 * repeats,
    )
    slower = ratios(times["kblampp"], times["float32"])
    hits = ratios(times["kblampp"], times["cache"])
    rows = [
        row(
            "texts a second : sentence-transformers alone, both float64",
            ratios(times["alone"], times["kblampp"]),
            better="higher",
            aim=0.9,
        ),
        row(
            "texts of one fact, a second : the same alone",
            ratios(few["alone"], few["kblampp"]),
            better="higher",
            aim=0.9,
        ),
        row("time : sentence-transformers in float32, as it comes", slower),
        row("time : reading from the cache", hits, better="higher"),
    ]
    return result(
        "encode_throughput",
        rows,
        **{f"texts_per_second_{name}": round(n_texts / statistics.median(each), 1) for name, each in times.items()},
        ms_of_one_fact=round(1000 * statistics.median(few["kblampp"]), 1),
        texts=n_texts,
        batch_size=batch_size,
        repeats=repeats,
        clock=clock,
        device=device,
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the arguments, measure, and print the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", type=int, default=1000, metavar="N", help="texts to encode (default: 1000)")
    parser.add_argument("--batch-size", type=int, default=64, metavar="N", help="texts a batch (default: 64)")
    parser.add_argument("--repeats", type=int, default=5, metavar="N", help="timings of each (default: 5)")
    parser.add_argument("--device", default="cpu", help="torch device (default: cpu)")
    add_clock(parser)
    arguments = parser.parse_args(argv)
    if min(arguments.texts, arguments.batch_size, arguments.repeats) < 1:
        parser.error("--texts, --batch-size and --repeats must be at least 1")

    def work() -> None:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            measured = measure(
                arguments.texts,
                arguments.batch_size,
                arguments.repeats,
                arguments.clock,
                arguments.device,
                Path(folder, "cache"),
            )
        print(json.dumps(measured))

    return one_line_errors(work)


if __name__ == "__main__":
    sys.exit(main())
