"""plait beside PyTorch and JAX on one GPU: `python -m benchmarks.gpu [--rounds N] [--out PATH] [names ...]`.

All frameworks live in this process and take turns, round by round: a turn is a call that warms the caches again, and
calls one after the other for some milliseconds, as loops of programs make them. The table gives medians of the turns'
means, the best peer's time over plait's (over 1: plait is faster) and the time of a copy on the device of as many
bytes, which takes its turn too, over plait's. A call ends when the device is done. float32 is float32 on every side,
not TF32.
"""

from __future__ import annotations

import argparse
import importlib
import itertools
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.frameworks import FAMILIES
from benchmarks.gpu_rows import Row, attention_rows, core_rows
from benchmarks.sides import side_named
from benchmarks.worker import call_of as workload_call
from benchmarks.worker import inputs_of
from benchmarks.workload import Workload
from benchmarks.workloads import training

os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # the memory is for all

Call = Callable[[], Any]
WARM_CALLS = 5
TIER_SECONDS = 3.0
TURN_SECONDS = 0.02


@dataclass
class Side:
    """A framework: its module, how an array is made, how a function is compiled, how its end is awaited."""

    name: str
    xp: Any
    array: Callable[[Any, str], Any]
    compile: Callable[[Callable[..., Any]], Callable[..., Any]]
    wait: Callable[[Any], Any]


def chain(xp: Any, x: Any) -> Any:
    y = x * 1.5 + 0.25
    y = xp.maximum(abs(y - x), x * 0.5)
    return y * y - x


def chain_torch(xp: Any, x: Any) -> Any:
    y = x * 1.5 + 0.25
    y = xp.maximum((y - x).abs(), x * 0.5)
    return y * y - x


def softmax(xp: Any, x: Any) -> Any:
    e = xp.exp(x - xp.max(x, axis=-1, keepdims=True))
    return e / xp.sum(e, axis=-1, keepdims=True)


def layer_norm(xp: Any, x: Any, w: Any, b: Any) -> Any:
    mean = xp.mean(x, axis=-1, keepdims=True)
    return (x - mean) * (1.0 / xp.sqrt(xp.var(x, axis=-1, keepdims=True) + 1e-5)) * w + b


def rms_norm(xp: Any, x: Any, w: Any) -> Any:
    return x * (1.0 / xp.sqrt(xp.mean(x * x, axis=-1, keepdims=True) + 1e-5)) * w


def log_sum_exp(xp: Any, x: Any) -> Any:
    m = xp.max(x, axis=-1, keepdims=True)
    return xp.log(xp.sum(xp.exp(x - m), axis=-1, keepdims=True)) + m


def tiny_adds(xp: Any, x: Any) -> Any:
    for _ in range(1000):
        x = x + 1.0
    return x


def packed_product(count: int, n: int, k: int, bits: int, mode: str = "affine") -> Row:
    """Rows of x times a packed matrix; the peers multiply it in bfloat16. A copy moves as many bytes as are packed."""
    form = {"mode": mode, "bits": bits}
    extra = 4 / 64 if mode == "affine" else 1 / 16 if mode == "nvfp4" else 1 / 32  # bytes of scales (and biases)

    def prepared(xp: Any, x: Any, w: Any) -> Callable[[], Any]:
        packed = xp.quantize(w, **form)
        xp.eval(*packed)
        return lambda: xp.quantized_matmul(x, *packed, **form)

    return Row(
        f"{count} of {k} x {n}, packed {mode} {bits} bits",
        [(count, k), (n, k)],
        "bfloat16",
        lambda xp, x, w: x @ w.T,
        int(n * k * (bits / 8 + extra)),
        prepared=prepared,
    )


