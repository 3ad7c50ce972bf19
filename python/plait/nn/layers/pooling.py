"""Pooling: the maximum or mean of each window, channels last.

All layers take ``kernel_size``, ``stride`` (the kernel size by default) and ``padding`` on both sides, each an int for
all axes or one int per axis. On each axis (L + 2 padding - kernel) // stride + 1 positions remain; what is left over
at the end is not used. `ValueError` for other arguments, or if the window is larger than the padded input.
"""

from __future__ import annotations

from typing import Any

import plait.core as pc
from plait.nn.layers._windows import sizes
from plait.nn.layers.base import Module


class _Pool(Module):
    """Splits the work: this class cuts the windows, a subclass says how their elements combine."""

    _rank: int

    def __init__(self, kernel_size: Any, stride: Any, padding: Any) -> None:
        super().__init__()
        name = type(self).__name__
        self._kernel = sizes(name, "kernel_size", kernel_size, self._rank, 1)
        self._stride = self._kernel if stride is None else sizes(name, "stride", stride, self._rank, 1)
        self._padding = sizes(name, "padding", padding, self._rank, 0)

    def _extra_repr(self) -> str:
        return f"kernel_size={self._kernel}, stride={self._stride}, padding={self._padding}"

    def _pad_value(self, dtype: pc.Dtype) -> Any:
        raise NotImplementedError

    def _reduce(self, windows: pc.array, axes: tuple[int, ...]) -> pc.array:
        """Combine over axes of one array."""
        raise NotImplementedError

    def _combine(self, parts: list[pc.array]) -> pc.array:
        """Combine arrays element by element."""
        raise NotImplementedError

    def _refuse(self, x: pc.array) -> ValueError:
        axes = ", ".join(("N", *("L" if self._rank == 1 else "DHW"[3 - self._rank :]), "C"))
        return ValueError(
            f"{type(self).__name__}: x must be ({axes}) and hold the window {self._kernel}, got shape {x.shape}"
            + (f" with padding {self._padding}" if any(self._padding) else "")
        )

    def __call__(self, x: pc.array) -> pc.array:
        shape = x.shape
        if len(shape) != self._rank + 2:
            raise self._refuse(x)
        if any(self._padding):
            around = [(0, 0), *((p, p) for p in self._padding), (0, 0)]
            x = pc.pad(x, around, constant_values=self._pad_value(x.dtype))
            shape = x.shape
        kernel = self._kernel
        if any(length < size for length, size in zip(shape[1:-1], kernel, strict=True)):
            raise self._refuse(x)
        return self._pool_tiles(x, shape) if self._stride == kernel else self._pool_overlapping(x)

    def _pool_tiles(self, x: pc.array, shape: tuple[int, ...]) -> pc.array:
        """Windows that lie side by side: one reshape, one reduction."""
        split = [shape[0]]
        whole = True
        for length, size in zip(shape[1:-1], self._kernel, strict=True):
            split += (length // size, size)
            whole = whole and length % size == 0
        if not whole:
            used = zip(shape[1:-1], self._kernel, strict=True)
            x = x[(slice(None), *(slice(0, length - length % size) for length, size in used))]
        return self._reduce(x.reshape(*split, shape[-1]), tuple(range(2, 2 * self._rank + 1, 2)))

    def _pool_overlapping(self, x: pc.array) -> pc.array:
        """Other windows, one axis after the other: slices of the input, combined element by element."""
        for axis, (kernel, stride) in enumerate(zip(self._kernel, self._stride, strict=False), start=1):
            count = (x.shape[axis] - kernel) // stride + 1
            before = (slice(None),) * axis
            parts = [x[(*before, slice(i, i + (count - 1) * stride + 1, stride))] for i in range(kernel)]
            x = self._combine(parts)
        return x


class _Pool1d(_Pool):
    """Over one axis. Shapes: x (N, L, C) -> (N, L', C)."""

    _rank = 1

    def __init__(
        self,
        kernel_size: int | tuple[int],
        stride: int | tuple[int] | None = None,
        padding: int | tuple[int] = 0,
    ) -> None:
        super().__init__(kernel_size, stride, padding)


class _Pool2d(_Pool):
    """Over two axes. Shapes: x (N, H, W, C) -> (N, H', W', C)."""

    _rank = 2

    def __init__(
        self,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] | None = None,
        padding: int | tuple[int, int] | None = 0,
    ) -> None:
        super().__init__(kernel_size, stride, padding)


class _Pool3d(_Pool):
    """Over three axes. Shapes: x (N, D, H, W, C) -> (N, D', H', W', C)."""

    _rank = 3

    def __init__(
        self,
        kernel_size: int | tuple[int, int, int],
        stride: int | tuple[int, int, int] | None = None,
        padding: int | tuple[int, int, int] | None = 0,
    ) -> None:
        super().__init__(kernel_size, stride, padding)


class _Max(_Pool):
    """The maximum; padding is lower than every number."""

    def _pad_value(self, dtype: pc.Dtype) -> Any:
        if dtype == pc.bool_:
            return False
        return -float("inf") if pc.issubdtype(dtype, pc.inexact) else pc.iinfo(dtype).min

    def _reduce(self, windows: pc.array, axes: tuple[int, ...]) -> pc.array:
        return pc.max(windows, axis=axes)

    def _combine(self, parts: list[pc.array]) -> pc.array:
        result = parts[0]
        for part in parts[1:]:
            result = pc.maximum(result, part)
        return result


class _Mean(_Pool):
    """The mean; padding counts as zeros. Integers give float32."""

    def _pad_value(self, dtype: pc.Dtype) -> Any:
        return 0

    def _reduce(self, windows: pc.array, axes: tuple[int, ...]) -> pc.array:
        return pc.mean(windows, axis=axes)

    def _combine(self, parts: list[pc.array]) -> pc.array:
        result = parts[0]
        for part in parts[1:]:
            result = result + part
        return result * (1 / len(parts))


class MaxPool1d(_Max, _Pool1d):
    """The maximum of each window over one axis. Shapes: x (N, L, C) -> (N, L', C)."""


class MaxPool2d(_Max, _Pool2d):
    """The maximum of each window over two axes. Shapes: x (N, H, W, C) -> (N, H', W', C)."""


class MaxPool3d(_Max, _Pool3d):
    """The maximum of each window over three axes. Shapes: x (N, D, H, W, C) -> (N, D', H', W', C)."""


class AvgPool1d(_Mean, _Pool1d):
    """The mean of each window over one axis. Shapes: x (N, L, C) -> (N, L', C)."""


class AvgPool2d(_Mean, _Pool2d):
    """The mean of each window over two axes. Shapes: x (N, H, W, C) -> (N, H', W', C)."""


class AvgPool3d(_Mean, _Pool3d):
    """The mean of each window over three axes. Shapes: x (N, D, H, W, C) -> (N, D', H', W', C)."""
