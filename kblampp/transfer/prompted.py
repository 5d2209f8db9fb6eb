"""The backbone with prompts on bases that nobody trained on: closed book, and retrieval with 1, 4 or 8 facts.

A small language model answers as it is asked, so how to ask is chosen first, on the split `unseen`, as everything else
is: with a chat template or without, with worked examples or without, and with each fact as its sentence or with all of
its fields.  The dossiers play no part in it.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from transformers import PreTrainedTokenizerBase

from kblampp.core.errors import BackboneError
from kblampp.data.facts import UNANSWERABLE, FiveTuple, Question, evidence_sentence
from kblampp.evaluation.baselines import nearest_sentences
from kblampp.evaluation.metrics import is_abstention
from kblampp.evaluation.systems import Split
from kblampp.model.predictor import Predictor
from kblampp.model.prompts import ANSWER_CUE
from kblampp.transfer.scoring import is_right

logger = logging.getLogger(__name__)
INSTRUCTION = (
    "Answer the question. Say only the answer itself: a name, a number, a date, yes or no, or several names with "
    "semicolons between them. If it is not known, say unknown."
)
EXAMPLES: tuple[tuple[tuple[str, ...], str, str], ...] = (
    (
        (
            "harbour master of Port Elsby: Ines Corrado (from 1997 until 2004). Ines Corrado ran the port until 2004.",
            "harbour master of Port Elsby: Piet Aalders (from 2005). Piet Aalders took over in 2005.",
        ),
        "Who was harbour master of Port Elsby in 2001?",
        "Ines Corrado",
    ),
    (
        ("owner of the ferry Dorte: Lunden Line (from 1990).", "length of the ferry Dorte: 84 m."),
        "Is the ferry Dorte owned by Lunden Line?",
        "yes",
    ),
    (
        (
            "route of Lunden Line: Elsby to Marn.",
            "route of Lunden Line: Elsby to Tollø.",
            "founded of Lunden Line: 1952.",
        ),
        "Which routes does Lunden Line have?",
        "Elsby to Marn; Elsby to Tollø",
    ),
    (
        ("length of the ferry Dorte: 84 m.", "owner of the ferry Dorte: Lunden Line (from 1990)."),
        "How fast is the Dorte?",
        "unknown",
    ),
)
"""Facts, question and answer, of no base that is asked about."""
CHOSEN_WITH = 4
"""Facts in the prompts by which a style is chosen."""
SENTENCES = (1, 4, 8)
"""Facts in the prompts that are measured."""


@dataclass(frozen=True)
class PromptStyle:
    """How the backbone is asked.

    Attributes:
        chat: By its chat template; else as running text.
        examples: Whether worked examples come first.
        fields: Whether a fact is shown with relation, names and time; else as its sentence.
    """

    chat: bool
    examples: bool
    fields: bool

    def __str__(self) -> str:
        parts = ("chat", self.chat), ("examples", self.examples), ("fields", self.fields)
        return " + ".join(name for name, there in parts if there) or "plain"

    def shown(self, fact: FiveTuple) -> str:
        """A fact as a prompt shows it."""
        if not self.fields:
            return evidence_sentence(fact)
        since, until = (fact.window.in_words(bound) for bound in ("start", "end"))
        times = [f"{word} {day}" for word, day in (("from", since), ("until", until)) if day]
        time = f" ({' '.join(times)})" if times else ""
        sentence = f" {fact.context.sent_span}" if fact.context.sent_span else ""
        return f"{fact.relation.name} of {fact.head.name}: {fact.tail.name}{time}.{sentence}"

    def prompt(self, question: str, facts: Sequence[str], tokenizer: PreTrainedTokenizerBase) -> str:
        """The text that the backbone goes on from."""
        examples = EXAMPLES if self.examples else ()
        asked = [(shown if facts else (), text, answer) for shown, text, answer in examples]
        blocks = [_block(shown, text) for shown, text, _ in (*asked, (facts, question, ""))]
        if not self.chat:
            turns = [f"{block}\n{ANSWER_CUE} {answer}" for block, (*_, answer) in zip(blocks, asked, strict=False)]
            return "\n\n".join([*([INSTRUCTION] if examples else []), *turns, f"{blocks[-1]}\n{ANSWER_CUE}"])
        turns_of_chat = [{"role": "system", "content": INSTRUCTION}]
        for block, (*_, answer) in zip(blocks, asked, strict=False):
            turns_of_chat += [{"role": "user", "content": block}, {"role": "assistant", "content": answer}]
        turns_of_chat.append({"role": "user", "content": blocks[-1]})
        return str(tokenizer.apply_chat_template(turns_of_chat, tokenize=False, add_generation_prompt=True))


def _block(facts: Sequence[str], question: str) -> str:
    return "\n".join([*facts, f"Question: {question}"])


PLAIN = PromptStyle(chat=False, examples=False, fields=False)


def styles(tokenizer: PreTrainedTokenizerBase) -> list[PromptStyle]:
    """All that are tried: with a chat template only where the tokenizer has one."""
    chats = (False, True) if tokenizer.chat_template else (False,)
    return [PromptStyle(*each) for each in product(chats, (False, True), (False, True))]


def choose_style(predictor: Predictor, split: Split, per_kind: int) -> tuple[PromptStyle, dict[str, float]]:
    """The style with which most questions are answered, and the share of right answers of each.

    Args:
        predictor: Of the backbone.
        split: Questions that nothing is measured on.
        per_kind: How many of each kind.
    """
    count: dict[str, int] = defaultdict(int)
    places = []
    for place, question in enumerate(split.encoded.questions):
        kind = str(question.program["kind"]) if question.program else question.type
        count[kind] += 1
        if count[kind] <= per_kind:
            places.append(place)
    some = replace(split, encoded=split.encoded.part(places))
    shares: dict[PromptStyle, float] = {}
    for style in styles(predictor.backbone.tokenizer):
        try:
            texts, _ = answer_prompted(predictor, some, style, CHOSEN_WITH)
        except BackboneError as error:
            if style == PLAIN:
                raise
            logger.warning("%s", error)
            continue
        hits = [_counts(question, text) for question, text in zip(some.encoded.questions, texts, strict=True)]
        shares[style] = sum(hits) / len(hits)
        logger.info("prompt %s: %d of %d right", style, sum(hits), len(hits))
    return max(shares, key=shares.__getitem__), {str(style): round(share, 4) for style, share in shares.items()}


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
    facts = split.base.store.facts
    prompts = [
        _fitting(style, question.question, [style.shown(facts[number]) for number in numbers], predictor)
        for question, numbers in zip(split.encoded.questions, shown, strict=True)
    ]
    said = predictor.complete(prompts, f"{style}, {max(map(len, shown), default=0)} facts")
    return [_first_line(each.text) for each in said], [each.prompt_tokens for each in said]


def _fitting(style: PromptStyle, question: str, facts: Sequence[str], predictor: Predictor) -> str:
    """The prompt with as many of the facts, the nearest first, as the backbone has positions for.

    Raises:
        BackboneError: It has none for the prompt without facts.
    """
    backbone = predictor.backbone
    room = getattr(backbone.model.config, "max_position_embeddings", None)
    for shown in range(len(facts), -1, -1):
        prompt = style.prompt(question, facts[:shown], backbone.tokenizer)
        length = len(backbone.tokenizer(prompt)["input_ids"])
        if room is None or length + predictor.max_new_tokens <= room:
            return prompt
    raise BackboneError(
        f"backbone {backbone.name} takes {room} tokens, and a prompt in the style {style!s} has {length} without any "
        f"fact, with {predictor.max_new_tokens} more for the answer: take another backbone"
    )


def _first_line(text: str) -> str:
    return text.strip().split("\n")[0].strip().removesuffix(".")


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
