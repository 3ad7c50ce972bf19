"""Activation functions and the modules around them.

All work element by element (softmax, log_softmax, softmin and glu along an axis) and keep shape and floating dtype;
integers give float32 unless noted. They are plain compositions: evaluation fuses each into one pass over memory.
"""

from __future__ import annotations

import math
from typing import Any

import plait.core as pc
from plait.nn.layers.base import Module


def sigmoid(x: pc.array) -> pc.array:
    """1 / (1 + exp(-x)), between 0 and 1."""
    return pc.sigmoid(x)


def tanh(x: pc.array) -> pc.array:
    """Hyperbolic tangent."""
    return pc.tanh(x)


def relu(x: pc.array) -> pc.array:
    """max(x, 0). Integers stay integers."""
    return pc.maximum(x, 0)


def relu2(x: pc.array) -> pc.array:
    """max(x, 0) squared. Integers stay integers.

    Source: So et al., 2021, "Primer: Searching for Efficient Transformers for Language Modeling".
    """
    return pc.square(relu(x))


def relu6(x: pc.array) -> pc.array:
    """x limited to 0 to 6.

    Source: Krizhevsky, 2010, "Convolutional Deep Belief Networks on CIFAR-10".
    """
    return pc.minimum(pc.maximum(x, 0), 6.0)


def leaky_relu(x: pc.array, negative_slope: float = 0.01) -> pc.array:
    """x where it is positive, else negative_slope * x.

    Source: Maas et al., 2013, "Rectifier Nonlinearities Improve Neural Network Acoustic Models".
    """
    return pc.where(x > 0, x, negative_slope * x)


def prelu(x: pc.array, alpha: pc.array) -> pc.array:
    """x where it is positive, else alpha * x, with a slope that is learned; `alpha` broadcasts against `x`.

    Source: He et al., 2015, "Delving Deep into Rectifiers".
    """
    return pc.where(x > 0, x, alpha * x)


def elu(x: pc.array, alpha: float = 1.0) -> pc.array:
    """x where it is positive, else alpha * (exp(x) - 1).

    Numerics: the exponential sees no positive number, so that neither value nor gradient overflows.
    Source: Clevert et al., 2016, "Fast and Accurate Deep Network Learning by Exponential Linear Units".
    """
    return pc.where(x > 0, x, alpha * pc.expm1(pc.minimum(x, 0)))


def celu(x: pc.array, alpha: float = 1.0) -> pc.array:
    """max(x, 0) + alpha * (exp(min(x, 0) / alpha) - 1): `elu` with a continuous derivative for every alpha.

    Source: Barron, 2017, "Continuously Differentiable Exponential Linear Units".
    """
    return pc.maximum(x, 0) + alpha * pc.expm1(pc.minimum(x, 0) / alpha)


def selu(x: pc.array) -> pc.array:
    """`elu` with the scale and alpha that keep mean 0 and variance 1 from layer to layer.

    Source: Klambauer et al., 2017, "Self-Normalizing Neural Networks".
    """
    return 1.0507009873554805 * elu(x, 1.6732632423543772)


def silu(x: pc.array) -> pc.array:
    """x * sigmoid(x), also called swish.

    Source: Elfwing et al., 2018, "Sigmoid-Weighted Linear Units for Neural Network Function Approximation".
    """
    return x * pc.sigmoid(x)


def gelu(x: pc.array) -> pc.array:
    """x times the normal distribution's cumulative probability at x, by the error function.

    Source: Hendrycks and Gimpel, 2016, "Gaussian Error Linear Units".
    """
    return x * (1 + pc.erf(x * math.sqrt(0.5))) * 0.5


def gelu_approx(x: pc.array) -> pc.array:
    """`gelu` by the tanh formula, x/2 * (1 + tanh(sqrt(2/pi) * (x + 0.044715 x^3))).

    Numerics: written with (1 + tanh(y)) / 2 = sigmoid(2y), which does not cancel for negative x.
    Source: Hendrycks and Gimpel, 2016, "Gaussian Error Linear Units".
    """
    slope = 2 * math.sqrt(2 / math.pi)
    return x * pc.sigmoid(x * (slope + (slope * 0.044715) * (x * x)))


