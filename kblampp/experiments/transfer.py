"""One trained adapter, asked about bases that it has never seen: ``python -m kblampp.experiments.transfer``.

It asks the adapter of params.yaml (`store/<dataset>/<eval.adapter>`), without training, about the open dossiers of
data/dossiers and about YAGO, beside `lookup` and `phrase_lookup`, and writes metrics.json, table.json and answers.jsonl
to metrics/transfer, as the stage `transfer` of the pipeline does.  Name bases to ask about these alone: what comes of
them goes to .ckpt/transfer, which git ignores.

`timeqa` is asked only when it is named, alone, since git does not hold its raw files: human questions (`timeqa_human`)
and hard ones (`timeqa_hard`).  The figures go to timeqa.json in metrics/transfer.

With --prompted the backbone is also asked with prompts, closed book and with retrieved facts.  How is chosen first, on
questions of the split `unseen`; prompts.json says what was tried.

Held-out dossiers are read with --held-out alone, once, when everything else is fixed; their figures go to
held_out.json.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from kblampp.core.params import Params
from kblampp.experiments.measuring import METRICS, SOME, make_parser, run_measurement
from kblampp.report.tables import transfer_tables
from kblampp.transfer.bases import ON_DEMAND
from kblampp.transfer.measure import run_transfer


def main(argv: Sequence[str] | None = None) -> int:
    """Measures and prints the tables."""
    parser = make_parser("transfer", __doc__, part="where bases are named")
    parser.add_argument(
        "bases", nargs="*", metavar="BASE", help="a dossier's name, yago, or timeqa; default: all but timeqa"
    )
    parser.add_argument("--held-out", action="store_true", help="ask about the held-out dossiers instead")
    parser.add_argument("--raw", type=Path, help="folder of the raw files of timeqa; default: data/raw/timeqa")
    parser.add_argument(
        "--prompted",
        type=int,
        nargs="?",
        const=6,
        default=0,
        metavar="N",
        help="also ask the backbone with prompts, chosen by N questions of each kind (default: 6)",
    )
    arguments = parser.parse_args(argv)
    if arguments.prompted < 0:
        parser.error("--prompted must be at least 1")
    if arguments.raw and not set(arguments.bases) & set(ON_DEMAND):
        parser.error(f"--raw is the folder of a dataset that is named: {', '.join(ON_DEMAND)}")

    def measure(params: Params) -> str:
        table = run_transfer(
            params,
            data=Path("data"),
            store=Path("store"),
            metrics=arguments.metrics or (SOME if set(arguments.bases) - set(ON_DEMAND) else METRICS),
            held_out=arguments.held_out,
            names=arguments.bases,
            raw=arguments.raw,
            prompted=arguments.prompted,
        )
        return transfer_tables(table)

    return run_measurement(arguments.params, measure)


if __name__ == "__main__":
    raise SystemExit(main())
