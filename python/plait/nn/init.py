"""Initialisers: each function here returns one that makes an array in the shape of its argument.

``init.he_normal()(weight)`` gives new values for `weight` and leaves the old array alone. For the fans, the first axis
of an array is its outputs, the last its inputs and those between are positions of a kernel, which count for both.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import plait.core as pc


def constant(value: float, dtype: pc.Dtype = pc.float32) -> Callable[[pc.array], pc.array]:
    """All elements are `value`."""

    def initializer(a: pc.array) -> pc.array:
        return pc.full(a.shape, value, dtype=dtype)

    return initializer


def normal(mean: float = 0.0, std: float = 1.0, dtype: pc.Dtype = pc.float32) -> Callable[[pc.array], pc.array]:
    """Normal with mean `mean` and standard deviation `std`."""

    def initializer(a: pc.array) -> pc.array:
        return pc.random.normal(shape=a.shape, dtype=dtype, loc=mean, scale=std)

    return initializer


def uniform(low: float = 0.0, high: float = 1.0, dtype: pc.Dtype = pc.float32) -> Callable[[pc.array], pc.array]:
    """Uniform from `low` up to, but without, `high`."""

    def initializer(a: pc.array) -> pc.array:
        return pc.random.uniform(low, high, a.shape, dtype=dtype)

    return initializer


def identity(dtype: pc.Dtype = pc.float32) -> Callable[[pc.array], pc.array]:
    """The identity matrix; `ValueError` for what is no square matrix."""

    def initializer(a: pc.array) -> pc.array:
        if a.ndim != 2 or a.shape[0] != a.shape[1]:
            raise ValueError(f"identity: the array must be a square matrix, got shape {a.shape}")
        return pc.eye(a.shape[0], dtype=dtype)

    return initializer


def _fans(a: pc.array) -> tuple[int, int]:
    """Inputs and outputs of one unit."""
    if a.ndim < 2:
        raise ValueError(f"fans are defined for arrays with at least 2 axes, got shape {a.shape}")
    positions = math.prod(a.shape[1:-1])
    return a.shape[-1] * positions, a.shape[0] * positions


def _chosen_fan(a: pc.array, mode: str) -> int:
    fan_in, fan_out = _fans(a)
    if mode == "fan_in":
        return fan_in
    if mode == "fan_out":
        return fan_out
    raise ValueError(f"mode must be 'fan_in' or 'fan_out', got {mode!r}")


def glorot_normal(dtype: pc.Dtype = pc.float32) -> Callable[[pc.array, float], pc.array]:
    """Normal with standard deviation gain * sqrt(2 / (fan_in + fan_out)).

    Source: Glorot and Bengio, 2010, "Understanding the Difficulty of Training Deep Feedforward Neural Networks".
    """

    def initializer(a: pc.array, gain: float = 1.0) -> pc.array:
        std = gain * math.sqrt(2.0 / sum(_fans(a)))
        return pc.random.normal(shape=a.shape, dtype=dtype, scale=std)

    return initializer


def glorot_uniform(dtype: pc.Dtype = pc.float32) -> Callable[[pc.array, float], pc.array]:
    """Uniform in +-gain * sqrt(6 / (fan_in + fan_out)).

    Source: Glorot and Bengio, 2010, "Understanding the Difficulty of Training Deep Feedforward Neural Networks".
    """

    def initializer(a: pc.array, gain: float = 1.0) -> pc.array:
        bound = gain * math.sqrt(6.0 / sum(_fans(a)))
        return pc.random.uniform(-bound, bound, a.shape, dtype=dtype)

    return initializer


def he_normal(
    dtype: pc.Dtype = pc.float32,
) -> Callable[[pc.array, Literal["fan_in", "fan_out"], float], pc.array]:
    """Normal with standard deviation gain / sqrt(fan).

    Source: He et al., 2015, "Delving Deep into Rectifiers".
    """

    def initializer(a: pc.array, mode: Literal["fan_in", "fan_out"] = "fan_in", gain: float = 1.0) -> pc.array:
        std = gain / math.sqrt(_chosen_fan(a, mode))
        return pc.random.normal(shape=a.shape, dtype=dtype, scale=std)

    return initializer


def he_uniform(
    dtype: pc.Dtype = pc.float32,
) -> Callable[[pc.array, Literal["fan_in", "fan_out"], float], pc.array]:
    """Uniform in +-gain * sqrt(3 / fan).

    Source: He et al., 2015, "Delving Deep into Rectifiers".
    """

    def initializer(a: pc.array, mode: Literal["fan_in", "fan_out"] = "fan_in", gain: float = 1.0) -> pc.array:
        bound = gain * math.sqrt(3.0 / _chosen_fan(a, mode))
        return pc.random.uniform(-bound, bound, a.shape, dtype=dtype)

    return initializer


def sparse(
    sparsity: float, mean: float = 0.0, std: float = 1.0, dtype: pc.Dtype = pc.float32
) -> Callable[[pc.array], pc.array]:
    """Normal, with the part `sparsity` (rounded up) of each row set to zero at random places; for matrices only.

    Source: Martens, 2010, "Deep Learning via Hessian-Free Optimization".
    """
    if not 0 <= sparsity <= 1:
        raise ValueError(f"sparse: sparsity must be between 0 and 1, got {sparsity}")

    def initializer(a: pc.array) -> pc.array:
        if a.ndim != 2:
            raise ValueError(f"sparse: the array must be a matrix, got shape {a.shape}")
        zeros = math.ceil(sparsity * a.shape[1])
        # The rank of each element in a random order of its row.
        rank = pc.argsort(pc.argsort(pc.random.uniform(shape=a.shape), axis=1), axis=1)
        return pc.where(rank < zeros, 0, pc.random.normal(shape=a.shape, dtype=dtype, loc=mean, scale=std))

    return initializer


def orthogonal(gain: float = 1.0, dtype: pc.Dtype = pc.float32) -> Callable[[pc.array], pc.array]:
    """A matrix with orthonormal rows or columns (whichever are fewer), times `gain`.

    Source: Saxe et al., 2014, "Exact Solutions to the Nonlinear Dynamics of Learning in Deep Linear Neural Networks".
    """

    def initializer(a: pc.array) -> pc.array:
        if a.ndim != 2:
            raise ValueError(f"orthogonal: the array must be a matrix, got shape {a.shape}")
        n = max(a.shape)
        q, r = pc.linalg.qr(pc.random.normal(shape=(n, n)))
        # With the signs of r's diagonal the distribution is uniform over rotations.
        q = q * pc.sign(pc.diag(r))
        return (gain * q[: a.shape[0], : a.shape[1]]).astype(dtype)

    return initializer
