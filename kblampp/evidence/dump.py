"""The evidence of every answer, written and measured: what the stage `dump_evidence` does."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from kblampp.core.files import atomic_dir, write_json, write_jsonl
from kblampp.core.params import Params
from kblampp.encoding.encoders import load_encoders
from kblampp.evaluation.systems import Split, open_splits
from kblampp.evaluation.table import first_of_each_type
from kblampp.evidence.edits import Editor, answers_after, close_windows, swap_tails
from kblampp.evidence.illustrations import illustrations
from kblampp.evidence.interventions import causal_deltas, leave_one_out
from kblampp.evidence.measures import (
    Explained,
    Rows,
    evidence_line,
    evidence_rows,
    headline,
    mean_rows,
    merge,
    top_agreement,
)
from kblampp.evidence.trace import trace_answers
from kblampp.evidence.trials import TRIAL_SPLIT, try_edits
from kblampp.index.build import INDEX_OPTIONS
from kblampp.model.checkpoint import load_trained
from kblampp.model.inputs import EncodedBase
from kblampp.model.predictor import Predictor
from kblampp.model.workspace import Workspace, selector_options

logger = logging.getLogger(__name__)


def dump_evidence(params: Params, *, data: Path, store: Path, metrics: Path) -> None:
    """Writes `store/<dataset>/evidence/<split>.jsonl`, and the metrics: `metrics.json`, `table.json`, `kinds.json` and
    `plots/questions.json`.

    Raises:
        KBLaMError: An input is missing, damaged, or does not fit the others.
    """
    workspace = Workspace.open(params, data, store)
    options, section = selector_options(params), params.eval
    splits = open_splits(workspace, options, least=1, also=[TRIAL_SPLIT])
    model = load_trained(workspace.folder / section.adapter, workspace.backbone, workspace.projections)
    predictor = Predictor(model, workspace.backbone, options, section.batch_size, section.max_new_tokens)
    settings: dict[str, Any] = {"samples": section.bootstrap_samples, "seed": params.seed}
    editor = make_editor(params, store, workspace)
    table: dict[str, Rows] = {}
    kinds: Rows = {}
    plots: list[dict[str, Any]] = []
    with atomic_dir(workspace.folder / "evidence") as folder:
        for split in splits:
            name, base = split.name, split.base
            logger.info("%s: %d questions, %d facts", name, len(split.encoded), base.store.n)
            explained = explain(predictor, split)
            shown = base.store.facts, model.layers, params.evidence.facts_per_hop
            windows = explained.encoded.windows
            lines = zip(explained.questions, windows, explained.predictions, explained.traces, strict=True)
            write_jsonl(folder / f"{name}.jsonl", (evidence_line(*line, *shown) for line in lines))
            table[name] = evidence_rows(explained, top_k=options.top_k, **settings)
            if name == workspace.dataset.headline_split:
                plots = illustrations(explained, *shown)
                merge(table[name], intervene(params, predictor, editor, base, explained))
            if name == TRIAL_SPLIT:
                kinds = try_edits(predictor, editor, base.store.facts, explained, **settings)
    write_json(metrics / "table.json", table)
    write_json(metrics / "kinds.json", kinds)
    write_json(metrics / "metrics.json", headline(table.get(workspace.dataset.headline_split, {})))
    write_json(metrics / "plots" / "questions.json", plots)


def explain(predictor: Predictor, split: Split) -> Explained:
    """Answers every question of a split, and traces the answers."""
    predictions = predictor.predict(split.base, split.encoded, f"{split.name} answers")
    texts = [said.text for said in predictions]
    traces = trace_answers(predictor, split.base, split.encoded, texts, f"{split.name} evidence")
    return Explained(split.encoded, predictions, traces)


def intervene(params: Params, predictor: Predictor, editor: Editor, base: EncodedBase, explained: Explained) -> Rows:
    """Deletes and edits facts of one base, and measures what becomes of the answers, `{type: {figure: value}}`."""
    settings: dict[str, Any] = {"samples": params.eval.bootstrap_samples, "seed": params.seed}
    most, seed, rows = params.evidence.questions_per_type, params.seed, Rows()
    answerable = [place for place, question in enumerate(explained.questions) if question.supporting_facts]
    able = explained.part(answerable)

    chosen = able.part(first_of_each_type(able.questions, most))
    deltas = causal_deltas(predictor, base, chosen, seed)
    merge(rows, mean_rows(chosen.questions, deltas, n="causal_n", **settings))

    few = able.part(first_of_each_type(able.questions, params.evidence.leave_one_out_questions))
    effects = leave_one_out(predictor, base, few, params.evidence.facts_per_hop)
    agreements = {place: share for place, row in enumerate(effects) if (share := top_agreement(row)) is not None}
    compared = [few.questions[place] for place in agreements]
    figures = {
        "leave_one_out_agreement": list(agreements.values()),
        "leave_one_out_chance": [1 / len(effects[place]) for place in agreements],
    }
    merge(rows, mean_rows(compared, figures, n="leave_one_out_n", **settings))

    direct = chosen.part([p for p, q in enumerate(chosen.questions) if [len(hop) for hop in q.hops] == [1]])
    swapped = swap_tails(base.store.facts, direct.questions, seed)
    new, old = answers_after(predictor, editor, swapped, "tail swap", direct.encoded.part(swapped.places))
    figures = {"tail_swap_follow": new, "tail_swap_old": old}
    merge(rows, mean_rows(swapped.questions, figures, n="tail_swap_n", **settings))

    closed = close_windows(base.store.facts, explained.questions, most, seed)
    if closed.questions:
        new, old = answers_after(predictor, editor, closed, "closed windows")
        merge(rows, mean_rows(closed.questions, {"stale_rate": old, "fresh_rate": new}, n="stale_n", **settings))
    return rows


def make_editor(params: Params, store: Path, workspace: Workspace) -> Editor:
    """The encoder and the index options with which the bases were made.

    Raises:
        EncoderError: The sentence encoder is not to be had.
        StoreError: The tuned one is missing, damaged, or of another encoder.
    """
    index = {name: getattr(params.index, name) for name in INDEX_OPTIONS}
    return Editor(
        load_encoders(params.encoder.model, store, batch_size=params.encoder.batch_size),
        workspace.projections,
        params.encoder.store_dtype,
        index,
        str(workspace.backbone.model.device),
    )
