"""Calls that a function's definition says it rejects, and the error it names."""

import builtins

import pytest

import plait.core as pc
from gen.samples import FUNCTIONS, Function
from op_cases import Case

REJECTED = [(f, i) for f in FUNCTIONS for i in range(len(f.rejects))]


@pytest.mark.parametrize(("function", "number"), REJECTED, ids=lambda x: str(x))
def test_rejects_with_the_named_error(function: Function, number: int) -> None:
    sample = function.rejects[number]
    case = Case(function, sample, "float32")
    named = getattr(pc, sample["error"], None) or getattr(builtins, sample["error"])
    with pytest.raises(named) as error:
        pc.eval(case.call(case.arrays()))
    if isinstance(error.value, pc.Error):
        assert error.value.op and error.value.got, f"{case}: the message has no parts: {error.value}"
        assert "test_rejects.py" in error.value.where or "op_cases.py" in error.value.where, error.value.where
