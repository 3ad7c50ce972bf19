"""Training steps that run out of memory at each of their allocations, on the CPU and with a simulated GPU."""

import contextlib
import itertools
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import plait.core as pc
from plait import debug, nn, optimizers
from plait.utils import tree_flatten, tree_map

MOST = 2000  # allocations of a step; more would be an endless loop


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm, self.last = nn.Linear(6, 16), nn.LayerNorm(16), nn.Linear(16, 3)

    def __call__(self, x: pc.array) -> pc.array:
        return self.last(nn.gelu(self.norm(self.first(x))))


def loss(model: Network, x: pc.array, y: pc.array) -> pc.array:
    return nn.losses.cross_entropy(model(x), y, reduction="mean")


def numbers(tree: Any) -> list[tuple[str, list[Any]]]:
    return [(name, value.tolist()) for name, value in tree_flatten(tree)]


class Training:
    """A model and an optimizer, of which each step begins at the same place."""

    def __init__(self, compiled: bool) -> None:
        pc.random.seed(3)
        self.model, self.optimizer = Network(), optimizers.Adam(0.01)
        self.optimizer.init(self.model.trainable_parameters())
        self.x, self.y = pc.random.normal((8, 6)), pc.array([0, 1, 2, 0, 1, 2, 0, 1])
        pc.eval(self.model.parameters(), self.optimizer.state, self.x, self.y)
        self.begin = tree_map(lambda a: a, (self.model.parameters(), self.optimizer.state))
        gradient = nn.value_and_grad(self.model, loss)

        def step(x: pc.array, y: pc.array) -> pc.array:
            value, gradients = gradient(self.model, x, y)
            self.optimizer.update(self.model, gradients)
            return value

        state = [self.model.state, self.optimizer.state]
        self.once: Callable[..., pc.array] = pc.compile(step, inputs=state, outputs=state) if compiled else step

    def step(self, evaluate: Callable[..., None] = pc.eval) -> pc.array:
        value = self.once(self.x, self.y)
        evaluate(value, self.model.parameters(), self.optimizer.state)
        value.item()
        return value

    def rewind(self) -> None:
        parameters, state = tree_map(lambda a: a, self.begin)
        self.model.update(parameters)
        self.optimizer.state.update(state)

    def state(self) -> Any:
        return numbers({"model": self.model.parameters(), "optimizer": self.optimizer.state})


def in_the_background(*trees: Any) -> None:
    pc.async_eval(*trees)
    pc.eval(*trees)


@pytest.mark.parametrize("evaluate", [pc.eval, in_the_background], ids=["eval", "async_eval"])
@pytest.mark.parametrize("compiled", [False, True], ids=["plain", "compiled"])
def test_each_allocation_of_a_step(compiled: bool, evaluate: Callable[..., None]) -> None:
    training = Training(compiled)
    before = training.state()
    value = training.step().item()
    want = training.state()
    assert want != before
    failed = 0
    for n in range(MOST):
        training.rewind()
        with debug.failing_allocation(n) as allocation:
            try:
                training.step(evaluate)
            except MemoryError as error:
                assert isinstance(error, pc.OutOfMemory) and "a test made it fail" in error.got  # type: ignore[attr-defined]
        if not allocation.failed:
            assert training.state() == want
            break
        failed += 1
        parameters, state = training.begin
        assert numbers({"model": parameters, "optimizer": state}) == before  # what is held is as it was
        training.rewind()
        assert training.step().item() == value and training.state() == want
    assert 0 < failed < MOST - 1  # a device that replays what it recorded allocates little


