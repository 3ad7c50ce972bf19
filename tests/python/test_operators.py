"""Operators of arrays under their names: signatures, calls by name, derived classes, and other types beside them."""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import plait.core as pc

BINARY = ["add", "sub", "mul", "truediv", "floordiv", "mod", "pow"]
BITS = ["and_", "or_", "xor", "lshift", "rshift"]
COMPARISONS = ["lt", "le", "eq", "ne", "gt", "ge"]


def dunder(name: str, prefix: str = "") -> str:
    return f"__{prefix}{name.strip('_')}__"


@pytest.mark.parametrize("name", BINARY)
def test_the_named_function_does_what_the_operator_does(name: str) -> None:
    a, f = pc.array([5.0, 7.0]), getattr(operator, name)
    for b in (pc.array([2.0, 3.0]), 2, 1.5, np.array([2.0, 4.0], np.float32)):
        want = f(a, b).tolist()
        assert getattr(a, dunder(name))(b).tolist() == want
        assert getattr(pc.array, dunder(name))(a, other=b).tolist() == want
        assert getattr(a, dunder(name, "r"))(b).tolist() == f(pc.array(b), a).tolist()
        c = a + 0
        same = getattr(c, dunder(name, "i"))(b)
        assert same is c and c.tolist() == want


@pytest.mark.parametrize("name", BITS)
def test_operators_of_bits(name: str) -> None:
    a, b, f = pc.array([5, 6]), pc.array([3, 1]), getattr(operator, name)
    assert getattr(a, dunder(name))(other=b).tolist() == f(a, b).tolist()
    c = a + 0
    assert getattr(c, dunder(name, "i"))(b) is c and c.tolist() == f(a, b).tolist()


@pytest.mark.parametrize("name", COMPARISONS)
def test_comparisons(name: str) -> None:
    a, f = pc.array([1.0, 2.0]), getattr(operator, name)
    assert getattr(a, dunder(name))(other=1.5).tolist() == f(a, 1.5).tolist()
    if name in ("eq", "ne"):
        assert getattr(a, dunder(name))("text") is (name == "ne")


def test_products_indices_and_division() -> None:
    a = pc.array([[1.0, 2.0], [3.0, 4.0]])
    assert a.__matmul__(other=a).tolist() == (a @ a).tolist()
    b = a + 0
    assert b.__imatmul__(a) is b and b.tolist() == (a @ a).tolist()
    assert a.__getitem__((0, slice(None))).tolist() == [1, 2]
    assert a.__setitem__(0, 9) is None and a[0].tolist() == [9, 9]
    assert a.__div__(2).tolist() == (a / 2).tolist() and a.__rdiv__(2).tolist() == (2 / a).tolist()


def test_signatures() -> None:
    def parameters(name: str) -> str:
        return getattr(pc.array, name).__nb_signature__[0][0]

    assert parameters("__add__").startswith("def __add__(self, other: ")
    assert parameters("__getitem__").startswith("def __getitem__(self, arg: ")
    assert inspect.ismethoddescriptor(pc.array.__add__)


@pytest.mark.parametrize("call", [lambda f: f(3, 4), lambda f: f(None, 4), lambda f: f(pc.array([1.0])), lambda f: f()])
def test_what_is_no_array_is_refused(call: Callable[[Any], Any]) -> None:
    for name in ("__add__", "__radd__", "__iadd__", "__pow__", "__lt__", "__getitem__", "__matmul__"):
        with pytest.raises(TypeError):
            call(getattr(pc.array, name))
    with pytest.raises(TypeError):
        pc.array([1.0]).__add__(None)
    with pytest.raises(TypeError):
        pc.array.__setitem__([1], 0, 2)


def test_not_implemented_lets_the_other_side_answer() -> None:
    class Other:
        def __rand__(self, a: object) -> str:
            return "rand"

        def __rmatmul__(self, a: object) -> str:
            return "rmatmul"

    a = pc.array([1])
    assert pc.array.__ipow__(a + 2, 2).tolist() == [9]
    assert a.__imatmul__(Other()) is NotImplemented
    with pytest.raises(TypeError):
        pow(a, 2, 3)
    with pytest.raises(TypeError):
        a @ 3


class Sub(pc.array):
    """A class derived from array, whose operators are what Python makes of the named functions."""


class Doubling(pc.array):
    def __add__(self, other: Any) -> Any:
        return super().__add__(other) + super().__add__(other)

    def __radd__(self, other: Any) -> Any:
        return "radd"

    def __getitem__(self, key: Any) -> Any:
        return super().__getitem__(key) * 2


@pytest.mark.parametrize("name", [*BINARY, *COMPARISONS])
def test_derived_classes_compute_alike(name: str) -> None:
    f = getattr(operator, name)
    a, b, s, t = pc.array([5.0, 7.0]), pc.array([2.0, 3.0]), Sub([5.0, 7.0]), Sub([2.0, 3.0])
    want = f(a, b).tolist()
    for x, y in ((s, t), (s, b), (a, t), (s, np.array([2.0, 3.0], np.float32))):
        assert f(x, y).tolist() == want
    assert f(s, 2).tolist() == f(a, 2).tolist()
    assert f(2, s).tolist() == f(2, a).tolist()


def test_derived_classes_in_all_other_ways() -> None:
    s = Sub([5.0, 7.0])
    kept = s
    s += 1
    assert s is kept and s.tolist() == [6, 8]
    s[0] = 3
    assert s[0].item() == 3 and len(s) == 2 and [x.item() for x in s] == [3, 8]
    assert hash(s) == hash(kept) and isinstance(hash(s), int)
    assert bool((s == s).all()) and (-s).tolist() == [-3, -8] and abs(s).tolist() == [3, 8]
    i = Sub([6, 3])
    assert (i & 2).tolist() == [2, 2] and (i << 1).tolist() == [12, 6] and (~i).tolist() == [-7, -4]
    with pytest.raises(TypeError):
        s + None
    with pytest.raises(TypeError):
        pow(s, 2, 3)
    d = Doubling([1.0])
    assert (d + 1).tolist() == [4] and (1 + d) == "radd" and (pc.array([1.0]) + d) == "radd"
    assert d[0].item() == 2


def test_an_operator_may_be_put_in_from_outside() -> None:
    class Mine(pc.array):
        pass

    Mine.__mul__ = lambda self, other: "mine"  # type: ignore[assignment,method-assign]
    assert Mine([1.0]) * 2 == "mine" and (pc.array([1.0]) * 2).tolist() == [2]
