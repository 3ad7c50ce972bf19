"""Rows of `benchmarks.gpu` that are single operations of the core."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass
class Row:
    """What is measured: a function of arrays for every side; bytes that have to move."""

    name: str
    inputs: list[tuple[int, ...] | np.ndarray]  # shapes of random numbers, or arrays
    dtype: str
    function: Callable[..., Any]
    traffic: int = 0
    torch: Callable[..., Any] | None = None  # PyTorch's own spelling
    jax: Callable[..., Any] | None = None  # JAX's
    prepared: Callable[..., Callable[[], Any]] | None = None  # plait's own, after what is done once
    compiles: bool = True  # whether torch.compile is asked too

    def body(self, side: str) -> Callable[..., Any]:
        own = self.torch if side.startswith("torch") else self.jax if side == "jax" else None
        return own or self.function


def lax() -> Any:
    return importlib.import_module("jax.lax")


def jax_random() -> Any:
    return importlib.import_module("jax.random")


def conv_of_torch(xp: Any, x: Any, w: Any) -> Any:
    return xp.nn.functional.conv2d(x.permute(0, 3, 1, 2), w.permute(0, 3, 1, 2), padding=1).permute(0, 2, 3, 1)


def conv_of_jax(xp: Any, x: Any, w: Any) -> Any:
    return lax().conv_general_dilated(x, w, (1, 1), ((1, 1), (1, 1)), dimension_numbers=("NHWC", "OHWI", "NHWC"))


def core_rows() -> Iterator[Row]:
    """Reductions, order, moves, random numbers, transforms, factorisations."""

    def row(name: str, inputs: list[Any], function: Callable[..., Any], *, dtype: str = "float32", **more: Any) -> Row:
        return Row(f"core: {name}", inputs, dtype, function, compiles=False, **more)

    wide, table = (16384, 8192), (50_000, 1024)
    at = np.random.default_rng(1).integers(0, table[0], 65_536).astype(np.int32)
    for axis, name in ((-1, "last"), (0, "first")):
        yield row(
            f"sum over the {name} axis, 16384x8192 bfloat16",
            [wide],
            lambda xp, x, axis=axis: xp.sum(x, axis),
            dtype="bfloat16",
            traffic=2 * wide[0] * wide[1],
        )
    yield row("argmax, 128x131072", [(128, 131_072)], lambda xp, x: xp.argmax(x, -1), traffic=128 * 131_072 * 4)
    yield row(
        "topk 40, 128x131072",
        [(128, 131_072)],
        lambda xp, x: xp.topk(x, 40, axis=-1),
        traffic=128 * 131_072 * 4,
        torch=lambda xp, x: xp.topk(x, 40)[0],
        jax=lambda xp, x: lax().top_k(x, 40)[0],
    )
    yield row("cumsum, 64M", [(1 << 26,)], lambda xp, x: xp.cumsum(x, 0), traffic=8 << 26)
    yield row("cumsum of rows, 8192x8192", [(8192, 8192)], lambda xp, x: xp.cumsum(x, -1), traffic=8 << 26)
    yield row("sort, 16M", [(1 << 24,)], lambda xp, x: xp.sort(x), torch=lambda xp, x: xp.sort(x)[0])
    yield row("sort of rows, 4096x4096", [(4096, 4096)], lambda xp, x: xp.sort(x), torch=lambda xp, x: xp.sort(x)[0])
    yield row(
        "gather of 65,536 rows of 1,024", [table, at], lambda xp, x, at: x[at], traffic=2 * at.size * table[1] * 4
    )
    yield row(
        "scatter-add of 65,536 rows of 1,024",
        [(at.size, table[1]), at],
        lambda xp, x, at: xp.zeros(table).at[at].add(x),
        traffic=4 * table[1] * (at.size + table[0]),
        torch=lambda xp, x, at: xp.zeros(table, device="cuda").index_add_(0, at, x),
    )
    yield row(
        "transposed copy, 8192x8192",
        [(8192, 8192)],
        lambda xp, x: xp.contiguous(x.T),
        traffic=8 << 26,
        torch=lambda xp, x: x.T.contiguous(),
        jax=lambda xp, x: xp.copy(x.T),
    )
    yield row(
        "concatenation, two of 8192x4096",
        [(8192, 4096)] * 2,
        lambda xp, a, b: xp.concatenate([a, b], axis=1),
        traffic=8 << 26,
        torch=lambda xp, a, b: xp.cat([a, b], 1),
    )
    yield row(
        "normal numbers, 64M",
        [np.array([7, 9], np.uint32)],
        lambda xp, key: xp.random.normal((1 << 26,), key=key),
        traffic=4 << 26,
        torch=lambda xp, _: xp.randn(1 << 26, device="cuda"),
        jax=lambda xp, key: jax_random().normal(key, (1 << 26,)),
    )
    yield row("real FFT, 4096x4096", [(4096, 4096)], lambda xp, x: xp.fft.rfft(x), traffic=2 * 4096 * 4096 * 4)
    yield row(
        "convolution 3x3, 32x56x56x64 bfloat16",
        [(32, 56, 56, 64), (64, 3, 3, 64)],
        lambda xp, x, w: xp.conv2d(x, w, padding=1),
        dtype="bfloat16",
        torch=conv_of_torch,
        jax=conv_of_jax,
    )
    yield row(
        "matvec, 8192x8192 bfloat16",
        [(1, 8192), (8192, 8192)],
        lambda xp, x, w: x @ w,
        dtype="bfloat16",
        traffic=2 << 26,
    )
    square = [(2048, 2048)]
    yield row("QR, 2048x2048", square, lambda xp, x: xp.linalg.qr(x))
    yield row("inverse, 2048x2048", square, lambda xp, x: xp.linalg.inv(x))
    yield row("singular values and vectors, 512x512", [(512, 512)], lambda xp, x: xp.linalg.svd(x))
    yield row("eigenvalues and vectors, 1024x1024", [(1024, 1024)], lambda xp, x: xp.linalg.eigh(x + x.T))


def attention_rows() -> Iterator[Row]:
    """Attention of bfloat16 operands (batch, length, heads, width), as models have them and JAX takes them."""

    def row(title: str, batch: int, heads: int, shared: int, queries: int, keys: int, width: int, kind: str) -> Row:
        causal, backward = "causal" in kind, "backward" in kind
        scale = width**-0.5

        def plait(xp: Any, *operands: Any) -> Any:
            mask = "causal" if causal else None

            def f(*qkv: Any) -> Any:
                q, k, v = (xp.swapaxes(x, 1, 2) for x in qkv)
                return xp.swapaxes(xp.fast.scaled_dot_product_attention(q, k, v, scale=scale, mask=mask), 1, 2)

            return xp.vjp(f, list(operands[:3]), [operands[3]])[1] if backward else f(*operands)

        def torch(xp: Any, *operands: Any) -> Any:
            def f(*qkv: Any) -> Any:
                q, k, v = (x.transpose(1, 2) for x in qkv)
                attend = xp.nn.functional.scaled_dot_product_attention
                return attend(q, k, v, is_causal=causal, enable_gqa=heads != shared).transpose(1, 2)

            if not backward:
                return f(*operands)
            with xp.enable_grad():
                leaves = [x.detach().requires_grad_() for x in operands[:3]]
                return xp.autograd.grad(f(*leaves), leaves, operands[3])

        def jax(_: Any, *operands: Any) -> Any:
            package = importlib.import_module("jax")

            def f(*qkv: Any) -> Any:
                return package.nn.dot_product_attention(*qkv, is_causal=causal, implementation="cudnn")

            return package.vjp(f, *operands[:3])[1](operands[3]) if backward else f(*operands)

        shapes = [(batch, queries, heads, width), (batch, keys, shared, width), (batch, keys, shared, width)]
        inputs: list[Any] = [*shapes, shapes[0]] if backward else shapes
        heads_text = f"{heads} heads" if heads == shared else f"{heads} heads on {shared}"
        name = f"attention{title}, {batch} x {heads_text} of {width}, {queries} x {keys}{kind}"
        return Row(name, inputs, "bfloat16", plait, torch=torch, jax=jax, compiles=False)

    for kind in ("", ", causal", ", with backward", ", causal, with backward"):
        yield row("", 4, 16, 16, 2048, 2048, 64, kind)
        yield row("", 2, 32, 8, 4096, 4096, 128, kind)
    yield row(", decoding", 1, 32, 8, 1, 8192, 128, "")
    yield row(", decoding", 32, 32, 8, 1, 4096, 128, "")
