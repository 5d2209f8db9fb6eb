"""The evaluation put together: every system on every split, then the tables, the headline and the plots' data."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dvclive.live import Live

from kblampp.core.files import write_json
from kblampp.core.params import Params
from kblampp.evaluation.abstention import abstention_table, risk_coverage
from kblampp.evaluation.gates import mean_gates
from kblampp.evaluation.reliability import reliability
from kblampp.evaluation.systems import ABLATIONS, Split, answers_of_stage, open_splits
from kblampp.evaluation.table import (
    SEPARATE_TYPES,
    SYSTEM_OF,
    Predictions,
    differences,
    headline,
    recall_curve,
    rounded,
    score_table,
)
from kblampp.model.checkpoint import load_trained, same_trained
from kblampp.model.lora import unload
from kblampp.model.predictor import Predictor
from kblampp.model.workspace import Workspace, selector_options

logger = logging.getLogger(__name__)
GATE_QUESTIONS = 64
Tables = dict[str, dict[str, Any]]
"""`{split: {system: {type: {figure: value}}}}`."""


def run_evaluation(params: Params, *, data: Path, store: Path, metrics: Path) -> None:
    """Measures and writes `metrics.json`, `table.json`, `abstention.json` and `plots/`.

    Where trainB has passed trainA's modules through there is no Stage B to measure, and trainA's model is the main one
    whatever `eval.adapter` says.

    Raises:
        KBLaMError: An input is missing, damaged, or does not fit the others.
    """
    workspace, options, section = Workspace.open(params, data, store), selector_options(params), params.eval
    splits = open_splits(workspace, options)
    table: Tables = {split.name: {} for split in splits}
    said: dict[str, dict[str, Predictions]] = {split.name: {} for split in splits}
    stages, main_stage = list(SYSTEM_OF), section.adapter
    if same_trained(*(workspace.folder / stage for stage in stages)):
        logger.info("Stage B is left out: trainB has passed trainA's modules through")
        stages, main_stage = ["trainA"], "trainA"
    for stage in stages:
        system = SYSTEM_OF[stage]
        model = load_trained(workspace.folder / stage, workspace.backbone, workspace.projections)
        predictor = Predictor(model, workspace.backbone, options, section.batch_size, section.max_new_tokens)
        for split in splits:
            for name, predictions in answers_of_stage(stage, main_stage, params, workspace, predictor, split):
                said[split.name][name] = predictions
                table[split.name][name] = score_table(predictions, **_bootstrap(params))
            table[split.name][system]["all"] |= rounded(_gates(params, predictor, split))
        unload(model)  # the next one is loaded into the same backbone
    main = SYSTEM_OF[main_stage]
    _add_differences(params, table, said, main, workspace.dataset.headline_split)
    _write(metrics, table, {split: systems[main] for split, systems in said.items()}, main)
    points = reliability({split: systems[main] for split, systems in said.items()} if options.top_k else {})
    write_json(metrics / "plots" / "reliability.json", points)


def _gates(params: Params, predictor: Predictor, split: Split) -> dict[str, float]:
    some = split.first(params.eval.questions_per_type).encoded
    return mean_gates(predictor, split.base, some.part(range(min(GATE_QUESTIONS, len(some)))), seed=params.seed)


def _bootstrap(params: Params) -> dict[str, int]:
    return {"bootstrap_samples": params.eval.bootstrap_samples, "seed": params.seed}


def _add_differences(
    params: Params, table: Tables, said: Mapping[str, Mapping[str, Predictions]], main: str, split: str
) -> None:
    """Adds how Stage B differs from Stage A, and each ablation from the whole model, on the same questions."""
    systems = said.get(split, {})
    pairs = {name: main for name in systems if name in ABLATIONS}
    if "stage_b" in systems:
        pairs["stage_b"] = "stage_a"
    for name, reference in pairs.items():
        added = differences(systems[name], systems[reference], reference, **_bootstrap(params))
        for kind, figures in added.items():
            table[split][name][kind] |= figures


def _write(metrics: Path, table: Tables, said: Mapping[str, Predictions], main: str) -> None:
    with Live(dir=str(metrics), dvcyaml=None, save_dvc_exp=False) as live:
        for name, value in headline(table, main).items():
            live.log_metric(name, value, plot=False)
    write_json(metrics / "table.json", table)
    write_json(metrics / "abstention.json", abstention_table(said))
    write_json(metrics / "plots" / "em_by_type.json", em_points(table))
    write_json(metrics / "plots" / "recall_by_k.json", recall_points(said))
    write_json(metrics / "plots" / "risk_coverage.json", risk_coverage(said))


def em_points(table: Tables) -> list[dict[str, Any]]:
    """Points of the plot of EM by type, split and system, without ablations."""
    return [
        {"split": split, "system": system, "type": kind, "em": row["em"], "em_stderr": row["em_stderr"], "n": row["n"]}
        for split, systems in table.items()
        for system, kinds in systems.items()
        for kind, row in kinds.items()
        if system not in ABLATIONS and kind in SEPARATE_TYPES
    ]


def recall_points(said: Mapping[str, Predictions]) -> list[dict[str, Any]]:
    """Points of the plot of recall by k, split and type."""
    return [
        {"split": split, "type": kind, "k": k, "recall": recall}
        for split, predictions in said.items()
        for kind, curve in recall_curve(predictions).items()
        for k, recall in enumerate(curve, start=1)
    ]
