"""The array API standard (2024.12): docs/array_api.md against what is there, functions against array-api-strict."""

from __future__ import annotations

import inspect
import re
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import plait.core as pc

strict = pytest.importorskip("array_api_strict")
ROOT = Path(__file__).parent.parent.parent
sys.path[:0] = [str(ROOT / "tests/facts"), str(ROOT / "tools")]
import sigs  # noqa: E402

from gen.forms import FORMS  # noqa: E402

ROW = re.compile(r"^\| `([\w.]+)` \| (yes|differs|no) \| (.*) \|$", re.MULTILINE)
# Names of array-api-strict that the standard does not have.
ITS_OWN = {"Device", "set_array_api_strict_flags", "get_array_api_strict_flags", "reset_array_api_strict_flags"}
ITS_OWN |= {"ArrayAPIStrictFlags", "__version__", "__array_api_version__"}
# Recorded as parameters by position; they are taken by name too, as calls below do.
BY_NAME_TOO = {"roll": {"axis"}}
# What NumPy reads arrays by, and Python's own.
OF_PYTHON = {
    "__array__",
    "__buffer__",
    "__reduce__",
    "__repr__",
    "__iter__",
    "__hash__",
    "__slots__",
    "__doc__",
    "__new__",
}


def table() -> dict[str, tuple[str, str]]:
    rows = ROW.findall((ROOT / "docs/array_api.md").read_text())
    assert len({name for name, _, _ in rows}) == len(rows), "a name stands twice"
    return {name: (there, note) for name, there, note in rows}


def standard() -> set[str]:
    names = {name for name in strict.__all__ if name not in ITS_OWN} - {"linalg", "fft"}
    for extension in ("linalg", "fft"):
        names |= {f"{extension}.{name}" for name in getattr(strict, extension).__all__}
    members = vars(type(strict.asarray(1)))
    names |= {f"array.{n}" for n in members if n not in OF_PYTHON and (n.startswith("__") or not n.startswith("_"))} - {
        "array.__module__",
        "array.__dict__",
        "array.__weakref__",
        "array.__annotations__",
        "array.__firstlineno__",
        "array.__static_attributes__",
        "array.__array_priority__",
        "array.__array_ufunc__",
    }
    return names


def found(root: Any, name: str) -> Any:
    for part in name.split("."):
        root = getattr(root, part, None)
    return root


def test_the_table_has_every_name_of_the_standard() -> None:
    assert set(table()) == standard()


def test_the_table_says_what_is_there() -> None:
    wrong = []
    for name, (there, note) in table().items():
        if (found(pc, name) is None and name != "newaxis") != (there == "no"):
            wrong.append(name)
        assert note or there == "yes", name
    assert not wrong


@pytest.mark.parametrize(
    "name", sorted(n for n, (there, _) in table().items() if there != "no" and not n.startswith(("array.", "fft.")))
)
def test_parameters_are_those_of_the_standard(name: str) -> None:
    """Every keyword of the standard is one, and as many arguments are taken by position."""
    reference = found(strict, name)
    if not inspect.isfunction(reference) or isinstance(found(pc, name), type):
        return
    wanted = list(inspect.signature(reference).parameters.values())
    keywords = {p.name for p in wanted if p.kind is p.KEYWORD_ONLY}
    by_position = sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in wanted)
    forms = sigs.read(found(pc, name), False, name)
    assert forms, "no signature"
    taken = BY_NAME_TOO.get(name, set())
    most = 0
    for form in forms:
        kinds = [p["kind"] for p in form["params"]]
        taken |= {p["name"] for p in form["params"] if p["kind"] != "positional_only"}
        most = max(most, 99 if "var_positional" in kinds else sum(k.startswith("positional") for k in kinds))
    assert keywords <= taken, keywords - taken
    assert by_position <= most


@pytest.mark.parametrize("name", FORMS)
def test_the_stubs_show_the_forms_that_are_bound(name: str) -> None:
    bound = [text for text, *_ in found(pc, name).__nb_signature__]
    assert bound[1:] == [f"def {name.rpartition('.')[2]}{form.replace(': Any', '')}" for form in FORMS[name]]


# --- values -----------------------------------------------------------------------------------------------------------

