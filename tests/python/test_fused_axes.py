"""Reductions beside elementwise operations of equal extents: what was reduced runs along the axis of the broadcast."""

import itertools
from collections.abc import Callable

import numpy as np
import pytest

import plait.core as pc

FORMS: dict[str, Callable[..., object]] = {
    "times": lambda m, x, y, **r: x * m.sum(y, **r),
    "of a product": lambda m, x, y, **r: x - m.sum(y * 2.0 + 1.0, **r),
    "both ways": lambda m, x, y, **r: (x + m.max(y, **r)) * m.sum(y, **r) + y,
    "of one another": lambda m, x, y, **r: m.sum(x * m.sum(y, **r), **r) + m.sum(y * x, **r),
    "and its own": lambda m, x, y, **r: (x * y) / (1.0 + m.sum(x * y, **r)),
    "reduced again": lambda m, x, y, **r: m.sum((x + y) * m.max(x - y, **r), **r) * y,
    "two spaces": lambda m, x, y, **r: (x * 2.0) * m.sum(y, **r) + (y * 3.0) * m.sum(x, **r),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("shape", [(3, 3), (2, 2, 2), (4, 4, 1), (1, 3, 3)], ids=str)
def test_equal_extents(form: str, shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(5)
    x, y = (rng.integers(1, 9, shape).astype(np.float32) for _ in range(2))
    axes = [a for n in range(1, len(shape) + 1) for a in itertools.combinations(range(len(shape)), n)]
    for axis, keepdims in itertools.product(axes, (False, True)):
        got = FORMS[form](pc, pc.array(x), pc.array(y), axis=axis, keepdims=keepdims)
        want = FORMS[form](np, x, y, axis=axis, keepdims=keepdims)
        np.testing.assert_allclose(np.array(got), want, rtol=1e-5, err_msg=f"{form} {shape} {axis} {keepdims}")
