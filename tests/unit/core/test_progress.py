"""A terminal has its bar, a file a line now and then."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest
from tqdm import std

from kblampp.core.progress import SECONDS, progress_bar


class Screen(io.StringIO):
    """A terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """What 1000 updates that take so many seconds each write to a stream."""

    def run(stream: io.StringIO, seconds: float, **options: object) -> str:
        clock = [0.0]
        monkeypatch.setattr("sys.stderr", stream)
        monkeypatch.setattr(std, "time", lambda: clock[0])
        with progress_bar(total=1000, desc="work", **options) as bar:
            for _ in range(1000):
                clock[0] += seconds
                bar.update()
        return stream.getvalue()

    return run


@pytest.mark.parametrize("leave", [True, False])
def test_fast_work_writes_next_to_nothing_into_a_file(written: Callable[..., str], leave: bool) -> None:
    text = written(io.StringIO(), 0.0001, leave=leave)
    assert len(text.splitlines()) <= 2
    assert "\r" not in text


@pytest.mark.parametrize("leave", [True, False])
def test_long_work_writes_a_line_every_half_minute_and_its_end(written: Callable[..., str], leave: bool) -> None:
    text = written(io.StringIO(), 0.9, leave=leave)
    lines = text.splitlines()
    assert abs(len(lines) - 900 / SECONDS) <= 2
    assert all("work" in line for line in lines)
    assert "1000/1000" in lines[-1]
    assert text.endswith("\n")
    assert "\r" not in text


def test_a_terminal_has_the_bar(written: Callable[..., str]) -> None:
    text = written(Screen(), 0.9)
    assert text.count("\r") > 100
    assert "1000/1000" in text


def test_what_is_iterated_comes_through_and_a_disabled_bar_writes_nothing(
    monkeypatch: pytest.MonkeyPatch, written: Callable[..., str]
) -> None:
    assert written(io.StringIO(), 1.0, disable=True) == ""
    assert list(progress_bar(iterable=range(5), desc="work")) == list(range(5))
