# ruff: noqa: E501, E731, B023
"""Loops and branches as operations: against Python loops, under every transform, and what they refuse."""

import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import plait.core as pc
from plait.debug import check_nan, eager
from plait.profile import profile

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


# ---- scan -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("unroll", [1, 2, 3, 7, 50])
def test_scan_equals_a_loop(reverse: bool, unroll: int) -> None:
    close(pc.scan(step(W), H, XS, reverse=reverse, unroll=unroll), unrolled(step(W), H, XS, reverse))
    f = pc.compile(lambda w, h, xs: pc.scan(step(w), h, xs, reverse=reverse, unroll=unroll))
    close(f(W, H, XS), unrolled(step(W), H, XS, reverse))


@pytest.mark.parametrize("options", [{}, {"reverse": True}, {"unroll": 2}], ids=str)
@pytest.mark.parametrize("argnums", [0, 1, 2, (0, 1, 2)], ids=str)
def test_gradients_equal_those_of_a_loop(options: dict[str, Any], argnums: Any) -> None:
    scan, loop = (lambda *a, f=f: f(*a, **options) for f in (scanned, looped))
    close(pc.grad(scan, argnums)(W, H, XS), pc.grad(loop, argnums)(W, H, XS))
    close(pc.compile(pc.grad(scan, argnums))(W, H, XS), pc.grad(loop, argnums)(W, H, XS))


def test_gradients_equal_differences() -> None:
    for k, a in enumerate((W, H, XS)):
        grad = pc.grad(scanned, k)(W, H, XS)
        along = f64(*a.shape)
        args = [W, H, XS]
        ends = []
        for sign in (1, -1):
            args[k] = a + along * (sign * 1e-6)
            ends.append(scanned(*args).item())
        assert (grad * along).sum().item() == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-6, abs=1e-8)


def test_forwards_equals_a_loop() -> None:
    tangents = [f64(3, 3), f64(3), f64(7, 3)]
    close(pc.jvp(scanned, [W, H, XS], tangents), pc.jvp(looped, [W, H, XS], tangents))
    for k in range(3):  # with some of them fixed
        f = [lambda w: scanned(w, H, XS), lambda h: scanned(W, h, XS), lambda xs: scanned(W, H, xs)][k]
        g = [lambda w: looped(w, H, XS), lambda h: looped(W, h, XS), lambda xs: looped(W, H, xs)][k]
        close(pc.jvp(f, [[W, H, XS][k]], [tangents[k]]), pc.jvp(g, [[W, H, XS][k]], [tangents[k]]))


def test_second_derivatives() -> None:
    def second(f: Callable[..., pc.array]) -> Callable[..., Any]:
        return pc.grad(lambda w, h, xs: (pc.grad(f)(w, h, xs) * W).sum(), (0, 1, 2))

    close(second(scanned)(W, H, XS), second(looped)(W, H, XS))
    close(pc.compile(second(scanned))(W, H, XS), second(looped)(W, H, XS))
    forward = [pc.jvp(pc.grad(f), [W, H, XS], [W, H, XS]) for f in (scanned, looped)]
    close(*forward)
    close(pc.hessian(scanned, 1)(W, H, XS), pc.hessian(looped, 1)(W, H, XS))


@pytest.mark.parametrize(
    "axes", [(0, None, None), (None, 0, None), (None, None, 0), (None, None, 2), (1, 0, 1), (2, 1, 0)], ids=str
)
def test_vmap_equals_a_loop(axes: tuple[int | None, ...]) -> None:
    args = []
    for a, axis in zip((W, H, XS), axes, strict=True):
        args.append(a if axis is None else pc.stack([a, a * 0.5, a + 0.25, a * a], axis=axis))

    def example(i: int) -> list[pc.array]:
        return [a if x is None else pc.take(a, i, axis=x) for a, x in zip(args, axes, strict=True)]

    for transform in (lambda f: f, lambda f: pc.grad(f, (0, 1, 2)), lambda f: pc.compile(pc.grad(f, (0, 1, 2)))):
        got = pc.vmap(transform(scanned), in_axes=axes)(*args)
        want = [transform(looped)(*example(i)) for i in range(4)]
        stacked = pc.stack(want) if isinstance(got, pc.array) else [pc.stack(list(w)) for w in zip(*want, strict=True)]
        close(list(got) if isinstance(got, tuple) else got, stacked)
    together = pc.compile(pc.vmap(pc.grad(scanned), in_axes=axes))(*args)
    close(together, pc.stack([pc.grad(looped)(*example(i)) for i in range(4)]))
    of_batch = pc.grad(lambda *a: pc.vmap(scanned, in_axes=axes)(*a).sum(), (0, 1, 2))(*args)
    loop = pc.grad(
        lambda *a: sum(
            (
                looped(*(x if k is None else pc.take(x, i, axis=k) for x, k in zip(a, axes, strict=True)))
                for i in range(4)
            ),
            pc.array(0.0, dtype=pc.float64),
        ),
        (0, 1, 2),
    )(*args)
    close(of_batch, loop)


