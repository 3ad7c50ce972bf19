"""Loops written as scans and as Python loops, for tests to compare."""

from collections.abc import Callable
from typing import Any

import numpy as np

import plait.core as pc

RNG = np.random.default_rng(3)


def f64(*shape: int) -> pc.array:
    return pc.array(RNG.uniform(-1, 1, shape), dtype=pc.float64)


def close(a: Any, b: Any, tol: float = 1e-10) -> None:
    if isinstance(a, (tuple, list)):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            close(x, y, tol)
    else:
        assert a.shape == b.shape and a.dtype == b.dtype
        np.testing.assert_allclose(np.array(a), np.array(b), rtol=tol, atol=tol)


def unrolled(f: Callable[..., Any], init: Any, xs: pc.array, reverse: bool = False) -> tuple[Any, Any]:
    ys: list[Any] = [None] * xs.shape[0]
    for i in reversed(range(xs.shape[0])) if reverse else range(xs.shape[0]):
        init, ys[i] = f(init, xs[i])
    return init, pc.stack(ys)


def step(w: pc.array) -> Callable[..., Any]:
    def f(c: pc.array, x: pc.array) -> Any:
        c = pc.tanh(c @ w + x)
        return c, pc.sin(c) * x

    return f


W, H, XS = f64(3, 3), f64(3), f64(7, 3)


def scanned(w: pc.array, h: pc.array, xs: pc.array, **options: Any) -> pc.array:
    last, ys = pc.scan(step(w), h, xs, **options)
    return (last * last).sum() + (ys * pc.cos(ys)).sum()


def looped(w: pc.array, h: pc.array, xs: pc.array, reverse: bool = False, unroll: int = 1) -> pc.array:
    last, ys = unrolled(step(w), h, xs, reverse)
    return (last * last).sum() + (ys * pc.cos(ys)).sum()
