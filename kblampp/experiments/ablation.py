"""What each step of the design brings on unseen bases: ``python -m kblampp.experiments.ablation [NAME ...]``.

It asks the open dossiers and YAGO.  `asked` are rows of the adapter of params.yaml (`store/<dataset>/<eval.adapter>`)
as it is, with one part switched off.  `trained` are rows of Stage A trained anew, all for as many steps, with one thing
changed in the parameters: compare them with each other, not with those asked.  The figures go to ablation.json in
metrics/transfer.

Each row has a folder of its own, .ckpt/ablation/<name>-<hash of what it is made from>.  What stands there is not made
again, and a training that was stopped goes on.  Data, encoder and store of the repository are used where the
parameters of a row do not change them.  The hash knows of no code: after a change of code, remove .ckpt/ablation.
"""

from __future__ import annotations

import json
import logging
import random
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from kblampp.core.errors import DataError, ParamsError
from kblampp.core.files import MANIFEST, atomic_dir, fingerprint, read_json, write_json
from kblampp.core.params import Params
from kblampp.core.params_file import load_params
from kblampp.data.dataset import DatasetFiles, knowledge_bases
from kblampp.encoding.encode import encode_dataset
from kblampp.encoding.encoders import TUNED, load_encoders
from kblampp.encoding.projections import PROJECTION
from kblampp.experiments.measuring import METRICS, make_parser, run_measurement
from kblampp.index.build import build_indexes
from kblampp.report.tables import transfer_ablation_table
from kblampp.synthetic.dataset import make_synthetic
from kblampp.training.stage_a import train_stage_a
from kblampp.transfer.ablation import ASKED, Figures, ask_without, figures_of
from kblampp.transfer.measure import run_transfer
from kblampp.tuning.tune import run_tune

logger = logging.getLogger(__name__)
WORK = Path(".ckpt/ablation")
FILE, FIGURES, PARAMS = "ablation.json", "figures.json", "params.yaml"
STEPS = 600
DATASET = "synth_world"
TRAINED: Mapping[str, Mapping[str, Any]] = {
    "full": {},
    "plain_encoder": {"tune.steps": 0},
    "worlds_alone": {"generate.open.facts": 0, "generate.open.questions_per_kind": 0},
    "no_pull": {"trainA.query_pull": 0.0},
}
"""What each changes in the parameters."""
ALWAYS = {"start_from": "scratch", "eval.adapter": "trainA"}
"""Of every row that is trained: there is no Stage B."""
NOT_READ = ("convert", "trainB", "evidence")
EVAL_READ = ("adapter", "batch_size", "max_new_tokens", "bootstrap_samples")
"""Sections that change no row, and what of `eval` does."""
QUESTIONS, BACKBONE, STORE_PARTS = "qa", "backbone", ("kb", "index", PROJECTION)
"""Folders of the data, of the store, and of the dataset's in it."""


@dataclass(frozen=True)
class Row:
    """A row of the table.

    Attributes:
        part: "asked" or "trained".
        name: Its name there.
        values: The parameters that it is made with, as params.yaml has them.
        key: Hash of what it is made from.
        folder: Where it is made.
    """

    part: str
    name: str
    values: Mapping[str, Any]
    key: str
    folder: Path

    @property
    def figures(self) -> dict[str, Any] | None:
        """Its figures, if it is finished."""
        path = self.folder / FIGURES
        return read_json(path, error=DataError) if path.is_file() else None

    def finish(self, figures: Figures) -> None:
        """Keeps its figures."""
        write_json(self.folder / FIGURES, {**figures, "key": self.key})


def run_ablation(
    params: Params,
    *,
    data: Path,
    store: Path,
    work: Path,
    metrics: Path,
    names: Sequence[str] = (),
    steps: int = STEPS,
) -> dict[str, Any]:
    """Makes the rows that are not finished, and writes all finished ones to `ablation.json` after each.

    Args:
        params: The parameters.
        data: Holds data and bases.
        store: Holds encoder, store and adapter.
        work: Where rows are made.
        metrics: Where the file goes.
        names: Some of the rows alone; a name of both parts is made in both.  None for all.
        steps: Of each training.

    Returns:
        What is written: `{"asked": {name: figures}, "trained": {name: figures}, "steps": steps}`.

    Raises:
        ParamsError: The dataset is not the synthetic one, or `steps` do not fit the other parameters.
        KBLaMError: An input is missing, damaged, or does not fit the others.
    """
    if params.dataset != DATASET:
        raise ParamsError(f"dataset is {params.dataset}, expected {DATASET}: the rows differ in how it is made")
    if steps <= params.trainA.warmup_steps:  # before anything is asked, which takes long
        raise ParamsError(f"--steps is {steps}, expected more than trainA.warmup_steps, {params.trainA.warmup_steps}")
    rows = [
        *(_asked_row(name, params, store, work) for name in ASKED),
        *(_trained_row(name, params, steps, store, work) for name in TRAINED),
    ]
    todo = [row for row in rows if (not names or row.name in names) and row.figures is None]
    asked = {row.name: row for row in todo if row.part == "asked"}
    trained = [row for row in todo if row.part == "trained"]
    logger.info("%d rows are to be asked and %d to be trained", len(asked), len(trained))
    for name, figures in ask_without(params, list(asked), data=data, store=store):
        asked[name].finish(figures)
        _write(rows, steps, metrics / FILE)
    for number, row in enumerate(trained, start=1):
        logger.info("trained %d of %d: %s, in %s", number, len(trained), row.name, row.folder)
        row.finish(_train(row, params, data, store))
        _write(rows, steps, metrics / FILE)
    return _write(rows, steps, metrics / FILE)