def rows() -> Iterator[Row]:
    for dtype, width in (("float32", 4), ("bfloat16", 2)):
        n, shape = 1 << 28, (16384, 4096)
        size = shape[0] * shape[1] * width
        yield Row(f"chain, 256M {dtype}", [(n,)], dtype, chain, 2 * n * width, chain_torch)
        yield Row(f"softmax, {dtype}", [shape], dtype, softmax, 2 * size, lambda xp, x: xp.softmax(x, -1))
        yield Row(
            f"layer norm, {dtype}",
            [shape, (4096,), (4096,)],
            dtype,
            layer_norm,
            2 * size,
            lambda xp, x, w, b: xp.nn.functional.layer_norm(x, (4096,), w, b),
        )
        yield Row(
            f"rms norm, {dtype}",
            [shape, (4096,)],
            dtype,
            rms_norm,
            2 * size,
            lambda xp, x, w: xp.nn.functional.rms_norm(x, (4096,), w, 1e-5),
        )
        yield Row(f"logsumexp, {dtype}", [shape], dtype, log_sum_exp, size, lambda xp, x: xp.logsumexp(x, -1))
    yield Row("matmul 8192, bfloat16", [(8192, 8192)] * 2, "bfloat16", lambda xp, a, b: a @ b)
    yield Row("matmul 4096, float32", [(4096, 4096)] * 2, "float32", lambda xp, a, b: a @ b)
    for n, k in ((4096, 4096), (28672, 8192)):
        for count in (1, 16, 512):
            yield packed_product(count, n, k, 4)
        yield packed_product(1, n, k, 8)
        yield packed_product(1, n, k, 4, "mxfp4")
        yield packed_product(1, n, k, 4, "nvfp4")
    yield Row("1000 tiny adds", [(16,)], "float32", tiny_adds)


def plait_side() -> Side:
    pc = importlib.import_module("plait.core")
    pc.set_default_device(pc.gpu)
    return Side(
        "plait",
        pc,
        lambda value, dtype: pc.array(value).astype(getattr(pc, dtype)),
        lambda function: function,
        lambda result: pc.eval(result),
    )


def torch_side(compiled: bool) -> Side:
    torch = importlib.import_module("torch")
    torch.set_grad_enabled(False)
    torch.backends.cudnn.allow_tf32 = False
    return Side(
        "torch compiled" if compiled else "torch",
        torch,
        lambda value, dtype: torch.from_numpy(value).cuda().to(getattr(torch, dtype)),
        torch.compile if compiled else lambda function: function,
        lambda _: torch.cuda.synchronize(),
    )


def jax_side() -> Side:
    jax = importlib.import_module("jax")
    jnp = importlib.import_module("jax.numpy")
    jax.config.update("jax_default_matmul_precision", "highest")
    return Side("jax", jnp, lambda value, dtype: jnp.asarray(value, dtype), jax.jit, jax.block_until_ready)


def call_of(side: Side, row: Row, values: list[Any]) -> Call:
    arrays = [side.array(value, row.dtype if value.dtype.kind == "f" else value.dtype.name) for value in values]
    body = row.body(side.name)
    function = side.compile(lambda *arrays: body(side.xp, *arrays))
    if side.name == "plait":
        side.wait(arrays)
        if row.prepared:
            step = row.prepared(side.xp, *arrays)
            return lambda: side.wait(step())
    return lambda: side.wait(function(*arrays))


def finished(step: Call, wait: Call) -> Call:
    """The step, and waiting for the device."""

    def call() -> None:
        step()
        wait()

    return call


def training_calls(workload: Workload) -> dict[str, Call]:
    """A step of training for each side, as the workload of the CPU has it."""
    torch = importlib.import_module("torch")
    calls: dict[str, Call] = {}
    for name in ("plait", "torch", "torch compiled", "jax"):
        side = side_named(name)
        framework = FAMILIES[side.family](side, 2, workload)
        if side.family == "mx":
            framework.xp.set_default_device(framework.xp.gpu)
        body = workload.body(side.family)
        with torch.device("cuda"):
            inputs = inputs_of(framework, workload, body, False)[0]
            step = workload_call(framework, workload, body, inputs)
        calls[name] = finished(step, torch.cuda.synchronize) if side.peer == "torch" else step
    return calls


def turn(call: Call) -> float:
    """Mean seconds of calls one after the other, behind one that is not counted."""
    call()
    count, start = 0, time.perf_counter()
    while (took := time.perf_counter() - start) < TURN_SECONDS or count == 0:
        call()
        count += 1
    return took / count


def timed(call: Call) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def measure(sides: list[Side], row: Row, rounds: int) -> dict[str, list[float]]:
    """Seconds of each call, by side. A side that fails is left out, and says why."""
    rng = np.random.default_rng(0)
    values = [one if isinstance(one, np.ndarray) else rng.standard_normal(one, np.float32) for one in row.inputs]
    calls: dict[str, Call] = {}
    for side in sides:
        if side.name == "torch compiled" and not row.compiles:
            continue
        if row.function is tiny_adds and side.name in ("jax", "torch compiled"):
            continue  # one fused kernel: another question
        try:
            calls[side.name] = call_of(side, row, values)
            for _ in range(WARM_CALLS):
                calls[side.name]()
        except Exception as error:
            print(f"{row.name}: {side.name}: {error}", file=sys.stderr)
            calls.pop(side.name, None)
    if row.traffic:
        calls["copy"] = copy_call(row.traffic)
    return steady(calls, rounds)


