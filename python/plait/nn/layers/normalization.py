"""Layers that bring mean and variance to 0 and 1.

Means and variances of 16-bit inputs are taken in float32. The result has the dtype of x, or float32 when the
parameters have another dtype than x.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import plait.core as pc
from plait.nn.layers.base import Module


def _widen(x: pc.array) -> pc.array:
    return x.astype(pc.float32) if x.dtype == pc.float16 or x.dtype == pc.bfloat16 else x


def _standardize(x: pc.array, axes: int | Sequence[int], eps: float) -> pc.array:
    """(x - mean) / sqrt(variance + eps) over `axes`."""
    centered = x - pc.mean(x, axis=axes, keepdims=True)
    return centered * pc.rsqrt(pc.mean(pc.square(centered), axis=axes, keepdims=True) + eps)


def _finish(y: pc.array, x: pc.array, weight: pc.array | None, bias: pc.array | None) -> pc.array:
    """y * weight + bias, brought back to the dtype of x unless the parameters have a wider one."""
    if weight is not None:
        y = y * weight
    if bias is not None:
        y = y + bias
    if y.dtype != x.dtype and pc.issubdtype(x.dtype, pc.floating) and (weight is None or weight.dtype == x.dtype):
        return y.astype(x.dtype)
    return y


class LayerNorm(Module):
    """Standardize each vector to mean 0 and variance 1, then scale and shift each feature.

    Shapes: x (..., dims) -> same; weight and bias (dims,), both left out with ``affine=False``, bias with
    ``bias=False``.
    Source: Ba et al., 2016, "Layer Normalization".
    """

    def __init__(self, dims: int, eps: float = 1e-5, affine: bool = True, bias: bool = True) -> None:
        super().__init__()
        if affine:
            self.weight = pc.ones((dims,))
            if bias:
                self.bias = pc.zeros((dims,))
        self.eps = eps
        self.dims = dims

    def _extra_repr(self) -> str:
        return f"{self.dims}, eps={self.eps}, affine={'weight' in self}"

    def __call__(self, x: pc.array) -> pc.array:
        if x.ndim == 0 or x.shape[-1] != self.dims:
            raise ValueError(f"LayerNorm: the last axis of x must have size {self.dims}, got shape {x.shape}")
        return _finish(_standardize(_widen(x), -1, self.eps), x, self.get("weight"), self.get("bias"))


class RMSNorm(Module):
    """Scale each vector so that the mean of its squares is one, then scale each feature.

    Shapes: x (..., dims) -> same; weight (dims,).
    Source: Zhang and Sennrich, 2019, "Root Mean Square Layer Normalization".
    """

    def __init__(self, dims: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.weight = pc.ones((dims,))
        self.eps = eps

    def _extra_repr(self) -> str:
        return f"{self.weight.shape[0]}, eps={self.eps}"

    def __call__(self, x: pc.array) -> pc.array:
        weight = self["weight"]
        if x.ndim == 0 or x.shape[-1] != weight.shape[0]:
            raise ValueError(f"RMSNorm: the last axis of x must have size {weight.shape[0]}, got shape {x.shape}")
        wide = _widen(x)
        y = wide * pc.rsqrt(pc.mean(pc.square(wide), axis=-1, keepdims=True) + self.eps)
        return _finish(y, x, weight, None)


class InstanceNorm(Module):
    """Standardize each channel of each example over all its positions.

    Shapes: x (N, ..., C) with at least one axis between -> same; weight and bias (C,) if `affine`.
    Source: Ulyanov et al., 2016, "Instance Normalization: The Missing Ingredient for Fast Stylization".
    """

    def __init__(self, dims: int, eps: float = 1e-5, affine: bool = False) -> None:
        super().__init__()
        if affine:
            self.weight = pc.ones((dims,))
            self.bias = pc.zeros((dims,))
        self.dims = dims
        self.eps = eps

    def _extra_repr(self) -> str:
        return f"{self.dims}, eps={self.eps}, affine={'weight' in self}"

    def __call__(self, x: pc.array) -> pc.array:
        if x.ndim < 3:
            raise ValueError(f"InstanceNorm: x must have at least 3 axes (N, ..., C), got shape {x.shape}")
        axes = tuple(range(1, x.ndim - 1))
        return _finish(_standardize(_widen(x), axes, self.eps), x, self.get("weight"), self.get("bias"))


class GroupNorm(Module):
    """Standardize groups of channels of each example over all their positions, then scale and shift each channel.

    With ``pytorch_compatible=True`` a group is `dims / num_groups` neighbouring channels, as in the paper. Otherwise
    group g is channels g, g + num_groups, g + 2 num_groups, ...

    Shapes: x (N, ..., dims) -> same; weight and bias (dims,) if `affine`.
    Source: Wu and He, 2018, "Group Normalization".
    """

    def __init__(
        self, num_groups: int, dims: int, eps: float = 1e-5, affine: bool = True, pytorch_compatible: bool = False
    ) -> None:
        super().__init__()
        if num_groups < 1 or dims % num_groups:
            raise ValueError(f"GroupNorm: num_groups must divide dims, got {num_groups} groups for {dims}")
        if affine:
            self.bias = pc.zeros((dims,))
            self.weight = pc.ones((dims,))
        self.num_groups = num_groups
        self.dims = dims
        self.eps = eps
        self.pytorch_compatible = pytorch_compatible

    def _extra_repr(self) -> str:
        return (
            f"{self.num_groups}, {self.dims}, eps={self.eps}, affine={'weight' in self}, "
            f"pytorch_compatible={self.pytorch_compatible}"
        )

    def __call__(self, x: pc.array) -> pc.array:
        if x.ndim < 2 or x.shape[-1] != self.dims:
            raise ValueError(f"GroupNorm: x must be (N, ..., {self.dims}), got shape {x.shape}")
        size = self.dims // self.num_groups
        if self.pytorch_compatible:
            grouped, axes = _widen(x).reshape(x.shape[0], -1, self.num_groups, size), (1, 3)
        else:
            grouped, axes = _widen(x).reshape(x.shape[0], -1, size, self.num_groups), (1, 2)
        y = _standardize(grouped, axes, self.eps).reshape(x.shape)
        return _finish(y, x, self.get("weight"), self.get("bias"))


class BatchNorm(Module):
    """Standardize each channel over the batch and all positions, then scale and shift it.

    In training the batch's own mean and variance are used; with `track_running_stats` they also enter the averages
    ``running = (1 - momentum) * running + momentum * batch``, which replace them in evaluation. The averages are
    parameters that are saved and loaded but never trained. The variance in the average is the unbiased one.

    Shapes: x (N, C), (N, L, C) or (N, H, W, C) -> same; all parameters (num_features,). `ValueError` for other shapes.
    Source: Ioffe and Szegedy, 2015, "Batch Normalization".
    """

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
    ) -> None:
        super().__init__()
        self.num_features = num_features
        self.eps = eps
        self.momentum = momentum
        self.track_running_stats = track_running_stats
        if affine:
            self.weight = pc.ones((num_features,))
            self.bias = pc.zeros((num_features,))
        if track_running_stats:
            self.running_mean = pc.zeros((num_features,))
            self.running_var = pc.ones((num_features,))
            self._freeze_running_stats()

    def _freeze_running_stats(self) -> None:
        self.freeze(keys=["running_mean", "running_var"], recurse=False)

    def unfreeze(self, *args: Any, **kwargs: Any) -> Module:
        """As `Module.unfreeze`; the running averages stay frozen."""
        super().unfreeze(*args, **kwargs)
        self._freeze_running_stats()
        return self

    def _extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={'weight' in self}, "
            f"track_running_stats={self.track_running_stats}"
        )

    def _batch_stats(self, x: pc.array) -> tuple[pc.array, pc.array]:
        """Mean and variance of each channel, and one step of the running averages."""
        axes = tuple(range(x.ndim - 1))
        mean = pc.mean(x, axis=axes)
        var = pc.mean(pc.square(x - mean), axis=axes)
        if self.track_running_stats:
            count = x.size // x.shape[-1]
            unbiased = count / (count - 1) if count > 1 else 1.0
            old, new = 1 - self.momentum, self.momentum
            self.running_mean = (old * self.running_mean + new * mean).astype(self.running_mean.dtype)
            self.running_var = (old * self.running_var + (new * unbiased) * var).astype(self.running_var.dtype)
        return mean, var

    def __call__(self, x: pc.array) -> pc.array:
        if not 2 <= x.ndim <= 4 or x.shape[-1] != self.num_features:
            raise ValueError(
                f"BatchNorm: x must be (N, C), (N, L, C) or (N, H, W, C) with C = {self.num_features}, "
                f"got shape {x.shape}"
            )
        wide = _widen(x)
        if self.training or not self.track_running_stats:
            mean, var = self._batch_stats(wide)
        else:
            mean, var = self.running_mean, self.running_var
        return _finish((wide - mean) * pc.rsqrt(var + self.eps), x, self.get("weight"), self.get("bias"))
