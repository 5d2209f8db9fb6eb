"""What a change in a living base costs, by its size: ``python benchmarks/living_base.py --facts 1000 10000 100000``.

A base of that many facts is filled and opened as a model reads it.  Then facts are added one at a time, and the next
state is made ready for a question, up to the search.  Vectors are random, since what an encoder costs does not depend
on the size of the base; those of the projections' widths.  Ratios are of the medians to the time of opening the base.
The last line on stdout is a JSON object.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kblampp.base.editing import fact_of
from kblampp.base.knowledge_base import KnowledgeBase
from kblampp.data.facts import FiveTuple
from kblampp.encoding.projections import PROJECTION, Projections
from kblampp.snapshots.fact_encoder import FactEncoder
from kblampp.snapshots.snapshot import Snapshot

RELATIONS = ("director", "place of birth", "employer", "headquarters", "founded by")
SYLLABLES = [first + second for first in "bdfgklmnprst" for second in "aeiou"]


class RandomEncoder(FactEncoder):
    """As wide as the model's, and as fast as random numbers."""

    def encode(self, facts: Sequence[FiveTuple]) -> Any:
        """Random rows."""
        rng = np.random.default_rng(len(facts))
        return rng.standard_normal((len(facts), sum(self.widths)), dtype=np.float32).astype(np.float16)


def make_facts(count: int, rng: random.Random) -> list[FiveTuple]:
    """Five facts an entity, with years."""

    def word() -> str:
        return "".join(rng.choices(SYLLABLES, k=rng.randint(2, 4))).title()

    heads = [f"{word()} {word()} {number}" for number in range(count // len(RELATIONS) + 1)]
    return [
        fact_of(heads[n // 5], RELATIONS[n % 5], f"{word()} {word()}", start=str(1900 + n % 100)) for n in range(count)
    ]


def ready(state: Snapshot) -> None:
    """Makes all that a question needs of a state, and searches once."""
    base = state.base
    if base is None:
        raise ValueError("the base is empty")
    for part in ("tensors", "names", "by_head", "order"):
        getattr(base, part)
    base.index.search(np.ones((1, base.store.keys.shape[1]), dtype=np.float32), min(64, base.index.n))


def measure(count: int, repeats: int, encoder: FactEncoder, folder: Path) -> dict[str, float]:
    """Seconds of opening, of a write and of the next state; ratios; bytes a fact."""
    rng = random.Random(0)
    base = KnowledgeBase.create(folder)
    start = time.perf_counter()
    base.add(make_facts(count, rng), what="import")
    filled = time.perf_counter() - start
    Snapshot.of(base, encoder, base.version)  # the vectors are there from here on
    start = time.perf_counter()
    state = Snapshot.of(base, encoder, base.version)
    ready(state)
    opened = time.perf_counter() - start
    writes, states = [], []
    for number in range(repeats):
        start = time.perf_counter()
        base.add_fact(f"Somebody {number}", "mascot", f"Something {number}")
        writes.append(time.perf_counter() - start)
        start = time.perf_counter()
        state = state.moved(base, encoder, base.version)
        ready(state)
        states.append(time.perf_counter() - start)
    write, following = statistics.median(writes), statistics.median(states)
    size = sum(file.stat().st_size for file in folder.glob("*"))
    base.close()
    return {
        "facts": count,
        "fill_s": round(filled, 3),
        "open_s": round(opened, 3),
        "write_s": round(write, 4),
        "next_state_s": round(following, 4),
        "next_state_to_open": round(following / opened, 4),
        "bytes_a_fact": round(size / count),
    }


def main() -> None:
    """Measures each size in turn."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--facts", type=int, nargs="+", default=[1000, 10_000, 100_000], metavar="N")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--projection", type=Path, default=Path("store/synth_world") / PROJECTION)
    arguments = parser.parse_args()
    encoder = RandomEncoder(None, Projections.load(arguments.projection))  # type: ignore[arg-type]  # encodes nothing
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        for count in arguments.facts:
            rows.append(measure(count, arguments.repeats, encoder, Path(scratch) / f"{count}.kb"))
            print(json.dumps(rows[-1]))
    print(json.dumps({"rows": rows}))


if __name__ == "__main__":
    main()
