"""Answers from the facts among the language model's own words, token by token, for sampling and beams.

p(answer) = sum_c p(c) [answer is c] + p(own words) p_LM(answer), so that after the tokens w the next one has
p(t | w) proportional to sum_c p(c) [c begins with w t] + p(own words) p_LM(w t): what contradicts w drops out, and
whoever draws token by token draws whole answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor
from transformers import LogitsProcessor, PreTrainedTokenizerBase

from kblampp.core.errors import BackboneError
from kblampp.model.answers import Answer
from kblampp.model.prompts import answer_continuation

Choice = tuple[tuple[int, ...], float]
"""Tokens of an answer, the end among them, and its probability."""


class _Source(Protocol):
    def answers(self) -> list[list[Answer]]:
        """The possible answers of each row, once the prompt has been read."""

    def own_words(self) -> list[float]:
        """Probability of own words in each row."""


def tokenized(found: Sequence[Sequence[Answer]], tokenizer: PreTrainedTokenizerBase) -> list[list[Choice]]:
    """Answers as tokens that continue a prompt.

    Raises:
        BackboneError: The tokenizer has no end-of-sequence token.
    """
    eos = tokenizer.eos_token_id
    if not isinstance(eos, int):
        raise BackboneError("the backbone's tokenizer has no eos token, which ends an answer; use one that has")
    texts = list(dict.fromkeys(answer.text for row in found for answer in row))
    rows = (
        tokenizer([answer_continuation(text) for text in texts], add_special_tokens=False)["input_ids"] if texts else []
    )
    tokens = {text: (*ids, eos) for text, ids in zip(texts, rows, strict=True)}
    return [[(tokens[answer.text], answer.probability) for answer in row] for row in found]


class AnswerProcessor(LogitsProcessor):
    """Turns the backbone's scores into log-probabilities of the mixture, at each decoding step.

    Args:
        source: Of the possible answers; asked once the prompt has been read.
        questions: How many questions there are; beams and return sequences are rows of one question.
        tokenizer: The backbone's.
        prompt_length: Tokens before the answer.
        commit: Whether each row keeps to own words or to the most probable answer, whichever kind is more probable,
            decided at the first token, as greedy decoding does; else the mixture itself is given.
    """

    def __init__(
        self, source: _Source, questions: int, tokenizer: PreTrainedTokenizerBase, prompt_length: int, *, commit: bool
    ) -> None:
        self._source, self._questions, self._tokenizer = source, questions, tokenizer
        self._start, self._commit = prompt_length, commit
        self._rows: list[tuple[list[Choice], float]] | None = None
        self._spoken: dict[tuple[int, tuple[int, ...]], tuple[float, Tensor]] = {}

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Log-probabilities (rows, vocabulary) of the next tokens after `input_ids` (rows, seq)."""
        per_question = len(input_ids) // self._questions
        if self._rows is None:
            found, own = self._source.answers(), self._source.own_words()
            step = len(found) // self._questions  # the rows of one question have read the same
            choices = tokenized(found[::step], self._tokenizer)
            self._rows = [self._decided(*row) for row in zip(choices, own[::step], strict=True)]
        log_probs, spoken, mixed = torch.log_softmax(scores.float(), dim=-1), {}, []
        for place, written in enumerate(input_ids[:, self._start :].tolist()):
            question, prefix = place // per_question, tuple(written)
            so_far = 0.0
            if prefix:
                before, last = self._spoken[question, prefix[:-1]]
                so_far = before + float(last[prefix[-1]])
            spoken[question, prefix] = so_far, log_probs[place]
            mixed.append(self._next(question, prefix, so_far, log_probs[place]))
        self._spoken = spoken
        return torch.stack(mixed)

    def _decided(self, choices: list[Choice], own: float) -> tuple[list[Choice], float]:
        if not self._commit:
            return choices, own
        return ([], 1.0) if own > 0.5 else ([max(choices, key=lambda choice: choice[1])], 0.0)

    def _next(self, question: int, prefix: tuple[int, ...], so_far: float, log_probs: Tensor) -> Tensor:
        """Log-probabilities after a prefix; tokens that others have forbidden, minus infinity, stay so."""
        choices, own = (self._rows or [])[question]
        copied = torch.zeros_like(log_probs, dtype=torch.float64)
        for tokens, probability in choices:
            if len(tokens) > len(prefix) and tokens[: len(prefix)] == prefix:
                copied[tokens[len(prefix)]] += probability
        said = torch.tensor(own, dtype=torch.float64).log() + so_far + log_probs.double()
        total = torch.logaddexp(copied.log(), said).masked_fill(log_probs == -torch.inf, -torch.inf)
        if not torch.isfinite(total).any():  # the answer has ended, or what goes on with it is forbidden
            return log_probs
        return (total - total.logsumexp(-1)).float()
