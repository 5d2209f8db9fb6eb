"""Does some relation win whatever is asked: ``python -m kblampp.experiments.hubs``.

It asks the adapter of params.yaml (`store/<dataset>/<eval.adapter>`) all questions of a dossier again and again, each
time with one more fact: about the dossier's most frequent head, with one of the bundled general relation labels and an
invented tail.  Counted are the answers that change.  Then it asks a base in which one head has all labels, for each.
The figures go to hubs.json in metrics/transfer; with --labels, to .ckpt/transfer, which git ignores.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kblampp.core.params import Params
from kblampp.experiments.measuring import METRICS, SOME, make_parser, run_measurement
from kblampp.transfer.hubs import run_hubs

SHOWN = 5


def shown(result: Mapping[str, Any]) -> str:
    """The figures in lines of text."""
    alone, together = result["alone"], result["together"]
    lines = [
        f"{result['dossier']}: {alone['labels']} facts of {alone['head']} added one at a time, {alone['questions']} "
        f"questions: {alone['changed']} of {alone['asked']} answers changed ({alone['share']:.4f}), "
        f"{alone['taken']} to the added fact's tail, by {len(alone['by_label'])} labels",
        *(f"  {row['label']}: {row['changed']} changed, {row['taken']} taken" for row in alone["worst"][:SHOWN]),
        f"all labels of one head: {together['right']} of {together['labels']} right ({together['share']:.3f}), "
        f"{together['refused']} refused, {sum(together['instead'].values())} answered by another label's fact",
        *(f"  {label}: answers {n} others" for label, n in list(together["instead"].items())[:SHOWN]),
    ]
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Asks and counts."""
    parser = make_parser("hubs", __doc__, part="with --labels")
    parser.add_argument("dossier", nargs="?", default="company", help="an open dossier (default: %(default)s)")
    parser.add_argument("--labels", type=int, metavar="N", help="so many labels, drawn with the seed; default: all")
    arguments = parser.parse_args(argv)
    if arguments.labels is not None and arguments.labels < 1:
        parser.error("--labels must be at least 1")

    def measure(params: Params) -> str:
        result = run_hubs(
            params,
            data=Path("data"),
            store=Path("store"),
            metrics=arguments.metrics or (SOME if arguments.labels else METRICS),
            dossier=arguments.dossier,
            labels=arguments.labels,
        )
        return shown(result)

    return run_measurement(arguments.params, measure, level=logging.WARNING)


if __name__ == "__main__":
    raise SystemExit(main())
