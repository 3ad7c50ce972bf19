"""Every function of the schema compiled: it gives what it gives otherwise, and one trace serves other extents."""

import ast

import numpy as np
import pytest

import plait.core as pc
from gen.samples import Function
from op_cases import Case, cases, inexact, numpy_of
from transform_cases import SAMPLED, listed
from written_functions import FIXED_EXTENTS, WRITTEN, rows_of

# What decides by looking at extents, and is traced again where another one decides otherwise.
LOOKS = {
    "diagonal": "whether the offset leaves the matrix",
    "diff": "how often there is something to take differences of",
    "fast.rope": "whether there are features beyond those that turn",
    "fft.istft": "the length of the frames",
    "fft.stft": "the length of the window",
    "unstack": "the number of results",
}
LOOKS |= {
    f"fft.{way}fft{axes}": "whether an axis is cut or filled up"
    for way in ("", "i", "r", "ir", "h", "ih")
    for axes in ("", "2", "n")
}


def call_of(case: Case, fixed: list[object], traces: list[int]):
    """The case as a function of its arrays, which counts how often it is run."""
    places = [i for i, v in enumerate(case.values) if v.is_array]

    def f(*arrays: pc.array) -> list[pc.array]:
        traces.append(1)
        every = list(fixed)
        for i, a in zip(places, arrays, strict=True):
            every[i] = a
        return case.call(every)

    return f, places


def equal(have: list[pc.array], want: list[pc.array], about: object) -> None:
    for a, b in zip(have, want, strict=True):
        assert a.dtype == b.dtype and np.array_equal(numpy_of(a), numpy_of(b), equal_nan=inexact(a)), about


@pytest.mark.parametrize("dtype", ["float32", "int32"])
@pytest.mark.parametrize("function", SAMPLED, ids=str)
def test_equals_eager(function: Function, dtype: str) -> None:
    for case in cases(function, dtype) if function.takes(dtype) else []:
        given = case.arrays()
        try:
            eager = case.call(given)
            pc.eval(eager)
        except pc.DTypeError:
            return
        traces: list[int] = []
        f, places = call_of(case, given, traces)
        compiled = pc.compile(f)
        for _ in range(2):
            equal(compiled(*[given[i] for i in places]), eager, case)
        assert len(traces) == 1, case


def larger(case: Case) -> Case | None:
    """The same sample with other extents, where its inputs are shapes; extents that were equal still are."""
    text = case.sample["inputs"]
    try:
        specs = ast.literal_eval(f"({text},)")
    except (ValueError, SyntaxError):
        return None
    if not all(isinstance(s, tuple) for s in specs) or not any(n > 1 for s in specs for n in s):
        return None
    shapes = ", ".join(str(tuple(n + 2 if n > 1 else n for n in s)) for s in specs)
    return Case(case.function, {**case.sample, "inputs": shapes}, case.dtype)


@pytest.mark.parametrize("function", SAMPLED, ids=str)
def test_one_trace_serves_other_extents(function: Function) -> None:
    for case in cases(function, function.dtype):
        other = larger(case)
        if other is None:
            continue
        given, more = case.arrays(), other.arrays()
        try:
            eager, eager_more = case.call(given), case.call(more)
            pc.eval(eager, eager_more)
        except ValueError:
            continue  # its keywords name extents
        traces: list[int] = []
        f, places = call_of(case, given, traces)
        compiled = pc.compile(f)
        equal(compiled(*[given[i] for i in places]), eager, case)
        equal(compiled(*[more[i] for i in places]), eager_more, other)
        equal(compiled(*[given[i] for i in places]), eager, case)
        limit = 2 if function.name in LOOKS else 1
        assert len(traces) <= limit, f"{case}: traced {len(traces)} times"


LOOK_BY_HAND = {
    "ends of nothing": "whether a slice reaches past the end",
    "flat sorts": "whether there are few enough to sort them all",
}


@pytest.mark.parametrize("name", [n for n in WRITTEN if n not in FIXED_EXTENTS])
def test_one_trace_of_written_functions_and_their_gradients(name: str) -> None:
    calls = [rows_of(name, 1, grow)[0] for grow in (0, 2, 3)]
    moving = [i for i, v in enumerate(calls[0].values) if v.moves]
    traces: list[int] = []

    def f(*arrays: pc.array) -> list[pc.array]:
        traces.append(1)
        return calls[0].call(list(arrays))

    def total(*arrays: pc.array) -> pc.array:
        return sum((pc.sum(out.astype(pc.float64) ** 2) for out in f(*arrays)), pc.array(0.0, pc.float64))

    def grads(*arrays: pc.array) -> list[pc.array]:
        return listed(pc.grad(total, argnums=moving)(*arrays))

    for g in (f, grads):
        want = [g(*call.arrays()) for call in calls]
        pc.eval(want)
        traces.clear()
        compiled = pc.compile(g)
        for call, results in zip([*calls, calls[0]], [*want, want[0]], strict=True):
            for a, b in zip(compiled(*call.arrays()), results, strict=True):
                assert a.shape == b.shape and a.dtype == b.dtype, name
                np.testing.assert_allclose(numpy_of(a), numpy_of(b), rtol=1e-12, atol=1e-12, err_msg=name)
        assert len(traces) == 1 or name in LOOK_BY_HAND, f"{name}: traced {len(traces)} times"
