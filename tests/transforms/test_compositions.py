"""Transforms of transforms of every function, and all of them compiled."""

import pytest

import transform_checks as check
from gen.samples import Function
from op_cases import Case
from transform_cases import EXAMPLES, SMOOTH, differentiable_cases


@pytest.mark.parametrize("function", SMOOTH, ids=str)
def test_compositions(function: Function) -> None:
    for f in differentiable_cases(function):
        assert isinstance(f.case, Case)
        others = [Case(function, f.case.sample, "float64", row).arrays() for row in range(EXAMPLES)]
        check.compositions(f, [[arrays[i] for i in f.moving] for arrays in others])
