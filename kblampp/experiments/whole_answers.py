"""Are answers whole, however they are decoded: ``python -m kblampp.experiments.whole_answers``.

It asks the adapter of params.yaml (`store/<dataset>/<eval.adapter>`) about the open dossiers, YAGO and the worlds
`swap` and `novel`: greedy, sampled at temperature 1, and with three beams.  An answer is whole (letter by letter one of
those that the facts give), a refusal, in the model's own words, or broken: a beginning of an answer from the facts that
goes on otherwise or ends in the middle.  The counts go to whole.json in metrics/transfer when all were asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from kblampp.core.params import Params
from kblampp.experiments.measuring import METRICS, make_parser, run_measurement
from kblampp.transfer.whole import run_whole


def main(argv: Sequence[str] | None = None) -> int:
    """Asks and counts."""
    parser = make_parser("whole_answers", __doc__)
    parser.add_argument(
        "--questions", type=int, default=2500, metavar="N", help="of each of the four (default: %(default)s)"
    )
    arguments = parser.parse_args(argv)
    if arguments.questions < 1:
        parser.error("--questions must be at least 1")

    def measure(params: Params) -> str:
        metrics = arguments.metrics or METRICS
        table = run_whole(
            params, data=Path("data"), store=Path("store"), metrics=metrics, questions=arguments.questions
        )
        return "\n".join(
            f"{name} {way}: {', '.join(f'{n} {kind}' for kind, n in counts.items())}"
            for name, ways in table.items()
            for way, counts in ways.items()
        )

    return run_measurement(arguments.params, measure)


if __name__ == "__main__":
    raise SystemExit(main())
