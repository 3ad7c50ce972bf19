"""How soon new functions give their first results on a GPU, while code for those before them is being made.

`PLAIT_CACHE_DIR=EMPTY python -m benchmarks.gpu_first_results [--count N] [--pause SECONDS]`. Times are wall times from
the call to the values, in a process that has opened the device and, for the pause, done nothing else: libraries are
opened meanwhile. What is built is counted by what comes into the cache.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import plait.core as pc

OPERATIONS = [pc.exp, pc.sin, pc.tanh, pc.abs, pc.sigmoid, pc.square, pc.arctan]


def ms_of(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    pc.eval(call())
    return (time.perf_counter() - start) * 1e3


def chain(k: int, x: pc.array) -> pc.array:
    """The k-th of 343."""
    for _ in range(3):
        x = OPERATIONS[k % len(OPERATIONS)](x) + 1
        k //= len(OPERATIONS)
    return x


def new_function(k: int, x: pc.array) -> pc.array:
    """A chain, every other one normalised along its rows, every third one summed."""
    y = chain(k, x)
    if k % 2:
        y = pc.softmax(y, axis=-1)
    return pc.sum(y, axis=0) if k % 3 == 2 else y


def built() -> int:
    """How much code there is once nothing more has come for two seconds."""
    count, since = -1, 0.0
    while count < 0 or time.perf_counter() - since < 2:
        now = len(list(Path(os.environ["PLAIT_CACHE_DIR"]).glob("*.image")))
        if now != count:
            count, since = now, time.perf_counter()
        time.sleep(0.05)
    return count


def over_shapes(function: Callable[[pc.array], pc.array]) -> str:
    """One function, first on one shape until its code is there, then on 20 others."""
    arrays = [
        pc.random.normal((n, 64 * n)) for n in (32, *range(20, 32), *range(33, 41))
    ]  # 32 * 64 is a special length
    pc.eval(arrays)
    plans, images = pc.trace_counters()["plans_built"], built()
    for _ in range(2):
        ms_of(lambda: function(arrays[0]))
        first_plans, first_images = pc.trace_counters()["plans_built"], built()
    slowest = max(ms_of(lambda x=x: function(x)) for x in arrays[1:])
    more_plans, more_images = pc.trace_counters()["plans_built"] - first_plans, built() - first_images
    return (
        f"{first_plans - plans} plans and {first_images - images} texts built for the first shape, "
        f"{more_plans} and {more_images} for 20 more (slowest {slowest:.2f} ms)"
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu_first_results", description=__doc__)
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--pause", type=float, default=0.5)
    arguments = parser.parse_args()
    count = arguments.count
    pc.set_default_device(pc.gpu)
    opened = ms_of(lambda: pc.zeros((1,)))
    time.sleep(arguments.pause)
    x = pc.array([[0.01 * (i + j) for i in range(256)] for j in range(64)])
    took = [ms_of(lambda k=k: new_function(k, x)) for k in range(count)]
    others = {
        "sort": lambda: pc.sort(x, axis=-1),
        "random numbers": lambda: pc.random.normal((64, 64)),
        "running sums": lambda: pc.cumsum(x, axis=0),
        "product": lambda: x @ x.T,
        "a second product": lambda: x[:32] @ x.T,
        "bfloat16 product": lambda: x.astype(pc.bfloat16) @ x.T.astype(pc.bfloat16),
        "float64 product": lambda: x.astype(pc.float64) @ x.T.astype(pc.float64),
        "convolution": lambda: pc.conv1d(x[None], pc.ones((8, 3, 256))),
        "a second convolution": lambda: pc.conv1d(x[None], pc.ones((4, 5, 256))),
        "gradients of a convolution": lambda: pc.grad(lambda w: pc.conv1d(x[None], w).sum())(pc.ones((8, 3, 256))),
    }
    firsts = ", ".join(f"{name} {ms_of(call):.1f} ms" for name, call in others.items())
    shapes = {
        "a chain": lambda x: chain(342, x),
        "rows": lambda x: pc.softmax(chain(341, x), axis=-1),
    }
    one_function = "; ".join(f"{name}: {over_shapes(function)}" for name, function in shapes.items())
    middle, slowest = statistics.median(took), max(took)
    print(
        f"Opening the device takes {opened:.0f} ms. After {arguments.pause} s, first results of {count} new functions, "
        f"while code for those before them is made: the first {took[0]:.2f} ms, median {middle:.2f} ms, "
        f"slowest {slowest:.2f} ms. "
        f"First results of other kinds: {firsts}. One function over 20 shapes: {one_function}."
    )


if __name__ == "__main__":
    main()
