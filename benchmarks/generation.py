"""What benchmarks of decoding share: a clock that tells when each token was done, and a backbone of SmolLM2's shape."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerBase,
    StoppingCriteria,
    StoppingCriteriaList,
)

from kblampp.backbone.load import Backbone

EMBEDDED, SMOLLM2 = "embedded", "smollm2_135m"
SMOLLM2_SHAPE: dict[str, Any] = {
    "hidden_size": 576,
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "intermediate_size": 1536,
    "vocab_size": 49152,
    "tie_word_embeddings": True,
}


def smollm2_shaped(tokenizer: PreTrainedTokenizerBase, device: str = "cpu", *, positions: int = 2048) -> Backbone:
    """Random weights of the shape of SmolLM2-135M that read the tokens of a tokenizer, up to so many positions."""
    config = LlamaConfig(
        **SMOLLM2_SHAPE,
        max_position_embeddings=positions,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    torch.manual_seed(0)
    model = LlamaForCausalLM(config).eval().requires_grad_(False).to(device)  # type: ignore[arg-type]
    return Backbone(model, tokenizer, SMOLLM2, SMOLLM2)


class Clock(StoppingCriteria):
    """Notes when each token was done; stops nothing.

    Args:
        read: The time in seconds.
        start: When the work began; None for now.
    """

    def __init__(self, read: Callable[[], float], start: float | None = None) -> None:
        self.read = read
        self.times = [read() if start is None else start]

    def __call__(self, input_ids: Tensor, scores: Tensor, **_: Any) -> Tensor:
        """Called by `generate` after each token."""
        if input_ids.is_cuda:
            torch.cuda.synchronize()
        self.times.append(self.read())
        return torch.zeros(len(input_ids), dtype=torch.bool, device=input_ids.device)


def times_of(
    generate: Callable[..., object], tokens: int, read: Callable[[], float], start: float | None = None
) -> tuple[float, float]:
    """Seconds from the start, None for now, to the first of so many tokens, and to each further one on average."""
    clock = Clock(read, start)
    generate(stopping_criteria=StoppingCriteriaList([clock]), max_new_tokens=tokens, min_new_tokens=tokens)
    begin, first, *_, last = clock.times
    return first - begin, (last - first) / (tokens - 1)
