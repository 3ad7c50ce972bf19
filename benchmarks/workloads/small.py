"""What costs time although hardly anything is computed: tiny operations, new shapes, the import."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.workload import Arrays, declare, not_offered, workload

F32 = np.float32


def tiny(rng: np.random.Generator, count: int) -> Arrays:
    return [rng.standard_normal(count, F32), rng.standard_normal(count, F32)]


@workload(
    "tiny_adds",
    "1,000 dependent adds on 8 elements, evaluated at the end",
    size=(8,),
    quick=(8,),
    inputs=tiny,
    items=1000,
    compiled=False,
    group="speed",
)
def tiny_adds(xp: Any, y: Any, one: Any) -> Any:
    for _ in range(1000):
        y = y + one
    return y


each = declare(
    "tiny_adds_each",
    "1,000 dependent adds on 8 elements, each evaluated",
    size=(8,),
    quick=(8,),
    inputs=tiny,
    items=1000,
    compiled=False,
    group="speed",
)


@each.builds("*")
def _(side: Any, start: Any, one: Any) -> Callable[[], Any]:
    wait = side.wait

    def adds() -> Any:
        y = start
        for _ in range(1000):
            y = wait(y + one)
        return y

    return adds


each.on("numpy", "torch")(tiny_adds.body("*").function)  # they evaluate each by themselves


def fifty(rng: np.random.Generator, count: int, k: int, n: int) -> list[Arrays]:
    weight = rng.standard_normal((k, n), F32)
    return [[rng.standard_normal((16 + 37 * i, k), F32), weight] for i in range(count)]


@workload(
    "fifty_shapes",
    "one function on fifty shapes, each once, in a cold process",
    size=(50, 256, 128),
    quick=(3, 16, 8),
    inputs=fifty,
    meter="cold",
    group="speed",
)
def fifty_shapes(xp: Any, x: Any, weight: Any) -> Any:
    z = (x @ weight) * 0.125
    z = 0.5 * z * (1.0 + xp.tanh(0.7978845608028654 * (z + 0.044715 * z * z * z)))
    e = xp.exp(z - xp.max(z, axis=-1, keepdims=True))
    return xp.sum(e / xp.sum(e, axis=-1, keepdims=True))


@fifty_shapes.on("torch")
def _(xp: Any, x: Any, weight: Any) -> Any:
    z = xp.nn.functional.gelu((x @ weight) * 0.125, approximate="tanh")
    return xp.sum(xp.softmax(z, -1))


calls = declare(
    "compiled_call",
    "one call of a compiled function of 100 arrays of 4 elements, each plus one",
    size=(100,),
    quick=(3,),
    inputs=lambda rng, count: [rng.standard_normal(4, F32) for _ in range(count)],
    group="speed",
)
not_offered(calls, "numpy", why="NumPy compiles nothing")


def plus_one(arrays: Arrays) -> Arrays:
    return [a + 1 for a in arrays]


@calls.builds("mx")
def _(side: Any, *arrays: Any) -> Callable[[], Any]:
    compiled = side.xp.compile(plus_one)
    return lambda: side.wait(compiled(list(arrays)))


@calls.builds("torch", "jax")
def _(side: Any, *arrays: Any) -> Callable[[], Any]:
    compiled = side.compile(plus_one)
    return lambda: side.wait(compiled(list(arrays)))


declare(
    "import",
    "import in a fresh interpreter",
    size=(),
    quick=(),
    inputs=lambda rng: [],
    meter="import",
    group="speed",
)
