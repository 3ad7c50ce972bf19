"""plait.core.linalg beyond single samples: laws of the factors, layouts, sizes, special values, bad input, threads."""

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import plait.core as pc
from plait.core import linalg

RNG = np.random.default_rng(7)
DTYPES = [pc.float32, pc.float64, pc.complex64]
REAL = DTYPES[:2]
TOLERANCE = {pc.float32: 2e-4, pc.float64: 1e-11, pc.complex64: 2e-4}
SIZES = [(1, 1), (2, 2), (5, 5), (17, 17), (70, 70), (9, 4), (4, 9), (80, 3)]
SQUARE = [s for s in SIZES if s[0] == s[1]]


def drawn(*shape: int, dtype: pc.Dtype = pc.float64) -> np.ndarray:
    x = RNG.normal(size=shape)
    if dtype == pc.complex64:
        return (x + 1j * RNG.normal(size=shape)).astype(np.complex64)
    return x.astype(np.float32 if dtype == pc.float32 else np.float64)


def regular(n: int, *batch: int, dtype: pc.Dtype = pc.float64) -> np.ndarray:
    """Far from singular."""
    return drawn(*batch, n, n, dtype=dtype) / np.float32(np.sqrt(n)) + 3 * np.eye(n, dtype=np.float32)


def positive(n: int, *batch: int, dtype: pc.Dtype = pc.float64) -> np.ndarray:
    a = drawn(*batch, n, n, dtype=dtype)
    return a @ np.swapaxes(a.conj(), -1, -2) / n + np.eye(n, dtype=a.dtype)


def array(x: np.ndarray) -> pc.array:
    return pc.array(x, dtype=getattr(pc, x.dtype.name))


def layouts(x: np.ndarray) -> list[pc.array]:
    """The same matrices in several layouts."""
    a = array(x)
    return [
        a,
        pc.swapaxes(array(np.ascontiguousarray(np.swapaxes(x, -1, -2))), -1, -2),
        array(np.ascontiguousarray(x[..., ::-1, :]))[..., ::-1, :],
        pc.stack([a, a * 0], -1)[..., 0],
    ]


def close(a: pc.array, b: object, scale: float = 1.0) -> None:
    want = np.asarray(b)
    tolerance = scale * TOLERANCE[a.dtype] * (1 + np.abs(want).max(initial=0))
    np.testing.assert_allclose(np.array(a), want, rtol=0, atol=tolerance)


def across(a: pc.array) -> pc.array:
    return pc.swapaxes(pc.conjugate(a), -1, -2)


def identity(a: pc.array) -> np.ndarray:
    return np.broadcast_to(np.eye(a.shape[-1]), a.shape)


# ---- laws -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", REAL, ids=str)
@pytest.mark.parametrize("batch", [(), (3,), (2, 2)], ids=str)
@pytest.mark.parametrize("n", [1, 2, 5, 17, 70])
def test_cholesky(n: int, batch: tuple[int, ...], dtype: pc.Dtype) -> None:
    x = positive(n, *batch, dtype=dtype)
    for a in layouts(x):
        lower, upper = linalg.cholesky(a), linalg.cholesky(a, upper=True)
        close(lower @ across(lower), x)
        close(across(upper) @ upper, x)
        assert not np.triu(np.array(lower), 1).any() and not np.tril(np.array(upper), -1).any()
        close(linalg.cholesky_inv(lower), np.linalg.inv(x))
        close(linalg.cholesky_inv(upper, upper=True), np.linalg.inv(x))
    junk = x + np.triu(np.full_like(x, np.nan), 1)
    assert np.array_equal(np.array(linalg.cholesky(array(junk))), np.array(linalg.cholesky(array(x))))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("batch", [(), (3,), (2, 2)], ids=str)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_lu(size: tuple[int, int], batch: tuple[int, ...], dtype: pc.Dtype) -> None:
    x = drawn(*batch, *size, dtype=dtype)
    k = min(size)
    for a in layouts(x):
        order, lower, upper = linalg.lu(a)
        assert order.dtype == pc.uint32 and lower.shape == (*batch, size[0], k) and upper.shape == (*batch, k, size[1])
        close(pc.take_along_axis(lower @ upper, order[..., None], -2), x)
        assert np.abs(np.array(lower)).max() < 1.5  # pivots were the largest
        packed, pivots = linalg.lu_factor(a)
        assert pivots.dtype == pc.uint32 and (np.array(pivots) >= np.arange(k)).all()
        assert np.array_equal(np.tril(np.array(packed)[..., :k], -1), np.tril(np.array(lower), -1))
        assert np.array_equal(np.triu(np.array(packed)[..., :k, :]), np.array(upper))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("batch", [(), (3,), (2, 2)], ids=str)