def gelu_fast_approx(x: pc.array) -> pc.array:
    """`gelu` by a single sigmoid, x * sigmoid(1.702 x); off by at most about 0.02.

    Source: Hendrycks and Gimpel, 2016, "Gaussian Error Linear Units".
    """
    return x * pc.sigmoid(1.702 * x)


def softplus(x: pc.array) -> pc.array:
    """log(1 + exp(x)), without overflow."""
    return pc.logaddexp(x, 0)


def log_sigmoid(x: pc.array) -> pc.array:
    """log(sigmoid(x)), without overflow."""
    return -softplus(-x)


def mish(x: pc.array) -> pc.array:
    """x * tanh(softplus(x)).

    Source: Misra, 2020, "Mish: A Self Regularized Non-Monotonic Activation Function".
    """
    return x * pc.tanh(softplus(x))


def softsign(x: pc.array) -> pc.array:
    """x / (1 + |x|), between -1 and 1."""
    return x / (1 + pc.abs(x))


def softshrink(x: pc.array, lambd: float = 0.5) -> pc.array:
    """x moved towards 0 by `lambd`, and 0 where |x| is at most `lambd`."""
    return x - pc.minimum(pc.maximum(x, -lambd), lambd)


def hard_shrink(x: pc.array, lambd: float = 0.5) -> pc.array:
    """x where |x| is greater than `lambd`, else 0. Integers stay integers."""
    return pc.where(pc.abs(x) > lambd, x, 0)


def hard_tanh(x: pc.array, min_val: float = -1.0, max_val: float = 1.0) -> pc.array:
    """x limited to `min_val` to `max_val`."""
    return pc.minimum(pc.maximum(x, min_val), max_val)


def hardswish(x: pc.array) -> pc.array:
    """x times a straight line from 0 at -3 to 1 at 3.

    Source: Howard et al., 2019, "Searching for MobileNetV3".
    """
    return x * pc.minimum(pc.maximum(x + 3, 0), 6) / 6


def step(x: pc.array, threshold: float = 0.0) -> pc.array:
    """1 where x is at least `threshold`, else 0, as int32."""
    return (x >= threshold).astype(pc.int32)


def softmax(x: pc.array, axis: int = -1) -> pc.array:
    """exp(x) divided by its sum along `axis`, without overflow."""
    return pc.softmax(x, axis=axis)


def softmin(x: pc.array, axis: int = -1) -> pc.array:
    """`softmax` of -x."""
    return pc.softmax(-x, axis=axis)


def log_softmax(x: pc.array, axis: int = -1) -> pc.array:
    """x minus the logarithm of the sum of exp(x) along `axis`, without overflow."""
    return x - pc.logsumexp(x, axis=axis, keepdims=True)


def glu(x: pc.array, axis: int = -1) -> pc.array:
    """The first half of x along `axis` times the sigmoid of the second half.

    Shapes: `axis` has an even size, halved in the result; `ValueError` otherwise.
    Source: Dauphin et al., 2017, "Language Modeling with Gated Convolutional Networks".
    """
    value: pc.array
    gate: pc.array
    value, gate = pc.split(x, 2, axis=axis)
    return value * pc.sigmoid(gate)


class Sigmoid(Module):
    """Applies `sigmoid`."""

    def __call__(self, x: pc.array) -> pc.array:
        return sigmoid(x)


class Tanh(Module):
    """Applies `tanh`."""

    def __call__(self, x: pc.array) -> pc.array:
        return tanh(x)


class ReLU(Module):
    """Applies `relu`."""

    def __call__(self, x: pc.array) -> pc.array:
        return relu(x)


class ReLU2(Module):
    """Applies `relu2`."""

    def __call__(self, x: pc.array) -> pc.array:
        return relu2(x)


class ReLU6(Module):
    """Applies `relu6`."""

    def __call__(self, x: pc.array) -> pc.array:
        return relu6(x)


class LeakyReLU(Module):
    """Applies `leaky_relu` with the given slope."""

    def __init__(self, negative_slope: float = 0.01) -> None:
        super().__init__()
        self._negative_slope = negative_slope

    def __call__(self, x: pc.array) -> pc.array:
        return leaky_relu(x, self._negative_slope)


