"""RAG trained with the budget of Stage A: ``python -m kblampp.experiments.train_rag --minutes 40``.

LoRA on the bare backbone of params.yaml learns, in the time or steps given, to answer the training questions of the
dataset from the facts that retrieval puts into the prompt.  It is written to store/<dataset>/rag.  A run that was
killed goes on when it is called anew with the same arguments.

With --dev N the result answers N questions of each kind of the split `unseen`: choose style, learning rate and number
of facts by that, and not by the dossiers.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

from kblampp.core.params import Params
from kblampp.evaluation.systems import Split
from kblampp.experiments.measuring import run_measurement
from kblampp.model.predictor import Predictor
from kblampp.model.workspace import Workspace, selector_options
from kblampp.rag.adapter import load_rag
from kblampp.rag.prompts import PromptStyle
from kblampp.rag.training import Recipe, bare_model, train_rag
from kblampp.transfer.kinds import some_of_each_kind
from kblampp.transfer.measure import TO_CHOOSE
from kblampp.transfer.prompted import answer_prompted, count_right

logger = logging.getLogger(__name__)
DATA, STORE, CHECKPOINTS = Path("data"), Path("store"), Path(".ckpt")


def main(argv: Sequence[str] | None = None) -> int:
    """Trains, and prints what came of it."""
    parser = argparse.ArgumentParser(
        prog="python -m kblampp.experiments.train_rag",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), help="default: %(default)s")
    budget = parser.add_mutually_exclusive_group(required=True)
    budget.add_argument("--minutes", type=float, help="of training; the learning rate follows the time that has gone")
    budget.add_argument("--steps", type=int, help="of training: the same weights each time")
    parser.add_argument(
        "--style", default="fields", help="plain, or chat, examples, fields with + between; default: %(default)s"
    )
    parser.add_argument("--facts", type=int, default=4, help="in a prompt; default: %(default)s")
    parser.add_argument("--lr", type=float, default=5e-4, help="peak learning rate; default: %(default)s")
    parser.add_argument("--rank", type=int, help="of LoRA; default: trainB.lora_rank")
    parser.add_argument("--alpha", type=float, help="of LoRA; default: trainB.lora_alpha")
    parser.add_argument("--targets", nargs="+", metavar="LAYER", help="of LoRA; default: trainB.lora_targets")
    parser.add_argument("--batch", type=int, default=64, help="questions a step; default: %(default)s")
    parser.add_argument("--together", type=int, default=8, help="of these at once; default: %(default)s")
    parser.add_argument("--checkpoint-every", type=int, default=20, metavar="STEPS", help="default: %(default)s")
    parser.add_argument("--out", type=Path, help="default: store/<dataset>/rag")
    parser.add_argument("--dev", type=int, default=0, metavar="N", help="then ask N questions of each kind of `unseen`")
    arguments = parser.parse_args(argv)

    def work(params: Params) -> str:
        out = arguments.out or STORE / params.dataset / "rag"
        section = params.trainB
        recipe = Recipe(
            style=PromptStyle.parse(arguments.style),
            facts=arguments.facts,
            rank=section.lora_rank if arguments.rank is None else arguments.rank,
            alpha=section.lora_alpha if arguments.alpha is None else arguments.alpha,
            targets=tuple(arguments.targets) if arguments.targets else section.lora_targets,
            lr=arguments.lr,
            steps=arguments.steps,
            minutes=arguments.minutes,
            batch_size=arguments.batch,
            together=arguments.together,
            checkpoint_every=arguments.checkpoint_every,
        )
        history = train_rag(params, recipe, data=DATA, store=STORE, out=out, checkpoints=CHECKPOINTS)
        told = f"{history.step} steps of {recipe.batch_size} questions in {history.seconds:.0f} s, written to {out}"
        if arguments.dev < 1:
            return told
        right, asked = on_unseen(params, out, arguments.dev)
        return f"{told}\n{right} of {asked} questions of {TO_CHOOSE} right ({right / asked:.3f})"

    return run_measurement(arguments.params, work)


def on_unseen(params: Params, folder: Path, per_kind: int) -> tuple[int, int]:
    """How many of so many questions of each kind of `unseen` trained RAG answers rightly, and how many they are.

    Raises:
        KBLaMError: An input is missing, damaged, or does not fit the others.
    """
    workspace = Workspace.open(params, DATA, STORE, (TO_CHOOSE,))
    options, section = selector_options(params), params.eval
    model = bare_model(workspace, params)
    predictor = Predictor(model, workspace.backbone, options, section.batch_size, section.max_new_tokens)
    some = some_of_each_kind(Split.open(workspace, TO_CHOOSE, options.as_of), per_kind)
    adapter = load_rag(folder, workspace.backbone)
    with adapter.attached():
        texts, _ = answer_prompted(predictor, some, adapter.style, adapter.facts)
    return count_right(some, texts), len(texts)


if __name__ == "__main__":
    raise SystemExit(main())
