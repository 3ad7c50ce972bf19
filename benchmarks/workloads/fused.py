"""Chains, norms and softmax: what fusion is for. plait and MLX write compositions; peers use their best spelling."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.workload import Arrays, Cost, workload

F32 = np.float32


def one_array(rng: np.random.Generator, rows: int, columns: int) -> Arrays:
    return [rng.standard_normal((rows, columns), F32)]


def with_two_rows(rng: np.random.Generator, rows: int, columns: int) -> Arrays:
    return [rng.standard_normal(shape, F32) for shape in ((rows, columns), (columns,), (columns,))]


def map_cost(rows: int, columns: int) -> Cost:
    """Every element read once and written once."""
    return Cost(read=4 * rows * columns, write=4 * rows * columns)


MAP: dict[str, Any] = {"size": (4096, 4096), "quick": (64, 256), "cost": map_cost, "group": "speed"}


@workload("cheap_ops", "eight cheap elementwise operations on 16M floats", inputs=one_array, **MAP)
def cheap_ops(xp: Any, x: Any) -> Any:
    y = x * 1.5 + 0.25
    y = xp.abs(y - x)
    y = xp.maximum(y, x * 0.5)
    return y * y - x


@workload(
    "gelu_chain",
    "tanh-gelu(x * a + b) + x on 16M floats",
    inputs=with_two_rows,
    native={"by hand": ("handwritten_gelu.cpp", "{0}", "{1}")},
    **MAP,
)
def gelu_chain(xp: Any, x: Any, a: Any, b: Any) -> Any:
    z = x * a + b
    return 0.5 * z * (1.0 + xp.tanh(0.7978845608028654 * (z + 0.044715 * z * z * z))) + x


@workload("softmax", "softmax, 4096x4096; plait and MLX as a composition", inputs=one_array, **MAP)
def softmax(xp: Any, x: Any) -> Any:
    e = xp.exp(x - xp.max(x, axis=-1, keepdims=True))
    return e / xp.sum(e, axis=-1, keepdims=True)


@softmax.on("torch")
def _(xp: Any, x: Any) -> Any:
    return xp.softmax(x, -1)


@workload("softmax_op", "softmax, 4096x4096; plait and MLX by their own softmax", inputs=one_array, **MAP)
def softmax_op(xp: Any, x: Any) -> Any:
    return xp.softmax(x, -1)


softmax_op.on("numpy", "jax")(softmax.body("*").function)


@workload("layer_norm", "layer norm, 4096x4096; plait and MLX as a composition", inputs=with_two_rows, **MAP)
def layer_norm(xp: Any, x: Any, weight: Any, bias: Any) -> Any:
    centred = x - xp.mean(x, axis=-1, keepdims=True)
    variance = xp.mean(centred * centred, axis=-1, keepdims=True)
    return centred / xp.sqrt(variance + 1e-5) * weight + bias


@layer_norm.on("torch")
def _(xp: Any, x: Any, weight: Any, bias: Any) -> Any:
    return xp.nn.functional.layer_norm(x, (x.shape[-1],), weight, bias, 1e-5)


@workload(
    "chain_memory",
    "growth of memory by the chain on 64M floats, whose result takes 268 MB",
    inputs=with_two_rows,
    size=(16384, 4096),
    quick=(256, 256),
    meter="memory",
    group="speed",
)
def chain_memory(xp: Any, x: Any, a: Any, b: Any) -> Any:
    return gelu_chain.body("*").function(xp, x, a, b)
