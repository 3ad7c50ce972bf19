"""Matrix products."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.workload import Arrays, Cost, workload

F32 = np.float32


def factors(rng: np.random.Generator, m: int, k: int, n: int) -> Arrays:
    return [rng.standard_normal((m, k), F32), rng.standard_normal((k, n), F32)]


def product_cost(unit: str, bytes_each: int) -> Any:
    return lambda m, k, n: Cost(
        read=bytes_each * (m * k + k * n), write=bytes_each * m * n, flops=2 * m * k * n, unit=unit
    )


@workload(
    "matmul_2048",
    "2048 x 2048 product in float32",
    size=(2048, 2048, 2048),
    quick=(64, 64, 64),
    inputs=factors,
    cost=product_cost("fma_f32", 4),
    group="speed",
    native={"onednn": ("onednn_direct.cpp", "f32", "{0}", "{1}", "{2}")},
)
def matmul_2048(xp: Any, a: Any, b: Any) -> Any:
    return a @ b


@workload(
    "matmul_2048_bf16",
    "2048 x 2048 product in bfloat16",
    size=(2048, 2048, 2048),
    quick=(64, 64, 64),
    inputs=factors,
    cost=product_cost("dot_bf16", 2),
    dtype="bfloat16",
    tolerance=2e-2,
    group="speed",
    native={"onednn": ("onednn_direct.cpp", "bf16", "{0}", "{1}", "{2}")},
)
def matmul_2048_bf16(xp: Any, a: Any, b: Any) -> Any:
    return a @ b
