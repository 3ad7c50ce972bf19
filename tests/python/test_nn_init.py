"""Initialisers: recorded values, ranges, errors."""

import math

import numpy as np
import pytest

import plait.core as pc
from layer_oracle import GOLDEN, dtype_name, near
from plait.nn import init

RECORDED = [c for c in GOLDEN["layer_values"] if "init." in c]


@pytest.mark.parametrize("code", RECORDED)
def test_recorded_values(code):
    call, z = code.split("init.")[1], None
    if ", z = zeros((3, 4))" in call:
        call, z = call.split(", z =")[0], pc.zeros((3, 4))
    want = GOLDEN["layer_values"][code]
    pc.random.seed(0)
    run = lambda: eval("init." + call, {"init": init, "zeros": pc.zeros, "z": z})  # noqa: E731
    if "error" in want:
        with pytest.raises(ValueError):
            run()
    else:
        near(run(), want["value"])


@pytest.mark.parametrize("code", GOLDEN["init_ranges"])
def test_recorded_ranges(code):
    facts = GOLDEN["init_ranges"][code]
    pc.random.seed(1)
    x = np.array(eval("init." + code, {"init": init})(pc.zeros(facts["shape"])))
    assert abs(x.std() - facts["std"]) < 1e-3
    assert abs(x.min() - facts["min"]) < 1e-3
    assert abs(x.max() - facts["max"]) < 1e-3


def test_fans_of_a_kernel():
    pc.random.seed(0)
    x = np.array(init.he_uniform()(pc.zeros((40, 3, 3, 20)), mode="fan_out", gain=2.0))
    bound = 2 * math.sqrt(3 / (40 * 9))
    assert 0.99 * bound < np.abs(x).max() <= bound


def test_sparse():
    x = np.array(init.sparse(0.3, mean=5.0)(pc.zeros((50, 10))))
    assert ((x == 0).sum(1) == 3).all()
    assert abs(x[x != 0].mean() - 5) < 0.3


@pytest.mark.parametrize("shape", [(5, 5), (7, 3), (3, 7), (1, 1)])
def test_orthogonal(shape):
    x = np.array(init.orthogonal(gain=2.0)(pc.zeros(shape)))
    inner = x @ x.T if shape[0] < shape[1] else x.T @ x
    np.testing.assert_allclose(inner, 4 * np.eye(min(shape)), atol=1e-5)


def test_dtypes():
    a = pc.zeros((4, 4))
    assert dtype_name(init.orthogonal(dtype=pc.float16)(a)) == "float16"
    for make in (init.normal, init.uniform, init.glorot_normal, init.glorot_uniform, init.he_normal, init.he_uniform):
        assert dtype_name(make(dtype=pc.float16)(a)) == "float16"
    assert dtype_name(init.constant(1, pc.bfloat16)(a)) == "bfloat16"
    assert dtype_name(init.identity(pc.float16)(a)) == "float16"


@pytest.mark.parametrize("call", [
    lambda: init.glorot_normal()(pc.zeros((3,))),
    lambda: init.he_normal()(pc.zeros((3, 4)), mode="fan"),
    lambda: init.sparse(1.5),
    lambda: init.sparse(0.5)(pc.zeros((3,))),
    lambda: init.orthogonal()(pc.zeros((3,))),
    lambda: init.identity()(pc.zeros((3, 4))),
])  # fmt: skip
def test_refuses(call):
    with pytest.raises(ValueError):
        call()
