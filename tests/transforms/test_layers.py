"""Layers and losses of plait.nn as functions of their parameters and inputs, under every transform."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import numpy as np
import pytest

import plait.core as pc
import plait.nn as nn
import transform_checks as check
from plait.nn import losses
from plait.utils import tree_flatten, tree_unflatten
from transform_cases import EXAMPLES, Batch, Scalar, Written
from written_functions import below, floats

Makers = Sequence[Callable[[np.random.Generator], np.ndarray]]

X, SEQUENCE, IMAGE = floats(2, 4), floats(2, 3, 4), floats(2, 5, 4, 4)

LAYERS: dict[str, tuple[Callable[[], nn.Module], Makers]] = {
    "Linear": (lambda: nn.Linear(4, 3), [X]),
    "Linear without bias": (lambda: nn.Linear(4, 3, bias=False), [floats(4)]),
    "Bilinear": (lambda: nn.Bilinear(4, 3, 2), [X, floats(2, 3)]),
    "QuantizedLinear": (lambda: nn.QuantizedLinear(32, 3, group_size=32, bits=3), [floats(2, 32)]),
    "QuantizedEmbedding": (lambda: nn.QuantizedEmbedding(5, 32, group_size=32, bits=5), [below(5, 2, 3)]),
    "Identity": (lambda: nn.Identity(), [X]),
    "Embedding": (lambda: nn.Embedding(5, 3), [below(5, 2, 3)]),
    "Conv1d": (lambda: nn.Conv1d(4, 3, 2, padding=1), [SEQUENCE]),
    "Conv2d": (lambda: nn.Conv2d(4, 2, 3, stride=2, padding=1, groups=2), [IMAGE]),
    "Conv3d": (lambda: nn.Conv3d(2, 2, 2), [floats(1, 3, 2, 3, 2)]),
    "ConvTranspose1d": (lambda: nn.ConvTranspose1d(4, 3, 2, stride=2), [SEQUENCE]),
    "ConvTranspose2d": (lambda: nn.ConvTranspose2d(4, 2, 2, padding=1), [floats(1, 3, 3, 4)]),
    "ConvTranspose3d": (lambda: nn.ConvTranspose3d(2, 2, 2), [floats(1, 2, 2, 2, 2)]),
    "LayerNorm": (lambda: nn.LayerNorm(4), [X]),
    "RMSNorm": (lambda: nn.RMSNorm(4), [SEQUENCE]),
    "InstanceNorm": (lambda: nn.InstanceNorm(4, affine=True), [SEQUENCE]),
    "GroupNorm": (lambda: nn.GroupNorm(2, 4), [SEQUENCE]),
    "GroupNorm as elsewhere": (lambda: nn.GroupNorm(2, 4, pytorch_compatible=True), [SEQUENCE]),
    "BatchNorm": (lambda: nn.BatchNorm(4, track_running_stats=False), [SEQUENCE]),
    "BatchNorm after training": (lambda: nn.BatchNorm(4).eval(), [SEQUENCE]),
    "Dropout": (lambda: nn.Dropout(0.5), [X]),
    "Dropout2d": (lambda: nn.Dropout2d(0.5), [IMAGE]),
    "Dropout3d": (lambda: nn.Dropout3d(0.5), [floats(1, 2, 2, 2, 3)]),
    "MaxPool1d": (lambda: nn.MaxPool1d(2), [floats(1, 4, 2)]),
    "MaxPool2d": (lambda: nn.MaxPool2d(2, stride=1, padding=1), [floats(1, 3, 3, 2)]),
    "MaxPool3d": (lambda: nn.MaxPool3d(2), [floats(1, 2, 2, 4, 2)]),
    "AvgPool1d": (lambda: nn.AvgPool1d(2), [floats(1, 4, 2)]),
    "AvgPool2d": (lambda: nn.AvgPool2d(3, stride=1, padding=1), [floats(1, 3, 3, 2)]),
    "AvgPool3d": (lambda: nn.AvgPool3d(2), [floats(1, 2, 2, 4, 2)]),
    "RNN": (lambda: nn.RNN(4, 3), [SEQUENCE]),
    "GRU": (lambda: nn.GRU(4, 3), [SEQUENCE]),
    "LSTM": (lambda: nn.LSTM(4, 3), [SEQUENCE]),
    "RoPE": (lambda: nn.RoPE(4), [SEQUENCE]),
    "SinusoidalPositionalEncoding": (lambda: nn.SinusoidalPositionalEncoding(4), [floats(3)]),
    "ALiBi": (lambda: nn.ALiBi(), [floats(1, 2, 3, 3)]),
    "MultiHeadAttention": (lambda: nn.MultiHeadAttention(4, 2), [SEQUENCE, floats(2, 2, 4), floats(2, 2, 4)]),
    "TransformerEncoder": (lambda: nn.TransformerEncoder(1, 4, 2, mlp_dims=3), [SEQUENCE, floats(3, 3)]),
    "TransformerDecoder": (
        lambda: nn.TransformerDecoder(1, 4, 2, mlp_dims=3),
        [SEQUENCE, floats(2, 2, 4), floats(3, 3), floats(3, 2)],
    ),
    "Upsample nearest": (lambda: nn.Upsample(2), [floats(1, 2, 3, 2)]),
    "Upsample linear": (lambda: nn.Upsample((1.5, 2.0), mode="linear"), [floats(1, 2, 3, 2)]),
    "Upsample cubic": (lambda: nn.Upsample(2, mode="cubic", align_corners=True), [floats(1, 3, 3, 1)]),
    "Sequential": (
        lambda: nn.Sequential(nn.Conv1d(4, 3, 2), nn.LayerNorm(3), nn.GELU(), nn.Linear(3, 2), nn.LogSoftmax()),
        [SEQUENCE],
    ),
    "PReLU": (lambda: nn.PReLU(), [floats(5)]),
    "GLU": (lambda: nn.GLU(), [X]),
}
ACTIVATIONS = (
    "Sigmoid Tanh ReLU ReLU2 ReLU6 LeakyReLU ELU CELU SELU SiLU GELU Softplus LogSigmoid Mish Softsign Softshrink "
    "HardShrink HardTanh Hardswish Step Softmax Softmin LogSoftmax"
).split()
for _name in ACTIVATIONS:
    LAYERS[_name] = (getattr(nn, _name), [lambda rng: rng.uniform(-3, 3, (2, 7))])

# Made of layers that are tested here.
PARTS = {"TransformerEncoderLayer", "TransformerDecoderLayer", "Transformer", "Module"}
# It rounds its input, so that differences are no oracle: tests/python/test_quantization.py.
ROUNDS = {"QQLinear"}

PAIR: Makers = [floats(3, 4), floats(3, 4)]
LOSSES: dict[str, tuple[Callable[..., pc.array], Makers]] = {
    "cross_entropy": (losses.cross_entropy, [floats(3, 4), below(4, 3)]),
    "cross_entropy of probabilities": (
        functools.partial(losses.cross_entropy, label_smoothing=0.1, reduction="mean"),
        PAIR,
    ),
    "binary_cross_entropy": (losses.binary_cross_entropy, PAIR),
    "l1_loss": (losses.l1_loss, PAIR),
    "mse_loss": (losses.mse_loss, PAIR),
    "smooth_l1_loss": (functools.partial(losses.smooth_l1_loss, beta=0.4), PAIR),
    "huber_loss": (functools.partial(losses.huber_loss, delta=0.4, reduction="sum"), PAIR),
    "log_cosh_loss": (losses.log_cosh_loss, PAIR),
    "nll_loss": (losses.nll_loss, [floats(3, 4), below(4, 3)]),
    "gaussian_nll_loss": (losses.gaussian_nll_loss, [*PAIR, floats(3, 4)]),
    "kl_div_loss": (losses.kl_div_loss, PAIR),
    "hinge_loss": (losses.hinge_loss, PAIR),
    "margin_ranking_loss": (losses.margin_ranking_loss, [floats(3), floats(3), floats(3)]),
    "cosine_similarity_loss": (losses.cosine_similarity_loss, PAIR),
    "triplet_loss": (losses.triplet_loss, [*PAIR, floats(3, 4)]),
}
NAMES = [*LAYERS, *LOSSES]


def maker_like(parameter: pc.array) -> Callable[[np.random.Generator], np.ndarray]:
    """Numbers for a parameter, or words of packed ones."""
    if parameter.dtype == pc.uint32:
        return lambda rng: rng.integers(0, 1 << 32, parameter.shape, dtype=np.uint32)
    return floats(*parameter.shape)


def calls(name: str, count: int) -> tuple[list[Written], int]:
    """Examples of a layer's parameters and inputs, and the number of parameters."""
    model: nn.Module | None = None
    names: list[str] = []
    makers: list[Callable[[np.random.Generator], np.ndarray]] = []
    if name in LAYERS:
        make, inputs = LAYERS[name]
        model = make()
        assert isinstance(model, nn.Module)
        model.set_dtype(pc.float64)
        parameters = tree_flatten(model.parameters())
        names, makers = [key for key, _ in parameters], [maker_like(a) for _, a in parameters]

    def f(*arrays: pc.array) -> list[pc.array]:
        pc.random.seed(0)  # what drops out is the same in every call
        if model is None:
            return [LOSSES[name][0](*arrays)]
        if names:
            model.update(tree_unflatten(list(zip(names, arrays, strict=False))))
        result = model(*arrays[len(names) :])
        return [a for _, a in tree_flatten(result)] if isinstance(result, (tuple, list)) else [result]

    makers += inputs if name in LAYERS else LOSSES[name][1]
    rows = []
    for row in range(count):
        rng = np.random.default_rng(row)
        rows.append(Written(name, f, [make(rng) for make in makers]))
    return rows, len(names)


