"""The committed figures of the benchmarks: compared with, recorded, shown.

A part's figures lie in a file of their own, with the machine and the arguments that they were measured with.  Ratios
are compared; times and memory depend on the machine and are held against their aims alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.ratios import RATIO, Row
from kblampp.core.errors import DataError
from kblampp.core.files import read_json, write_json

FOLDER = Path(__file__).resolve().parents[1] / "metrics" / "benchmarks"
TOLERANCE = 0.15
"""A ratio that is worse by more than this share is named."""
_KEPT = ("machine", "rows", "arguments")


def rows_of(measured: Mapping[str, Any]) -> dict[str, Row]:
    """By their names."""
    return {each["name"]: Row(**each) for each in measured["rows"]}


def read(path: Path) -> dict[str, Any]:
    """Committed figures.

    Raises:
        DataError: There are none, or the file is not one of them.
    """
    if not path.is_file():
        raise DataError(
            f"{path.name}: nothing is committed to compare with; record it with `python -m benchmarks --record`"
        )
    committed: dict[str, Any] = read_json(path, DataError)
    try:
        rows_of(committed)
        committed["machine"]["processor"]
    except (KeyError, TypeError) as error:
        raise DataError(
            f"{path} holds no figures of a benchmark ({error}); record it anew with `python -m benchmarks --record`"
        ) from error
    return committed


def record(path: Path, measured: Mapping[str, Any]) -> None:
    """Makes a run's figures the committed ones."""
    write_json(path, {name: measured[name] for name in _KEPT})


def better_of(first: Mapping[str, Row], second: Mapping[str, Row]) -> dict[str, Row]:
    """The better figure of two runs for each row: what is slow in one of them was the machine's doing."""
    return {
        name: second[name] if name in second and second[name].worse_than(each.value) < 1 else each
        for name, each in first.items()
    }


def worse(measured: Mapping[str, Row], committed: Mapping[str, Row]) -> list[str]:
    """A sentence for each ratio that is worse than the committed one by more than `TOLERANCE`."""
    found = []
    for name, each in measured.items():
        before = committed.get(name)
        if before is None or each.unit != RATIO:
            continue
        by = each.worse_than(before.value) - 1
        if by > TOLERANCE:
            found.append(f"worse by {by:.0%}: {name}: {each.value:g}, committed {before.value:g}")
    return found


def differences(measured: Mapping[str, Any], committed: Mapping[str, Any]) -> list[str]:
    """A sentence for all in which two runs cannot be compared."""
    found = []
    here, there = measured["machine"], committed["machine"]
    other = [name for name in here if here[name] != there.get(name)]
    if other:
        found.append(f"the committed figures are of another machine or other libraries ({', '.join(other)})")
    if measured["arguments"] != committed.get("arguments"):
        found.append(f"the committed figures are of {' '.join(committed.get('arguments', []))}")
    ours, theirs = rows_of(measured), rows_of(committed)
    found += [f"not committed yet: {name}" for name in ours if name not in theirs]
    found += [f"committed, but not measured: {name}" for name in theirs if name not in ours]
    return found


def missed(measured: Mapping[str, Row]) -> list[str]:
    """A sentence for each row that misses its aim."""
    return [
        f"misses its aim: {each.name}: {each.value:g}{_unit(each)}, aim {_aim(each)}"
        for each in measured.values()
        if each.missed
    ]


def line(each: Row) -> str:
    """A row as a person reads it."""
    spread = "" if each.low == each.high else f"  ({each.low:g} to {each.high:g})"
    aim = "" if each.aim is None else f"  aim {_aim(each)}{': missed' if each.missed else ''}"
    return f"  {each.name:<62} {each.value:>8g}{_unit(each)}{spread}{aim}"


def table(paths: Iterable[Path]) -> str:
    """The committed figures as a table in Markdown."""
    lines = ["| | median | quartiles | aim |", "|---|---|---|---|"]
    for path in paths:
        lines.append(f"| **{path.stem}** | | | |")
        for each in rows_of(read(path)).values():
            spread = "" if each.low == each.high else f"{each.low:g} to {each.high:g}"
            aim = "" if each.aim is None else _aim(each) + (": **missed**" if each.missed else "")
            lines.append(f"| {each.name} | {each.value:g}{_unit(each)} | {spread} | {aim} |")
    return "\n".join(lines)


def _aim(each: Row) -> str:
    return f"{'≤' if each.better == 'lower' else '≥'} {each.aim:g}{_unit(each)}"


def _unit(each: Row) -> str:
    return "" if each.unit == RATIO else f" {each.unit}"
