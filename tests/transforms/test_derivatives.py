"""vjp and jvp of every function: against differences and each other, their own derivatives, the dtypes they keep."""

import pytest

import plait.core as pc
import transform_checks as check
from gen.samples import Function
from op_cases import numpy_of
from transform_cases import SAMPLED, SMOOTH, accepted_cases, differentiable_cases, finite, grads_of, integer_cases

# Of several results some move: a function without derivative as a whole, whose gradients are not all zero.
MOVES_IN_PART = {
    "qqmm": "numbers change in steps when they are packed, the gradient takes them for what they were",
    "gather_qqmm": "as qqmm",
    "unique": "values pass through, to the first of equal elements; positions and counts do not move",
    "random.multivariate_normal": "it moves with the mean, and with a covariance that stays symmetric: test_weak_spots",
}


@pytest.mark.parametrize("function", SMOOTH, ids=str)
def test_gradients(function: Function) -> None:
    for f in differentiable_cases(function):
        check.gradients(f)


@pytest.mark.parametrize("function", SMOOTH, ids=str)
def test_second_derivatives(function: Function) -> None:
    for f in differentiable_cases(function):
        check.second_derivatives(f)


@pytest.mark.parametrize("function", SMOOTH, ids=str)
def test_linear_parts(function: Function) -> None:
    for f in differentiable_cases(function):
        check.linear_parts(f)


@pytest.mark.parametrize("function", SMOOTH, ids=str)
def test_complex_numbers(function: Function) -> None:
    for f in differentiable_cases(function, "complex64"):
        check.complex_derivatives(f)
        check.linear_parts(f)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float16", 2e-2), ("bfloat16", 2e-1), ("float32", 1e-4)])
@pytest.mark.parametrize("function", SMOOTH, ids=str)
def test_kept_dtypes(function: Function, dtype: str, tolerance: float) -> None:
    for f in differentiable_cases(function, dtype):
        check.kept_dtypes(f, tolerance)


@pytest.mark.parametrize("function", [f for f in SAMPLED if not f.differentiable], ids=str)
def test_functions_without_derivative_give_zero(function: Function) -> None:
    for f in differentiable_cases(function) if function.takes("float64") else integer_cases(function):
        xs = f.inputs()
        tangent = pc.jvp(f, xs, [pc.ones_like(x) for x in xs])[1][0]
        grads = grads_of(f, len(xs))(*xs)
        assert finite([tangent, *grads]), f
        if function.name not in MOVES_IN_PART:
            assert tangent.item() == 0 and not any(numpy_of(g).any() for g in grads), f


@pytest.mark.parametrize("dtype", ["int32", "bool"])
@pytest.mark.parametrize("function", SAMPLED, ids=str)
def test_integers_and_bools_do_not_move(function: Function, dtype: str) -> None:
    """Their tangents are taken and have no effect; what they have for a gradient is zero, in their dtype."""
    for f in accepted_cases(function, dtype) if function.takes(dtype) else []:
        xs = f.inputs()
        outs, tangents = pc.jvp(f.outputs, xs, [pc.ones_like(x) for x in xs])
        _, grads = pc.vjp(f.outputs, xs, [pc.ones_like(o) for o in outs])
        pc.eval(outs, tangents, grads)
        for like, zero in [*zip(outs, tangents, strict=True), *zip(xs, grads, strict=True)]:
            assert zero.shape == like.shape and zero.dtype == like.dtype and not numpy_of(zero).any(), f
