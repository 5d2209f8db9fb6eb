"""A program that nobody has launched as several is alone; of several each takes its share of the threads."""

from __future__ import annotations

import subprocess
import sys

import pytest

from kblampp.core import processes
from kblampp.core.errors import TrainingError


@pytest.fixture(autouse=True)
def not_launched(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WORLD_SIZE", "RANK", "MASTER_ADDR", "MASTER_PORT", "LOCAL_WORLD_SIZE", "ACCELERATE_USE_CPU"):
        monkeypatch.delenv(name, raising=False)


def test_alone_nothing_is_waited_for() -> None:
    with processes.joined("trainA", several=True):
        assert (processes.count(), processes.place(), processes.threads_of_each(5)) == (1, 0, 5)
        processes.wait()
        processes.check_alike("it says", "anything")
        with processes.the_first_before_the_others():
            pass


def test_alone_torch_is_not_imported() -> None:
    code = "import sys; from kblampp.core import processes\n"
    code += "with processes.joined('x', several=True): processes.wait()\nassert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(("here", "threads", "each"), [("2", 2, 1), ("2", 8, 4), ("4", 2, 1), ("", 6, 2)])
def test_the_processes_of_a_machine_share_its_threads(
    monkeypatch: pytest.MonkeyPatch, here: str, threads: int, each: int
) -> None:
    monkeypatch.setenv("LOCAL_WORLD_SIZE", here)
    monkeypatch.setattr(processes, "_total", 3)
    assert processes.threads_of_each(threads) == each


def test_a_number_of_processes_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "two")
    with pytest.raises(TrainingError, match=r"WORLD_SIZE is 'two'.*unset it"):
        processes.launched()


def test_processes_that_cannot_find_each_other_are_told_how_to_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(TrainingError, match=r"2 processes do not find each other .*accelerate launch"):  # noqa: SIM117
        with processes.joined("trainA", several=True):
            pass


def test_a_launcher_that_starts_one_process_is_noticed(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """`accelerate launch --cpu --num_processes 2` sets these and no number of processes."""
    monkeypatch.setenv("ACCELERATE_USE_CPU", "True")
    monkeypatch.setenv("MASTER_PORT", "29500")
    with processes.joined("trainA", several=True):
        pass
    assert "--multi_gpu --num_processes N -m stages.trainA" in caplog.text
