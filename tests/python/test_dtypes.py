"""Dtype objects, their tables and promotion, as recorded in tests/facts/dtypes.json."""

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import plait.core as pc

TABLES: dict[str, Any] = json.loads((Path(__file__).parents[1] / "facts/dtypes.json").read_text())
DTYPES = {name: getattr(pc, name) for name in TABLES["dtypes"]}
ARITHMETIC = {"+", "-", "*", "/", "//", "%", "**"}


def name(dtype: pc.Dtype) -> str:
    return repr(dtype).rsplit(".", 1)[-1]


def outcome(run: Any) -> str:
    try:
        result = run()
        if isinstance(result, (np.ndarray, np.generic)):
            return f"numpy:{result.dtype}"
        pc.eval(result)
        return name(result.dtype)
    except Exception as error:
        kinds = [c.__name__ for c in type(error).__mro__ if c.__module__ == "builtins"]
        return "!" + "/".join(kinds)


def agrees(want: str, have: str) -> bool:
    if want.startswith("!"):
        return have.startswith("!") and want[1:] in have[1:].split("/")
    return want == have


def test_names_and_sizes() -> None:
    for key, size in TABLES["sizes"].items():
        assert DTYPES[key].size == size
        assert repr(DTYPES[key]) == f"plait.core.{key.removesuffix('_')}"


def test_dtypes_are_single_objects() -> None:
    assert pc.array(1).dtype is pc.int32
    assert len({pc.float32, pc.int32, pc.float32}) == 2
    for dtype in DTYPES.values():
        assert pickle.loads(pickle.dumps(dtype)) is dtype
    assert pc.float32 != "float32"


def test_subtypes() -> None:
    for table, left in (("issubdtype", DTYPES), ("issubdtype_category", None)):
        columns = [getattr(pc, c) for c in TABLES[table]["columns"]]
        for row, values in TABLES[table]["rows"].items():
            first = left[row] if left else getattr(pc, row)
            assert [pc.issubdtype(first, c) for c in columns] == values, row


def test_casts() -> None:
    columns = [DTYPES[c] for c in TABLES["can_cast"]["columns"]]
    for row, values in TABLES["can_cast"]["rows"].items():
        assert [pc.can_cast(DTYPES[row], c) for c in columns] == values, row


def test_kinds() -> None:
    for row, values in TABLES["isdtype"]["rows"].items():
        assert [pc.isdtype(DTYPES[row], kind) for kind in TABLES["isdtype"]["columns"]] == values, row
    assert pc.isdtype(pc.int8, (pc.float32, "integral"))
    with pytest.raises(ValueError):
        pc.isdtype(pc.int8, "whole")


def test_result_type_is_what_addition_gives() -> None:
    for row, a in DTYPES.items():
        for column, b in DTYPES.items():
            want = TABLES["array_array"]["add"][list(DTYPES).index(row)][list(DTYPES).index(column)]
            assert name(pc.result_type(a, b)) == want.removesuffix("_"), (row, column)


@pytest.mark.parametrize("expression", [e for e in TABLES["array_scalar"] if set(e.split()) & ARITHMETIC])
def test_numbers_beside_arrays(expression: str) -> None:
    table = TABLES["array_scalar"][expression]
    wrong = []
    for row, values in table["rows"].items():
        for text, want in zip(table["columns"], values, strict=True):
            array = pc.array([1, 1], dtype=DTYPES[row])
            number = eval(text, {"np": np})
            have = outcome(lambda a=array, s=number: eval(expression, {"array": a, "s": s}))
            # Rounding down is not defined for complex numbers: an error is chosen over what was recorded.
            undefined = "//" in expression and want == "complex64" and "ValueError" in have
            if not agrees(want, have) and not undefined:
                wrong.append((row, text, want, have))
    assert not wrong


def test_limits() -> None:
    for dtype in ("float16", "float32", "float64"):
        ours, theirs = pc.finfo(getattr(pc, dtype)), np.finfo(dtype)
        assert (ours.min, ours.max, ours.eps, ours.bits) == (theirs.min, theirs.max, theirs.eps, theirs.bits)
        assert ours.smallest_normal == theirs.smallest_normal
    for dtype in ("int8", "int64", "uint8", "uint64"):
        assert (pc.iinfo(getattr(pc, dtype)).min, pc.iinfo(getattr(pc, dtype)).max) == (
            np.iinfo(dtype).min,
            np.iinfo(dtype).max,
        )
    with pytest.raises(ValueError):
        pc.finfo(pc.int8)