def _asked_row(name: str, params: Params, store: Path, work: Path) -> Row:
    values = _values(params, {})
    made_from = _manifests(store, TUNED, f"{params.dataset}/{params.eval.adapter}")
    return _row("asked", name, values, [dict(ASKED[name]), made_from], work)


def _trained_row(name: str, params: Params, steps: int, store: Path, work: Path) -> Row:
    values = _values(params, {**ALWAYS, **TRAINED[name], "trainA.max_steps": steps})
    made_from = _manifests(store, TUNED, f"{params.dataset}/{PROJECTION}")
    return _row("trained", name, values, made_from, work)


def _values(params: Params, changes: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters with some changed, as params.yaml has them."""
    values: dict[str, Any] = params.model_dump(mode="json")
    for key, value in changes.items():
        *sections, last = key.split(".")
        section = values
        for name in sections:
            section = section[name]
        section[last] = value
    return values


def _manifests(store: Path, *folders: str) -> list[str]:
    """What the repository has of what a row may use, so that a row is made again when that has changed."""
    paths = [store / folder / MANIFEST for folder in folders]
    return [path.read_text(encoding="utf-8") if path.is_file() else "" for path in paths]


def _row(part: str, name: str, values: dict[str, Any], made_from: Sequence[Any], work: Path) -> Row:
    read = {section: value for section, value in values.items() if section not in NOT_READ}
    read["eval"] = {key: values["eval"][key] for key in EVAL_READ}
    key = fingerprint(part, json.dumps([read, made_from], sort_keys=True))[:12]
    return Row(part, name, values, key, work / f"{name}-{key}")


def _write(rows: Sequence[Row], steps: int, path: Path) -> dict[str, Any]:
    """Writes the rows that are finished here, and those of the file that were made from the same."""
    before = read_json(path, error=DataError) if path.is_file() else {}
    result: dict[str, Any] = {"asked": {}, "trained": {}, "steps": steps}
    for row in rows:
        kept = before.get(row.part, {}).get(row.name, {})
        figures = row.figures or (kept if kept.get("key") == row.key else None)
        if figures is not None:
            result[row.part][row.name] = figures
    write_json(path, result)
    return result


def _train(row: Row, params: Params, data: Path, store: Path) -> Figures:
    """Makes a row in its folder, as the stages would with its parameters; what stands there is not made again."""
    write_json(row.folder / PARAMS, dict(row.values))  # JSON is YAML too
    own = load_params(row.folder / PARAMS)
    made_data, made_store, metrics = (row.folder / name for name in ("data", "store", "metrics"))
    folder = made_store / own.dataset
    same_encoder, same_data = own.tune == params.tune, own.generate == params.generate
    if not _there(made_store / TUNED, store / TUNED if same_encoder else None):
        _start("tune", own)
        run_tune(own, store=made_store, metrics=metrics / "tune")
    own_data = data if same_data and (data / QUESTIONS).is_dir() else made_data
    if not _there(own_data / QUESTIONS):
        _start("generate", own)
        make_synthetic(own.generate, name=own.dataset, seed=own.seed).save(own_data)
    source = store / own.dataset if same_encoder and same_data else None
    if not all(_there(folder / part, source and source / part) for part in STORE_PARTS):
        _start("encode", own)
        encoders = load_encoders(own.encoder.model, made_store, batch_size=own.encoder.batch_size)
        encode_dataset(DatasetFiles.open(own_data, own.dataset), folder, own.encoder, encoders)
        build_indexes(knowledge_bases(own_data, own.dataset), folder, own.index)
    _there(made_store / BACKBONE, store / BACKBONE)
    if not _there(folder / own.eval.adapter):
        _start("trainA", own)
        paths = {"data": own_data, "store": made_store, "metrics": metrics / "trainA"}
        train_stage_a(own, **paths, checkpoints=row.folder / "checkpoints")
    logger.info("transfer")
    return figures_of(run_transfer(own, data=data, store=made_store, metrics=metrics / "transfer"))


def _there(target: Path, source: Path | None = None) -> bool:
    """Whether a part of a row is there, taken from the repository where that has it."""
    if not target.exists() and source is not None and source.is_dir():
        logger.info("%s is taken from %s", target.name, source)
        with atomic_dir(target) as folder:
            shutil.copytree(source, folder, dirs_exist_ok=True)
    return target.exists()


def _start(what: str, params: Params) -> None:
    """Starts from the seed, as a stage does, so that nothing depends on what was made before."""
    logger.info("%s", what)
    random.seed(params.seed)
    np.random.seed(params.seed)
    torch.manual_seed(params.seed)


def main(argv: Sequence[str] | None = None) -> int:
    """Makes rows and prints the table."""
    parser = make_parser("ablation", __doc__)
    every = list(dict.fromkeys([*ASKED, *TRAINED]))
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"rows to make: {', '.join(every)}; default: all")
    parser.add_argument("--steps", type=int, default=STEPS, help="of each training (default: %(default)s)")
    arguments = parser.parse_args(argv)
    if unknown := [name for name in arguments.names if name not in every]:
        parser.error(f"there is no row {unknown[0]!r}, expected {', '.join(every)}")
    if arguments.steps < 1:
        parser.error("--steps must be at least 1")

    def measure(params: Params) -> str:
        result = run_ablation(
            params,
            data=Path("data"),
            store=Path("store"),
            work=WORK,
            metrics=arguments.metrics or METRICS,
            names=arguments.names,
            steps=arguments.steps,
        )
        return transfer_ablation_table(result)

    return run_measurement(arguments.params, measure)


if __name__ == "__main__":
    raise SystemExit(main())
