"""Training of a small decoder, and what its first step costs in a cold process: each written as users write it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.workload import Arrays, declare, not_offered
from benchmarks.workloads.fused import F32
from benchmarks.workloads.training import adam_step

LAYERS, HEADS = 4, 8
RATE, DECAY = 1e-3, 0.01


def tokens_and_weights(rng: np.random.Generator, batch: int, length: int, width: int, words: int) -> Arrays:
    """Tokens, the next tokens, then matrices (in, out): embedding, positions, four for each layer, output."""
    tokens = rng.integers(0, words, (batch, length + 1)).astype(np.int32)
    layer = ((width, 3 * width), (width, width), (width, 4 * width), (4 * width, width))
    shapes = [(words, width), (length, width), *layer * LAYERS, (width, words)]
    weights = [rng.standard_normal(shape, F32) * F32(0.02) for shape in shapes]
    return [np.ascontiguousarray(tokens[:, :-1]), np.ascontiguousarray(tokens[:, 1:]), *weights]


SIZES: dict[str, Any] = {
    "size": (8, 256, 256, 1000),
    "quick": (2, 8, 32, 50),
    "inputs": tokens_and_weights,
    "gradients": True,
}
training = declare(
    "transformer_training",
    "4 pre-norm decoder layers, width 256, 8 heads, length 256, batch 8, AdamW: samples/s",
    items=8,
    rate="samples",
    learns=True,
    tolerance=1e-3,
    **SIZES,
)
first_step = declare(
    "transformer_first_step", "its first step, compiled, in a cold process beyond a steady one", meter="first", **SIZES
)
for made in (training, first_step):
    not_offered(made, "numpy", why="NumPy has no gradients")


def mx_step(side: Any, tokens: Any, targets: Any, weights: Arrays, compiled: bool) -> Callable[[], Any]:
    mx, nn, optimizers = side.xp, side.module("nn"), side.module("optimizers")

    class Layer(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self, qkv: Any, out: Any, up: Any, down: Any) -> None:
            super().__init__()
            self.norm1, self.norm2 = nn.LayerNorm(out.shape[0]), nn.LayerNorm(out.shape[0])
            self.qkv, self.out, self.up, self.down = map(linear, (qkv, out, up, down))

        def __call__(self, x: Any) -> Any:
            batch, length, width = x.shape

            def heads(part: Any) -> Any:
                return mx.transpose(mx.reshape(part, (batch, length, HEADS, width // HEADS)), (0, 2, 1, 3))

            q, k, v = map(heads, mx.split(self.qkv(self.norm1(x)), 3, axis=-1))
            seen = mx.fast.scaled_dot_product_attention(q, k, v, scale=(width // HEADS) ** -0.5, mask="causal")
            x = x + self.out(mx.reshape(mx.transpose(seen, (0, 2, 1, 3)), (batch, length, width)))
            return x + self.down(nn.relu(self.up(self.norm2(x))))

    class Decoder(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self, embedding: Any, positions: Any, *rest: Any) -> None:
            super().__init__()
            self.embedding, self.positions = nn.Embedding(*embedding.shape), positions
            self.embedding.weight = embedding
            self.layers = [Layer(*rest[4 * i : 4 * i + 4]) for i in range(LAYERS)]
            self.norm, self.head = nn.LayerNorm(embedding.shape[1]), linear(rest[-1])

        def __call__(self, tokens: Any) -> Any:
            x = self.embedding(tokens) + self.positions
            for layer in self.layers:
                x = layer(x)
            return self.head(self.norm(x))

    def linear(weight: Any) -> Any:
        made = nn.Linear(*weight.shape, bias=False)
        made.weight = mx.contiguous(mx.transpose(weight))
        return made

    model = Decoder(*weights)
    optimizer = optimizers.AdamW(learning_rate=RATE, weight_decay=DECAY)

    def loss(model: Any, tokens: Any, targets: Any) -> Any:
        return nn.losses.cross_entropy(model(tokens), targets, reduction="mean")

    loss_and_grad = nn.value_and_grad(model, loss)

    def update(tokens: Any, targets: Any) -> Any:
        value, grads = loss_and_grad(model, tokens, targets)
        optimizer.update(model, grads)
        return value

    if compiled:
        optimizer.init(model.trainable_parameters())
        state = [model.state, optimizer.state]
        update = mx.compile(update, inputs=state, outputs=state)

    def step() -> Any:
        value = update(tokens, targets)
        mx.eval(model.parameters(), optimizer.state, value)
        return value

    return step


@training.builds("mx")
def _(side: Any, tokens: Any, targets: Any, *weights: Any) -> Callable[[], Any]:
    return mx_step(side, tokens, targets, list(weights), compiled=False)


@first_step.builds("mx")
def _(side: Any, tokens: Any, targets: Any, *weights: Any) -> Callable[[], Any]:
    return mx_step(side, tokens, targets, list(weights), compiled=True)


@training.builds("torch")
@first_step.builds("torch")
def _(side: Any, tokens: Any, targets: Any, *weights: Any) -> Callable[[], Any]:
    torch = side.xp
    nn, functional = torch.nn, torch.nn.functional

    class Layer(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self, qkv: Any, out: Any, up: Any, down: Any) -> None:
            super().__init__()
            self.norm1, self.norm2 = nn.LayerNorm(out.shape[0]), nn.LayerNorm(out.shape[0])
            self.qkv, self.out, self.up, self.down = map(linear, (qkv, out, up, down))

        def forward(self, x: Any) -> Any:
            batch, length, width = x.shape
            q, k, v = self.qkv(self.norm1(x)).view(batch, length, 3, HEADS, width // HEADS).permute(2, 0, 3, 1, 4)
            seen = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self.out(seen.transpose(1, 2).reshape(batch, length, width))
            return x + self.down(functional.relu(self.up(self.norm2(x))))

    class Decoder(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self, embedding: Any, positions: Any, *rest: Any) -> None:
            super().__init__()
            self.embedding = nn.Embedding.from_pretrained(embedding.clone(), freeze=False)
            self.positions = nn.Parameter(positions.clone())
            self.layers = nn.ModuleList(Layer(*rest[4 * i : 4 * i + 4]) for i in range(LAYERS))
            self.norm, self.head = nn.LayerNorm(embedding.shape[1]), linear(rest[-1])

        def forward(self, tokens: Any) -> Any:
            x = self.embedding(tokens) + self.positions
            for layer in self.layers:
                x = layer(x)
            return self.head(self.norm(x))

    def linear(weight: Any) -> Any:
        made = nn.Linear(*weight.shape, bias=False)
        made.weight = nn.Parameter(weight.T.contiguous())
        return made

    model = Decoder(*weights)
    targets = targets.long().flatten()
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=DECAY, fused=True)
    loss = side.compile(lambda tokens: functional.cross_entropy(model(tokens).flatten(0, 1), targets))

    def step() -> Any:
        optimizer.zero_grad()
        value = loss(tokens)
        value.backward()
        optimizer.step()
        return value

    return step


@training.builds("jax")
@first_step.builds("jax")
def _(side: Any, tokens: Any, targets: Any, *weights: Any) -> Callable[[], Any]:
    jax, np_ = side.jax, side.xp
    width = weights[0].shape[1]
    norms = [value for _ in range(2 * LAYERS + 1) for value in (np_.ones(width), np_.zeros(width))]

    def norm(x: Any, scale: Any, shift: Any) -> Any:
        centred = x - np_.mean(x, axis=-1, keepdims=True)
        return centred * jax.lax.rsqrt(np_.mean(centred * centred, axis=-1, keepdims=True) + 1e-5) * scale + shift

    def forward(parameters: Any, tokens: Any) -> Any:
        embedding, positions, *rest, head = parameters[: len(weights)]
        norms = iter(parameters[len(weights) :])
        x = embedding[tokens] + positions
        batch, length, width = x.shape
        for i in range(LAYERS):
            qkv, out, up, down = rest[4 * i : 4 * i + 4]
            parts = (norm(x, next(norms), next(norms)) @ qkv).reshape(batch, length, 3, HEADS, width // HEADS)
            seen = jax.nn.dot_product_attention(parts[:, :, 0], parts[:, :, 1], parts[:, :, 2], is_causal=True)
            x = x + seen.reshape(batch, length, width) @ out
            x = x + jax.nn.relu(norm(x, next(norms), next(norms)) @ up) @ down
        return norm(x, next(norms), next(norms)) @ head

    def loss(parameters: Any, tokens: Any, targets: Any) -> Any:
        logits = jax.nn.log_softmax(forward(parameters, tokens))
        return -np_.mean(np_.take_along_axis(logits, targets[..., None], axis=-1))

    return adam_step(side, loss, [*weights, *norms], tokens, targets, rate=RATE, decay=DECAY)
