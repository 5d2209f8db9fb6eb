"""Sweeps over hyper-parameters as DVC experiments: ``python -m kblampp.experiments.sweep`` (`make sweep`).

One parameter is changed at a time.  Where a change needs training, every value gets the same shorter one, so that the
values of one sweep can be compared with each other and not with the main table.  Results are kept in
`metrics/sweep/table.json`; what stands there is not run again.  The stage `plots` draws them.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from kblampp.core.errors import DataError, one_line_errors
from kblampp.core.files import read_json, write_json
from kblampp.experiments.dvc_runs import file_of, run_experiment
from kblampp.report.names import FIGURES, MODELS, TYPE_NAMES, sweeps_in_order
from kblampp.report.tables import shown, table_head, table_line

SUMMARY = (__doc__ or "").split("\n\n")[0]
logger = logging.getLogger(__name__)
TABLE = Path("metrics/sweep/table.json")
SHORT = {
    "trainA.max_steps": 250,
    "trainB.max_steps": 0,
    "eval.adapter": "trainA",
}
"""Of every value of a sweep that needs training."""
LIGHT = {"eval.ablations": "none", "eval.baseline_questions_per_type": 0, "eval.questions_per_type": 150}
"""Of every experiment: nothing but the model is measured."""


@dataclass(frozen=True)
class Sweep:
    """Values of one parameter.

    Attributes:
        parameter: Its dotted name.
        values: As they are given to `dvc exp run -S`.
        trains: Whether a change costs a training.
    """

    parameter: str
    values: tuple[str, ...]
    trains: bool


SWEEPS = (
    Sweep("selector.top_k", ("1", "2", "4", "8", "16", "32"), trains=False),
    Sweep("encoder.d_k", ("192", "240", "288"), trains=True),
    Sweep("encoder.d_v", ("160", "192", "224"), trains=True),
    Sweep("injection.layers", ("[3]", "[2,4]", "[2,3,4]"), trains=True),
    Sweep("injection.ego_graph", ("false", "true"), trains=True),
)
DEFAULTS = {"encoder.d_k": "288", "encoder.d_v": "192", "injection.layers": "[2,3,4]", "injection.ego_graph": "false"}
"""Values that params.yaml has: one experiment serves all sweeps that train, and a test compares them."""


def experiment(sweep: Sweep, value: str) -> tuple[str, dict[str, Any]]:
    """Name and parameters of one experiment."""
    name = f"sweep-{sweep.parameter}-{value}".replace(".", "-").replace(",", "-").strip("[]").replace("[", "")
    return name, {**LIGHT, **(SHORT if sweep.trains else {}), sweep.parameter: value}


def run_sweeps(sweeps: Sequence[Sweep], table: Path) -> None:
    """Runs what `table` does not hold yet, one experiment after the other, and adds each result as it comes.

    Raises:
        DataError: An experiment failed.
    """
    done: dict[str, Any] = read_json(table, error=DataError) if table.exists() else {}
    for sweep in sweeps:
        for value in sweep.values:
            if value in done.get(sweep.parameter, {}):
                continue
            row = _default_row(done) if DEFAULTS.get(sweep.parameter) == value else None
            if row is None:
                name, changes = experiment(sweep, value)
                logger.info("%s = %s", sweep.parameter, value)
                run_experiment(name, changes)
                row = _result(name, changes)
            done.setdefault(sweep.parameter, {})[value] = row
            write_json(table, done)


def _default_row(done: Mapping[str, Any]) -> dict[str, Any] | None:
    """The result of the parameters as they are, if a sweep that trains has it already."""
    return next((done[name][value] for name, value in DEFAULTS.items() if value in done.get(name, {})), None)


def _result(name: str, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Figures of an experiment: EM and recall on `swap`, and the size of a fact in the store."""
    table, lock = (file_of(name, path) for path in ("metrics/eval/table.json", "dvc.lock"))
    systems = json.loads(table)["swap"]
    rows = systems[next(model for model in MODELS if model in systems)]
    outs = YAML(typ="safe").load(lock)["stages"]["encode"]["outs"]
    sizes = [out["size"] for out in outs if out["path"].endswith("/kb")]
    row: dict[str, Any] = {f"em_{kind}": rows[kind]["em"] for kind in TYPE_NAMES if kind in rows}
    row |= {f"em_stderr_{kind}": rows[kind]["em_stderr"] for kind in TYPE_NAMES if kind in rows}
    row |= {key: value for key, value in rows["answerable"].items() if key.startswith("recall_at_")}
    return {**row, "n": rows["all"]["n"], "store_bytes": sum(sizes), "changes": dict(changes)}


def sweep_table(done: Mapping[str, Any]) -> list[str]:
    """The lines of a Markdown table, a row an experiment."""
    kinds, recalls = ("single_hop", "temporal", "two_hop"), ("recall_at_1", "recall_at_8")
    heads = [*(TYPE_NAMES[kind].label for kind in kinds), *(FIGURES[name] for name in recalls)]
    lines = table_head(["parameter", "value", *heads, "store"])
    for parameter, values in done.items():
        for value, row in values.items():
            figures = [row.get(name) for name in (*(f"em_{kind}" for kind in kinds), *recalls)]
            size = f"{row['store_bytes'] / 1e6:.1f} MB"
            lines.append(table_line([f"`{parameter}`", value, *map(shown, figures), size]))
    return lines


def main(argv: Sequence[str] | None = None) -> int:
    """Command line of `make sweep`."""
    parser = argparse.ArgumentParser(prog="python -m kblampp.experiments.sweep", description=SUMMARY)
    parser.add_argument("--only", metavar="PARAMETER", choices=[s.parameter for s in SWEEPS], help="one sweep alone")
    parser.add_argument("--show", action="store_true", help="print the table of the results so far and run nothing")
    arguments = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)

    def work() -> None:
        if not arguments.show:
            run_sweeps([s for s in SWEEPS if arguments.only in (None, s.parameter)], TABLE)
        done = sweeps_in_order(read_json(TABLE, error=DataError))
        sys.stdout.write("\n".join(sweep_table(done)) + "\n")

    return one_line_errors(work)


if __name__ == "__main__":
    raise SystemExit(main())
