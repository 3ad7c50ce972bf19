"""Activation functions against their formulas in float64, their dtypes and their gradients."""

import math

import numpy as np
import pytest
from scipy import special

import plait.core as pc
import plait.nn as nn
from layer_oracle import check_gradient, dtype_name, near, numbers


def softmax(x, axis=-1):
    e = np.exp(x - x.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


def sigmoid(x):
    return special.expit(x)


def shrink(x, lambd):
    return np.sign(x) * np.maximum(np.abs(x) - lambd, 0)


FORMULAS = {
    "sigmoid": sigmoid,
    "tanh": np.tanh,
    "relu": lambda x: np.maximum(x, 0),
    "relu2": lambda x: np.maximum(x, 0) ** 2,
    "relu6": lambda x: np.clip(x, 0, 6),
    "leaky_relu": lambda x: np.where(x > 0, x, 0.01 * x),
    "elu": lambda x: np.where(x > 0, x, np.expm1(x)),
    "celu": lambda x: np.where(x > 0, x, np.expm1(x)),
    "selu": lambda x: 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(x)),
    "silu": lambda x: x * sigmoid(x),
    "gelu": lambda x: x * special.ndtr(x),
    "gelu_approx": lambda x: 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    "gelu_fast_approx": lambda x: x * sigmoid(1.702 * x),
    "softplus": lambda x: np.logaddexp(x, 0),
    "log_sigmoid": lambda x: -np.logaddexp(-x, 0),
    "mish": lambda x: x * np.tanh(np.logaddexp(x, 0)),
    "softsign": lambda x: x / (1 + np.abs(x)),
    "softshrink": lambda x: shrink(x, 0.5),
    "hard_shrink": lambda x: np.where(np.abs(x) > 0.5, x, 0),
    "hard_tanh": lambda x: np.clip(x, -1, 1),
    "hardswish": lambda x: x * np.clip(x + 3, 0, 6) / 6,
    "step": lambda x: (x >= 0).astype(np.int32),
    "softmax": softmax,
    "softmin": lambda x: softmax(-x),
    "log_softmax": lambda x: np.log(softmax(x)),
}
KEEPS_INTEGERS = {"relu", "relu2", "hard_shrink", "step"}
MODULES = {
    "Sigmoid": "sigmoid", "Tanh": "tanh", "ReLU": "relu", "ReLU2": "relu2", "ReLU6": "relu6", "LeakyReLU": "leaky_relu",
    "ELU": "elu", "CELU": "celu", "SELU": "selu", "SiLU": "silu", "GELU": "gelu", "Softplus": "softplus",
    "LogSigmoid": "log_sigmoid", "Mish": "mish", "Softsign": "softsign", "Softshrink": "softshrink",
    "HardShrink": "hard_shrink", "HardTanh": "hard_tanh", "Hardswish": "hardswish", "Step": "step",
    "Softmax": "softmax", "Softmin": "softmin", "LogSoftmax": "log_softmax",
}  # fmt: skip


@pytest.mark.parametrize("name", FORMULAS)
def test_formula(name):
    x = np.concatenate([numbers(3, 40, low=-9, high=9), np.array([[-0.5, 0.5, 0.0, -3.0, 3.0] * 8] * 1, np.float32)])
    near(getattr(nn, name)(pc.array(x)), FORMULAS[name](x.astype(np.float64)))


@pytest.mark.parametrize("name", FORMULAS)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_16_bit_stays(name, dtype):
    x = numbers(4, 9)
    y = getattr(nn, name)(pc.array(x).astype(getattr(pc, dtype)))
    assert dtype_name(y) == ("int32" if name == "step" else dtype)
    near(y, FORMULAS[name](x.astype(np.float64)), tol=0.06 if name != "step" else 0)


@pytest.mark.parametrize("name", FORMULAS)
def test_integers(name):
    y = getattr(nn, name)(pc.array([-2, 0, 3]))
    assert dtype_name(y) == ("int32" if name in KEEPS_INTEGERS else "float32")
    near(y, FORMULAS[name](np.array([-2.0, 0.0, 3.0])))


