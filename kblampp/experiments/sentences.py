"""Sentences around copied answers: ``python -m kblampp.experiments.sentences``.

It asks the adapter of params.yaml (`store/<dataset>/<eval.adapter>`) all questions about the open dossiers and lets the
language model write its sentences.  With --backbone the trained modules are put around another language model, without
training.  Counted are words from elsewhere, sentences that hold the right answer (beside the short answers that are
right), and perplexities under the bare language model: of the sentences, of the first wording of each (without the
model's choice), of the sentences by people that the facts came with, and of the sentences with their words shuffled.
Beside it the language model writes freely what it makes of question and short answer.  The figures and 30 samples, each
so many answers apart, go to sentences.json in metrics/<backbone>.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from kblampp.asking.replies import make_reply
from kblampp.asking.wording import in_a_sentence, told_by
from kblampp.core.params import Params
from kblampp.encoding.encoders import load_encoders
from kblampp.encoding.projections import PROJECTION, Projections
from kblampp.experiments.measuring import run_on_backbone
from kblampp.experiments.sentence_figures import Asked, is_whole, perplexity, shuffled, spread, strays
from kblampp.model.checkpoint import load_adapter
from kblampp.model.predictor import Predictor
from kblampp.model.workspace import backbone_of, selector_options
from kblampp.sentences.chooser import Chooser
from kblampp.sentences.pieces import text_of
from kblampp.sentences.writer import wordings
from kblampp.time_expressions.parse import read_time
from kblampp.transfer.bases import open_base, sources
from kblampp.transfer.measure import ask_model

logger = logging.getLogger(__name__)
SAMPLES = 30
MOST = {"perplexity": 100, "free": 50}
"""Texts that the slower measures read, spread evenly."""


def main(argv: Sequence[str] | None = None) -> int:
    """Asks, writes, counts."""
    measure = partial(run_sentences, data=Path("data"), store=Path("store"))
    return run_on_backbone("sentences", __doc__, argv, measure, _told)


def _told(result: dict[str, Any]) -> str:
    return "\n".join(f"{key}: {value}" for key, value in result.items() if key != "samples")


def run_sentences(params: Params, *, data: Path, store: Path) -> dict[str, Any]:
    """The figures and samples.

    Args:
        params: The parameters; their backbone may be one that the adapter was not trained around.
        data: Holds the dossiers.
        store: Holds projections and adapter.

    Raises:
        KBLaMError: An input is missing, damaged, or does not fit the others.
    """
    folder, backbone = store / params.dataset, backbone_of(params.backbone)
    projections = Projections.load(folder / PROJECTION)
    layers = params.injection.layers, params.injection.layer_path
    model = load_adapter(folder / params.eval.adapter, backbone, projections, into=layers)
    settings = params.eval
    predictor = Predictor(model, backbone, selector_options(params), settings.batch_size, settings.max_new_tokens)
    asked, chooser, firsts = [], Chooser(backbone), []
    for base, question, short in _replies(predictor, params, data, store):
        found = wordings(told_by(short))
        firsts += [text_of(found[0])] if found else []
        asked.append(Asked(base, question, in_a_sentence(short, chooser), len(found)))
    return figures(asked, firsts, predictor, params.seed)


def _replies(predictor: Predictor, params: Params, data: Path, store: Path) -> Iterator[tuple[str, Any, Any]]:
    """Bases, questions and replies with short answers."""
    encoders = load_encoders(params.encoder.model, store, batch_size=params.encoder.batch_size)
    today = predictor.options.as_of
    for source in (source for source in sources(data) if source.is_dossier):
        logger.info("%s", source.name)
        # Windows does not remove files that are still mapped into memory, as the base's keys are.
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
            splits = open_base(source, params, store, predictor.backbone, encoders, Path(scratch))
            for base, split in splits.items():
                facts, questions = split.base.store.facts, split.encoded.questions
                for question, said in zip(questions, ask_model(base, split, predictor), strict=True):
                    text, ids = question.question, np.arange(len(facts))
                    time = read_time(text, today)
                    yield base, question, make_reply(text, time, said, facts, ids, top=5, today=today, version=None)


def figures(asked: Sequence[Asked], firsts: Sequence[str], predictor: Predictor, seed: int) -> dict[str, Any]:
    """The figures and samples.

    Args:
        asked: All questions, with their sentences.
        firsts: The first wording of each that has a sentence.
        predictor: Of the language model.
        seed: Of the order of shuffled words.
    """
    replies = [each.reply for each in asked]
    written = [reply for reply in replies if reply.sentence]
    found = [strays(reply) for reply in written]
    cited = [reply.facts[source.fact].context.sent_span for reply in written for source in reply.sources]
    everything: Mapping[str, Sequence[str]] = {
        "sentences": [reply.text for reply in written],
        "first wordings": firsts,
        "sentences of people": [text for text in dict.fromkeys(cited) if text],
        "shuffled": [shuffled(reply.text, seed + place) for place, reply in enumerate(written)],
    }
    texts = {name: spread(some, MOST["perplexity"]) for name, some in everything.items()}
    model, tokenizer = predictor.backbone.model, predictor.backbone.tokenizer
    free = _free(predictor, spread([reply for reply in written if reply.parts], MOST["free"]))
    return {
        "backbone": predictor.backbone.name,
        "asked": len(asked),
        "sentences": len(written),
        "chosen_among_several": sum(bool(each.reply.sentence) and each.wordings > 1 for each in asked),
        "wordings": round(sum(each.wordings for each in asked) / max(1, len(written)), 2),
        "with_a_name_number_or_date_from_elsewhere": sum(bool(names) for names, _ in found),
        "with_another_word_from_elsewhere": sum(bool(others) for _, others in found),
        "copied_whole": sum(map(is_whole, written)),
        "short_right": round(sum(each.right for each in asked) / len(asked), 4),
        "right_contained": round(sum(each.contained for each in asked) / len(asked), 4),
        "right_but_not_contained": [each.question.question for each in asked if each.right and not each.contained],
        "perplexity": {
            name: {"texts": len(some), "perplexity": round(perplexity(model, tokenizer, some), 1)}
            for name, some in texts.items()
        },
        "free": free,
        "samples": [
            {"base": each.base, "question": each.reply.question, "short": each.reply.answer, "said": each.reply.text}
            for each in spread(asked, SAMPLES)
        ],
    }


def _free(predictor: Predictor, replies: Sequence[Any]) -> dict[str, int]:
    """How often the language model, told question and short answer, writes it whole and nothing from elsewhere."""
    chooser = Chooser(predictor.backbone)
    prompts = [chooser.prompt(f"{reply.question}\nThe answer is: {reply.answer}.") for reply in replies]
    said = replace(predictor, max_new_tokens=40).complete(prompts)
    texts = [prediction.text.split("\n")[0] for prediction in said]
    pairs = list(zip(replies, texts, strict=True))
    clean = [not strays(reply, text)[0] for reply, text in pairs]
    whole = [all(part.text.lower() in text.lower() for part in reply.parts) for reply, text in pairs]
    return {
        "written": len(texts),
        "answer_whole": sum(whole),
        "with_a_name_number_or_date_from_elsewhere": len(clean) - sum(clean),
        "answer_whole_and_nothing_from_elsewhere": sum(a and b for a, b in zip(clean, whole, strict=True)),
    }


if __name__ == "__main__":
    raise SystemExit(main())
