"""What `kblampp ask` costs from a cold start: ``python benchmarks/cold_start.py --repeats 5``.

A process that answers one question about the example base with the committed adapter, against one that imports torch
and transformers' loader of models and does nothing, and against `kblampp facts`, which needs no model.  Times are those
of the processor, of the whole process with its end; each is taken in turn.  The last line on stdout is a JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import psutil
from ratios import ratios, result, row, take_turns

from kblampp.core.errors import DataError, one_line_errors

ROOT = Path(__file__).resolve().parents[1]
FACTS = ROOT / "docs" / "examples" / "own-kb" / "facts.csv"
QUESTION = "Who was the director of the Harrowgate Museum in 2001?"
BARE = "import torch, transformers.modeling_utils, transformers.models.llama.modeling_llama"


def processor_seconds(command: Sequence[str], _: int = 0) -> float:
    """Of a process from its start to its end."""
    before = psutil.Process().cpu_times()
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, encoding="utf-8")
    if done.returncode:
        raise DataError(f"{' '.join(command[1:4])} failed: {(done.stderr.strip() or 'no message').splitlines()[-1]}")
    after = psutil.Process().cpu_times()
    return (after.children_user - before.children_user) + (after.children_system - before.children_system)


def measure(repeats: int, folder: Path) -> dict[str, object]:
    """Run the processes in turn; the base lies in `folder`."""
    kblampp = [sys.executable, "-m", "kblampp"]
    base = str(folder / "example.kb")
    for command in (["init", base], ["import", base, str(FACTS), "--yes"]):
        processor_seconds([*kblampp, *command])
    times = take_turns(
        {
            "ask": partial(processor_seconds, [*kblampp, "ask", base, QUESTION]),
            "bare": partial(processor_seconds, [sys.executable, "-c", BARE]),
            "facts": partial(processor_seconds, [*kblampp, "facts", base]),
        },
        repeats,
    )
    rows = [
        row("kblampp ask, time : imports of torch and transformers alone", ratios(times["ask"], times["bare"])),
        row("kblampp facts, time : the same imports", ratios(times["facts"], times["bare"])),
        row("kblampp ask from a cold start", times["ask"], unit="s"),
    ]
    return result("cold_start", rows, repeats=repeats, clock="cpu")


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the arguments, measure, and print the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5, metavar="N", help="processes of each (default: 5)")
    arguments = parser.parse_args(argv)
    if arguments.repeats < 1:
        parser.error("--repeats must be at least 1")
    os.environ.setdefault("OMP_NUM_THREADS", "1")

    def work() -> None:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            measured = measure(arguments.repeats, Path(folder))
        print(json.dumps(measured))

    return one_line_errors(work)


if __name__ == "__main__":
    sys.exit(main())