@pytest.mark.parametrize("n", [1, 2, 5, 17, 70])
def test_solve_inv_det(n: int, batch: tuple[int, ...], dtype: pc.Dtype) -> None:
    x, b = regular(n, *batch, dtype=dtype), drawn(*batch, n, 3, dtype=dtype)
    for a in layouts(x):
        for right in layouts(b):
            close(a @ linalg.solve(a, right), b)
        close(linalg.inv(a) @ a, identity(a))
        close(linalg.det(a), np.linalg.det(x), 10)
        sign, size = linalg.slogdet(a)
        want = np.linalg.slogdet(x)
        close(sign, want[0])
        close(size, want[1])
        assert size.dtype == (pc.float64 if dtype == pc.float64 else pc.float32)
        for upper, part in ((False, np.tril(x)), (True, np.triu(x))):
            close(array(part) @ linalg.solve_triangular(a, array(b), upper=upper), b)
            close(linalg.tri_inv(a, upper) @ array(part), identity(a))
    close(linalg.solve(array(x), array(b[..., 0, :, 0] if len(batch) == 1 else b.reshape(-1, n, 3)[0, :, 0])) * 0, 0)


@pytest.mark.parametrize("dtype", REAL, ids=str)
@pytest.mark.parametrize("batch", [(), (3,), (2, 2)], ids=str)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_qr(size: tuple[int, int], batch: tuple[int, ...], dtype: pc.Dtype) -> None:
    x = drawn(*batch, *size, dtype=dtype)
    for a in layouts(x):
        q, r = linalg.qr(a)
        assert q.shape == (*batch, size[0], min(size)) and r.shape == (*batch, min(size), size[1])
        close(q @ r, x)
        close(across(q) @ q, identity(across(q) @ q))
        assert not np.tril(np.array(r), -1).any()
        want = np.linalg.qr(x)
        close(q, want[0])
        close(r, want[1])


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("batch", [(), (3,), (2, 2)], ids=str)
@pytest.mark.parametrize("n", [1, 2, 5, 17, 70])
def test_eigh(n: int, batch: tuple[int, ...], dtype: pc.Dtype) -> None:
    x = drawn(*batch, n, n, dtype=dtype)
    x = x + np.swapaxes(x.conj(), -1, -2)
    for a in layouts(x):
        for uplo in "LUlu":
            w, v = linalg.eigh(a, uplo)
            close(v * w[..., None, :] @ across(v), x)
            close(across(v) @ v, identity(v))
            assert (np.diff(np.array(w)) >= 0).all() and w.dtype == (pc.float64 if dtype == pc.float64 else pc.float32)
            close(linalg.eigvalsh(a, uplo), np.linalg.eigvalsh(x))
            first = np.take_along_axis(np.array(v), np.argmax(np.abs(np.array(v)) >= 0.618 * np.abs(np.array(v)).max(-2, keepdims=True), -2)[..., None, :], -2)  # fmt: skip # noqa: E501
            assert (first.real > 0).all() and np.abs(first.imag).max() < 1e-6
    half = np.where(np.tri(n, dtype=bool), x, np.nan)
    assert np.array_equal(np.array(linalg.eigvalsh(array(half))), np.array(linalg.eigvalsh(array(x))))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("batch", [(), (3,), (2, 2)], ids=str)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_svd_and_pinv(size: tuple[int, int], batch: tuple[int, ...], dtype: pc.Dtype) -> None:
    x = drawn(*batch, *size, dtype=dtype)
    (m, n), k = size, min(size)
    for a in layouts(x):
        u, s, vh = linalg.svd(a)
        assert u.shape == (*batch, m, m) and s.shape == (*batch, k) and vh.shape == (*batch, n, n)
        close(u[..., :k] * s[..., None, :] @ vh[..., :k, :], x)
        close(across(u) @ u, identity(u))
        close(vh @ across(vh), identity(vh))
        assert (np.diff(np.array(s)) <= 0).all()
        close(linalg.svd(a, compute_uv=False), np.linalg.svd(x, compute_uv=False))
        if dtype != pc.complex64:
            close(linalg.pinv(a), np.linalg.pinv(x), 10)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("n", [1, 2, 5, 17, 40])