def test_every_layer_and_loss_is_here() -> None:
    layers = {n for n, c in vars(nn).items() if isinstance(c, type) and issubclass(c, nn.Module)}
    assert {name.split()[0] for name in LAYERS} == layers - PARTS - ROUNDS
    functions = {n for n, f in vars(losses).items() if n.endswith(("loss", "entropy")) and callable(f)}
    assert {name.split()[0] for name in LOSSES} == functions


@pytest.mark.parametrize("name", NAMES)
def test_derivatives(name: str) -> None:
    f = Scalar(calls(name, 1)[0][0])
    check.gradients(f)
    check.second_derivatives(f)
    check.linear_parts(f)


@pytest.mark.parametrize("name", NAMES)
def test_batches(name: str) -> None:
    rows, parameters = calls(name, 6)
    every = tuple(range(len(rows[0].values)))
    sets = {every[parameters:], every[:parameters], every} - {()}  # of inputs, of models, and both
    check.equals_a_loop(Batch(rows[:EXAMPLES], sorted(sets)))
    check.nested_equals_loops(Batch(rows, sorted(sets, key=len)), 2, 3)


@pytest.mark.parametrize("name", NAMES)
def test_compositions(name: str) -> None:
    rows, _ = calls(name, EXAMPLES)
    f = Scalar(rows[0])
    check.compositions(f, [[row.arrays()[i] for i in f.moving] for row in rows])
