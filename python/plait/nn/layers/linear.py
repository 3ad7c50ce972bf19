"""Layers that multiply by a matrix."""

from __future__ import annotations

import math
from typing import Any

import plait.core as pc
from plait.nn.layers.base import Module
from plait.nn.layers.quantized import QQLinear, QuantizedLinear


class Identity(Module):
    """Returns its input. Arguments are taken and ignored, so that it can stand in for any layer."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def __call__(self, x: pc.array) -> pc.array:
        return x


class Linear(Module):
    """x @ weight.T + bias.

    Shapes: x (..., input_dims) -> (..., output_dims); weight (output_dims, input_dims), bias (output_dims,).
    Both start uniform in +-1/sqrt(input_dims). The dtype follows from promotion of x and the parameters.
    """

    def __init__(self, input_dims: int, output_dims: int, bias: bool = True) -> None:
        super().__init__()
        if input_dims < 1:
            raise ValueError(f"Linear: input_dims must be at least 1, got {input_dims}")
        bound = math.sqrt(1.0 / input_dims)
        self.weight = pc.random.uniform(low=-bound, high=bound, shape=(output_dims, input_dims))
        if bias:
            self.bias = pc.random.uniform(low=-bound, high=bound, shape=(output_dims,))

    def _extra_repr(self) -> str:
        output_dims, input_dims = self.weight.shape
        return f"input_dims={input_dims}, output_dims={output_dims}, bias={'bias' in self}"

    def __call__(self, x: pc.array) -> pc.array:
        weight: pc.array = self["weight"]
        if "bias" in self:
            return pc.addmm(self["bias"], x, weight.T)
        return x @ weight.T

    def to_quantized(
        self,
        group_size: int | None = None,
        bits: int | None = None,
        mode: str = "affine",
        quantize_input: bool = False,
    ) -> QuantizedLinear | QQLinear:
        """A layer with this one's weight, packed; `quantize_input`: one that quantises its input as well.

        Raises `ValueError` where the input can't be quantised in that mode, `NotImplementedError` where there is a bias
        beside it.
        """
        if not quantize_input:
            return QuantizedLinear.from_linear(self, group_size, bits, mode)
        if mode not in ("nvfp4", "mxfp8"):
            raise ValueError(f"Linear.to_quantized: inputs are quantised in modes nvfp4 and mxfp8, got {mode!r}")
        return QQLinear.from_linear(self, group_size, bits, mode)


class Bilinear(Module):
    """For each output k: x1 @ weight[k].T @ x2 + bias[k].

    Shapes: x1 (..., input1_dims), x2 (..., input2_dims) -> (..., output_dims); weight (output_dims, input2_dims,
    input1_dims), bias (output_dims,). Both start uniform in +-1/sqrt(input1_dims).
    """

    def __init__(self, input1_dims: int, input2_dims: int, output_dims: int, bias: bool = True) -> None:
        super().__init__()
        if input1_dims < 1:
            raise ValueError(f"Bilinear: input1_dims must be at least 1, got {input1_dims}")
        bound = math.sqrt(1.0 / input1_dims)
        self.weight = pc.random.uniform(low=-bound, high=bound, shape=(output_dims, input2_dims, input1_dims))
        if bias:
            self.bias = pc.random.uniform(low=-bound, high=bound, shape=(output_dims,))

    def _extra_repr(self) -> str:
        outputs, inputs2, inputs1 = self.weight.shape
        return f"input1_dims={inputs1}, input2_dims={inputs2}, output_dims={outputs}, bias={'bias' in self}"

    def __call__(self, x1: pc.array, x2: pc.array) -> pc.array:
        outputs, inputs2, inputs1 = self.weight.shape
        # One product with all of the weight, then a sum over inputs2 per output.
        mixed = x1 @ self.weight.reshape(outputs * inputs2, inputs1).T
        y = (mixed.reshape(*x1.shape[:-1], outputs, inputs2) @ x2[..., None]).squeeze(-1)
        return y + self.bias if "bias" in self else y
