"""What a question asks for, beside the fact: of which kind the answer is, which way a fact is read, which of a row."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from kblampp.data.facts import FORMS, MODES, MOST_HOPS
from kblampp.data.windows import OPEN_END, OPEN_START, UNKNOWN_DAY
from kblampp.model.text_hashes import WORD_BUCKETS

LOGIT_SCALE = 5.0
"""Makes logits of the output, so that a rate that suits the other weights suits its own (`query.GATE_SCALE`)."""


SIZES = [1, len(FORMS), len(MODES), MOST_HOPS - 1]


class Reading(NamedTuple):
    """What questions ask for, each (batch, ...).

    Attributes:
        inverse: Logit that the question names the tail and asks for the head, (batch,).
        form: Log-probabilities of `FORMS`, (batch, forms).
        mode: Log-probabilities of `MODES`, (batch, modes).
        hops: Logits that a further hop is due after the first and after the second, (batch, MOST_HOPS - 1).
    """

    inverse: Tensor
    form: Tensor
    mode: Tensor
    hops: Tensor

    def form_of(self, name: str) -> Tensor:
        """Probability of a form, (batch,)."""
        return self.form[:, FORMS.index(name)].exp()

    def mode_of(self, name: str) -> Tensor:
        """Probability of a mode, (batch,)."""
        return self.mode[:, MODES.index(name)].exp()


class QuestionReader(nn.Module):
    """Reads form, mode, direction and hops of a question from its vector, its words, and the hidden state at its end.

    The sentence vector knows more wordings than a small backbone has read, the words ("until when", "the first") say
    most of it whatever the relation is, and the hidden state knows their order.

    Args:
        d_hidden: Width of the hidden state.
        d_sentence: Width of the sentence vectors.
        d_inner: Hidden width.
    """

    def __init__(self, d_hidden: int, d_sentence: int, d_inner: int = 128) -> None:
        super().__init__()
        self.from_question = nn.Linear(d_sentence + 3, d_inner)
        self.from_hidden = nn.Linear(d_hidden, d_inner, bias=False)
        self.out = nn.Linear(d_inner, sum(SIZES))
        self.from_words = nn.Linear(WORD_BUCKETS, self.out.out_features, bias=False)
        nn.init.zeros_(self.from_hidden.weight)
        nn.init.zeros_(self.from_words.weight)
        nn.init.zeros_(self.out.weight)
        with torch.no_grad():  # until it has learned: a plain question for a tail
            start = [-0.4, *_first(len(FORMS)), *_first(len(MODES)), *[0.0] * (MOST_HOPS - 1)]
            self.out.bias.copy_(torch.tensor(start))

    def forward(
        self, hidden: Tensor, question: Tensor, windows: Tensor, words: Tensor, read_hidden: Tensor | None = None
    ) -> Reading:
        """Reads questions.

        Args:
            hidden: Normalised hidden states where the answers start, (batch, d_hidden).
            question: Sentence vectors, (batch, d_sentence), with noise in training.
            windows: The times that they name, (batch, 2): whether there is one, and on which side it is open.
            words: Their words, (batch, WORD_BUCKETS) boolean.
            read_hidden: Rows whose hidden state is read, (batch,) of 0 and 1; None for all.
        """
        known = windows[:, 0] != UNKNOWN_DAY
        named = torch.stack([known, windows[:, 0] == OPEN_START, windows[:, 1] == OPEN_END], dim=-1).float()
        features = torch.cat([question * math.sqrt(question.shape[-1]), named], dim=-1)
        read = self.from_hidden(hidden)
        inner = self.from_question(features) + (read if read_hidden is None else read * read_hidden[:, None])
        logits = LOGIT_SCALE * (self.out(torch.tanh(inner)) + self.from_words(word_shares(words)))
        inverse, form, mode, hops = logits.split(SIZES, dim=-1)
        return Reading(inverse.squeeze(-1), form.log_softmax(-1), mode.log_softmax(-1), hops)


def word_shares(words: Tensor) -> Tensor:
    """Words of questions, (batch, WORD_BUCKETS) boolean, as unit vectors; zero for none."""
    return words / words.sum(-1, keepdim=True).clamp(min=1).sqrt()


def _first(n: int) -> list[float]:
    return [0.4] + [0.0] * (n - 1)
