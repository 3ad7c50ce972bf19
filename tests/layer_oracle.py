"""What the tests of the Python layer compare with: NumPy, and gradients by finite differences."""

import json
from pathlib import Path

import numpy as np

import plait.core as pc

GOLDEN = json.loads((Path(__file__).parent / "facts/golden/layers.json").read_text())


def numbers(*shape, seed=0, low=-2.0, high=2.0):
    """Random float32 numbers as a NumPy array."""
    return np.random.default_rng(seed).uniform(low, high, shape).astype(np.float32)


def near(actual, want, tol=2e-5):
    """Assert that a plait array has the shape and, within `tol`, the values of a NumPy array."""
    if isinstance(actual, pc.array) and actual.dtype in (pc.float16, pc.bfloat16):
        actual = actual.astype(pc.float32)
    np.testing.assert_allclose(np.array(actual), np.asarray(want), rtol=tol, atol=tol, strict=False)
    assert tuple(actual.shape) == np.asarray(want).shape


def dtype_name(array):
    return repr(array.dtype).rsplit(".", 1)[-1]


def check_gradient(function, *points, tol=2e-2, seed=7):
    """Compare the gradient of ``sum(function(*arrays) * weights)`` with central differences along random directions."""
    arrays = [pc.array(p) for p in points]
    weights = pc.array(numbers(*function(*arrays).shape, seed=seed))

    def loss(*xs):
        return pc.sum(function(*xs) * weights)

    step = 1e-2
    for i, point in enumerate(points):
        direction = numbers(*point.shape, seed=seed + i + 1, low=-1, high=1)
        ahead, behind = (
            loss(*arrays[:i], pc.array(point + sign * step * direction), *arrays[i + 1 :]).item() for sign in (1, -1)
        )
        slope = (ahead - behind) / (2 * step)
        rule = float(np.sum(np.array(pc.grad(loss, argnums=i)(*arrays)) * direction))
        assert abs(slope - rule) <= tol * max(1.0, abs(slope)), f"argument {i}: {slope} by differences, {rule} by rule"
