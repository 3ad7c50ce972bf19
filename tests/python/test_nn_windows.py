"""Convolution and pooling layers against windows cut by NumPy."""

import numpy as np
import pytest

import plait.core as pc
import plait.nn as nn
from layer_oracle import check_gradient, dtype_name, near, numbers


def windows(x, kernel, stride, padding=0, dilation=1, value=0.0):
    """(N, *positions, C, *kernel): what each output position sees."""
    rank = x.ndim - 2
    kernel, stride, padding, dilation = (
        (v,) * rank if isinstance(v, int) else v for v in (kernel, stride, padding, dilation)
    )
    x = np.pad(x, [(0, 0), *((p, p) for p in padding), (0, 0)], constant_values=value)
    reach = tuple(d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True))
    cut = np.lib.stride_tricks.sliding_window_view(x, reach, axis=tuple(range(1, rank + 1)))
    places = tuple(slice(None, None, s) for s in stride)
    inside = tuple(slice(None, None, d) for d in dilation)
    return cut[(slice(None), *places, slice(None), *inside)]


def convolved(x, w, stride, padding, dilation, groups=1):
    rank = x.ndim - 2
    cut = windows(x, w.shape[1:-1], stride, padding, dilation)
    out = []
    for g in range(groups):
        part = cut[(slice(None),) * (rank + 1) + (slice(g * w.shape[-1], (g + 1) * w.shape[-1]),)]
        rows = w[g * (len(w) // groups) : (g + 1) * (len(w) // groups)]
        letters = "abc"[:rank]
        out.append(np.einsum(f"n...i{letters},o{letters}i->n...o", part, rows))
    return np.concatenate(out, axis=-1)


CONV2D = [
    ((1, 8, 3), {"padding": 1}, (2, 8, 8, 1)),
    ((4, 6, 3), {}, (2, 7, 8, 4)),
    ((4, 6, 3), {"stride": 2, "padding": 1}, (2, 7, 8, 4)),
    ((4, 6, (3, 2)), {"stride": (2, 1), "padding": (1, 0), "dilation": (1, 2), "bias": False}, (2, 7, 8, 4)),
    ((4, 6, 3), {"groups": 2}, (1, 5, 5, 4)),
    ((4, 4, 3), {"groups": 4, "padding": 1}, (1, 5, 5, 4)),
    ((3, 5, 1), {}, (2, 4, 4, 3)),
]


@pytest.mark.parametrize(("sizes", "settings", "shape"), CONV2D)
def test_conv2d(sizes, settings, shape):
    x = numbers(*shape)
    layer = nn.Conv2d(*sizes, **settings)
    if "bias" in layer:
        layer.bias = pc.array(numbers(sizes[1], seed=2))
    w = np.array(layer.weight)
    want = convolved(x, w, layer.stride, layer.padding, layer.dilation, layer.groups)
    near(layer(pc.array(x)), want + (np.array(layer.bias) if "bias" in layer else 0), tol=1e-4)
    check_gradient(lambda x, w: layer.update({"weight": w})(x), x, w)


def test_conv2d_text_form():
    layer = nn.Conv2d(4, 6, 3, groups=2)
    assert repr(layer) == (
        "Conv2d(4, 6, kernel_size=(3, 3), stride=(1, 1), padding=(0, 0), dilation=1, groups=2, bias=True)"
    )


@pytest.mark.parametrize(("build", "message"), [
    (lambda: nn.Conv2d(3, 4, 3, groups=2), "groups must divide"),
    (lambda: nn.Conv2d(4, 3, 3, groups=2), "groups must divide"),
    (lambda: nn.Conv2d(1, 2, (3,)), "kernel_size must be an int or 2 ints"),
    (lambda: nn.Conv2d(1, 2, 3, stride=(1, 2, 3)), "stride"),
    (lambda: nn.Conv2d(1, 2, 3, stride=0), "stride must be at least 1"),
    (lambda: nn.Conv2d(1, 2, 3, padding=-1), "padding must be at least 0"),
    (lambda: nn.Conv2d(1, 2, 2.5), "kernel_size"),
    (lambda: nn.Conv2d(0, 2, 3), "channels"),
    (lambda: nn.Conv2d(3, 4, 3)(pc.ones((2, 8, 8, 4))), r"x must be \(N, H, W, 3\), got shape \(2, 8, 8, 4\)"),
    (lambda: nn.Conv2d(3, 4, 3)(pc.ones((8, 8, 3))), "x must be"),
])  # fmt: skip
def test_conv2d_refuses(build, message):
    with pytest.raises(ValueError, match=message):
        build()


POOLS = [
    ((2,), (2, 6, 3)),
    ((2,), (2, 7, 3)),
    ((3, 2, 1), (2, 8, 3)),
    ((3, 1), (2, 8, 3)),
    ((2,), (2, 8, 6, 3)),
    ((2,), (2, 9, 7, 3)),
    (((3, 2), (2, 3), (1, 0)), (2, 8, 9, 3)),
    ((2, 2, 1), (2, 8, 6, 3)),
    ((2, 3), (1, 8, 9, 2)),
    ((2,), (1, 4, 4, 5, 2)),
    ((3, 2, 1), (1, 4, 6, 5, 2)),
]


@pytest.mark.parametrize(("sizes", "shape"), POOLS)
def test_pooling(sizes, shape):
    x = numbers(*shape)
    rank = len(shape) - 2
    kernel, stride, padding = (*sizes, sizes[0], 0)[:3] if len(sizes) == 1 else (*sizes, 0)[:3]
    axes = tuple(range(-rank, 0))
    highest = getattr(nn, f"MaxPool{rank}d")(*sizes)
    mean = getattr(nn, f"AvgPool{rank}d")(*sizes)
    near(highest(pc.array(x)), windows(x, kernel, stride, padding, value=-np.inf).max(axes))
    near(mean(pc.array(x)), windows(x, kernel, stride, padding).mean(axes))
    apart = np.random.default_rng(4).permutation(x.size).reshape(shape).astype(np.float32) / 10  # no near ties
    check_gradient(highest, apart)
    check_gradient(mean, x)


def test_pooling_of_integers():
    x = np.random.default_rng(2).integers(-50, -10, (1, 6, 6, 2)).astype(np.int32)
    y = nn.MaxPool2d(2, 2, 1)(pc.array(x))
    assert dtype_name(y) == "int32"
    near(y, windows(x, 2, 2, 1, value=-1000).max((-1, -2)))
    y = nn.AvgPool2d(2)(pc.array(x))
    assert dtype_name(y) == "float32"
    near(y, windows(x, 2, 2).mean((-1, -2)))


@pytest.mark.parametrize(("build", "message"), [
    (lambda: nn.MaxPool2d((2,)), "kernel_size must be an int or 2 ints"),
    (lambda: nn.MaxPool2d(2.0), "kernel_size"),
    (lambda: nn.MaxPool2d(0), "at least 1"),
    (lambda: nn.MaxPool2d(2, 0), "stride"),
    (lambda: nn.MaxPool2d(2, 1, None), "padding"),
    (lambda: nn.MaxPool2d(2)(pc.ones((4, 4, 1))), r"MaxPool2d: x must be \(N, H, W, C\) .* got shape \(4, 4, 1\)"),
    (lambda: nn.AvgPool1d(5)(pc.ones((1, 4, 1))), "hold the window"),
])  # fmt: skip
def test_pooling_refuses(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_pooling_has_no_parameters():
    layer = nn.MaxPool2d(2)
    assert layer.parameters() == {}
    assert repr(layer) == "MaxPool2d(kernel_size=(2, 2), stride=(2, 2), padding=(0, 0))"
