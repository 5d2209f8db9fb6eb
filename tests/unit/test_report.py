"""The README's table and the headline are made from the committed metrics, and say the same as they."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kblampp.artifacts import read_json
from kblampp.errors import DataError
from kblampp.evaluation import headline
from kblampp.report import BEGIN, END, main, result_table, with_table
from tests.closure import ROOT

TABLE, METRICS, README = ROOT / "metrics/eval/table.json", ROOT / "metrics/eval/metrics.json", ROOT / "README.md"
ADAPTER = ROOT / "store/synth_world/trainA"
MEGABYTE = 1_000_000


def row(em: float, n: int, **more: float) -> dict[str, Any]:
    """One line of a table."""
    return {"em": em, "em_stderr": 0.0123, "f1": em, "n": n, "prompt_tokens": 12.0, **more}


SMALL = {
    "swap": {
        "stage_a": {
            "single_hop": row(0.98, 500),
            "temporal": row(0.95, 400, time_accuracy=0.991),
            "unanswerable": row(0.8, 300),
            "answerable": row(0.96, 900, recall_at_1=0.9764, recall_at_8=1.0),
            "all": row(0.92, 1200, abstain_auroc=0.9),
        },
        "closed_book": {"single_hop": row(0.0, 100)},
    },
    "novel": {"stage_a": {"single_hop": row(0.9346, 10)}},
}


def cells(table: str, *starts: str) -> list[str]:
    """The cells after the given first ones, of the one line that starts with them."""
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if line.startswith("|")
    ]
    (found,) = [line[len(starts) :] for line in rows if tuple(line[: len(starts)]) == starts and len(line) > 2]
    return found


def test_a_line_for_each_split_and_system() -> None:
    table = result_table(SMALL)
    assert cells(table, "split", "system") == ["single-hop", "temporal", "2-hop", "3-hop", "unanswerable"]
    assert cells(table, "swap", "**KBLaM++ (Stage A)**") == [
        "0.980 ± 0.012 (500)",
        "0.950 ± 0.012 (400)",
        "–",
        "–",
        "0.800 ± 0.012 (300)",
    ]
    assert cells(table, "swap", "closed book") == ["0.000 ± 0.012 (100)", "–", "–", "–", "–"]
    assert cells(table, "novel", "**KBLaM++ (Stage A)**")[0] == "0.935 ± 0.012 (10)"
    assert "in context" not in table


def test_retrieval_and_abstention_by_split() -> None:
    table = result_table(SMALL)
    assert "| swap | 0.976 | 1.000 | 0.991 | 0.900 |" in table.splitlines()
    assert "| novel | – | – | – | – |" in table.splitlines()


def test_every_line_of_a_table_has_as_many_cells_as_its_head() -> None:
    lines = result_table(SMALL).splitlines()
    for block in "\n".join(lines).split("\n\n"):
        rows = [line for line in block.splitlines() if line.startswith("|")]
        assert len({line.count("|") for line in rows}) <= 1


def test_the_part_between_the_markers_is_replaced_and_nothing_else() -> None:
    text = f"# Title\n\n{BEGIN}\nold\n\n| old |\n{END}\n\nthe rest\n"
    once = with_table(text, "| new |", "README.md")
    assert once == f"# Title\n\n{BEGIN}\n| new |\n{END}\n\nthe rest\n"
    assert with_table(once, "| new |", "README.md") == once


@pytest.mark.parametrize("text", ["", BEGIN, END, f"{END}\n{BEGIN}\n"], ids=["none", "no end", "no begin", "swapped"])
def test_missing_markers_are_an_error_that_names_the_file(text: str) -> None:
    with pytest.raises(DataError, match=r"docs/x\.md.*results: begin.*results: end.*add them"):
        with_table(text, "| new |", "docs/x.md")


def test_the_command_writes_the_table_into_a_file(tmp_path: Path) -> None:
    source, target = tmp_path / "table.json", tmp_path / "README.md"
    source.write_text(json.dumps(SMALL), encoding="utf-8")
    target.write_text(f"before\n{BEGIN}\n{END}\nafter\n", encoding="utf-8")
    assert main(["--table", str(source), "--write", str(target)]) == 0
    assert target.read_text(encoding="utf-8") == f"before\n{BEGIN}\n{result_table(SMALL)}\n{END}\nafter\n"


@pytest.mark.parametrize("text", [None, "{", "[1"], ids=["missing", "cut off", "not JSON"])
def test_the_command_refuses_an_unreadable_table(
    text: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, target = tmp_path / "table.json", tmp_path / "README.md"
    target.write_text(f"{BEGIN}\n{END}\n", encoding="utf-8")
    if text is not None:
        source.write_text(text, encoding="utf-8")
    assert main(["--table", str(source), "--write", str(target)]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert "table.json" in error
    assert target.read_text(encoding="utf-8") == f"{BEGIN}\n{END}\n"


def committed_table() -> dict[str, Any]:
    """The committed table, or a skip where the pipeline has not been run."""
    if not TABLE.exists():
        pytest.skip("metrics/eval/table.json is not there: `dvc repro` has not been run")
    table: dict[str, Any] = read_json(TABLE)
    return table


def test_the_readme_shows_the_committed_table() -> None:
    text = README.read_text(encoding="utf-8")
    remedy = "README.md is not of the committed metrics: run `python -m kblampp.report --write README.md`"
    assert with_table(text, result_table(committed_table()), "README.md") == text, remedy


def test_the_headline_is_at_most_twelve_figures_of_the_table() -> None:
    wanted = headline(committed_table())
    shown = read_json(METRICS)
    assert shown == wanted
    assert 1 <= len(shown) <= 12
    assert all(isinstance(value, int | float) for value in shown.values())


def test_the_committed_adapter_is_small() -> None:
    if not ADAPTER.exists():
        pytest.skip("store/synth_world/trainA is not there: `dvc repro` has not been run")
    size = sum(path.stat().st_size for path in ADAPTER.rglob("*") if path.is_file())
    assert 0 < size <= 2 * MEGABYTE
