"""NumPy's functions on plait's arrays, and plait's arrays among NumPy's."""

import io
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import plait.core as pc

SAMPLE = np.array([[0.5, 1, 2], [3, 1.5, 0.25]], np.float32)

# Each is called with one argument, an array of either kind.
FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "mean": np.mean,
    "std": lambda a: np.std(a, axis=0),
    "sum": lambda a: np.sum(a, axis=1, keepdims=True),
    "median": np.median,
    "percentile": lambda a: np.percentile(a, [10, 50]),
    "histogram": lambda a: np.histogram(a, bins=3)[0],
    "argmax": np.argmax,
    "sort": np.sort,
    "unique": np.unique,
    "cumsum": np.cumsum,
    "clip": lambda a: np.clip(a, 1, 2),
    "concatenate": lambda a: np.concatenate([a, a, SAMPLE]),
    "stack": lambda a: np.stack([a, a], axis=1),
    "vstack": lambda a: np.vstack((a, SAMPLE)),
    "split": lambda a: np.split(a, 3, axis=1)[1],
    "pad": lambda a: np.pad(a, 1),
    "where": lambda a: np.where(a > 1, a, 0),
    "isclose": lambda a: np.isclose(a, SAMPLE),
    "allclose": lambda a: np.allclose(a, a),
    "array_equal": lambda a: np.array_equal(a, SAMPLE),
    "matmul": lambda a: np.matmul(a, a.T),
    "dot": lambda a: np.dot(SAMPLE, a.T),
    "einsum": lambda a: np.einsum("ij,kj->ik", a, a),
    "tensordot": lambda a: np.tensordot(a, a),
    "svd": lambda a: np.linalg.svd(a)[1],
    "norm": np.linalg.norm,
    "fft": np.fft.rfft,
    "interp": lambda a: np.interp(1.5, a[0], a[0]),
    "sqrt": np.sqrt,
    "exp with where": lambda a: np.exp(a, where=SAMPLE > 1, out=np.zeros_like(SAMPLE)),
    "maximum": lambda a: np.maximum(a, np.float32(1)),
    "add.reduce": np.add.reduce,
    "multiply.outer": lambda a: np.multiply.outer(a[0], a[1]),
    "nested list": lambda a: np.array([a, a]),
    "list of elements": lambda a: np.array([a[0, 0], a[1, 1]]),
    "other dtype": lambda a: np.asarray(a, dtype=np.int16),
    "full_like": lambda a: np.full_like(a, 7),
    "linspace": lambda a: np.linspace(a[0], a[1], 3),
    "transpose": np.transpose,
    "reshape": lambda a: np.reshape(a, (3, 2)),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions(name: str) -> None:
    want, have = FUNCTIONS[name](SAMPLE), FUNCTIONS[name](pc.array(SAMPLE))
    assert isinstance(have, np.ndarray | np.generic | bool)
    assert np.asarray(have).dtype == np.asarray(want).dtype
    np.testing.assert_allclose(have, want, rtol=1e-6)


@pytest.mark.parametrize("lay", [lambda a: a, lambda a: a.T, lambda a: a[:, ::-1], lambda a: a[1:, 1], lambda a: a[:0]])
def test_any_layout(lay: Callable[[Any], Any]) -> None:
    for dtype in ("bool", "uint8", "int8", "int32", "int64", "uint64", "float16", "float32", "float64", "complex64"):
        source = (SAMPLE * 4).astype(dtype)
        a = pc.array(source, dtype=getattr(pc, "bool_" if dtype == "bool" else dtype))
        np.testing.assert_array_equal(np.asarray(lay(a)), lay(source))
        assert np.asarray(lay(a)).dtype == source.dtype


def test_asarray_shares_and_array_copies() -> None:
    a = pc.array(SAMPLE)
    shared, copied = np.asarray(a), np.array(a)
    shared[0, 0] = 9
    assert a[0, 0].item() == 9 and copied[0, 0] == 0.5
    assert np.asarray(a).ctypes.data == shared.ctypes.data


def test_a_view_outlives_its_array_and_is_never_overwritten() -> None:
    a = pc.ones((1000,)) + 0
    view = np.asarray(a)
    for _ in range(3):
        a = a + 1  # could be done in place if nobody looked
        pc.eval(a)
    np.testing.assert_array_equal(view, 1)
    del a
    pc.eval([pc.full((1000,), 7) + i for i in range(5)])
    np.testing.assert_array_equal(view, 1)


def test_operators_between_the_two() -> None:
    a, n = pc.array(SAMPLE), SAMPLE + 1
    assert isinstance(n + a, np.ndarray) and isinstance(a + n, pc.array)
    for have, want in (
        (n + a, n + SAMPLE),
        (a + n, SAMPLE + n),
        (n * a, n * SAMPLE),
        (a / n, SAMPLE / n),
        (a > n - 1, SAMPLE > n - 1),
        (n @ a.T, n @ SAMPLE.T),
        (np.float32(2) * a, 2 * SAMPLE),
        (a * np.float32(2), 2 * SAMPLE),
        (a * np.int64(3), 3 * SAMPLE),
    ):
        np.testing.assert_allclose(np.asarray(have), want, rtol=1e-6)
    n += a
    np.testing.assert_allclose(n, 2 * SAMPLE + 1)
    with pytest.raises(TypeError, match="arrays on both sides"):
        a @ n.T  # type: ignore[operator]


def test_elements_are_numbers_to_python_and_numpy() -> None:
    i, x = pc.array(2), pc.array(2.25)
    assert np.arange(5)[i] == 2 and list(range(5))[i] == 2 and np.zeros(i).shape == (2,)
    assert math.sqrt(x) == 1.5 and f"{x:.1f}" == "2.2" and np.float64(x) == 2.25
    assert np.arange(5)[pc.array([0, 3])].tolist() == [0, 3]
    assert pc.arange(5)[np.array([0, 3])].tolist() == [0, 3] and pc.arange(5)[np.int64(3)].item() == 3


def test_files_and_comparisons() -> None:
    text, binary = io.StringIO(), io.BytesIO()
    np.savetxt(text, pc.array(SAMPLE))
    np.save(binary, pc.array(SAMPLE))
    binary.seek(0)
    np.testing.assert_array_equal(np.load(binary), SAMPLE)
    np.testing.assert_array_equal(np.loadtxt(io.StringIO(text.getvalue())), SAMPLE)
    np.testing.assert_array_equal(pc.array(SAMPLE), SAMPLE)
    with pytest.raises(AssertionError):
        np.testing.assert_allclose(pc.array(SAMPLE), SAMPLE + 1)


def test_bfloat16_needs_a_cast() -> None:
    half = pc.array([1.5, -2], dtype=pc.bfloat16)
    with pytest.raises(ValueError, match="bfloat16"):
        np.asarray(half)
    assert np.asarray(half.astype(pc.float32)).tolist() == [1.5, -2]


def test_random_generators_take_and_give_arrays() -> None:
    rng = np.random.default_rng(0)
    assert sorted(rng.permutation(pc.arange(5))) == list(range(5))
    assert pc.array(rng.standard_normal((2, 3))).dtype == pc.float32
    assert pc.array(rng.integers(0, 5, 3)).dtype == pc.int64
