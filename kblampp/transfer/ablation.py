"""What an adapter answers about unseen bases when one part of it is switched off; nothing is trained."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from kblampp.core.params import Params
from kblampp.evaluation.systems import Split
from kblampp.model.predictor import Predictor
from kblampp.transfer.bases import DOSSIERS, YAGO, Source, open_base, open_predictor, sources
from kblampp.transfer.measure import YAGO_KINDS, Table, answers_of, ask_model, scored
from kblampp.transfer.scoring import GROUPS, Answer

logger = logging.getLogger(__name__)
ASKED: Mapping[str, Mapping[str, Any]] = {
    "full": {},
    "no_names": {"names": False},
    "no_time_order": {"time_order": False},
    "no_forms": {"forms": False},
    "no_hop": {"hop": False},
    "no_null": {"null_fact": False},
    "no_context": {"gamma": 0.0},
}
"""What each changes in the selector's options."""
SHOWN = ("share", "stderr", "n")
Figures = dict[str, dict[str, Any]]
"""`{base: {group or kind: {"share", "stderr", "n"}}}`, of the dossiers together with `auroc`."""


def ask_without(params: Params, names: Sequence[str], *, data: Path, store: Path) -> Iterator[tuple[str, Figures]]:
    """Asks the adapter of `params.dataset` about the open dossiers and YAGO, each time without a part.

    Args:
        params: The parameters.
        names: Which of `ASKED`.
        data: Holds the bases.
        store: Holds projections and adapter.

    Yields:
        Each name with its figures, as they come.

    Raises:
        KBLaMError: An input is missing, damaged, or does not fit the others.
    """
    if not names:
        return
    predictor, encoders = open_predictor(params, store)
    splits: dict[str, Split] = {}
    bases: dict[str, Source] = {}
    # Windows does not remove files that are still mapped into memory, as the bases' keys are.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        for source in sources(data):
            place = Path(scratch) / source.name
            place.mkdir()
            for name, split in open_base(source, params, store, predictor.backbone, encoders, place).items():
                splits[name], bases[name] = split, source
        for number, name in enumerate(names, start=1):
            logger.info("asked %d of %d: %s", number, len(names), name)
            changed = replace(predictor, options=replace(predictor.options, **ASKED[name]))
            yield name, figures_of(scored(bases, _answers(splits, changed), params))


def _answers(splits: Mapping[str, Split], predictor: Predictor) -> list[Answer]:
    answers: list[Answer] = []
    for base, split in splits.items():
        predictions = ask_model(base, split, predictor)
        said = {"model": [prediction.text for prediction in predictions]}
        answers += answers_of(base, split, predictions, said)
    return answers


def figures_of(table: Table) -> Figures:
    """The model's shares: of the dossiers together by group of kinds, with AUROC; of YAGO by kind.

    Args:
        table: Of `run_transfer`.
    """
    figures: Figures = {}
    for base, part, rows in ((DOSSIERS, "groups", tuple(GROUPS)), (YAGO, "kinds", YAGO_KINDS)):
        if base in table:
            model = table[base]["model"]
            found = model[part]
            figures[base] = {name: {key: found[name][key] for key in SHOWN} for name in rows if name in found}
            if base == DOSSIERS:
                figures[base]["auroc"] = model.get("auroc")
    return figures
