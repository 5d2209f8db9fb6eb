"""Processes that start together, as a launcher starts them, and what they do: ``python -m tests.launched``."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from kblampp.core import processes
from kblampp.core.errors import DataError
from kblampp.core.params import Params
from kblampp.core.program import run_stage
from tests.house import ROOT


def free_port() -> int:
    """A port of this machine on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def launch(folder: Path, *command: str, n: int = 2) -> list[tuple[int, str]]:
    """Runs `python -m command` in a folder as `n` processes; the exit status of each, and what it wrote on stderr."""
    common = {"WORLD_SIZE": str(n), "LOCAL_WORLD_SIZE": str(n), "MASTER_ADDR": "127.0.0.1"}
    common |= {"MASTER_PORT": str(free_port()), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    started = [
        subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=folder,
            env={**os.environ, **common, "RANK": str(place), "LOCAL_RANK": str(place)},
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for place in range(n)
    ]
    try:
        told = [process.communicate(timeout=300)[1] for process in started]
    finally:
        for process in started:
            process.kill()
    return [(process.returncode, text) for process, text in zip(started, told, strict=True)]


def fail(_params: Params) -> None:
    """The second process fails while the first waits for it."""
    if processes.place() == 1:
        raise DataError("the second has failed")
    processes.wait()


def differ(_params: Params) -> None:
    """Each says something else."""
    processes.check_alike("it says", str(processes.place()))


def end(_params: Params) -> None:
    """The second process is killed while the first waits for it."""
    if processes.place() == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    processes.wait()


def train(name: str, last: int, params: Params) -> None:
    """Stage A until all fail together after a step."""
    from kblampp.training import stage_a

    def after_step(step: int) -> None:
        if step == last:
            raise DataError(f"stopped after step {last}")

    former: Any = stage_a.train
    stage_a.train = partial(former, after_step=after_step)
    places = {"data": Path("data"), "store": Path("store"), "metrics": Path("metrics", name)}
    stage_a.train_stage_a(params, **places, checkpoints=Path(".ckpt"))


def main(argv: Sequence[str]) -> int:
    """Does what it is told to do."""
    what, *more = argv
    if what == "train":
        return run_stage("trainA", partial(train, "trainA", int(more[0])), [], several=True)
    if what == "alone":
        return run_stage("index", fail, [])
    return run_stage("index", {"fail": fail, "differ": differ, "end": end}[what], [], several=True)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