def steady(calls: dict[str, Call], rounds: int) -> dict[str, list[float]]:
    """Seconds of each call, once code of tier 1 is there: it is made in the background, in less than a second."""
    deadline = time.perf_counter() + TIER_SECONDS
    while "plait" in calls and time.perf_counter() < deadline:
        calls["plait"]()
    took: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            took[name].append(turn(call))
    return took


def copy_call(traffic: int) -> Call:
    """A copy on the device that reads and writes `traffic` bytes in all."""
    torch = importlib.import_module("torch")
    source = torch.zeros(traffic // 2, dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    return finished(lambda: target.copy_(source), torch.cuda.synchronize)


def all_rows(sides: list[Side], names: list[str], rounds: int) -> Iterator[tuple[str, dict[str, list[float]]]]:
    """Name and the seconds of all sides and of the copy, row by row."""

    def wanted(name: str) -> bool:
        return not names or any(part in name for part in names)

    for row in itertools.chain(rows(), core_rows(), attention_rows()):
        if wanted(row.name):
            yield row.name, measure(sides, row, rounds)
    for name, workload in (("MLP training step", training.mlp), ("CNN training step", training.cnn)):
        if wanted(name):
            calls = training_calls(workload)
            for call in calls.values():
                for _ in range(WARM_CALLS):
                    call()
            yield name, steady(calls, rounds)


def overlap(rounds: int) -> str:
    """Work of the CPU and work of the GPU, each alone and both in one graph."""
    pc = importlib.import_module("plait.core")
    x = pc.random.normal((4096, 4096)) * 0.01
    small = pc.multiply(pc.random.normal((1024, 1024), stream=pc.cpu), 0.01, stream=pc.cpu)
    pc.eval(x, small)

    def products(of: Any, count: int, stream: Any) -> Any:
        for _ in range(count):
            of = pc.matmul(of, of, stream=stream)
        return of

    def on_gpu() -> Any:
        return products(x, 12, pc.gpu)

    def on_cpu() -> Any:
        return products(small, 6, pc.cpu)

    calls = {
        "the GPU's": lambda: pc.eval(on_gpu()),
        "the CPU's": lambda: pc.eval(on_cpu()),
        "both": lambda: pc.eval(on_cpu(), on_gpu()),
    }
    for call in calls.values():
        call()
    took: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            took[name].append(timed(call))
    parts = ", ".join(f"{name} {statistics.median(seconds) * 1e3:.1f} ms" for name, seconds in took.items())
    return f"One graph with products for the GPU and for the CPU: {parts}.\n"


def first_results() -> str:
    """In a process of its own, with nothing made before."""
    with tempfile.TemporaryDirectory() as directory:
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.gpu_first_results"],
            env={**os.environ, "PLAIT_CACHE_DIR": directory},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
    return done.stdout


def table(names: list[str], rounds: int) -> str:
    before = first_results() if not names or "first results" in names else ""
    sides = [plait_side(), torch_side(False), torch_side(True), jax_side()]
    columns = [*(side.name for side in sides), "copy"]
    text = "| | " + " | ".join([*columns, "best peer / plait", "copy / plait"]) + " |\n"
    text += "| --- |" + " --- |" * (len(columns) + 2) + "\n"
    for name, took in all_rows(sides, names, rounds):
        medians = {name: statistics.median(all_of) for name, all_of in took.items() if all_of}
        peers = [seconds for side, seconds in medians.items() if side not in ("plait", "copy")]
        cells = [f"{medians[column] * 1e3:.3f} ms" if column in medians else "" for column in columns]
        ratio = f"{min(peers) / medians['plait']:.2f}" if peers and "plait" in medians else ""
        share = f"{medians['copy'] / medians['plait']:.0%}" if "copy" in medians and "plait" in medians else ""
        line = "| " + " | ".join([name, *cells, ratio, share]) + " |\n"
        print(line, end="", file=sys.stderr, flush=True)
        text += line
    if not names or "overlap" in names:
        text += "\n" + overlap(rounds)
    return text + ("\n" + before if before else "")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="parts of the names of rows, overlap, first results; all without")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--out", type=Path, help="also write the table here")
    options = parser.parse_args()
    text = table(options.names, options.rounds)
    print(text)
    if options.out:
        options.out.write_text(text)


if __name__ == "__main__":
    main()
