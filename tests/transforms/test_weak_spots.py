"""Functions written to find holes, and what holds of transforms beyond single functions."""

import math
from collections.abc import Callable

import numpy as np
import pytest

import plait.core as pc
import transform_checks as check
from op_cases import numpy_of
from transform_cases import EXAMPLES, Batch, Scalar
from written_functions import WRITTEN, WRITTEN_COMPLEX, rows_of

NAMES = list(WRITTEN)


@pytest.mark.parametrize("name", NAMES)
def test_derivatives(name: str) -> None:
    f = Scalar(rows_of(name, 1)[0])
    check.gradients(f)
    check.second_derivatives(f)
    check.linear_parts(f)


@pytest.mark.parametrize("name", NAMES)
def test_batches(name: str) -> None:
    rows = rows_of(name, 6)
    check.equals_a_loop(Batch(rows[:EXAMPLES]))
    check.batches_of_one_and_none(Batch(rows[:EXAMPLES]))
    check.nested_equals_loops(Batch(rows), 2, 3)


@pytest.mark.parametrize("name", NAMES)
def test_compositions(name: str) -> None:
    rows = rows_of(name, EXAMPLES)
    f = Scalar(rows[0])
    check.compositions(f, [[row.arrays()[i] for i in f.moving] for row in rows])


@pytest.mark.parametrize("name", list(WRITTEN_COMPLEX))
def test_complex_numbers(name: str) -> None:
    rows = rows_of(name, EXAMPLES)
    check.complex_derivatives(Scalar(rows[0]))
    check.linear_parts(Scalar(rows[0]))
    check.equals_a_loop(Batch(rows))


# ---- by hand --------------------------------------------------------------------------------------------------------


def vector(*values: float) -> pc.array:
    return pc.array(values, dtype=pc.float64)


def test_one_array_given_twice() -> None:
    x = vector(1.0, 2.0, 3.0)

    def f(a: pc.array, b: pc.array) -> pc.array:
        return (a * b * b).sum()

    ga, gb = pc.grad(f, argnums=(0, 1))(x, x)
    assert ga.tolist() == [1.0, 4.0, 9.0] and gb.tolist() == [2.0, 8.0, 18.0]
    assert pc.jvp(f, [x, x], [x, pc.zeros_like(x)])[1][0].item() == 36.0
    assert pc.vmap(lambda a, b: a - b)(x, x).tolist() == [0.0, 0.0, 0.0]
    assert pc.vmap(lambda a, b: a.sum() - b, in_axes=(None, 0))(x, x).tolist() == [5.0, 4.0, 3.0]
    compiled = pc.compile(f)
    assert compiled(x, x).item() == 36.0
    assert compiled(x, vector(1.0, 1.0, 1.0)).item() == 6.0


def test_results_that_are_arguments_keep_their_identity() -> None:
    x = vector(1.0, 2.0)
    outs, grads = pc.vjp(lambda a: [a, a], [x], [vector(1.0, 0.0), vector(1.0, 5.0)])
    assert outs[0].tolist() == [1.0, 2.0] and grads[0].tolist() == [2.0, 5.0]
    assert pc.compile(lambda a, b: (b, a, b))(x, vector(7.0))[1].tolist() == [1.0, 2.0]
    assert pc.vmap(lambda a: a, out_axes=-1)(pc.ones((2, 3))).shape == (3, 2)
    assert pc.vmap(lambda a, b: b, in_axes=(0, None), out_axes=None)(x, vector(7.0)).tolist() == [7.0]


def test_results_that_do_not_depend() -> None:
    x = vector(1.0, 2.0)
    y = vector(3.0)
    assert pc.grad(lambda a: (y * 2.0).sum())(x).tolist() == [0.0, 0.0]
    _, tangents = pc.jvp(lambda a: [y, pc.array([1, 2]), pc.array([True])], [x], [x])
    assert [t.dtype for t in tangents] == [pc.float64, pc.int32, pc.bool_]
    assert [t.tolist() for t in tangents] == [[0.0], [0, 0], [False]]
    assert pc.vmap(lambda a: y)(x).tolist() == [[3.0], [3.0]]
    assert pc.vmap(lambda a: [a, y], out_axes=[0, None])(x)[1].tolist() == [3.0]


