"""One rule finds the decoder layers of every family, and says so where it cannot."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from transformers import PreTrainedModel

from kblampp.backbone.decoder_layers import find_decoder_layers, hidden_size, resolve_layers
from kblampp.core.errors import BackboneError
from tests.tiny import FAMILIES, HIDDEN, LAYERS, MORE_FAMILIES, RETURN_TUPLES


def mixture(experts: int) -> PreTrainedModel:
    """A model whose config and lists a mixture with a plain `ModuleList` of experts would have."""
    model = FAMILIES["llama"]()
    model.model.layers[0].mlp.experts = nn.ModuleList(nn.Linear(2, 2) for _ in range(experts))
    return model


def check(model: PreTrainedModel, returned: type) -> None:
    layers = find_decoder_layers(model)
    seen: list[tuple[int, tuple[int, ...]]] = []

    def record(number: int, output: Any) -> None:
        assert isinstance(output, returned)
        hidden = output if isinstance(output, torch.Tensor) else output[0]
        seen.append((number, tuple(hidden.shape)))

    for number, layer in enumerate(layers):
        layer.register_forward_hook(lambda _module, _inputs, output, number=number: record(number, output))
    with torch.no_grad():
        model(torch.arange(2, 12).reshape(2, 5))
    assert seen == [(number, (2, 5, hidden_size(model))) for number in range(LAYERS)]
    assert hidden_size(model) == HIDDEN


@pytest.mark.parametrize("family", FAMILIES | MORE_FAMILIES)
def test_layers_run_in_order_and_carry_the_hidden_states(family: str) -> None:
    check((FAMILIES | MORE_FAMILIES)[family](), tuple if family in RETURN_TUPLES else torch.Tensor)


def test_families_are_the_same_each_time_and_leave_the_global_seed_alone() -> None:
    before = torch.get_rng_state()
    first, second = FAMILIES["llama"](), FAMILIES["llama"]()
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert torch.equal(before, torch.get_rng_state())
    assert not first.training


def test_as_many_experts_as_layers_is_ambiguous_until_a_path_is_named() -> None:
    model = mixture(LAYERS)
    with pytest.raises(BackboneError, match=r"several.*model\.layers.*experts.*name the path"):
        find_decoder_layers(model)
    assert find_decoder_layers(model, "model.layers") is model.model.layers


def test_another_number_of_experts_does_not_disturb() -> None:
    model = mixture(LAYERS + 1)
    assert find_decoder_layers(model) is model.model.layers


def test_mixed_classes_are_no_decoder_layers() -> None:
    model = FAMILIES["llama"]()
    model.model.layers[2] = nn.Identity()
    with pytest.raises(BackboneError, match=r"none.*model\.layers \(4 Identity/LlamaDecoderLayer\)"):
        find_decoder_layers(model)


def test_another_length_is_no_decoder_stack() -> None:
    model = FAMILIES["gpt2"]()
    model.config.n_layer = LAYERS + 1
    with pytest.raises(BackboneError, match=r"\b5 decoder layers"):
        find_decoder_layers(model)


@pytest.mark.parametrize("path", ["model.nowhere", "model", "lm_head.weight", ""])
def test_a_wrong_path_is_refused_with_the_right_ones(path: str) -> None:
    with pytest.raises(BackboneError, match=r"name one of model\.layers"):
        find_decoder_layers(FAMILIES["llama"](), path)


def test_config_without_a_size() -> None:
    model = FAMILIES["llama"]()
    model.config.hidden_size = 0
    with pytest.raises(BackboneError, match=r"hidden_size 0.*positive"):
        hidden_size(model)


@pytest.mark.parametrize(
    ("n_layers", "expected"),
    [(1, (0,)), (2, (0, 1)), (3, (0, 1, 2)), (4, (0, 1, 2)), (6, (2, 3, 4)), (16, (5, 8, 12)), (32, (10, 17, 25))],
)
def test_automatic_layers(n_layers: int, expected: tuple[int, ...]) -> None:
    assert resolve_layers("auto", n_layers) == expected


@given(st.integers(4, 200))
def test_automatic_layers_are_three_evenly_spaced_before_the_last(n_layers: int) -> None:
    layers = resolve_layers("auto", n_layers)
    gaps = [b - a for a, b in pairwise(layers)]
    assert len(layers) == 3
    assert min(gaps) >= 1
    assert max(gaps) - min(gaps) <= 1
    assert 0 <= layers[0] <= n_layers // 3
    assert n_layers // 2 <= layers[-1] < n_layers - 1


def test_listed_layers_come_back_in_order() -> None:
    assert resolve_layers([4, 0, 5], 6) == (0, 4, 5)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([2, 9], r"injection\.layers.* 9\b.*gpt2.*0 to 5"),
        ([-1], r"injection\.layers.* -1\b.*gpt2.*0 to 5"),
        ([2, 2], r"injection\.layers is \[2, 2\].*distinct"),
        ([], r"injection\.layers is \[\].*one or more"),
    ],
)
def test_wrong_layers_are_refused(layers: list[int], message: str) -> None:
    with pytest.raises(BackboneError, match=message):
        resolve_layers(layers, 6, model_name="gpt2")
