"""Convolutions of other ranks than two, and transposed ones, against loops over kernel positions."""

import itertools

import numpy as np
import pytest

import plait.core as pc
import plait.nn as nn
from layer_oracle import check_gradient, near, numbers


def each(value, rank):
    return (value,) * rank if isinstance(value, int) else value


def transposed(x, w, stride, padding, dilation, output_padding):
    """Every input adds its multiple of the kernel to the output."""
    rank = x.ndim - 2
    stride, padding, dilation, more = (each(v, rank) for v in (stride, padding, dilation, output_padding))
    spans = list(zip(x.shape[1:-1], stride, dilation, w.shape[1:-1], strict=True))
    full = [(n - 1) * s + d * (k - 1) + 1 + m for (n, s, d, k), m in zip(spans, more, strict=True)]
    out = np.zeros((x.shape[0], *full, w.shape[0]))
    for place in itertools.product(*(range(k) for k in w.shape[1:-1])):
        target = tuple(slice(i * d, i * d + (n - 1) * s + 1, s) for i, (n, s, d, _) in zip(place, spans, strict=True))
        out[(slice(None), *target)] += x @ w[(slice(None), *place)].T
    return out[(slice(None), *(slice(p, n - p) for p, n in zip(padding, full, strict=True)))]


def convolved(x, w, stride, padding, dilation, groups=1):
    rank = x.ndim - 2
    stride, padding, dilation = (each(v, rank) for v in (stride, padding, dilation))
    x = np.pad(x, [(0, 0), *((p, p) for p in padding), (0, 0)])
    spans = list(zip(x.shape[1:-1], stride, dilation, w.shape[1:-1], strict=True))
    counts = [(n - d * (k - 1) - 1) // s + 1 for n, s, d, k in spans]
    per_in, per_out = w.shape[-1], len(w) // groups
    out = np.zeros((x.shape[0], *counts, len(w)))
    for place in itertools.product(*(range(k) for k in w.shape[1:-1])):
        source = tuple(
            slice(i * d, i * d + (c - 1) * s + 1, s) for i, c, (_, s, d, _) in zip(place, counts, spans, strict=True)
        )
        seen = x[(slice(None), *source)]
        for g in range(groups):
            rows = slice(g * per_out, (g + 1) * per_out)
            out[..., rows] += seen[..., g * per_in : (g + 1) * per_in] @ w[(rows, *place)].T
    return out


@pytest.mark.parametrize(("code", "shape"), [
    ("Conv1d(4, 6, 3)", (2, 9, 4)),
    ("Conv1d(4, 6, 3, stride=2, padding=1, dilation=2, groups=2)", (2, 9, 4)),
    ("Conv3d(2, 3, 2)", (1, 4, 5, 3, 2)),
    ("Conv3d(2, 3, (2, 1, 3), stride=(1, 2, 1), padding=1, dilation=(2, 1, 1), bias=False)", (1, 4, 5, 3, 2)),
])  # fmt: skip
def test_convolution(code, shape):
    layer, x = eval("nn." + code, {"nn": nn}), numbers(*shape)
    groups = getattr(layer, "groups", 1)
    want = convolved(x, np.array(layer.weight), layer.stride, layer.padding, layer.dilation, groups)
    if "bias" in layer:
        layer.bias = pc.array(numbers(want.shape[-1], seed=3))
        want = want + np.array(layer.bias)
    near(layer(pc.array(x)), want, tol=1e-4)
    check_gradient(lambda x, w: layer.update({"weight": w})(x), x, np.array(layer.weight))


@pytest.mark.parametrize(("code", "shape"), [
    ("ConvTranspose1d(4, 6, 3)", (2, 5, 4)),
    ("ConvTranspose1d(4, 6, 3, stride=2, padding=1, dilation=2, output_padding=1)", (2, 5, 4)),
    ("ConvTranspose2d(4, 6, (3, 2), stride=(2, 1), padding=(1, 0), output_padding=(1, 0))", (2, 5, 4, 4)),
    ("ConvTranspose3d(2, 3, 2, stride=2, bias=False)", (1, 3, 2, 3, 2)),
])  # fmt: skip
def test_transposed_convolution(code, shape):
    layer, x = eval("nn." + code, {"nn": nn}), numbers(*shape)
    want = transposed(x, np.array(layer.weight), layer.stride, layer.padding, layer.dilation, layer.output_padding)
    if "bias" in layer:
        layer.bias = pc.array(numbers(want.shape[-1], seed=3))
        want = want + np.array(layer.bias)
    near(layer(pc.array(x)), want, tol=1e-4)
    check_gradient(lambda x, w: layer.update({"weight": w})(x), x, np.array(layer.weight))


def test_inputs_are_checked():
    for code, shape in (
        ("Conv1d(2, 3, 3)", (5, 2)),
        ("Conv3d(2, 3, 3)", (5, 5, 5, 2)),
        ("ConvTranspose2d(2, 3, 3)", (1, 5, 5, 3)),
    ):
        with pytest.raises(ValueError, match="x must be"):
            eval("nn." + code, {"nn": nn})(pc.ones(shape))


@pytest.mark.parametrize("layer", [nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.ConvTranspose3d])
def test_dilation_is_shown_as_it_was_given(layer):
    assert "dilation=2, " in repr(layer(2, 2, 3, dilation=2))
    each = (2,) * int(layer.__name__[-2])
    assert f"dilation={each}, " in repr(layer(2, 2, 3, dilation=each))
    with pytest.raises(ValueError, match="dilation"):
        layer(2, 2, 3, dilation=0)
