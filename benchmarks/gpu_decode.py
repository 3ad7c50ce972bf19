"""The decode loop of a small language model on one GPU: `python -m benchmarks.gpu_decode [--rounds N] [side ...]`.

One token at a time, the likeliest fed back on the device; all frameworks live in this process and take turns.
16 layers, width 2048, 16 heads of 128 on 8 of keys and values, feed-forward 5632, 32,000 tokens, bfloat16, batch 1, a
cache of 1,024 positions. Each is written with a cache of fixed extents and a mask, as one that compiles for extents
needs it.
"""

from __future__ import annotations

import argparse
import importlib
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # the memory is for all

LAYERS, WIDTH, HEADS, SHARED, HEAD = 16, 2048, 16, 8, 128
HIDDEN, WORDS, CACHE, TOKENS = 5632, 32000, 1024, 128
DEVICE = "cuda"
BASE, EPS = 10000.0, 1e-5
SHAPES = {
    "q": (HEADS * HEAD, WIDTH),
    "k": (SHARED * HEAD, WIDTH),
    "v": (SHARED * HEAD, WIDTH),
    "o": (WIDTH, HEADS * HEAD),
    "gate": (HIDDEN, WIDTH),
    "up": (HIDDEN, WIDTH),
    "down": (WIDTH, HIDDEN),
}

Call = Callable[[], Any]
Weights = dict[str, Any]


def weights(array: Callable[[Any], Any]) -> tuple[list[Weights], Any, Any]:
    """Layers, embedding and the matrix of words; the same for each framework."""
    rng = np.random.default_rng(0)

    def matrix(rows: int, columns: int) -> Any:
        return array(rng.standard_normal((rows, columns), np.float32) * np.float32(columns**-0.5))

    layers = [{name: matrix(*shape) for name, shape in SHAPES.items()} for _ in range(LAYERS)]
    ones = np.ones(WIDTH, np.float32)
    for layer in layers:
        layer["before"], layer["between"] = array(ones), array(ones)
    return layers, matrix(WORDS, WIDTH), matrix(WORDS, WIDTH)


def plait(compiled: bool) -> Call:
    pc, nn = importlib.import_module("plait.core"), importlib.import_module("plait.nn")
    layers, embedding, words = weights(lambda value: pc.array(value).astype(pc.bfloat16))
    last = pc.ones((WIDTH,), pc.bfloat16)
    pc.eval(layers, embedding, words, last)

    def step(token: Any, at: Any, cache: Any) -> Any:
        x = embedding[token]
        mask = pc.arange(CACHE) <= at
        kept = []
        for w, (keys, values) in zip(layers, cache, strict=True):
            h = pc.fast.rms_norm(x, w["before"], EPS)
            q, k, v = ((h @ w[name].T).reshape(1, 1, -1, HEAD).swapaxes(1, 2) for name in "qkv")
            q, k = (pc.fast.rope(z, HEAD, traditional=False, base=BASE, scale=1.0, offset=at) for z in (q, k))
            keys, values = (pc.slice_update(old, new, at, axes=(2,)) for old, new in ((keys, k), (values, v)))
            kept.append((keys, values))
            h = pc.fast.scaled_dot_product_attention(q, keys, values, scale=HEAD**-0.5, mask=mask)
            x = x + h.swapaxes(1, 2).reshape(1, -1) @ w["o"].T
            h = pc.fast.rms_norm(x, w["between"], EPS)
            x = x + (nn.silu(h @ w["gate"].T) * (h @ w["up"].T)) @ w["down"].T
        return pc.argmax(pc.fast.rms_norm(x, last, EPS) @ words.T, axis=-1), at + 1, kept

    function = pc.compile(step) if compiled else step

    def loop() -> list[int]:
        shape = (1, SHARED, CACHE, HEAD)
        cache = [(pc.zeros(shape, pc.bfloat16), pc.zeros(shape, pc.bfloat16)) for _ in layers]
        token, at, tokens = pc.array([1]), pc.array([0]), []
        for _ in range(TOKENS):
            token, at, cache = function(token, at, cache)
            pc.async_eval(token, at, cache)
            tokens.append(token)
        return [each.item() for each in tokens]

    return loop


def torch(compiled: bool) -> Call:
    torch = importlib.import_module("torch")
    functional = torch.nn.functional
    torch.set_grad_enabled(False)
    layers, embedding, words = weights(lambda value: torch.from_numpy(value).to(DEVICE).bfloat16())
    last = torch.ones(WIDTH, device=DEVICE, dtype=torch.bfloat16)
    frequencies = BASE ** -(torch.arange(0, HEAD, 2, device=DEVICE, dtype=torch.float32) / HEAD)
    positions = torch.arange(CACHE, device=DEVICE)

    def rotated(x: Any, cos: Any, sin: Any) -> Any:
        a, b = x.float().chunk(2, -1)
        return torch.cat([a * cos - b * sin, b * cos + a * sin], -1).to(x.dtype)

    def step(token: Any, at: Any, cache: Any) -> Any:
        x = embedding[token]
        mask = (positions <= at)[None]
        angles = at * frequencies
        cos, sin = angles.cos(), angles.sin()
        for w, (keys, values) in zip(layers, cache, strict=True):
            h = functional.rms_norm(x, (WIDTH,), w["before"], EPS)
            q, k, v = ((h @ w[name].T).view(1, 1, -1, HEAD).transpose(1, 2) for name in "qkv")
            q, k = rotated(q, cos, sin), rotated(k, cos, sin)
            keys.index_copy_(2, at, k)
            values.index_copy_(2, at, v)
            h = functional.scaled_dot_product_attention(q, keys, values, mask, enable_gqa=True)
            x = x + h.transpose(1, 2).reshape(1, -1) @ w["o"].T
            h = functional.rms_norm(x, (WIDTH,), w["between"], EPS)
            x = x + (functional.silu(h @ w["gate"].T) * (h @ w["up"].T)) @ w["down"].T
        return (functional.rms_norm(x, (WIDTH,), last, EPS) @ words.T).argmax(-1)

    function = torch.compile(step, mode="reduce-overhead") if compiled else step
    shape = (1, SHARED, CACHE, HEAD)
    cache = [[torch.zeros(shape, device=DEVICE, dtype=torch.bfloat16) for _ in "kv"] for _ in layers]

    def loop() -> list[int]:
        for pair in cache:
            for each in pair:
                each.zero_()
        token, at = torch.tensor([1], device=DEVICE), torch.tensor([0], device=DEVICE)
        tokens = []
        for _ in range(TOKENS):
            token = function(token, at, cache).clone()
            at += 1
            tokens.append(token)
        return torch.cat(tokens).tolist()

    return loop