@pytest.mark.parametrize("name", [n for n in FORMULAS if n != "step"])
def test_gradient(name):
    x = numbers(2, 30, low=-4, high=4)
    corners = [0, -0.5, 0.5, 1, -1, 3, -3]  # differences across a kink say nothing
    x[np.min([np.abs(x - c) for c in corners], axis=0) < 0.03] = 0.25
    check_gradient(getattr(nn, name), x)


@pytest.mark.parametrize(
    "name", [n for n in FORMULAS if n not in ("step", "relu2", "softmax", "softmin", "log_softmax")]
)
def test_no_overflow(name):
    x = np.array([-200.0, -100.0, 100.0, 200.0], np.float32)
    near(getattr(nn, name)(pc.array(x)), FORMULAS[name](x.astype(np.float64)))
    slope = pc.grad(lambda v: pc.sum(getattr(nn, name)(v)))(pc.array(x))
    assert np.isfinite(np.array(slope)).all()


@pytest.mark.parametrize("name", MODULES)
def test_module(name):
    x = numbers(3, 6)
    module = getattr(nn, name)()
    assert repr(module) == f"{name}()"
    assert not module.parameters()
    near(module(pc.array(x)), FORMULAS[MODULES[name]](x.astype(np.float64)))


def test_arguments():
    x = numbers(40)
    a = pc.array(x)
    near(nn.leaky_relu(a, 2.0), np.where(x > 0, x, 2 * x))
    near(nn.elu(a, 2.0), np.where(x > 0, x, 2 * np.expm1(x)))
    near(nn.celu(a, 2.0), np.maximum(x, 0) + 2 * np.expm1(np.minimum(x, 0) / 2))
    near(nn.softshrink(a, 0.1), shrink(x, 0.1))
    near(nn.hard_shrink(a, 0.1), np.where(np.abs(x) > 0.1, x, 0))
    near(nn.hard_tanh(a, -0.1, 0.7), np.clip(x, -0.1, 0.7))
    near(nn.step(a, 0.5), x >= 0.5)
    near(nn.LeakyReLU(0.3)(a), np.where(x > 0, x, 0.3 * x))
    near(nn.ELU(0.3)(a), np.where(x > 0, x, 0.3 * np.expm1(x)))
    near(nn.Step(1.0)(a), x >= 1)
    x = numbers(3, 4)
    near(nn.softmax(pc.array(x), axis=0), softmax(x, 0))
    near(nn.softmin(pc.array(x), axis=0), softmax(-x, 0))
    near(nn.log_softmax(pc.array(x), axis=0), np.log(softmax(x, 0)))


def test_gelu_forms():
    x = numbers(40, low=-5, high=5)
    for approx, name in (
        ("none", "gelu"),
        ("precise", "gelu_approx"),
        ("tanh", "gelu_approx"),
        ("fast", "gelu_fast_approx"),
    ):
        near(nn.GELU(approx)(pc.array(x)), FORMULAS[name](x.astype(np.float64)))
    with pytest.raises(ValueError, match="approx"):
        nn.GELU("approx")


def test_prelu():
    x = numbers(5, 3)
    slopes = np.array([0.1, 0.2, 2.0], np.float32)
    near(nn.prelu(pc.array(x), pc.array(slopes)), np.where(x > 0, x, slopes * x))
    near(nn.PReLU(3, 0.5)(pc.array(x)), np.where(x > 0, x, 0.5 * x))
    assert nn.PReLU().weight.shape == (1,)
    check_gradient(nn.prelu, x, slopes)


def test_glu():
    x = numbers(4, 6)
    near(nn.glu(pc.array(x)), x[:, :3] * sigmoid(x[:, 3:]))
    near(nn.GLU(0)(pc.array(x)), x[:2] * sigmoid(x[2:]))
    check_gradient(nn.glu, x)
    with pytest.raises(ValueError):
        nn.glu(pc.array(x[:3]), axis=0)
