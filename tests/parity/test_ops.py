"""Every function, dtype and layout against the NumPy expression that its definition names."""

import os
import re
import warnings
from collections.abc import Iterator

import numpy as np
import pytest

import plait.core as pc
from gen.samples import DTYPES, FUNCTIONS, PRIMITIVES, Function
from op_cases import LAYOUTS, SHAPES_ONLY, TOLERANCES, Case, assert_close, cases, far_apart, inexact

WITH_ORACLE = [f for f in FUNCTIONS if f.entry["oracle"]]
WITH_ARRAYS = [f for f in WITH_ORACLE if any(v.is_array for case in cases(f, "float32") for v in case.values)]

# Functions that no NumPy expression describes, and where they are tested instead.
ELSEWHERE = {
    **dict.fromkeys(
        ("fast.cpu_kernel", "fast.cuda_kernel", "fast.metal_kernel", "fast.precompiled_cuda_kernel"),
        "tests/python/test_custom_kernels.py",
    ),
    "astype": "tests/facts: the table of conversions",
}
# What no argument can have, and why.
WITHOUT_LAYOUT = {
    "convolve": {"transposed": "takes vectors"},
    "from_fp8": {"broadcast": "its samples are codes, which stay as they are"},
}
# Extents of 0, or no axes, that NumPy takes and the function refuses, and why. An axis of an array without axes, which
# NumPy has for 0 and -1, is an AxisError everywhere.
ONE_A_GROUP = {"0-d": "scales and biases are one for each group"}
EMPTY_KERNEL = {"empty": "a kernel without elements has no sum of products"}
NO_LARGEST = {"empty": "there is no largest or middle one of no elements"}
REFUSED = {
    "argpartition": {"empty": "kth is no position of no elements"},
    "as_strided": dict.fromkeys(("empty", "0-d"), "it would read outside of the array"),
    **dict.fromkeys([f"conv{kind}{n}d" for kind in ("", "_transpose") for n in (1, 2, 3)], EMPTY_KERNEL),
    "conv_general": EMPTY_KERNEL,
    "convolve": {"0-d": "takes vectors"},
    "dequantize": ONE_A_GROUP,
    "fast.layer_norm": {"0-d": "weight and bias are one for each feature, as recorded"},
    "fast.rms_norm": {"0-d": "the weight is one for each feature, as recorded"},
    "fast.rope": {"empty": "dims is more than there is"},
    "fft.fftn": {"0-d": "no axis to transform"},
    "fft.ifftn": {"0-d": "no axis to transform"},
    "fft.istft": {"empty": "a transform of no frequencies"},
    "fft.stft": {"empty": "a window without elements"},
    "linalg.cross": {"empty": "vectors have 2 or 3 elements"},
    "linalg.matrix_norm": NO_LARGEST,
    "linalg.matrix_rank": {"0-d": "takes matrices"},
    "linalg.norm": NO_LARGEST,
    "linalg.vector_norm": NO_LARGEST,
    "logsumexp": NO_LARGEST,
    "matrix_norm": NO_LARGEST,
    "median": NO_LARGEST,
    "partition": {"empty": "kth is no position of no elements"},
    "quantized_matmul": ONE_A_GROUP,
    "slice": {"empty": "slice_size is more than there is"},
    "slice_update": {"empty": "the update is larger than the array"},
    "view": {"0-d": "no axis to shorten or stretch"},
}
# What the oracle says of them that is of NumPy alone.
DIFFERS = {
    "contiguous": {"0-d": "NumPy makes an axis"},
    "nextafter": {"0-d": "the oracle's step from infinity is one of float64"},
    "view": {"0-d": "NumPy makes an axis"},
}


def large_and_small(function: Function) -> list[dict[str, str]]:
    """More samples of elementwise functions: one number, and more than a tile."""
    primitive = PRIMITIVES.get(function.entry["primitive"])
    if primitive is None or primitive["kind"] != "elementwise":
        return []
    n = len(primitive["inputs"])
    return [{"inputs": ", ".join([shape] * n), "keywords": "", "error": ""} for shape in ("(0, 3)", "()", "(3, 700)")]


def expected(case: Case, got: list[pc.array], layout: str) -> list[np.ndarray]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of means of nothing
        return case.expected(layout, floats=all(inexact(a) for a in got))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("function", WITH_ORACLE, ids=str)
def test_matches_its_oracle(function: Function, dtype: str) -> None:
    if not function.takes(dtype):
        with pytest.raises((ValueError, TypeError)):
            for case in cases(function, dtype):
                pc.eval(case.call(case.arrays()))
        return
    more = [Case(function, sample, dtype) for sample in large_and_small(function)]
    for case in [*cases(function, dtype), *more]:
        for layout in case.layouts():
            try:
                got = case.call(case.arrays(layout))
                pc.eval(got)
            except pc.DTypeError:  # a composition that says which dtypes it takes
                assert dtype not in ("float32",) or not case.values, f"{case} is not accepted"
                break
            try:
                want = expected(case, got, layout)
            except TypeError:  # NumPy has no such operation for this dtype
                break
            assert len(got) == len(want), case
            for a, b in zip(got, want, strict=True):
                assert_close(function, a, b, f"{case}, {layout}")


def test_far_apart_is_what_it_says() -> None:
    with pc.stream(pc.cpu):
        a = np.asarray(far_apart(np.arange(6, dtype=np.int8).reshape(2, 3), pc.int8))
    assert a.tolist() == [[0, 1, 2], [3, 4, 5]] and a.strides == (3 * a.strides[1], a.strides[1])
    assert sum((n - 1) * step for n, step in zip(a.shape, a.strides, strict=True)) > 2**31 - 1024


