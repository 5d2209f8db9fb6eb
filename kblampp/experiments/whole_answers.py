"""Are answers whole, however they are decoded: ``python -m kblampp.experiments.whole_answers``.

It asks the adapter of params.yaml (`store/<dataset>/<eval.adapter>`) about the open dossiers, YAGO and the worlds
`swap` and `novel`: greedy, sampled at temperature 1, and with three beams.  An answer is whole (letter by letter one of
those that the facts give), a refusal, in the model's own words, or broken: a beginning of an answer from the facts that
goes on otherwise or ends in the middle.  The counts go to whole.json in metrics/transfer when all were asked.
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
from kblampp.transfer.whole import run_whole


def main(argv: Sequence[str] | None = None) -> int:
    """Asks and counts."""
    parser = argparse.ArgumentParser(
        prog="python -m kblampp.experiments.whole_answers",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--questions", type=int, default=2500, metavar="N", help="of each of the four (default: %(default)s)"
    )
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), help="default: %(default)s")
    parser.add_argument("--metrics", type=Path, default=Path("metrics/transfer"), help="default: %(default)s")
    arguments = parser.parse_args(argv)
    if arguments.questions < 1:
        parser.error("--questions must be at least 1")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)

    def work() -> None:
        params = load_params(arguments.params)
        torch.set_num_threads(params.threads)
        table = run_whole(
            params, data=Path("data"), store=Path("store"), metrics=arguments.metrics, questions=arguments.questions
        )
        for name, ways in table.items():
            for way, counts in ways.items():
                sys.stdout.write(f"{name} {way}: {', '.join(f'{n} {kind}' for kind, n in counts.items())}\n")

    return one_line_errors(work)


if __name__ == "__main__":
    raise SystemExit(main())
