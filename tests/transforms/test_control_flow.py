# ruff: noqa: E501, E731, B023
"""Loops and branches as operations: map, while_loop and cond, and all of them beside other things."""

import os
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
from scan_loops import XS, H, W, close, f64, looped, scanned, step, unrolled


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


# ---- another implementation -----------------------------------------------------------------------------------------


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
