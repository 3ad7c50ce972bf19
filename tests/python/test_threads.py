"""Shared graphs of what has kernels, files or compilers of its own, built and evaluated by many threads at once.

Streams and shared graphs in general: test_streams.py. `./dev test --tsan` runs both under the thread sanitizer.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import plait.core as pc
from on_threads import on_threads

THREADS = 6
HAVE_COMPILER = any(shutil.which(name) for name in (os.environ.get("PLAIT_CXX", "c++"), "g++", "clang++"))


def check(build: Callable[[], list[pc.array]], rounds: int = 4) -> None:
    """Threads that extend and evaluate the graph of one of them, and graphs of their own, get what one thread gets."""
    want = [np.array(a) for a in build()]
    local = pc.new_thread_local_stream(pc.default_device())
    for _ in range(rounds):
        shared = build()  # pending: whoever comes first evaluates it

        def work(i: int, shared: list[pc.array] = shared) -> None:
            with pc.stream(local):
                own = build() if i % 2 else shared
                pc.async_eval(own[i % len(own)])
                sums = [a.astype(pc.float32).sum() for a in shared]
                pc.eval(sums[:: i + 1])
                for got, right in zip([*shared, *own], want * 2, strict=True):
                    np.testing.assert_allclose(np.array(got), right, rtol=1e-5, atol=1e-5)
                for got, right in zip(sums, want, strict=True):
                    np.testing.assert_allclose(got.item(), right.astype(np.float32).sum(), rtol=1e-3, atol=1e-3)

        on_threads(THREADS, work)


@pytest.mark.parametrize("mask", [None, "causal", "array"])
def test_attention(mask: str | None) -> None:
    normal = np.random.default_rng(1).normal
    q, k = pc.array(normal(size=(2, 4, 70, 16))), pc.array(normal(size=(2, 2, 90, 16)))
    last = pc.array(normal(size=(2, 4, 1, 16)))
    added = pc.array(normal(size=(70, 90))) if mask == "array" else mask

    def attend(q: pc.array, k: pc.array, mask: Any) -> pc.array:
        return pc.fast.scaled_dot_product_attention(q, k, k, scale=0.25, mask=mask)

    def build() -> list[pc.array]:
        keys = k * 0.5
        slopes = pc.grad(lambda q, k: (attend(q, k, added) ** 2).sum(), argnums=(0, 1))(q, keys)
        return [attend(q, keys, added), attend(last, keys, None), *slopes]

    check(build, 2)


@pytest.mark.parametrize(("mode", "bits"), [("affine", 4), ("affine", 3), ("mxfp4", 4), ("nvfp4", 4)])
def test_packed_products(mode: str, bits: int) -> None:
    normal = np.random.default_rng(2).normal
    w, rows = pc.array(normal(size=(3, 96, 128))), [pc.array(normal(size=(n, 128))) for n in (1, 40)]
    picks = pc.array([2, 0, 2])

    def build() -> list[pc.array]:
        packed = pc.quantize(w, bits=bits, mode=mode)
        first = [part[0] for part in packed]
        products = [pc.quantized_matmul(x, *first, bits=bits, mode=mode) for x in rows]
        more: dict[str, Any] = {"rhs_indices": picks, "bits": bits, "mode": mode}
        return [*products, pc.gather_qmm(rows[1][None], *packed, **more)]

    check(build)


def test_picked_products_and_transposed_copies() -> None:
    normal = np.random.default_rng(3).normal
    x, w = pc.array(normal(size=(5, 1, 33))), pc.array(normal(size=(4, 33, 65)))
    picks = pc.array([0, 3, 3, 1, 2])

    def build() -> list[pc.array]:
        turned = pc.contiguous(pc.transpose(w + 1, (0, 2, 1)))
        return [pc.gather_mm(x, w, rhs_indices=picks), turned, pc.contiguous(pc.transpose(turned, (1, 0, 2)))]

    check(build)


@pytest.mark.skipif(not HAVE_COMPILER, reason="NO C++ COMPILER, NOT TESTED")
def test_kernels_from_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLAIT_CACHE_DIR", str(tmp_path))  # so that each is compiled here, by whoever comes first
    x = pc.arange(500.0)

    def build() -> list[pc.array]:
        results = []
        with pc.stream(pc.cpu):
            for factor in (2, 3):
                body = f"uint i = thread_position_in_grid.x; out[i] = {factor} * inp[i];"
                kernel = pc.fast.cpu_kernel(f"times{factor}", ["inp"], ["out"], body)
                call = {"output_shapes": [x.shape], "output_dtypes": [x.dtype], "threadgroup": (64, 1, 1)}
                results += kernel(inputs=[x + 1], grid=(x.size, 1, 1), **call)
        return results

    on_threads(THREADS, lambda _: pc.eval(build()))
    check(build)


@pytest.mark.parametrize("format", ["npy", "npz", "safetensors", "gguf"])
def test_files_are_read_by_whoever_needs_them(tmp_path: Path, format: str) -> None:
    arrays = {str(i): pc.arange(i, i + 999.0) for i in range(20)}
    file = str(tmp_path / f"x.{format}")
    if format == "npy":
        pc.save(file, pc.stack(list(arrays.values())))
    else:
        {"npz": pc.savez, "safetensors": pc.save_safetensors, "gguf": pc.save_gguf}[format](
            file, *([] if format == "npz" else [arrays]), **(arrays if format == "npz" else {})
        )
    want = [float(sum(range(i, i + 999))) for i in range(20)]

    def sums(loaded: Any, order: range) -> list[float]:
        found = {i: (loaded[i] if format == "npy" else loaded[str(i)]).sum() for i in order}
        pc.async_eval(*found.values())
        return [found[i].item() for i in range(20)]

    for _ in range(3):
        shared = pc.load(file)

        def work(i: int, shared: Any = shared) -> None:
            order = range(20) if i % 2 else range(19, -1, -1)
            assert sums(shared, order) == sums(pc.load(file), order) == want

        on_threads(THREADS, work)


def test_a_shared_graph_that_fails() -> None:
    """What cannot be computed raises on each thread that asks for it; what it was made of can be used by all."""
    for _ in range(10):
        x = pc.arange(64.0) * 2
        bad = pc.take(x + 1, pc.array([3, 64])) * 2

        def work(i: int, x: pc.array = x, bad: pc.array = bad) -> float:
            mine = bad + i
            if i % 2:
                pc.async_eval(mine)
            with pytest.raises(IndexError):
                pc.eval(mine)
            return (x + i).sum().item()

        assert on_threads(THREADS, work) == [64 * 63 + 64 * i for i in range(THREADS)]


def test_arrays_die_while_others_read_them() -> None:
    """Views, copies and the last reference, each on another thread."""
    for _ in range(20):
        arrays = [pc.arange(5000.0) + i for i in range(THREADS)]
        pc.async_eval(arrays)

        def work(i: int, arrays: list[pc.array] = arrays) -> float:
            mine, other = arrays[i], arrays[(i + 1) % THREADS]
            looked = np.asarray(other[::7])
            arrays[i] = pc.zeros((1,))
            del mine
            return float(looked[0])

        assert all(value in range(THREADS) for value in on_threads(THREADS, work))


def test_a_process_ends_in_the_midst_of_background_work() -> None:
    """The work ends first: what it and other libraries keep is destroyed at exit."""
    code = """
import plait.core as pc
lengths = range(1000, 1300)
x, w = pc.ones((1, 40, 40, 3)), pc.ones((4, 3, 3, 3))
results = [pc.fft.fft(pc.ones((2, n))).abs().sum() + pc.conv2d(x[:, : n % 30 + 8], w).sum() for n in lengths]
pc.eval(results[0])
for each in results:
    pc.async_eval(each)
"""
    for _ in range(5):
        run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stderr
