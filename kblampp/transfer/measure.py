"""The measurement put together: each base is opened, asked and scored, and the files are written."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from kblampp.core.files import write_json, write_jsonl
from kblampp.core.params import Params
from kblampp.data.dataset import Dataset
from kblampp.encoding.encoders import Encoders
from kblampp.encoding.projections import PROJECTION, Projections
from kblampp.evaluation.baselines import answer_by_lookup
from kblampp.evaluation.systems import Split
from kblampp.model.predictor import Prediction, Predictor
from kblampp.model.workspace import Workspace
from kblampp.rag.prompts import PromptStyle
from kblampp.transfer.bases import DOSSIERS, ON_DEMAND, YAGO, Source, open_base, open_predictor, sources
from kblampp.transfer.phrase_lookup import phrase_lookup
from kblampp.transfer.prompted import choose_style, described, prompted_systems
from kblampp.transfer.scoring import GROUPS, Answer, is_broken, names_of, score

logger = logging.getLogger(__name__)
TO_CHOOSE = "unseen"
"""The split on which it is chosen how the backbone is asked."""
YAGO_KINDS = ("temporal", "tail")
Table = dict[str, dict[str, Any]]
"""`{base: {system: figures}}`, the figures as of `scoring.score`."""


def run_transfer(
    params: Params,
    *,
    data: Path,
    store: Path,
    metrics: Path,
    held_out: bool = False,
    names: Sequence[str] = (),
    raw: Path | None = None,
    prompted: int = 0,
) -> Table:
    """Asks the adapter of `params.dataset` about bases that it has never seen, and writes what came of it.

    Of the open bases these are `metrics.json`, `table.json` and `answers.jsonl`, of the held-out ones the table alone,
    `held_out.json`: an answer that is read is an answer that one tunes to.  Of a dataset on demand it is the table too,
    `<dataset>.json`.

    Args:
        params: The parameters.
        data: Holds the bases.
        store: Holds projections and adapter.
        metrics: Where the files go.
        held_out: Whether the held-out dossiers are asked, and they alone.
        names: Some of the bases, or a dataset on demand; none for all that git holds.
        raw: The raw files of the dataset on demand; None for its folder in `data/raw`.
        prompted: Questions of each kind of `unseen` by which it is chosen how the backbone is asked with prompts
            (`transfer.prompted`), which is then measured too, and written to `prompts.json`; 0 for no prompts.

    Returns:
        The table.

    Raises:
        KBLaMError: An input is missing, damaged, or does not fit the others.
    """
    chosen = sources(data, held_out=held_out, names=names, raw=raw)
    predictor, encoders = open_predictor(params, store)
    answers: list[Answer] = []
    bases: dict[str, Source] = {}
    style, shares = style_on_unseen(params, data, store, predictor, prompted) if prompted else (None, {})
    lengths: dict[str, dict[str, float]] = {}
    for number, source in enumerate(chosen, start=1):
        logger.info("base %d of %d: %s", number, len(chosen), source.name)
        with tempfile.TemporaryDirectory() as scratch:
            for name, split in open_base(source, params, store, predictor.backbone, encoders, Path(scratch)).items():
                bases[name] = source
                more: dict[str, list[str]] = {}
                if style is not None:
                    more, lengths[name] = prompted_systems(predictor, split, style)
                answers += _ask(name, split, predictor, encoders, more)
    table = scored(bases, answers, params)
    if style is not None:
        write_json(metrics / "prompts.json", described(style, shares, lengths))
    alone = "held_out" if held_out else next((source.name for source in chosen if source.name in ON_DEMAND), None)
    if alone:
        write_json(metrics / f"{alone}.json", table)
    else:
        write_json(metrics / "metrics.json", headline(table))
        write_json(metrics / "table.json", table)
        write_jsonl(metrics / "answers.jsonl", (answer.to_row() for answer in answers))
    return table


def ask_model(base: str, split: Split, predictor: Predictor) -> list[Prediction]:
    """What the model says to the questions about one base; one smaller than `top_k` is weighed as a whole."""
    options = replace(predictor.options, top_k=min(predictor.options.top_k, split.base.store.n))
    return replace(predictor, options=options).predict(split.base, split.encoded, base)


def style_on_unseen(
    params: Params, data: Path, store: Path, predictor: Predictor, per_kind: int
) -> tuple[PromptStyle, dict[str, float]]:
    """What `choose_style` says of so many questions of each kind of `unseen`.

    Raises:
        KBLaMError: The split or its base is missing, damaged, or does not fit.
    """
    dataset = Dataset.load(data, params.dataset, (TO_CHOOSE,))
    workspace = Workspace(
        dataset, predictor.backbone, Projections.load(store / params.dataset / PROJECTION), store / params.dataset
    )
    return choose_style(predictor, Split.open(workspace, TO_CHOOSE, predictor.options.as_of), per_kind)


def _ask(
    base: str, split: Split, predictor: Predictor, encoders: Encoders, more: Mapping[str, Sequence[str]]
) -> list[Answer]:
    """What every system says to the questions about one base; of some it is given."""
    facts, encoded = split.base.store.facts, split.encoded
    logger.info("%s: %d questions, %d facts", base, len(encoded), len(facts))
    predictions = ask_model(base, split, predictor)
    said = {"model": [prediction.text for prediction in predictions]}
    if predictor.options.top_k:
        said["lookup"] = [prediction.text for prediction in answer_by_lookup(predictions, facts)]
    said["phrase_lookup"] = phrase_lookup(facts, encoded, encoders.embed)
    return answers_of(base, split, predictions, {**said, **more})


def answers_of(
    base: str, split: Split, predictions: Sequence[Prediction], said: Mapping[str, Sequence[str]]
) -> list[Answer]:
    """The answers about one base, to be scored: the model's predictions, and the texts of each system."""
    names = names_of(split.base.store.facts)
    answers = []
    for place, (question, prediction) in enumerate(zip(split.encoded.questions, predictions, strict=True)):
        texts = {system: everything[place] for system, everything in said.items()}
        broken = frozenset(system for system, text in texts.items() if is_broken(text, names))
        answers.append(Answer(base, question, texts, broken, prediction.null))
    return answers


def scored(bases: Mapping[str, Source], answers: Sequence[Answer], params: Params) -> Table:
    """The table of all answers, by base; the first row is of all dossiers together, where there are several."""
    rows = {name: {name} for name in bases}
    dossiers = {name for name, source in bases.items() if source.is_dossier}
    if len(dossiers) > 1:
        rows = {DOSSIERS: dossiers, **rows}
    how = {"bootstrap_samples": params.eval.bootstrap_samples, "seed": params.seed}
    return {name: score([answer for answer in answers if answer.base in parts], **how) for name, parts in rows.items()}


def headline(table: Table) -> dict[str, dict[str, Any]]:
    """The model's shares: by group over all dossiers, by kind on YAGO, each with the number of broken answers."""
    figures: dict[str, dict[str, Any]] = {}
    for base, part, rows in ((DOSSIERS, "groups", tuple(GROUPS)), (YAGO, "kinds", YAGO_KINDS)):
        if base in table:
            model = table[base]["model"]
            figures[base] = {name: model[part][name]["share"] for name in rows if name in model[part]}
            figures[base]["broken"] = model["broken"]
    return figures