def test_bool_and_integer_primals_of_jvp() -> None:
    x = vector(1.0, 2.0, 3.0)
    mask = pc.array([True, False, True])
    at = pc.array([2, 0])
    _, (t,) = pc.jvp(lambda m, a: pc.where(m, a, 0.0), [mask, x], [pc.zeros_like(mask), x])
    assert t.tolist() == [1.0, 0.0, 3.0]
    _, (t,) = pc.jvp(lambda i, a: a[i], [at, x], [pc.ones_like(at), x])
    assert t.tolist() == [3.0, 1.0]
    _, (t,) = pc.jvp(lambda m: m.astype(pc.float32) * 2.0, [mask], [pc.ones_like(mask)])
    assert t.tolist() == [0.0, 0.0, 0.0] and t.dtype == pc.float32


def test_tangents_of_another_dtype_are_converted() -> None:
    x = vector(1.0, 2.0)
    _, tangents = pc.jvp(lambda a: a * a, [x], [pc.array([1, 1])])
    assert tangents[0].dtype == pc.float64 and tangents[0].tolist() == [2.0, 4.0]
    _, grads = pc.vjp(lambda a: a * a, [x], [pc.array([1.0, 1.0], dtype=pc.float16)])
    assert grads[0].dtype == pc.float64 and grads[0].tolist() == [2.0, 4.0]


def test_gradients_of_integers_are_zero() -> None:
    n, x = pc.array([2, 3]), pc.array([1.0, 2.0])
    gn, gx = pc.grad(lambda n, x: (n * x).sum(), argnums=(0, 1))(n, x)
    assert gn.dtype == pc.int32 and gn.tolist() == [0, 0] and gx.tolist() == [2.0, 3.0]


def test_products_with_zeros_have_second_derivatives() -> None:
    x = vector(2.0, 0.0, 3.0)

    def hessian(f: Callable[[pc.array], pc.array]) -> list[list[float]]:
        unit = pc.eye(3, dtype=pc.float64)
        return pc.vmap(lambda d: pc.jvp(pc.grad(f), [x], [d])[1][0])(unit).tolist()

    assert hessian(lambda a: a.prod()) == [[0.0, 3.0, 0.0], [3.0, 0.0, 2.0], [0.0, 2.0, 0.0]]
    assert hessian(lambda a: a.cumprod()[2]) == [[0.0, 3.0, 0.0], [3.0, 0.0, 2.0], [0.0, 2.0, 0.0]]
    at = pc.array([0, 0, 0])
    assert pc.grad(lambda a: vector(1.0).at[at].multiply(a).sum())(x).tolist() == [0.0, 6.0, 0.0]
    assert hessian(lambda a: vector(1.0).at[at].multiply(a).sum()) == hessian(lambda a: a.prod())
    two = pc.grad(lambda a: vector(1.0).at[pc.array([0, 0])].multiply(a).sum())(vector(0.0, 0.0))
    assert two.tolist() == [0.0, 0.0]


@pytest.mark.parametrize("dtype", [pc.float64, pc.float16], ids=str)
def test_repeated_factors_have_derivatives_as_products_have(dtype: pc.Dtype) -> None:
    """Of every order, wherever zeros stand, and for any number of factors of one place."""
    at = [2, 0, -1, 2, 0, 0, -2, 2]
    groups = [[1, 4, 5], [], [0, 3, 7], [2, 6]]
    weights = [1.0, -2.0, 3.0, 0.5]
    at[2], at[6] = -1, 3  # one place, named in two ways

    def written(a: pc.array) -> pc.array:
        return (pc.array([2.0, 1.0, -1.0, 4.0], dtype).at[pc.array(at)].multiply(a) * pc.array(weights, dtype)).sum()

    def multiplied(a: pc.array) -> pc.array:
        old = pc.array([2.0, 1.0, -1.0, 4.0], dtype)
        return sum(old[k] * weights[k] * a[pc.array(g, pc.int32)].prod() for k, g in enumerate(groups))

    def third(f: Callable[[pc.array], pc.array], a: pc.array) -> pc.array:
        def hessian(b: pc.array) -> pc.array:
            return pc.vmap(lambda d: pc.jvp(pc.grad(f), [b], [d])[1][0])(pc.eye(8, dtype=dtype))

        return pc.vmap(lambda d: pc.vjp(hessian, [a], [pc.ones((8, 8), dtype) * d])[1][0])(pc.eye(8, dtype=dtype))

    for zeros in ([], [0], [0, 3], [0, 3, 7], [1, 2, 6], [0, 1, 2, 3, 4, 5, 6, 7]):
        a = pc.array([0.0 if i in zeros else 1.0 + 0.25 * i for i in range(8)], dtype)
        for order in (pc.grad, lambda f: pc.grad(lambda b: (pc.grad(f)(b) * pc.arange(8)).sum())):
            check.all_same([order(written)(a)], [order(multiplied)(a)], f"zeros at {zeros}")
        check.all_same([third(written, a)], [third(multiplied, a)], f"zeros at {zeros}")