def test_a_carry_that_becomes_batched_on_the_way() -> None:
    # The batch enters the second carry only, and the first one from there: two rounds until all is known.
    def f(x: pc.array) -> Any:
        return pc.scan(lambda c, _: ((c[1], c[1] + x), c[0]), (pc.array(0.0), pc.array(1.0)), None, length=4)

    got = pc.vmap(f)(pc.array([1.0, 2.0]))
    want = [f(pc.array(v)) for v in (1.0, 2.0)]
    close(got[1], pc.stack([w[1] for w in want]))
    close(list(got[0]), [pc.stack([w[0][k] for w in want]) for k in range(2)])


def test_scans_nest() -> None:
    def inner(c: pc.array, row: pc.array) -> Any:
        return pc.scan(lambda a, x: (pc.sin(a * x + c.sum()), a), c, row)

    def outer(c: pc.array, rows: pc.array) -> pc.array:
        last, kept = pc.scan(inner, c, rows)
        return (last * last).sum() + kept.sum()

    def plain(c: pc.array, rows: pc.array) -> pc.array:
        kept = pc.array(0.0, dtype=pc.float64)
        for i in range(rows.shape[0]):
            before = c
            for j in range(rows.shape[1]):
                kept = kept + c.sum()
                c = pc.sin(c * rows[i, j] + before.sum())
        return (c * c).sum() + kept

    c, rows = f64(2), f64(3, 4)
    close(outer(c, rows), plain(c, rows))
    for transform in (pc.grad, lambda f: pc.grad(f, 1), lambda f: pc.grad(lambda *a: (pc.grad(f)(*a) * c).sum(), 1)):
        close(transform(outer)(c, rows), transform(plain)(c, rows))
        close(pc.compile(transform(outer))(c, rows), transform(plain)(c, rows))
    batch = f64(5, 2)
    close(
        pc.compile(pc.vmap(pc.grad(outer), in_axes=(0, None)))(batch, rows),
        pc.stack([pc.grad(plain)(b, rows) for b in batch]),
    )


def test_transforms_inside_a_step() -> None:
    def f(c: pc.array, x: pc.array) -> Any:
        g = pc.grad(lambda v: (pc.sin(v) * x).sum())(c)
        rows = pc.vmap(lambda a: a * c.sum())(pc.stack([c, x]))
        return c - 0.1 * g, pc.compile(lambda a: a * 2 + c)(rows)

    close(pc.scan(f, H, XS), unrolled(f, H, XS))

    def loss(f_: Any) -> Callable[..., pc.array]:
        return lambda h, xs: sum((a * a).sum() for a in f_(f, h, xs))

    close(pc.grad(loss(pc.scan), (0, 1))(H, XS), pc.grad(loss(unrolled), (0, 1))(H, XS))
    close(pc.compile(pc.grad(loss(pc.scan), (0, 1)))(H, XS), pc.grad(loss(unrolled), (0, 1))(H, XS))


@pytest.mark.parametrize("n", [0, 1, 2])
def test_short_ones(n: int) -> None:
    xs = f64(n, 3)
    for options in ({}, {"reverse": True}, {"unroll": 4}):
        last, ys = pc.scan(step(W), H, xs, **options)
        assert ys.shape == (n, 3)
        if n == 0:
            close(last, H)
        else:
            close((last, ys), unrolled(step(W), H, xs, options.get("reverse", False)))
        grads = pc.grad(scanned, (0, 1, 2))(W, H, xs, **options)
        if n == 0:
            close(grads, (W * 0, 2 * H, xs))
        else:
            close(grads, pc.grad(looped, (0, 1, 2))(W, H, xs, **options))
    assert pc.map(lambda x: x + 1, xs).shape == (n, 3)


