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
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

from kblampp.core.errors import DataError, StoreError, one_line_errors
from kblampp.core.files import MANIFEST
from kblampp.core.params import Params, load_params
from kblampp.data.facts import FiveTuple, Question
from kblampp.data.windows import Window, iso
from kblampp.encoding.encoders import Encoders, load_encoders
from kblampp.encoding.projections import PROJECTION, Projections
from kblampp.model.checkpoint import load_trained
from kblampp.model.inputs import EncodedQuestions, StoredBase
from kblampp.model.predictor import Prediction, Predictor
from kblampp.model.workspace import open_backbone, selector_options
from kblampp.time_expressions.parse import TimeReading, read_time

logger = logging.getLogger(__name__)
DIGITS = 5
WIDEST = 32  # characters of a name that the table shows


@dataclass(frozen=True)
class Reply:
    """What the model said to one question.

    Attributes:
        question: The question.
        answer: The answer; "unknown" or nothing where it refuses.
        time: The window that was read from the question's words, as in a questions file; None if it names no time.
        facts: The heaviest facts of the last injected layer: `alpha`, `head`, `relation`, `tail`, `time_window`.
        null: Weight of the null fact there; None with knowledge off.
        sources: What the answer was copied from: `head`, `relation`, `tail`, `time_window` and `field`, which is head,
            tail, start or end, or fact where it was counted or confirmed; null where the language model wrote it.
        problem: What was not understood of the time that it names; None if nothing.
    """

    question: str
    answer: str
    time: dict[str, str | None] | None
    facts: list[dict[str, Any]]
    null: float | None
    sources: list[dict[str, Any]] | None
    problem: str | None


