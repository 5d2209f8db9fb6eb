"""All systems with one language model, asked the same questions: ``python -m kblampp.experiments.systems``.

The bases are such as nobody trained on: the worlds `swap` and `novel`, the open dossiers together, YAGO, and TimeQA
where its raw files are given (--raw).  Asked are trainA's and trainB's model around the language model of params.yaml,
`lookup` and `phrase_lookup` without one, the language model by itself with prompts (closed book, the gold facts among
four, the nearest 1, 4 and 8 facts), and with LoRA that was trained to answer from retrieved facts.  What was not
trained is left out, and said.  How to ask with prompts is chosen first, on questions of the split `unseen`.

The figures go to systems.json in metrics/<backbone>, and the table is printed.  Name bases or systems to ask these
alone: what comes of them goes to .ckpt/transfer, which git ignores.  What each system has said about each base is kept
below .ckpt/systems until the file is written: a run that was stopped goes on when it is started again.  Code is not
part of what it is known by: after a change of code remove that folder.
"""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kblampp.core.errors import DataError
from kblampp.core.files import read_json, write_json
from kblampp.core.params import Params
from kblampp.experiments.measuring import SOME, make_parser, run_measurement
from kblampp.experiments.systems_answers import (
    BY_RAG,
    CLOSED_BOOK,
    IN_CONTEXT,
    MODEL,
    MODEL_B,
    SYSTEMS,
    Asker,
    left_out,
)
from kblampp.experiments.systems_asked import chosen, groups_asked, open_rows
from kblampp.experiments.systems_kept import STAGE_A, Kept, folder_of_run
from kblampp.experiments.systems_table import figures_of, sizes_of, systems_table
from kblampp.transfer.bases import open_predictor

logger = logging.getLogger(__name__)
WORK = Path(".ckpt/systems")
FILE = "systems.json"


def run_systems(
    params: Params,
    *,
    data: Path,
    store: Path,
    work: Path,
    output: Path,
    questions: int,
    choose: int,
    bases: Sequence[str] = (),
    systems: Sequence[str] = (),
    raw: Path | None = None,
) -> dict[str, Any]:
    """Asks all systems the same questions and writes what came of it.

    Args:
        params: The parameters; their dataset has the splits of the worlds, and `unseen`.
        data: Holds the bases.
        store: Holds projections and what was trained.
        work: Where what has been said is kept until the end.
        output: The file of the figures.
        questions: How many for each row of the table, all dossiers together being one.
        choose: Questions of each kind of `unseen` by which it is chosen how to ask with prompts.
        bases: Groups of bases; none for all but those on demand.
        systems: Some of `SYSTEMS`; none for all.
        raw: The raw files of a dataset on demand, which is then asked too.

    Returns:
        The figures, as they are written.

    Raises:
        KBLaMError: An input is missing, damaged, or does not fit the others, or a name is not known.
    """
    groups, named = groups_asked(bases, raw), chosen(systems, SYSTEMS, "system")
    reasons = {name: reason for name, reason in left_out(params, store).items() if name in named}
    for name, reason in reasons.items():
        logger.warning("%s is left out: %s", name, reason)
    wanted = [name for name in named if name not in reasons]
    if not wanted:
        raise DataError(f"none of {', '.join(named)} can be asked ({reasons[named[0]]}): train it, or name others")
    section = params.eval.model_copy(update={"adapter": STAGE_A})
    params = params.model_copy(update={"eval": section})
    predictor, encoders = open_predictor(params, store)
    with tempfile.TemporaryDirectory() as scratch:
        rows = open_rows(
            params,
            data=data,
            store=store,
            predictor=predictor,
            encoders=encoders,
            scratch=Path(scratch),
            names=groups,
            raw=raw,
            questions=questions,
        )
        kept = Kept(folder_of_run(work, params, store, rows, predictor, wanted, choose))
        asker = Asker(params, data, store, predictor, encoders, rows, wanted, kept, choose)
        asker.ask_all()
        table = figures_of(rows, kept, wanted, params)
        if not table:
            raise DataError(f"no base of {', '.join(rows)} can be asked by {', '.join(wanted)}: name others as well")
        result: dict[str, Any] = {
            "backbone": Path(params.backbone.name).name,
            "rows": sizes_of(rows),
            "table": table,
            "training": _training(params, asker),
            "left_out": reasons,
        }
    if {CLOSED_BOOK, IN_CONTEXT, *BY_RAG} & set(wanted):
        style, shares = asker.style
        result["prompts"] = {"style": str(style), "right_on_unseen": shares, "questions_per_kind": choose}
    write_json(output, result)
    shutil.rmtree(kept.folder, ignore_errors=True)
    return result


def _training(params: Params, asker: Asker) -> dict[str, dict[str, Any]]:
    """What is known of how the systems that were asked have learnt."""
    steps = {MODEL: params.trainA.max_steps, MODEL_B: params.trainB.max_steps}
    found: dict[str, dict[str, Any]] = {name: {"steps": n} for name, n in steps.items() if name in asker.wanted}
    if (rag := asker.rag) is not None:
        found["trained_rag"] = {"steps": rag.steps, "seconds": rag.seconds, "facts": rag.facts, "style": str(rag.style)}
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Asks, or reads what was written, and prints the table."""
    parser = make_parser("systems", __doc__, part="where bases or systems are named", metrics="metrics/<backbone>")
    parser.add_argument(
        "--questions", type=int, default=100, metavar="N", help="for each row of the table (default: %(default)s)"
    )
    parser.add_argument("--bases", nargs="+", default=(), metavar="BASE", help="swap, novel, dossiers, yago, timeqa")
    parser.add_argument("--systems", nargs="+", default=(), metavar="SYSTEM", help=", ".join(SYSTEMS))
    parser.add_argument("--raw", type=Path, help="folder of the raw files of timeqa, which is then asked too")
    parser.add_argument(
        "--choose",
        type=int,
        default=3,
        metavar="N",
        help="questions of each kind by which it is chosen how to ask with prompts (default: %(default)s)",
    )
    parser.add_argument("--show", action="store_true", help="print the table of the figures that are there")
    arguments = parser.parse_args(argv)
    for name in ("questions", "choose"):
        if getattr(arguments, name) < 1:
            parser.error(f"--{name} must be at least 1")

    def measure(params: Params) -> str:
        all_of = Path("metrics") / Path(params.backbone.name).name
        folder = arguments.metrics or (SOME if arguments.bases or arguments.systems else all_of)
        if arguments.show:
            return systems_table(read_json(folder / FILE, error=DataError))
        result = run_systems(
            params,
            data=Path("data"),
            store=Path("store"),
            work=WORK,
            output=folder / FILE,
            questions=arguments.questions,
            choose=arguments.choose,
            bases=arguments.bases,
            systems=arguments.systems,
            raw=arguments.raw,
        )
        return systems_table(result)

    return run_measurement(arguments.params, measure)


if __name__ == "__main__":
    raise SystemExit(main())
