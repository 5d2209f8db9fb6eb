"""A fusion layer returns exactly zero before training, then a gated MLP of value and hidden state."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from kblampp.model.fusion import KBFusionLayer, normalise


@pytest.fixture
def layer() -> KBFusionLayer:
    torch.manual_seed(0)
    return KBFusionLayer(d_hidden=12, d_v=6, d_fusion=10)


def randomised(layer: KBFusionLayer) -> KBFusionLayer:
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter)
    return layer


def test_untrained_it_adds_exactly_nothing_through_a_half_open_gate(layer: KBFusionLayer) -> None:
    delta, beta = layer(torch.randn(2, 3, 12) * 100, torch.randn(2, 3, 6) * 100)
    assert delta.shape == (2, 3, 12)
    assert beta.shape == (2, 3)
    assert not delta.any()
    assert (beta == 0.5).all()


def test_untrained_its_output_weights_get_a_gradient(layer: KBFusionLayer) -> None:
    layer(torch.randn(2, 3, 12), torch.randn(2, 3, 6))[0].sum().backward()
    assert layer.out.weight.grad is not None
    assert layer.out.weight.grad.any()


def test_it_is_the_designs_formula(layer: KBFusionLayer) -> None:
    randomised(layer)
    hidden, value = torch.randn(2, 3, 12), torch.randn(2, 3, 6)
    delta, beta = layer(hidden, value)
    w = {name: parameter.detach().double().numpy() for name, parameter in layer.named_parameters()}
    h, v = hidden.double().numpy(), value.double().numpy()
    gate = 1 / (1 + np.exp(-(h @ w["gate.weight"].T + w["gate.bias"])))
    inner = v @ w["from_value.weight"].T + w["from_value.bias"] + h @ w["from_hidden.weight"].T
    gelu = 0.5 * inner * (1 + np.vectorize(math.erf)(inner / math.sqrt(2)))
    np.testing.assert_allclose(beta.detach(), gate[..., 0], atol=1e-6)
    np.testing.assert_allclose(delta.detach(), gate * (gelu @ w["out.weight"].T), atol=1e-4)


def test_a_closed_gate_adds_nothing(layer: KBFusionLayer) -> None:
    randomised(layer)
    torch.nn.init.constant_(layer.gate.bias, -1e4)
    delta, beta = layer(torch.randn(1, 2, 12), torch.randn(1, 2, 6))
    assert not delta.any()
    assert not beta.any()


def test_every_token_is_fused_alone(layer: KBFusionLayer) -> None:
    randomised(layer)
    hidden, value = torch.randn(2, 5, 12), torch.randn(2, 5, 6)
    together, _ = layer(hidden, value)
    alone, _ = layer(hidden[1:, 3:4], value[1:, 3:4])
    torch.testing.assert_close(together[1:, 3:4], alone)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_normalised_states_are_float32_of_zero_mean_and_unit_variance(dtype: torch.dtype) -> None:
    hidden = (torch.randn(2, 3, 64) * 50 + 20).to(dtype)
    normal = normalise(hidden)
    assert normal.dtype == torch.float32
    torch.testing.assert_close(normal.mean(-1), torch.zeros(2, 3), atol=1e-5, rtol=0)
    torch.testing.assert_close(normal.var(-1, unbiased=False), torch.ones(2, 3), atol=1e-3, rtol=0)
    expected = hidden.float() - hidden.float().mean(-1, keepdim=True)
    torch.testing.assert_close(normal, expected / expected.std(-1, unbiased=False, keepdim=True), atol=1e-4, rtol=1e-4)


def test_a_constant_state_stays_finite() -> None:
    assert torch.isfinite(normalise(torch.full((1, 1, 8), 3.0))).all()
