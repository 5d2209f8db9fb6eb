"""What is measured of sentences: words from elsewhere, whether the right answer stands in them, how they read.

The checks know nothing of how sentences are made: they look at the text, the question and the cited facts alone.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kblampp.asking.replies import Reply
from kblampp.data.facts import UNANSWERABLE, FiveTuple, Question
from kblampp.evaluation.metrics import accepted, normalize_answer
from kblampp.model.answers import SEPARATOR
from kblampp.sentences.chooser import log_probs
from kblampp.sentences.english import OWN_WORDS, past, plural, third
from kblampp.transfer.scoring import is_right

AT_ONCE = 16
T = TypeVar("T")
_TOKEN = re.compile(r"[^\W_]+")


@dataclass(frozen=True)
class Asked:
    """A question of a base, and the reply with its sentence.

    Attributes:
        base: Name of the base.
        question: The question.
        reply: What came back.
        wordings: How many wordings the language model had to choose from.
    """

    base: str
    question: Question
    reply: Reply
    wordings: int

    @property
    def right(self) -> bool:
        """Whether the short answer is."""
        if self.question.kind == UNANSWERABLE:
            return self.reply.refused
        return is_right(self.question, self.reply.answer)

    @property
    def contained(self) -> bool:
        """Whether the right answer stands in the text: all items of a list, "yes" or "no" at its start, a refusal."""
        text = self.reply.text
        if self.question.kind == UNANSWERABLE:
            return self.reply.refused and (not self.reply.sentence or " does not say " in text)
        if self.question.kind == "yes_no":
            return normalize_answer(text).split()[:1] == [normalize_answer(self.question.answer)]
        # "Whose …?" gives a name the ending "'s".
        said = [f" {normalize_answer(each)} " for each in (text, text.replace("'s ", " "))]
        return any(
            all(any(f" {normalize_answer(item)} " in each for each in said) for item in answer.split(SEPARATOR))
            for answer in accepted(self.question)
        )


def strays(reply: Reply, text: str | None = None) -> tuple[list[str], list[str]]:
    """Words of a text that come neither from the question nor from what was copied.

    Args:
        reply: With the facts that its answer cites.
        text: The text; None for the reply's.

    Returns:
        Those with a capital letter or a digit (names, numbers, dates), and other words that are no words of the
        question in another form and not in `OWN_WORDS`.
    """
    fields = [_field(reply.facts[source.fact], source.field) for source in reply.sources]
    fields += [_field(reply.facts[source.fact], source.field) for piece in reply.sentence for source in piece.sources]
    given = set(_TOKEN.findall(" ".join([reply.question, reply.answer, *fields])))
    small = {word.lower() for word in given}
    forms = {form(word) for word in small for form in (past, third, plural)}
    names, others = [], []
    for at, word in enumerate(_TOKEN.findall(reply.text if text is None else text)):
        opens = at == 0 and word.lower() in small | OWN_WORDS
        if word in given or opens or word in OWN_WORDS or word == "s":
            continue
        if word != word.lower() or any(letter.isdigit() for letter in word):
            names.append(word)
        elif word not in small | forms:
            others.append(word)
    return names, others


def _field(fact: FiveTuple, field: str) -> str:
    if field in ("start", "end"):
        return fact.window.in_words(field) or ""
    return {"head": fact.head.name, "tail": fact.tail.name}.get(field, "")


def is_whole(reply: Reply) -> bool:
    """Whether each copied part stands in the sentence letter by letter; a yes or no may begin with a capital letter."""
    return all(part.text in reply.text or part.text.capitalize() in reply.text for part in reply.parts)


def perplexity(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> float:
    """Of the tokens of texts under the bare language model, each text alone after an end of text, and counted alike."""
    means = [log_probs(model, tokenizer, str(tokenizer.eos_token), some) for some in batched(texts, AT_ONCE)]
    return math.exp(-float(torch.cat(means).mean()))


def batched(texts: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    """The texts, so many at once."""
    for start in range(0, len(texts), size):
        yield texts[start : start + size]


def spread(texts: Sequence[T], most: int) -> Sequence[T]:
    """At most so many of a sequence, each as far from the next."""
    most = min(most, len(texts))
    return [texts[(2 * place + 1) * len(texts) // (2 * most)] for place in range(most)]


def shuffled(text: str, seed: int) -> str:
    """The words of a sentence in any order: what no fluent speaker would say."""
    words = text.rstrip(".").split()
    random.Random(seed).shuffle(words)
    return " ".join(words) + "."
