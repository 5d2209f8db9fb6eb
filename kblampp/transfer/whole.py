"""Whether answers stay whole: every way of decoding is asked, and its answers are told from beginnings of answers."""

from __future__ import annotations

import itertools
import logging
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from kblampp.core.files import write_json
from kblampp.core.params import Params
from kblampp.core.progress import progress_bar
from kblampp.evaluation.metrics import is_abstention
from kblampp.evaluation.systems import Split
from kblampp.model.batches import prompt_batches, tokenize
from kblampp.model.injection import CallState
from kblampp.model.inputs import Knowledge
from kblampp.model.predictor import Predictor
from kblampp.model.prompts import answer_continuation, closed_book_prompt
from kblampp.transfer.bases import open_groups, open_predictor

logger = logging.getLogger(__name__)
WAYS: dict[str, dict[str, Any]] = {
    "greedy": {"do_sample": False, "num_beams": 1},
    "sampled": {"do_sample": True, "num_beams": 1, "temperature": 1.0, "top_k": 0, "top_p": 1.0},
    "beams": {"do_sample": False, "num_beams": 3},
}
WHOLE, REFUSAL, OWN_WORDS, BROKEN = KINDS = ("whole", "refusal", "own_words", "broken")
LEAST_LETTERS = 4
"""Shorter answers, such as "no" and "1", begin other words."""
Table = dict[str, dict[str, dict[str, int]]]
"""`{base: {way of decoding: {"asked", *KINDS}}}`."""


def run_whole(params: Params, *, data: Path, store: Path, metrics: Path, questions: int) -> Table:
    """Asks the adapter of `params.dataset` in every way, counts what it says, and writes the counts to `whole.json`.

    Args:
        params: The parameters; their dataset has the splits of the worlds.
        data: Holds the bases.
        store: Holds projections, adapter, and the worlds' bases.
        metrics: Where the file goes.
        questions: How many each of the open dossiers together, YAGO and the worlds are asked.  Where there are fewer,
            all are, and sampling asks again with other seeds.

    Returns:
        The counts.

    Raises:
        KBLaMError: An input is missing, damaged, or does not fit the others.
    """
    predictor, encoders = open_predictor(params, store)
    table: Table = {}
    with tempfile.TemporaryDirectory() as scratch:
        for name, bases in open_groups(params, data, store, predictor.backbone, encoders, Path(scratch)):
            splits, table[name] = list(bases.values()), {}
            for way, options in WAYS.items():
                logger.info("%s, %s", name, way)
                found = _ask(predictor, splits, options, questions, params.seed)
                table[name][way] = {"asked": found.total(), **{kind: found[kind] for kind in KINDS}}
    write_json(metrics / "whole.json", table)
    return table


def kind_of(text: str, answers: Sequence[str]) -> str:
    """Which of `KINDS` a text is.

    It is broken where it ends in the middle of an answer from the facts, or begins with a whole word of one and goes on
    otherwise.  Own words that happen to begin so are counted too: rather too many than too few.

    Args:
        text: What was written.
        answers: The possible answers to the question from the facts.
    """
    if is_abstention(text):
        return REFUSAL
    if text in answers:
        return WHOLE
    return BROKEN if any(_begins(text, answer) for answer in answers if not is_abstention(answer)) else OWN_WORDS


def _begins(text: str, answer: str) -> bool:
    first = answer.split()[0]
    after = text[len(first) : len(first) + 1]
    longer = len(answer) >= LEAST_LETTERS and text.startswith(answer)
    return answer.startswith(text) or longer or (text.startswith(first) and not after.isalnum())


def _ask(predictor: Predictor, splits: Sequence[Split], options: dict[str, Any], most: int, seed: int) -> Counter[str]:
    """How many of the answers to at most so many questions are of each of `KINDS`."""
    counts: Counter[str] = Counter()
    # What is not drawn would be the same again.
    rounds: Iterable[int] = itertools.count() if options["do_sample"] else range(1)
    for again in rounds:
        torch.manual_seed(seed + again)
        for split in splits:
            counts.update(_kinds(predictor, split, most - counts.total(), options))
        if counts.total() >= most:
            break
    return counts


def _kinds(predictor: Predictor, split: Split, most: int, options: dict[str, Any]) -> Iterator[str]:
    """The kinds of the answers to the first questions of a split."""
    tokenizer, base, encoded = predictor.backbone.tokenizer, split.base, split.encoded
    selection = replace(predictor.options, top_k=min(predictor.options.top_k, base.store.n))
    asking = replace(predictor, options=selection)
    prompts = [closed_book_prompt(question.question) for question in encoded.questions[:most]]
    with progress_bar(total=len(prompts), desc=split.name, leave=False) as progress:
        for places, ids, mask in prompt_batches(prompts, tokenizer, predictor.batch_size):
            found = generated(asking, asking.knowledge(base, encoded, places), ids, mask, options)
            for place, (text, answers) in zip(places, found, strict=True):
                kind = kind_of(text, answers)
                if kind == BROKEN:
                    logger.info("broken: %r to %r", text, encoded.questions[place].question)
                yield kind
            progress.update(len(places))


def generated(
    predictor: Predictor, knowledge: Knowledge, ids: Tensor, mask: Tensor, options: dict[str, Any]
) -> list[tuple[str, list[str]]]:
    """What is written after prompts (batch, seq), left-padded, and the possible answers to each from the facts.

    Args:
        predictor: The model and how it is asked.
        knowledge: What it reads.
        ids: The prompts.
        mask: (batch, seq).
        options: For `generate`: the way of decoding.
    """
    model, tokenizer = predictor.model, predictor.backbone.tokenizer
    device = predictor.backbone.model.device
    ids, mask = ids.to(device), mask.to(device)
    # A list that is longer than the longest of own words is not to be cut off.
    with torch.no_grad():
        before = _texts(model(ids, mask, knowledge=knowledge).state, len(ids))
    choices = [answer_continuation(text) for text in {text for texts in before for text in texts}]
    longest = max((len(row) for row in tokenize(tokenizer, choices)), default=0)
    out, state = model.generate(
        ids,
        mask,
        tokenizer=tokenizer,
        knowledge=knowledge,
        max_new_tokens=max(predictor.max_new_tokens, longest + 1),
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        **options,
    )
    written = tokenizer.batch_decode(
        out[:, ids.shape[1] :], skip_special_tokens=True, clean_up_tokenization_spaces=False
    )
    start = len(answer_continuation(""))
    return list(zip((text[start:] for text in written), _texts(state, len(ids)), strict=True))


def _texts(state: CallState | None, questions: int) -> list[list[str]]:
    """The possible answers to each question; beams are rows of one question, and have read the same."""
    found = [] if state is None else state.answers()
    return [[answer.text for answer in row] for row in found[:: max(1, len(found) // questions)]]