def test_what_nobody_held_is_lost_or_right() -> None:
    """Memory that a failed step has taken over is gone: its arrays raise the same error. Nothing has a wrong value."""
    a = pc.random.normal((50, 50))
    pc.eval(a)
    want = np.asarray(pc.tanh(a @ a) + a)
    for n in itertools.count():
        b = a + 0
        pc.eval(b)
        b = pc.tanh(b @ b) + b
        with debug.failing_allocation(n) as allocation, contextlib.suppress(MemoryError):
            pc.eval(b)
        if not allocation.failed:
            break
        try:
            np.testing.assert_array_equal(np.asarray(b), want)
        except MemoryError as error:
            assert "a test made it fail" in str(error)
        np.testing.assert_array_equal(np.asarray(pc.tanh(a @ a) + a), want)


def test_arrays_from_python_and_files(tmp_path: Any) -> None:
    a = pc.arange(1000.0)
    pc.save_safetensors(str(tmp_path / "a"), {"a": a})
    pc.save(str(tmp_path / "a.npy"), a)
    makers: list[Callable[[], Any]] = [
        lambda: pc.array([[1.0, 2.0], [3.0, 4.0]]),
        lambda: pc.array(np.ones((30, 30))),
        lambda: pc.load(str(tmp_path / "a.npy")) + 1,
        lambda: pc.load(str(tmp_path / "a.safetensors"))["a"] + 1,
        lambda: pc.random.permutation(pc.arange(100)),
        lambda: pc.linalg.svd(pc.eye(5))[1],
        lambda: pc.fft.fft(a),
        lambda: pc.sort(a),
        lambda: pc.quantize(pc.ones((8, 64)))[0],
    ]
    for make in makers:
        for n in range(100):
            with debug.failing_allocation(n) as allocation, contextlib.suppress(MemoryError):
                pc.eval(make())
            if not allocation.failed:
                break
        assert 0 < n < 99
        pc.eval(make())


def test_limits_are_kept() -> None:
    held = pc.zeros((1 << 18,)) + 1
    pc.eval(held)
    before = pc.set_memory_limit(pc.get_active_memory() + (1 << 20))
    try:
        with pytest.raises(MemoryError) as raised:
            pc.eval(pc.zeros((1 << 20,)) + 1)
        assert raised.value.op.startswith("out of memory") and "limit" in str(raised.value)  # type: ignore[attr-defined]
        assert pc.get_active_memory() <= pc.get_memory_limit()
        assert (pc.zeros((1000,)) + 1).sum().item() == 1000  # what fits goes on
    finally:
        pc.set_memory_limit(before)
    assert pc.get_memory_limit() == before
    assert held.sum().item() == 1 << 18


def test_what_is_kept_for_reuse_is_limited() -> None:
    pc.clear_cache()
    before = pc.set_cache_limit(1 << 20)
    try:
        for _ in range(3):
            arrays = [pc.zeros((1 << 18,)) + i for i in range(8)]
            pc.eval(arrays)
            del arrays
            if pc.default_device() == pc.cpu:  # a GPU keeps segments that are in use in part
                assert pc.get_cache_memory() <= 1 << 20
        assert pc.set_cache_limit(0) == 1 << 20
        if pc.default_device() == pc.cpu:
            assert pc.get_cache_memory() == 0
    finally:
        pc.set_cache_limit(before)


def test_the_wired_limit_is_only_remembered() -> None:
    assert pc.set_wired_limit(1 << 20) == 0
    assert pc.set_wired_limit(0) == 1 << 20
    for bad in (-1, 1.5, "1"):
        for function in (pc.set_wired_limit, pc.set_memory_limit, pc.set_cache_limit):
            with pytest.raises(TypeError):
                function(bad)  # type: ignore[arg-type]


def test_with_memory_of_a_device() -> None:
    if os.environ.get("PLAIT_TEST_DEVICE") == "gpu":
        return  # as this whole file is run then
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", __file__]
    done = subprocess.run(
        command,
        env=os.environ | {"PLAIT_SIMULATE_GPU": "1", "PLAIT_TEST_DEVICE": "gpu"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_bad_arguments() -> None:
    with pytest.raises(ValueError), debug.failing_allocation(-1):
        pass
    with pytest.raises(TypeError):
        pc.fail_allocation("1")  # type: ignore[arg-type]
