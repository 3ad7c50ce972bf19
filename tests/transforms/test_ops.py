# ruff: noqa: E501
"""Derivatives, batching and compilation of every function: against differences, against each other, against a loop."""

from collections.abc import Callable

import numpy as np
import pytest

import plait.core as pc
from op_cases import FUNCTIONS, Case, Function, cases, inexact, name_of, numpy_of

SAMPLED = [f for f in FUNCTIONS if f.samples]
SMOOTH = [f for f in SAMPLED if f.differentiable]
STEP = 1e-6

# Piecewise constant or linear functions whose second derivative is 0 wherever it exists still take part: differences of the
# first derivative are 0 too. What is left out has a kink or a jump inside its samples on purpose.
KINKED: dict[str, str] = {}


class Scalar:
    """A case as a function of the arrays that move, to one number: a fixed weighting of everything it returns."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.moving = [i for i, v in enumerate(case.values) if v.moves]
        self.fixed = case.arrays()
        self.rng = np.random.default_rng(1)
        self.weights = [self.random(r.shape) for r in self.outputs(*self.inputs()) if inexact(r)]

    def random(self, shape: tuple[int, ...]) -> pc.array:
        return pc.array(np.round(self.rng.uniform(-1, 1, shape) * 64) / 64, dtype=pc.float64)

    def inputs(self) -> list[pc.array]:
        return [self.fixed[i] for i in self.moving]

    def outputs(self, *moving: pc.array) -> list[pc.array]:
        arrays = list(self.fixed)
        for i, a in zip(self.moving, moving, strict=True):
            arrays[i] = a
        return self.case.call(arrays)

    def __call__(self, *moving: pc.array) -> pc.array:
        total = pc.zeros((), dtype=pc.float64)
        for out, weight in zip((o for o in self.outputs(*moving) if inexact(o)), self.weights, strict=True):
            real = pc.real(out) + pc.imag(out) if name_of(out.dtype) == "complex64" else out
            total = total + pc.sum(real.astype(pc.float64) * weight)
        return total


def dot(xs: list[pc.array], ys: list[pc.array]) -> float:
    return float(sum(np.vdot(numpy_of(x), numpy_of(y)) for x, y in zip(xs, ys, strict=True)))


def moved(xs: list[pc.array], along: list[pc.array], by: float) -> list[pc.array]:
    return [pc.array(numpy_of(x) + by * numpy_of(d), dtype=pc.float64) for x, d in zip(xs, along, strict=True)]


def slope(f: Callable[..., float], xs: list[pc.array], along: list[pc.array]) -> float:
    return (f(*moved(xs, along, STEP)) - f(*moved(xs, along, -STEP))) / (2 * STEP)


def differentiable_cases(function: Function) -> list[Scalar]:
    out = [Scalar(case) for case in cases(function, "float64")]
    return [f for f in out if f.moving and f.weights and all(np.isfinite(numpy_of(x)).all() for x in f.inputs())]


@pytest.mark.parametrize("function", SMOOTH, ids=str)
def test_gradients_match_differences_and_each_other(function: Function) -> None:
    for f in differentiable_cases(function):
        xs = f.inputs()
        along = [f.random(x.shape) for x in xs]
        every = list(range(len(xs)))
        grads = pc.grad(f, argnums=every)(*xs)
        grads = list(grads) if isinstance(grads, (list, tuple)) else [grads]
        for x, g in zip(xs, grads, strict=True):
            assert g.shape == x.shape and g.dtype == x.dtype, f.case
        want = slope(lambda *a, f=f: float(f(*a)), xs, along)
        scale = 1 + abs(want)
        assert abs(dot(grads, along) - want) < 2e-6 * scale, f"{f.case}: grad {dot(grads, along)}, differences {want}"
        _, tangents = pc.jvp(f, xs, along)
        assert abs(float(tangents[0]) - dot(grads, along)) < 1e-9 * scale, (
            f"{f.case}: jvp {float(tangents[0])}, vjp {dot(grads, along)}"
        )


@pytest.mark.parametrize("function", [f for f in SMOOTH if f.name not in KINKED], ids=str)
def test_second_derivatives_match_differences(function: Function) -> None:
    for f in differentiable_cases(function)[:2]:
        xs = f.inputs()
        along, other = [f.random(x.shape) for x in xs], [f.random(x.shape) for x in xs]
        every = list(range(len(xs)))

        def first(*a: pc.array, f: Scalar = f, along: list[pc.array] = along, every: list[int] = every) -> pc.array:
            grads = pc.grad(f, argnums=every)(*a)
            grads = list(grads) if isinstance(grads, (list, tuple)) else [grads]
            total = pc.zeros((), dtype=pc.float64)
            for g, d in zip(grads, along, strict=True):
                total = total + pc.sum(g * d)
            return total

        second = pc.grad(first, argnums=every)(*xs)
        second = list(second) if isinstance(second, (list, tuple)) else [second]
        want = slope(lambda *a, first=first: float(first(*a)), xs, other)
        assert abs(dot(second, other) - want) < 1e-5 * (1 + abs(want)), (
            f"{f.case}: {dot(second, other)}, differences {want}"
        )
        _, tangents = pc.jvp(first, xs, other)
        assert abs(float(tangents[0]) - want) < 1e-5 * (1 + abs(want)), (
            f"{f.case}: forward {float(tangents[0])}, differences {want}"
        )


class ThroughIntegers(Scalar):
    """A function of integers, of floats that it turns into integers first."""

    def inputs(self) -> list[pc.array]:
        return [x.astype(pc.float64) for x in super().inputs()]

    def outputs(self, *moving: pc.array) -> list[pc.array]:
        return [out.astype(pc.float64) for out in super().outputs(*[x.astype(pc.int32) for x in moving])]


def integer_cases(function: Function) -> list[Scalar]:
    out: list[Scalar] = [ThroughIntegers(case) for case in cases(function, "int32")]
    return [f for f in out if f.moving]


def same(a: pc.array, b: pc.array, about: str) -> None:
    x, y = numpy_of(a), numpy_of(b)
    assert x.shape == y.shape and a.dtype == b.dtype, f"{about}: {a.shape} {a.dtype}, not {b.shape} {b.dtype}"
    np.testing.assert_allclose(x, y, rtol=2e-6, atol=2e-6, err_msg=about)


@pytest.mark.parametrize("function", SAMPLED, ids=str)
def test_vmap_equals_a_loop(function: Function) -> None:
    for case in cases(function, function.dtype):
        moving = [i for i, v in enumerate(case.values) if v.moves]
        if not moving:
            continue
        batch = [Case(function, case.sample, case.dtype, seed).arrays() for seed in range(3)]
        for mapped in (moving, moving[:1], moving[-1:]):
            for axis in (0, -1):
                args = [
                    batch[0][i] if i not in mapped else pc.stack([row[i] for row in batch], axis)
                    for i in range(len(case.values))
                ]
                axes = [axis if i in mapped else None for i in range(len(args))]

                def f(*arrays: object, case: Case = case) -> list[pc.array]:
                    return case.call(list(arrays))

                together = pc.vmap(f, in_axes=tuple(axes))(*args)
                for k in range(3):
                    alone = case.call([batch[k][i] if i in mapped else batch[0][i] for i in range(len(args))])
                    for a, b in zip(together, alone, strict=True):
                        same(a[k], b, f"{case}, batched {mapped} along {axis}")


@pytest.mark.parametrize("function", SAMPLED, ids=str)
def test_compiled_equals_eager(function: Function) -> None:
    for dtype in ("float32", "int32"):
        if not function.takes(dtype):
            continue
        for case in cases(function, dtype):
            try:
                eager = case.call(case.arrays())
                pc.eval(eager)
            except pc.DTypeError:
                break
            fixed = [i for i, v in enumerate(case.values) if v.is_array]
            given = case.arrays()

            def f(
                *arrays: pc.array, case: Case = case, given: list[object] = given, fixed: list[int] = fixed
            ) -> list[pc.array]:
                every = list(given)
                for i, a in zip(fixed, arrays, strict=True):
                    every[i] = a
                return case.call(every)

            compiled = pc.compile(f)
            for _ in range(2):
                for a, b in zip(compiled(*[given[i] for i in fixed]), eager, strict=True):
                    assert a.dtype == b.dtype and np.array_equal(
                        numpy_of(a), numpy_of(b), equal_nan=a.dtype in (pc.float32,)
                    ), case


@pytest.mark.parametrize("function", [f for f in SAMPLED if not f.differentiable], ids=str)
def test_functions_without_derivative_say_so_or_give_zero(function: Function) -> None:
    for f in differentiable_cases(function) if function.takes("float64") else integer_cases(function):
        try:
            grads = pc.grad(f, argnums=list(range(len(f.moving))))(*f.inputs())
        except pc.TransformError:
            continue
        for g in grads if isinstance(grads, (list, tuple)) else [grads]:
            assert np.isfinite(numpy_of(g)).all(), f.case
