"""Several processes that do one piece of work together, as `accelerate launch` and `torchrun` start them.

They meet over gloo and sum on the CPU whatever the device: what is summed are gradients of a few megabytes.  A program
that nobody has launched so is alone, and nothing here costs it anything, not even the import of torch.
"""

from __future__ import annotations

import datetime
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from kblampp.core.errors import KBLaMError, TrainingError, first_line

if TYPE_CHECKING:
    from torch import Tensor
    from torch.distributed.distributed_c10d import Store

logger = logging.getLogger(__name__)
PATIENCE = datetime.timedelta(days=1)
"""How long one waits for the others: the first may compute hidden states for hours.  An end is noticed at once."""
SECOND_THOUGHT = 2.0
"""Seconds after which a process ends that has nothing to tell: launchers end all when one ends, and the first to fail
must have told why."""

_place, _total = 0, 1


def count() -> int:
    """How many processes have joined, this one included."""
    return _total


def place() -> int:
    """Which of them this is, from 0; the first alone writes files, metrics and logs."""
    return _place


def launched() -> int:
    """How many processes a launcher has started for this work, as it says in the environment.

    Raises:
        TrainingError: It says no number.
    """
    said = os.environ.get("WORLD_SIZE") or "1"
    if not said.isdigit():
        raise TrainingError(f"WORLD_SIZE is {said!r} in the environment, expected the number of processes; unset it")
    return int(said)


def threads_of_each(threads: int) -> int:
    """How many of a machine's threads each of its processes takes: all of them have `threads` together."""
    said = os.environ.get("LOCAL_WORLD_SIZE", "") if count() > 1 else ""
    here = int(said) if said.isdigit() else count()
    return max(1, threads // max(1, here))


@contextmanager
def joined(work: str, *, several: bool) -> Iterator[None]:
    """Within it, the processes that a launcher has started are one; the first that fails tells why, the others end.

    Args:
        work: What is done, for the message.
        several: Whether several can do it.

    Raises:
        TrainingError: There are several and there may not be, or they do not find each other.
        SystemExit: Another process has failed before.
    """
    global _place, _total
    total = launched()
    if total == 1:
        if several and os.environ.get("ACCELERATE_USE_CPU") == "True" and "MASTER_PORT" in os.environ:
            logger.warning(
                "`accelerate launch --cpu` starts one process without MPI, so this trains alone; for several say "
                "`accelerate launch --multi_gpu --num_processes N -m stages.%s`, which takes the CPU where no GPU is",
                work,
            )
        yield
        return
    import torch  # here, because it takes seconds and a program that is alone may do without
    from torch import distributed
    from torch.distributed.rendezvous import rendezvous

    try:
        store, here, total = next(rendezvous("env://"))
        distributed.init_process_group("gloo", store=store, rank=here, world_size=total, timeout=PATIENCE)
    except (RuntimeError, ValueError) as error:
        raise TrainingError(
            f"the {total} processes do not find each other ({first_line(error)}); "
            "start them with `accelerate launch` or `torchrun`"
        ) from error
    _place, _total = here, total
    if _place:
        logging.disable(logging.CRITICAL)
    if torch.cuda.is_available():  # "cuda" then means a device of its own
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())
    try:
        if not several:
            raise TrainingError(
                f"stage {work} runs in one process, but {total} were started; start it with `python -m stages.{work}`"
            )
        yield
    except BaseException as error:
        if not _first_to_fail(store):
            time.sleep(SECOND_THOUGHT)
            raise SystemExit(1) from error
        raise
    finally:
        logging.disable(logging.NOTSET)
        _place, _total = 0, 1
        distributed.destroy_process_group()


def _first_to_fail(store: Store) -> bool:
    try:
        return int(store.add("failed", 1)) == 1
    except RuntimeError:  # the process that holds the store has gone
        return True


def add_up(tensor: Tensor) -> None:
    """Replaces a tensor on the CPU by the sum of all processes' tensors of this shape, the same bits in each.

    Raises:
        TrainingError: One of them has ended.
    """
    if _total == 1:
        return
    from torch import distributed

    try:
        distributed.all_reduce(tensor)
    except RuntimeError as error:
        raise _gone() from error


def wait() -> None:
    """Waits until all processes have come here.

    Raises:
        TrainingError: One of them has ended.
    """
    if _total == 1:
        return
    import torch

    add_up(torch.zeros(1))


@contextmanager
def the_first_before_the_others() -> Iterator[None]:
    """Within it, the first process works while the others wait; then they do the same, and find what it has made.

    Raises:
        TrainingError: One of them has ended.
    """
    if _place:
        wait()
    yield
    if not _place:
        wait()


def check_alike(what: str, said: str) -> None:
    """Compares what all processes say with what the first says.

    Args:
        what: What it is about, for the message.
        said: What this process says.

    Raises:
        TrainingError: One says something else, or has ended.
    """
    if _total == 1:
        return
    from torch import distributed

    heard: list[str] = [""] * _total
    try:
        distributed.all_gather_object(heard, said)
    except RuntimeError as error:
        raise _gone() from error
    other = [number for number, each in enumerate(heard) if each != heard[0]]
    if other:
        raise TrainingError(
            f"process {other[0]} does not begin as process 0 does: {what} {heard[other[0]]}, not {heard[0]}; "
            "all need the same files, of the checkpoints too (one folder that all machines share)"
        )


def _gone() -> KBLaMError:
    return TrainingError(
        "another process has ended, killed or out of memory, so this one cannot go on; "
        "start them again: they go on from the last checkpoint"
    )