def test_eig(n: int, dtype: pc.Dtype) -> None:
    x = drawn(3, n, n, dtype=dtype)
    for a in layouts(x):
        w, v = linalg.eig(a)
        assert w.dtype == v.dtype == pc.complex64
        close(a.astype(pc.complex64) @ v, np.array(v) * np.array(w)[..., None, :])
        close(linalg.eigvals(a).sum(-1), np.trace(x, axis1=-2, axis2=-1))
        np.testing.assert_allclose(np.linalg.norm(np.array(v), axis=-2), 1, atol=1e-5)


def test_recorded_numbers() -> None:
    golden = np.load(Path(__file__).parents[1] / "facts/golden/numeric.npz")
    s, spd = array(golden["la_s"]), array(golden["la_spd"])
    lower = linalg.cholesky(spd)
    pivoted = linalg.lu(s)
    values = {
        "inv": linalg.inv(s),
        "cholesky": lower,
        "cholesky_upper": linalg.cholesky(spd, upper=True),
        "cholesky_inv": linalg.cholesky_inv(lower),
        "eigvalsh": linalg.eigvalsh(spd),
        "pinv": linalg.pinv(s[:, :2]),
        "det": linalg.det(s),
        "svdvals": linalg.svd(s, compute_uv=False),
        "qr_q": linalg.qr(s)[0],
        "qr_r": linalg.qr(s)[1],
        "lu_p": pivoted[0],
        "lu_l": pivoted[1],
        "lu_u": pivoted[2],
        "lu_factor_lu": linalg.lu_factor(s)[0],
        "lu_factor_pivots": linalg.lu_factor(s)[1],
        "slogdet_sign": linalg.slogdet(s)[0],
        "slogdet_logabs": linalg.slogdet(s)[1],
    }
    for name, value in values.items():
        want = golden["la_" + name]
        assert np.array(value).dtype == want.dtype and value.shape == want.shape, name
        np.testing.assert_allclose(np.array(value), want, rtol=1e-5, atol=1e-5, err_msg=name)


# ---- special values and bad input ------------------------------------------------------------------------------------

FACTORIZATIONS: dict[str, Callable[[pc.array], object]] = {
    "cholesky": linalg.cholesky,
    "lu": lambda a: linalg.lu(a)[1:],
    "lu_factor": lambda a: linalg.lu_factor(a)[:1],
    "qr": linalg.qr,
    "eigh": linalg.eigh,
    "eigvalsh": linalg.eigvalsh,
    "svd": linalg.svd,
    "singular values": lambda a: linalg.svd(a, compute_uv=False),
    "pinv": linalg.pinv,
    "eig": linalg.eig,
    "eigvals": linalg.eigvals,
    "det": linalg.det,
    "inv": linalg.inv,
}


