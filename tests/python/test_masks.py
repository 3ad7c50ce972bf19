"""Masks of bool as indices, for reading and writing, beside NumPy; nonzero."""

from typing import Any

import numpy as np
import pytest

import plait.core as pc

SHAPE = (2, 3, 4)
# The shape of a mask, and where it stands.
PLACES: list[tuple[tuple[int, ...], Any]] = [
    ((2, 3, 4), lambda m: m),
    ((2, 3), lambda m: m),
    ((2,), lambda m: m),
    ((3,), lambda m: (slice(None), m)),
    ((4,), lambda m: (..., m)),
    ((3, 4), lambda m: (0, m)),
    ((3, 4), lambda m: (slice(None), m)),
    ((3, 4), lambda m: (-1, m)),
    ((2,), lambda m: (m, 1)),
    ((2,), lambda m: (m, slice(None, None, -2))),
    ((2,), lambda m: (None, m)),
    ((4,), lambda m: (1, ..., m)),
    ((2, 3), lambda m: (m, None, slice(1, 3))),
]


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
@pytest.mark.parametrize(("shape", "place"), PLACES)
def test_reading_and_writing(shape: tuple[int, ...], place: Any, share: float) -> None:
    x = np.arange(24, dtype=np.float32).reshape(SHAPE)
    mask = np.random.default_rng(len(shape)).random(shape) < share
    here, there = place(pc.array(mask)), place(mask)
    a = pc.array(x)
    picked = x[there]
    assert a[here].shape == picked.shape and np.array_equal(np.array(a[here]), picked)
    assert np.array_equal(np.array(a.T.T[here]), picked)
    values = -np.arange(1, picked.size + 1, dtype=np.float32).reshape(picked.shape)
    for value in (values, np.float32(7)):
        want = x.copy()
        want[there] = value
        b = pc.array(x)
        b[here] = pc.array(value)
        assert np.array_equal(np.array(b), want)
    want = x.copy()
    want[there] += values
    assert np.array_equal(np.array(a.at[here].add(pc.array(values))), want)
    want = x.copy()
    want[there] *= 2
    assert np.array_equal(np.array(a.at[here].multiply(2)), want)


def test_gradients_go_where_the_mask_is_true() -> None:
    x = pc.array([[1.0, -3.0], [4.0, 0.5]])
    assert pc.grad(lambda x: (x[x > 0.7] ** 2).sum())(x).tolist() == [[2, 0], [8, 0]]
    assert pc.grad(lambda x: (x.at[x > 0.7].multiply(3)).sum())(x).tolist() == [[3, 1], [3, 1]]


@pytest.mark.parametrize("transform", [pc.compile, pc.vmap, lambda f: pc.compile(pc.grad(lambda x: f(x).sum()))])
def test_how_many_are_true_is_not_known_while_tracing(transform: Any) -> None:
    with pytest.raises(pc.TransformError, match="traced array was evaluated"):
        transform(lambda x: x[x > 0])(pc.ones((2, 3)))
    always = pc.array([True, False, True])  # one that is not traced
    assert pc.vmap(lambda x: x[always])(pc.ones((2, 3))).shape == (2, 2)
    assert pc.compile(lambda x: x[:, always])(pc.ones((2, 3))).shape == (2, 2)


@pytest.mark.parametrize(
    "index",
    [
        pc.array([True, False, True]),
        pc.ones((2, 4), dtype=pc.bool_),
        (slice(None), pc.array([True, False])),
        (..., pc.array([True])),
        (0, 0, 0, pc.array([True])),
        pc.ones((2, 3, 4, 1), dtype=pc.bool_),
        pc.array(True),
    ],
)
def test_masks_that_do_not_fit(index: Any) -> None:
    x = pc.zeros(SHAPE)
    with pytest.raises(IndexError) as raised:
        pc.eval(x[index])
    assert "mask" in str(raised.value) or "indices" in str(raised.value)
    with pytest.raises(IndexError):
        x.at[index].add(1.0)


def test_nonzero() -> None:
    rng = np.random.default_rng(1)
    for shape in ((7,), (3, 4), (2, 3, 2), (0,), (2, 0)):
        for dtype in (np.bool_, np.int8, np.float32, np.complex64):
            x = (rng.random(shape) < 0.5).astype(dtype)
            got = pc.nonzero(pc.array(x))
            assert isinstance(got, tuple) and len(got) == len(shape)
            for mine, want in zip(got, np.nonzero(x), strict=True):
                assert mine.dtype == pc.int32 and np.array_equal(np.array(mine), want)
    assert pc.nonzero(pc.array([np.nan, 0.0, -0.0]))[0].tolist() == [0]
    x = pc.array([[1, 0], [0, 2]])[:, ::-1]
    assert [at.tolist() for at in pc.nonzero(x)] == [[0, 1], [1, 0]]
    with pytest.raises(ValueError, match="nonzero"):
        pc.nonzero(pc.array(1))
    with pytest.raises(TypeError):
        pc.nonzero([1, 0])  # type: ignore[arg-type]
    with pytest.raises(pc.TransformError):
        pc.compile(pc.nonzero)(pc.ones(3))
