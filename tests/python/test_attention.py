"""Attention's kernels: blocks, masks, heads that share keys, layouts and memory, against NumPy in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import plait.core as pc

TOLERANCE = {pc.float32: 2e-5, pc.float64: 1e-11, pc.float16: 4e-3, pc.bfloat16: 3e-2}


def attention(*args: Any, **more: Any) -> pc.array:
    return pc.fast.scaled_dot_product_attention(*args, **more)


def drawn(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.normal(size=shape)


def expected(
    q: np.ndarray, k: np.ndarray, v: np.ndarray, scale: float, mask: Any = None, sinks: np.ndarray | None = None
) -> np.ndarray:
    k, v = (np.repeat(a, q.shape[1] // a.shape[1], axis=1) for a in (k, v))
    x = scale * q @ k.swapaxes(-1, -2)
    lowest = -np.finfo(np.float32).max
    if isinstance(mask, str):
        mask = np.tril(np.ones(x.shape[-2:], bool), x.shape[-1] - x.shape[-2])
    if mask is not None:
        x = np.where(mask, x, lowest) if mask.dtype == bool else x + mask
    most = x.max(-1, keepdims=True)
    if sinks is not None:
        sinks = sinks.reshape(1, -1, 1, 1)
        most = np.maximum(most, sinks)
    e = np.exp(x - most)
    total = e.sum(-1, keepdims=True)
    if sinks is not None:
        total = total + np.exp(sinks - most)
    return e @ v / total


def near(got: Any, want: np.ndarray, tol: float) -> None:
    np.testing.assert_allclose(np.array(got.astype(pc.float64)), want, rtol=tol, atol=tol)


# batch, heads, shared, queries, keys, features, values: around the extents of blocks, and few of each
SHAPES = [
    (1, 1, 1, 1, 1, 1, 1),
    (2, 4, 2, 1, 300, 16, 8),
    (1, 16, 2, 1, 600, 128, 128),
    (1, 6, 2, 3, 257, 64, 64),
    (2, 4, 4, 4, 255, 32, 33),
    (1, 4, 1, 49, 256, 80, 17),
    (1, 2, 2, 97, 513, 8, 130),
    (3, 3, 3, 48, 48, 5, 7),
    (1, 2, 1, 700, 130, 12, 16),
    (1, 1, 1, 2, 5, 300, 3),
    (2, 2, 1, 50, 7, 0, 4),
    (0, 2, 2, 3, 4, 5, 6),
    (1, 2, 2, 0, 4, 5, 6),
    (1, 0, 2, 3, 4, 5, 6),
    (1, 2, 2, 3, 4, 5, 0),
]
MASKS = ["none", "causal", "boolean", "keys", "added", "rows"]


def mask_of(name: str, rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
    n, heads, _, queries, keys, _, _ = shape
    if name == "boolean":
        return rng.random((n, heads, queries, keys)) < 0.7
    if name == "keys":
        return rng.random((keys,)) < 0.7
    if name == "added":
        return drawn(rng, 1, heads, queries, keys)
    if name == "rows":
        return drawn(rng, n, 1, queries, 1)
    return None if name == "none" else name


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
def test_results_and_gradients(shape: tuple[int, ...], mask: str, dtype: pc.Dtype) -> None:
    rng = np.random.default_rng(sum(shape) + len(mask))
    n, heads, shared, queries, keys, features, values = shape

    def rounded(a: np.ndarray) -> np.ndarray:
        return np.array(pc.array(a).astype(dtype).astype(pc.float64))

    q, k, v = (
        rounded(drawn(rng, *s))
        for s in ((n, heads, queries, features), (n, shared, keys, features), (n, shared, keys, values))
    )
    m = mask_of(mask, rng, shape)
    sinks = rounded(drawn(rng, heads)) if features % 2 == 0 else None
    if isinstance(m, np.ndarray) and m.dtype != bool:
        m = rounded(m)
    given: dict[str, Any] = {"scale": 0.3, "mask": m, "sinks": None if sinks is None else pc.array(sinks).astype(dtype)}
    if isinstance(m, np.ndarray):
        given["mask"] = pc.array(m) if m.dtype == bool else pc.array(m).astype(dtype)
    inputs = [pc.array(a).astype(dtype) for a in (q, k, v)]
    got = attention(*inputs, **given)
    assert got.dtype == dtype
    if heads == 0:
        assert got.shape == (n, 0, queries, values)
    else:
        near(got, expected(q, k, v, 0.3, m, sinks), TOLERANCE[dtype])
    if dtype == pc.float64:
        return
    # Gradients beside those of float64, whose kernel is plain loops and is held against differences.
    g = rounded(drawn(rng, n, heads, queries, values))

    def gradients(d: pc.Dtype) -> list[pc.array]:
        more = {key: a.astype(d) if isinstance(a, pc.array) and a.dtype != pc.bool_ else a for key, a in given.items()}
        f = lambda *xs: attention(*xs, **more)  # noqa: E731
        return pc.vjp(f, [a.astype(d) for a in inputs], [pc.array(g).astype(d)])[1]

    for ours, want in zip(gradients(dtype), gradients(pc.float64), strict=True):
        near(ours, np.array(want), 4 * TOLERANCE[dtype])


@pytest.mark.parametrize("mask", ["none", "causal", "added", "boolean"])
@pytest.mark.parametrize("sinks", [False, True])
def test_gradients_of_float64(mask: str, sinks: bool) -> None:
    shape = (2, 4, 2, 5, 3 if mask == "causal" else 6, 3, 2)  # causal: queries that see nothing
    rng = np.random.default_rng(7)
    q, k, v = drawn(rng, 2, 4, 5, 3), drawn(rng, 2, 2, shape[4], 3), drawn(rng, 2, 2, shape[4], 2)
    m = mask_of(mask, rng, shape)
    arrays = [q, k, v] + ([m] if mask == "added" else []) + ([drawn(rng, 4)] if sinks else [])

    def f(*xs: pc.array) -> pc.array:
        of_mask = xs[3] if mask == "added" else pc.array(m) if isinstance(m, np.ndarray) else m
        return attention(*xs[:3], scale=0.7, mask=of_mask, sinks=xs[-1] if sinks else None)

    inputs = [pc.array(a, dtype=pc.float64) for a in arrays]
    along = [pc.array(drawn(rng, *a.shape), dtype=pc.float64) for a in arrays]
    weights = pc.array(drawn(rng, 2, 4, 5, 2), dtype=pc.float64)

    def loss(*xs: pc.array) -> pc.array:
        return (f(*xs) * weights).sum()

    def slope(xs: list[pc.array]) -> pc.array:
        return pc.jvp(loss, xs, along)[1][0]

    def by_gradient(*xs: pc.array) -> pc.array:
        grads = pc.grad(loss, argnums=list(range(len(xs))))(*xs)
        return sum((g * d).sum() for g, d in zip(grads, along, strict=True))

    step = 1e-5
    ahead, behind = ([x + s * step * d for x, d in zip(inputs, along, strict=True)] for s in (1, -1))
    want = (loss(*ahead) - loss(*behind)).item() / (2 * step)
    assert slope(inputs).item() == pytest.approx(want, rel=1e-6, abs=1e-8)
    assert by_gradient(*inputs).item() == pytest.approx(want, rel=1e-6, abs=1e-8)
    # Second derivatives, each way around.
    want = (by_gradient(*ahead) - by_gradient(*behind)).item() / (2 * step)
    assert pc.jvp(by_gradient, inputs, along)[1][0].item() == pytest.approx(want, rel=1e-5, abs=1e-7)
    grads = pc.grad(by_gradient, argnums=list(range(len(inputs))))(*inputs)
    got = sum((g * d).sum() for g, d in zip(grads, along, strict=True))
    assert got.item() == pytest.approx(want, rel=1e-5, abs=1e-7)
    # The gradient by its own cotangent is the tangent.
    back = pc.vjp(lambda w: pc.vjp(f, inputs, [w])[1], [weights], along)[1][0]
    np.testing.assert_allclose(np.array(back), np.array(pc.jvp(f, inputs, along)[1][0]), rtol=1e-10, atol=1e-12)


def test_layouts() -> None:
    rng = np.random.default_rng(0)
    base = {name: drawn(rng, 2, 60, 4, 16).astype(np.float32) for name in "qkv"}
    views = {
        "heads behind lengths": lambda a: a.transpose(0, 2, 1, 3),
        "features first": lambda a: a.transpose(0, 2, 3, 1)[:, :, :, :16].swapaxes(2, 3),
        "turned": lambda a: a.transpose(0, 2, 1, 3)[:, :, ::-1, ::-1],
        "every other": lambda a: a.transpose(0, 2, 1, 3)[:, ::2, ::3],
        "one for all": lambda a: (np if isinstance(a, np.ndarray) else pc).broadcast_to(a[:1, :1, :1], (2, 3, 7, 16)),
    }
    for name, view in views.items():
        q, k, v = (view(base[x]) for x in "qkv")
        got = attention(*(view(pc.array(base[x])) for x in "qkv"), scale=0.25, mask="causal")
        np.testing.assert_allclose(
            np.array(got),
            expected(*(a.astype(float) for a in (q, k, v)), 0.25, "causal"),
            rtol=2e-5,
            atol=2e-5,
            err_msg=name,
        )
        one = attention(*(view(pc.array(base[x]))[:, :, : 1 if x == "q" else None] for x in "qkv"), scale=0.25)
        np.testing.assert_allclose(
            np.array(one),
            expected(*(a.astype(float) for a in (q[:, :, :1], k, v)), 0.25),
            rtol=2e-5,
            atol=2e-5,
            err_msg=name,
        )


def test_extreme_scores() -> None:
    q = pc.array([[[[1.0], [0.0], [-1.0], [float("nan")]]]])
    k = pc.array([[[[300.0], [-300.0], [0.0]]]])
    v = pc.array([[[[1.0], [2.0], [6.0]]]])
    got = np.array(attention(q, k, v, scale=1e30))[0, 0, :, 0]  # scores of 3e32 and their negatives
    assert got[:3].tolist() == [1, 3, 2] and np.isnan(got[3])
    mask = pc.array([[float("-inf"), 0.0, 0.0], [float("-inf")] * 3, [0.0, float("-inf"), 0.0], [0.0] * 3])
    got = np.array(attention(q, k, v, scale=0.01, mask=mask))[0, 0, :, 0]
    assert got[0] == pytest.approx((2 * np.exp(-3) + 6) / (np.exp(-3) + 1), rel=1e-5)
    assert np.isnan(got[1]) and got[2] == pytest.approx((np.exp(-3) + 6) / (np.exp(-3) + 1), rel=1e-5)


def test_results_do_not_depend_on_what_else_runs() -> None:
    """Blocks are cut by extents, so each run has the same bits."""
    rng = np.random.default_rng(1)
    q, k, v = (pc.array(drawn(rng, 1, 2, 300, 32).astype(np.float32)) for _ in range(3))

    def all_of() -> list[np.ndarray]:
        f = lambda *xs: attention(*xs, scale=0.2, mask="causal").sum()  # noqa: E731
        return [np.array(a) for a in pc.grad(f, argnums=[0, 1, 2])(q, k, v)]

    first = all_of()
    for _ in range(3):
        for a, b in zip(first, all_of(), strict=True):
            assert np.array_equal(a, b)


@pytest.mark.parametrize("mask", ["causal", "keys"])
def test_memory_is_linear_in_the_length(mask: str) -> None:
    if pc.default_device() == pc.gpu:
        pytest.skip("a GPU takes up to 256 MiB of scores at a time")
    length, features = 4096, 32
    q, k, v = (pc.random.normal((1, 2, length, features)) for _ in range(3))
    seen = pc.arange(length) > 5
    pc.eval(q, k, v, seen)
    operand = 2 * length * features * 4  # scores would be 128 times as large

    def loss(*xs: pc.array) -> pc.array:
        return attention(*xs, scale=0.1, mask=seen if mask == "keys" else mask).sum()

    def peak(work: Any) -> int:
        pc.clear_cache()
        pc.reset_peak_memory()
        before = pc.get_active_memory()
        pc.eval(work())
        return pc.get_peak_memory() - before

    assert peak(lambda: loss(q, k, v)) < 4 * operand
    assert peak(lambda: pc.grad(loss, argnums=[0, 1, 2])(q, k, v)) < 24 * operand


def test_vmap_of_gradients() -> None:
    rng = np.random.default_rng(3)
    q, k, v = drawn(rng, 3, 2, 4, 5, 6), drawn(rng, 2, 2, 7, 6), drawn(rng, 3, 2, 2, 7, 4)
    mask = rng.random((3, 1, 1, 5, 7)) < 0.8
    arrays = [pc.array(a.astype(np.float32)) for a in (q, k, v)] + [pc.array(mask)]

    def grads(q: pc.array, k: pc.array, v: pc.array, m: pc.array) -> list[pc.array]:
        f = lambda *xs: (attention(*xs, scale=0.4, mask=m) ** 2).sum()  # noqa: E731
        return pc.grad(f, argnums=[0, 1, 2])(q, k, v)

    got = pc.vmap(grads, in_axes=(0, None, 0, 0))(*arrays)
    for i in range(3):
        want = grads(arrays[0][i], arrays[1], arrays[2][i], arrays[3][i])
        for a, b in zip(got, want, strict=True):
            np.testing.assert_allclose(np.array(a[i]), np.array(b), rtol=2e-5, atol=2e-5)
