"""What gradients keep in memory, by the allocator's counters. The figures are in docs/custom_functions.md."""

import gc
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import plait.core as pc
import plait.nn as nn
import plait.optimizers as optim
from plait import debug
from plait.utils import tree_flatten

LAYERS = 48
BLOCKS = [(nn.relu, 6.5), (pc.tanh, 6.5), (nn.gelu, 10.5), (nn.silu, 10.5)]


def peak_of(run: Callable[[], Any]) -> int:
    """The most bytes in use at once while `run` is called and its result evaluated, beyond those in use before."""
    gc.collect()
    pc.synchronize()
    pc.reset_peak_memory()
    before = pc.get_active_memory()
    result = run()
    pc.eval(result)
    pc.synchronize()
    return pc.get_peak_memory() - before


def nbytes(tree: Any) -> int:
    return sum(a.nbytes for _, a in tree_flatten(tree))


class Block(nn.Module):
    """A residual block of two layers: (rows, dims) -> (rows, dims)."""

    def __init__(self, dims: int, activation: Callable[[pc.array], pc.array]) -> None:
        super().__init__()
        self.norm = nn.RMSNorm(dims)
        self.up = nn.Linear(dims, 4 * dims)
        self.down = nn.Linear(4 * dims, dims)
        self.activation = activation

    def __call__(self, x: pc.array) -> pc.array:
        return x + self.down(self.activation(self.up(self.norm(x))))


class Stack(nn.Module):
    def __init__(self, layers: list[nn.Module]) -> None:
        super().__init__()
        self.layers = layers
        self.recompute = False

    def __call__(self, x: pc.array) -> pc.array:
        for layer in self.layers:
            x = pc.checkpoint(layer)(x) if self.recompute else layer(x)
        return x


@pytest.fixture
def on_cpu() -> Iterator[None]:
    """The figures are the host's: a device's counters fall when its queue has passed, later than the plan says."""
    before = pc.default_device()
    pc.set_default_device(pc.cpu)
    yield
    pc.set_default_device(before)


@pytest.fixture(params=["eager", "compiled"])
def compiled(request: pytest.FixtureRequest) -> Iterator[bool]:
    yield request.param == "compiled"


def gradient_peak(model: Stack, x: pc.array, compiled: bool) -> int:
    """Of the second of two computations of a loss and its gradients."""
    pc.eval(model.parameters(), x)
    both = nn.value_and_grad(model, lambda x: model(x).square().mean())
    step = pc.compile(both, inputs=model.state) if compiled else both
    peak_of(lambda: step(x))
    return peak_of(lambda: step(x))


@pytest.mark.usefixtures("on_cpu")
@pytest.mark.parametrize(("activation", "kept"), [(nn.ReLU(), 1.0), (nn.Tanh(), 1.0), (nn.GELU(), 2.0)], ids=str)
def test_backward_of_48_layers_stays_within_a_multiple(activation: nn.Module, kept: float, compiled: bool) -> None:
    """`kept`: arrays of (rows, dims) for each layer. The product that gives the weights' gradient needs one."""
    rows, dims = 1024, 32
    model = Stack([nn.Sequential(nn.Linear(dims, dims), activation) for _ in range(LAYERS)])
    x = pc.random.normal((rows, dims))
    peak = gradient_peak(model, x, compiled) - nbytes(model.parameters())
    assert peak <= kept * LAYERS * x.nbytes + 4 * x.nbytes


@pytest.mark.usefixtures("on_cpu")
@pytest.mark.parametrize(("activation", "kept"), BLOCKS)
def test_backward_of_48_blocks_stays_within_a_multiple(activation: Any, kept: float, compiled: bool) -> None:
    """`kept`: arrays of (rows, dims) for each block; the hidden layer alone is four."""
    rows, dims = 1024, 32
    model = Stack([Block(dims, activation) for _ in range(LAYERS)])
    x = pc.random.normal((rows, dims))
    peak = gradient_peak(model, x, compiled) - nbytes(model.parameters())
    assert peak <= kept * LAYERS * x.nbytes + 20 * x.nbytes


@pytest.mark.usefixtures("on_cpu")
def test_checkpoint_keeps_what_is_between_the_blocks(compiled: bool) -> None:
    rows, dims = 256, 32
    model = Stack([Block(dims, nn.gelu) for _ in range(LAYERS)])
    x = pc.random.normal((rows, dims))
    model.recompute = True
    between = LAYERS * x.nbytes
    one_block = 20 * x.nbytes
    assert gradient_peak(model, x, compiled) <= 1.1 * between + one_block + nbytes(model.parameters())


