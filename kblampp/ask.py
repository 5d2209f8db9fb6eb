"""Asks a trained model about a knowledge base: ``python -m kblampp.ask "Who led Silver Harbor in 2012?"``.

It shows the answer, the time that was read from the question, and the facts that the last injected layer weighed at the
answer's first token.  Nothing of `data/` is needed: stores, index and adapter are enough.
"""

from __future__ import annotations

import argparse
import datetime
import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from kblampp.asking.kb_model import find_adapter, matching_encoders
from kblampp.asking.quiet import quiet
from kblampp.asking.reader import Reader
from kblampp.asking.replies import as_text
from kblampp.asking.wording import in_a_sentence
from kblampp.core.errors import DataError, StoreError, one_line_errors
from kblampp.core.params import Params
from kblampp.core.params_file import load_params
from kblampp.encoding.projections import PROJECTION, Projections
from kblampp.model.checkpoint import load_trained
from kblampp.model.inputs import StoredBase
from kblampp.model.predictor import Predictor
from kblampp.model.workspace import open_backbone, selector_options
from kblampp.sentences.chooser import Chooser

logger = logging.getLogger(__name__)


def open_reader(
    params: Params, store: Path, *, dataset: str, kb: str, adapter: Path | None
) -> tuple[Reader, StoredBase]:
    """Opens a trained model and a base that the pipeline made, each checked against the other.

    Args:
        params: The parameters.
        store: The folder `store`.
        dataset: Whose knowledge base.
        kb: Its name.
        adapter: Folder of the trained modules; None for the dataset's own, or else that of `start_from`.

    Raises:
        KBLaMError: Something is missing, damaged, or does not fit the others.
    """
    folder = store / dataset
    projections = Projections.load(folder / PROJECTION)
    if not (folder / "kb" / kb).is_dir():
        bases = sorted(path.name for path in (folder / "kb").glob("*") if path.is_dir())
        raise StoreError(
            f"dataset {dataset} has no store of a knowledge base {kb!r} (it has {', '.join(bases) or 'none'}); "
            "name one of these with --kb, or run `dvc repro index`"
        )
    adapter = adapter or find_adapter(params, store, dataset)
    encoders = matching_encoders(projections, store, folder)
    backbone = open_backbone(params, store)
    base = StoredBase.load(
        folder / "kb" / kb,
        folder / "index" / kb,
        projection_fingerprint=projections.fingerprint,
        device=str(backbone.model.device),
    )
    model = load_trained(adapter, backbone, projections)
    logger.info("reads %s with %s", folder / "kb" / kb, adapter)
    section = params.eval
    predictor = Predictor(model, backbone, selector_options(params), section.batch_size, section.max_new_tokens)
    return Reader(predictor, encoders), base


def _questions(given: Sequence[str]) -> list[str]:
    lines = given if given or sys.stdin.isatty() else sys.stdin.read().splitlines()
    questions = [line.strip() for line in lines if line.strip()]
    if not questions:
        raise DataError('there is no question: give one in quotes, such as "Who led Silver Harbor in 2012?"')
    return questions


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m kblampp.ask", description=(__doc__ or "").split("\n\n")[1])
    parser.add_argument("questions", nargs="*", metavar="QUESTION", help="in quotes; without any, lines of stdin")
    parser.add_argument("--dataset", help="whose knowledge base (default: dataset in params.yaml)")
    parser.add_argument("--kb", default="train", help="the knowledge base (default: %(default)s)")
    parser.add_argument(
        "--adapter",
        type=Path,
        metavar="FOLDER",
        help="the trained modules (default: store/<dataset>/<eval.adapter>, or that of start_from)",
    )
    parser.add_argument("--top", type=int, default=5, metavar="N", help="facts shown (default: %(default)s)")
    parser.add_argument(
        "--style", choices=("short", "sentence"), help="of the answers (default: answer.style in params.yaml)"
    )
    parser.add_argument("--json", action="store_true", help="an object a question and line instead of tables")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), metavar="FILE", help="the parameters")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Command line."""
    arguments = _parser().parse_args(argv)
    quiet()
    logger.setLevel(logging.INFO)  # what is read, since a folder may hold more trained modules than one thinks

    def work() -> None:
        questions, params = _questions(arguments.questions), load_params(arguments.params)
        torch.set_num_threads(params.threads)
        dataset = arguments.dataset or params.dataset
        reader, base = open_reader(params, Path("store"), dataset=dataset, kb=arguments.kb, adapter=arguments.adapter)
        today = datetime.date.today().toordinal()
        replies = reader.ask(base, questions, top=max(0, arguments.top), today=today)
        if (arguments.style or params.answer.style) == "sentence":
            replies = [in_a_sentence(reply, Chooser(reader.predictor.backbone)) for reply in replies]
        blocks = (
            json.dumps(reply.to_json(), ensure_ascii=False) if arguments.json else "\n".join([*as_text(reply), ""])
            for reply in replies
        )
        sys.stdout.write("\n".join(blocks) + "\n")

    return one_line_errors(work)


if __name__ == "__main__":
    raise SystemExit(main())
