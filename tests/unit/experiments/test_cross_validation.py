"""Results on real data: what a fold runs, how folds become one row, and the page that shows them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from kblampp.core.errors import DataError
from kblampp.core.files import read_json, write_json
from kblampp.core.params_file import leaves, load_params
from kblampp.experiments import cross_validation
from kblampp.report.tables import named_systems, with_table
from tests.house import ROOT
from tests.pipeline.workspace import set_params

SIZES = (7, 20, 3)
"""Questions of each fold."""
PAGE = f"# Results\n\n{cross_validation.BEGIN}\nold\n{cross_validation.END}\n\nrest\n"


def row_of(figures: Mapping[str, Any]) -> dict[str, Any]:
    """A line of a table from each question's own figures; the standard error is that of the mean."""
    em = figures["em"]
    return {
        **{name: float(np.mean(values)) for name, values in figures.items()},
        "em_stderr": float(np.std(em) / np.sqrt(len(em))),
        "n": len(em),
    }


def raw(n: int, seed: int, *, retrieves: bool = True) -> dict[str, Any]:
    """Figures of `n` questions."""
    rng = np.random.default_rng(seed)
    names = ["f1", "prompt_tokens", *(["recall_at_1", "recall_at_8", "support_recall_at_8"] if retrieves else [])]
    return {"em": rng.integers(0, 2, n).astype(float), **{name: rng.random(n) for name in names}}


def fold_row(n: int, seed: int, **more: Any) -> dict[str, Any]:
    return {**row_of(raw(n, seed)), **more}


def tables_of(seed: int) -> dict[str, dict[str, Any]]:
    """Both files of an experiment, with splits that no result is shown of."""
    kinds = {"answerable": 6 + seed, "unanswerable": 4, "all": 10 + seed, "temporal": 5}
    files: dict[str, dict[str, Any]] = {"table": {}, "abstention": {}}
    for place, split in enumerate(("dev", "test", "test_hard")):
        own = 10 * place + seed
        files["table"][split] = {
            "stage_a": {kind: fold_row(n, own, abstain_auroc=0.5 + own / 100) for kind, n in kinds.items()},
            "in_context": {kind: row_of(raw(n, own + 50, retrieves=False)) for kind, n in kinds.items()},
            "no_hop": {"all": fold_row(5, own)},
        }
        files["abstention"][split] = {"n": 10 + seed, "refusal_f1": 0.02 * (own + 1), "threshold": 0.4}
    return files


@dataclass
class Runs:
    """What was run: names, changes and copied paths; `fails` names the one that does not end well."""

    done: list[tuple[str, dict[str, Any], list[str]]] = field(default_factory=list)
    fails: str = ""

    def run_experiment(self, name: str, changes: Mapping[str, Any], *, copy: Sequence[str] = ()) -> None:
        if name == self.fails:
            raise DataError(f"{name} failed")
        self.done.append((name, dict(changes), list(copy)))

    def file_of(self, name: str, path: str) -> str:
        return json.dumps(tables_of(int(name[-1]))[Path(path).stem])


