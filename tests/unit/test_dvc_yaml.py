"""dvc.yaml says of each stage exactly what its script imports and reads, and where its results stand."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from kblampp.core.params_file import leaves
from kblampp.transfer.bases import HELD_OUT, sources
from tests.house import ROOT, imported, place, reached

PARAMS = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
TEXT = (ROOT / "dvc.yaml").read_text(encoding="utf-8")
STAGES: dict[str, Any] = yaml.safe_load(
    TEXT.replace("${dataset}", PARAMS["dataset"]).replace("${start_from}", PARAMS["start_from"])
)["stages"]
SCRIPTS = sorted(path.stem for path in (ROOT / "stages").glob("[!_]*.py"))
RESULTS = ("outs", "metrics", "plots")
BUILT_IN = {
    "simple",
    "linear",
    "confusion",
    "confusion_normalized",
    "scatter",
    "scatter_jitter",
    "smooth",
    "bar_horizontal",
    "bar_horizontal_sorted",
}
"""Plot templates that DVC brings."""


def entries(stage: str, kind: str) -> dict[str, Mapping[str, Any]]:
    """Path -> options of what a stage has under `deps`, `outs`, `metrics` or `plots`."""
    found: dict[str, Mapping[str, Any]] = {}
    for entry in STAGES[stage].get(kind, []):
        found |= {path: options or {} for path, options in entry.items()} if isinstance(entry, dict) else {entry: {}}
    return found


def results(stage: str) -> dict[str, Mapping[str, Any]]:
    """Path -> options of everything that a stage writes."""
    return {path: options for kind in RESULTS for path, options in entries(stage, kind).items()}


def reads(stage: str) -> list[str]:
    """Every single parameter that a stage declares."""
    return [leaf for key in STAGES[stage].get("params", ()) for leaf in leaves(key)]


def overlap(first: str, second: str) -> bool:
    """Whether one path is the other, or lies in it."""
    one, other = Path(first), Path(second)
    return one == other or one in other.parents or other in one.parents


def test_each_script_is_a_stage_and_each_stage_a_script() -> None:
    assert sorted(STAGES) == SCRIPTS


@pytest.mark.parametrize("stage", SCRIPTS)
def test_code_deps_are_the_folders_that_the_script_reaches(stage: str) -> None:
    script = f"stages/{stage}.py"
    needed = {f"kblampp/{folder}" for folder in reached(*map(place, imported(ROOT / script)))}
    declared = [path for path in entries(stage, "deps") if path.startswith(("kblampp/", "stages/"))]
    assert len(declared) == len(set(declared))
    assert script in declared
    data = {path for path in declared if not list((ROOT / path).glob("*.py"))} - {script}
    assert set(declared) - data - {script} == needed
    assert data <= {"kblampp/embedded"}


@pytest.mark.parametrize("stage", SCRIPTS)
def test_data_deps_exist_or_come_from_another_stage(stage: str) -> None:
    made = [path for other in STAGES if other != stage for path in results(other)]
    lost = [
        path
        for path in entries(stage, "deps")
        if not (ROOT / path).exists()
        and not any(Path(path) == Path(out) or Path(out) in Path(path).parents for out in made)
    ]
    assert not lost, f"{stage} depends on {lost}: neither in the repository nor made by a stage"


@pytest.mark.parametrize("stage", SCRIPTS)
def test_no_stage_depends_on_its_own_results(stage: str) -> None:
    assert not [(dep, out) for dep in entries(stage, "deps") for out in results(stage) if overlap(dep, out)]


def test_no_two_stages_write_to_one_place() -> None:
    written = [(stage, path) for stage in STAGES for path in results(stage)]
    clashes = [(one, two) for one in written for two in written if one < two and overlap(one[1], two[1])]
    assert not clashes


@pytest.mark.parametrize("stage", SCRIPTS)
def test_a_parameter_is_declared_once_and_its_name_occurs_in_the_code_that_the_stage_reaches(stage: str) -> None:
    """That a stage reads no other needs no test: it does not get any."""
    declared = reads(stage)
    assert len(declared) == len(set(declared)), "a key stands beside its own section"
    script = ROOT / "stages" / f"{stage}.py"
    files = [script, *(file for folder in reached(*map(place, imported(script))) for file in code_of(folder))]
    text = "\n".join(file.read_text(encoding="utf-8") for file in files if file.name != "params.py")
    unused = [key for key in declared if not re.search(rf"\b{key.split('.')[-1]}\b", text)]
    assert not unused, f"an edit of {unused} would re-run {stage} for nothing"


def code_of(folder: str) -> list[Path]:
    """The Python files of a folder of the package."""
    return sorted((ROOT / "kblampp" / folder).glob("*.py"))


def test_every_parameter_is_read_by_a_stage_but_those_on_which_no_file_depends() -> None:
    """How answers are told to people, and how `encode` works."""
    assert {leaf for stage in STAGES for leaf in reads(stage)} == set(leaves()) - {*leaves("answer"), *leaves("encode")}


def test_the_selector_costs_no_training() -> None:
    """So that another `top_k` costs an evaluation and no training."""
    assert [stage for stage in STAGES if "selector.top_k" in reads(stage)] == ["eval", "transfer", "dump_evidence"]


@pytest.mark.parametrize("stage", SCRIPTS)
def test_the_command_is_the_script(stage: str) -> None:
    assert STAGES[stage]["cmd"] == f"python -m stages.{stage}"


def test_metrics_plots_and_adapters_stand_in_git() -> None:
    """`cache: false`: metrics and plots work on a bare clone, and evaluation needs no training there."""
    committed = {path: options for stage in STAGES for path, options in results(stage).items() if in_git(path)}
    assert {Path(path).parts[1] for path in committed if path.startswith("metrics/")} >= {"index", "trainA", "eval"}
    assert not [path for path, options in committed.items() if options.get("cache") is not False]
    shown = [path for stage in STAGES for kind in ("metrics", "plots") for path in entries(stage, kind)]
    assert set(shown) <= set(committed)


def in_git(path: str) -> bool:
    """Whether a result belongs into git: metrics, plot data, and what training made."""
    return path.startswith("metrics/") or Path(path).name.startswith("train")


def test_headlines_alone_are_metrics() -> None:
    shown = [path for stage in STAGES for path in entries(stage, "metrics")]
    assert shown == [f"metrics/{stage}/metrics.json" for stage in ("eval", "transfer", "evidence")]


def test_the_open_dossiers_are_deps_of_transfer_and_the_held_out_ones_of_nothing() -> None:
    asked = [source.folder.relative_to(ROOT).as_posix() for source in sources(ROOT / "data")]
    assert [path for path in entries("transfer", "deps") if path.startswith("data/")] == asked
    assert not [(stage, name) for stage in STAGES for name in HELD_OUT for dep in entries(stage, "deps") if name in dep]


def test_templates_exist() -> None:
    plots = [(path, options) for stage in STAGES for path, options in entries(stage, "plots").items()]
    names = {options["template"] for _, options in plots if "template" in options} - BUILT_IN
    files = {path.stem: path for path in (ROOT / ".dvc" / "plots").glob("*.json")}
    assert names == set(files), "a template is missing, or none of the plots uses it"
    for path in files.values():
        text = path.read_text(encoding="utf-8")
        assert json.loads(text)["$schema"].startswith("https://vega.github.io/schema/vega-lite/")
        assert "<DVC_METRIC_DATA>" in text


def test_lock_is_of_these_stages() -> None:
    lock = ROOT / "dvc.lock"
    if not lock.exists():
        pytest.skip("dvc.lock is not there: the pipeline has not been run")
    locked = yaml.safe_load(lock.read_text(encoding="utf-8"))["stages"]
    assert sorted(locked) == sorted(STAGES)
    assert {name: stage["cmd"] for name, stage in locked.items()} == {n: s["cmd"] for n, s in STAGES.items()}
