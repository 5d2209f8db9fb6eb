"""What a base at hand does to free text: ``python -m kblampp.experiments.perplexity``.

The texts ask nothing: paragraphs written for this (free_text.json, CC0, about nothing that a base here holds), and what
the bare language model makes of the first sentence of each, greedy and sampled.  The perplexity is that of what follows
the first sentence, under the bare model and under the one that has the adapter of params.yaml hung in
(`store/<dataset>/<eval.adapter>`) and a base to read: a dossier, and the training base.  With --backbone the trained
modules are put around another language model, without training.

The model reads a base for a question.  So free text is read in two ways: `nothing asked`, as it should be
(`Questions.nothing`), and `asked`, where the first sentence is put to the base as if it were a question.  Beside the
perplexity stands how probable the model finds it, where something is asked, that it goes on in its own words.  The
figures go to perplexity.json in metrics/<backbone>.
"""

from __future__ import annotations

import json
import logging
import math
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kblampp.core.errors import DataError
from kblampp.core.params import Params
from kblampp.data.dataset import TRAINING_KB
from kblampp.data.facts import UNANSWERABLE, Question
from kblampp.encoding.encoders import Encoders, load_encoders
from kblampp.encoding.projections import PROJECTION, Projections
from kblampp.evaluation.questions import with_times
from kblampp.experiments.measuring import run_on_backbone
from kblampp.model.batches import padded, tokenize
from kblampp.model.checkpoint import load_adapter
from kblampp.model.inputs import EncodedBase, EncodedQuestions, Knowledge, Questions, StoredBase
from kblampp.model.predictor import Predictor
from kblampp.model.workspace import backbone_of, selector_options
from kblampp.time_expressions.parse import without_time
from kblampp.transfer.bases import open_base, sources

logger = logging.getLogger(__name__)
DOSSIER = "lighthouse"
GOING_ON = 32
"""Tokens that the backbone adds to a first sentence."""
AT_ONCE = 5
"""Texts in a forward pass."""


@dataclass(frozen=True)
class Text:
    """A text as tokens: the first sentence, which may be put as a question, and what is scored.

    Attributes:
        first: The first sentence.
        prompt: Its tokens.
        rest: Those that follow, at least one.
    """

    first: str
    prompt: tuple[int, ...]
    rest: tuple[int, ...]


def main(argv: Sequence[str] | None = None) -> int:
    """Reads the texts and writes the figures."""
    measure = partial(run_perplexity, data=Path("data"), store=Path("store"))
    return run_on_backbone("perplexity", __doc__, argv, measure, _told)


def _told(result: dict[str, Any]) -> str:
    return json.dumps(result, indent=2, sort_keys=True)


def run_perplexity(params: Params, *, data: Path, store: Path) -> dict[str, Any]:
    """The figures.

    Args:
        params: The parameters; their backbone may be one that the adapter was not trained around.
        data: Holds the dossiers.
        store: Holds projections, adapter and the training base.

    Raises:
        KBLaMError: An input is missing, damaged, or does not fit the others.
    """
    folder, backbone = store / params.dataset, backbone_of(params.backbone)
    projections = Projections.load(folder / PROJECTION)
    layers = params.injection.layers, params.injection.layer_path
    model = load_adapter(folder / params.eval.adapter, backbone, projections, into=layers).eval()
    predictor = Predictor(model, backbone, selector_options(params), AT_ONCE, GOING_ON)
    encoders = load_encoders(params.encoder.model, store, batch_size=params.encoder.batch_size)
    parts = texts_of(predictor, params.seed)
    bare = {name: log_likelihoods(predictor, texts, None)[0] for name, texts in parts.items()}
    result: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        for base_name, base in _bases(predictor, params, data, store, encoders, projections, Path(scratch)):
            logger.info("%s", base_name)
            result[base_name] = {
                name: figures(predictor, base, texts, bare[name], encoders) for name, texts in parts.items()
            }
    return {
        "backbone": backbone.name,
        "bases": result,
        "bare": {name: {"tokens": len(each), "perplexity": _perplexity(each)} for name, each in bare.items()},
    }


def paragraphs() -> list[str]:
    """The texts that were written for this."""
    text = files("kblampp.experiments").joinpath("free_text.json").read_text(encoding="utf-8")
    return list(json.loads(text)["paragraphs"])


def texts_of(predictor: Predictor, seed: int) -> dict[str, list[Text]]:
    """The paragraphs, and what the bare language model makes of their first sentences, greedy and sampled."""
    tokenizer = predictor.backbone.tokenizer
    split = [text.partition(". ") for text in paragraphs()]
    firsts = [f"{first}." for first, _, _ in split]
    prompts = tokenize(tokenizer, firsts)
    rests = tokenize(tokenizer, [f" {rest}" for _, _, rest in split])
    result = {"paragraphs": _texts(firsts, prompts, rests)}
    for name, options in (("greedy", {"do_sample": False}), ("sampled", {"do_sample": True, "top_k": 0})):
        logger.info("the backbone goes on, %s", name)
        result[name] = _texts(firsts, prompts, _go_on(predictor, prompts, seed, options))
    return result


def _texts(firsts: Sequence[str], prompts: Sequence[Sequence[int]], rests: Sequence[Sequence[int]]) -> list[Text]:
    rows = zip(firsts, prompts, rests, strict=True)
    return [Text(first, tuple(prompt), tuple(rest)) for first, prompt, rest in rows if rest]