@pytest.fixture
def raw_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folders of the raw files, in a working directory of their own."""
    for dataset in cross_validation.DATASETS:
        folder = tmp_path / "data" / "raw" / dataset
        folder.mkdir(parents=True)
        for name in ("rows.json", "more.csv", "README.md", ".gitignore"):
            (folder / name).touch()
        (folder / "unpacked").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path / "data" / "raw"


@pytest.fixture
def runs(raw_data: Path, monkeypatch: pytest.MonkeyPatch) -> Runs:
    """Experiments that are noted and not run."""
    noted = Runs()
    monkeypatch.setattr(cross_validation, "run_experiment", noted.run_experiment)
    monkeypatch.setattr(cross_validation, "file_of", noted.file_of)
    return noted


def rows(table: str) -> list[list[str]]:
    """The cells of each line of the tables."""
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if line[:1] == "|"]


def test_a_pooled_row_is_that_of_all_questions_together() -> None:
    folds = [raw(n, seed) for seed, n in enumerate(SIZES)]
    pooled = cross_validation.pooled([row_of(fold) for fold in folds])
    assert pooled["n"] == sum(SIZES)
    for name in folds[0]:
        assert pooled[name] == pytest.approx(np.concatenate([fold[name] for fold in folds]).mean())
    deviations = np.concatenate([fold["em"] - fold["em"].mean() for fold in folds])
    assert pooled["em_stderr"] == pytest.approx(np.sqrt((deviations**2).sum()) / sum(SIZES))


def test_the_pooled_error_is_that_of_a_bootstrap_within_the_folds() -> None:
    folds = [raw(n, seed)["em"] for seed, n in enumerate((40, 90, 60))]
    rng = np.random.default_rng(0)
    means = [np.concatenate([rng.choice(fold, len(fold)) for fold in folds]).mean() for _ in range(4000)]
    pooled = cross_validation.pooled([row_of({"em": fold}) for fold in folds])
    assert pooled["em_stderr"] == pytest.approx(np.std(means), rel=0.05)


def test_one_fold_is_its_own_pool() -> None:
    row = fold_row(9, 1, abstain_auroc=0.7)
    assert cross_validation.pooled([row]) == pytest.approx(row)


def test_a_figure_is_pooled_over_the_folds_that_have_it() -> None:
    rows_of_folds = [
        fold_row(10, 0, abstain_auroc=0.5),
        fold_row(30, 1, abstain_auroc=0.9),
        fold_row(60, 2, abstain_auroc=None),
    ]
    del rows_of_folds[0]["recall_at_8"]
    pooled = cross_validation.pooled(rows_of_folds)
    assert pooled["abstain_auroc"] == pytest.approx((10 * 0.5 + 30 * 0.9) / 40)
    found = [row["recall_at_8"] for row in rows_of_folds[1:]]
    assert pooled["recall_at_8"] == pytest.approx(np.average(found, weights=[30, 60]))
    nowhere = cross_validation.pooled([fold_row(10, seed, abstain_auroc=None) for seed in range(3)])
    assert "abstain_auroc" not in nowhere


def test_each_fold_is_run_once_and_its_test_figures_are_kept(tmp_path: Path, runs: Runs) -> None:
    path = tmp_path / "timeqa.json"
    cross_validation.run_dataset("timeqa", path)
    assert [name for name, _, _ in runs.done] == [f"real-timeqa-{fold}" for fold in range(cross_validation.FOLDS)]
    for fold, (_, changes, copied) in enumerate(runs.done):
        assert changes == {"dataset": "timeqa", **cross_validation.SHORT, "convert.fold": str(fold)}
        assert copied == ["data/raw/timeqa/more.csv", "data/raw/timeqa/rows.json"]
    done = read_json(path, error=DataError)
    assert done["settings"] == cross_validation.SHORT
    for fold in range(cross_validation.FOLDS):
        for part, content in tables_of(fold).items():
            assert done["folds"][str(fold)][part] == {split: content[split] for split in ("test", "test_hard")}


def test_what_stands_in_the_file_is_not_run_again(tmp_path: Path, runs: Runs) -> None:
    path = tmp_path / "hotpotqa.json"
    write_json(path, {"folds": {"1": {"table": {}, "abstention": {}}}, "settings": cross_validation.SHORT})
    cross_validation.run_dataset("hotpotqa", path)
    assert [name for name, _, _ in runs.done] == ["real-hotpotqa-0", "real-hotpotqa-2"]
    assert read_json(path, error=DataError)["folds"]["1"] == {"table": {}, "abstention": {}}
    before = path.read_bytes()
    cross_validation.run_dataset("hotpotqa", path)
    assert len(runs.done) == 2
    assert path.read_bytes() == before


def test_folds_of_other_settings_are_not_pooled_with_new_ones(tmp_path: Path, runs: Runs) -> None:
    path = tmp_path / "hotpotqa.json"
    write_json(path, {"folds": {"1": {"table": {}, "abstention": {}}}, "settings": {"trainA.max_steps": 1}})
    before = path.read_bytes()
    with pytest.raises(DataError, match=r"hotpotqa\.json holds folds of other settings; delete it"):
        cross_validation.run_dataset("hotpotqa", path)
    assert not runs.done
    assert path.read_bytes() == before


def test_a_failure_keeps_the_folds_before_it(tmp_path: Path, runs: Runs) -> None:
    path, runs.fails = tmp_path / "timeqa.json", "real-timeqa-1"
    with pytest.raises(DataError, match="real-timeqa-1 failed"):
        cross_validation.run_dataset("timeqa", path)
    assert set(read_json(path, error=DataError)["folds"]) == {"0"}


@pytest.mark.parametrize("dataset", cross_validation.DATASETS)
def test_every_fold_has_valid_parameters(tmp_path: Path, runs: Runs, dataset: str) -> None:
    cross_validation.run_dataset(dataset, tmp_path / "result.json")
    for _, changes, _ in runs.done:
        file = tmp_path / "params.yaml"
        file.write_text((ROOT / "params.yaml").read_text(encoding="utf-8"), encoding="utf-8")
        set_params(file, {key: yaml.safe_load(str(value)) for key, value in changes.items()})
        params = load_params(file)
        assert set(changes) <= set(leaves())
        assert params.dataset == dataset
    assert params.convert.fold == params.convert.folds - 1, "the folds run are all there are"


@pytest.fixture
def results(tmp_path: Path, runs: Runs) -> Path:
    """A folder with the results of one dataset."""
    cross_validation.run_dataset("timeqa", tmp_path / "real" / "timeqa.json")
    return tmp_path / "real"


def test_the_table_has_a_line_for_each_split_and_system_with_all_folds(results: Path) -> None:
    lines = rows(cross_validation.tables(results))
    assert {len(line) for line in lines} == {11}
    heads, shown = lines[0], lines[2:]
    assert [line[:2] for line in shown] == [
        [title, system]
        for title in ("TimeQA", "TimeQA (hard)")
        for system in named_systems(("stage_a", "in_context")).values()
    ]
    model = dict(zip(heads, shown[0], strict=True))
    folds = [tables_of(seed) for seed in range(cross_validation.FOLDS)]
    able, unable, whole = (
        cross_validation.pooled([fold["table"]["test"]["stage_a"][kind] for fold in folds])
        for kind in ("answerable", "unanswerable", "all")
    )

    def em(row: Mapping[str, float]) -> str:
        return f"{row['em']:.3f} ± {row['em_stderr']:.3f} ({row['n']})"

    refusals = [fold["abstention"]["test"] for fold in folds]
    refusal_f1 = np.average([part["refusal_f1"] for part in refusals], weights=[part["n"] for part in refusals])
    assert model == {
        "questions": "TimeQA",
        "system": named_systems(("stage_a",))["stage_a"],
        "EM, answerable": em(able),
        "F1": f"{able['f1']:.3f}",
        "recall@1": f"{able['recall_at_1']:.3f}",
        "recall@8": f"{able['recall_at_8']:.3f}",
        "support recall@8": f"{able['support_recall_at_8']:.3f}",
        "EM, unanswerable": em(unable),
        "AUROC": f"{unable['abstain_auroc']:.3f}",
        "refusal F1": f"{refusal_f1:.3f}",
        "prompt tokens": f"{whole['prompt_tokens']:.0f}",
    }
    context = dict(zip(heads, shown[1], strict=True))
    assert [context[name] for name in ("recall@1", "support recall@8", "AUROC", "refusal F1")] == ["–"] * 4


def test_a_dataset_without_hard_or_unanswerable_questions_has_the_other_lines() -> None:
    fold = {"table": {"test": {"stage_a": {"answerable": fold_row(5, 0), "all": fold_row(5, 0)}}}, "abstention": {}}
    (line,) = rows("\n".join(cross_validation.result_lines("hotpotqa", {"folds": {"0": fold}})))[2:]
    assert line[0] == "HotpotQA"
    assert line[7:10] == ["–"] * 3


def test_the_page_shows_the_tables_and_keeps_the_rest(
    results: Path, tmp_path: Path, runs: Runs, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "results.md"
    page.write_text(PAGE, encoding="utf-8")
    monkeypatch.setattr(cross_validation, "PAGE", page)
    monkeypatch.setattr(cross_validation, "METRICS", results)
    ran = len(runs.done)
    assert cross_validation.main(["--show"]) == 0
    assert len(runs.done) == ran, "--show runs nothing"
    table = cross_validation.tables(results)
    assert page.read_text(encoding="utf-8") == PAGE.replace("old", table)
    assert capsys.readouterr().out == table + "\n"
    assert cross_validation.main(["hotpotqa"]) == 0
    assert [name for name, _, _ in runs.done[ran:]] == [
        f"real-hotpotqa-{fold}" for fold in range(cross_validation.FOLDS)
    ]
    assert "HotpotQA" in page.read_text(encoding="utf-8")


def test_without_results_there_is_an_error_and_the_page_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "results.md"
    page.write_text(PAGE, encoding="utf-8")
    monkeypatch.setattr(cross_validation, "PAGE", page)
    monkeypatch.setattr(cross_validation, "METRICS", tmp_path / "nowhere")
    assert cross_validation.main(["--show"]) == 1
    assert "`python -m kblampp.experiments.cross_validation timeqa`" in capsys.readouterr().err
    assert page.read_text(encoding="utf-8") == PAGE


def test_without_raw_files_nothing_is_run(tmp_path: Path, raw_data: Path, runs: Runs) -> None:
    for name in ("rows.json", "more.csv"):
        (raw_data / "timeqa" / name).unlink()
    with pytest.raises(DataError, match=r"timeqa holds no raw files.*README\.md"):
        cross_validation.run_dataset("timeqa", tmp_path / "timeqa.json")
    assert runs.done == []
    assert not (tmp_path / "timeqa.json").exists()


def test_the_page_shows_the_committed_results() -> None:
    if not list((ROOT / cross_validation.METRICS).glob("*.json")):
        pytest.skip("metrics/real is empty: `python -m kblampp.experiments.cross_validation` has not been run")
    text = (ROOT / cross_validation.PAGE).read_text(encoding="utf-8")
    table = cross_validation.tables(ROOT / cross_validation.METRICS)
    shown = with_table(text, table, str(cross_validation.PAGE), cross_validation.BEGIN, cross_validation.END)
    assert shown == text, (
        "docs/results.md is not of the committed metrics: run `python -m kblampp.experiments.cross_validation --show`"
    )