def results(value: object) -> list[np.ndarray]:
    return [np.array(v) for v in (value if isinstance(value, (list, tuple)) else [value])]  # type: ignore[arg-type]


@pytest.mark.parametrize("name", FACTORIZATIONS)
@pytest.mark.parametrize("special", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("n", [1, 2, 3, 30])
def test_what_is_not_finite_gives_nan_for_that_matrix_alone(name: str, special: float, n: int) -> None:
    x = positive(n, 3)
    alone = results(FACTORIZATIONS[name](array(x)))
    for at in {(0, 0), (n - 1, 0), (n - 1, n - 1)}:
        y = x.copy()
        y[(1, *at)] = special
        for have, want in zip(results(FACTORIZATIONS[name](array(y))), alone, strict=True):
            assert np.isnan(have[1]).any() or (name == "lu" and n == 1)  # L has nothing but ones there
            np.testing.assert_array_equal(have[[0, 2]], want[[0, 2]])


@pytest.mark.parametrize("name", FACTORIZATIONS)
@pytest.mark.parametrize("dtype", REAL, ids=str)
def test_nothing(name: str, dtype: pc.Dtype) -> None:
    for shape in ((0, 0), (0, 3, 3), (2, 0, 0), (0, 0, 0)):
        pc.eval(FACTORIZATIONS[name](pc.zeros(shape, dtype=dtype)))


def test_shapes_of_nothing() -> None:
    assert [x.shape for x in linalg.svd(pc.zeros((2, 0, 3)))] == [(2, 0, 0), (2, 0), (2, 3, 3)]
    assert linalg.svd(pc.zeros((3, 0)))[0].tolist() == pc.eye(3).tolist()
    assert [x.shape for x in linalg.qr(pc.zeros((3, 0)))] == [(3, 0), (0, 0)]
    assert [x.shape for x in linalg.lu(pc.zeros((3, 0)))] == [(3,), (3, 0), (0, 0)]
    assert linalg.lu(pc.zeros((3, 0)))[0].tolist() == [0, 1, 2]
    assert linalg.det(pc.zeros((0, 0))).item() == 1
    assert linalg.pinv(pc.zeros((2, 0, 3))).shape == (2, 3, 0)
    assert linalg.solve(pc.zeros((0, 0)), pc.zeros((0, 4))).shape == (0, 4)
    assert linalg.solve(pc.eye(2), pc.zeros((2, 0))).shape == (2, 0)


# A device says late which one it was, and counts through the batch.
IN_BATCH = "(1, 1) of the batch" if pc.default_device() == pc.cpu else "(3) of the batch"


def test_errors_name_the_matrix_and_the_line() -> None:
    good, bad = np.eye(2, dtype=np.float32), np.ones((2, 2), np.float32)
    batch = array(np.stack([np.stack([good, good]), np.stack([good, bad])]))
    for call in (linalg.inv, lambda a: linalg.solve(a, pc.ones(2))):
        lazy = call(batch)
        with pytest.raises(pc.LinAlgError) as error:
            pc.eval(lazy)
        assert IN_BATCH in error.value.got and "test_linalg.py" in error.value.where
        assert isinstance(error.value, (RuntimeError,)) and isinstance(error.value, ValueError)
        with pytest.raises(pc.LinAlgError):  # and again
            pc.eval(lazy)
    with pytest.raises(pc.LinAlgError, match="order 2") as error:
        pc.eval(linalg.cholesky(batch))
    assert IN_BATCH in error.value.got
    with pytest.raises(pc.LinAlgError, match="singular"):
        pc.eval(linalg.inv(pc.zeros((2, 2))))
    kept = pc.ones(3) * 2
    pc.eval(kept)
    assert kept.tolist() == [2, 2, 2]


def test_singular_matrices_have_factors_and_determinants() -> None:
    a = pc.ones((3, 3))
    assert linalg.det(a).item() == 0
    assert [x.item() for x in linalg.slogdet(a)] == [0, -np.inf]
    order, lower, upper = linalg.lu(a)
    close((lower @ upper)[order], np.ones((3, 3)))
    close(linalg.pinv(a), np.full((3, 3), 1 / 9))
    close(linalg.pinv(pc.zeros((2, 3))), np.zeros((3, 2)))
    with pytest.raises(pc.LinAlgError):
        pc.eval(pc.grad(linalg.det)(a))


@pytest.mark.parametrize("name", FACTORIZATIONS)
def test_dtypes_that_are_not_taken(name: str) -> None:
    for dtype in (pc.float16, pc.bfloat16, pc.int32, pc.bool_):
        if name == "det" and dtype in (pc.int32, pc.bool_):
            continue
        with pytest.raises(pc.DTypeError) as error:
            FACTORIZATIONS[name](pc.eye(2).astype(dtype))
        assert error.value.op.startswith("linalg.") and error.value.accepts.startswith("float32") and error.value.hint


def test_scales() -> None:
    for scale in (1e-30, 1e30):
        x = positive(4).astype(np.float32) * np.float32(scale)
        close(linalg.svd(array(x), compute_uv=False) / scale, np.linalg.svd(x / scale, compute_uv=False))
        close(linalg.eigvalsh(array(x)) / scale, np.linalg.eigvalsh(x / scale))
        close(linalg.solve(array(x), array(x)), np.eye(4))


def test_many_small_matrices() -> None:
    x, b = positive(3, 20_000), drawn(20_000, 3, 2)
    for dtype, scale in ((np.float32, 10), (np.float64, 10)):
        a, right = array(x.astype(dtype)), array(b.astype(dtype))
        lower = linalg.cholesky(a)
        close(lower @ across(lower), x, scale)
        close(a @ linalg.solve(a, right), b, scale)
        close(a @ linalg.inv(a), identity(a), scale)
        close(linalg.det(a), np.linalg.det(x), scale)
        w, v = linalg.eigh(a)
        close(v * w[:, None, :] @ across(v), x, scale)
        q, r = linalg.qr(a)
        close(q @ r, x, scale)
        u, s, vh = linalg.svd(a)
        close(u * s[:, None, :] @ vh, x, scale)


def test_matrices_that_share_memory() -> None:
    x = positive(4)
    a = array(x)
    repeated = pc.broadcast_to(a, (3, 2, 4, 4))
    windows = pc.as_strided(array(drawn(43)), (7, 4, 4), (5, 1, 3))
    for name, f in FACTORIZATIONS.items():
        for many in (repeated, windows) if name != "cholesky" else (repeated,):
            copied = results(f(array(np.array(many).copy())))
            for have, want in zip(results(f(many)), copied, strict=True):
                np.testing.assert_array_equal(have, want, name)
    close(linalg.solve(pc.broadcast_to(a, (3, 4, 4)), pc.broadcast_to(pc.ones(1, dtype=pc.float64), (4, 5))), np.broadcast_to(np.linalg.solve(x, np.ones((4, 5))), (3, 4, 5)))  # fmt: skip # noqa: E501
    assert np.array_equal(np.array(a), x)  # nothing was overwritten


def test_ill_conditioned_matrices() -> None:
    n = 10
    hilbert = 1 / (1.0 + np.add.outer(np.arange(n), np.arange(n)))
    a, b = array(hilbert), array(np.ones(n))
    assert np.abs(np.array(a @ linalg.solve(a, b)) - 1).max() < 1e-3  # the residual is small, whatever the solution
    lower = linalg.cholesky(a)
    close(lower @ lower.T, hilbert)
    u, s, vh = linalg.svd(a)
    close(u * s @ vh, hilbert)
    close(across(u) @ u, np.eye(n))
    close(linalg.eigvalsh(a), np.linalg.eigvalsh(hilbert))
    zero = pc.zeros((4, 4))
    assert linalg.svd(zero, compute_uv=False).tolist() == [0] * 4 and linalg.eigvalsh(zero).tolist() == [0] * 4
    close(across(linalg.svd(zero)[0]) @ linalg.svd(zero)[0], np.eye(4))
    close(across(linalg.qr(zero)[0]) @ linalg.qr(zero)[0], np.eye(4))


@pytest.mark.parametrize("dtype", REAL, ids=str)
def test_the_smallest_and_largest_numbers(dtype: pc.Dtype) -> None:
    limits = np.finfo(np.float32 if dtype == pc.float32 else np.float64)
    x = positive(5)
    for size in (limits.tiny * 8, limits.max / 64):
        a = array((x * size).astype(limits.dtype))
        for have, want in (
            (linalg.eigvalsh(a), np.linalg.eigvalsh(x)),
            (linalg.svd(a, compute_uv=False), np.linalg.svd(x, compute_uv=False)),
            (linalg.qr(a)[1], np.linalg.qr(x)[1]),
        ):
            np.testing.assert_allclose(np.array(have) / size, want, rtol=0, atol=50 * TOLERANCE[dtype])
        close(linalg.qr(a)[0], np.linalg.qr(x)[0], 10)


# ---- derivatives -----------------------------------------------------------------------------------------------------


def slope(f: Callable[[pc.array], pc.array], x: np.ndarray, d: np.ndarray) -> float:
    return (f(array(x + 1e-6 * d)).item() - f(array(x - 1e-6 * d)).item()) / 2e-6


@pytest.mark.parametrize("size", [(4, 4), (5, 3), (3, 5)], ids=str)
def test_derivatives_of_what_does_not_depend_on_signs(size: tuple[int, int]) -> None:
    def f(a: pc.array) -> pc.array:
        u, s, vh = linalg.svd(a)
        k = min(size)
        low = u[:, :2] * s[:2] @ vh[:2]  # the best approximation of rank 2
        rest = u[:, k:] @ u[:, k:].T if size[0] > k else u[:, :1] @ u[:, :1].T
        return (low**3).sum() + (rest * pc.arange(size[0])).sum() + (vh[k - 1 :].T @ vh[k - 1 :]).sum() ** 2

    x, d = drawn(*size), drawn(*size)
    want = slope(f, x, d)
    assert (pc.grad(f)(array(x)) * array(d)).sum().item() == pytest.approx(want, rel=1e-6, abs=1e-7)
    assert pc.jvp(f, [array(x)], [array(d)])[1][0].item() == pytest.approx(want, rel=1e-6, abs=1e-7)


def test_equal_eigenvalues_and_singular_values() -> None:
    one = pc.eye(3, dtype=pc.float64)
    w = pc.array([1.0, 2.0, 4.0], dtype=pc.float64)
    close(pc.grad(lambda a: (linalg.eigvalsh(a) ** 2).sum())(one), 2 * np.eye(3))
    close(pc.grad(lambda a: (linalg.eigh(a)[0] ** 2).sum())(one), 2 * np.eye(3))
    close(pc.grad(lambda a: linalg.svd(a, compute_uv=False).sum())(one), np.eye(3))
    close(pc.grad(lambda a: linalg.norm(a, "nuc"))(one), np.eye(3))
    grad = pc.grad(lambda a: (linalg.pinv(a) @ w).sum())(one)
    close(grad, -np.outer(np.ones(3), np.array(w)))
    for f in (lambda a: linalg.eigh(a)[1], lambda a: linalg.svd(a)[0]):
        assert not np.isfinite(np.array(pc.grad(lambda a, f=f: (f(a) * w).sum())(one))).all()


def test_gradients_of_triangles_lie_in_them() -> None:
    a = array(positive(3))
    for f, upper in (
        (linalg.cholesky, False),
        (lambda a: linalg.cholesky(a, upper=True), True),
        (linalg.eigvalsh, False),
        (lambda a: linalg.eigvalsh(a, "U"), True),
        (lambda a: linalg.solve_triangular(a, pc.ones(3, dtype=pc.float64)), False),
    ):
        grad = np.array(pc.grad(lambda a, f=f: f(a).sum())(a))
        assert not (np.tril(grad, -1) if upper else np.triu(grad, 1)).any()


# ---- the machine -----------------------------------------------------------------------------------------------------


def test_batches_have_the_bits_of_single_matrices() -> None:
    x = positive(12, 50).astype(np.float32)
    with pc.stream(pc.cpu):  # a GPU has other algorithms for many matrices
        for name, f in FACTORIZATIONS.items():
            together = results(f(array(x)))
            for i in (0, 17, 49):
                for have, want in zip(together, results(f(array(x[i]))), strict=True):
                    assert np.array_equal(have[i], want), name


def test_wide_right_hand_sides_have_the_bits_of_narrow_ones() -> None:
    a, b = array(regular(40)), array(drawn(40, 3000))
    assert np.array_equal(np.array(linalg.solve(a, b)), np.array(linalg.solve(a, b)))
    close(a @ linalg.solve(a, b), np.array(b))


def test_many_threads() -> None:
    x = positive(24, 8)
    want = {name: results(f(array(x))) for name, f in FACTORIZATIONS.items()}
    wrong: list[str] = []

    def work() -> None:
        for name, f in FACTORIZATIONS.items():
            for have, expected in zip(results(f(array(x))), want[name], strict=True):
                if not np.array_equal(have, expected):
                    wrong.append(name)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


def test_one_trace_serves_other_extents() -> None:
    runs = []

    def f(a: pc.array) -> pc.array:
        runs.append(1)
        s = a @ a.T + pc.eye(1, dtype=a.dtype)
        lower = linalg.cholesky(s)
        w, v = linalg.eigh(s)
        return (
            linalg.solve(s, lower).sum() + (v * w).sum() + linalg.det(s) + linalg.qr(a)[0].sum() + linalg.pinv(a).sum()
        )

    g = pc.compile(f)
    for n in (6, 4, 9):
        a = array(drawn(n, n) / n)
        close(g(a), f(a))
        runs.pop()
    assert len(runs) == 1


def test_streams() -> None:
    a = array(regular(3))
    for stream in (pc.cpu, pc.default_stream(pc.cpu), pc.new_stream(pc.cpu)):
        close(linalg.inv(a, stream=stream) @ a, np.eye(3))
        close(linalg.norm(a, "fro", stream=stream), np.linalg.norm(np.array(a)))


def test_norms_against_numpy() -> None:
    x = drawn(3, 4, 5)
    for order in (None, 0, 1, 2, 3, 0.5, -1, -2, np.inf, -np.inf):
        for axis in (0, 1, -1):
            close(linalg.norm(array(x), order, axis), np.linalg.norm(x, order, axis))
    for order in (None, 1, -1, 2, -2, np.inf, -np.inf, "fro", "nuc"):
        for axis in ((0, 1), (2, 0), (-1, -2)):
            for keep in (False, True):
                have = linalg.norm(array(x), order, axis, keep)
                close(have, np.linalg.norm(x, order, axis, keep))
    z = drawn(3, 4, dtype=pc.complex64)
    for order in (1, 2, np.inf, "fro", "nuc"):
        norm = linalg.norm(array(z), order)
        assert norm.dtype == pc.float32
        close(norm, np.linalg.norm(z, order))
    assert linalg.norm(pc.array([3, 4])).item() == 5 and linalg.norm(pc.ones((2, 3)), axis=()).shape == (2, 3)
    with pytest.raises(TypeError):
        linalg.norm(array(x), ord=[1])  # type: ignore[arg-type]
