"""The benchmarks name what became worse, and nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import committed
from benchmarks.__main__ import PARTS
from benchmarks.ratios import Row, machine, ratios, row, take_turns
from kblampp.core.errors import DataError
from tests.house import ROOT

POSITIVE = st.floats(1e-4, 1e4)


def rows(**values: float) -> dict[str, Row]:
    """Ratios that should be low, by name; those whose name begins with speed should be high."""
    return {
        name: Row(name, value, value, value, better="higher" if name.startswith("speed") else "lower")
        for name, value in values.items()
    }


def test_a_worse_ratio_is_named_and_a_better_one_is_not() -> None:
    before = rows(search=1.1, token=1.3, speed_of_encoding=1.0, speed_of_cache=100.0)
    found = committed.worse(rows(search=1.4, token=0.6, speed_of_encoding=0.8, speed_of_cache=300.0), before)
    assert len(found) == 2
    assert "search" in found[0]
    assert "27%" in found[0]
    assert "speed_of_encoding" in found[1]


@given(POSITIVE, st.floats(0.5, 2.0), st.sampled_from(["lower", "higher"]))
def test_the_line_is_at_15_percent_whichever_way_is_better(before: float, times: float, better: Any) -> None:
    value = before * times if better == "lower" else before / times
    named = committed.worse({"r": Row("r", value, value, value, better=better)}, rows(r=before))
    if abs(times - 1.15) > 1e-6:
        assert bool(named) == (times > 1.15)


def test_times_and_new_rows_are_not_compared() -> None:
    slow = {"opening": Row("opening", 9.0, 9.0, 9.0, unit="s"), "new": Row("new", 9.0, 9.0, 9.0)}
    assert committed.worse(slow, {"opening": Row("opening", 1.0, 1.0, 1.0, unit="s")}) == []


@given(POSITIVE, POSITIVE)
def test_an_aim_that_is_missed_is_named(value: float, aim: float) -> None:
    low, high = (Row(way, value, value, value, better=way, aim=aim) for way in ("lower", "higher"))  # type: ignore[arg-type]
    named = committed.missed({"low": low, "high": high})
    assert [("low" in text.split(": ")[1], "higher" in text.split(": ")[1]) for text in named] == (
        [] if value == aim else [(True, False)] if value > aim else [(False, True)]
    )
    assert not committed.missed({"none": Row("none", value, value, value)})


@given(st.lists(st.tuples(POSITIVE, POSITIVE), min_size=1, max_size=9))
def test_of_two_runs_the_better_figure_counts(values: list[tuple[float, float]]) -> None:
    first, second = (rows(**{f"r{i}": pair[run] for i, pair in enumerate(values)}) for run in (0, 1))
    assert [each.value for each in committed.better_of(first, second).values()] == [min(pair) for pair in values]


def test_what_is_recorded_is_read_again(tmp_path: Path) -> None:
    each = row("a : b", [1.0, 1.2, 1.1], aim=1.3)
    measured = {"machine": machine(), "rows": [vars(each)], "arguments": ["--n", "1"], "more": "left out"}
    committed.record(tmp_path / "part.json", measured)
    again = committed.read(tmp_path / "part.json")
    assert committed.rows_of(again) == {"a : b": each}
    assert committed.differences(measured, again) == []
    assert "more" not in again
    again["machine"]["cores"] = 1000
    again["rows"] = []
    again["arguments"] = []
    told = committed.differences(measured, again)
    assert len(told) == 3
    assert "cores" in told[0]


def test_a_missing_file_and_one_of_something_else_give_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nothing is committed.*--record"):
        committed.read(tmp_path / "part.json")
    (tmp_path / "part.json").write_text(json.dumps({"rows": [{"name": "r"}]}), encoding="utf-8")
    with pytest.raises(DataError, match="--record"):
        committed.read(tmp_path / "part.json")


def test_a_machine_has_neither_name_nor_path() -> None:
    assert set(machine()) == {"cores", "processor", "memory_gib", "threads", "libraries"}


def test_ways_take_turns_and_none_goes_first_always() -> None:
    order: list[tuple[str, int]] = []
    ways = {name: lambda turn, name=name: order.append((name, turn)) or float(turn) for name in "abc"}  # type: ignore[misc, func-returns-value]
    taken = take_turns(ways, repeats=3, warm_up=1)
    assert taken == {name: [0.0, 1.0, 2.0] for name in "abc"}
    assert [turn for _, turn in order] == sorted(turn for _, turn in order)
    assert {name for name, _ in order[3::3]} == set("abc")
    assert ratios(taken["a"][1:], taken["b"][1:]) == [1.0, 1.0]


def test_the_command_says_what_it_can_do_and_refuses_an_unknown_part() -> None:
    helped = command("--help")
    assert helped.returncode == 0
    assert all(f"{name} (" in " ".join(helped.stdout.split()) for name in PARTS)
    refused = command("searching")
    assert refused.returncode == 2
    assert "searching" in refused.stderr


def test_each_part_has_its_script_and_what_is_committed_is_of_a_part() -> None:
    assert all((ROOT / "benchmarks" / part.script).is_file() for part in PARTS.values())
    for path in committed.FOLDER.glob("*.json"):
        assert path.stem.removesuffix("-full") in PARTS
        assert committed.rows_of(committed.read(path))


def test_the_page_shows_what_is_committed() -> None:
    page = (ROOT / "docs" / "experiments.md").read_text(encoding="utf-8")
    paths = (committed.FOLDER / f"{name}.json" for name in PARTS)
    shown = committed.table(path for path in paths if path.is_file())
    assert shown in page, "write it anew: python -m benchmarks --show"


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    """`python -m benchmarks` with arguments."""
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments], cwd=ROOT, capture_output=True, encoding="utf-8", check=False
    )