def test_infinite_factors_stay_in_their_place() -> None:
    at = pc.array([1, 0, 1, 0])
    v = vector(math.inf, 3.0, math.inf, 0.0)
    f = pc.grad(lambda a: vector(1.0, 1.0).at[at].multiply(a).sum())
    assert f(v).tolist() == [math.inf, 0.0, math.inf, 3.0]
    (second,) = pc.jvp(f, [v], [vector(0.0, 1.0, 0.0, 0.0)])[1]
    assert second.tolist()[1::2] == [0.0, 1.0]


def test_sums_of_exponentials_of_equal_infinities() -> None:
    half, one, zero = [0.5, 0.5], [1.0, 0.0], [0.0, 1.0]
    inf = math.inf
    for a, b, want in ((-inf, -inf, half), (inf, inf, half), (3.0, 3.0, half), (inf, 3.0, one), (-inf, 3.0, zero)):
        x = vector(a, b)
        gradient = pc.grad(lambda x: pc.logaddexp(x[0], x[1]))
        assert gradient(x).tolist() == want
        assert pc.jvp(pc.logaddexp, [x[0], x[1]], [pc.array(1.0), pc.array(0.0)])[1][0].item() == want[0]
        (second,) = pc.jvp(gradient, [x], [vector(1.0, 0.0)])[1]
        assert second.tolist() == ([0.25, -0.25] if a == 3.0 else [0.0, 0.0])
    assert math.isnan(pc.grad(pc.logaddexp)(pc.array(math.nan), pc.array(-inf)).item())


def drawn(cov: pc.array) -> pc.array:
    return pc.random.multivariate_normal(pc.zeros(3), cov, shape=(4,), key=pc.random.key(3))


@pytest.mark.parametrize("dtype", [pc.float32, pc.float64], ids=str)
def test_singular_covariances_move_within_their_rank(dtype: pc.Dtype) -> None:
    """Against differences: what keeps the null space apart from rounding has a derivative."""
    low = np.array([[1.0, 0.5], [-0.5, 1.0], [2.0, 0.25]])
    weights = pc.array(np.cos(np.arange(12.0)).reshape(4, 3), dtype)

    def loss(low: pc.array) -> pc.array:
        return (drawn(low @ low.T) * weights).sum()

    step = np.array([[0.5, -1.0], [1.0, 0.25], [-0.75, 1.0]])
    gradient = pc.grad(loss)(pc.array(low, dtype))
    _, (slope,) = pc.jvp(loss, [pc.array(low, dtype)], [pc.array(step, dtype)])
    wide = [loss(pc.array(low + h * step, pc.float64)).item() for h in (1e-3, -1e-3)]
    want = (wide[0] - wide[1]) / 2e-3
    assert np.isclose((numpy_of(gradient) * step).sum(), want, rtol=1e-3)
    assert np.isclose(slope.item(), want, rtol=1e-3)


def test_singular_covariances_have_no_second_derivative() -> None:
    def loss(cov: pc.array) -> pc.array:
        return (drawn(cov) ** 2).sum()

    unit = pc.eye(3, dtype=pc.float64)
    for cov in (pc.zeros((3, 3), dtype=pc.float64), pc.diag(vector(1.0, 2.0, 0.0))):
        assert np.isfinite(numpy_of(pc.grad(loss)(cov))).all()
        assert np.isnan(numpy_of(pc.jvp(pc.grad(loss), [cov], [unit])[1][0])).all()
    assert np.isfinite(numpy_of(pc.jvp(pc.grad(loss), [unit], [unit])[1][0])).all()


def test_powers_at_zero() -> None:
    f = pc.grad(pc.grad(pc.grad(lambda a: a**2)))
    assert f(pc.array(0.0)).item() == 0.0
    assert pc.grad(lambda a: a**0.0)(pc.array(0.0)).item() == 0.0
    assert pc.grad(pc.grad(lambda a: a**1.0))(pc.array(0.0)).item() == 0.0


