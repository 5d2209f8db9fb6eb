"""Kills processes that write to a living base, and looks what is left: ``python benchmarks/kill_points.py``.

A child adds, imports, changes, deletes, undoes, rolls back, encodes and compacts as fast as it can, and tells each call
that returned through a pipe, with a digest of what the base says then.  It is killed after a random time.
What was told must be there, letter by letter; at most the one call that was under way may be there too, as a whole; no
vector may belong to another fact, and what a model reads, from the segment that the child has left or not, must be the
facts and their vectors.  The last line counts what was wrong, and how many segments were left.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import multiprocessing
import random
import tempfile
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from kblampp.base.editing import changed, fact_of
from kblampp.base.knowledge_base import KnowledgeBase
from kblampp.base.states import digest_of
from kblampp.base.vectors import VectorTable
from kblampp.data.facts import FiveTuple
from kblampp.snapshots import segments, snapshot
from kblampp.snapshots.compaction import compact
from kblampp.snapshots.snapshot import Snapshot

LONGEST_S = 1.0
"""Most time that a child lives: long enough for some calls."""
IMPORTED = 200


class Encoder:
    """Stands for the model's: a vector says which fact it is of."""

    fingerprint = "benchmark"
    widths = (16, 16, 16, 16)

    def encode(self, facts: Sequence[FiveTuple]) -> Any:
        """The digest of each fact, as numbers, for each of its vectors."""
        rows = np.stack([np.frombuffer(digest_of(fact), dtype=np.uint8) for fact in facts]).astype(np.float16)
        return np.tile(rows, len(self.widths))

    def split(self, rows: Any) -> Any:
        """The vectors from a row."""
        return np.split(rows, len(self.widths), axis=1)


ENCODER: Any = Encoder()


def state(base: KnowledgeBase, version: int) -> str:
    """A digest of what the base says after a call."""
    rows = [(each.fact, digest_of(each.content).hex()) for each in base.facts(known_at=version)]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def write_until_killed(folder: Path, seed: int, pipe: Connection) -> None:
    """Writes; tells version and digest after each call that returned."""
    rng, base = random.Random(seed), KnowledgeBase.open(folder)
    snapshot.WORTH = 1
    table = VectorTable(base.database, ENCODER)
    pipe.send(("ready", ""))
    while True:
        ids = [each.fact for each in base.facts(limit=50)]
        kind = rng.choice(["add", "import", "change", "delete", "undo", "rollback", "encode", "compact"])
        if kind == "add":
            base.add_fact(f"h{rng.random()}", "r", "t", start=str(rng.randint(1900, 2000)))
        elif kind == "import":
            base.add([fact_of(f"h{rng.random()}", "r", str(n)) for n in range(rng.randint(1, IMPORTED))], what="import")
        elif kind == "encode":
            table.rows([each.content for each in base.facts(limit=60, offset=rng.randint(0, 100))])
        elif kind == "compact":
            compact(base, ENCODER, base.version)
            if rng.random() < 0.2:
                table.forget_others()
                base.database.vacuum()
        elif kind == "rollback" and rng.random() < 0.3:
            base.rollback(max(1, base.version - rng.randint(1, 5)))
        elif ids and kind == "change":
            fact = rng.choice(ids)
            base.change(fact, changed(base.fact(fact).content, tail=str(rng.random())))
        elif ids and kind == "delete":
            base.delete(rng.sample(ids, min(len(ids), rng.randint(1, 30))))
        elif ids and kind == "undo" and base.log(1)[0].what in ("add", "import", "delete"):
            base.undo(base.version)
        version = base.version
        pipe.send((version, state(base, version)))


def kill_once(folder: Path, seed: int) -> list[str]:
    """Lets a child write for a while and kills it; what is wrong after it."""
    spawning = multiprocessing.get_context("spawn")
    reading, writing = spawning.Pipe(duplex=False)
    child = spawning.Process(target=write_until_killed, args=(folder, seed, writing))
    child.start()
    writing.close()
    told: list[tuple[Any, str]] = [reading.recv()]
    time.sleep(random.Random(seed).uniform(0.001, LONGEST_S))
    alive = child.is_alive()
    child.kill()
    child.join()
    with contextlib.suppress(EOFError):
        while True:
            told.append(reading.recv())
    wrong = [] if alive else ["the writer failed"]
    with KnowledgeBase.open(folder) as base:
        wrong += base.verify()
        whole = {version: digest for version, digest in told if version != "ready"}
        for version, digest in whole.items():
            if version > base.version or state(base, version) != digest:
                wrong.append(f"call {version} was told, and is not there as it was")
        if whole and base.version > max(whole) + 1:
            wrong.append(f"{base.version - max(whole)} calls are there that were not told")
        contents = {digest_of(each.content): each.content for each in base.facts()}
        with base.database.reading() as connection:
            for digest, numbers in connection.execute("SELECT digest, numbers FROM vectors"):
                if digest in contents and ENCODER.encode([contents[digest]])[0].tobytes() != numbers:
                    wrong.append("a fact has the vector of another one")
        wrong += misread(base)
    return wrong


def misread(base: KnowledgeBase) -> list[str]:
    """What is wrong with the present state as a model reads it."""
    facts = base.facts()
    read = Snapshot.of(base, ENCODER, base.version)
    if read.ids.tolist() != [each.fact for each in facts] or list(read.facts) != [each.content for each in facts]:
        return ["a model reads other facts"]
    if read.base is not None and (read.base.store.values != ENCODER.split(ENCODER.encode(read.facts))[2]).any():
        return ["a model reads other vectors"]
    return []


def main() -> None:
    """Kills, and counts."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--kills", type=int, default=1000, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    wrong: list[str] = []
    calls = segments_left = 0
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "a.kb"
        for number in range(arguments.kills):
            if number % 25 == 0:  # a new base, so that looking at it does not take longer and longer
                folder = Path(scratch) / f"{number}.kb"
                KnowledgeBase.create(folder).close()
            wrong += kill_once(folder, arguments.seed + number)
            segments_left += len(list((folder / segments.FOLDER).glob("[0-9]*")))
            if number % 25 == 24 or number == arguments.kills - 1:
                with KnowledgeBase.open(folder) as base:
                    calls += base.version
    for problem in wrong[:20]:
        print(problem)
    print(json.dumps({"kills": arguments.kills, "calls": calls, "segments": segments_left, "wrong": len(wrong)}))
    raise SystemExit(1 if wrong else 0)


if __name__ == "__main__":
    main()