def jax() -> Call:
    jax, jnp = importlib.import_module("jax"), importlib.import_module("jax.numpy")
    layers, embedding, words = weights(lambda value: jnp.asarray(value, jnp.bfloat16))
    last = jnp.ones(WIDTH, jnp.bfloat16)
    frequencies = BASE ** -(jnp.arange(0, HEAD, 2, dtype=jnp.float32) / HEAD)

    def norm(x: Any, w: Any) -> Any:
        wide = x.astype(jnp.float32)
        return (wide * jax.lax.rsqrt(jnp.mean(wide * wide, -1, keepdims=True) + EPS)).astype(x.dtype) * w

    def rotated(x: Any, cos: Any, sin: Any) -> Any:
        a, b = jnp.split(x.astype(jnp.float32), 2, -1)
        return jnp.concatenate([a * cos - b * sin, b * cos + a * sin], -1).astype(x.dtype)

    def step(parameters: Any, token: Any, at: Any, cache: Any) -> Any:
        layers, embedding, words, last = parameters
        x = embedding[token]
        mask = (jnp.arange(CACHE) <= at)[None, None, None]
        cos, sin = jnp.cos(at * frequencies), jnp.sin(at * frequencies)
        kept = []
        for w, (keys, values) in zip(layers, cache, strict=True):
            h = norm(x, w["before"])
            q, k, v = ((h @ w[name].T).reshape(1, 1, -1, HEAD) for name in "qkv")
            q, k = rotated(q, cos, sin), rotated(k, cos, sin)
            keys = jax.lax.dynamic_update_slice(keys, k, (0, at, 0, 0))
            values = jax.lax.dynamic_update_slice(values, v, (0, at, 0, 0))
            kept.append((keys, values))
            h = jax.nn.dot_product_attention(q, keys, values, mask=mask)
            x = x + h.reshape(1, -1) @ w["o"].T
            h = norm(x, w["between"])
            x = x + (jax.nn.silu(h @ w["gate"].T) * (h @ w["up"].T)) @ w["down"].T
        return jnp.argmax(norm(x, last) @ words.T, -1), at + 1, kept

    function = jax.jit(step, donate_argnums=3)
    parameters = (layers, embedding, words, last)

    def loop() -> list[int]:
        shape = (1, CACHE, SHARED, HEAD)
        cache = [(jnp.zeros(shape, jnp.bfloat16), jnp.zeros(shape, jnp.bfloat16)) for _ in layers]
        token, at, tokens = jnp.array([1]), jnp.array(0), []
        for _ in range(TOKENS):
            token, at, cache = function(parameters, token, at, cache)
            tokens.append(token)
        return [int(each[0]) for each in tokens]

    return loop


SIDES: dict[str, Callable[[], Call]] = {
    "plait": lambda: plait(False),
    "plait, compiled": lambda: plait(True),
    "torch": lambda: torch(False),
    "torch compiled": lambda: torch(True),
    "jax": jax,
}


def report(names: list[str], rounds: int) -> str:
    """The table: tokens of a loop over its median seconds, and how many of the first tokens are the first side's."""
    loops: dict[str, Call] = {}
    tokens: dict[str, list[int]] = {}
    for name, made in SIDES.items():
        if names and name not in names:
            continue
        try:
            loops[name] = made()
            for _ in range(3):
                tokens[name] = loops[name]()
        except Exception as error:
            print(f"{name}: {error}", file=sys.stderr)
            loops.pop(name, None)
    took: dict[str, list[float]] = {name: [] for name in loops}
    for _ in range(rounds):
        for name, loop in loops.items():
            start = time.perf_counter()
            loop()
            took[name].append(time.perf_counter() - start)
    text = "| | tokens/s | spread | same first tokens |\n| --- | --- | --- | --- |\n"
    for name, seconds in took.items():
        median = statistics.median(seconds)
        spread = (max(seconds) - min(seconds)) / median
        pairs = zip(tokens[name], next(iter(tokens.values())), strict=True)
        same = next((k for k, (a, b) in enumerate(pairs) if a != b), TOKENS)
        text += f"| {name} | {TOKENS / median:.0f} | {spread:.0%} | {same} |\n"
    return text


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu_decode", description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help=f"of {', '.join(SIDES)}; all without")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--out", type=Path, help="also write the table here")
    options = parser.parse_args()
    importlib.import_module("plait.core").set_default_device(importlib.import_module("plait.core").gpu)
    text = report(options.names, options.rounds)
    print(text)
    if options.out:
        options.out.write_text(text)


if __name__ == "__main__":
    main()
