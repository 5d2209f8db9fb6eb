"""The evaluation put together: every system on every split, then the tables, the headline and the plots' data."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dvclive.live import Live

from kblampp.core.files import write_json
from kblampp.core.params import Params
from kblampp.evaluation.abstention import abstention_table, risk_coverage
from kblampp.evaluation.answering import mean_gates
from kblampp.evaluation.systems import ABLATIONS, Split, answers_of_stage, open_splits
from kblampp.evaluation.table import (
    SEPARATE_TYPES,
    SYSTEM_OF,
    Asked,
    differences,
    headline,
    recall_curve,
    rounded,
    score_table,
)
from kblampp.model.checkpoint import load_trained
from kblampp.model.injection import KBInjectedModel
from kblampp.model.inputs import SelectorOptions
from kblampp.model.lora import unload
from kblampp.model.workspace import Workspace, selector_options

GATE_QUESTIONS = 64
Tables = dict[str, dict[str, Any]]
"""`{split: {system: {type: {figure: value}}}}`."""


def run_evaluation(params: Params, *, data: Path, store: Path, metrics: Path) -> None:
    """Measures and writes `metrics.json`, `table.json`, `abstention.json` and `plots/`.

    Raises:
        KBLaMError: An input is missing, damaged, or does not fit the others.
    """
    workspace, options = Workspace.open(params, data, store), selector_options(params)
    splits = open_splits(workspace, options)
    table: Tables = {split.name: {} for split in splits}
    asked: dict[str, dict[str, Asked]] = {split.name: {} for split in splits}
    for stage, system in SYSTEM_OF.items():
        model = load_trained(workspace.folder / stage, workspace.backbone, workspace.projections)
        for split in splits:
            for name, answers in answers_of_stage(stage, params, options, workspace, model, split):
                asked[split.name][name] = answers
                table[split.name][name] = score_table(answers, **_bootstrap(params))
            table[split.name][system]["all"] |= rounded(_gates(params, options, workspace, model, split))
        unload(model)  # the next one is loaded into the same backbone
    main = SYSTEM_OF[params.eval.adapter]
    _add_differences(params, table, asked, main, workspace.dataset.headline_split)
    _write(metrics, table, {split: systems[main] for split, systems in asked.items()}, main)


def _gates(
    params: Params, options: SelectorOptions, workspace: Workspace, model: KBInjectedModel, split: Split
) -> dict[str, float]:
    some = split.first(params.eval.questions_per_type)
    questions, vectors = some.questions[:GATE_QUESTIONS], some.vectors[:GATE_QUESTIONS]
    return mean_gates(model, workspace.backbone, split.base, questions, vectors, options, seed=params.seed)


def _bootstrap(params: Params) -> dict[str, int]:
    return {"bootstrap_samples": params.eval.bootstrap_samples, "seed": params.seed}


def _add_differences(
    params: Params, table: Tables, asked: Mapping[str, Mapping[str, Asked]], main: str, split: str
) -> None:
    """Adds how Stage B differs from Stage A, and each ablation from the whole model, on the same questions."""
    systems = asked.get(split, {})
    pairs = {name: main for name in systems if name in ABLATIONS}
    if systems:
        pairs["stage_b"] = "stage_a"
    for name, reference in pairs.items():
        added = differences(systems[name], systems[reference], reference, **_bootstrap(params))
        for kind, figures in added.items():
            table[split][name][kind] |= figures


def _write(metrics: Path, table: Tables, asked: Mapping[str, Asked], main: str) -> None:
    with Live(dir=str(metrics), dvcyaml=None, save_dvc_exp=False) as live:
        for name, value in headline(table, main).items():
            live.log_metric(name, value, plot=False)
    write_json(metrics / "table.json", table)
    write_json(metrics / "abstention.json", abstention_table(asked))
    write_json(metrics / "plots" / "em_by_type.json", em_points(table))
    write_json(metrics / "plots" / "recall_by_k.json", recall_points(asked))
    write_json(metrics / "plots" / "risk_coverage.json", risk_coverage(asked))


def em_points(table: Tables) -> list[dict[str, Any]]:
    """Points of the plot of EM by type, split and system, without ablations."""
    return [
        {"split": split, "system": system, "type": kind, "em": row["em"], "em_stderr": row["em_stderr"], "n": row["n"]}
        for split, systems in table.items()
        for system, kinds in systems.items()
        for kind, row in kinds.items()
        if system not in ABLATIONS and kind in SEPARATE_TYPES
    ]


def recall_points(asked: Mapping[str, Asked]) -> list[dict[str, Any]]:
    """Points of the plot of recall by k, split and type."""
    return [
        {"split": split, "type": kind, "k": k, "recall": recall}
        for split, answers in asked.items()
        for kind, curve in recall_curve(answers).items()
        for k, recall in enumerate(curve, start=1)
    ]