class PReLU(Module):
    """Applies `prelu` with learned slopes `weight` (num_parameters,), which start at `init`.

    Shapes: x (..., num_parameters), or any if there is one slope.
    """

    def __init__(self, num_parameters: int = 1, init: float = 0.25) -> None:
        super().__init__()
        self.weight = pc.full((num_parameters,), init)

    def __call__(self, x: pc.array) -> pc.array:
        return prelu(x, self.weight)


class ELU(Module):
    """Applies `elu` with the given alpha."""

    def __init__(self, alpha: float = 1.0) -> None:
        super().__init__()
        self._alpha = alpha

    def __call__(self, x: pc.array) -> pc.array:
        return elu(x, self._alpha)


class CELU(Module):
    """Applies `celu` with the given alpha."""

    def __init__(self, alpha: float = 1.0) -> None:
        super().__init__()
        self._alpha = alpha

    def __call__(self, x: pc.array) -> pc.array:
        return celu(x, self._alpha)


class SELU(Module):
    """Applies `selu`."""

    def __call__(self, x: pc.array) -> pc.array:
        return selu(x)


class SiLU(Module):
    """Applies `silu`."""

    def __call__(self, x: pc.array) -> pc.array:
        return silu(x)


_GELU_FORMS = {"none": gelu, "precise": gelu_approx, "tanh": gelu_approx, "fast": gelu_fast_approx}


class GELU(Module):
    """Applies `gelu` (approx "none"), `gelu_approx` ("precise" or "tanh") or `gelu_fast_approx` ("fast")."""

    def __init__(self, approx: str = "none") -> None:
        super().__init__()
        if approx not in _GELU_FORMS:
            raise ValueError(f"GELU: approx must be one of {', '.join(_GELU_FORMS)}, got {approx!r}")
        self._approx = approx

    def __call__(self, x: pc.array) -> pc.array:
        return _GELU_FORMS[self._approx](x)


class Softplus(Module):
    """Applies `softplus`."""

    def __call__(self, x: pc.array) -> pc.array:
        return softplus(x)


class LogSigmoid(Module):
    """Applies `log_sigmoid`."""

    def __call__(self, x: pc.array) -> pc.array:
        return log_sigmoid(x)


class Mish(Module):
    """Applies `mish`."""

    def __call__(self, x: pc.array) -> pc.array:
        return mish(x)


class Softsign(Module):
    """Applies `softsign`."""

    def __call__(self, x: pc.array) -> pc.array:
        return softsign(x)


class Softshrink(Module):
    """Applies `softshrink` with the given threshold."""

    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__()
        self.lambd = lambd

    def __call__(self, x: pc.array) -> pc.array:
        return softshrink(x, self.lambd)


class HardShrink(Module):
    """Applies `hard_shrink` with the given threshold."""

    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__()
        self.lambd = lambd

    def __call__(self, x: pc.array) -> pc.array:
        return hard_shrink(x, self.lambd)


class HardTanh(Module):
    """Applies `hard_tanh` with its default limits."""

    def __call__(self, x: pc.array) -> pc.array:
        return hard_tanh(x)


class Hardswish(Module):
    """Applies `hardswish`."""

    def __call__(self, x: pc.array) -> pc.array:
        return hardswish(x)


class Step(Module):
    """Applies `step` with the given threshold."""

    def __init__(self, threshold: float = 0.0) -> None:
        super().__init__()
        self.threshold = threshold

    def __call__(self, x: pc.array) -> pc.array:
        return step(x, self.threshold)


class Softmax(Module):
    """Applies `softmax` along the last axis."""

    def __call__(self, x: pc.array) -> pc.array:
        return softmax(x)


class Softmin(Module):
    """Applies `softmin` along the last axis."""

    def __call__(self, x: pc.array) -> pc.array:
        return softmin(x)


class LogSoftmax(Module):
    """Applies `log_softmax` along the last axis."""

    def __call__(self, x: pc.array) -> pc.array:
        return log_softmax(x)


class GLU(Module):
    """Applies `glu` along the given axis."""

    def __init__(self, axis: int = -1) -> None:
        super().__init__()
        self.axis = axis

    def __call__(self, x: pc.array) -> Any:
        return glu(x, self.axis)
