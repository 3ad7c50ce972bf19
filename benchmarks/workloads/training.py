"""Training steps: MLP and a small CNN, each framework written as its users write it, with Adam, on one fixed batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.workload import Arrays, declare, not_offered

F32 = np.float32
CLASSES = 10
RATE, BETA1, BETA2, EPS = 1e-3, 0.9, 0.999, 1e-8


def vectors(rng: np.random.Generator, batch: int, inputs: int, hidden: int) -> Arrays:
    return [
        rng.standard_normal((batch, inputs), F32),
        rng.integers(0, CLASSES, batch).astype(np.int32),
        *scaled(rng, (inputs, hidden), (hidden, hidden), (hidden, CLASSES)),
    ]


def images(rng: np.random.Generator, batch: int, side: int) -> Arrays:
    """Pictures with channels last, 3x3 filters as height, width, in, out."""
    return [
        rng.standard_normal((batch, side, side, 3), F32),
        rng.integers(0, CLASSES, batch).astype(np.int32),
        *scaled(rng, (3, 3, 3, 32), (3, 3, 32, 64), ((side // 4) ** 2 * 64, 128), (128, CLASSES)),
    ]


def scaled(rng: np.random.Generator, *shapes: tuple[int, ...]) -> Arrays:
    """Starting weights of each shape; every framework starts from the same ones, with biases of zero."""
    return [rng.standard_normal(shape, F32) * F32(np.sqrt(2 / np.prod(shape[:-1]))) for shape in shapes]


mlp = declare(
    "mlp_training",
    "MLP 784-1024-1024-10, ReLU, batch 256, Adam: samples/s",
    size=(256, 784, 1024),
    quick=(16, 32, 32),
    inputs=vectors,
    items=256,
    rate="samples",
    learns=True,
    gradients=True,
    group="speed",
)
cnn = declare(
    "cnn_training",
    "CNN 3-32-64 with pooling, linear 128-10, batch 64 of 32x32x3, Adam: samples/s",
    size=(64, 32),
    quick=(4, 8),
    inputs=images,
    items=64,
    rate="samples",
    learns=True,
    gradients=True,
    group="speed",
)
for training in (mlp, cnn):
    not_offered(training, "numpy", why="NumPy has no gradients")


# plait and MLX: a Module, value_and_grad and an optimizer, nothing compiled.


def mx_training(side: Any, model: Any, weights: Arrays, x: Any, labels: Any) -> Callable[[], Any]:
    mx, nn, optimizers = side.xp, side.module("nn"), side.module("optimizers")
    layers = [layer for layer in model.layers if isinstance(layer, nn.Module) and "weight" in layer]
    for layer, weight in zip(layers, weights, strict=True):
        # Linear keeps (out, in), convolution (out, height, width, in).
        layer.weight = mx.contiguous(mx.moveaxis(weight, -1, 0))
        layer.bias = mx.zeros_like(layer.bias)
    optimizer = optimizers.Adam(learning_rate=RATE)

    def loss(model: Any, x: Any, labels: Any) -> Any:
        return nn.losses.cross_entropy(model(x), labels, reduction="mean")

    loss_and_grad = nn.value_and_grad(model, loss)

    def step() -> Any:
        value, grads = loss_and_grad(model, x, labels)
        optimizer.update(model, grads)
        mx.eval(model.parameters(), optimizer.state, value)
        return value

    return step


@mlp.builds("mx")
def _(side: Any, x: Any, labels: Any, *weights: Any) -> Callable[[], Any]:
    nn = side.module("nn")
    (inputs, hidden), classes = weights[0].shape, weights[-1].shape[1]
    model = nn.Sequential(
        nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, classes)
    )
    return mx_training(side, model, list(weights), x, labels)


@cnn.builds("mx")
def _(side: Any, x: Any, labels: Any, *weights: Any) -> Callable[[], Any]:
    mx, nn = side.xp, side.module("nn")
    flat, wide = weights[2].shape
    model = nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2, 2),
        nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2, 2),
        lambda images: mx.reshape(images, (images.shape[0], -1)),
        nn.Linear(flat, wide), nn.ReLU(), nn.Linear(wide, CLASSES),
    )  # fmt: skip
    return mx_training(side, model, list(weights), x, labels)


# PyTorch: modules, autograd, its fused Adam; the model with its loss compiled where the side compiles.


def torch_training(side: Any, model: Any, weights: Arrays, x: Any, labels: Any) -> Callable[[], Any]:
    torch = side.xp
    layers = [layer for layer in model if hasattr(layer, "weight")]
    with torch.no_grad():
        for layer, weight in zip(layers, weights, strict=True):
            layer.weight.copy_(weight)
            layer.bias.zero_()
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE, fused=True)
    loss = side.compile(lambda x, labels: torch.nn.functional.cross_entropy(model(x), labels))

    def step() -> Any:
        optimizer.zero_grad()
        value = loss(x, labels)
        value.backward()
        optimizer.step()
        return value

    return step


def rows_out(x: Any, labels: Any, *weights: Any) -> Arrays:
    """PyTorch's layout: matrices (out, in), labels of 64 bits."""
    return [x, labels.astype(np.int64), *(np.ascontiguousarray(weight.T) for weight in weights)]


