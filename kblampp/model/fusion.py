"""How a mixture of fact values enters a hidden state: `h' = h + beta * fuse(v, h)`."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def normalise(hidden: Tensor) -> Tensor:
    """Hidden states with zero mean and unit variance, in float32; what every added module reads."""
    return nn.functional.layer_norm(hidden.float(), hidden.shape[-1:])


class KBFusionLayer(nn.Module):
    """Gated fusion of a value mixture into the hidden state.

    The last linear is zero at the start, so that an untrained layer returns exactly zero.

    Args:
        d_hidden: Width of the hidden state.
        d_v: Width of the values.
        d_fusion: Hidden width of the MLP.
    """

    def __init__(self, d_hidden: int, d_v: int, d_fusion: int) -> None:
        super().__init__()
        self.from_value = nn.Linear(d_v, d_fusion)
        self.from_hidden = nn.Linear(d_hidden, d_fusion, bias=False)
        self.out = nn.Linear(d_fusion, d_hidden, bias=False)
        self.gate = nn.Linear(d_hidden, 1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.gate.weight)
        nn.init.zeros_(self.gate.bias)

    def forward(self, hidden: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """The addition to the hidden state and the gate.

        Args:
            hidden: Normalised hidden states, (batch, seq, d_hidden) float32.
            value: Mixture of fact values, (batch, seq, d_v) float32.

        Returns:
            delta (batch, seq, d_hidden) and beta (batch, seq), both float32.
        """
        beta = torch.sigmoid(self.gate(hidden))
        delta = beta * self.out(nn.functional.gelu(self.from_value(value) + self.from_hidden(hidden)))
        return delta, beta.squeeze(-1)