def test_trees_numbers_and_integers() -> None:
    def f(c: Any, x: Any) -> Any:
        total = {"n": c["n"] + 1, "sum": (c["sum"][0] + x["a"] * c["n"], None)}
        return dict(reversed(total.items())), [x["b"], (c["n"], 7)]

    xs = {"a": pc.array([1.0, 2.0, 3.0]), "b": np.array([True, False, True])}
    last, ys = pc.scan(f, {"n": 0, "sum": (0.0, None)}, xs)
    assert (
        last["n"].item() == 3 and last["n"].dtype == pc.int32 and last["sum"][0].item() == 8 and last["sum"][1] is None
    )
    assert ys[0].tolist() == [True, False, True] and ys[1][0].tolist() == [0, 1, 2] and ys[1][1].tolist() == [7, 7, 7]
    # A number to begin with takes the dtype of what follows, an array does not.
    assert pc.scan(lambda c, x: (c + x, None), 0, pc.array([0.5, 0.25]))[0].item() == 0.75
    assert pc.scan(lambda c, x: (c + x, None), 0.0, f64(3))[0].dtype == pc.float64
    grad = pc.grad(
        lambda x: pc.scan(lambda c, v: ((c[0] + 1, c[1] * v * c[0]), None), (1, x), pc.array([1.0, 2.0, 3.0]))[0][1]
    )
    assert grad(pc.array(1.0)).item() == 36


def test_what_it_does_not_use_costs_nothing() -> None:
    big = pc.zeros((4, 1 << 20))
    pc.eval(big)
    assert pc.scan(lambda c, x: (c + 1, None), pc.array(0), big)[0].item() == 4
    # A linear recurrence keeps no carries for its gradient: the backward step has no use for them.
    grads = pc.grad(lambda h: pc.scan(lambda c, x: (c * 0.5 + x, None), h, XS)[0].sum())(H)
    close(grads, pc.ones(3, dtype=pc.float64) * 0.5**7)


def test_a_long_loop_neither_recurses_nor_grows() -> None:
    n = 100_000
    last, _ = pc.scan(lambda c, _: (c * 0.99999 + 1.0, None), pc.zeros(1000), None, length=1000)
    pc.eval(last)
    del last
    before = pc.get_active_memory()
    pc.reset_peak_memory()
    last, ys = pc.scan(lambda c, x: (c * 0.5 + x, c.sum()), pc.zeros(8), pc.ones((n, 1)))
    pc.eval(last, ys)
    assert ys.shape == (n,) and last.tolist() == [2.0] * 8
    assert pc.get_peak_memory() - before < 3 * 4 * n  # the sequence, the sums, and what one step needs
    x = pc.array(0.9999)
    grad = pc.grad(lambda x: pc.scan(lambda c, _: (c * x, None), pc.array(1.0), None, length=n)[0])(x)
    assert grad.item() == pytest.approx(n * 0.9999 ** (n - 1), rel=1e-2)


def test_iterations_plan_once() -> None:
    short, long = pc.random.normal((500, 4)), pc.random.normal((700, 4))
    pc.eval(short, long)
    pc.eval(pc.scan(lambda c, x: (pc.tanh(c + x), c), pc.zeros(4), short))
    before = pc.trace_counters()["plans_built"]
    pc.eval(pc.scan(lambda c, x: (pc.tanh(c + x), c), pc.zeros(4), long))
    assert pc.trace_counters()["plans_built"] == before


def test_new_extents_trace_nothing_again() -> None:
    runs = 0

    @pc.compile
    def f(w: pc.array, h: pc.array, xs: pc.array) -> Any:
        nonlocal runs
        runs += 1

        def step_(c: pc.array, x: pc.array) -> Any:
            c = pc.tanh(c @ w + x + pc.zeros_like(x))
            return c, pc.mean(c, axis=-1)

        last, ys = pc.scan(step_, h, xs)
        return last, ys, pc.grad(lambda h: pc.scan(step_, h, xs)[0].sum())(h)

    for rows, n in ((4, 6), (5, 6), (5, 9), (8, 3), (2, 30)):
        h, xs = f64(rows, 3), f64(n, rows, 3)
        last, ys = unrolled(lambda c, x: ((c := pc.tanh(c @ W + x)), pc.mean(c, axis=-1)), h, xs)
        got = f(W, h, xs)
        close(list(got[:2]), [last, ys])
        close(got[2], pc.grad(lambda h: unrolled(lambda c, x: ((c := pc.tanh(c @ W + x)), c), h, xs)[0].sum())(h))
    assert runs == 1


