"""What all prompts of a call begin with, such as worked examples, is read once (prefix caching)."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import DynamicCache

LEAST = 16
"""Tokens from which keeping them is worth a pass of its own."""


@dataclass(frozen=True)
class SharedPrefix:
    """Tokens that all prompts begin with, and what the layers of the backbone keep of them.

    Attributes:
        tokens: (n,).
        cache: Their keys and values, of one row.
    """

    tokens: Tensor
    cache: DynamicCache

    @classmethod
    def of(cls, prompts: Sequence[Sequence[int]], model: nn.Module) -> SharedPrefix | None:
        """The prefix of prompts, read by a language model.

        None where there is little to gain, and where the padding that comes to stand behind the prefix would be felt:
        with a model that counts positions itself, or whose attention reaches back only so many places.
        """
        length = _common(prompts)
        config = getattr(model, "config", None)
        counts_itself = "position_ids" not in inspect.signature(model.forward).parameters
        if len(prompts) < 2 or length < LEAST or counts_itself or getattr(config, "sliding_window", None) is not None:
            return None
        tokens = torch.tensor(prompts[0][:length])
        device = next(model.parameters()).device
        with torch.no_grad():
            cache = model(tokens[None].to(device), past_key_values=DynamicCache(config=config)).past_key_values
        return cls(tokens, cache) if isinstance(cache, DynamicCache) else None

    def first(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Left-padded prompts, (batch, seq), and their mask, with the padding behind the prefix."""
        length, column = len(self.tokens), torch.arange(ids.shape[1])
        padding = (mask == 0).sum(1, keepdim=True)
        there = (column < length) | (column >= length + padding)
        moved = torch.where(there, ids, ids[:, :1])  # a row without padding has no place for it either
        moved[:, :length] = self.tokens
        return moved, there.to(mask.dtype)

    def rows(self, n: int) -> DynamicCache:
        """A cache that n rows may write on in."""
        found = copy.deepcopy(self.cache)
        found.batch_repeat_interleave(n)
        return found


def _common(prompts: Sequence[Sequence[int]]) -> int:
    """How many tokens all prompts begin with; each has at least one more."""
    most = min(map(len, prompts), default=1) - 1
    return next((place for place in range(most) if len({prompt[place] for prompt in prompts}) > 1), most)
