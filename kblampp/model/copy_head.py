"""The copy head: a pointer over the retrieved tails' tokens, so that names and numbers come out exactly.

A tail is tokenised as it continues a prompt and ends in EOS, so "Port" and "Port Alder" differ.  A tail takes part as
long as it continues what has been written since the answer started; matching is a pure function of the token ids, the
same in the training forward and, one position at a time, in generation.  After pointer-generator networks (See et al.
2017, section 2.2), with the selector's alpha in the place of attention over a source text.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from kblampp.core.errors import BackboneError
from kblampp.data.facts import UNKNOWN_ANSWER
from kblampp.model.prompts import answer_continuation

PADDING = -1
TINY = 1e-30
"""Stands for a probability of zero, of which there is no logarithm."""
DOUBT = 0.02
"""Weight of the facts that still fit at which copying and the language model have an equal say (lambda being 1).

Where a name goes on, nearly all of the weight fits.  Where the language model has written something else, facts fit by
chance, and what little weight they have must not count as certainty.
"""


class TailTable:
    """The token ids of every tail of a knowledge base, and of the null fact as its last row.

    Attributes:
        tokens: (n + 1, longest) int64, EOS at each end, then PADDING.
    """

    def __init__(self, tails: Sequence[str], tokenizer: PreTrainedTokenizerBase, *, max_tokens: int = 64) -> None:
        """Tokenises the tails; what is longer than `max_tokens` is cut, and then continues without the copy head.

        Raises:
            BackboneError: The tokenizer has no end-of-sequence token.
        """
        eos = tokenizer.eos_token_id
        if not isinstance(eos, int):
            raise BackboneError("the backbone's tokenizer has no eos token, which ends an answer; use one that has")
        distinct = list(dict.fromkeys([*tails, UNKNOWN_ANSWER]))
        texts = [answer_continuation(tail) for tail in distinct]
        encoded = tokenizer(texts, add_special_tokens=False)["input_ids"] if texts else []
        cut = {name: [*ids[:max_tokens], eos][:max_tokens] for name, ids in zip(distinct, encoded, strict=True)}
        longest = max(map(len, cut.values()))
        rows = [cut[name] + [PADDING] * (longest - len(cut[name])) for name in [*tails, UNKNOWN_ANSWER]]
        self.tokens = torch.tensor(rows, dtype=torch.int64)

    @property
    def null(self) -> int:
        """The null fact's row."""
        return len(self.tokens) - 1

    def to(self, device: torch.device | str) -> TailTable:
        """Moves the table."""
        self.tokens = self.tokens.to(device)
        return self


def next_tokens(tails: Tensor, written: Tensor, length: Tensor) -> Tensor:
    """The token with which each tail continues the text written so far.

    Args:
        tails: Token ids of the candidates, (rows, n, longest), PADDING after the end.
        written: Answer tokens, (rows, any width); only the first `length` of a row count.
        length: How many tokens of the answer are written, (rows,).

    Returns:
        (rows, n) token ids; PADDING where the tail does not begin with the text, or has ended.
    """
    longest = tails.shape[-1]
    if written.shape[1] < longest:
        written = torch.nn.functional.pad(written, (0, longest - written.shape[1]), value=PADDING)
    position = torch.arange(longest, device=tails.device)
    agrees = (tails == written[:, None, :longest]) | (position >= length[:, None, None])
    begins = agrees.all(-1) & (length[:, None] < longest)
    following = tails.gather(-1, length.clamp(max=longest - 1)[:, None, None].expand(-1, tails.shape[1], 1)).squeeze(-1)
    return torch.where(begins, following, torch.full_like(following, PADDING))


def rename_tails(tails: Tensor, ids: Tensor, renamed: Tensor, names: Tensor) -> Tensor:
    """The tails with another name for one fact a row, as training gives some.

    Args:
        tails: Token ids of the candidates and, last, of the null fact, (rows, n + 1, longest).
        ids: The candidates, (rows, n); -1 where there is none.
        renamed: The fact with the new name, (rows,); -1 for none.
        names: The names, (rows, any width), PADDING after the end.

    Returns:
        (rows, n + 1, the larger width).
    """
    width = max(tails.shape[-1], names.shape[-1])
    tails = torch.nn.functional.pad(tails, (0, width - tails.shape[-1]), value=PADDING)
    names = torch.nn.functional.pad(names, (0, width - names.shape[-1]), value=PADDING)
    chosen = (ids == renamed[:, None]) & (ids >= 0)
    chosen = torch.nn.functional.pad(chosen, (0, 1))  # the null fact keeps its name
    return torch.where(chosen[..., None], names[:, None], tails)


def copy_shares(gate: Tensor, alpha: Tensor, tokens: Tensor) -> Tensor:
    """How much of the next token's probability each candidate gives: lambda c alpha_i / m with c = m / (m + DOUBT).

    m is the alpha of the facts that take part.  Facts that the text contradicts drop out and the others share their
    weight, so that a name once begun is finished; where hardly any weight is left the language model has the word.

    Args:
        gate: lambda, (rows,).
        alpha: Weights of the candidates, (rows, n).
        tokens: Their next tokens, (rows, n), PADDING where they take no part.

    Returns:
        (rows, n); a row sums to lambda c.
    """
    weight = torch.where(tokens == PADDING, torch.zeros_like(alpha), alpha)
    return weight * gate[:, None] / (weight.sum(-1, keepdim=True) + DOUBT)


def copy_log_probs(logits: Tensor, tokens: Tensor, shares: Tensor) -> Tensor:
    """log of p = (1 - sum_i share_i) p_LM + sum_i share_i [next token of tail i].

    Args:
        logits: The backbone's, (rows, vocabulary).
        tokens: Next tokens of the candidates, (rows, n), PADDING where they take no part.
        shares: Theirs of the probability (`copy_shares`), (rows, n).

    Returns:
        (rows, vocabulary) float32 log-probabilities.
    """
    copied = torch.zeros_like(logits, dtype=torch.float32).scatter_add(1, tokens.clamp(min=0), shares)
    kept = (1 - shares.sum(-1, keepdim=True)).clamp(min=TINY)
    from_model = kept.log() + torch.log_softmax(logits.float(), dim=-1)
    return torch.logaddexp(from_model, copied.clamp(min=TINY).log())
