# ruff: noqa: E501, B023
"""scan as an operation: against Python loops, under every transform, and what it refuses."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import plait.core as pc
from scan_loops import XS, H, W, close, f64, looped, scanned, step, unrolled


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
        with pytest.raises(IndexError, match=rf"test_scan.py:{line}"):
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


def test_results_are_whole_when_they_are_read() -> None:
    """On a device too, where the memory of stacked results is written turn by turn."""
    xs = np.random.default_rng(0).uniform(-1, 1, (40, 2, 3, 4)).astype(np.float32)
    for _ in range(10):
        _, sums = pc.scan(lambda c, x: (c + x, c + x), pc.zeros((2, 3, 4)), pc.array(xs))
        moved = np.array(pc.moveaxis(sums, 0, 1).reshape(2, 40, 12))
        np.testing.assert_allclose(moved, np.moveaxis(np.cumsum(xs, 0), 0, 1).reshape(2, 40, 12), rtol=1e-4, atol=1e-4)
