"""Sweeps: what an experiment changes, what is kept, and the table that shows it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from kblampp.core.errors import DataError
from kblampp.core.files import read_json, write_json
from kblampp.core.params_file import leaves
from kblampp.experiments import sweep
from tests.house import ROOT
from tests.pipeline.workspace import set_params

SMALL = (
    sweep.Sweep("selector.top_k", ("1", "2"), trains=False),
    sweep.Sweep("encoder.d_k", ("160",), trains=True),
)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the experiments that were run."""
    names: list[str] = []
    monkeypatch.setattr(sweep, "run_experiment", lambda name, changes: names.append(name))
    monkeypatch.setattr(sweep, "_result", lambda name, changes: {"changes": dict(changes), "store_bytes": 1})
    return names


def test_what_stands_in_the_table_is_not_run_again(tmp_path: Path, asked: list[str]) -> None:
    table = tmp_path / "table.json"
    write_json(table, {"selector.top_k": {"1": {"store_bytes": 7}}})
    sweep.run_sweeps(SMALL, table)
    assert asked == ["sweep-selector-top_k-2", "sweep-encoder-d_k-160"]
    assert read_json(table, error=DataError)["selector.top_k"]["1"] == {"store_bytes": 7}
    sweep.run_sweeps(SMALL, table)
    assert len(asked) == 2


def test_the_parameters_as_they_are_run_once_for_all_sweeps_that_train(tmp_path: Path, asked: list[str]) -> None:
    sweep.run_sweeps([one for one in sweep.SWEEPS if one.trains], tmp_path / "table.json")
    values = {(one.parameter, value) for one in sweep.SWEEPS if one.trains for value in one.values}
    assert len(asked) == len(values) - len(sweep.DEFAULTS) + 1
    done = read_json(tmp_path / "table.json", error=DataError)
    assert len({str(done[name][value]) for name, value in sweep.DEFAULTS.items()}) == 1


def test_the_shared_values_are_those_of_params() -> None:
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    for name, value in sweep.DEFAULTS.items():
        section, key = name.split(".")
        # "auto" of the embedded backbone's six layers: see backbone/test_decoder_layers.py for the rule
        expected = [2, 3, 4] if params[section][key] == "auto" else params[section][key]
        assert yaml.safe_load(value) == expected


def test_a_failure_keeps_what_was_done(tmp_path: Path, asked: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str, changes: Mapping[str, Any]) -> None:
        if "d_k" in name:
            raise DataError("no")

    monkeypatch.setattr(sweep, "run_experiment", fail)
    with pytest.raises(DataError):
        sweep.run_sweeps(SMALL, tmp_path / "table.json")
    assert set(read_json(tmp_path / "table.json", error=DataError)) == {"selector.top_k"}


def test_values_that_need_training_get_the_same_shorter_one() -> None:
    for one in sweep.SWEEPS:
        changes = [sweep.experiment(one, value)[1] for value in one.values]
        others = [{k: v for k, v in change.items() if k != one.parameter} for change in changes]
        assert all(other == others[0] for other in others)
        assert ("trainA.max_steps" in others[0]) == one.trains


@pytest.mark.parametrize("one", sweep.SWEEPS, ids=lambda one: one.parameter)
def test_every_value_makes_valid_parameters(tmp_path: Path, one: sweep.Sweep) -> None:
    for value in one.values:
        name, changes = sweep.experiment(one, value)
        assert name.replace("-", "").replace("_", "").isalnum()
        file = tmp_path / "params.yaml"
        file.write_text((ROOT / "params.yaml").read_text(encoding="utf-8"), encoding="utf-8")
        set_params(file, {key: yaml.safe_load(str(text)) for key, text in changes.items()})
        assert set(changes) <= set(leaves())


def test_the_table_has_a_row_for_each_experiment() -> None:
    row = {"em_single_hop": 0.5, "recall_at_1": 0.25, "store_bytes": 2_500_000}
    lines = sweep.sweep_table({"selector.top_k": {"1": row, "2": row}})
    assert len(lines) == 4
    assert lines[2] == "| `selector.top_k` | 1 | 0.500 | – | – | 0.250 | – | 2.5 MB |"
