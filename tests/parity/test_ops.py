"""Every function, dtype and layout against the NumPy expression that its definition names."""

import numpy as np
import pytest

import plait.core as pc
from gen.samples import DTYPES, FUNCTIONS, PRIMITIVES, Function
from op_cases import LAYOUTS, SHAPES_ONLY, Case, assert_close, cases, inexact

WITH_ORACLE = [f for f in FUNCTIONS if f.entry["oracle"]]

# Functions that no NumPy expression describes, and where they are tested instead.
ELSEWHERE = {
    "astype": "tests/facts: the table of conversions",
}


def empty_and_single(function: Function) -> list[dict[str, str]]:
    """More samples of elementwise functions: nothing, one number, and more than a tile."""
    primitive = PRIMITIVES.get(function.entry["primitive"])
    if primitive is None or primitive["kind"] != "elementwise":
        return []
    n = len(primitive["inputs"])
    return [{"inputs": ", ".join([shape] * n), "keywords": "", "error": ""} for shape in ("(0, 3)", "()", "(3, 700)")]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("function", WITH_ORACLE, ids=str)
def test_matches_its_oracle(function: Function, dtype: str) -> None:
    if not function.takes(dtype):
        with pytest.raises((ValueError, TypeError)):
            for case in cases(function, dtype):
                pc.eval(case.call(case.arrays()))
        return
    more = [Case(function, sample, dtype) for sample in empty_and_single(function)]
    for case in [*cases(function, dtype), *more]:
        for layout in LAYOUTS if case.values else LAYOUTS[:1]:
            try:
                got = case.call(case.arrays(layout))
                pc.eval(got)
            except pc.DTypeError:  # a composition that says which dtypes it takes
                assert dtype not in ("float32",) or not case.values, f"{case} is not accepted"
                break
            try:
                want = case.expected(layout, floats=all(inexact(a) for a in got))
            except TypeError:  # NumPy has no such operation for this dtype
                break
            assert len(got) == len(want), case
            for a, b in zip(got, want, strict=True):
                assert_close(a, b, f"{case}, {layout}")


def test_every_function_has_an_oracle_or_a_reason() -> None:
    missing = [
        f.name
        for f in FUNCTIONS
        if not (f.entry["oracle"] and f.samples) and f.entry["family"] not in SHAPES_ONLY and f.name not in ELSEWHERE
    ]
    assert not missing, f"no samples or no oracle: {missing}"
    assert not np.setdiff1d(list(ELSEWHERE), [f.name for f in FUNCTIONS]).size
