"""Modules and optimizers under compile: captured state trains as without it."""

from functools import partial

import numpy as np
import pytest

import plait.core as pc
import plait.nn as nn
import plait.optimizers as optim
from layer_oracle import near, numbers
from plait.utils import tree_flatten


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden = nn.Linear(4, 8)
        self.norm = nn.BatchNorm(8)
        self.drop = nn.Dropout(0.2)
        self.out = nn.Linear(8, 3)

    def __call__(self, x):
        return self.out(self.drop(nn.gelu(self.norm(self.hidden(x)))))


def train(optimizer, compiled, steps=4):
    pc.random.seed(3)
    model = Net()
    optimizer.init(model)
    losses = []

    def step(x, y):
        def loss(x, y):
            return nn.losses.cross_entropy(model(x), y, reduction="mean")

        value, grads = nn.value_and_grad(model, loss)(x, y)
        grads, _ = optim.clip_grad_norm(grads, 1.0)
        optimizer.update(model, grads)
        return value

    if compiled:
        state = [model.state, optimizer.state, pc.random.state]
        step = partial(pc.compile, inputs=state, outputs=state)(step)
    for i in range(steps):
        x, y = numbers(16, 4, seed=i), np.random.default_rng(i).integers(0, 3, 16).astype(np.int32)
        losses.append(step(pc.array(x), pc.array(y)).item())
    return losses, model


@pytest.mark.parametrize(
    "make",
    [
        lambda: optim.SGD(0.1, momentum=0.9),
        lambda: optim.Adam(optim.cosine_decay(0.05, 10), bias_correction=True),
        lambda: optim.AdamW(0.05),
    ],
    ids=["sgd", "adam", "adamw"],
)
def test_a_compiled_step_trains_the_same(make):
    losses, model = train(make(), compiled=False)
    again, compiled = train(make(), compiled=True)
    near(np.array(again), losses, tol=1e-4)
    for (_, a), (_, b) in zip(tree_flatten(model.parameters()), tree_flatten(compiled.parameters()), strict=True):
        near(b, np.array(a), tol=1e-4)


def test_a_compiled_layer():
    layer = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.LayerNorm(8))
    x = pc.array(numbers(5, 4))
    near(pc.compile(layer)(x), np.array(layer(x)))