@pytest.mark.skipif(
    bool(os.environ.get("PLAIT_SIMULATE_GPU")), reason="a simulated GPU copies what is allocated, 16 GB"
)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("function", WITH_ARRAYS, ids=str)
def test_elements_past_position_2_31(function: Function, dtype: str) -> None:
    """Operands with elements on both sides of position 2^31 of their buffer.

    tests/python/test_large_arrays.py has arrays with as many elements.
    """
    if not function.takes(dtype):
        return
    more = [Case(function, sample, dtype) for sample in large_and_small(function)]
    for case in [*cases(function, dtype), *more]:
        if not any(v.takes("far") for v in case.values):
            continue
        try:
            got = case.call(case.arrays("far"))
            pc.eval(got)
            want = expected(case, got, "far")
        except (pc.DTypeError, TypeError):  # as in the test above
            return
        for a, b in zip(got, want, strict=True):
            assert_close(function, a, b, f"{case}, far apart")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_function_is_called_with_every_layout(layout: str) -> None:
    missing = []
    for function in WITH_ARRAYS:
        more = [Case(function, sample, "float32") for sample in large_and_small(function)]
        given = {name for case in [*cases(function, function.dtype), *more] for name in case.layouts()}
        if (layout not in given) != (layout in WITHOUT_LAYOUT.get(str(function), {})):
            missing.append(str(function))
    assert not missing


# ---- nothing, and no axes ----

OF_ORACLES = (ValueError, IndexError, TypeError, np.linalg.LinAlgError, ZeroDivisionError, StopIteration)


def with_extent(value: np.ndarray, extent: int) -> np.ndarray:
    """Without the elements along axes of this extent."""
    return value[tuple(slice(0, 0 if n == extent else None) for n in value.shape)]


def emptied(specs: list[object], extent: int) -> list[object]:
    def one(spec: object) -> object:
        if isinstance(spec, tuple):
            return tuple(0 if n == extent else n for n in spec)
        return with_extent(np.array(spec), extent) if isinstance(spec, list) else spec

    return [one(s) for s in specs]


def without_axes(specs: list[object], which: int | None) -> list[object]:
    def one(i: int, spec: object) -> object:
        if which is not None and i != which:
            return spec
        if isinstance(spec, tuple):
            return ()
        return np.array(spec).ravel()[:1].reshape(()) if isinstance(spec, list) and np.size(spec) else spec

    return [one(i, s) for i, s in enumerate(specs)]


def degenerate(function: Function, dtype: str) -> Iterator[tuple[str, Case]]:
    """Each sample with 0 in place of each extent that it has, and with arrays without axes, one of them or all."""
    for sample in function.samples:
        plain = Case(function, sample, dtype)
        shapes = [v.value.shape for v in plain.values if isinstance(v.value, np.ndarray)]
        for extent in sorted({n for shape in shapes for n in shape} - {0}):
            yield "empty", Case(function, sample, dtype, change=lambda s, e=extent: emptied(s, e))
        if any(shapes):
            for which in [None, *range(len(plain.values))] if len(shapes) > 1 else [None]:
                yield "0-d", Case(function, sample, dtype, change=lambda s, w=which: without_axes(s, w))


def refuses(function: Function, kind: str) -> bool:
    """Whether its definition says so, by a call that it rejects, or the table."""
    shape = {"0-d": r"\(\)", "empty": r"\b0\b"}[kind]
    return kind in REFUSED.get(str(function), {}) or any(re.search(shape, r["inputs"]) for r in function.rejects)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("function", WITH_ARRAYS, ids=str)
def test_nothing_and_no_axes(function: Function, dtype: str) -> None:
    """What NumPy takes agrees with it; what is refused, is refused as the user's error."""
    if not function.takes(dtype):
        return
    for kind, case in degenerate(function, dtype):
        try:
            got = case.call(case.arrays())
            pc.eval(got)
        except pc.DTypeError:
            return
        except (ValueError, IndexError, TypeError) as error:
            if not refuses(function, kind) and not (kind == "0-d" and isinstance(error, pc.AxisError)):
                with pytest.raises(OF_ORACLES):
                    expected(case, [], "contiguous")
                    pytest.fail(f"{case} with {[np.shape(v.value) for v in case.values]} raises {error!r}")
            continue
        try:
            want = expected(case, got, "contiguous")
        except OF_ORACLES:
            continue
        if kind in DIFFERS.get(str(function), {}):
            continue
        for a, b in zip(got, want, strict=True):
            assert_close(function, a, b, f"{case} with {[np.shape(v.value) for v in case.values]}")


# ---- the tables ----


def test_every_function_has_an_oracle_or_a_reason() -> None:
    missing = [
        f.name
        for f in FUNCTIONS
        if not (f.entry["oracle"] and f.samples) and f.entry["family"] not in SHAPES_ONLY and f.name not in ELSEWHERE
    ]
    assert not missing, f"no samples or no oracle: {missing}"
    assert not np.setdiff1d(list(ELSEWHERE), [f.name for f in FUNCTIONS]).size


def test_every_function_has_a_tolerance() -> None:
    assert TOLERANCES.keys() - {"other"} == {str(f) for f in WITH_ORACLE}, "run tools/tolerances.py"