F = np.array([[0.5, -1.5, 2.25], [3.0, -0.25, 0.75]], np.float32)
G = np.array([[1.5, 0.5, -2.0], [3.0, 0.125, 0.75]], np.float32)
P = np.array([[0.5, 0.25, 0.75], [0.125, 1.0, 0.0625]], np.float32)
I = np.array([[3, -1, 2], [0, 2, 7]], np.int32)
J = np.array([[1, 2, 2], [3, 1, 5]], np.int32)
B = np.array([[True, False, True], [False, False, True]])
C = np.array([[1 + 2j, -3j, 0.5], [2, 1 - 1j, -1 + 0.5j]], np.complex64)
V = np.array([3.0, 1.0, 2.0, 1.0, 3.0], np.float32)
W = np.array([2.0, 5.0, 1.0, 1.0, 4.0], np.float32)
M = np.array([[2.0, 1.0, 0.0], [1.0, 3.0, 1.0], [0.0, 1.0, 4.0]], np.float32)
T = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
ARRAYS = {"f": F, "g": G, "p": P, "i": I, "j": J, "b": B, "c": C, "v": V, "w": W, "m": M, "t": T}

ONE = "abs acos asin asinh atan atanh ceil conj cos cosh exp expm1 floor isfinite isinf isnan log log1p log2 log10 "
ONE += "negative positive reciprocal round sign signbit sin sinh sqrt square tan tanh trunc"
TWO = "add atan2 copysign divide equal floor_divide greater greater_equal hypot less less_equal logaddexp maximum "
TWO += "minimum multiply nextafter not_equal remainder subtract"
BITS = "bitwise_and bitwise_or bitwise_xor"
LOGIC = "logical_and logical_or logical_xor"
CALLS = """
bitwise_invert(i); bitwise_invert(b); logical_not(b); bitwise_left_shift(i, j); bitwise_right_shift(i, j);
acosh(p + 1.0); pow(p, f); pow(f, 2.0); pow(i, 2); clip(f, -1.0, 1.0); clip(f, min=0.0); clip(f, max=0.5);
arange(5); arange(2, 9, 3); arange(0, 1, 0.25); arange(4, dtype=float32); arange(1, stop=4); zeros((2, 3));
ones(4, dtype=int32); full((2,), 7); full((2,), fill_value=1.5); empty((2, 0)); eye(3); eye(2, 3, k=1);
zeros_like(i); ones_like(f, dtype=int32); full_like(f, 2.0); full_like(f, fill_value=2); linspace(0.0, 1.0, 5);
linspace(0, 10, num=4, endpoint=False); tril(m); triu(m, k=1); empty_like(f[:0, :]); meshgrid(v, w);
meshgrid(v, w, indexing='ij'); asarray([1.0, 2.0], dtype=float32); asarray(f, copy=True); astype(f, int32);
astype(f, float32, copy=False); broadcast_to(v, (2, 5)); broadcast_arrays(v, w[:, None]);
concat((f, g), axis=1); concat((f, g), axis=None); expand_dims(f, axis=1); flip(f); flip(f, axis=1);
moveaxis(t, 0, -1); permute_dims(t, (2, 0, 1)); repeat(v, 2); repeat(f, 2, axis=1); reshape(f, (3, 2));
reshape(f, (-1,), copy=True); roll(f, 1); roll(f, (1, 2), axis=(0, 1)); squeeze(t[:1, :, :], axis=0);
stack((f, g), axis=1); tile(f, (2, 1)); unstack(f, axis=1); broadcast_shapes((2, 1), (3,)); argmax(f);
argmin(f, axis=1); argmax(f, axis=0, keepdims=True); nonzero(i); count_nonzero(i, axis=1);
searchsorted(sort(v), w); searchsorted(v, w, side='right', sorter=argsort(v)); where(b, f, g); where(b, f, 0.0);
sort(f); sort(f, axis=0, descending=True); argsort(v); argsort(v, descending=True); sort(i, stable=False);
take(f, asarray([2, 0]), axis=1); take_along_axis(f, argsort(f, axis=1), axis=1); isin(i, j);
 unique_all(v); unique_counts(i); unique_inverse(i); unique_values(b); unique_values(v);
unique_all(f); sum(f); sum(f, axis=1); sum(i, axis=0, dtype=int64); prod(f, axis=(0, 1)); prod(i, dtype=int64);
mean(f, axis=1, keepdims=True); std(f); std(f, axis=1, correction=1); var(f, correction=0.5); max(f, axis=0);
min(i); cumulative_sum(v); cumulative_sum(f, axis=1, include_initial=True); cumulative_prod(f, axis=0);
cumulative_prod(v, include_initial=True); cumulative_sum(v, dtype=float64); all(b); any(b, axis=0); diff(f);
diff(f, axis=0); diff(v, n=2); diff(v, prepend=w[:1], append=w[1:3]); matmul(f, permute_dims(g, (1, 0)));
tensordot(f, g, axes=2); tensordot(f, g, axes=((1,), (1,))); matrix_transpose(t); vecdot(f, g);
vecdot(c, c, axis=-2); f + g; f - 2.0; 2.0 * f; f / g; i // j; i % j; p ** 2.0; 2.0 ** f; i & j; i | 1; i ^ j;
~i; i << 1; i >> 1; f @ permute_dims(g, (1, 0)); -f; +f; abs(f); f < g; f <= g; f > g; f >= g; f == f; f != g;
f[0, 1]; f[:, 1:]; f[..., None]; f[b]; f.T; t.mT; f.shape; f.ndim; f.size; finfo(float32).eps; iinfo(int16).max;
finfo(f).bits; iinfo(i).min; can_cast(int32, int64); can_cast(float64, int32); pi + e; inf;
isdtype(float32, 'real floating'); isdtype(int8, ('bool', 'signed integer')); isdtype(complex64, 'numeric');
nan; fft.fft(c); fft.ifft(c, n=4); fft.rfft(v); fft.irfft(fft.rfft(v), n=5); fft.fftn(c); fft.ifftn(c); fft.rfftn(f);
fft.irfftn(fft.rfftn(f), s=(2, 3), axes=(0, 1)); fft.fftshift(v); fft.ifftshift(v); fft.fftfreq(5, d=0.5);
fft.rfftfreq(5); fft.fft(c, axis=0, norm='ortho'); fft.hfft(c); fft.hfft(c, n=5, axis=0, norm='forward'); fft.ihfft(v);
fft.ihfft(f, n=4, axis=0, norm='ortho'); expm1(c); repeat(v, asarray([2, 0, 1, 3, 1]));
repeat(f, asarray([2, 0, 1]), axis=1);
repeat(i, asarray([2, 1, 0, 0, 3, 1])); repeat(f, asarray([2]), axis=0); linalg.cholesky(m);
linalg.cholesky(m, upper=True); linalg.cross(f, g); linalg.det(m); linalg.diagonal(t); linalg.diagonal(t, offset=-1);
linalg.eigh(m).eigenvalues; abs(linalg.eigh(m).eigenvectors); linalg.eigvalsh(m); linalg.inv(m);
linalg.matmul(f, permute_dims(g, (1, 0))); linalg.matrix_norm(t); linalg.matrix_norm(t, keepdims=True, ord='nuc');
linalg.matrix_norm(m, ord=2); linalg.matrix_norm(t, ord=-inf); linalg.matrix_power(m, 3); linalg.matrix_power(m, -2);
linalg.matrix_power(m, 0); linalg.matrix_rank(m); linalg.matrix_rank(t); linalg.matrix_rank(m, rtol=0.5);
linalg.matrix_transpose(t); linalg.outer(v, w); linalg.pinv(f); linalg.pinv(m, rtol=0.5); abs(linalg.qr(m).Q);
abs(linalg.qr(m, mode='reduced').R); abs(linalg.qr(t, mode='complete').R); linalg.slogdet(m).sign;
linalg.slogdet(m).logabsdet; linalg.solve(m, v[:3]); linalg.svd(f, full_matrices=False).S;
abs(linalg.svd(f, full_matrices=False).U); abs(linalg.svd(f, full_matrices=False).Vh);
abs(linalg.svd(m, full_matrices=True).Vh); linalg.svdvals(t); linalg.tensordot(f, g, axes=2); linalg.trace(t);
linalg.trace(m, offset=1, dtype=float64); linalg.vecdot(c, c); linalg.vector_norm(f); linalg.vector_norm(c, axis=1);
linalg.vector_norm(t, axis=(0, 2), ord=3, keepdims=True); linalg.vector_norm(f, axis=1, ord=inf);
linalg.vector_norm(f, axis=0, ord=0)
"""
EXPRESSIONS = [
    *(f"{n}(p)" for n in ONE.split()),
    *(f"{n}(f)" for n in ("abs", "ceil", "floor", "round", "sign", "signbit", "trunc", "exp", "negative", "square")),
    *(f"{n}(i)" for n in ("abs", "ceil", "floor", "round", "sign", "trunc", "negative", "positive", "square")),
    *(f"{n}(c)" for n in ("abs", "conj", "real", "imag", "exp", "negative", "square", "isnan", "isfinite")),
    *(f"{n}(f, g)" for n in TWO.split()),
    *(f"{n}(f, f)" for n in ("equal", "nextafter", "less_equal", "subtract")),
    *(f"{n}(i, j)" for n in "add floor_divide multiply remainder subtract maximum minimum equal less".split()),
    *(f"{n}(i, j)" for n in BITS.split()),
    *(f"{n}(b, b[::-1, :])" for n in (BITS + " " + LOGIC).split()),
    *(call.strip() for call in CALLS.split(";")),
]


