"""What opening a living base and a change in it cost: ``python benchmarks/living_base.py --facts 1000 10000 100000``.

A base of that many facts is filled and opened twice: from its facts alone (`make_s`), and then by another process from
the segment that the first opening has left (`open_s`).  Then facts are added one at a time, and the next state is made
ready for a question, up to the search.  Vectors are random, since what an encoder costs does not depend on the size of
the base; those of the projections' widths.  Times are medians in seconds, and ratios of them; with `cpu` they are those
of the processor, which say the same while others use the machine.  Memory is what a process has resident, in MB, of
which `before_mb` are the libraries.  The last line on stdout is a JSON object.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import random
import statistics
import tempfile
import time
import zlib
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch

from kblampp.base.editing import fact_of
from kblampp.base.knowledge_base import KnowledgeBase
from kblampp.base.vectors import VectorTable
from kblampp.data.facts import FiveTuple
from kblampp.encoding.projections import PROJECTION, Projections
from kblampp.model.inputs import EncodedBase
from kblampp.snapshots.fact_encoder import FactEncoder
from kblampp.snapshots.snapshot import Snapshot

RELATIONS = ("director", "place of birth", "employer", "headquarters", "founded by")
SYLLABLES = [first + second for first in "bdfgklmnprst" for second in "aeiou"]


class RandomEncoder(FactEncoder):
    """As wide as the model's, and as fast as random numbers."""

    def encode(self, facts: Sequence[FiveTuple]) -> Any:
        """Random rows, others for other facts."""
        rng = np.random.default_rng(zlib.crc32(facts[0].head.name.encode()))
        return rng.standard_normal((len(facts), sum(self.widths)), dtype=np.float32).astype(np.float16)


def make_facts(count: int, rng: random.Random) -> list[FiveTuple]:
    """Five facts an entity, with years."""

    def word() -> str:
        return "".join(rng.choices(SYLLABLES, k=rng.randint(2, 4))).title()

    heads = [f"{word()} {word()} {number}" for number in range(count // len(RELATIONS) + 1)]
    return [
        fact_of(heads[n // 5], RELATIONS[n % 5], f"{word()} {word()}", start=str(1900 + n % 100)) for n in range(count)
    ]


def ready(state: Snapshot) -> EncodedBase:
    """Makes all that a question needs of a state."""
    base = state.base
    if base is None:
        raise ValueError("the base is empty")
    for owner, part in (
        (base, "tensors"),
        (base, "names"),
        (base, "by_head"),
        (base, "order"),
        (base.store, "horizon"),
    ):
        getattr(owner, part)
    return base


def search(base: EncodedBase) -> None:
    """Finds the candidates of a question."""
    width = base.tensors.keys[torch.zeros(1, dtype=torch.int64)].shape[1]
    base.index.search(np.ones((1, width), dtype=np.float32), min(64, base.index.n))


def resident() -> int:
    """Of this process, in MB."""
    return round(psutil.Process().memory_info().rss / 1e6)


def timed(work: Callable[[], Any]) -> tuple[float, float, Any]:
    """Seconds of some work, those of the processor, and its result."""
    start, processor = time.perf_counter(), time.process_time()
    result = work()
    return time.perf_counter() - start, time.process_time() - processor, result


def reopen(folder: Path, projection: Path, repeats: int) -> dict[str, float]:
    """Opens a base from its segment and changes it; times and memory."""
    encoder = RandomEncoder(None, Projections.load(projection))  # type: ignore[arg-type]  # encodes no text
    torch.set_num_threads(1)
    told: dict[str, float] = {"before_mb": resident()}
    base = KnowledgeBase.open(folder)
    told["open_s"], told["open_cpu_s"], state = timed(lambda: Snapshot.of(base, encoder, base.version))
    told["open_mb"] = resident()
    told["first_ready_s"], _, live = timed(lambda: ready(state))
    search(live)
    told["first_ready_mb"] = resident()
    rows = []
    for number in range(repeats):
        write, _, _ = timed(lambda number=number: base.add_fact(f"Somebody {number}", "mascot", f"Some {number}"))
        moving, processor, state = timed(lambda before=state: before.moved(base, encoder, base.version))
        making, of_making, live = timed(lambda now=state: ready(now))
        rows.append((write, moving + making, processor + of_making, timed(lambda live=live: search(live))[0]))
    names = ("write_s", "next_state_s", "next_state_cpu_s", "search_s")
    return told | dict(zip(names, map(statistics.median, zip(*rows, strict=True)), strict=True))


def tell(folder: Path, projection: Path, repeats: int, pipe: Connection) -> None:
    """`reopen` in a process of its own."""
    pipe.send(reopen(folder, projection, repeats))


def measure(count: int, repeats: int, projection: Path, folder: Path) -> dict[str, float]:
    """Seconds of filling, of both ways of opening, of a write and of the next state; ratios; bytes a fact."""
    encoder = RandomEncoder(None, Projections.load(projection))  # type: ignore[arg-type]  # encodes no text
    with KnowledgeBase.create(folder) as base:
        filled, _, _ = timed(lambda: base.add(make_facts(count, random.Random(0)), what="import"))
        VectorTable(base.database, encoder).make_missing()
        made, _, _ = timed(lambda: Snapshot.of(base, encoder, base.version))
    spawning = multiprocessing.get_context("spawn")
    reading, writing = spawning.Pipe(duplex=False)
    child = spawning.Process(target=tell, args=(folder, projection, repeats, writing))
    child.start()
    told: dict[str, float] = reading.recv()
    child.join()
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    return {
        "facts": count,
        "fill_s": round(filled, 3),
        "make_s": round(made, 3),
        **{name: round(value, 4) for name, value in told.items()},
        "open_to_make": round(told["open_s"] / made, 5),
        "next_state_to_make": round(told["next_state_s"] / made, 5),
        "bytes_a_fact": round(size / count),
    }


def main() -> None:
    """Measures each size in turn."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--facts", type=int, nargs="+", default=[1000, 10_000, 100_000], metavar="N")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--projection", type=Path, default=Path("store/synth_world") / PROJECTION)
    arguments = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        for count in arguments.facts:
            rows.append(measure(count, arguments.repeats, arguments.projection, Path(scratch) / f"{count}.kb"))
            print(json.dumps(rows[-1]))
    print(json.dumps({"rows": rows}))


if __name__ == "__main__":
    main()
