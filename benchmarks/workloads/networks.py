"""Convolution, attention and gradients of single examples."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.workload import Arrays, Cost, Workload, declare, not_offered
from benchmarks.workloads.fused import F32

# Convolutions: channels last, filters (out, width..., in); PyTorch gets its own order of both.


def convolution(name: str, title: str, size: tuple[int, ...], quick: tuple[int, ...], **fields: Any) -> Workload:
    """size: batch, extents..., channels, channels per group."""

    def inputs(rng: np.random.Generator, batch: int, *rest: int) -> Arrays:
        *extents, channels, each = rest
        filters = (channels, *[3] * len(extents), each)
        return [rng.standard_normal((batch, *extents, channels), F32), rng.standard_normal(filters, F32)]

    def cost(batch: int, *rest: int) -> Cost:
        *extents, channels, each = rest
        values = batch * int(np.prod(extents)) * channels
        return Cost(read=4 * values, write=4 * values, flops=2 * values * each * 3 ** len(extents))

    made = declare(name, title, size=size, quick=quick, inputs=inputs, cost=cost, **fields)
    axes = len(size) - 3

    @made.on("mx")
    def _(xp: Any, x: Any, filters: Any) -> Any:
        operation = xp.conv1d if axes == 1 else xp.conv2d
        return operation(x, filters, padding=1, groups=x.shape[-1] // filters.shape[-1])

    def channels_first(x: Any, filters: Any) -> Arrays:
        return [np.ascontiguousarray(np.moveaxis(value, -1, 1)) for value in (x, filters)]

    @made.on("torch", prepare=channels_first)
    def _(xp: Any, x: Any, filters: Any) -> Any:
        operation = xp.nn.functional.conv1d if axes == 1 else xp.nn.functional.conv2d
        return operation(x, filters, padding=1, groups=x.shape[1] // filters.shape[1]).movedim(1, -1)

    @made.on("jax", prepare=lambda x, filters: [x, np.ascontiguousarray(np.moveaxis(filters, 0, -1))])
    def _(xp: Any, x: Any, filters: Any) -> Any:
        import jax

        order = ("NWC", "WIO", "NWC") if axes == 1 else ("NHWC", "HWIO", "NHWC")
        groups = x.shape[-1] // filters.shape[-2]
        return jax.lax.conv_general_dilated(
            x, filters, (1,) * axes, "SAME", dimension_numbers=order, feature_group_count=groups
        )

    not_offered(made, "numpy", why="NumPy has no convolution of this kind")
    return made


convolution("conv2d", "3x3 convolution, 8x56x56x64 to 64", (8, 56, 56, 64, 64), (1, 8, 8, 4, 4))
convolution("conv2d_depthwise", "3x3 depthwise convolution, 8x56x56x64", (8, 56, 56, 64, 1), (1, 8, 8, 4, 1))
convolution("conv1d", "convolution of width 3, 8x4096x64 to 64", (8, 4096, 64, 64), (1, 32, 4, 4))

# Attention: (batch, heads, length, width); JAX wants the heads after the length.


def attention(name: str, title: str, size: tuple[int, ...], quick: tuple[int, ...]) -> Workload:
    """size: heads, queries, keys, width."""

    def inputs(rng: np.random.Generator, heads: int, queries: int, keys: int, width: int) -> Arrays:
        return [rng.standard_normal((1, heads, length, width), F32) for length in (queries, keys, keys)]

    def cost(heads: int, queries: int, keys: int, width: int) -> Cost:
        return Cost(read=4 * heads * (queries + 2 * keys) * width, flops=4 * heads * queries * keys * width)

    made = declare(name, title, size=size, quick=quick, inputs=inputs, cost=cost)

    @made.on("mx")
    def _(xp: Any, q: Any, k: Any, v: Any) -> Any:
        return xp.fast.scaled_dot_product_attention(q, k, v, scale=q.shape[-1] ** -0.5)

    @made.on("torch")
    def _(xp: Any, q: Any, k: Any, v: Any) -> Any:
        return xp.nn.functional.scaled_dot_product_attention(q, k, v)

    @made.on("numpy")
    def _(xp: Any, q: Any, k: Any, v: Any) -> Any:
        scores = (q * F32(q.shape[-1] ** -0.5)) @ k.swapaxes(-1, -2)
        e = xp.exp(scores - xp.max(scores, axis=-1, keepdims=True))
        return (e / xp.sum(e, axis=-1, keepdims=True)) @ v

    @made.on("jax", prepare=lambda *arrays: [np.ascontiguousarray(value.swapaxes(1, 2)) for value in arrays])
    def _(xp: Any, q: Any, k: Any, v: Any) -> Any:
        import jax

        return xp.swapaxes(jax.nn.dot_product_attention(q, k, v), 1, 2)

    return made


attention("attention", "attention, 8 heads of 64, 1,024 queries on 1,024 keys", (8, 1024, 1024, 64), (2, 16, 16, 8))
attention("attention_decode", "attention, 8 heads of 64, one query on 4,096 keys", (8, 1, 4096, 64), (2, 1, 64, 8))

# Gradients of each example's loss by vmap of the gradient.

per_example = declare(
    "per_example_gradients",
    "gradients of each of 64 examples, MLP 784-1024-1024-10: examples/s",
    size=(64, 784, 1024),
    quick=(4, 16, 16),
    inputs=lambda rng, batch, inputs, hidden: [
        rng.standard_normal((batch, inputs), F32),
        rng.integers(0, 10, batch).astype(np.int32),
        *(
            rng.standard_normal(shape, F32) / F32(np.sqrt(shape[0]))
            for shape in ((inputs, hidden), (hidden, hidden), (hidden, 10))
        ),
    ],
    items=64,
    rate="examples",
    tolerance=1e-3,
)
not_offered(per_example, "numpy", why="NumPy has no gradients")


@per_example.builds("mx")
def _(side: Any, x: Any, labels: Any, *weights: Any) -> Callable[[], Any]:
    mx = side.xp

    def loss(weights: Any, x: Any, label: Any) -> Any:
        w1, w2, w3 = weights
        logits = mx.maximum(mx.maximum(x @ w1, 0) @ w2, 0) @ w3
        return mx.logsumexp(logits) - mx.take(logits, label)

    gradients = mx.vmap(mx.grad(loss), in_axes=(None, 0, 0))
    return lambda: side.wait(gradients(list(weights), x, labels))


@per_example.builds("torch")
def _(side: Any, x: Any, labels: Any, *weights: Any) -> Callable[[], Any]:
    torch = side.xp
    relu = torch.relu
    labels = labels.long()

    def loss(weights: Any, x: Any, label: Any) -> Any:
        w1, w2, w3 = weights
        return torch.nn.functional.cross_entropy(relu(relu(x @ w1) @ w2) @ w3, label)

    gradients = side.compile(torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0, 0)))
    return lambda: gradients(weights, x, labels)


@per_example.builds("jax")
def _(side: Any, x: Any, labels: Any, *weights: Any) -> Callable[[], Any]:
    jax = side.jax
    relu = jax.nn.relu

    def loss(weights: Any, x: Any, label: Any) -> Any:
        w1, w2, w3 = weights
        return -jax.nn.log_softmax(relu(relu(x @ w1) @ w2) @ w3)[label]

    gradients = side.compile(jax.vmap(jax.grad(loss), in_axes=(None, 0, 0)))
    return lambda: side.wait(gradients(weights, x, labels))
