"""Upsampling, one axis at a time against matrices of weights built here, then several axes."""

import math

import numpy as np
import pytest

import plait.core as pc
import plait.nn as nn
from layer_oracle import check_gradient, near, numbers
from plait.nn.layers.upsample import upsample_cubic, upsample_linear, upsample_nearest

SCALES = [2, 3, 1.5, 2.3, 0.5, 0.6, 1.0]


def kernel(d, cubic, a):
    d = abs(d)
    if not cubic:
        return max(0.0, 1 - d)
    if d <= 1:
        return (a + 2) * d**3 - (a + 3) * d**2 + 1
    return a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a if d < 2 else 0.0


def weights(old, scale, mode, corners=False, antialias=False):
    """(new, old)"""
    new = int(old * scale)
    w = np.zeros((new, old))
    for i in range(new):
        if mode == "nearest":
            w[i, i * old // new if new < old else round((i + 0.5) * old / new - 0.5)] = 1
            continue
        center = i * (old - 1) / max(new - 1, 1) if corners else (i - (new - 1) / 2) / scale + (old - 1) / 2
        width = max(1, 1 / scale) if antialias else 1
        for j in range(math.floor(center - 2 * width) - 1, math.ceil(center + 2 * width) + 2):
            value = kernel((j - center) / width, mode == "cubic", -0.5 if antialias else -0.75)
            if not antialias:
                w[i, min(max(j, 0), old - 1)] += value
            elif 0 <= j < old:
                w[i, j] += value
        w[i] /= w[i].sum()
    return w


@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("corners", [False, True])
@pytest.mark.parametrize("antialias", [False, True])
def test_one_axis(mode, scale, corners, antialias):
    if antialias and (corners or mode == "nearest"):
        with pytest.raises(ValueError, match="antialias"):
            nn.Upsample(scale, mode, corners, antialias)
        return
    x = numbers(2, 7, 3)
    want = np.einsum("io,nic->noc", weights(7, scale, mode, corners, antialias).T, x)
    layer = nn.Upsample(scale, mode, corners, antialias)
    near(layer(pc.array(x)), want, tol=1e-4)
    check_gradient(layer, x)


@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
def test_two_axes(mode):
    x = numbers(2, 5, 4, 3)
    want = np.einsum("ph,qw,nhwc->npqc", weights(5, 2, mode), weights(4, 1.5, mode), x)
    near(nn.Upsample((2, 1.5), mode)(pc.array(x)), want, tol=1e-4)
    function = {"nearest": upsample_nearest, "linear": upsample_linear, "cubic": upsample_cubic}[mode]
    near(function(pc.array(x), (2, 1.5)), want, tol=1e-4)


def test_a_single_element():
    x = pc.full((1, 1, 2), 3.0)
    for mode in ("nearest", "linear", "cubic"):
        for corners in (False, True):
            near(nn.Upsample(3, mode, corners)(x), np.full((1, 3, 2), 3.0))


def test_nearest_keeps_the_dtype():
    x = pc.array(np.arange(6, dtype=np.int32).reshape(1, 3, 2))
    for scale in (2, 1.5, 0.7):
        assert nn.Upsample(scale)(x).dtype == pc.int32


@pytest.mark.parametrize("call", [
    lambda: nn.Upsample(2, mode="area"),
    lambda: nn.Upsample(2)(pc.ones((3, 2))),
    lambda: nn.Upsample((2, 2))(pc.ones((1, 3, 2))),
    lambda: nn.Upsample(0.1)(pc.ones((1, 3, 2))),
    lambda: nn.Upsample(-1)(pc.ones((1, 3, 2))),
    lambda: nn.Upsample(float("nan"))(pc.ones((1, 3, 2))),
])  # fmt: skip
def test_refuses(call):
    with pytest.raises(ValueError, match="Upsample"):
        call()