@mlp.builds("torch", prepare=rows_out)
def _(side: Any, x: Any, labels: Any, *weights: Any) -> Callable[[], Any]:
    nn = side.xp.nn
    (hidden, inputs), classes = weights[0].shape, weights[-1].shape[0]
    model = nn.Sequential(
        nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, classes)
    )
    return torch_training(side, model, list(weights), x, labels)


def channels_first(x: Any, labels: Any, *weights: Any) -> Arrays:
    """PyTorch's layout: channels before height and width, also where the pictures are flattened."""
    pictures = np.ascontiguousarray(x.transpose(0, 3, 1, 2))
    filters = [np.ascontiguousarray(weight.transpose(3, 2, 0, 1)) for weight in weights[:2]]
    side = x.shape[1] // 4
    flat = weights[2].reshape(side, side, 64, -1).transpose(3, 2, 0, 1).reshape(weights[2].shape[1], -1)
    return [pictures, labels.astype(np.int64), *filters, np.ascontiguousarray(flat), np.ascontiguousarray(weights[3].T)]


@cnn.builds("torch", prepare=channels_first)
def _(side: Any, x: Any, labels: Any, *weights: Any) -> Callable[[], Any]:
    nn = side.xp.nn
    wide, flat = weights[2].shape
    model = nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(flat, wide), nn.ReLU(), nn.Linear(wide, CLASSES),
    )  # fmt: skip
    return torch_training(side, model, list(weights), x, labels)


# JAX: functions on lists of arrays, one compiled step that gives its parameters and state away.


def adam_step(
    side: Any, loss: Callable[..., Any], parameters: Arrays, x: Any, labels: Any, rate: float = RATE, decay: float = 0.0
) -> Callable[[], Any]:
    """A step of Adam, or with `decay` of AdamW, on `loss(parameters, x, labels)`."""
    jax, np_ = side.jax, side.xp
    state = ([np_.copy(p) for p in parameters], *([np_.zeros_like(p) for p in parameters] for _ in range(2)), 0)

    def update(state: Any, x: Any, labels: Any) -> Any:
        parameters, means, squares, count = state
        value, grads = jax.value_and_grad(loss)(parameters, x, labels)
        count = count + 1
        means = [BETA1 * m + (1 - BETA1) * g for m, g in zip(means, grads, strict=True)]
        squares = [BETA2 * v + (1 - BETA2) * g * g for v, g in zip(squares, grads, strict=True)]
        scale = rate * np_.sqrt(1 - BETA2**count) / (1 - BETA1**count)
        moved = zip(parameters, means, squares, strict=True)
        parameters = [p * (1 - rate * decay) - scale * m / (np_.sqrt(v) + EPS) for p, m, v in moved]
        return (parameters, means, squares, count), value

    compiled = jax.jit(update, donate_argnums=0)

    def step() -> Any:
        nonlocal state
        state, value = compiled(state, x, labels)
        return side.wait(value)

    return step


def jax_training(side: Any, forward: Callable[..., Any], weights: Arrays, x: Any, labels: Any) -> Callable[[], Any]:
    jax, np_ = side.jax, side.xp

    def loss(parameters: Any, x: Any, labels: Any) -> Any:
        logits = jax.nn.log_softmax(forward(parameters, x))
        return -np_.mean(np_.take_along_axis(logits, labels[:, None], axis=1))

    parameters = [value for weight in weights for value in (weight, np_.zeros(weight.shape[-1]))]
    return adam_step(side, loss, parameters, x, labels)


@mlp.builds("jax")
def _(side: Any, x: Any, labels: Any, *weights: Any) -> Callable[[], Any]:
    relu = side.jax.nn.relu

    def forward(parameters: Any, x: Any) -> Any:
        w1, b1, w2, b2, w3, b3 = parameters
        return relu(relu(x @ w1 + b1) @ w2 + b2) @ w3 + b3

    return jax_training(side, forward, list(weights), x, labels)


@cnn.builds("jax")
def _(side: Any, x: Any, labels: Any, *weights: Any) -> Callable[[], Any]:
    lax, relu = side.jax.lax, side.jax.nn.relu

    def stage(x: Any, weight: Any, bias: Any) -> Any:
        y = lax.conv_general_dilated(x, weight, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
        return lax.reduce_window(relu(y + bias), -np.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")

    def forward(parameters: Any, x: Any) -> Any:
        w1, b1, w2, b2, w3, b3, w4, b4 = parameters
        flat = stage(stage(x, w1, b1), w2, b2).reshape(x.shape[0], -1)
        return relu(flat @ w3 + b3) @ w4 + b4

    return jax_training(side, forward, list(weights), x, labels)
