"""How exact results are: elementary functions over all of float32, sums of many elements, 16-bit floats added up.

An error is counted in units in the last place (ULP) of the exact value. The functions are compared with float64 in
three ways: called alone, in a compiled function, and by both tiers of the CPU in processes of their own
(`python test_accuracy.py` prints what it finds). On a GPU (PLAIT_TEST_DEVICE=gpu) the bound is 4 ULP in place of 2.
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
import scipy.special

import plait.core as pc

Floats = np.ndarray
Reference = Callable[..., Floats]

BOUND = 4.0 if os.environ.get("PLAIT_TEST_DEVICE") == "gpu" else 2.0
SMALLEST = np.float32(2**-149)

UNARY: dict[str, Reference] = {
    "exp": np.exp,
    "expm1": np.expm1,
    "log": np.log,
    "log1p": np.log1p,
    "log2": np.log2,
    "log10": np.log10,
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "arcsin": np.arcsin,
    "arccos": np.arccos,
    "arctan": np.arctan,
    "sinh": np.sinh,
    "cosh": np.cosh,
    "tanh": np.tanh,
    "arcsinh": np.arcsinh,
    "arccosh": np.arccosh,
    "arctanh": np.arctanh,
    "sqrt": np.sqrt,
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "reciprocal": lambda x: 1 / x,
    "square": np.square,
    "erf": scipy.special.erf,
    "erfinv": lambda x: np.copysign(scipy.special.erfinv(x), x),  # SciPy's drops the sign of a zero
    "sigmoid": scipy.special.expit,
    "degrees": np.degrees,
    "radians": np.radians,
}
BINARY: dict[str, Reference] = {
    "power": np.power,
    "arctan2": np.arctan2,
    "hypot": np.hypot,
    "divide": np.divide,
    "logaddexp": np.logaddexp,
}


def specials() -> Floats:
    """Zeros, infinities, NaN, ends of the ranges, whole and half numbers, and their neighbours."""
    one = np.float32(1)
    largest = np.finfo(np.float32).max
    some = [0, 1, 2, 3, 0.5, 0.25, 1.5, 2.5, 1e15, np.inf, largest, 2**-126, SMALLEST, 2**-126 - 2**-149, 2**23, 2**24]
    some += [np.nextafter(one, np.float32(0)), np.nextafter(one, np.float32(2)), 2**23 + 1, 2**24 - 1]
    both = np.array([*some, *(-x for x in some), np.nan], np.float32)
    both[len(some)] = -0.0
    return both


@functools.cache
def samples() -> Floats:
    """Every sign, exponent and leading part of the mantissa, the rest at random; where functions change their ways."""
    rng = np.random.default_rng(7)
    high = np.arange(1 << 16, dtype=np.uint32) << 16
    low = rng.integers(0, 1 << 16, (2, high.size), dtype=np.uint32)
    near_zero_of_sine = np.concatenate([np.arange(-4096, 4096), rng.integers(-(2**30), 2**30, 20000)]) * (np.pi / 2)
    near_one = 1 + np.ldexp(1.0, -np.arange(24)) * np.array([[1.0], [-1.0]])
    parts = [
        specials(),
        high.view(np.float32),
        (high | low).view(np.float32).ravel(),
        near_zero_of_sine,
        near_one.ravel(),
        -near_one.ravel(),
        rng.uniform(-1, 1, 60000),
        rng.uniform(0.5, 1.5, 60000),
        rng.uniform(-20, 20, 60000),
        rng.uniform(-110, 110, 60000),
        rng.uniform(-1e5, 1e5, 60000),
        np.exp2(rng.uniform(-30, 30, 20000)),
    ]
    with np.errstate(all="ignore"):
        x = np.concatenate([p.astype(np.float32) for p in parts])
        return np.concatenate([x, np.nextafter(x, np.float32(np.inf)), np.nextafter(x, np.float32(-np.inf))])


@functools.cache
def pairs() -> tuple[Floats, Floats]:
    rng = np.random.default_rng(11)
    x, y = (p.ravel() for p in np.meshgrid(specials(), specials()))
    bits = rng.integers(0, 1 << 32, (2, 100000), dtype=np.uint32).view(np.float32)
    n = 60000
    some = [
        (bits[0], bits[1]),
        (rng.uniform(-10, 10, n), rng.uniform(-10, 10, n)),
        (np.exp2(rng.uniform(-30, 30, n)), rng.uniform(-20, 20, n)),
        (1 + rng.uniform(-1e-3, 1e-3, n), rng.uniform(-1e5, 1e5, n)),
        (-rng.uniform(0, 10, n), np.round(rng.uniform(-30, 30, n))),
        (np.exp2(rng.uniform(-149, 128, n)), np.exp2(rng.uniform(-149, 128, n))),
        (rng.uniform(-90, 90, n), rng.uniform(-90, 90, n)),
    ]
    return (
        np.concatenate([x, *(a.astype(np.float32) for a, _ in some)]),
        np.concatenate([y, *(b.astype(np.float32) for _, b in some)]),
    )


def errors(got: Floats, want: Floats, scale: Floats | None = None) -> Floats:
    """In ULP of `want` (or of `scale` where larger); infinite where NaN, infinity or the sign of a zero is wrong."""
    with np.errstate(all="ignore"):
        size = np.abs(want) if scale is None else np.maximum(np.abs(want), scale)
        unit = np.spacing(np.minimum(size, np.finfo(np.float32).max).astype(np.float32)).astype(np.float64)
        reached = np.where(np.isinf(got), np.copysign(2.0**128, got), got.astype(np.float64))
        error = np.abs(reached - want) / unit
        error[(np.abs(want) >= 2.0**128) & np.isinf(got) & (np.sign(got) == np.sign(want))] = 0
        error[np.isnan(want) & np.isnan(got)] = 0
        error[np.isnan(want) != np.isnan(got)] = np.inf
        error[np.isinf(want) & (got != want)] = np.inf
        error[(want == 0) & ((got != 0) | (np.signbit(got) != np.signbit(want)))] = np.inf
        tiny = np.abs(want) < SMALLEST / 2  # rounds to a zero of its sign
        return np.where(tiny & (got == 0) & (np.signbit(got) == np.signbit(want)), 0, error)


def arguments(name: str) -> tuple[Floats, ...]:
    return (samples(),) if name in UNARY else pairs()


def checked(name: str, f: Callable[..., pc.array]) -> tuple[float, str]:
    """The largest error of a function, and where."""
    given = arguments(name)
    got = np.array(f(*map(pc.array, given)))
    assert got.dtype == np.float32
    with np.errstate(all="ignore"):
        want = np.asarray((UNARY | BINARY)[name](*(x.astype(np.float64) for x in given)))
    # Where the larger operand cancels against the logarithm, its own units count: rounding it alone moves that much.
    found = errors(got, want, np.maximum(*map(np.abs, given)) if name == "logaddexp" else None)
    at = int(np.argmax(found))
    return float(found[at]), f"{name}({', '.join(float(x[at]).hex() for x in given)}) = {got[at]!r}, not {want[at]!r}"


@pytest.mark.parametrize("compiled", [False, True], ids=["alone", "compiled"])
@pytest.mark.parametrize("name", [*UNARY, *BINARY])
def test_functions(name: str, compiled: bool) -> None:
    f = getattr(pc, name)
    worst, where = checked(name, pc.compile(f) if compiled else f)
    assert worst <= BOUND, f"{worst} ULP: {where}"


@pytest.mark.parametrize("jit", ["never", "always"])
def test_functions_of_each_tier(jit: str) -> None:
    run = subprocess.run(
        [sys.executable, __file__], env=os.environ | {"PLAIT_JIT": jit}, check=True, capture_output=True, text=True
    )
    found = json.loads(run.stdout)
    assert {*found} == {*UNARY, *BINARY}
    assert all(worst <= BOUND for worst, _ in found.values()), [f for f in found.values() if f[0] > BOUND]


def in_a_region(name: str) -> Callable[..., pc.array]:
    """The function between others, as a region has it; what stands around it changes no value."""
    f = getattr(pc, name)
    return pc.compile(lambda *x: f(*(a * 1.0 for a in x)) * 1.0)


# --- what C says of special values (ISO C, Annex F) -------------------------------------------------------------------

inf, nan = np.inf, np.nan
SPECIAL: list[tuple[str, tuple[float, ...], float]] = [
    *[(f, (x,), x) for f in ("expm1", "log1p", "sin", "tan", "arcsin", "arctan", "sinh", "tanh") for x in (0.0, -0.0)],
    *[(f, (x,), x) for f in ("arcsinh", "arctanh", "sqrt", "erf", "erfinv") for x in (0.0, -0.0)],
    *[(f, (nan,), nan) for f in UNARY],
    *[(f, (x,), nan) for f in ("sin", "cos", "tan") for x in (inf, -inf)],
    *[(f, (-1.0,), nan) for f in ("log", "log2", "log10", "sqrt", "rsqrt")],
    *[(f, (-inf,), nan) for f in ("log", "log2", "log10", "log1p", "sqrt", "arccosh")],
    *[(f, (x,), -inf) for f in ("log", "log2", "log10") for x in (0.0, -0.0)],
    *[(f, (1.0,), 0.0) for f in ("log", "log2", "log10", "arccos", "arccosh")],
    *[
        (f, (inf,), inf)
        for f in ("exp", "expm1", "log", "log1p", "log2", "log10", "sinh", "cosh", "arcsinh", "arccosh")
    ],
    *[(f, (x,), nan) for f in ("arcsin", "arccos", "arctanh", "erfinv") for x in (1.5, -1.5, inf, -inf)],
    *[(f, (x,), np.copysign(inf, x)) for f in ("arctanh", "erfinv") for x in (1.0, -1.0)],
    *[("rsqrt", (x,), y) for x, y in ((0.0, inf), (-0.0, -inf), (inf, 0.0))],
    ("exp", (0.0,), 1.0),
    ("exp", (-inf,), 0.0),
    ("expm1", (-inf,), -1.0),
    ("log1p", (-1.0,), -inf),
    ("log1p", (-2.0,), nan),
    ("arccosh", (0.5,), nan),
    ("sinh", (-inf,), -inf),
    ("cosh", (-inf,), inf),
    ("cosh", (0.0,), 1.0),
    ("tanh", (inf,), 1.0),
    ("tanh", (-inf,), -1.0),
    ("erf", (inf,), 1.0),
    ("erf", (-inf,), -1.0),
    ("sigmoid", (inf,), 1.0),
    ("sigmoid", (-inf,), 0.0),
    ("power", (nan, 0.0), 1.0),
    ("power", (1.0, nan), 1.0),
    ("power", (-1.0, inf), 1.0),
    ("power", (-0.0, -3.0), -inf),
    ("power", (-0.0, -2.0), inf),
    ("power", (-0.0, 3.0), -0.0),
    ("power", (-2.0, 0.5), nan),
    ("power", (-inf, -3.0), -0.0),
    ("power", (-inf, 3.0), -inf),
    ("power", (0.5, inf), 0.0),
    ("power", (0.5, -inf), inf),
    ("arctan2", (0.0, -0.0), np.pi),
    ("arctan2", (-0.0, -0.0), -np.pi),
    ("arctan2", (-0.0, 0.0), -0.0),
    ("arctan2", (inf, -inf), 3 * np.pi / 4),
    ("arctan2", (-1.0, -inf), -np.pi),
    ("hypot", (inf, nan), inf),
    ("hypot", (nan, -inf), inf),
    ("hypot", (nan, 1.0), nan),
    ("hypot", (-0.0, 0.0), 0.0),
    ("logaddexp", (-inf, -inf), -inf),
    ("logaddexp", (inf, -inf), inf),
    ("logaddexp", (nan, 1.0), nan),
]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_special_values(dtype: str) -> None:
    for name, given, want in SPECIAL:
        got = getattr(pc, name)(*(pc.array(x, dtype=getattr(pc, dtype)) for x in given)).astype(pc.float64).item()
        about = f"{name}{given} of {dtype}: {got}, not {want}"
        if np.isnan(want):
            assert np.isnan(got), about
        else:
            rounded = np.array(pc.array(want, dtype=getattr(pc, dtype)).astype(pc.float64)).item()
            assert got == pytest.approx(rounded, rel=2e-2 if dtype == "bfloat16" else 2e-3), about
            assert np.signbit(got) == np.signbit(want), about


# --- sums -------------------------------------------------------------------------------------------------------------

N = 10_000_000
EPS = 2.0**-24  # the largest relative error of one rounding


@functools.cache
def many(kind: str) -> Floats:
    x = np.random.default_rng(3).random(N, dtype=np.float32)
    return x - np.float32(0.5) if kind == "mixed" else x


@pytest.mark.parametrize("kind", ["positive", "mixed"])
def test_sums_of_many_elements_round_as_a_tree_does(kind: str) -> None:
    x = many(kind)
    exact, size = x.sum(dtype=np.float64), np.abs(x).sum(dtype=np.float64)
    a = pc.array(x)
    bound = np.log2(N) * EPS * size
    assert abs(pc.sum(a).item() - exact) <= bound
    assert abs(pc.mean(a).item() - exact / N) <= bound / N
    assert abs(pc.sum(a[::-1]).item() - exact) <= bound
    for shape, axis in (((N // 10, 10), 0), ((10, N // 10), 1), ((100, N // 1000, 10), (0, 1))):
        shaped = x.reshape(shape)
        got = np.array(pc.sum(pc.array(shaped), axis=axis))
        assert np.all(np.abs(got - shaped.sum(axis=axis, dtype=np.float64)) <= bound / 10 * 1.1), (shape, axis)
    running = np.array(pc.cumsum(a))
    exact_running = np.cumsum(x, dtype=np.float64)
    # Kept in float64 on the CPU, so rounded once; a tree on a GPU.
    allowed = bound if BOUND == 4 else 2 * EPS * np.abs(exact_running) + 1e-9
    assert np.all(np.abs(running - exact_running) <= allowed)


def test_variance_and_logsumexp_of_many_elements() -> None:
    x = many("positive") + np.float32(100)  # a mean that is large beside the spread
    wide = x.astype(np.float64)
    assert pc.var(pc.array(x)).item() == pytest.approx(wide.var(), rel=1e-4)
    assert pc.std(pc.array(x)).item() == pytest.approx(wide.std(), rel=1e-4)
    want = scipy.special.logsumexp(wide)
    assert pc.logsumexp(pc.array(x)).item() == pytest.approx(want, rel=4 * EPS)


HALVES = [("float16", 2.0**-11), ("bfloat16", 2.0**-8)]


def half(x: Floats, dtype: str) -> tuple[pc.array, Floats]:
    """An array of a 16-bit dtype, and its values in float64."""
    a = pc.array(x.astype(np.float32)).astype(getattr(pc, dtype))
    return a, np.array(a.astype(pc.float64))


@pytest.mark.parametrize(("dtype", "eps"), HALVES)
def test_16_bit_floats_are_added_up_in_float32(dtype: str, eps: float) -> None:
    """Each result is that of exact arithmetic, rounded once, give or take what float32 rounds before."""
    rng = np.random.default_rng(5)
    slack = 1.05 * eps

    def close(got: pc.array, want: Floats, size: Floats | float = 0.0) -> None:
        assert str(got.dtype).endswith(dtype)
        have = np.array(got.astype(pc.float64))
        error = np.abs(have - want) - slack * np.abs(want) - 64 * EPS * size
        assert np.all(error <= 2.0**-25), np.max(error)  # half of the least step that float16 has

    a, x = half(rng.uniform(0.5, 1, 60_000), dtype)
    close(pc.sum(a), x.sum(), x.sum())
    close(pc.mean(a), x.mean(), x.mean())
    close(pc.logsumexp(a), scipy.special.logsumexp(x), 12.0)
    a, x = half(rng.uniform(0.5, 1, (3, 20_000)), dtype)
    close(pc.sum(a, axis=0), x.sum(0))
    close(pc.sum(a, axis=1), x.sum(1), x.sum(1))
    close(pc.var(a, axis=1), x.var(1), 1.0)
    close(pc.softmax(a, axis=1, precise=True), scipy.special.softmax(x, axis=1))

    a, x = half(rng.standard_normal((7, 4096)), dtype)
    b, y = half(rng.standard_normal((4096, 5)), dtype)
    close(a @ b, x @ y, np.abs(x) @ np.abs(y))
    close(pc.inner(a[0], b[:, 0]), x[0] @ y[:, 0], np.abs(x[0]) @ np.abs(y[:, 0]))
    image, p = half(rng.standard_normal((1, 9, 9, 64)), dtype)
    filters, w = half(rng.standard_normal((4, 3, 3, 64)), dtype)
    windows = np.lib.stride_tricks.sliding_window_view(p[0], (3, 3), axis=(0, 1))
    want = np.einsum("xycij,oijc->xyo", windows, w)
    close(pc.conv2d(image, filters)[0], want, np.einsum("xycij,oijc->xyo", np.abs(windows), np.abs(w)))

    ones = pc.ones((4096,), dtype=a.dtype)
    centred = x - x.mean(1, keepdims=True)
    normal = centred / np.sqrt(x.var(1, keepdims=True) + 1e-5)
    close(pc.fast.layer_norm(a, ones, None, 1e-5), normal, 1.0)
    close(pc.fast.rms_norm(a, ones, 1e-5), x / np.sqrt(np.mean(x * x, 1, keepdims=True) + 1e-5), 1.0)


if __name__ == "__main__":
    print(json.dumps({name: checked(name, in_a_region(name)) for name in [*UNARY, *BINARY]}))
