"""Images are drawn from the committed figures alone, the same bytes each time, and can be seen without a network."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import matplotlib
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from kblampp.core.errors import DataError
from kblampp.core.files import read_json, write_json
from kblampp.report.evaluation_plots import draw_em, draw_losses, draw_recall, draw_reliability, draw_risk
from kblampp.report.evidence_plots import draw_question, draw_questions
from kblampp.report.page import main, write_page
from kblampp.report.plots import PLOTS, draw_plots
from kblampp.report.style import WIDTH, drawn, read_points, spread
from kblampp.report.sweep_plots import draw_sweeps
from tests.figures import TYPES, em_rows, question_row, recall_rows, risk_rows, sweep_results, write_figures
from tests.house import ROOT

ONE = {plot.path for plot in PLOTS if plot.path.endswith(".png")}
EVIDENCE = {f"evidence/images/{kind}.png" for kind in TYPES}
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def metrics(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("figures") / "metrics"
    write_figures(folder)
    draw_plots(folder)
    return folder


def images(metrics: Path) -> list[Path]:
    return sorted(metrics.rglob("*.png"))


def names(metrics: Path) -> set[str]:
    return {path.relative_to(metrics).as_posix() for path in images(metrics)}


def test_every_image_is_a_png_as_wide_as_the_others(metrics: Path) -> None:
    assert names(metrics) == ONE | EVIDENCE
    for path in images(metrics):
        with Image.open(path) as image:
            assert image.format == "PNG"
            assert image.width == 130 * WIDTH


def test_no_image_names_a_program_or_a_time(metrics: Path) -> None:
    for path in images(metrics):
        data = path.read_bytes()
        assert not [chunk for chunk in (b"tEXt", b"iTXt", b"zTXt", b"tIME", b"eXIf") if chunk in data]


def test_the_same_figures_give_the_same_bytes_whatever_the_users_own_style(metrics: Path, tmp_path: Path) -> None:
    with matplotlib.rc_context({"lines.linewidth": 9, "axes.facecolor": "red", "savefig.dpi": 30}):
        draw_risk(metrics, tmp_path / "again.png")
        draw_question(question_row("temporal"), tmp_path / "temporal.png")
        assert matplotlib.rcParams["lines.linewidth"] == 9  # and the style is the user's again
    assert (tmp_path / "again.png").read_bytes() == (metrics / "eval" / "images" / "risk_coverage.png").read_bytes()
    assert (tmp_path / "temporal.png").read_bytes() == (metrics / "evidence" / "images" / "temporal.png").read_bytes()


def test_images_of_the_run_before_are_replaced(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "old.png").write_bytes(b"")
    write_json(tmp_path / "evidence" / "plots" / "questions.json", [question_row("single_hop")])
    draw_questions(tmp_path, tmp_path / "images")
    assert {path.name for path in (tmp_path / "images").iterdir()} == {"single_hop.png"}


def test_what_the_figures_say_changes_the_image(tmp_path: Path) -> None:
    row, other = question_row("temporal"), question_row("temporal")
    other["question_time"] = ["2010-01-01", None]
    for number, question in enumerate((row, other)):
        draw_question(question, tmp_path / f"{number}.png")
    assert (tmp_path / "0.png").read_bytes() != (tmp_path / "1.png").read_bytes()


def test_only_questions_about_time_have_a_timeline(metrics: Path) -> None:
    heights = {path.stem: Image.open(path).height for path in (metrics / "evidence" / "images").iterdir()}
    assert max(heights, key=lambda kind: heights[kind]) == "temporal"
    assert len(set(heights.values())) == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"question": "What $costs$ {x} <b> & 東 " + "very " * 60 + "much?"},
        {"answer": "", "prediction": ""},
        {"layers": [3], "heat_map": {"facts": [{"index": None, "label": "n", "supporting": True}], "alpha": [[1]]}},
        {"timeline": {"head": "A", "relation": "r", "facts": []}},
        {
            "timeline": {
                "head": "A",
                "relation": "r",
                "facts": [{"index": 1, "tail": "B" * 99, "window": None, "supporting": False, "alpha": 0.0}] * 30,
            }
        },
        {"question_time": [None, "1950-01-01"]},
    ],
    ids=["strange letters", "no answer", "one layer, no fact", "no rivals", "unknown windows", "open question"],
)
@pytest.mark.filterwarnings("ignore:Glyph .* missing")
def test_odd_questions_are_drawn(tmp_path: Path, changes: dict[str, Any]) -> None:
    row = question_row("temporal") | changes
    if "layers" in changes:
        row["tokens"] = row["tokens"] | {"beta": row["tokens"]["beta"][:1], "copied": []}
        row["tokens"]["answer_start"] = len(row["tokens"]["text"])
    draw_question(row, tmp_path / "odd.png")
    assert (tmp_path / "odd.png").read_bytes().startswith(PNG)


def test_a_stage_that_was_passed_through_has_no_curve(metrics: Path, tmp_path: Path) -> None:
    for stage in ("trainA", "trainB"):
        folder = tmp_path / stage / "plots" / "metrics" / "train"
        folder.mkdir(parents=True)
        (folder / "loss.tsv").write_text("step\tloss\n" + "1\t0.5\n2\t0\n" * (stage == "trainA"))
    draw_losses(tmp_path, tmp_path / "loss.png")
    assert (tmp_path / "loss.png").read_bytes().startswith(PNG)


def test_what_was_not_measured_is_left_out(tmp_path: Path) -> None:
    """With top_k 0 there is neither recall nor confidence, and trainings may have no steps."""
    write_figures(tmp_path)
    for name in ("recall_by_k", "risk_coverage", "reliability"):
        write_json(tmp_path / "eval" / "plots" / f"{name}.json", [])
    for path in tmp_path.glob("train*/plots/metrics/train/*.tsv"):
        path.write_text(path.read_text().splitlines()[0] + "\n")
    (tmp_path / "eval" / "images").mkdir()
    (tmp_path / "eval" / "images" / "loss.png").write_bytes(b"of the run before")
    draw_plots(tmp_path)
    assert [path.name for path in (tmp_path / "eval" / "images").iterdir()] == ["em_by_type.png"]


def test_some_systems_types_and_splits_are_enough(tmp_path: Path) -> None:
    plots = tmp_path / "eval" / "plots"
    write_json(
        plots / "em_by_type.json", [r for r in em_rows() if (r["system"], r["split"]) == ("stage_a", "swap")][:2]
    )
    draw_em(tmp_path, tmp_path / "em.png")
    write_json(plots / "recall_by_k.json", [r for r in recall_rows() if r["split"] == "swap" and r["k"] == 1])
    draw_recall(tmp_path, tmp_path / "recall.png")
    write_json(plots / "risk_coverage.json", [{**r, "risk": 0.0} for r in risk_rows()][:1])
    draw_risk(tmp_path, tmp_path / "risk.png")
    assert len(list(tmp_path.glob("*.png"))) == 3
    for split in ("test", "a split of one's own"):
        write_json(plots / "em_by_type.json", [{**row, "split": split} for row in em_rows()][:1])
        draw_em(tmp_path, tmp_path / "em.png")
    write_json(plots / "em_by_type.json", [row for row in em_rows() if row["system"] == "no_copy_head"])
    with pytest.raises(DataError, match=r"em_by_type\.json has no EM of a model or baseline.*dvc repro eval"):
        draw_em(tmp_path, tmp_path / "em.png")


def test_every_number_of_rag_sentences_is_drawn(tmp_path: Path) -> None:
    """Which ones there are is a parameter."""
    for system in ("rag_2", "rag_16"):
        rows = [{**row, "system": system} for row in em_rows() if row["system"] == "stage_a"]
        write_json(tmp_path / "eval" / "plots" / "em_by_type.json", rows)
        draw_em(tmp_path, tmp_path / f"{system}.png")
    assert (tmp_path / "rag_2.png").read_bytes() != (tmp_path / "rag_16.png").read_bytes()


def test_what_a_sweep_found_changes_its_image(tmp_path: Path) -> None:
    done = sweep_results()
    for name in ("first", "again", "other"):
        write_json(tmp_path / "sweep" / "table.json", done)
        draw_sweeps(tmp_path, tmp_path / f"{name}.png")
        if name == "again":
            done["encoder.d_k"]["224"] = done["encoder.d_k"].pop("192")
    first, again, other = ((tmp_path / f"{name}.png").read_bytes() for name in ("first", "again", "other"))
    assert first == again != other


def test_the_stage_declares_where_every_image_stands() -> None:
    (stage,) = [
        stage for name, stage in yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"].items() if name == "plots"
    ]
    declared = [path for entry in stage["plots"] for path in entry]
    for plot in PLOTS:
        assert any(f"metrics/{plot.path}" == path or f"metrics/{plot.path}".startswith(f"{path}/") for path in declared)
    assert len({plot.path for plot in PLOTS}) == len({plot.title for plot in PLOTS}) == len(PLOTS)


@pytest.mark.parametrize(
    ("draw", "name", "content"),
    [
        (draw_em, "eval/plots/em_by_type.json", None),
        (draw_em, "eval/plots/em_by_type.json", ""),
        (draw_em, "eval/plots/em_by_type.json", '[{"split": "swap"}]'),
        (draw_recall, "eval/plots/recall_by_k.json", '[{"split": "swap"}]'),
        (draw_risk, "eval/plots/risk_coverage.json", "[1]"),
        (draw_reliability, "eval/plots/reliability.json", None),
        (draw_reliability, "eval/plots/reliability.json", '[{"split": "swap"}]'),
        (draw_losses, "trainB/plots/metrics/train/loss.tsv", None),
        (draw_losses, "trainB/plots/metrics/train/loss.tsv", "step\tloss\n1\tmuch\n"),
        (draw_questions, "evidence/plots/questions.json", None),
        (draw_questions, "evidence/plots/questions.json", '[{"type": "temporal"}]'),
        (draw_sweeps, "sweep/table.json", None),
        (draw_sweeps, "sweep/table.json", "{}"),
        (draw_sweeps, "sweep/table.json", '{"selector.top_k": [1]}'),
        (draw_sweeps, "sweep/table.json", '{"selector.top_k": {"1": {"em_single_hop": "much"}}}'),
    ],
)
def test_what_cannot_be_drawn_is_said_in_one_sentence_and_leaves_nothing(
    tmp_path: Path, draw: Callable[[Path, Path], None], name: str, content: str | None
) -> None:
    write_figures(tmp_path)
    (tmp_path / name).unlink()
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=re.escape(name)) as caught:
        draw(tmp_path, tmp_path / "images")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "images").exists()


def test_a_question_without_its_parts_is_refused(tmp_path: Path) -> None:
    row = question_row("temporal")
    del row["tokens"]["copy_gate"]
    write_json(tmp_path / "evidence" / "plots" / "questions.json", [row])
    with pytest.raises(DataError, match=r"no complete drawing of type 'temporal'.*run `dvc repro dump_evidence`"):
        draw_questions(tmp_path, tmp_path / "images")


def test_rows_are_a_list_of_objects(tmp_path: Path) -> None:
    write_json(tmp_path / "rows.json", {"split": "swap"})
    with pytest.raises(DataError, match="expected a list of objects"):
        read_points(tmp_path / "rows.json", ["split"])


def test_an_image_that_fails_leaves_the_one_before(tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(b"before")
    with pytest.raises(KeyError), drawn(tmp_path / "x.png", 2):
        raise KeyError
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"before"]


@given(values=st.lists(st.floats(0, 1), min_size=1, max_size=8), gap=st.floats(0.001, 0.1))
def test_labels_keep_their_order_and_their_distance(values: list[float], gap: float) -> None:
    places = spread(values, gap, 0.0, 1.0)
    order = sorted(range(len(values)), key=lambda place: values[place])
    assert all(places[b] - places[a] >= gap - 1e-9 for a, b in pairwise(order))
    assert all(-1e-9 <= place <= 1 + 1e-9 for place in places)
    if all(values[b] - values[a] >= gap for a, b in pairwise(order)):
        assert places == pytest.approx(values)


def test_the_page_holds_every_image_and_needs_nothing_else(metrics: Path, tmp_path: Path) -> None:
    write_page(metrics, tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    held = {base64.b64decode(data) for data in re.findall(r'src="data:image/png;base64,([^"]+)"', page)}
    assert held == {path.read_bytes() for path in images(metrics)}
    assert not re.search(r"https?:|<script|<link|src=\"(?!data:)", page)


def test_the_command_draws_again_and_writes_the_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = ["--metrics", str(tmp_path / "metrics"), "--page", str(tmp_path / "page.html")]
    assert main(page) == 1
    assert "no images to show" in capsys.readouterr().err
    write_figures(tmp_path / "metrics")
    rows = tmp_path / "metrics" / "evidence" / "plots" / "questions.json"
    write_json(rows, read_json(rows)[:1])
    assert main([*page, "--draw"]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'page.html'}\n"
    assert names(tmp_path / "metrics") == {*ONE, "evidence/images/single_hop.png"}


@pytest.mark.parametrize("template", sorted((Path(__file__).parents[3] / ".dvc" / "plots").glob("*.json")))
def test_templates_are_json_with_a_place_for_the_data(template: Path) -> None:
    assert json.loads(template.read_text(encoding="utf-8"))["data"] == {"values": "<DVC_METRIC_DATA>"}
