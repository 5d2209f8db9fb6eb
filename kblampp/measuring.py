"""The evaluation put together: every system on every split, then the tables, the headline and the plots' data."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dvclive.live import Live

from kblampp.adapters import load_adapter
from kblampp.answering import answer_closed_book, answer_in_context, answer_with_model, mean_gates
from kblampp.artifacts import write_json
from kblampp.config import Params
from kblampp.evaluation import Asked, first_of_each_type, headline, recall_curve, score_table
from kblampp.injection import KBInjectedModel
from kblampp.knowledge import SelectorOptions
from kblampp.opening import Workspace

logger = logging.getLogger(__name__)
UNSEEN = ("dev", "swap", "novel", "test")
"""Splits that are measured, where the dataset has them; `train` never is."""
GATE_QUESTIONS = 64


def selector_options(params: Params) -> SelectorOptions:
    """How facts are selected, as params.yaml says."""
    section = params.selector
    return SelectorOptions(
        top_k=section.top_k,
        gamma=section.gamma,
        eta=section.eta,
        temperature=section.temperature,
        over_fetch=section.over_fetch,
        copy_head=params.injection.copy_head,
        hop=params.injection.hop,
    )


def run_evaluation(params: Params, *, data: Path, store: Path, metrics: Path) -> None:
    """Measures and writes `metrics.json`, `table.json` and `plots/`.

    Raises:
        KBLaMError: An input is missing, damaged, or does not fit the others.
    """
    workspace = Workspace.open(params, data, store)
    model = load_adapter(workspace.folder / "trainA", workspace.backbone, workspace.projections)
    options = selector_options(params)
    splits = [split for split in UNSEEN if split in workspace.dataset.questions]
    for split in splits:  # before anything is computed: a base may be too small for top_k
        kb = workspace.dataset.kb_of_split[split]
        options.check(len(workspace.dataset.kbs[kb]), kb)
    table: dict[str, Any] = {}
    curves: list[dict[str, Any]] = []
    for split in splits:
        table[split], points = _measure_split(params, workspace, model, split, options)
        curves += points
    with Live(dir=str(metrics), dvcyaml=None, save_dvc_exp=False) as live:
        for name, value in headline(table).items():
            live.log_metric(name, value, plot=False)
    write_json(metrics / "table.json", table)
    write_json(metrics / "plots" / "em_by_type.json", em_points(table))
    write_json(metrics / "plots" / "recall_by_k.json", curves)


def _measure_split(
    params: Params, workspace: Workspace, model: KBInjectedModel, split: str, options: SelectorOptions
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """`{system: {type: {figure: value}}}` of a split and the points of its recall curves."""
    section = params.eval
    every = workspace.dataset.questions[split]
    base = workspace.open_base(split)
    facts = base.store.facts
    sizes = {"batch_size": section.batch_size, "max_new_tokens": section.max_new_tokens}

    def scored(places: Sequence[int], answers: list[Any], top_k: int | None) -> dict[str, dict[str, Any]]:
        asked = Asked([every[place] for place in places], answers, facts)
        return score_table(asked, top_k=top_k, bootstrap_samples=section.bootstrap_samples, seed=params.seed)

    places = first_of_each_type(every, section.questions_per_type)
    questions = [every[place] for place in places]
    vectors = base.store.question_vectors(split)[places]
    logger.info("%s: %d questions, %d facts", split, len(places), base.store.n)
    answers = answer_with_model(
        model, workspace.backbone, base, questions, vectors, options, label=f"{split} stage_a", **sizes
    )
    top_k = options.top_k or None
    result = {"stage_a": scored(places, answers, top_k)}
    gates = mean_gates(
        model, workspace.backbone, base, questions[:GATE_QUESTIONS], vectors[:GATE_QUESTIONS], options, seed=params.seed
    )
    result["stage_a"]["all"] |= {name: round(value, 5) for name, value in gates.items()}
    few = first_of_each_type(every, section.baseline_questions_per_type)
    if few:
        asked = [every[place] for place in few]
        closed = answer_closed_book(model, workspace.backbone, asked, **sizes)
        context = answer_in_context(
            model, workspace.backbone, facts, asked, distractors=section.distractors, seed=params.seed, **sizes
        )
        result |= {"closed_book": scored(few, closed, None), "in_context": scored(few, context, None)}
    points = [] if top_k is None else _recall_points(split, Asked(questions, answers, facts), top_k)
    return result, points


def em_points(table: dict[str, Any]) -> list[dict[str, Any]]:
    """Points of the plot of EM by type, split and system."""
    return [
        {"split": split, "system": system, "type": kind, "em": row["em"], "em_stderr": row["em_stderr"], "n": row["n"]}
        for split, systems in table.items()
        for system, kinds in systems.items()
        for kind, row in kinds.items()
        if kind not in ("multi_hop", "answerable", "all")
    ]


def _recall_points(split: str, asked: Asked, top_k: int) -> list[dict[str, Any]]:
    return [
        {"split": split, "type": kind, "k": k, "recall": recall}
        for kind, curve in recall_curve(asked, top_k).items()
        for k, recall in enumerate(curve, start=1)
    ]