@dataclass(frozen=True)
class Reader:
    """A trained model and the knowledge base that it reads, each checked against the other.

    Attributes:
        predictor: The trained model.
        base: The knowledge base.
        encoders: Of the questions.
    """

    predictor: Predictor
    base: StoredBase
    encoders: Encoders

    @classmethod
    def open(cls, params: Params, store: Path, *, dataset: str, kb: str, adapter: Path | None) -> Reader:
        """Opens everything; of a base smaller than `selector.top_k` as many candidates are weighed as it has facts.

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
        encoders = load_encoders(projections.encoder_name, store)
        if encoders.fingerprint != projections.encoder_fingerprint:
            raise StoreError(
                f"encoder {encoders.name} is {encoders.fingerprint[:12]}, but {folder / PROJECTION} was made with "
                f"{projections.encoder_fingerprint[:12]}; run `dvc repro encode`"
            )
        backbone = open_backbone(params, store)
        base = StoredBase.load(
            folder / "kb" / kb,
            folder / "index" / kb,
            projection_fingerprint=projections.fingerprint,
            device=str(backbone.model.device),
        )
        options = selector_options(params)
        today = datetime.date.today().toordinal()
        options = replace(options, top_k=min(options.top_k, base.store.n), as_of=today)
        model = load_trained(adapter, backbone, projections)
        logger.info("reads %s with %s", folder / "kb" / kb, adapter)
        section = params.eval
        return cls(Predictor(model, backbone, options, section.batch_size, section.max_new_tokens), base, encoders)

    def ask(self, questions: Sequence[str], top: int) -> list[Reply]:
        """Answers questions, with at most `top` facts each."""
        typed = [Question(f"asked_{i}", "asked", text, "", (), "unanswerable", ()) for i, text in enumerate(questions)]
        times = [read_time(question, self.predictor.options.as_of) for question in questions]
        vectors = self.encoders.embed_questions([time.rest for time in times]).astype(np.float32)
        encoded = EncodedQuestions(typed, vectors, tuple(time.window for time in times))
        predictions = self.predictor.predict(self.base, encoded)
        return [self._reply(*row, top) for row in zip(questions, times, predictions, strict=True)]

    def _reply(self, question: str, asked: TimeReading, said: Prediction, top: int) -> Reply:
        last = _once(said)
        facts = [{"alpha": round(alpha, DIGITS), **_shown(self.base.store.facts[number])} for number, alpha in last]
        null = None if said.null is None else round(said.null, DIGITS)
        sources = (
            None
            if said.sources is None
            else [{"field": source.field, **_shown(self.base.store.facts[source.fact])} for source in said.sources]
        )
        time = None if asked.window is None else asked.window.to_row()
        return Reply(question, said.text, time, facts[:top], null, sources, asked.problem)


def find_adapter(params: Params, store: Path, dataset: str) -> Path:
    """The dataset's own trained modules, or those that it starts from.

    Raises:
        StoreError: There are none.
    """
    own = store / dataset / params.eval.adapter
    if (own / MANIFEST).is_file():
        return own
    if params.start_from in ("scratch", dataset):
        raise StoreError(
            f"{own} does not exist, and start_from is {params.start_from}, so there is no trained adapter to ask with: "
            "train one (`dvc repro`), or run `dvc repro index` with start_from: synth_world"
        )
    return store / params.start_from / params.eval.adapter


def _once(said: Prediction) -> list[tuple[int, float]]:
    """The facts of the last layer, each once with all its weight, by falling weight: one may be read from both ends."""
    weights: dict[int, float] = {}
    for number, alpha in zip(said.ranked[-1], said.alpha[-1], strict=True) if said.ranked else ():
        if number >= 0:
            weights[number] = weights.get(number, 0.0) + alpha
    return sorted(weights.items(), key=lambda item: -item[1])


def _shown(fact: FiveTuple) -> dict[str, Any]:
    return {
        "head": fact.head.name,
        "relation": fact.relation.name,
        "tail": fact.tail.name,
        "time_window": fact.window.to_row() if fact.window.known else None,
    }


def as_text(reply: Reply) -> Iterator[str]:
    """The lines of a reply, for people."""
    yield f"question: {reply.question}"
    yield f"answer:   {reply.answer or '(nothing)'}"
    yield f"from:     {_from(reply.sources)}"
    yield f"time:     {_span(reply.time, reply.problem or 'none named')}"
    if reply.null is None:
        yield "facts:    none, since selector.top_k is 0"
        return
    rows: list[tuple[str, ...]] = [("weight", "head", "relation", "tail", "holds")]
    rows += [
        (f"{f['alpha']:.3f}", *(_cut(f[name]) for name in ("head", "relation", "tail")), _span(f["time_window"], ""))
        for f in reply.facts
    ]
    rows.append((f"{reply.null:.3f}", "(null fact: no answer here)", "", "", ""))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        yield "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _from(sources: Sequence[dict[str, Any]] | None) -> str:
    """Where the answer was copied from, in words."""
    if sources is None:
        return "the language model's own words"
    named = [
        f"{source['field']} of ({source['head']}, {source['relation']}, {source['tail']})"
        if source["field"] != "fact"
        else f"({source['head']}, {source['relation']}, {source['tail']})"
        for source in sources
    ]
    return "; ".join(named) or "nothing: the base does not say"


def _span(window: dict[str, str | None] | None, unknown: str) -> str:
    """A window with its first and last day."""
    if window is None:
        return unknown
    found = Window.from_row(window, "window")
    first = "…" if found.start is None else iso(found.start)
    return f"{first} to {'…' if found.end is None else iso(found.end - 1)}"


def _cut(text: str) -> str:
    return text if len(text) <= WIDEST else text[: WIDEST - 1] + "…"


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
    parser.add_argument("--json", action="store_true", help="an object a question and line instead of tables")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), metavar="FILE", help="the parameters")
    return parser


def _keep_quiet() -> None:
    """Answers are what is to be read, not how the libraries load their weights."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    logger.setLevel(logging.INFO)  # what is read, since a folder may hold more trained modules than one thinks
    transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")


def main(argv: Sequence[str] | None = None) -> int:
    """Command line."""
    arguments = _parser().parse_args(argv)
    _keep_quiet()

    def work() -> None:
        questions, params = _questions(arguments.questions), load_params(arguments.params)
        torch.set_num_threads(params.threads)
        dataset = arguments.dataset or params.dataset
        reader = Reader.open(params, Path("store"), dataset=dataset, kb=arguments.kb, adapter=arguments.adapter)
        replies = reader.ask(questions, max(0, arguments.top))
        blocks = (
            json.dumps(asdict(reply), ensure_ascii=False) if arguments.json else "\n".join([*as_text(reply), ""])
            for reply in replies
        )
        sys.stdout.write("\n".join(blocks) + "\n")

    return one_line_errors(work)


if __name__ == "__main__":
    raise SystemExit(main())