@torch.no_grad()
def _go_on(
    predictor: Predictor, prompts: Sequence[Sequence[int]], seed: int, options: Mapping[str, Any]
) -> list[list[int]]:
    """Tokens with which the bare language model goes on, up to its end of text."""
    model, tokenizer = predictor.backbone.model, predictor.backbone.tokenizer
    ids, mask = (part.to(model.device) for part in padded(prompts, int(tokenizer.pad_token_id), left=True))
    torch.manual_seed(seed)
    settings = {"max_new_tokens": GOING_ON, "pad_token_id": tokenizer.pad_token_id, **options}
    out = model.generate(input_ids=ids, attention_mask=mask, **settings)  # type: ignore[operator]
    rows = out[:, ids.shape[1] :].tolist()
    end = tokenizer.eos_token_id
    return [row[: row.index(end)] if end in row else row for row in rows]


def _bases(
    predictor: Predictor,
    params: Params,
    data: Path,
    store: Path,
    encoders: Encoders,
    projections: Projections,
    scratch: Path,
) -> Iterator[tuple[str, EncodedBase]]:
    (source,) = sources(data, names=[DOSSIER])
    for split in open_base(source, params, store, predictor.backbone, encoders, scratch).values():
        yield DOSSIER, split.base
    folder = store / params.dataset
    device = str(predictor.backbone.model.device)
    kb, index = folder / "kb" / TRAINING_KB, folder / "index" / TRAINING_KB
    yield (
        TRAINING_KB,
        StoredBase.load(kb, index, projection_fingerprint=projections.fingerprint, device=device),
    )


def figures(
    predictor: Predictor, base: EncodedBase, texts: Sequence[Text], bare: Sequence[float], encoders: Encoders
) -> dict[str, Any]:
    """Perplexities of texts with a base at hand, read in both ways, and their ratios to that of the bare model.

    Args:
        predictor: Of the model.
        base: What may be read.
        texts: The texts.
        bare: The log-likelihood of each of their scored tokens under the bare model.
        encoders: Make the vectors of what is asked.

    Raises:
        DataError: The bare model was asked about other texts.
    """
    result: dict[str, Any] = {}
    asked = questions_of([text.first for text in texts], encoders, predictor.options.as_of)
    for way, encoded in (("nothing asked", None), ("asked", asked)):
        found, own = log_likelihoods(predictor, texts, base, encoded)
        if len(found) != len(bare):
            raise DataError(f"{len(found)} tokens are scored with the base {base.store.name}, but {len(bare)} without")
        ratio = math.exp((sum(bare) - sum(found)) / len(found))
        most = max(abs(a - b) for a, b in zip(found, bare, strict=True))
        result[way] = {
            "tokens": len(found),
            "perplexity": _perplexity(found),
            "ratio": round(ratio, 6),
            "largest_difference_of_a_token": round(most, 6),
            "own_words_probable": round(float(np.mean(own)), 6),
        }
    return result


def questions_of(texts: Sequence[str], encoders: Encoders, as_of: int) -> EncodedQuestions:
    """Texts put as questions are, (n,)."""
    questions = [Question(str(place), "free text", text, "", (), UNANSWERABLE, ()) for place, text in enumerate(texts)]
    vectors = encoders.embed_questions([without_time(text) for text in texts]).astype(np.float32)
    return with_times(questions, vectors, as_of)


@torch.no_grad()
def log_likelihoods(
    predictor: Predictor, texts: Sequence[Text], base: EncodedBase | None, asked: EncodedQuestions | None = None
) -> tuple[list[float], list[float]]:
    """Natural logarithms of the probabilities of all scored tokens, and of each text that its own words go on.

    Args:
        predictor: Of the model.
        texts: The texts, (n,).
        base: What may be read; None for the bare model.
        asked: What each text asks, (n,); None for nothing.
    """
    pad, device = int(predictor.backbone.tokenizer.pad_token_id), predictor.backbone.model.device
    found: list[float] = []
    own: list[float] = []
    for first in range(0, len(texts), AT_ONCE):
        places = range(first, min(first + AT_ONCE, len(texts)))
        some = [texts[place] for place in places]
        ids, mask = (part.to(device) for part in padded([text.prompt + text.rest for text in some], pad))
        starts = torch.tensor([len(text.prompt) for text in some], device=device)
        knowledge = None if base is None else _knowledge(predictor, base, asked, places)
        output = predictor.model(ids, mask, knowledge=knowledge, answer_start=starts)
        scores = _scores(output.logits, ids)
        for row, text in enumerate(some):
            found += scores[row, len(text.prompt) - 1 : len(text.prompt) + len(text.rest) - 1].tolist()
        own += [1.0] * len(some) if output.state is None else output.state.own_words()
    return found, own


def _knowledge(
    predictor: Predictor, base: EncodedBase, asked: EncodedQuestions | None, places: Sequence[int]
) -> Knowledge:
    options = replace(predictor.options, top_k=min(predictor.options.top_k, base.store.n))
    if asked is not None:
        return Knowledge(base, asked.part(places).batch(base.device), options)
    width = int(predictor.model.config["dims"]["d_sentence"])
    return Knowledge(base, Questions.nothing(len(places), width, base.device), options)


def _scores(logits: Tensor, ids: Tensor) -> Tensor:
    """Log-probabilities of the tokens that follow, (batch, seq - 1), of logits (batch, seq, vocabulary)."""
    return torch.log_softmax(logits[:, :-1].float(), dim=-1).gather(-1, ids[:, 1:, None])[..., 0]


def _perplexity(found: Sequence[float]) -> float:
    return round(math.exp(-sum(found) / len(found)), 3)


if __name__ == "__main__":
    raise SystemExit(main())