def test_errors_name_the_line_of_the_operation() -> None:
    def f(c: pc.array, x: pc.array) -> Any:
        return c + pc.slice(x, c.astype(pc.int32), 0, (2,)).sum(), None  # the line

    line = f.__code__.co_firstlineno + 1
    for call in (
        lambda: pc.scan(f, pc.array(0.0), pc.ones((5, 3)))[0],
        lambda: pc.compile(lambda xs: pc.scan(f, pc.array(0.0), xs)[0])(pc.ones((5, 3))),
    ):
        last = call()
        with pytest.raises(IndexError, match=rf"test_control_flow.py:{line}"):
            pc.eval(last)
        with pytest.raises(IndexError):  # once more: nothing was lost
            pc.eval(last)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: pc.scan(3, 0, pc.ones(2)), TypeError, "f of type int"),
        (lambda: pc.scan(lambda c, x: c, 0, pc.ones(2)), ValueError, "a step that returns an array"),
        (lambda: pc.scan(lambda c, x: (c, x), 0), ValueError, "neither xs nor length"),
        (lambda: pc.scan(lambda c, x: (c, x), 0, (pc.ones(2), pc.ones(3))), ValueError, "sequence 1 of shape (3,)"),
        (lambda: pc.scan(lambda c, x: (c, x), 0, pc.ones(2), length=3), ValueError, "here 3"),
        (lambda: pc.scan(lambda c, x: (c, x), 0, None, length=-1), ValueError, "length -1"),
        (lambda: pc.scan(lambda c, x: (c, x), 0, None, length=1.5), TypeError, "length of type float"),
        (lambda: pc.scan(lambda c, x: (c, x), 0, pc.array(1.0)), ValueError, "0-d array as sequence 0"),
        (lambda: pc.scan(lambda c, x: (c, x), 0, pc.ones(2), unroll=0), ValueError, "unroll 0"),
        (lambda: pc.scan(lambda c, x: ({"a": c["a"] * x}, x), {"a": pc.ones(2, dtype=pc.float16)}, pc.ones(2)), ValueError, "float32(2,) at the carry that the step returns['a']"),
        (lambda: pc.scan(lambda c, x: (c[None], x), pc.ones(2), pc.ones(2)), ValueError, "float32(1, 2)"),
        (lambda: pc.scan(lambda c, x: ((c, c), x), pc.ones(2), pc.ones(2)), ValueError, "a tuple of 2 at the carry"),
        (lambda: pc.scan(lambda c, x: ({"b": c["a"]}, x), {"a": pc.ones(2)}, pc.ones(2)), ValueError, "nothing at the carry that the step returns['a']"),
        (lambda: pc.scan(lambda c, x: (c if x.item() else c + 1, x), 0, pc.ones(2)), ValueError, "a traced array was evaluated"),
        (lambda: pc.map(lambda x: x, ()), ValueError, "xs without an array"),
        (lambda: pc.map(None, pc.ones(2)), TypeError, "f of type NoneType"),
        (lambda: pc.while_loop(lambda v: v > 1, 3, 0), TypeError, "body_fun of type int"),
        (lambda: pc.while_loop(None, lambda v: v, 0), TypeError, "cond_fun of type NoneType"),
        (lambda: pc.while_loop(lambda v: v > 1, lambda v: v, pc.ones(2)), ValueError, "predicate of shape (2,)"),
        (lambda: pc.while_loop(lambda v: "yes", lambda v: v, pc.ones(2)), ValueError, "a condition that returns a str"),
        (lambda: pc.while_loop(lambda v: v.sum() > 1, lambda v: v[0], pc.ones(2)), ValueError, "float32() at what the body returns"),
        (lambda: pc.cond(pc.ones(2), lambda: 1, lambda: 2), ValueError, "predicate of shape (2,)"),
        (lambda: pc.cond("x", lambda: 1, lambda: 2), TypeError, "predicate of type str"),
        (lambda: pc.cond(True, 1, lambda: 2), TypeError, "true_fun of type int"),
        (lambda: pc.cond(True, lambda: 1, lambda: 2.0), ValueError, "float32() at what false_fun returns"),
        (lambda: pc.cond(True, lambda x: (x, x), lambda x: x, 1), ValueError, "an array at what false_fun returns"),
    ],
)  # fmt: skip
def test_what_is_refused(call: Callable[[], Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=re.escape(text)):
        call()


def test_exceptions_of_the_step_pass_through() -> None:
    def f(*_: Any) -> Any:
        raise KeyError("mine")

    for call in (
        lambda: pc.scan(f, 0, XS),
        lambda: pc.map(f, XS),
        lambda: pc.while_loop(f, f, 0),
        lambda: pc.cond(True, f, f),
    ):
        with pytest.raises(KeyError, match="mine"):
            call()
    close(pc.scan(step(W), H, XS), unrolled(step(W), H, XS))


# ---- map, while_loop, cond ------------------------------------------------------------------------------------------


def test_map() -> None:
    got = pc.map(lambda t: {"p": t[0] @ W, "q": (t[0] * t[1]).sum()}, (XS, XS + 1))
    close([got["p"], got["q"]], [XS @ W, (XS * (XS + 1)).sum(axis=1)])
    close(pc.grad(lambda w: pc.map(lambda x: pc.sin(x @ w), XS).sum())(W), pc.grad(lambda w: pc.sin(XS @ w).sum())(W))


def powers(x: pc.array, limit: Any = 100.0) -> Any:
    return pc.while_loop(lambda v: v[1] < limit, lambda v: (v[0] + 1, v[1] * x), (0, x))


def test_while_loop() -> None:
    n, v = powers(pc.array(3.0))
    assert n.item() == 4 and v.item() == 243 and n.dtype == pc.int32
    n, v = pc.compile(powers)(pc.array(3.0))
    assert n.item() == 4 and v.item() == 243
    assert powers(pc.array(200.0))[0].item() == 0
    n, v = pc.vmap(powers)(pc.array([3.0, 200.0, 2.0]))
    assert n.tolist() == [4, 0, 6] and v.tolist() == [243, 200, 128]
    # A batch that the condition does not look at.
    total = pc.vmap(lambda x: pc.while_loop(lambda v: v[0] < 3, lambda v: (v[0] + 1, v[1] + x), (0, 0.0)))(
        pc.array([1.0, 2.0])
    )
    assert total[0].tolist() == [3, 3] and total[1].tolist() == [3, 6]
    n, v = pc.vmap(powers, in_axes=(None, 0))(pc.array(3.0), pc.array([10.0, 100.0]))
    assert n.tolist() == [2, 4] and v.tolist() == [27, 243]
    assert pc.while_loop(lambda n: n < 100_000, lambda n: n + 1, 0).item() == 100_000


def test_derivatives_of_while_loop() -> None:
    x = pc.array(3.0, dtype=pc.float64)
    value, slope = pc.jvp(lambda x: powers(x)[1], [x], [pc.array(1.0, dtype=pc.float64)])
    assert value[0].item() == 243 and slope[0].item() == 5 * 81
    assert pc.jacfwd(pc.jacfwd(lambda x: powers(x)[1]))(x).item() == 20 * 27
    assert pc.compile(pc.vmap(pc.jacfwd(lambda x: powers(x)[1])))(pc.array([3.0, 200.0])).tolist() == [405, 1]
    with pytest.raises(ValueError, match="scan has a length"):
        pc.grad(lambda x: powers(x)[1])(x)
    assert pc.grad(lambda x: x * pc.stop_gradient(powers(x)[1]))(x).item() == 243


def branches(p: pc.array, x: pc.array, y: pc.array) -> pc.array:
    return pc.cond(p, lambda a, b: pc.sin(a) * y + b["z"], lambda a, b: a * a * W[0, 0], x, {"z": y})


def test_cond() -> None:
    x, y = f64(3), f64(3)
    for p, want in ((True, lambda x, y: pc.sin(x) * y + y), (False, lambda x, y: x * x * W[0, 0])):
        for p_ in (p, pc.array(p), pc.array(float(p))):
            close(branches(p_, x, y), want(x, y))
            close(pc.compile(branches)(pc.array(p), x, y), want(x, y))
        f = pc.grad(lambda x, y: (branches(p, x, y) * x).sum(), (0, 1))
        g = pc.grad(lambda x, y: (want(x, y) * x).sum(), (0, 1))
        close(f(x, y), g(x, y))
        close(pc.jvp(lambda x: branches(p, x, y), [x], [y]), pc.jvp(lambda x: want(x, y), [x], [y]))
        close(pc.hessian(lambda x: branches(p, x, y).sum())(x), pc.hessian(lambda x: want(x, y).sum())(x))
        rows = f64(4, 3)
        close(pc.vmap(lambda x: branches(p, x, y))(rows), pc.stack([want(r, y) for r in rows]))
    rows, flags = f64(4, 3), pc.array([True, False, False, True])
    want = pc.stack([branches(f, r, y) for f, r in zip(flags, rows, strict=True)])
    close(pc.vmap(branches, in_axes=(0, 0, None))(flags, rows, y), want)
    close(pc.compile(pc.vmap(branches, in_axes=(0, 0, None)))(flags, rows, y), want)
    close(
        pc.vmap(pc.grad(lambda p, x: branches(p, x, y).sum(), 1))(flags, rows),
        pc.stack([pc.grad(lambda x, f=f: branches(f, x, y).sum())(r) for f, r in zip(flags, rows, strict=True)]),
    )


def test_only_the_branch_taken_is_run() -> None:
    x = pc.ones(4)
    bad = lambda x: pc.slice(x, pc.array([3]), 0, (2,))
    assert pc.cond(pc.array(True), lambda x: x[:2], bad, x).tolist() == [1, 1]
    with pytest.raises(IndexError):
        pc.eval(pc.cond(pc.array(False), lambda x: x[:2], bad, x))


def test_all_of_them_in_one_another() -> None:
    def f(c: pc.array, x: pc.array) -> Any:
        n = pc.while_loop(lambda v: v[1] < 2.0, lambda v: (v[0] + 1, v[1] + pc.abs(x).sum() + 0.5), (0, 0.0))[0]
        c = pc.cond(x[0] > 0, lambda c: pc.sin(c) * x, lambda c: c * c + n, c)
        return c, pc.map(lambda v: v * c.sum(), x)

    def plain(c: pc.array, x: pc.array) -> Any:
        n, v = 0, 0.0
        while v < 2.0:
            n, v = n + 1, v + pc.abs(x).sum().item() + 0.5
        c = pc.sin(c) * x if x[0].item() > 0 else c * c + n
        return c, x * c.sum()

    close(pc.scan(f, H, XS), unrolled(plain, H, XS))
    loss = lambda h: sum(a.sum() for a in pc.scan(f, h, XS))
    want = lambda h: sum(a.sum() for a in unrolled(plain, h, XS))
    close(pc.grad(loss)(H), pc.grad(want)(H))
    close(pc.compile(pc.grad(loss))(H), pc.grad(want)(H))
    rows = f64(3, 3)
    close(pc.vmap(pc.grad(loss))(rows), pc.stack([pc.grad(want)(r) for r in rows]))


def test_threads_share_loops() -> None:
    f = pc.compile(lambda h, xs: pc.scan(step(W), h, xs))
    last, ys = pc.scan(step(W), H, XS)  # pending, and asked for by all
    want = unrolled(step(W), H, XS)
    failed: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(10):
                close((last, ys), want)
                close(f(H, XS), want)
                close(pc.scan(step(W), H, XS), want)
        except BaseException as e:
            failed.append(e)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not failed, failed[0]


def test_training_a_recurrent_network() -> None:
    pc.random.seed(0)
    n, hidden = 12, 8
    params = {
        "w": pc.random.normal((hidden, hidden)) * 0.3,
        "u": pc.random.normal((1, hidden)) * 0.5,
        "v": pc.random.normal((hidden, 1)) * 0.3,
    }
    xs = pc.random.uniform(-1, 1, (n, 16, 1))
    target = pc.cumsum(xs, axis=0) * 0.3

    def loss(p: dict[str, pc.array]) -> pc.array:
        def cell(h: pc.array, x: pc.array) -> Any:
            h = pc.tanh(h @ p["w"] + x @ p["u"])
            return h, h @ p["v"]

        out = pc.scan(cell, pc.zeros((16, hidden)), xs)[1]
        return pc.mean(pc.square(out - target))

    @pc.compile
    def train(p: dict[str, pc.array]) -> Any:
        value, grads = pc.value_and_grad(loss)(p)
        return value, {k: p[k] - 0.2 * grads[k] for k in p}

    losses = []
    for _ in range(150):
        value, params = train(params)
        losses.append(value.item())
    assert losses[-1] < 0.25 * losses[0]


# ---- beside other things --------------------------------------------------------------------------------------------


def test_numbers_given_to_compiled_functions_stay_inputs() -> None:
    runs = 0

    @pc.compile
    def f(x: pc.array, rate: float) -> Any:
        nonlocal runs
        runs += 1
        carry, _ = pc.scan(lambda c, _: (c * rate + 1, None), x, None, length=3)
        turns = pc.while_loop(lambda v: v < 10 * rate, lambda v: v + rate, 0.0)
        return carry, turns, pc.cond(x.sum() > rate, lambda: x * rate, lambda: x - rate)

    for rate in (2.0, 3.0, 0.5):
        carry, turns, branch = f(pc.array([1.0]), rate)
        assert carry.tolist() == [rate**3 + rate**2 + rate + 1] and turns.item() == 10 * rate
        assert branch.item() == (rate if rate < 1 else 1 - rate)
    assert runs == 1


def test_the_check_for_nan_looks_inside() -> None:
    def f(c: pc.array, x: pc.array) -> Any:
        return c + pc.log(x), None  # the line

    with (
        check_nan(),
        pytest.raises(pc.NanError, match=rf"log.*(\n.*)*test_control_flow.py:{f.__code__.co_firstlineno + 1}"),
    ):
        pc.eval(pc.scan(f, pc.array(0.0), pc.array([1.0, -1.0, 2.0]))[0])
    with check_nan():
        assert pc.scan(f, pc.array(0.0), pc.ones(3))[0].item() == 0


def test_the_eager_switch_runs_turn_by_turn() -> None:
    seen = []

    def f(c: pc.array, x: pc.array) -> Any:
        seen.append(c.item())
        return c + x, c

    with eager():
        last, ys = pc.scan(f, 0.0, pc.array([1.0, 2.0, 3.0]), reverse=True)
        assert last.item() == 6 and ys.tolist() == [5, 3, 0] and seen == [0, 3, 5]
        assert pc.map(lambda x: x * float(x.item()), pc.array([1.0, 2.0])).tolist() == [1, 4]
        assert pc.while_loop(lambda v: v < 3, lambda v: v + (1 if v.item() < 1 else 2), 0).item() == 3
        for p in (True, False):
            assert pc.cond(p, lambda x: x + 1, lambda x: x - float(x.item()), pc.array(2.0)).item() == (3 if p else 0)
        close(pc.vmap(lambda x: pc.scan(step(W), x, XS)[0])(f64(2, 3))[0] * 0, H * 0)  # not values: stays an operation


def test_evaluated_before_its_gradient() -> None:
    # The loop has run, without the carries, when the gradient asks for them.
    def loss(h: pc.array) -> pc.array:
        last, ys = pc.scan(step(W), h, XS)
        pc.eval(last, ys)
        return last.sum() + (ys * ys).sum()

    want = pc.grad(lambda h: (lambda r: r[0].sum() + (r[1] * r[1]).sum())(unrolled(step(W), h, XS)))(H)
    close(pc.grad(loss)(H), want)
    value, grads = pc.value_and_grad(lambda h: scanned(W, h, XS))(H)
    pc.eval(value)  # first the value alone, then what needs the carries
    close(grads, pc.grad(lambda h: looped(W, h, XS))(H))


def test_a_gradient_runs_the_loop_forwards_once() -> None:
    f = pc.value_and_grad(lambda h: scanned(W, h, XS))
    pc.eval(f(H))
    with profile() as p:
        pc.eval(f(H))
    assert sum(e["name"] == "scan" for e in p.steps) == 2


SIMULATED = """
import numpy as np
import plait.core as pc
from plait import transfers

xs, w = pc.array(np.arange(12.0).reshape(6, 2), dtype=pc.float32), pc.array([[0.5, 0.1], [0.2, 0.3]])
f = lambda c, x: ((c := pc.tanh(c @ w + x)), c.sum())
want, ys = [a.tolist() for a in pc.scan(f, pc.zeros(2), xs)]
grad = pc.grad(lambda w: pc.scan(lambda c, x: (pc.tanh(c @ w + x), None), pc.zeros(2), xs)[0].sum())
want_grad = grad(w).tolist()
pc.set_default_device(pc.gpu)
for unroll in (1, 4):
    last, sums = pc.scan(f, pc.zeros(2), xs, unroll=unroll)
    assert last.tolist() == want and sums.tolist() == ys
    last, sums = pc.compile(lambda xs: pc.scan(f, pc.zeros(2), xs, reverse=True, unroll=unroll))(xs[::-1])
    assert last.tolist() == want and sums.tolist() == ys[::-1]
np.testing.assert_allclose(grad(w).tolist(), want_grad, rtol=1e-6)

def crossings(f):
    with transfers.count() as moved:
        pc.eval(f())
    return moved["gpu:0", "cpu"].transfers

assert crossings(lambda: pc.scan(f, pc.zeros(2), xs)) == 0
assert crossings(lambda: pc.while_loop(lambda v: v[0] < 5, lambda v: (v[0] + 1, v[1] * 2), (pc.array(0), pc.ones(3)))) == 6
assert crossings(lambda: pc.cond(xs.sum() > 0, lambda x: x * 2, lambda x: x, xs)) == 1
assert pc.while_loop(lambda v: v[0] < 5, lambda v: (v[0] + 1, v[1] * 2), (pc.array(0), pc.ones(3)))[1].tolist() == [32.0] * 3
"""


def test_on_a_simulated_device() -> None:
    run = subprocess.run(
        [sys.executable, "-c", SIMULATED], env=os.environ | {"PLAIT_SIMULATE_GPU": "1"}, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr


# ---- Jacobians ------------------------------------------------------------------------------------------------------


def test_jacobians() -> None:
    def f(x: pc.array, p: dict[str, Any]) -> Any:
        return {"a": pc.sin(x) @ p["w"], "b": [(x * x).sum() * p["s"][0]]}

    x, p = f64(3), {"w": f64(3, 2), "s": [f64(1)], "name": "kept"}
    for jac in (pc.jacfwd, pc.jacrev, lambda f: pc.compile(pc.jacfwd(f)), lambda f: pc.compile(pc.jacrev(f))):
        out = jac(f)(x, p)
        close(out["a"], (pc.cos(x)[:, None] * p["w"]).T)
        close(out["b"][0], (2 * x * p["s"][0])[None])
    for jac in (pc.jacfwd, pc.jacrev):
        of_x, of_p = jac(f, argnums=(0, 1))(x, p)["a"]
        close(of_x, (pc.cos(x)[:, None] * p["w"]).T)
        assert of_p["w"].shape == (2, 3, 2) and of_p["s"][0].shape == (2, 1) and of_p["name"] == "kept"
        close(of_p["w"][1, :, 1], pc.sin(x))
        close(of_p["w"][1, :, 0], pc.sin(x) * 0)
    second = pc.hessian(lambda x: (x * x * x).sum())(x)
    close(second, pc.diag(6 * x))
    nested = pc.hessian(lambda t: (t["u"] * t["v"]).sum())({"u": x, "v": x})
    close(nested["u"]["v"], pc.eye(3, dtype=pc.float64))
    close(nested["u"]["u"], pc.zeros((3, 3), dtype=pc.float64))
    close(pc.vmap(pc.hessian(lambda x: (x * x * x).sum()))(f64(2, 3))[0].shape and second, second)


def test_jacobians_of_any_shape() -> None:
    x = f64(2, 3)
    f = lambda x: pc.tanh(x[:, :, None] * x[:, None, :])
    forwards, backwards = pc.jacfwd(f)(x), pc.jacrev(f)(x)
    assert forwards.shape == (2, 3, 3, 2, 3)
    close(forwards, backwards)
    for column in range(3):
        along = pc.zeros((2, 3), dtype=pc.float64)
        along[1, column] = 1.0
        close(forwards[..., 1, column], pc.jvp(f, [x], [along])[1][0])
    empty = pc.jacfwd(lambda x: x * 2)(pc.zeros((0,), dtype=pc.float64))
    assert empty.shape == (0, 0)


@pytest.mark.parametrize("jac", [pc.jacfwd, pc.jacrev, pc.hessian])
def test_what_jacobians_refuse(jac: Callable[..., Any]) -> None:
    with pytest.raises(TypeError):
        jac(3)
    for argnums in (-1, (0, 0), ()):
        with pytest.raises(ValueError):
            jac(lambda x: x, argnums)
    with pytest.raises(ValueError, match="argument number 1"):
        jac(lambda x: x, 1)(H)
    with pytest.raises(ValueError, match="no array"):
        jac(lambda x: x)(3)
    with pytest.raises(ValueError, match="int32"):
        jac(lambda x: x * 2)(pc.array([1, 2]))
    with pytest.raises(ValueError, match="no array"):
        jac(lambda x: 3)(H)


# ---- another implementation ----------------------------------------------------------------------------------------


def test_agrees_with_jax() -> None:
    jax = pytest.importorskip("jax")
    jnp = jax.numpy
    w, h, xs = (np.array(a, dtype=np.float32) for a in (W, H, XS))

    def run(np_: Any, scan: Any, cond: Any) -> Callable[..., Any]:
        def f(w: Any, h: Any, xs: Any) -> Any:
            def step_(c: Any, x: Any) -> Any:
                c = cond(x.sum() > 0, lambda c: np_.tanh(c @ w + x), lambda c: c * 0.5 - x, c)
                return c, np_.sin(c)

            last, ys = scan(step_, h, xs, reverse=True)
            return (last * last).sum() + ys.sum()

        return f

    theirs = jax.grad(run(jnp, jax.lax.scan, jax.lax.cond), (0, 1, 2))(w, h, xs)
    ours = pc.grad(run(pc, pc.scan, pc.cond), (0, 1, 2))(*map(pc.array, (w, h, xs)))
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(np.array(a), np.array(b), rtol=2e-5, atol=1e-6)
    hess = jax.hessian(run(jnp, jax.lax.scan, jax.lax.cond), 1)(w, h, xs)
    np.testing.assert_allclose(
        np.array(pc.hessian(run(pc, pc.scan, pc.cond), 1)(*map(pc.array, (w, h, xs)))),
        np.array(hess),
        rtol=2e-4,
        atol=1e-5,
    )
