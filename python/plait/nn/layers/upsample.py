"""Resampling of images and other grids to another size, one axis after the other, channels last."""

from __future__ import annotations

import math
from typing import Literal

import plait.core as pc
from plait.nn.layers.base import Module


def _checked_scales(x: pc.array, scale_factor: float | tuple[float, ...]) -> tuple[float, ...]:
    """One scale for each axis between batch and channels; `ValueError` if that does not work out."""
    rank = x.ndim - 2
    if rank < 1:
        raise ValueError(f"Upsample: x must be (N, ..., C) with at least one axis between, got shape {x.shape}")
    scales = tuple(scale_factor) if isinstance(scale_factor, (tuple, list)) else (scale_factor,) * rank
    if len(scales) != rank:
        raise ValueError(f"Upsample: {len(scales)} scales don't fit {rank} axes of x, which has shape {x.shape}")
    for length, scale in zip(x.shape[1:-1], scales, strict=True):
        if not scale > 0 or math.isinf(scale) or int(length * scale) < 1:
            raise ValueError(f"Upsample: scale {scale} leaves nothing of an axis of size {length}")
    return scales


def _along(values: pc.array, axis: int, rank: int) -> pc.array:
    """The vector `values` in a shape that broadcasts along `axis` of an array of `rank` axes."""
    return values.reshape(*(-1 if i == axis else 1 for i in range(rank)))


def _repeat(x: pc.array, axis: int, times: int) -> pc.array:
    """Each element `times` times in a row: a broadcast, so that the gradient is a plain sum."""
    shape = x.shape
    spread = pc.broadcast_to(pc.expand_dims(x, axis + 1), (*shape[: axis + 1], times, *shape[axis + 1 :]))
    return spread.reshape(*shape[:axis], shape[axis] * times, *shape[axis + 1 :])


