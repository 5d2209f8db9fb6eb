"""All that costs time, measured as ratios, and compared with what is committed: ``python -m benchmarks``.

Each part is a script of this folder in a process of its own (its `--help` says what it measures), by the processor's
clock and on one thread.  Named, and told by the exit status 1, is each ratio that is more than 15 % worse than the
committed one in `metrics/benchmarks`; since other work on the machine can do that, a part with such a ratio is measured
once more, and the better figure of both counts.  Aims that are missed are named too.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.committed import FOLDER, better_of, differences, line, missed, read, record, rows_of, table, worse
from kblampp.core.errors import DataError, one_line_errors

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Part:
    """A script and its arguments; `full` are those of `--full`, where there is more to measure."""

    script: str
    arguments: tuple[str, ...]
    full: tuple[str, ...] | None = None


PARTS = {
    "encode": Part("encode_throughput.py", ("--texts", "300")),
    "search": Part("search_cost.py", ("--keys", "20000"), ("--keys", "200000")),
    "decode": Part("decode_cost.py", ("--backbone", "embedded", "--repeats", "15")),
    "decode_smollm2": Part("decode_cost.py", ("--backbone", "smollm2_135m", "--repeats", "3")),
    "step": Part("stored_states.py", ("--steps", "4")),
    "living": Part("living_base.py", ("--facts", "2000", "20000"), ("--facts", "100000", "1000000")),
    "start": Part("cold_start.py", ("--repeats", "3")),
}


def measure(part: Part, full: bool, threads: int) -> dict[str, Any]:
    """Runs a part; what it prints last, with its arguments.

    Raises:
        DataError: It failed.
    """
    arguments = [*(part.full if full and part.full else part.arguments)]
    environment = os.environ | {
        "OMP_NUM_THREADS": str(threads),
        "PYTHONPATH": os.pathsep.join(filter(None, [str(HERE.parent), os.environ.get("PYTHONPATH")])),
    }
    done = subprocess.run(
        [sys.executable, str(HERE / part.script), *arguments],
        cwd=HERE.parent,
        env=environment,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["it said nothing"]
        raise DataError(f"benchmarks/{part.script} failed with status {done.returncode}: {lines[-1]}")
    measured: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return measured | {"arguments": arguments}


def committed_file(name: str, full: bool) -> Path:
    """Where the figures of a part lie."""
    return FOLDER / f"{name}{'-full' if full and PARTS[name].full else ''}.json"


def run(name: str, full: bool, threads: int, recording: bool) -> list[str]:
    """Measures a part, prints its rows, compares or records; a sentence for each ratio that is worse."""
    start, before_it = time.perf_counter(), os.times()
    measured = measure(PARTS[name], full, threads)
    path = committed_file(name, full)
    found: list[str] = []
    notes: list[str] = []
    if recording:
        record(path, measured)
        notes.append(f"recorded in {path.relative_to(HERE.parent).as_posix()}")
    else:
        try:
            committed = read(path)
        except DataError as error:
            notes.append(str(error))
        else:
            before = rows_of(committed)
            if worse(rows_of(measured), before):
                notes.append("measured twice, since some of it was worse than what is committed")
                second = measure(PARTS[name], full, threads)
                best = better_of(rows_of(measured), rows_of(second))
                measured["rows"] = [asdict(each) for each in best.values()]
            found = worse(rows_of(measured), before)
            notes += differences(measured, committed)
    after = os.times()
    busy = after.children_user + after.children_system - before_it.children_user - before_it.children_system
    print(f"{name}  ({time.perf_counter() - start:.0f} s, of the processor {busy:.0f} s)")
    for each in rows_of(measured).values():
        print(line(each))
    for text in [*notes, *found, *missed(rows_of(measured))]:
        print(f"  {text}")
    sys.stdout.flush()
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the arguments, measure, compare."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    scripts = ", ".join(f"{name} ({part.script})" for name, part in PARTS.items())
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"which parts (default: all): {scripts}")
    parser.add_argument("--full", action="store_true", help="search and living with more keys and facts")
    parser.add_argument("--record", action="store_true", help="make the figures of this run the committed ones")
    parser.add_argument("--show", action="store_true", help="print what is committed as a table, and measure nothing")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="of the processor (default: 1)")
    arguments = parser.parse_args(argv)
    chosen: list[str] = arguments.parts or list(PARTS)
    unknown = [name for name in chosen if name not in PARTS]
    if unknown:
        parser.error(f"there is no part {unknown[0]!r}; the parts are {', '.join(PARTS)}")
    if arguments.threads < 1:
        parser.error("--threads must be at least 1")
    found: list[str] = []

    def work() -> None:
        if arguments.show:
            paths = [committed_file(name, arguments.full) for name in chosen]
            print(table(path for path in paths if path.is_file() or arguments.parts))
            return
        for name in chosen:
            found.extend(run(name, arguments.full, arguments.threads, arguments.record))
        if not arguments.record:
            print("\n".join(found) if found else "no ratio is more than 15 % worse than the committed one")

    return one_line_errors(work) or int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
