"""Reductions, scans, sorting, indexing, moving data, random numbers and transforms: one operation each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.workload import Arrays, Cost, declare, workload
from benchmarks.workloads.fused import F32, map_cost, one_array

SQUARE: dict[str, Any] = {"size": (4096, 4096), "quick": (64, 256)}


def read_cost(rows: int, columns: int) -> Cost:
    """Every element read once; what is written hardly counts."""
    return Cost(read=4 * rows * columns)


READ: dict[str, Any] = {**SQUARE, "inputs": one_array, "cost": read_cost}


@workload("sum_last", "sum over the last axis, 4096x4096", **READ)
def sum_last(xp: Any, x: Any) -> Any:
    return xp.sum(x, axis=-1)


@workload("sum_first", "sum over the first axis, 4096x4096", **READ)
def sum_first(xp: Any, x: Any) -> Any:
    return xp.sum(x, axis=0)


@workload("logsumexp", "logsumexp over the last axis, 4096x4096", **READ)
def logsumexp(xp: Any, x: Any) -> Any:
    return xp.logsumexp(x, -1)


@logsumexp.on("numpy", "jax")
def _(xp: Any, x: Any) -> Any:
    top = xp.max(x, axis=-1, keepdims=True)
    return xp.log(xp.sum(xp.exp(x - top), axis=-1)) + top[:, 0]


@workload("argmax", "argmax over the last axis, 4096x4096", **READ)
def argmax(xp: Any, x: Any) -> Any:
    return xp.argmax(x, axis=-1)


@workload("cumsum", "cumulative sum over the last axis, 4096x4096", inputs=one_array, cost=map_cost, **SQUARE)
def cumsum(xp: Any, x: Any) -> Any:
    return xp.cumsum(x, axis=-1)


def line(rng: np.random.Generator, count: int) -> Arrays:
    return [rng.standard_normal(count, F32)]


@workload("sort", "sort of 1M floats", size=(1 << 20,), quick=(1000,), inputs=line)
def sort(xp: Any, x: Any) -> Any:
    return xp.sort(x)


@sort.on("torch")
def _(xp: Any, x: Any) -> Any:
    return xp.sort(x).values


topk = declare(
    "topk",
    "64 largest of each of 64 rows of 50,000, in any order",
    size=(64, 50_000),
    quick=(4, 500),
    inputs=one_array,
    cost=read_cost,
    check=np.sort,
)


@topk.on("mx")
def _(xp: Any, x: Any) -> Any:
    return xp.topk(x, 64)


@topk.on("numpy")
def _(xp: Any, x: Any) -> Any:
    return xp.partition(x, x.shape[-1] - 64)[:, -64:]


@topk.on("torch")
def _(xp: Any, x: Any) -> Any:
    return xp.topk(x, 64, sorted=False).values


@topk.on("jax")
def _(xp: Any, x: Any) -> Any:
    import jax

    return jax.lax.top_k(x, 64)[0]


def table_and_rows(rng: np.random.Generator, rows: int, width: int, picked: int) -> Arrays:
    return [rng.standard_normal((rows, width), F32), rng.integers(0, rows, picked).astype(np.int32)]


@workload(
    "gather",
    "8,192 rows of a table of 50,000 x 512",
    size=(50_000, 512, 8192),
    quick=(100, 16, 64),
    inputs=table_and_rows,
    cost=lambda rows, width, picked: Cost(read=4 * picked * width, write=4 * picked * width),
)
def gather(xp: Any, table: Any, rows: Any) -> Any:
    return table[rows]


@gather.on("torch")
def _(xp: Any, table: Any, rows: Any) -> Any:
    return xp.index_select(table, 0, rows)


def empty_updates_and_rows(rng: np.random.Generator, rows: int, width: int, picked: int) -> Arrays:
    """First an array without elements that only says how many rows the new table has."""
    indices = rng.integers(0, rows, picked).astype(np.int32)
    return [np.zeros((rows, 0), F32), rng.standard_normal((picked, width), F32), indices]


scatter = declare(
    "scatter_add",
    "8,192 rows added into a new table of 50,000 x 512",
    size=(50_000, 512, 8192),
    quick=(100, 16, 64),
    inputs=empty_updates_and_rows,
    cost=lambda rows, width, picked: Cost(read=4 * picked * width, write=4 * rows * width),
)


@scatter.on("mx", "jax")
def _(xp: Any, like: Any, updates: Any, rows: Any) -> Any:
    return xp.zeros((like.shape[0], updates.shape[1])).at[rows].add(updates)


@scatter.on("numpy")
def _(xp: Any, like: Any, updates: Any, rows: Any) -> Any:
    table = xp.zeros((like.shape[0], updates.shape[1]), F32)
    xp.add.at(table, rows, updates)
    return table


@scatter.on("torch")
def _(xp: Any, like: Any, updates: Any, rows: Any) -> Any:
    return xp.zeros(like.shape[0], updates.shape[1]).index_add_(0, rows, updates)


@workload("transpose_copy", "transposed copy, 4096x4096", inputs=one_array, cost=map_cost, **SQUARE)
def transpose_copy(xp: Any, x: Any) -> Any:
    return xp.contiguous(x.T)


@transpose_copy.on("numpy")
def _(xp: Any, x: Any) -> Any:
    return xp.ascontiguousarray(x.T)


@transpose_copy.on("torch")
def _(xp: Any, x: Any) -> Any:
    return x.T.contiguous()


@transpose_copy.on("jax")
def _(xp: Any, x: Any) -> Any:
    return x.T  # a result of compiled code is row-major, so this copies


def two_halves(rng: np.random.Generator, rows: int, columns: int) -> Arrays:
    return [rng.standard_normal((rows, columns), F32) for _ in range(2)]


@workload(
    "concatenate",
    "two 4096x2048 on the last axis",
    size=(4096, 2048),
    quick=(64, 128),
    inputs=two_halves,
    cost=lambda rows, columns: Cost(read=8 * rows * columns, write=8 * rows * columns),
)
def concatenate(xp: Any, a: Any, b: Any) -> Any:
    return xp.concatenate([a, b], axis=-1)


normal = declare(
    "normal",
    "16M normally distributed floats",
    size=(1 << 24,),
    quick=(1000,),
    inputs=lambda rng, count: [np.zeros((count, 0), F32)],  # only its length is used
    cost=lambda count: Cost(write=4 * count),
    check=None,
)


@normal.on("mx")
def _(xp: Any, like: Any) -> Any:
    return xp.random.normal((like.shape[0],))


@normal.on("torch")
def _(xp: Any, like: Any) -> Any:
    return xp.randn(like.shape[0])


@normal.builds("numpy")
def _(side: Any, like: Any) -> Callable[[], Any]:
    generator = np.random.default_rng(0)
    return lambda: generator.standard_normal(like.shape[0], F32)


@normal.builds("jax")
def _(side: Any, like: Any) -> Callable[[], Any]:
    key = side.jax.random.key(0)
    count = like.shape[0]
    draw = side.jax.jit(lambda key: side.jax.random.normal(key, (count,)))
    return lambda: side.wait(draw(key))


def complex_line(rng: np.random.Generator, count: int) -> Arrays:
    return [(rng.standard_normal(count, F32) + 1j * rng.standard_normal(count, F32)).astype(np.complex64)]


@workload("fft", "complex FFT of 2^20 points", size=(1 << 20,), quick=(256,), inputs=complex_line)
def fft(xp: Any, x: Any) -> Any:
    return xp.fft.fft(x)


@workload("rfft_batched", "real FFT of 256 rows of 2,048", size=(256, 2048), quick=(4, 64), inputs=one_array)
def rfft_batched(xp: Any, x: Any) -> Any:
    return xp.fft.rfft(x)
