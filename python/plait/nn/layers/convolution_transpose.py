"""Transposed convolutions, channels last: the gradient of a convolution as a layer, which makes its input larger.

The weight of a layer is (out_channels, *kernel, in_channels); it starts uniform in +-1/sqrt(in_channels * kernel
positions), and the bias starts at 0.
"""

from __future__ import annotations

import plait.core as pc
from plait.nn.layers._windows import Size, given, size, sizes
from plait.nn.layers.convolution import _Conv


class ConvTranspose1d(_Conv):
    """Transposed convolution over one axis.

    Shapes: x (N, L, in_channels) -> (N, L', out_channels), with
    L' = (L - 1) stride - 2 padding + dilation (kernel_size - 1) + output_padding + 1.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        padding: int = 0,
        dilation: int = 1,
        output_padding: int = 0,
        bias: bool = True,
    ) -> None:
        super().__init__()
        kernel = sizes("ConvTranspose1d", "kernel_size", kernel_size, 1, 1)
        self._init_parameters(in_channels, out_channels, kernel, 1, bias)
        self.stride = size("ConvTranspose1d", "stride", stride, 1)
        self.padding = size("ConvTranspose1d", "padding", padding, 0)
        self.dilation = size("ConvTranspose1d", "dilation", dilation, 1)
        self.output_padding = size("ConvTranspose1d", "output_padding", output_padding, 0)

    def __call__(self, x: pc.array) -> pc.array:
        self._check_input(x, 1)
        y = pc.conv_transpose1d(x, self["weight"], self.stride, self.padding, self.dilation, self.output_padding)
        return self._with_bias(y)


class ConvTranspose2d(_Conv):
    """Transposed convolution over two axes; sizes are an int for both or a pair.

    Shapes: x (N, H, W, in_channels) -> (N, H', W', out_channels), each axis as in `ConvTranspose1d`.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size = 0,
        dilation: Size = 1,
        output_padding: Size = 0,
        bias: bool = True,
    ) -> None:
        super().__init__()
        kernel = sizes("ConvTranspose2d", "kernel_size", kernel_size, 2, 1)
        self._init_parameters(in_channels, out_channels, kernel, 1, bias)
        self.stride = sizes("ConvTranspose2d", "stride", stride, 2, 1)
        self.padding = sizes("ConvTranspose2d", "padding", padding, 2, 0)
        self.dilation = given("ConvTranspose2d", "dilation", dilation, 2, 1)
        self.output_padding = sizes("ConvTranspose2d", "output_padding", output_padding, 2, 0)

    def __call__(self, x: pc.array) -> pc.array:
        self._check_input(x, 1)
        y = pc.conv_transpose2d(x, self["weight"], self.stride, self.padding, self.dilation, self.output_padding)
        return self._with_bias(y)


class ConvTranspose3d(_Conv):
    """Transposed convolution over three axes; sizes are an int for all or a triple.

    Shapes: x (N, D, H, W, in_channels) -> (N, D', H', W', out_channels), each axis as in `ConvTranspose1d`.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size = 0,
        dilation: Size = 1,
        output_padding: Size = 0,
        bias: bool = True,
    ) -> None:
        super().__init__()
        kernel = sizes("ConvTranspose3d", "kernel_size", kernel_size, 3, 1)
        self._init_parameters(in_channels, out_channels, kernel, 1, bias)
        self.stride = sizes("ConvTranspose3d", "stride", stride, 3, 1)
        self.padding = sizes("ConvTranspose3d", "padding", padding, 3, 0)
        self.dilation = given("ConvTranspose3d", "dilation", dilation, 3, 1)
        self.output_padding = sizes("ConvTranspose3d", "output_padding", output_padding, 3, 0)

    def __call__(self, x: pc.array) -> pc.array:
        self._check_input(x, 1)
        y = pc.conv_transpose3d(x, self["weight"], self.stride, self.padding, self.dilation, self.output_padding)
        return self._with_bias(y)
