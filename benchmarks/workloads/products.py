"""Matrix products."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.workload import Arrays, Cost, declare, workload

F32 = np.float32


def factors(rng: np.random.Generator, m: int, k: int, n: int) -> Arrays:
    return [rng.standard_normal((m, k), F32), rng.standard_normal((k, n), F32)]


def product_cost(unit: str, bytes_each: int) -> Any:
    return lambda m, k, n: Cost(
        read=bytes_each * (m * k + k * n), write=bytes_each * m * n, flops=2 * m * k * n, unit=unit
    )


def many_factors(rng: np.random.Generator, count: int, m: int, k: int, n: int) -> Arrays:
    return [rng.standard_normal((count, m, k), F32), rng.standard_normal((count, k, n), F32)]


PRODUCTS: list[tuple[str, str, tuple[int, int, int], str, str]] = [
    ("matmul_2048", "2048 x 2048 product in float32", (2048, 2048, 2048), "float32", "speed"),
    ("matmul_2048_bf16", "2048 x 2048 product in bfloat16", (2048, 2048, 2048), "bfloat16", "speed"),
    ("matmul_1024", "1024 x 1024 product in float32", (1024, 1024, 1024), "float32", "table"),
    ("matvec", "row of 4,096 times 4096 x 4096 in float32", (1, 4096, 4096), "float32", "table"),
    ("matvec_bf16", "row of 4,096 times 4096 x 4096 in bfloat16", (1, 4096, 4096), "bfloat16", "table"),
]


def single_product(name: str, title: str, size: tuple[int, int, int], dtype: str, group: str) -> None:
    narrow = dtype == "bfloat16"
    made = declare(
        name,
        title,
        size=size,
        quick=tuple(min(extent, 64) for extent in size),
        inputs=factors,
        cost=product_cost("dot_bf16" if narrow else "fma_f32", 2 if narrow else 4),
        dtype=dtype,
        group=group,
        tolerance=2e-2 if narrow else 1e-4,
        native={"onednn": ("onednn_direct.cpp", "bf16" if narrow else "f32", "{0}", "{1}", "{2}")},
    )
    made.on("*")(lambda xp, a, b: a @ b)


for product in PRODUCTS:
    single_product(*product)


@workload(
    "matmul_batched",
    "64 products of 64 x 64",
    size=(64, 64, 64, 64),
    quick=(4, 16, 16, 16),
    inputs=many_factors,
    cost=lambda count, m, k, n: Cost(flops=2 * count * m * k * n),
)
def matmul_batched(xp: Any, a: Any, b: Any) -> Any:
    return a @ b
