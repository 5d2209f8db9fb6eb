"""How the benchmarks measure: ways of doing the same take turns in one process, and their ratio is told.

A ratio of two times that were taken a moment apart says the same on a fast machine and on a slow one, and hardly moves
while other work comes and goes.  The processor's clock (`cpu`) leaves out the time in which others had the processor;
with one thread it is what `wall` would tell on an idle machine.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any, Literal, TypeVar

CLOCKS: dict[str, Callable[[], float]] = {"wall": time.perf_counter, "cpu": time.process_time}
LIBRARIES = ("faiss-cpu", "numpy", "sentence-transformers", "torch", "transformers")
RATIO = "ratio"

Value = TypeVar("Value")


@dataclass(frozen=True)
class Row:
    """One figure of a benchmark.

    Attributes:
        name: What was measured against what, unique in its part.
        value: The median.
        low: The lower quartile; the same as `value` of a figure that was taken once.
        high: The upper quartile.
        unit: `ratio`, or that of a figure that depends on the machine and is only held against its aim.
        better: Which way it should go.
        aim: What it should reach, if anything is asked of it.
    """

    name: str
    value: float
    low: float
    high: float
    unit: str = RATIO
    better: Literal["lower", "higher"] = "lower"
    aim: float | None = None

    @property
    def missed(self) -> bool:
        """Whether it misses its aim."""
        if self.aim is None:
            return False
        return self.value > self.aim if self.better == "lower" else self.value < self.aim

    def worse_than(self, before: float) -> float:
        """How many times worse it is than `before`; below 1 it is better."""
        above, below = (self.value, before) if self.better == "lower" else (before, self.value)
        return above / max(below, 1e-12)


def row(name: str, values: Sequence[float], **told: Any) -> Row:
    """The median of some figures, with its quartiles."""
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else 3 * list(values)
    return Row(name, *(float(f"{value:.4g}") for value in (middle, low, high)), **told)


def ratios(above: Sequence[float], below: Sequence[float]) -> list[float]:
    """Of the figures that were taken in the same turn."""
    return [a / b for a, b in zip(above, below, strict=True)]


def timed(work: Callable[[], object], clock: str) -> float:
    """Seconds of some work."""
    read = CLOCKS[clock]
    start = read()
    work()
    return read() - start


def take_turns(ways: Mapping[str, Callable[[int], Value]], repeats: int, warm_up: int = 1) -> dict[str, list[Value]]:
    """What each way gives in each turn; another goes first every time.

    Args:
        ways: Called with the number of the turn; what they return is kept.
        repeats: Turns that are kept.
        warm_up: Turns before, which are not.
    """
    taken: dict[str, list[Value]] = {name: [] for name in ways}
    names = list(ways)
    for turn in range(-warm_up, repeats):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            value = ways[name](turn)
            if turn >= 0:
                taken[name].append(value)
    return taken


def machine() -> dict[str, Any]:
    """What kind of machine this is; neither its name nor a place on it."""
    import psutil  # slow to import, with those below: the command itself measures nothing
    import torch

    from kblampp.doctor import processor

    return {
        "cores": os.cpu_count(),
        "processor": processor(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30),
        "threads": torch.get_num_threads(),
        "libraries": {name: version(name) for name in LIBRARIES},
    }


def result(benchmark: str, rows: Sequence[Row], **told: Any) -> dict[str, Any]:
    """What a benchmark prints as its last line, as JSON."""
    names = [each.name for each in rows]
    if len(set(names)) < len(names):
        raise ValueError(f"{benchmark}: two rows have one name")
    return {"benchmark": benchmark, "rows": [asdict(each) for each in rows], "machine": machine(), **told}


def add_clock(parser: argparse.ArgumentParser) -> None:
    """The argument `--clock`."""
    parser.add_argument(
        "--clock", choices=sorted(CLOCKS), default="cpu", help="wall where the machine is idle (default: cpu)"
    )
