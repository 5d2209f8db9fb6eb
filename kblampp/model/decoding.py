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
Prefix = tuple[int, tuple[int, ...]]
"""A question and what has been written of its answer."""


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
        commit: Whether each row keeps to own words or to the first of the answers, whichever kind is more probable,
            decided at the first token, as greedy decoding does; else the mixture itself is given.
    """

    def __init__(
        self, source: _Source, questions: int, tokenizer: PreTrainedTokenizerBase, prompt_length: int, *, commit: bool
    ) -> None:
        self._source, self._questions, self._tokenizer = source, questions, tokenizer
        self._start, self._commit = prompt_length, commit
        self._decided: list[tuple[list[Choice], float]] | None = None
        self._before: dict[Prefix, tuple[int, float]] = {}
        self._log_probs: Tensor | None = None

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Log-probabilities (rows, vocabulary) of the next tokens after `input_ids` (rows, seq).

        Own words keep their proportions, so that the vocabulary is only shifted: a row by what own words still weigh
        against the answers that go on as it began.  The few tokens with which those go on are put in their places.
        """
        per_question = len(input_ids) // self._questions
        if self._decided is None:
            found, own = self._source.answers(), self._source.own_words()
            step = len(found) // self._questions  # the rows of one question have read the same
            choices = tokenized(found[::step], self._tokenizer)
            self._decided = [self._decide(*row) for row in zip(choices, own[::step], strict=True)]
        log_probs = torch.log_softmax(scores.float(), dim=-1)
        written = input_ids[:, self._start :].tolist()
        prefixes: list[Prefix] = [(place // per_question, tuple(tokens)) for place, tokens in enumerate(written)]
        said = self._said(prefixes)
        self._before = {prefix: (row, so_far) for row, (prefix, so_far) in enumerate(zip(prefixes, said, strict=True))}
        self._log_probs = log_probs
        return self._mixed(prefixes, said, log_probs)

    def _decide(self, choices: list[Choice], own: float) -> tuple[list[Choice], float]:
        if not self._commit:
            return choices, own
        return ([], 1.0) if own > 0.5 else (choices[:1], 0.0)

    def _said(self, prefixes: Sequence[Prefix]) -> list[float]:
        """Log-probability of each prefix in own words, (rows,); beams may have come from any row of their question."""
        if self._log_probs is None:
            return [0.0] * len(prefixes)
        rows, so_far = zip(*(self._before[question, prefix[:-1]] for question, prefix in prefixes), strict=True)
        last = self._log_probs[list(rows), [prefix[-1] for _, prefix in prefixes]].tolist()
        return [before + added for before, added in zip(so_far, last, strict=True)]

    def _mixed(self, prefixes: Sequence[Prefix], said: Sequence[float], log_probs: Tensor) -> Tensor:
        """The mixture after prefixes; tokens that others have forbidden, minus infinity, stay so."""
        going_on = [(row, *one) for row, prefix in enumerate(prefixes) for one in self._copied(*prefix).items()]
        if not going_on:  # own words alone, or answers that have ended
            return log_probs
        row, token = torch.tensor([place for *place, _ in going_on], device=log_probs.device).T
        copied = torch.tensor([p for *_, p in going_on], dtype=torch.float64, device=log_probs.device)
        alone = log_probs[row, token].double()
        copied = copied.masked_fill(alone == -torch.inf, 0)
        facts = copied.new_zeros(len(prefixes)).index_add(0, row, copied)
        own = copied.new_tensor([(self._decided or [])[question][1] for question, _ in prefixes]).log()
        own = own + own.new_tensor(said)
        total = torch.logaddexp(own, facts.log())
        mixed = log_probs + torch.where(facts > 0, own - total, 0.0).float()[:, None]
        there = copied > 0
        row, token = row[there], token[there]
        mixed[row, token] = (torch.logaddexp(own[row] + alone[there], copied[there].log()) - total[row]).float()
        return mixed

    def _copied(self, question: int, prefix: tuple[int, ...]) -> dict[int, float]:
        """The tokens with which answers from the facts go on after a prefix, and the probability of these answers."""
        following: dict[int, float] = {}
        for tokens, probability in (self._decided or [])[question][0]:
            if len(tokens) > len(prefix) and tokens[: len(prefix)] == prefix:
                token = tokens[len(prefix)]
                following[token] = following.get(token, 0.0) + probability
        return following
