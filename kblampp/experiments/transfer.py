"""One trained adapter, asked about bases that it has never seen: ``python -m kblampp.experiments.transfer``.

It asks the adapter of params.yaml (`store/<dataset>/<eval.adapter>`), without training, about the open dossiers of
data/dossiers and about YAGO, beside `lookup` and `phrase_lookup`, and writes metrics.json, table.json and answers.jsonl
to metrics/transfer, as the stage `transfer` of the pipeline does.  Name bases to ask about these alone: what comes of
them goes to .ckpt/transfer, which git ignores.

`timeqa` is asked only when it is named, alone, since git does not hold its raw files: human questions (`timeqa_human`)
and hard ones (`timeqa_hard`).  The figures go to timeqa.json in metrics/transfer.

Held-out dossiers are read with --held-out alone, once, when everything else is fixed; their figures go to
held_out.json.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from kblampp.core.errors import one_line_errors
from kblampp.core.params import load_params
from kblampp.report.tables import transfer_tables
from kblampp.transfer.bases import ON_DEMAND
from kblampp.transfer.measure import run_transfer

METRICS, SOME = Path("metrics/transfer"), Path(".ckpt/transfer")
"""Figures of some bases do not replace those of all."""


def main(argv: Sequence[str] | None = None) -> int:
    """Measures and prints the tables."""
    parser = argparse.ArgumentParser(
        prog="python -m kblampp.experiments.transfer",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "bases", nargs="*", metavar="BASE", help="a dossier's name, yago, or timeqa; default: all but timeqa"
    )
    parser.add_argument("--held-out", action="store_true", help="ask about the held-out dossiers instead")
    parser.add_argument("--raw", type=Path, help="folder of the raw files of timeqa; default: data/raw/timeqa")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), help="default: %(default)s")
    parser.add_argument("--metrics", type=Path, help=f"default: {METRICS}, or {SOME} where bases are named")
    arguments = parser.parse_args(argv)
    if arguments.raw and not set(arguments.bases) & set(ON_DEMAND):
        parser.error(f"--raw is the folder of a dataset that is named: {', '.join(ON_DEMAND)}")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)

    def work() -> None:
        params = load_params(arguments.params)
        torch.set_num_threads(params.threads)
        table = run_transfer(
            params,
            data=Path("data"),
            store=Path("store"),
            metrics=arguments.metrics or (SOME if set(arguments.bases) - set(ON_DEMAND) else METRICS),
            held_out=arguments.held_out,
            names=arguments.bases,
            raw=arguments.raw,
        )
        sys.stdout.write(transfer_tables(table) + "\n")

    return one_line_errors(work)


if __name__ == "__main__":
    raise SystemExit(main())