def evaluated(xp: Any, expression: str) -> Any:
    names = {name: getattr(xp, name) for name in dir(xp) if not name.startswith("_")} | {
        "fft": xp.fft,
        "linalg": xp.linalg,
    }
    names |= {name: xp.asarray(value) for name, value in ARRAYS.items()}
    with np.errstate(all="ignore"):
        return eval(expression, {"__builtins__": {"abs": abs, "slice": slice}}, names)


def flat(result: Any) -> list[Any]:
    return [leaf for part in result for leaf in flat(part)] if isinstance(result, (tuple, list)) else [result]


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_results_are_those_of_the_reference(expression: str) -> None:
    got, want = flat(evaluated(pc, expression)), flat(evaluated(strict, expression))
    assert len(got) == len(want)
    for have, expected in zip(got, want, strict=True):
        if not isinstance(have, pc.array):
            assert have == expected or (have != have and expected != expected)
            continue
        a, b = np.array(have), np.asarray(expected)
        assert a.shape == b.shape
        assert a.dtype.kind.replace("u", "i") == b.dtype.kind
        if expression.startswith("nextafter"):
            assert np.array_equal(a, b)
        np.testing.assert_allclose(a, b, rtol=2e-6, atol=2e-6)


def test_every_function_of_the_table_is_called() -> None:
    called = set(re.findall(r"\b[a-z]\w+\.?\w*(?=\()", " ".join(EXPRESSIONS)))
    functions = {n for n, (there, _) in table().items() if there != "no" and not n.startswith(("array.", "_"))}
    functions = {n for n in functions if callable(found(strict, n)) and not isinstance(found(strict, n), type)}
    elsewhere = {"from_dlpack", "result_type"}
    assert functions - elsewhere <= called, functions - elsewhere - called


