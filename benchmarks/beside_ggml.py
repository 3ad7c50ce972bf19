"""Packed products of plait beside ggml's on the CPU: `python -m benchmarks.beside_ggml [--rounds N] [--threads N]`.

ggml comes from the package ggml-python. Both live in this process and take turns. Weights are 4096 x 4096: plait's of
4 and 8 bits in groups of 64 with a scale and a bias of 16 bits, ggml's of Q4_0 and Q8_0
in groups of 32 with a scale of 16 bits: 4.5 and 8.5 bits each. plait multiplies
rows of bfloat16, ggml rows of float32, which it rounds to 8 bits.
"""

from __future__ import annotations

import argparse
import ctypes
import importlib
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

SIZE = 4096


def plait_product(x: Any, w: Any, bits: int) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """A call, and how its last result is read."""
    pc = importlib.import_module("plait.core")
    rows = pc.array(x).astype(pc.bfloat16)
    packed = pc.quantize(pc.array(w).astype(pc.bfloat16), group_size=64, bits=bits)
    pc.eval(rows, *packed)
    made: list[Any] = []

    def call() -> None:
        made[:] = [pc.quantized_matmul(rows, *packed, group_size=64, bits=bits)]
        pc.eval(made)

    return call, lambda: np.array(made[0].astype(pc.float32))


def ggml_product(x: Any, w: Any, bits: int, threads: int) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """The same of ggml."""
    g = importlib.import_module("ggml")
    kind = g.GGML_TYPE_Q4_0 if bits == 4 else g.GGML_TYPE_Q8_0
    backend = g.ggml_backend_cpu_init()
    g.ggml_backend_cpu_set_n_threads(backend, threads)
    context = g.ggml_init(g.ggml_init_params(mem_size=1 << 20, mem_buffer=None, no_alloc=True))
    matrix = g.ggml_new_tensor_2d(context, kind, SIZE, SIZE)
    rows = g.ggml_new_tensor_2d(context, g.GGML_TYPE_F32, SIZE, len(x))
    result = g.ggml_mul_mat(context, matrix, rows)
    graph = g.ggml_new_graph(context)
    g.ggml_build_forward_expand(graph, result)
    g.ggml_backend_alloc_ctx_tensors(context, backend)
    packed = (ctypes.c_char * g.ggml_nbytes(matrix))()
    floats = ctypes.POINTER(ctypes.c_float)
    used = g.ggml_quantize_chunk(kind, w.ctypes.data_as(floats), packed, 0, SIZE, SIZE, None)
    g.ggml_backend_tensor_set(matrix, packed, 0, used)
    g.ggml_backend_tensor_set(rows, x.ctypes.data_as(ctypes.c_void_p), 0, x.nbytes)

    def read() -> Any:
        out = np.empty((len(x), SIZE), np.float32)
        g.ggml_backend_tensor_get(result, out.ctypes.data_as(ctypes.c_void_p), 0, out.nbytes)
        return out

    return lambda: g.ggml_backend_graph_compute(backend, graph), read


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.beside_ggml", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    options = parser.parse_args()
    os.environ["PLAIT_NUM_THREADS"] = str(options.threads)
    rng = np.random.default_rng(0)
    w = rng.standard_normal((SIZE, SIZE), np.float32) / np.float32(np.sqrt(SIZE))
    print("| | plait | ggml | ggml / plait | error of plait | of ggml |\n| --- | --- | --- | --- | --- | --- |")
    for count, bits in ((1, 4), (1, 8), (32, 4), (512, 4)):
        x = rng.standard_normal((count, SIZE), np.float32)
        exact = x @ w.T
        sides = {"plait": plait_product(x, w, bits), "ggml": ggml_product(x, w, bits, options.threads)}
        took: dict[str, list[float]] = {name: [] for name in sides}
        for turn in range(options.rounds + 3):
            for name, (call, _) in sides.items():
                start = time.perf_counter()
                call()
                if turn >= 3:
                    took[name].append(time.perf_counter() - start)
        ratio = statistics.median(b / a for a, b in zip(took["plait"], took["ggml"], strict=True))
        times = [f"{statistics.median(took[name]) * 1e3:.3f} ms" for name in sides]
        errors = [f"{np.linalg.norm(read() - exact) / np.linalg.norm(exact):.2%}" for _, read in sides.values()]
        print("|", " | ".join([f"{count} of {SIZE}, {bits} bits", *times, f"{ratio:.2f}", *errors]), "|", flush=True)


if __name__ == "__main__":
    main()
