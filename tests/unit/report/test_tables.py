"""The tables of README and page and the headline are made from the committed metrics, and say the same as they."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kblampp.core.errors import DataError
from kblampp.core.files import read_json, write_json
from kblampp.core.params_file import load_params
from kblampp.evaluation.table import SYSTEM_OF, headline
from kblampp.report.tables import (
    ABLATION_BEGIN,
    ABLATION_END,
    BEGIN,
    END,
    HEADLINE_BEGIN,
    HEADLINE_END,
    TRANSFER_BEGIN,
    TRANSFER_END,
    ablation_table,
    difference_line,
    headline_table,
    main,
    refusal_table,
    result_table,
    results,
    small_transfer_table,
    transfer_ablation_table,
    transfer_tables,
    with_table,
)
from tests.house import ROOT

TABLE, METRICS = ROOT / "metrics/eval/table.json", ROOT / "metrics/eval/metrics.json"
README, PAGE = ROOT / "README.md", ROOT / "docs/results.md"


def row(em: float, n: int, **more: float) -> dict[str, Any]:
    """One line of a table."""
    return {"em": em, "em_stderr": 0.0123, "f1": em, "n": n, "prompt_tokens": 12.0, **more}


SMALL = {
    "swap": {
        "closed_book": {"single_hop": row(0.0, 100), "all": row(0.2, 100)},
        "rag_1": {"single_hop": row(0.3, 100)},
        "rag_12": {"single_hop": row(0.4, 100)},
        "stage_a": {
            "single_hop": row(0.98, 500),
            "temporal": row(0.95, 400, time_accuracy=0.991),
            "unanswerable": row(0.8, 300),
            "answerable": row(0.96, 900, recall_at_1=0.9764, recall_at_8=1.0),
            "all": row(0.92, 1200, abstain_auroc=0.9),
        },
        "stage_b": {
            "single_hop": row(0.99, 500, em_minus_stage_a=0.01, em_minus_stage_a_low=-0.002, em_minus_stage_a_high=0.02)
        },
        "no_hop": {
            "single_hop": row(0.97, 50),
            "answerable": row(0.5, 100, recall_at_1=0.6),
            "all": row(0.5, 100, em_minus_stage_b=-0.4, em_minus_stage_b_low=-0.5, em_minus_stage_b_high=-0.3),
        },
    },
    "novel": {"stage_a": {"single_hop": row(0.9346, 10)}},
    "dev": {"stage_a": {"single_hop": row(0.9, 10)}},
}
ABSTENTION = {
    "swap": {
        "auroc": 0.97,
        "threshold": 0.41,
        "em_answerable": 0.9,
        "refusal_precision": None,
        "refusal_recall": 0.0,
        "refusal_f1": 0.0,
        "accuracy": 0.8,
        "aurc": 0.05,
        "ece": 0.02,
        "wrong_time": {"auroc": 0.93, "n": 4, "refused": 0.5},
    }
}


def rows(table: str) -> list[list[str]]:
    """The cells of each line of the tables."""
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if line[:1] == "|"]


def cells(table: str, *starts: str) -> list[str]:
    """The cells after the given first ones, of the one line that starts with them."""
    (found,) = [line[len(starts) :] for line in rows(table) if tuple(line[: len(starts)]) == starts]
    return found


@pytest.fixture
def metrics(tmp_path: Path) -> Path:
    """A folder with both files."""
    folder = tmp_path / "metrics"
    folder.mkdir()
    (folder / "table.json").write_text(json.dumps(SMALL), encoding="utf-8")
    (folder / "abstention.json").write_text(json.dumps(ABSTENTION), encoding="utf-8")
    return folder


def test_a_line_for_each_split_and_system() -> None:
    table = result_table(SMALL)
    heads = cells(table, "split", "system")
    assert heads[:5] == ["single-hop", "temporal", "2-hop", "3-hop", "unanswerable"]
    model = dict(zip(heads, cells(table, "swap", "**KBLaM++ (Stage A)**"), strict=True))
    assert model == {
        "single-hop": "0.980 ± 0.012 (500)",
        "temporal": "0.950 ± 0.012 (400)",
        "2-hop": "–",
        "3-hop": "–",
        "unanswerable": "0.800 ± 0.012 (300)",
        "F1": "0.960",
        "recall@1": "0.976",
        "recall@8": "1.000",
        "time accuracy": "0.991",
        "prompt tokens": "12",
    }
    assert cells(table, "swap", "closed book")[:2] == ["0.000 ± 0.012 (100)", "–"]
    assert cells(table, "novel", "**KBLaM++ (Stage A)**")[0] == "0.935 ± 0.012 (10)"
    assert "in context" not in table


def test_splits_and_systems_stand_in_a_fixed_order(metrics: Path) -> None:
    shown = [(line[0], line[1]) for line in rows(results(metrics).split("\n\n")[0])[2:]]
    assert [split for split, _ in shown] == ["dev", *["swap"] * 5, "novel"]
    assert [name for split, name in shown if split == "swap"] == [
        "**KBLaM++ (Stage A)**",
        "**KBLaM++ (Stage B)**",
        "RAG: top 12 by dense retrieval",
        "RAG: top 1 by dense retrieval",
        "closed book",
    ]


def test_the_small_table_has_em_alone_of_the_worlds_that_are_new_to_the_model() -> None:
    table = headline_table({**SMALL, "swap": {**SMALL["swap"], "rag_4": {"single_hop": row(0.5, 50)}}})
    heads = cells(table, "split", "system")
    assert heads == ["single-hop", "temporal", "2-hop", "3-hop", "unanswerable"]
    assert cells(table, "swap", "**KBLaM++ (Stage A)**") == ["0.980", "0.950", "–", "–", "0.800"]
    assert cells(table, "swap", "RAG: top 4 by dense retrieval")[0] == "0.500"
    assert {line[0] for line in rows(table)[2:]} == {"swap", "novel"}
    assert not {"RAG: top 1 by dense retrieval", "no hop"} & {line[1] for line in rows(table)}


def test_the_small_table_says_how_many_questions_each_system_was_asked() -> None:
    fewer = {**SMALL, "swap": {**SMALL["swap"], "rag_4": {"single_hop": row(0.5, 100)}}}
    note = headline_table(fewer).splitlines()[-1]
    assert "500, 400, –, –, 300 for KBLaM++ (Stage A)" in note
    assert "100, –, –, –, – for RAG" in note
    assert "On novel: 10, –, –, –, – for KBLaM++ (Stage A)" in note


def test_systems_that_were_asked_as_much_share_their_counts() -> None:
    both = {"single_hop": row(0.5, 7)}
    assert "7, –, –, –, – for KBLaM++ (Stage A), KBLaM++ (Stage B)." in headline_table(
        {"swap": {"stage_a": both, "stage_b": both}}
    )


def test_the_small_table_is_of_the_worlds_and_says_so_for_another_dataset() -> None:
    with pytest.raises(DataError, match=r"swap or novel.*git checkout metrics"):
        headline_table({"test": SMALL["swap"]})


def test_the_difference_of_the_stages_is_a_sentence() -> None:
    line = difference_line(SMALL)
    assert line.startswith("Stage B minus Stage A on swap")
    assert line.endswith(": single-hop +0.010 [-0.002, +0.020].")
    assert difference_line({"swap": {"stage_a": SMALL["swap"]["stage_a"]}}) == difference_line({}) == ""


def test_ablations_stand_in_a_table_of_their_own() -> None:
    table = ablation_table(SMALL)
    assert cells(table, "no hop")[0] == "0.970 ± 0.012 (50)"
    assert cells(table, "no hop")[-1] == "-0.400 [-0.500, -0.300]"
    assert "no hop" not in result_table(SMALL)
    assert ablation_table({"swap": {}}) == ablation_table({}) == ""


def test_a_converted_dataset_is_compared_and_ablated_on_its_test_questions() -> None:
    rows_of_splits = {"dev": SMALL["dev"], "test": SMALL["swap"], "test_hard": SMALL["novel"]}
    assert difference_line(rows_of_splits) == difference_line(SMALL).replace("on swap", "on test")
    table = ablation_table(rows_of_splits)
    assert table == ablation_table(SMALL).replace("swap, without", "test, without")
    assert "swap" not in table
    assert difference_line({"test": SMALL["dev"], **SMALL}) == difference_line(SMALL), "swap comes first"


def test_splits_of_a_converted_dataset_stand_in_their_order(metrics: Path) -> None:
    splits = dict.fromkeys(("test_hard", "other", "test", "dev"), SMALL["dev"])
    (metrics / "table.json").write_text(json.dumps(splits), encoding="utf-8")
    shown = [line[0] for line in rows(results(metrics).split("\n\n")[0])[2:]]
    assert shown == ["dev", "test", "test_hard", "other"]


def test_refusals_by_split_and_reason() -> None:
    table = refusal_table(ABSTENTION)
    assert cells(table, "swap") == [
        "0.970",
        "–",
        "–",
        "0.930",
        "0.900",
        "–",
        "0.000",
        "0.000",
        "0.800",
        "0.050",
        "0.020",
    ]
    assert "0.410" in table
    assert refusal_table({}) == ""


def test_every_line_of_a_table_has_as_many_cells_as_its_head(metrics: Path) -> None:
    tables = [rows(part) for part in results(metrics).split("\n\n") if part.startswith("|")]
    assert len(tables) == 3
    for lines in tables:
        assert len({len(line) for line in lines}) == 1


def test_the_part_between_the_markers_is_replaced_and_nothing_else() -> None:
    text = f"# Title\n\n{BEGIN}\nold\n\n| old |\n{END}\n\nthe rest\n"
    once = with_table(text, "| new |", "README.md")
    assert once == f"# Title\n\n{BEGIN}\n| new |\n{END}\n\nthe rest\n"
    assert with_table(once, "| new |", "README.md") == once


def test_a_page_can_have_markers_of_its_own() -> None:
    text = f"{BEGIN}\nkept\n{END}\n<!-- a -->\nold\n<!-- b -->\n"
    new = with_table(text, "| new |", "x.md", "<!-- a -->", "<!-- b -->")
    assert new == text.replace("old", "| new |")
    with pytest.raises(DataError, match=r"x\.md has no lines '<!-- b -->' and '<!-- a -->'"):
        with_table(text, "| new |", "x.md", "<!-- b -->", "<!-- a -->")


@pytest.mark.parametrize("text", ["", BEGIN, END, f"{END}\n{BEGIN}\n"], ids=["none", "no end", "no begin", "swapped"])
def test_missing_markers_are_an_error_that_names_the_file(text: str) -> None:
    with pytest.raises(DataError, match=r"docs/x\.md.*worlds: begin.*worlds: end.*add them"):
        with_table(text, "| new |", "docs/x.md")


@pytest.fixture
def pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """README and page, each with its markers, in the current folder."""
    monkeypatch.chdir(tmp_path)
    readme, page = tmp_path / "README.md", tmp_path / "docs" / "results.md"
    page.parent.mkdir()
    readme.write_text(f"before\n{HEADLINE_BEGIN}\n{HEADLINE_END}\nafter\n", encoding="utf-8")
    page.write_text(f"before\n{BEGIN}\n{END}\nafter\n", encoding="utf-8")
    return readme, page


def test_the_command_writes_the_small_table_into_the_readme_and_the_others_into_the_page(
    metrics: Path, pages: tuple[Path, Path]
) -> None:
    assert main(["--metrics", str(metrics), "--write"]) == 0
    readme, page = (path.read_text(encoding="utf-8") for path in pages)
    assert readme == f"before\n{HEADLINE_BEGIN}\n{headline_table(SMALL)}\n{HEADLINE_END}\nafter\n"
    assert page == f"before\n{BEGIN}\n{results(metrics)}\n{END}\nafter\n"


def test_without_a_place_for_one_table_neither_is_written(metrics: Path, pages: tuple[Path, Path]) -> None:
    readme, page = pages
    before = readme.read_text(encoding="utf-8")
    page.write_text("no markers\n", encoding="utf-8")
    assert main(["--metrics", str(metrics), "--write"]) == 1
    assert readme.read_text(encoding="utf-8") == before


TRANSFER = {
    "yago": {"phrase_lookup": {"n": 9, "broken": 0, "groups": {}, "kinds": {}}},
    "dossiers": {
        "model": {
            "n": 40,
            "broken": 3,
            "auroc": 0.75,
            "groups": {"facts": {"n": 24, "right": 12, "share": 0.5, "stderr": 0.1}},
            "kinds": {"two_hop": {"n": 5, "right": 1, "share": 0.2, "stderr": 0.18}},
        }
    },
}


def test_bases_that_nobody_trained_on_have_a_line_a_system_all_dossiers_first() -> None:
    lines = transfer_tables(TRANSFER).splitlines()
    assert lines[2] == "| dossiers | **KBLaM++** | 0.500 ± 0.100 (24) | – | – | – | – | 0.750 | 3 of 40 |"
    assert lines[3] == "| yago | phrase lookup | – | – | – | – | – | – | 0 of 9 |"
    assert lines[-2].startswith("| dossiers | **KBLaM++** | – |")
    assert lines[-2].endswith("| 0.200 ± 0.180 (5) | – |")


def test_the_command_prints_them_after_the_others_where_they_were_measured(
    metrics: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_json(metrics.parent / "transfer" / "table.json", TRANSFER)
    assert main(["--metrics", str(metrics)]) == 0
    assert capsys.readouterr().out == f"{results(metrics)}\n\n{transfer_tables(TRANSFER)}\n"


def test_the_command_writes_them_where_they_were_measured(metrics: Path, pages: tuple[Path, Path]) -> None:
    write_json(metrics.parent / "transfer" / "table.json", TRANSFER)
    for path in pages:
        path.write_text(f"{path.read_text(encoding='utf-8')}{TRANSFER_BEGIN}\n{TRANSFER_END}\n", encoding="utf-8")
    assert main(["--metrics", str(metrics), "--write"]) == 0
    readme, page = (path.read_text(encoding="utf-8") for path in pages)
    assert readme.endswith(f"{TRANSFER_BEGIN}\n{small_transfer_table(TRANSFER)}\n{TRANSFER_END}\n")
    assert page.endswith(f"{TRANSFER_BEGIN}\n{transfer_tables(TRANSFER)}\n{TRANSFER_END}\n")


def part(share: float, n: int) -> dict[str, Any]:
    """A share of a row of what each part brings."""
    return {"share": share, "stderr": 0.05, "n": n}


ABLATION = {
    "steps": 30,
    "trained": {"no_pull": {"yago": {"tail": part(0.8, 9)}, "key": "0"}, "full": {"dossiers": {"auroc": None}}},
    "asked": {
        "no_hop": {
            "dossiers": {"facts": part(0.5, 24), "unanswerable_refused": part(0.25, 4), "auroc": 0.75},
            "yago": {"temporal": part(0.9, 10), "tail": part(0.7, 9)},
        }
    },
}


def test_what_each_part_brings_has_a_line_a_row_those_asked_first() -> None:
    head, _, *lines = transfer_ablation_table(ABLATION).splitlines()
    assert head.endswith("| unanswerable refused | answerable not refused | AUROC | YAGO: temporal | YAGO: tail |")
    assert lines[:4] == [
        "| asked | no hop | 0.500 ± 0.050 (24) | – | – | 0.250 ± 0.050 (4) | – | 0.750 | 0.900 ± 0.050 (10) | "
        "0.700 ± 0.050 (9) |",
        "| trained, 30 steps | everything | – | – | – | – | – | – | – | – |",
        "| trained, 30 steps | queries not held to their start | – | – | – | – | – | – | – | 0.800 ± 0.050 (9) |",
        "",
    ]
    assert "30 steps for every row" in lines[4]


def test_the_command_shows_what_each_part_brings_where_it_was_measured(
    metrics: Path, pages: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    _, page = pages
    page.write_text(f"{page.read_text(encoding='utf-8')}{ABLATION_BEGIN}\n{ABLATION_END}\n", encoding="utf-8")
    assert main(["--metrics", str(metrics), "--write"]) == 0
    assert page.read_text(encoding="utf-8").endswith(f"{ABLATION_BEGIN}\n{ABLATION_END}\n")
    write_json(metrics.parent / "transfer" / "ablation.json", ABLATION)
    assert main(["--metrics", str(metrics), "--write"]) == 0
    table = transfer_ablation_table(ABLATION)
    assert page.read_text(encoding="utf-8").endswith(f"{ABLATION_BEGIN}\n{table}\n{ABLATION_END}\n")
    assert main(["--metrics", str(metrics)]) == 0
    assert capsys.readouterr().out.endswith(f"\n\n{table}\n")


def test_the_command_prints_the_tables(metrics: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--metrics", str(metrics)]) == 0
    assert capsys.readouterr().out == results(metrics) + "\n"


@pytest.mark.parametrize("name", ["table.json", "abstention.json"])
@pytest.mark.parametrize("text", [None, "{", "[1"], ids=["missing", "cut off", "not JSON"])
def test_the_command_refuses_an_unreadable_table(
    text: str | None, name: str, metrics: Path, pages: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    before = [path.read_text(encoding="utf-8") for path in pages]
    (metrics / name).unlink()
    if text is not None:
        (metrics / name).write_text(text, encoding="utf-8")
    assert main(["--metrics", str(metrics), "--write"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert name in error
    assert [path.read_text(encoding="utf-8") for path in pages] == before


def committed_table() -> dict[str, Any]:
    """The committed table, or a skip where the pipeline has not been run."""
    if not TABLE.exists():
        pytest.skip("metrics/eval/table.json is not there: `dvc repro` has not been run")
    table: dict[str, Any] = read_json(TABLE)
    return table


def test_readme_and_page_show_the_committed_tables() -> None:
    small, full = headline_table(committed_table()), results(TABLE.parent)
    remedy = "{} is not of the committed metrics: run `python -m kblampp.report --write`"
    text = README.read_text(encoding="utf-8")
    assert with_table(text, small, "README.md", HEADLINE_BEGIN, HEADLINE_END) == text, remedy.format("README.md")
    text = PAGE.read_text(encoding="utf-8")
    assert with_table(text, full, "docs/results.md") == text, remedy.format("docs/results.md")


def test_the_headline_is_of_the_committed_table() -> None:
    adapter = load_params(ROOT / "params.yaml").eval.adapter
    wanted = headline(committed_table(), SYSTEM_OF[adapter])
    shown = read_json(METRICS)
    assert shown == wanted
    assert all(isinstance(value, int | float) for value in shown.values())
