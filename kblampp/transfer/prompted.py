"""The backbone with prompts on bases that nobody trained on: closed book, and retrieval with 1, 4 or 8 facts.

A small language model answers as it is asked, so how to ask is chosen first, on the split `unseen`, as everything else
is: with a chat template or without, with worked examples or without, and with each fact as its sentence or with all of
its fields.  The dossiers play no part in it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from kblampp.core.errors import BackboneError
from kblampp.data.facts import UNANSWERABLE, Question
from kblampp.evaluation.baselines import nearest_sentences
from kblampp.evaluation.metrics import is_abstention
from kblampp.evaluation.systems import Split
from kblampp.model.predictor import Predictor
from kblampp.rag.prompts import PLAIN, PromptStyle, answer_line, fitting, styles
from kblampp.transfer.kinds import some_of_each_kind
from kblampp.transfer.scoring import is_right

logger = logging.getLogger(__name__)
CHOSEN_WITH = 4
"""Facts in the prompts by which a style is chosen."""
SENTENCES = (1, 4, 8)
"""Facts in the prompts that are measured."""


def choose_style(predictor: Predictor, split: Split, per_kind: int) -> tuple[PromptStyle, dict[str, float]]:
    """The style with which most questions are answered, and the share of right answers of each.

    Args:
        predictor: Of the backbone.
        split: Questions that nothing is measured on.
        per_kind: How many of each kind.
    """
    some = some_of_each_kind(split, per_kind)
    shares: dict[PromptStyle, float] = {}
    for style in styles(predictor.backbone.tokenizer):
        try:
            texts, _ = answer_prompted(predictor, some, style, CHOSEN_WITH)
        except BackboneError as error:
            if style == PLAIN:
                raise
            logger.warning("%s", error)
            continue
        right = count_right(some, texts)
        shares[style] = right / len(texts)
        logger.info("prompt %s: %d of %d right", style, right, len(texts))
    return max(shares, key=shares.__getitem__), {str(style): round(share, 4) for style, share in shares.items()}


def count_right(split: Split, texts: Sequence[str]) -> int:
    """How many of the answers to the questions of a split, (n,), are right, or refuse what has none."""
    return sum(_counts(question, text) for question, text in zip(split.encoded.questions, texts, strict=True))


def _counts(question: Question, text: str) -> bool:
    unanswerable = question.kind == UNANSWERABLE or not question.hops
    return is_abstention(text) if unanswerable and question.form != "yes_no" else is_right(question, text)


def answer_prompted(predictor: Predictor, split: Split, style: PromptStyle, facts: int) -> tuple[list[str], list[int]]:
    """What the backbone says with the nearest facts in the prompt: the first line, (n,), and prompt tokens, (n,).

    Args:
        predictor: Of the backbone.
        split: What is asked, and about which base.
        style: How.
        facts: How many facts a prompt shows; 0 is closed book.
    """
    nearest = nearest_sentences(split.base.store, split.encoded, facts) if facts else [[]] * len(split.encoded)
    return answer_shown(predictor, split, style, nearest)


def answer_shown(
    predictor: Predictor, split: Split, style: PromptStyle, shown: Sequence[Sequence[int]]
) -> tuple[list[str], list[int]]:
    """As `answer_prompted`, with the facts that are given for each question, (n,)."""
    facts, backbone, reserve = split.base.store.facts, predictor.backbone, predictor.max_new_tokens
    prompts = [
        fitting(style, question.question, [style.shown(facts[number]) for number in numbers], backbone, reserve)
        for question, numbers in zip(split.encoded.questions, shown, strict=True)
    ]
    said = predictor.complete(prompts, f"{style}, {max(map(len, shown), default=0)} facts", first_line=True)
    return [answer_line(each.text) for each in said], [each.prompt_tokens for each in said]


def prompted_systems(
    predictor: Predictor, split: Split, style: PromptStyle
) -> tuple[dict[str, list[str]], dict[str, float]]:
    """What closed book and RAG say to the questions about a base, by system, and their mean prompt tokens."""
    said: dict[str, list[str]] = {}
    tokens: dict[str, float] = {}
    for name, facts in (("closed_book", 0), *((f"rag_{n}", n) for n in SENTENCES)):
        said[name], lengths = answer_prompted(predictor, split, style, facts)
        tokens[name] = sum(lengths) / len(lengths)
    return said, tokens


def described(
    style: PromptStyle, shares: Mapping[str, float], tokens: Mapping[str, Mapping[str, float]]
) -> dict[str, Any]:
    """How the backbone was asked: the style, what each was worth on `unseen`, mean prompt tokens by base and system."""
    lengths = {base: {name: round(mean, 1) for name, mean in means.items()} for base, means in tokens.items()}
    return {"style": str(style), "right_on_unseen": dict(shares), "prompt_tokens": lengths}