# --- single ones ------------------------------------------------------------------------------------------------------

FLOATS = ["float16", "bfloat16", "float32", "float64"]


def of(x: Any, dtype: str) -> pc.array:
    return pc.array(x, dtype=getattr(pc, dtype))


def bits(a: pc.array) -> list[int]:
    return pc.view(a, {2: pc.uint16, 4: pc.uint32, 8: pc.uint64}[a.dtype.size]).tolist()


@pytest.mark.parametrize("dtype", FLOATS)
def test_nextafter_is_one_more_in_the_bits(dtype: str) -> None:
    info = pc.finfo(getattr(pc, dtype))
    some = [
        0.0,
        1.0,
        1.5,
        2.0,
        info.smallest_normal,
        info.smallest_normal * 2,
        info.max,
        info.smallest_normal * (1 - info.eps),
    ]
    x = of(some, dtype)
    up, down = pc.nextafter(x, of(np.inf, dtype)), pc.nextafter(x, of(-np.inf, dtype))
    assert up.dtype == x.dtype
    assert bits(up) == [b + 1 for b in bits(x)]
    sign = 1 << (8 * x.dtype.size - 1)
    assert bits(down) == [sign + 1 if b == 0 else b - 1 for b in bits(x)]
    assert bits(pc.nextafter(-x, of(-np.inf, dtype)))[1:] == [b + 1 for b in bits(-x)][1:]
    assert bits(pc.nextafter(of(np.inf, dtype), of(0.0, dtype))) == bits(of(info.max, dtype))
    assert bits(pc.nextafter(x, x)) == bits(x)
    assert bits(pc.nextafter(of(0.0, dtype), of(-0.0, dtype))) == bits(of(-0.0, dtype))
    assert np.isnan(pc.nextafter(of([np.nan, 1.0], dtype), of([1.0, np.nan], dtype)).astype(pc.float32).tolist()).all()


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("compiled", [False, True])
def test_signs_of_zeros_and_nans(dtype: str, compiled: bool) -> None:
    values = np.array([0.0, -0.0, 1.0, -2.0, np.inf, -np.inf, np.nan, np.copysign(np.nan, -1.0)])
    x = pc.array(values.astype(np.float32)).astype(getattr(pc, dtype))
    signbit, copysign = (pc.compile(f) if compiled else f for f in (pc.signbit, pc.copysign))
    signs = [False, True] * 4
    signs[2:4] = [False, True]
    assert signbit(x).dtype == pc.bool and signbit(x).tolist() == np.signbit(values).tolist()
    for b in (-1.0, 0.0, -0.0):
        y = copysign(x, of(b, dtype))
        assert pc.signbit(y).tolist() == [bool(np.signbit(b))] * 8
        np.testing.assert_array_equal(np.array(pc.abs(y).astype(pc.float32)), np.abs(values).astype(np.float32))