@pytest.mark.usefixtures("on_cpu")
@pytest.mark.parametrize(("recompute", "kept"), [(False, 18.0), (True, 1.0)])
def test_backward_of_48_transformer_layers(recompute: bool, kept: float, compiled: bool) -> None:
    dims, heads, length = 64, 4, 32

    class Layer(nn.TransformerEncoderLayer):
        def __call__(self, x: pc.array) -> pc.array:  # type: ignore[override]
            return super().__call__(x, None)

    model = Stack([Layer(dims, heads, 4 * dims) for _ in range(LAYERS)])
    model.recompute = recompute
    x = pc.random.normal((16, length, dims))
    peak = gradient_peak(model, x, compiled) - nbytes(model.parameters())
    assert peak <= kept * LAYERS * x.nbytes + 40 * x.nbytes


def test_checkpoint_lowers_the_peak_on_the_default_device(compiled: bool) -> None:
    model = Stack([Block(32, nn.gelu) for _ in range(12)])
    x = pc.random.normal((256, 32))
    kept = gradient_peak(model, x, compiled)
    model.recompute = True
    assert gradient_peak(model, x, compiled) < 0.6 * kept


@pytest.mark.usefixtures("on_cpu")
def test_updates_take_the_place_of_what_they_replace(compiled: bool) -> None:
    rows, dims = 256, 32
    model = Stack([Block(dims, nn.relu) for _ in range(LAYERS)])
    model.recompute = True
    optimizer = optim.Adam(1e-3)
    optimizer.init(model)
    x = pc.random.normal((rows, dims))
    pc.eval(model.parameters(), optimizer.state, x)
    both = nn.value_and_grad(model, lambda x: model(x).square().mean())

    def update(x: pc.array) -> pc.array:
        loss, grads = both(x)
        optimizer.update(model, grads)
        return loss

    state = [model.state, optimizer.state]
    step = pc.compile(update, inputs=state, outputs=state) if compiled else update

    def run() -> Any:
        return [step(x), model.parameters(), optimizer.state]

    peak_of(run)
    # Neither gradients of all layers nor a second set of parameters or moments are there at once.
    assert peak_of(run) <= 1.1 * LAYERS * x.nbytes + 20 * x.nbytes + 0.25 * nbytes(model.parameters())


@pytest.mark.usefixtures("on_cpu")
def test_a_checkpointed_function_keeps_nothing_that_it_evaluated() -> None:
    x = pc.random.normal((256, 256))
    pc.eval(x)

    def layer(x: pc.array) -> pc.array:
        for _ in range(8):
            x = pc.sin(x) * 1.5
            pc.eval(x)
        return x

    def kept(f: Callable[[pc.array], pc.array]) -> int:
        seen = []

        def loss(x: pc.array) -> pc.array:
            before = pc.get_active_memory()
            for _ in range(4):
                x = f(x)
            gc.collect()
            seen.append(pc.get_active_memory() - before)
            return x.sum()

        pc.eval(pc.grad(loss)(x))
        return round(seen[0] / x.nbytes)

    assert kept(layer) >= 20
    assert kept(pc.checkpoint(layer)) <= 5
    np.testing.assert_allclose(
        np.array(pc.grad(lambda x: pc.checkpoint(layer)(x).sum())(x)),
        np.array(pc.grad(lambda x: layer(x).sum())(x)),
        rtol=1e-5,
        atol=1e-5,
    )


@pytest.mark.parametrize("dtype", [pc.float32, pc.float16, pc.bfloat16], ids=str)
def test_what_is_computed_again_has_the_same_bits(dtype: pc.Dtype) -> None:
    """Against plans in which each operation is a step of its own, and its result is in memory."""
    rows, dims = 24, 16

    def loss(x: pc.array, w: pc.array, b: pc.array) -> pc.array:
        for activation in (nn.relu, nn.gelu, nn.silu, pc.tanh, nn.softplus, nn.leaky_relu, nn.elu, nn.gelu_approx):
            h = activation(x @ w + b)
            x = h * pc.rsqrt((h * h).mean(axis=-1, keepdims=True) + 1e-3) + x.astype(dtype)
        return x.astype(pc.float32).square().mean()

    args = [pc.array(np.random.default_rng(k).normal(size=s) / 3).astype(dtype)
            for k, s in enumerate([(rows, dims), (dims, dims), (dims,)])]  # fmt: skip
    pc.eval(args)
    together = pc.grad(loss, argnums=(0, 1, 2))(*args)
    pc.eval(together)
    apart = pc.grad(loss, argnums=(0, 1, 2))(*args)
    with debug.check_nan(deep=True):
        pc.eval(apart)
    for a, b in zip(together, apart, strict=True):
        assert np.array_equal(np.array(a.astype(pc.float32)), np.array(b.astype(pc.float32)))