def test_the_last_of_repeated_writes_gets_the_gradient() -> None:
    at = pc.array([1, 0, 1])
    x, v = vector(1.0, 2.0), vector(3.0, 4.0, 5.0)
    for write in (
        lambda a, b: pc.put_along_axis(a, at, b, axis=0),
        lambda a, b: a.at[at].add(b * 0.0) * 0.0 + set_at(a, at, b),
    ):
        ga, gv = pc.grad(lambda a, b, write=write: (write(a, b) * vector(10.0, 20.0)).sum(), argnums=(0, 1))(x, v)
        assert ga.tolist() == [0.0, 0.0] and gv.tolist() == [0.0, 10.0, 20.0]


def set_at(a: pc.array, at: pc.array, v: pc.array) -> pc.array:
    out = a * 1.0
    out[at] = v
    return out


def test_complex_moduli_and_conjugates() -> None:
    z = pc.array([3.0 + 4.0j, 0.0j])
    gradient = pc.grad(lambda a: pc.abs(a).sum())(z)
    assert np.allclose(numpy_of(gradient), [0.6 - 0.8j, 0.0])
    _, (t,) = pc.jvp(pc.conjugate, [z], [pc.array([1.0 + 1.0j, 1.0j])])
    assert t.tolist() == [1.0 - 1.0j, -1.0j]
    _, (t,) = pc.jvp(pc.abs, [z[:1]], [pc.array([1.0j])])
    assert t.dtype == pc.float32 and np.allclose(numpy_of(t), [0.8])


def test_updates_of_arguments_stay_inside() -> None:
    """A function may write to its argument; outside of it nothing changes, and derivatives see what was written."""

    def f(x: pc.array, v: pc.array) -> pc.array:
        x[0] = v.sum()
        x[1:] += x[:-1] * v
        return x * x

    def g(x: pc.array, v: pc.array) -> pc.array:
        x = pc.concatenate([v.sum()[None], x[1:]])
        x = pc.concatenate([x[:1], x[1:] + x[:-1] * v])
        return x * x

    x, v = vector(1.0, 2.0, 3.0), vector(0.5, -1.0)
    ones = vector(1.0, 1.0, 1.0)
    xs, vs = pc.stack([x, 2 * x]), pc.stack([v, -v])
    for transformed in (
        lambda h: pc.vjp(h, [x, v], [ones])[1],
        lambda h: pc.jvp(h, [x, v], [x, v])[1],
        lambda h: list(pc.grad(lambda *a: h(*a).sum(), argnums=(0, 1))(x, v)),
        lambda h: [pc.vmap(h)(xs, vs), pc.vmap(h, in_axes=(0, None))(xs, v), pc.vmap(h, in_axes=(None, 0))(x, vs)],
        lambda h: list(pc.vmap(pc.grad(lambda *a: h(*a).sum(), argnums=(0, 1)))(xs, vs)),
        lambda h: [pc.compile(h)(x, v)],
    ):
        check.all_same(transformed(f), transformed(g), "written in place")
        assert x.tolist() == [1.0, 2.0, 3.0] and v.tolist() == [0.5, -1.0]


def test_stopped_gradients() -> None:
    x, y = vector(1.0, 2.0), vector(3.0, 4.0)

    def f(x: pc.array, y: pc.array) -> pc.array:
        return (pc.stop_gradient(x * y) * x).sum()

    assert [g.tolist() for g in pc.grad(f, argnums=(0, 1))(x, y)] == [[3.0, 8.0], [0.0, 0.0]]
    assert pc.jvp(f, [x, y], [x, y])[1][0].item() == 19.0
    assert pc.vmap(pc.grad(f))(pc.stack([x, y]), pc.stack([y, x])).tolist() == [[3.0, 8.0], [3.0, 8.0]]


def test_positions_outside_of_their_axis_are_errors() -> None:
    x = pc.arange(12).reshape(3, 4)
    i, j = pc.array([0, 1]), pc.array([0, 5])
    for read in (
        lambda: x[i, j],
        lambda: pc.vmap(lambda a, b: x[a, b])(i, j),
        lambda: pc.compile(lambda b: x[i, b])(j),
    ):
        with pytest.raises(IndexError):
            pc.eval(read())
    at = pc.array([[0, 0], [2, 0]])  # of which the second lies outside
    with pytest.raises(IndexError):
        pc.eval(pc.vmap(lambda a: pc.slice(x, a, (0, 1), (2, 2)))(at))
