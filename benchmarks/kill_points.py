"""Kills processes that write to a living base, and looks what is left: ``python benchmarks/kill_points.py``.

A child adds, imports, changes, deletes, undoes, rolls back, encodes and compacts as fast as it can, and tells each call
that returned through a pipe, with a digest of what the base says then.  It is killed (SIGKILL) after a random time.
What was told must be there, letter by letter; at most the one call that was under way may be there too, as a whole; no
vector may belong to another fact.  The last line counts what was wrong.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import signal
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kblampp.base.knowledge_base import KnowledgeBase, changed, digest_of, fact_of
from kblampp.base.vectors import VectorTable
from kblampp.data.facts import FiveTuple

LONGEST_S = 0.25
"""Most time that a child lives: long enough for some calls."""
IMPORTED = 200


class Encoder:
    """Stands for the model's: a vector says which fact it is of."""

    fingerprint = "of the benchmark"
    widths = (8,)

    def encode(self, facts: Sequence[FiveTuple]) -> Any:
        """The digest of each fact, as numbers."""
        return np.stack([np.frombuffer(digest_of(fact), dtype=np.float16) for fact in facts])


def state(base: KnowledgeBase, version: int) -> str:
    """A digest of what the base says after a call."""
    rows = [(each.fact, digest_of(each.content).hex()) for each in base.facts(known_at=version)]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def write_until_killed(folder: Path, seed: int, pipe: int) -> None:
    """Writes; tells version and digest after each call that returned."""
    rng, base = random.Random(seed), KnowledgeBase.open(folder)
    table = VectorTable(base.database, Encoder())  # type: ignore[arg-type]
    while True:
        ids = [each.fact for each in base.facts(limit=50)]
        kind = rng.choice(["add", "import", "change", "delete", "undo", "rollback", "encode", "compact"])
        if kind == "add":
            base.add_fact(f"h{rng.random()}", "r", "t", start=str(rng.randint(1900, 2000)))
        elif kind == "import":
            base.add([fact_of(f"h{rng.random()}", "r", str(n)) for n in range(rng.randint(1, IMPORTED))], what="import")
        elif kind == "encode":
            table.rows([each.content for each in base.facts(limit=60, offset=rng.randint(0, 100))])
        elif kind == "compact" and rng.random() < 0.2:
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
        os.write(pipe, f"{version} {state(base, version)}\n".encode())


def kill_once(folder: Path, seed: int) -> list[str]:
    """Lets a child write for a while and kills it; what is wrong after it."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        try:
            write_until_killed(folder, seed, writing)
        except BaseException as error:  # the child must end here, whatever happens
            os.write(writing, f"failed {error!r}\n".encode())
        os._exit(1)
    os.close(writing)
    time.sleep(random.Random(seed).uniform(0.001, LONGEST_S))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with os.fdopen(reading) as pipe:
        told = [line.split(" ", 1) for line in pipe.read().splitlines() if line.count(" ")]
    wrong = [f"the writer failed: {what}" for version, what in told if version == "failed"]
    with KnowledgeBase.open(folder) as base:
        wrong += base.verify()
        whole = {int(version): digest for version, digest in told if version != "failed" and len(digest) == 64}
        for version, digest in whole.items():
            if version > base.version or state(base, version) != digest:
                wrong.append(f"call {version} was told, and is not there as it was")
        if whole and base.version > max(whole) + 1:
            wrong.append(f"{base.version - max(whole)} calls are there that were not told")
        contents = {digest_of(each.content): each.content for each in base.facts()}
        with base.database.reading() as connection:
            for digest, numbers in connection.execute("SELECT digest, numbers FROM vectors"):
                if digest in contents and Encoder().encode([contents[digest]])[0].tobytes() != numbers:
                    wrong.append("a fact has the vector of another one")
    return wrong


def main() -> None:
    """Kills, and counts."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--kills", type=int, default=1000, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    wrong: list[str] = []
    calls = 0
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "a.kb"
        for number in range(arguments.kills):
            if number % 25 == 0:  # a new base, so that looking at it does not take longer and longer
                folder = Path(scratch) / f"{number}.kb"
                KnowledgeBase.create(folder).close()
            wrong += kill_once(folder, arguments.seed + number)
            if number % 25 == 24 or number == arguments.kills - 1:
                with KnowledgeBase.open(folder) as base:
                    calls += base.version
    for problem in wrong[:20]:
        print(problem)
    print(json.dumps({"kills": arguments.kills, "calls": calls, "wrong": len(wrong)}))
    raise SystemExit(1 if wrong else 0)


if __name__ == "__main__":
    main()
