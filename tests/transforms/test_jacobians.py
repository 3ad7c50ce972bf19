# ruff: noqa: E731
"""Jacobians and Hessians: against derivatives element by element, of any shape, and what they refuse."""

from collections.abc import Callable
from typing import Any

import pytest

import plait.core as pc
from scan_loops import H, close, f64


def test_jacobians() -> None:
    def f(x: pc.array, p: dict[str, Any]) -> Any:
        return {"a": pc.sin(x) @ p["w"], "b": [(x * x).sum() * p["s"][0]]}

    x, p = f64(3), {"w": f64(3, 2), "s": [f64(1)], "name": "kept"}
    for jac in (pc.jacfwd, pc.jacrev, lambda f: pc.compile(pc.jacfwd(f)), lambda f: pc.compile(pc.jacrev(f))):
        out = jac(f)(x, p)
        close(out["a"], (pc.cos(x)[:, None] * p["w"]).T)
        close(out["b"][0], (2 * x * p["s"][0])[None])
    for jac in (pc.jacfwd, pc.jacrev):
        of_x, of_p = jac(f, argnums=(0, 1))(x, p)["a"]
        close(of_x, (pc.cos(x)[:, None] * p["w"]).T)
        assert of_p["w"].shape == (2, 3, 2) and of_p["s"][0].shape == (2, 1) and of_p["name"] == "kept"
        close(of_p["w"][1, :, 1], pc.sin(x))
        close(of_p["w"][1, :, 0], pc.sin(x) * 0)
    second = pc.hessian(lambda x: (x * x * x).sum())(x)
    close(second, pc.diag(6 * x))
    nested = pc.hessian(lambda t: (t["u"] * t["v"]).sum())({"u": x, "v": x})
    close(nested["u"]["v"], pc.eye(3, dtype=pc.float64))
    close(nested["u"]["u"], pc.zeros((3, 3), dtype=pc.float64))
    close(pc.vmap(pc.hessian(lambda x: (x * x * x).sum()))(f64(2, 3))[0].shape and second, second)


def test_jacobians_of_any_shape() -> None:
    x = f64(2, 3)
    f = lambda x: pc.tanh(x[:, :, None] * x[:, None, :])
    forwards, backwards = pc.jacfwd(f)(x), pc.jacrev(f)(x)
    assert forwards.shape == (2, 3, 3, 2, 3)
    close(forwards, backwards)
    for column in range(3):
        along = pc.zeros((2, 3), dtype=pc.float64)
        along[1, column] = 1.0
        close(forwards[..., 1, column], pc.jvp(f, [x], [along])[1][0])
    empty = pc.jacfwd(lambda x: x * 2)(pc.zeros((0,), dtype=pc.float64))
    assert empty.shape == (0, 0)


@pytest.mark.parametrize("jac", [pc.jacfwd, pc.jacrev, pc.hessian])
def test_what_jacobians_refuse(jac: Callable[..., Any]) -> None:
    with pytest.raises(TypeError):
        jac(3)
    for argnums in (-1, (0, 0), ()):
        with pytest.raises(ValueError):
            jac(lambda x: x, argnums)
    with pytest.raises(ValueError, match="argument number 1"):
        jac(lambda x: x, 1)(H)
    with pytest.raises(ValueError, match="no array"):
        jac(lambda x: x)(3)
    with pytest.raises(ValueError, match="int32"):
        jac(lambda x: x * 2)(pc.array([1, 2]))
    with pytest.raises(ValueError, match="no array"):
        jac(lambda x: 3)(H)
