"""Measures the memory of `encode`: ``python benchmarks/encode_memory.py --facts 10000 100000``.

Synthetic facts, whose sentences are all different and whose names and relations repeat, are written to a folder; then
a process of its own encodes them, projections and all, and its resident memory is looked at a hundred times a second.
The encoder is `deterministic`, which has no weights: what is measured is what grows with a base, or does not.  What a
process holds before it begins, its libraries, is given beside it.  The last line on stdout is a JSON object; with
``--write`` the rows go to metrics/scale/encode.json.

With ``--kills`` nothing is measured: the process is killed so often at random moments and started again, and the files
that it ends with are compared with those of a process that was not killed.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import os
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

from kblampp.core.errors import one_line_errors
from kblampp.core.files import sha256_file, write_json
from kblampp.core.params_file import load_params
from kblampp.data.dataset import TRAINING_KB, DatasetFiles, DatasetWriter
from kblampp.data.facts import Context, Entity, FiveTuple, Relation
from kblampp.data.windows import year_window
from kblampp.encoding.encode import encode_dataset
from kblampp.encoding.encoders import load_encoders
from kblampp.encoding.projections import general_relation_labels
from kblampp.encoding.work_folder import WORK

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "metrics" / "scale" / "encode.json"
NAME = "synth_world"
EVERY_S = 0.01


def write_facts(data: Path, n_facts: int) -> None:
    """A dataset of one base with a name for every other fact."""
    rng, labels = random.Random(0), general_relation_labels()
    with DatasetWriter(data, NAME) as writer:
        for number in range(n_facts):
            head, tail = (f"Place {rng.randrange(n_facts // 2 + 1)}" for _ in range(2))
            relation, year = rng.choice(labels), rng.randrange(1900, 2000)
            context = Context(NAME, sent_span=f"In {year} the {relation} of {head} was {tail}, as page {number} says.")
            fact = FiveTuple(
                Entity(None, head), Relation(None, relation), Entity(None, tail), context, year_window(year)
            )
            writer.append_fact(TRAINING_KB, fact)


def encode(data: Path, store: Path) -> None:
    """The work of the stage, projections and all."""
    params = load_params(ROOT / "params.yaml").encoder.model_copy(update={"model": "deterministic"})
    encode_dataset(DatasetFiles.open(data, NAME), store / NAME, params, load_encoders(params.model, store))


def child(data: Path, store: Path, ready: Any, began: Any) -> None:
    """Encodes when it is told to, so that what it holds before can be measured."""
    ready.set()
    began.wait()
    encode(data, store)


def measure(n_facts: int, folder: Path) -> dict[str, float | int]:
    """One base, in megabytes and seconds."""
    write_facts(folder / "data", n_facts)
    context = multiprocessing.get_context("spawn")
    ready, began = context.Event(), context.Event()
    process = context.Process(target=child, args=(folder / "data", folder / "store", ready, began))
    process.start()
    ready.wait()
    seen = psutil.Process(process.pid)
    before = seen.memory_info().rss
    start, peak, scratch = time.perf_counter(), before, 0
    began.set()
    while process.is_alive():
        for _ in range(100):
            with contextlib.suppress(psutil.NoSuchProcess):
                peak = max(peak, seen.memory_info().rss)
            time.sleep(EVERY_S)
        scratch = max(scratch, size(folder / "store" / NAME / WORK))
    process.join()
    if process.exitcode:
        raise SystemExit(f"encode ended with {process.exitcode}")
    return {
        "facts": n_facts,
        "before_mb": round(before / 1e6),
        "peak_mb": round(peak / 1e6),
        "seconds": round(time.perf_counter() - start, 1),
        "store_bytes_a_fact": round(size(folder / "store" / NAME / "kb") / n_facts),
        "scratch_bytes_a_fact": round(scratch / n_facts),
    }


def killed(n_facts: int, kills: int, folder: Path) -> dict[str, float | int | bool]:
    """One base, encoded once at a stretch and once with kills at random moments of the time that this took."""
    write_facts(folder / "data", n_facts)
    rng, context = random.Random(), multiprocessing.get_context("spawn")
    seconds, done = 0.0, 0
    for store, wanted in ((folder / "whole", 0), (folder / "killed", kills)):
        while True:
            ready, began = context.Event(), context.Event()
            process = context.Process(target=child, args=(folder / "data", store, ready, began))
            process.start()
            ready.wait()
            start = time.perf_counter()
            began.set()
            process.join(rng.uniform(0, 1.5 * seconds / kills) if done < wanted else None)
            if process.exitcode is None:
                process.kill()
                process.join()
                done += 1
            elif process.exitcode:
                raise SystemExit(f"encode ended with {process.exitcode}")
            else:
                break
        seconds = seconds or time.perf_counter() - start
    whole, found = (hashes(folder / store) for store in ("whole", "killed"))
    return {"facts": n_facts, "seconds": round(seconds, 1), "kills": done, "files": len(whole), "same": whole == found}


def hashes(folder: Path) -> dict[str, str]:
    """File -> sha256, also of what is hidden."""
    return {
        path.relative_to(folder).as_posix(): sha256_file(path) for path in sorted(folder.rglob("*")) if path.is_file()
    }


def size(folder: Path) -> int:
    """Bytes on disk of the files in a folder, as far as they are written."""
    total = 0
    for path, _, names in os.walk(folder):
        for name in names:
            try:
                found = os.stat(os.path.join(path, name))
            except FileNotFoundError:  # moved or removed meanwhile
                continue
            total += getattr(found, "st_blocks", -(-found.st_size // 512)) * 512
    return total


def main(argv: Sequence[str] | None = None) -> int:
    """Parses the arguments, measures, and prints the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--facts", type=int, nargs="+", default=[10_000], metavar="N", help="sizes (default: 10000)")
    parser.add_argument(
        "--write", action="store_true", help=f"write the rows to {RESULTS.relative_to(ROOT).as_posix()}"
    )
    parser.add_argument("--kills", type=int, default=0, metavar="N", help="kill so often instead (default: 0)")
    arguments = parser.parse_args(argv)

    def work() -> None:
        rows: list[dict[str, Any]] = []
        for n_facts in arguments.facts:
            with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
                if arguments.kills:
                    rows.append(killed(n_facts, arguments.kills, Path(folder)))
                else:
                    rows.append(measure(n_facts, Path(folder)))
            sys.stderr.write(f"{rows[-1]}\n")
            if arguments.write and not arguments.kills:
                write_json(RESULTS, {"rows": rows})
        print(json.dumps({"benchmark": "encode_memory", "rows": rows}))

    return one_line_errors(work)


if __name__ == "__main__":
    sys.exit(main())