def test_hypot_neither_overflows_nor_vanishes() -> None:
    for dtype, huge, tiny in ((pc.float32, 2e38, 2e-38), (pc.float64, 1e308, 1e-308), (pc.float16, 40000.0, 6e-7)):
        for x in (huge, tiny):
            a = pc.array(x, dtype=dtype)
            assert pc.hypot(a, 0 * a).item() == a.item()
            assert pc.hypot(a / 2, a / 2).item() == pytest.approx(
                a.item() / 2**0.5, rel=1e-3, abs=6e-8 if dtype == pc.float16 else 0
            )
    grads = pc.grad(lambda x: pc.hypot(x[0], x[1]))(pc.array([3.0, 4.0]))
    assert grads.tolist() == pytest.approx([0.6, 0.8])
    assert pc.grad(lambda x: pc.hypot(x, x))(pc.array(0.0)).item() == 0


DTYPES = "bool uint8 int16 uint32 int64 float16 bfloat16 float32 float64 complex64".split()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(24,), (2, 3, 4), (0,), (2, 0), ()])
def test_unique_of_any_dtype_and_shape(dtype: str, shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(len(shape))
    kind = np.dtype("float32" if dtype == "bfloat16" else dtype)
    x = rng.integers(0, 5, shape).astype(kind)
    if kind.kind == "c":
        x = x + 1j * rng.integers(0, 2, shape).astype(kind)
    found = pc.unique_all(pc.array(x).astype(getattr(pc, dtype)))
    values, indices, inverse, counts = np.unique(x, return_index=True, return_inverse=True, return_counts=True)
    assert str(found.values.dtype).endswith(dtype)
    assert np.array_equal(np.array(found.values.astype(pc.complex64)), values)
    assert {found.indices.dtype, found.inverse_indices.dtype, found.counts.dtype} == {pc.int32}
    assert found.indices.tolist() == indices.tolist()
    assert found.inverse_indices.shape == shape and found.inverse_indices.tolist() == inverse.reshape(shape).tolist()
    assert found.counts.tolist() == counts.tolist()
    a = pc.array(x).astype(getattr(pc, dtype))
    assert pc.array_equal(pc.unique_values(a), found.values).item()
    assert pc.unique_counts(a).counts.tolist() == counts.tolist()
    assert pc.unique_inverse(a).inverse_indices.tolist() == inverse.reshape(shape).tolist()


def test_nans_are_unique_and_zeros_are_equal() -> None:
    found = pc.unique_all(pc.array([np.nan, 1.0, np.nan, 1.0, np.nan]))
    assert found.counts.tolist() == [2, 1, 1, 1] and found.indices.tolist() == [1, 0, 2, 4]
    assert np.isnan(found.values.tolist()[1:]).all()
    assert pc.unique_values(pc.array([0.0, -0.0, 0.0])).shape == (1,)
    of_complex = pc.unique_counts(pc.array([complex(0.0, 5), complex(-0.0, 3), complex(0.0, 3), complex(-0.0, 5)]))
    assert of_complex.counts.tolist() == [2, 2]
    assert pc.isin(pc.array([np.nan, -0.0, 2.0]), pc.array([0.0, np.nan, 5.0])).tolist() == [False, True, False]


@pytest.mark.parametrize("name", ["unique_all", "unique_counts", "unique_inverse", "unique_values"])
@pytest.mark.parametrize("transform", [pc.compile, pc.vmap, lambda f: pc.compile(pc.grad(f))])
def test_how_many_are_unique_is_not_known_while_tracing(transform: Any, name: str) -> None:
    with pytest.raises(pc.TransformError, match="traced array was evaluated"):
        transform(lambda x: getattr(pc, name)(x)[0].sum())(pc.ones((2, 4)))


def test_gradients_go_to_the_elements_that_are_kept() -> None:
    x = pc.array([3.0, 1.0, 3.0, 2.0])
    assert pc.grad(lambda x: (pc.unique_values(x) ** 2).sum())(x).tolist() == [6, 2, 0, 4]
    assert pc.grad(lambda x: (pc.unique_counts(x).values ** 2).sum())(x).tolist() == [6, 2, 0, 4]


def test_isin_under_transforms() -> None:
    x = pc.array([[1.0, 2.0], [3.0, 4.0]])
    assert pc.compile(pc.isin)(x, pc.array([2.0, 3.0])).tolist() == [[False, True], [True, False]]
    assert pc.vmap(pc.isin)(x, pc.array([[2.0], [5.0]])).tolist() == [[False, True], [False, False]]
    assert pc.isin(x, 3).tolist() == [[False, False], [True, False]]
    assert pc.isin(3, x).item()
    assert np.array_equal(np.array(pc.isin(pc.array(I), pc.array(J), invert=True)), np.isin(I, J, invert=True))


@pytest.mark.parametrize("correction", [0, 1, 0.5, 2.5, 6, 7.5])
def test_spread_with_any_correction(correction: float) -> None:
    x = pc.array(F)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        want = np.var(F, ddof=correction)
    for f in (pc.var, pc.compile(pc.var), lambda a, correction: a.var(correction=correction)):
        assert f(x, correction=correction).item() == pytest.approx(want, rel=1e-5)
    assert pc.std(x, correction=correction).item() == pytest.approx(np.sqrt(want), rel=1e-5)
    with pytest.raises(pc.ArgumentError):
        pc.var(x, correction=float("nan"))


def test_devices() -> None:
    here = pc.default_device()
    assert pc.zeros((2,), device=pc.cpu).device == pc.Device(pc.cpu)
    assert pc.array([1.0]).to_device(here).device == here
    assert pc.asarray([1.0], device=here).device == here and (pc.array([1.0]) + 1).device == here
    assert pc.astype(pc.array([1.5]), pc.int32, copy=False, device=pc.Device(pc.cpu)).tolist() == [1]
    x = pc.array([1.0])
    assert x.to_device(x.device) is not None and x.to_device(x.device).tolist() == [1]
    assert pc.grad(lambda x: (x.to_device(here) ** 2).sum())(pc.array([3.0])).tolist() == [6]
    with pytest.raises(TypeError):
        pc.zeros((2,), device="cpu")
    with pytest.raises(TypeError):
        pc.zeros("a", device=pc.cpu)
    if not pc.is_available(pc.gpu):
        with pytest.raises(pc.DeviceError):
            pc.ones((2,), device=pc.gpu)


def test_the_namespace_describes_itself() -> None:
    x = pc.array([1.0])
    assert x.__array_namespace__() is pc
    info = pc.__array_namespace_info__()
    assert info.capabilities()["boolean indexing"] and info.capabilities()["data-dependent shapes"]
    assert x[x > 0].shape == (1,)
    assert pc.Device(pc.cpu) in info.devices() and info.default_device() in info.devices()
    assert info.default_dtypes()["real floating"] == x.dtype
    assert info.dtypes(kind="bool") == {"bool": pc.bool}
    assert pc.bool is pc.bool_
    assert pc.result_type(pc.int8, 3) == pc.int8 and pc.result_type(x, 1) == pc.float32
    assert pc.result_type(pc.int16, 1.0) == pc.float32
    with pytest.raises(pc.ArgumentError):
        pc.result_type(1, 2.0)


# --- linear algebra, repeats, complex numbers near 0 ------------------------------------------------------------------

TALL = np.array([[[1.0, 2.0], [3.0, -1.0], [0.5, 2.5]]])


def test_results_have_names_and_are_tuples() -> None:
    a = pc.array(M)
    for result, fields in (
        (pc.linalg.eigh(a), ("eigenvalues", "eigenvectors")),
        (pc.linalg.qr(a), ("Q", "R")),
        (pc.linalg.slogdet(a), ("sign", "logabsdet")),
        (pc.linalg.svd(a), ("U", "S", "Vh")),
        (pc.compile(pc.linalg.qr)(a), ("Q", "R")),
        (pc.vmap(pc.linalg.svd)(a[None]), ("U", "S", "Vh")),
    ):
        assert isinstance(result, tuple) and type(result)._fields == fields  # type: ignore[attr-defined]
        assert type(result).__module__ == "plait.core.linalg"
        first, *rest = result
        assert first is result[0] and len(rest) == len(fields) - 1
    assert isinstance(pc.linalg.svd(a, compute_uv=False), pc.array)
    for name in ("matmul", "matrix_transpose", "outer", "tensordot", "vecdot"):
        assert getattr(pc.linalg, name) is getattr(pc, name)


@pytest.mark.parametrize("shape", [(1, 3, 2), (2, 2, 3), (2, 2), (0, 2), (2, 0), (2, 0, 3)])
@pytest.mark.parametrize("dtype", [pc.float32, pc.float64])
def test_complete_and_reduced_factors(shape: tuple[int, ...], dtype: pc.Dtype) -> None:
    x = np.random.default_rng(0).standard_normal(shape)
    a = pc.array(x).astype(dtype)
    rows, columns = shape[-2:]
    k = min(rows, columns)
    tolerance = {"atol": 1e-5 if dtype == pc.float32 else 1e-12}
    full = pc.linalg.qr(a, mode="complete")
    assert full.Q.shape == (*shape[:-1], rows) and full.R.shape == shape
    np.testing.assert_allclose(np.array(full.Q @ full.R), x, **tolerance)
    np.testing.assert_allclose(np.array(full.Q.mT @ full.Q), np.broadcast_to(np.eye(rows), full.Q.shape), **tolerance)
    assert pc.array_equal(pc.linalg.qr(a, mode="reduced").Q, pc.linalg.qr(a).Q)
    small = pc.linalg.svd(a, full_matrices=False)
    assert small.U.shape == (*shape[:-1], k) and small.Vh.shape == (*shape[:-2], k, columns)
    np.testing.assert_allclose(np.array((small.U * small.S[..., None, :]) @ small.Vh), x, **tolerance)
    for mode in ("zzz", ""):
        with pytest.raises(pc.ArgumentError):
            pc.linalg.qr(a, mode=mode)


def test_gradients_of_complete_and_reduced_factors() -> None:
    a = pc.array(TALL).astype(pc.float64)
    step = pc.array(np.random.default_rng(1).standard_normal(TALL.shape)).astype(pc.float64)

    def along(f: Any) -> None:
        g, h = pc.grad(f)(a), 1e-6
        want = (f(a + h * step).item() - f(a - h * step).item()) / (2 * h)
        assert pc.sum(g * step).item() == pytest.approx(want, rel=1e-6)

    along(lambda x: (pc.linalg.svd(x, full_matrices=False).U ** 3).sum())
    along(lambda x: (pc.linalg.qr(x, mode="complete").R[..., :2, :] ** 3).sum())
    along(lambda x: (pc.linalg.pinv(x, rtol=1e-3) ** 3).sum())
    cut = pc.linalg.pinv(pc.array(np.diag([4.0, 1.0, 0.25])).astype(pc.float64), rtol=0.125)
    np.testing.assert_allclose(np.array(cut), np.diag([0.25, 1.0, 0.0]), atol=1e-12)
    with pytest.raises(pc.ArgumentError):
        pc.linalg.pinv(a, rtol=-1.0)
    with pytest.raises(pc.ArgumentError):
        pc.linalg.pinv(a, rtol=float("nan"))


def test_ranks_with_a_tolerance_for_each_matrix() -> None:
    x = np.stack([np.diag([4.0, 1.0, 0.25])] * 2).astype(np.float32)
    ranks = pc.linalg.matrix_rank(pc.array(x), rtol=pc.array([0.125, 0.5]))
    assert ranks.dtype == pc.int32 and ranks.tolist() == [2, 1]
    assert pc.linalg.matrix_rank(pc.array(x), rtol=0.0625).tolist() == [2, 2]
    assert pc.linalg.matrix_rank(pc.array(1j * x[0])).item() == 3


@pytest.mark.parametrize("dtype", [pc.int8, pc.uint32, pc.int64])
def test_repeats_of_each_element(dtype: pc.Dtype) -> None:
    x, counts = pc.array(T), pc.array([2, 0, 1], dtype=dtype)
    assert np.array_equal(np.array(pc.repeat(x, counts, axis=1)), np.repeat(T, [2, 0, 1], 1))
    assert np.array_equal(np.array(pc.repeat(x, counts, axis=-2)), np.repeat(T, [2, 0, 1], 1))
    assert pc.repeat(x, 0 * counts, axis=1).shape == (2, 0, 4)
    assert pc.repeat(pc.zeros((0, 2)), pc.array([], dtype=dtype), axis=0).shape == (0, 2)
    assert pc.grad(lambda x: (pc.repeat(x, counts) ** 2).sum())(pc.array([1.0, 2.0, 3.0])).tolist() == [4, 0, 6]
    tangent = pc.jvp(lambda x: pc.repeat(x, counts), [pc.array([1.0, 2.0, 3.0])], [pc.array([1.0, 5.0, 2.0])])[1]
    assert tangent[0].tolist() == [1, 1, 2]
    assert pc.vmap(lambda row: pc.repeat(row, counts))(pc.array([[1, 2, 3], [4, 5, 6]])).tolist() == [
        [1, 1, 3],
        [4, 4, 6],
    ]
    with pytest.raises(pc.TransformError):
        pc.compile(lambda n: pc.repeat(pc.ones((3,)), n))(counts)


def test_repeats_that_are_refused() -> None:
    x = pc.ones((2, 3))
    for counts, error in (
        (pc.array([1, -1, 2]), pc.ArgumentError),
        (pc.array([1, 2]), pc.ShapeError),
        (pc.array([[1, 2, 3]]), pc.ShapeError),
        (pc.array([1.0, 2.0, 3.0]), pc.DTypeError),
    ):
        with pytest.raises(error):
            pc.repeat(x, counts, axis=1)
    with pytest.raises(pc.AxisError):
        pc.repeat(x, pc.array([1, 2]), axis=2)


@pytest.mark.parametrize("name", ["expm1", "log1p"])
def test_complex_numbers_near_zero(name: str) -> None:
    rng = np.random.default_rng(0)
    size = 10.0 ** rng.uniform(-30, 0.3, 4000)
    z = (size * np.exp(1j * rng.uniform(-np.pi, np.pi, 4000))).astype(np.complex64)
    wide = z.astype(np.clongdouble)
    x, y = wide.real, wide.imag  # NumPy's log1p cancels near 0
    want = np.expm1(wide) if name == "expm1" else np.log1p(x * (2 + x) + y * y) / 2 + 1j * np.arctan2(y, 1 + x)
    got = np.array(getattr(pc, name)(pc.array(z)))
    assert np.max(np.abs(got - want) / np.abs(want)) < 2e-7
    special = np.array(
        [0, complex(np.inf, 0), complex(-np.inf, 1), complex(np.nan, 0), complex(1, np.inf)], np.complex64
    )
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(
            np.isnan(np.array(getattr(pc, name)(pc.array(special)))),
            np.isnan(np.exp(special) - 1 if name == "expm1" else np.log1p(special)),
        )


def test_gradient_of_complex_expm1() -> None:
    z = pc.array([0.5 + 0.25j, -1.0 + 2.0j])
    tangent = pc.jvp(pc.expm1, [z], [pc.array([1.0 + 0j, 0.5j])])[1][0]
    np.testing.assert_allclose(np.array(tangent), np.exp(np.array(z)) * np.array([1.0, 0.5j]), rtol=1e-5)
