"""Weights in eight or four bits, through bitsandbytes, on the CPU and on CUDA.

Only weights are quantised: what is computed with them is of the backbone's own type.  So a row's result depends on no
other row of its batch, and is the same with and without gradients, which pass through to what learns below.

Importing this takes seconds: `load.py` does it when it has to.
"""

from __future__ import annotations

from typing import Any

import torch
from bitsandbytes.nn.modules import Int8Params, Linear4bit, Linear8bitLt
from torch import Tensor
from torch.autograd.function import FunctionCtx
from torch.nn import functional
from transformers import BitsAndBytesConfig, PreTrainedModel

from kblampp.core.errors import BackboneError

_LEVELS = 127.0  # of a weight in eight bits, times its row's scale
_BLOCK = 64  # weights in four bits that share a scale


def loading_options(quantize: str, dtype: torch.dtype, device: str) -> dict[str, Any]:
    """What makes `from_pretrained` quantise each weight as it is read.

    Args:
        quantize: "int8" (a scale a row) or "nf4" (four bits, a scale for 64 weights, itself in eight bits).
        dtype: Of the computation.
        device: Where to.
    """
    four = quantize == "nf4"
    config = BitsAndBytesConfig(  # type: ignore[no-untyped-call]
        load_in_8bit=not four,
        load_in_4bit=four,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )
    return {"quantization_config": config, "device_map": {"": device}}


def quantise_weights_alone(model: PreTrainedModel, name: str, quantize: str) -> None:
    """Makes the quantised layers of a model that was just loaded compute in the backbone's type.

    Raises:
        BackboneError: Nothing in the model was quantised, or a layer is one that bitsandbytes reads wrong.
    """
    found = 0
    for path, module in model.named_modules():
        if isinstance(module, Linear8bitLt):
            if isinstance(module.weight, Int8Params) and module.weight.CB is not None:
                module.init_8bit_state()  # type: ignore[no-untyped-call]
            module.__class__ = _Int8Linear
            found += 1
        elif isinstance(module, Linear4bit):
            # Some processors would pack the weights when they are first read without gradients: from then on they are
            # computed with in bfloat16, whatever was asked, and let no gradient through.
            module.support_avx512bf16_for_cpu = False
            if model.device.type == "cpu" and module.in_features % _BLOCK:  # the scales are then given to other weights
                raise BackboneError(
                    f"backbone.quantize is nf4, but on the CPU bitsandbytes reads rows wrong that are no multiple of "
                    f"{_BLOCK} weights long, and those of {path} in backbone {name} have {module.in_features}: "
                    "set it to int8"
                )
            found += 1
    if not found:
        raise BackboneError(
            f"backbone.quantize is {quantize}, but bitsandbytes quantises no layer of backbone {name}, whose "
            f"{type(model).__name__} has linear layers of a class of its own: set it to none"
        )


class _Int8Linear(Linear8bitLt):
    """Of the same weights; the original also rounds what enters to eight bits, by the whole batch."""

    def forward(self, x: Tensor) -> Tensor:
        product: Tensor = _Int8Product.apply(x, self.state.CB, self.state.SCB)  # type: ignore[no-untyped-call]
        return product if self.bias is None else product + self.bias.to(x.dtype)


class _Int8Product(torch.autograd.Function):
    """x W^T; W is made from its codes in each direction, and kept in neither."""

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, codes: Tensor, scales: Tensor) -> Tensor:
        ctx.save_for_backward(codes, scales)
        return functional.linear(x, _weights(codes, scales, x.dtype))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        codes, scales = ctx.saved_tensors
        return gradient @ _weights(codes, scales, gradient.dtype), None, None


def _weights(codes: Tensor, scales: Tensor, dtype: torch.dtype) -> Tensor:
    return codes.to(dtype).mul_((scales / _LEVELS).to(dtype)[:, None])
