"""Convolutions, channels last.

The weight of a layer is (out_channels, *kernel, in_channels / groups); it starts uniform in +-1/sqrt(fan in), where
fan in is the number of inputs to one output, and the bias starts at 0. The dtype follows from promotion of x and the
parameters. As everywhere in machine learning, the kernel is not flipped: this is a cross-correlation.
"""

from __future__ import annotations

import math

import plait.core as pc
from plait.nn.layers._windows import Size, given, size, sizes
from plait.nn.layers.base import Module


class _Conv(Module):
    """What convolutions of each rank share: parameters, checks and text form."""

    def _init_parameters(
        self, in_channels: int, out_channels: int, kernel: tuple[int, ...], groups: int, bias: bool
    ) -> None:
        name = type(self).__name__
        if in_channels < 1 or out_channels < 1:
            raise ValueError(f"{name}: channels must be at least 1, got {in_channels} in and {out_channels} out")
        if groups < 1 or in_channels % groups or out_channels % groups:
            raise ValueError(
                f"{name}: groups must divide the channels, got {groups} for {in_channels} in and {out_channels} out"
            )
        shape = (out_channels, *kernel, in_channels // groups)
        bound = math.sqrt(1.0 / math.prod(shape[1:]))
        self.weight = pc.random.uniform(low=-bound, high=bound, shape=shape)
        if bias:
            self.bias = pc.zeros((out_channels,))

    def _check_input(self, x: pc.array, groups: int) -> None:
        weight = self["weight"]
        if x.ndim != weight.ndim or x.shape[-1] != weight.shape[-1] * groups:
            axes = ("N", *"DHW"[5 - weight.ndim :]) if weight.ndim > 3 else ("N", "L")
            wanted = ", ".join(axes)
            raise ValueError(
                f"{type(self).__name__}: x must be ({wanted}, {weight.shape[-1] * groups}), got shape {x.shape}"
            )

    def _with_bias(self, y: pc.array) -> pc.array:
        return y + self["bias"] if "bias" in self else y

    def _extra_repr(self) -> str:
        weight = self.weight
        kernel = weight.shape[1:-1] if weight.ndim > 3 else weight.shape[1]
        words = [str(weight.shape[-1] * getattr(self, "groups", 1)), str(weight.shape[0]), f"kernel_size={kernel}"]
        settings = ("stride", "padding", "dilation", "groups", "output_padding")
        words += [f"{name}={getattr(self, name)}" for name in settings if hasattr(self, name)]
        return ", ".join([*words, f"bias={'bias' in self}"])


class Conv1d(_Conv):
    """Convolution over one axis.

    Shapes: x (N, L, in_channels) -> (N, L', out_channels), with
    L' = (L + 2 padding - dilation (kernel_size - 1) - 1) // stride + 1.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        padding: int = 0,
        dilation: int = 1,
        groups: int = 1,
        bias: bool = True,
    ) -> None:
        super().__init__()
        kernel = sizes("Conv1d", "kernel_size", kernel_size, 1, 1)
        self._init_parameters(in_channels, out_channels, kernel, groups, bias)
        self.stride = size("Conv1d", "stride", stride, 1)
        self.padding = size("Conv1d", "padding", padding, 0)
        self.dilation = size("Conv1d", "dilation", dilation, 1)
        self.groups = groups

    def __call__(self, x: pc.array) -> pc.array:
        self._check_input(x, self.groups)
        return self._with_bias(pc.conv1d(x, self["weight"], self.stride, self.padding, self.dilation, self.groups))


class Conv2d(_Conv):
    """Convolution over two axes; sizes are an int for both or a pair.

    Shapes: x (N, H, W, in_channels) -> (N, H', W', out_channels), each axis as in `Conv1d`.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size = 0,
        dilation: Size = 1,
        groups: int = 1,
        bias: bool = True,
    ) -> None:
        super().__init__()
        kernel = sizes("Conv2d", "kernel_size", kernel_size, 2, 1)
        self._init_parameters(in_channels, out_channels, kernel, groups, bias)
        self.stride = sizes("Conv2d", "stride", stride, 2, 1)
        self.padding = sizes("Conv2d", "padding", padding, 2, 0)
        self.dilation = given("Conv2d", "dilation", dilation, 2, 1)
        self.groups = groups

    def __call__(self, x: pc.array) -> pc.array:
        self._check_input(x, self.groups)
        return self._with_bias(pc.conv2d(x, self["weight"], self.stride, self.padding, self.dilation, self.groups))


class Conv3d(_Conv):
    """Convolution over three axes; sizes are an int for all or a triple.

    Shapes: x (N, D, H, W, in_channels) -> (N, D', H', W', out_channels), each axis as in `Conv1d`.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size = 0,
        dilation: Size = 1,
        bias: bool = True,
    ) -> None:
        super().__init__()
        kernel = sizes("Conv3d", "kernel_size", kernel_size, 3, 1)
        self._init_parameters(in_channels, out_channels, kernel, 1, bias)
        self.stride = sizes("Conv3d", "stride", stride, 3, 1)
        self.padding = sizes("Conv3d", "padding", padding, 3, 0)
        self.dilation = given("Conv3d", "dilation", dilation, 3, 1)

    def __call__(self, x: pc.array) -> pc.array:
        self._check_input(x, 1)
        return self._with_bias(pc.conv3d(x, self["weight"], self.stride, self.padding, self.dilation))