def upsample_nearest(x: pc.array, scale_factor: tuple[float, ...]) -> pc.array:
    """Each new element is the old one nearest to it.

    Shapes: x (N, ..., C) -> each size between times its scale, rounded down; dtype of x.
    """
    for axis, scale in enumerate(_checked_scales(x, scale_factor), start=1):
        old, new = x.shape[axis], int(x.shape[axis] * scale)
        if new == old * int(scale):
            x = _repeat(x, axis, int(scale)) if scale > 1 else x
        elif new < old:
            x = pc.take(x, (pc.arange(new) * old) // new, axis=axis)
        else:
            centers = (pc.arange(new) + 0.5) * (old / new) - 0.5
            x = pc.take(x, pc.round(centers).astype(pc.int32), axis=axis)
    return x


def _linear(distance: pc.array) -> pc.array:
    return pc.maximum(1 - distance, 0)


def _cubic(distance: pc.array, a: float) -> pc.array:
    """The piecewise cubic that is 1 at 0, 0 at other integers and beyond 2, with slope `a` at 1."""
    near = ((a + 2) * distance - (a + 3)) * distance * distance + 1
    far = ((a * distance - 5 * a) * distance + 8 * a) * distance - 4 * a
    return pc.where(distance <= 1, near, pc.where(distance < 2, far, 0))


def _resample(x: pc.array, axis: int, scale: float, cubic: bool, align_corners: bool, antialias: bool) -> pc.array:
    """Each new element is a weighted sum of the old ones around its place."""
    old, new = x.shape[axis], int(x.shape[axis] * scale)
    position = pc.arange(new).astype(pc.float32)
    if align_corners:
        center = position * ((old - 1) / max(new - 1, 1))
    else:
        # Both grids have the same middle, also where the new size had to be rounded.
        center = (position - (new - 1) / 2) * (1 / scale) + (old - 1) / 2
    # The kernel, widened to cover what shrinking leaves out.
    width = max(1.0, 1 / scale) if antialias else 1.0
    reach = (2 if cubic else 1) * width
    first = pc.floor(center - reach) + 1
    terms = []
    total = pc.zeros((new,))
    for i in range(math.ceil(2 * reach)):
        place = first + i
        distance = pc.abs(place - center) * (1 / width)
        weight = _cubic(distance, -0.5 if antialias else -0.75) if cubic else _linear(distance)
        if antialias:
            weight = pc.where(pc.logical_and(place >= 0, place < old), weight, 0)
        total = total + weight
        index = pc.minimum(pc.maximum(place, 0), old - 1).astype(pc.int32)
        terms.append(pc.take(x, index, axis=axis) * _along(weight, axis, x.ndim))
    y = terms[0]
    for term in terms[1:]:
        y = y + term
    return y / _along(total, axis, x.ndim) if antialias else y


def _interpolate(
    x: pc.array, scale_factor: tuple[float, ...], cubic: bool, align_corners: bool, antialias: bool
) -> pc.array:
    if antialias and align_corners:
        raise ValueError("Upsample: antialias does not go together with align_corners")
    for axis, scale in enumerate(_checked_scales(x, scale_factor), start=1):
        x = _resample(x, axis, scale, cubic, align_corners, antialias)
    return x


def upsample_linear(
    x: pc.array, scale_factor: tuple[float, ...], align_corners: bool = False, antialias: bool = False
) -> pc.array:
    """Straight lines between old elements. Arguments as for `Upsample`; float32, or wider if x is.

    Shapes: x (N, ..., C) -> each size between times its scale, rounded down.
    """
    return _interpolate(x, scale_factor, False, align_corners, antialias)


def upsample_cubic(
    x: pc.array, scale_factor: tuple[float, ...], align_corners: bool = False, antialias: bool = False
) -> pc.array:
    """Cubics through old elements. Arguments as for `Upsample`; float32, or wider if x is.

    Shapes: x (N, ..., C) -> each size between times its scale, rounded down.
    Source: Keys, 1981, "Cubic Convolution Interpolation for Digital Image Processing".
    """
    return _interpolate(x, scale_factor, True, align_corners, antialias)


class Upsample(Module):
    """Resample all axes between batch and channels by `scale_factor`, a number for all or a tuple with one for each.

    `mode` is "nearest", "linear" or "cubic". With `align_corners` the first and last elements stay in their places;
    otherwise the outer borders do, as of pixels. `antialias` (not with "nearest" or `align_corners`) averages over all
    elements that shrinking would skip.

    Shapes: x (N, ..., C) -> each size between times its scale, rounded down.
    """

    def __init__(
        self,
        scale_factor: float | tuple[float, ...],
        mode: Literal["nearest", "linear", "cubic"] = "nearest",
        align_corners: bool = False,
        antialias: bool = False,
    ) -> None:
        super().__init__()
        if mode not in ("nearest", "linear", "cubic"):
            raise ValueError(f"Upsample: mode must be 'nearest', 'linear' or 'cubic', got {mode!r}")
        if antialias and (mode == "nearest" or align_corners):
            raise ValueError("Upsample: antialias goes together with neither mode 'nearest' nor align_corners")
        self.scale_factor: float | tuple[float, ...]
        if isinstance(scale_factor, (list, tuple)):
            self.scale_factor = tuple(float(scale) for scale in scale_factor)
        else:
            self.scale_factor = float(scale_factor)
        self.mode = mode
        self.align_corners = align_corners
        self.antialias = antialias

    def _extra_repr(self) -> str:
        return f"scale_factor={self.scale_factor}, mode={self.mode!r}, align_corners={self.align_corners}"

    def __call__(self, x: pc.array) -> pc.array:
        scales = _checked_scales(x, self.scale_factor)
        if self.mode == "nearest":
            return upsample_nearest(x, scales)
        if self.mode == "linear":
            return upsample_linear(x, scales, self.align_corners, self.antialias)
        return upsample_cubic(x, scales, self.align_corners, self.antialias)
