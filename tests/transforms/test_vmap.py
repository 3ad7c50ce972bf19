"""Every function over a batch against a loop over its examples."""

import pytest

import transform_checks as check
from gen.samples import Function
from transform_cases import SAMPLED, batches


@pytest.mark.parametrize("function", SAMPLED, ids=str)
def test_equals_a_loop(function: Function) -> None:
    for batch in batches(function):
        check.equals_a_loop(batch)


@pytest.mark.parametrize("function", SAMPLED, ids=str)
def test_batches_of_one_and_none(function: Function) -> None:
    for batch in batches(function):
        check.batches_of_one_and_none(batch)


@pytest.mark.parametrize("function", SAMPLED, ids=str)
def test_nested_equals_loops(function: Function) -> None:
    for batch in batches(function, extent=6):
        check.nested_equals_loops(batch, 2, 3)
