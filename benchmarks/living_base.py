"""What opening a living base and a change in it cost: ``python benchmarks/living_base.py --facts 1000 10000 100000``.

A base of that many facts is filled and opened twice: from its facts alone (`make_s`), and then by another process from
the segment that the first opening has left (`open_s`).  Then facts are added one at a time, and the next state is made
ready for a question, up to the search.  Vectors are random, since what an encoder costs does not depend on the size of
the base; those of the projections' widths.  What the encoder takes for one fact is measured beside it and added.  Times
are medians in seconds, and ratios of them; by the processor's clock they leave out the wait for the disk.  Memory is
what a process has resident, in MB, of which `before_mb` are the libraries.  The last line on stdout is a JSON object.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import statistics
import tempfile
import zlib
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from ratios import CLOCKS, Row, add_clock, result, row

from kblampp.base.editing import fact_of
from kblampp.base.knowledge_base import KnowledgeBase
from kblampp.base.vectors import VectorTable
from kblampp.data.facts import FiveTuple
from kblampp.encoding.encoders import load_encoders
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


def timed(work: Callable[[], Any], clock: str) -> tuple[float, Any]:
    """Seconds of some work, and its result."""
    read = CLOCKS[clock]
    start = read()
    done = work()
    return read() - start, done


def reopen(folder: Path, projection: Path, repeats: int, clock: str) -> dict[str, Any]:
    """Opens a base from its segment and changes it; times, a list of those that were taken often, and memory."""
    encoder = RandomEncoder(None, Projections.load(projection))  # type: ignore[arg-type]  # encodes no text
    torch.set_num_threads(1)
    told: dict[str, Any] = {"before_mb": resident()}
    base = KnowledgeBase.open(folder)
    first, state = timed(lambda: Snapshot.of(base, encoder, base.version), clock)
    told["open_mb"] = resident()
    told["open_s"] = [first]
    for _ in range(1, repeats):
        with KnowledgeBase.open(folder) as again:
            told["open_s"].append(timed(lambda again=again: Snapshot.of(again, encoder, again.version), clock)[0])
    told["first_ready_s"], live = timed(lambda: ready(state), clock)
    search(live)
    told["first_ready_mb"] = resident()
    rows = []
    for number in range(repeats):
        write, _ = timed(
            lambda number=number: base.add_fact(f"Somebody {number}", "mascot", f"Some {number}"),
            clock,
        )
        moving, state = timed(lambda before=state: before.moved(base, encoder, base.version), clock)
        making, live = timed(lambda now=state: ready(now), clock)
        rows.append((write, moving + making, timed(lambda live=live: search(live), clock)[0]))
    return told | dict(zip(("write_s", "next_state_s", "search_s"), map(list, zip(*rows, strict=True)), strict=True))


def tell(folder: Path, projection: Path, repeats: int, clock: str, pipe: Connection) -> None:
    """`reopen` in a process of its own."""
    pipe.send(reopen(folder, projection, repeats, clock))


def encoding(projection: Path, repeats: int, clock: str) -> list[float]:
    """Seconds that the encoders of the model take for one fact, each time another."""
    projections = Projections.load(projection)
    encoder = FactEncoder(load_encoders(projections.encoder_name, projection.parents[1]), projections)
    facts = make_facts(repeats + 1, random.Random(1))
    return [timed(lambda fact=fact: encoder.encode([fact]), clock)[0] for fact in facts][1:]


def measure(count: int, repeats: int, projection: Path, folder: Path, clock: str) -> dict[str, Any]:
    """Times of filling, of both ways of opening, of a write and of the next state; bytes a fact."""
    encoder = RandomEncoder(None, Projections.load(projection))  # type: ignore[arg-type]  # encodes no text
    with KnowledgeBase.create(folder) as base:
        filled, _ = timed(lambda: base.add(make_facts(count, random.Random(0)), what="import"), clock)
        VectorTable(base.database, encoder).make_missing()
        made, _ = timed(lambda: Snapshot.of(base, encoder, base.version), clock)
    spawning = multiprocessing.get_context("spawn")
    reading, writing = spawning.Pipe(duplex=False)
    child = spawning.Process(target=tell, args=(folder, projection, repeats, clock, writing))
    child.start()
    told: dict[str, Any] = reading.recv()
    child.join()
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    return {"facts": count, "fill_s": filled, "make_s": made, **told, "bytes_a_fact": round(size / count)}


def rows_of(told: dict[str, Any], of_encoder: Sequence[float]) -> list[Row]:
    """The figures of one size."""
    name = f"{told['facts']:,} facts"
    next_state = told["next_state_s"]
    added = [1000 * (write + ready) for write, ready in zip(told["write_s"], next_state, strict=True)]
    encoded = 1000 * statistics.median(of_encoder)
    return [
        row(f"{name}: opening, time : making it from the facts", [each / told["make_s"] for each in told["open_s"]]),
        row(f"{name}: next state, time : making it from the facts", [each / told["make_s"] for each in next_state]),
        row(f"{name}: opening", told["open_s"], unit="s", aim=2.0),
        row(f"{name}: memory of opening", [told["open_mb"] - told["before_mb"]], unit="MB", aim=300.0),
        row(f"{name}: a fact added, ready to be asked", added, unit="ms", aim=50.0),
        row(f"{name}: the same and its encoding", [each + encoded for each in added], unit="ms", aim=50.0),
    ]


def main() -> None:
    """Measures each size in turn."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--facts", type=int, nargs="+", default=[1000, 10_000, 100_000], metavar="N")
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--projection", type=Path, default=Path("store/synth_world") / PROJECTION)
    add_clock(parser)
    arguments = parser.parse_args()
    os.environ["KBLAMPP_CACHE"] = "off"
    of_encoder = encoding(arguments.projection, arguments.repeats, arguments.clock)
    rows: list[Row] = []
    sizes = []
    with tempfile.TemporaryDirectory() as scratch:
        for count in arguments.facts:
            folder = Path(scratch) / f"{count}.kb"
            told = measure(count, arguments.repeats, arguments.projection, folder, arguments.clock)
            rows += rows_of(told, of_encoder)
            medians = {name: statistics.median(v) if isinstance(v, list) else v for name, v in told.items()}
            sizes.append({name: round(value, 4) for name, value in medians.items()})
            print(json.dumps(sizes[-1]), flush=True)
    print(json.dumps(result("living_base", rows, sizes=sizes, clock=arguments.clock)))


if __name__ == "__main__":
    main()
