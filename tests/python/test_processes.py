"""Arrays and models between processes, and processes that fork: also while other threads evaluate."""

import copy
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import plait.core as pc
import plait.nn as nn
import plait.optimizers as optim
from plait.utils import tree_flatten

DTYPES = [
    *(pc.bool_, pc.uint8, pc.uint16, pc.uint32, pc.uint64, pc.int8, pc.int16, pc.int32, pc.int64),
    *(pc.float16, pc.bfloat16, pc.float32, pc.float64, pc.complex64),
]


@pytest.fixture(autouse=True)
def on_the_cpu() -> Iterator[None]:
    """A GPU that the parent used is closed to its forks (test_cuda_faults.py)."""
    before = pc.default_device()
    pc.set_default_device(pc.cpu)
    yield
    pc.set_default_device(before)


def again(a: Any, protocol: int = pickle.DEFAULT_PROTOCOL) -> Any:
    return pickle.loads(pickle.dumps(a, protocol))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_dtype_survives(dtype: pc.Dtype) -> None:
    a = pc.array([[0, 1, 2], [3, 1, 0]], dtype=dtype)
    for source in (a, a.T, a[:, :0], a[0, 1], a + a):
        copies = [copy.copy(source), copy.deepcopy(source)]
        for b in copies + [again(source, protocol) for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1)]:
            assert b is not source and b.dtype is dtype and b.shape == source.shape
            assert b.tolist() == source.tolist()
    assert again(dtype) is dtype and copy.deepcopy(dtype) is dtype


def test_a_copy_goes_its_own_way() -> None:
    a = pc.array([1, 2, 3])
    shallow, deep = copy.copy(a), copy.deepcopy(a)
    a[0] = 9
    deep += 1
    assert (a.tolist(), shallow.tolist(), deep.tolist()) == ([9, 2, 3], [1, 2, 3], [2, 3, 4])


def test_shared_parts_stay_shared() -> None:
    a = pc.ones(2)
    for tree in (copy.deepcopy({"x": a, "y": [a]}), again({"x": a, "y": [a]})):
        assert tree["x"] is tree["y"][0]


class Tied(nn.Module):
    """A part held under two names, and things that are no arrays."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.second = self.first
        self.norm = nn.BatchNorm(4)
        self.names = ["a", "b"]

    def __call__(self, x: pc.array) -> pc.array:
        return self.norm(self.second(pc.tanh(self.first(x))))


@pytest.mark.parametrize("duplicate", [copy.deepcopy, again], ids=["deepcopy", "pickle"])
def test_modules(duplicate: Any) -> None:
    model = Tied()
    model.norm.freeze()
    model.eval()
    twin = duplicate(model)
    assert type(twin) is Tied and twin.names == ["a", "b"] and not twin.training
    assert twin.first is twin.second and twin.first is not model.first
    x = pc.random.normal((3, 4))
    assert twin(x).tolist() == model(x).tolist()
    paths = [path for path, _ in tree_flatten(model.trainable_parameters())]
    assert [path for path, _ in tree_flatten(twin.trainable_parameters())] == paths
    before = model(x).tolist()
    twin.first.weight = twin.first.weight * 2
    assert model(x).tolist() == before


def schedules() -> list[Any]:
    join = optim.join_schedules([optim.linear_schedule(0, 0.1, 2), optim.cosine_decay(0.1, 10)], [2])
    return [0.1, optim.exponential_decay(0.1, 0.9), optim.step_decay(0.1, 0.5, 2), join]


@pytest.mark.parametrize("rate", schedules(), ids=["number", "exponential", "step", "joined"])
@pytest.mark.parametrize("duplicate", [copy.deepcopy, again], ids=["deepcopy", "pickle"])
def test_optimizers_go_on_where_they_were(rate: Any, duplicate: Any) -> None:
    parameters = {"w": pc.array([1.0, -2.0]), "b": [pc.array(0.5)]}
    gradients = {"w": pc.array([0.3, 0.1]), "b": [pc.array(-1.0)]}
    optimizer = optim.Adam(rate)
    for _ in range(3):
        parameters = optimizer.apply_gradients(gradients, parameters)
    twin = duplicate(optimizer)
    for _ in range(3):
        want = optimizer.apply_gradients(gradients, parameters)
        have = twin.apply_gradients(gradients, parameters)
        assert [v.tolist() for _, v in tree_flatten(have)] == [v.tolist() for _, v in tree_flatten(want)]
    assert twin.learning_rate.item() == optimizer.learning_rate.item()
    assert twin.step.item() == 6


def norm_of(a: pc.array) -> tuple[str, float]:
    """What a process of the pool does: on threads of its own, in the background too."""
    product = pc.matmul(a, a.T)
    pc.async_eval(product)
    return str(a.dtype), float(pc.sqrt(product.sum()).item())


def scaled(a: pc.array, factor: float) -> pc.array:
    return a * factor


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_pools(method: str) -> None:
    a = pc.random.normal((600, 600))
    pc.async_eval(pc.exp(a) @ a)  # the parent has threads of its own by now, and one of them is busy
    arrays = [pc.ones((4, 9)), pc.full((2, 2), 3, dtype=pc.float16), pc.random.normal((500, 500)) + 0]
    with multiprocessing.get_context(method).Pool(2) as pool:
        have = pool.map(norm_of, arrays)
        back = pool.starmap(scaled, [(x, 2.0) for x in arrays])
    assert have[0] == ("plait.core.float32", 12.0)
    for (name, norm), source, twice in zip(have, arrays, back, strict=True):
        reference = np.asarray(source).astype(np.float64)
        assert name == str(source.dtype) and twice.dtype is source.dtype
        np.testing.assert_allclose(norm, np.sqrt((reference @ reference.T).sum()), rtol=2e-3)
        np.testing.assert_allclose(np.asarray(twice), 2 * np.asarray(source))


def run(program: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=False, timeout=120
    )
    sys.stderr.write(done.stderr)
    assert done.returncode == 0
    return done.stdout


FORKED = """
    import faulthandler, os, signal, threading
    import plait.core as pc

    def forked(work):  # the exit status of a child that runs it; a child that hangs is ended by the alarm
        child = os.fork()
        if child == 0:
            faulthandler.dump_traceback_later(15)
            signal.alarm(20)
            os._exit(0 if work() else 1)
        return os.waitpid(child, 0)[1]
"""


def test_a_child_computes_what_the_parent_was_computing() -> None:
    # The background work is claimed by a thread that the child does not have.
    out = run(
        FORKED
        + """
    a = pc.random.normal((1500, 1500)) / 40
    pc.eval(a)
    chain = a
    for _ in range(8):
        chain = chain @ a
    pc.async_eval(chain)
    queued = [a + i for i in range(3)]
    pc.async_eval(*queued)
    status = [forked(lambda: pc.isfinite(chain).all().item()), forked(lambda: (queued[2] - a).max().item() > 1)]

    def more():  # its own background work needs a thread of its own
        b = a * 2
        pc.async_eval(b)
        pc.synchronize()
        return b.tolist() == (a + a).tolist()

    status.append(forked(more))
    print(status, chain.shape)
    """
    )
    assert out == "[0, 0, 0] (1500, 1500)\n"


def test_forks_under_load() -> None:
    # Other threads are in the middle of everything: evaluations, allocations, random keys.
    out = run(
        FORKED
        + """
    stop = False

    def load():
        while not stop:
            a = pc.random.normal((64, 64))
            pc.async_eval(a + 1)
            (pc.exp(a) @ a).sum().item()

    threads = [threading.Thread(target=load) for _ in range(3)]
    for t in threads:
        t.start()
    ones = pc.ones((64, 64))

    def work():
        x = pc.random.normal((64, 64))
        pc.async_eval(x)
        return (ones @ ones).sum().item() == 64**3 and x.sum().item() == x.sum().item()

    failures = [status for status in (forked(work) for _ in range(60)) if status]
    stop = True
    for t in threads:
        t.join()
    print(failures)
    """
    )
    assert out == "[]\n"


def test_a_process_may_end_while_it_evaluates() -> None:
    for ending in (
        "",
        "raise SystemExit(0)",
        "import os; os._exit(0)",
        "import threading; threading.Thread(target=f).start()",
    ):
        run(
            f"""
    import plait.core as pc
    def f():
        return (pc.random.normal((900, 900)) @ pc.ones((900, 900))).sum().item()
    x = pc.random.normal((1200, 1200))
    pc.async_eval(x @ x @ x @ x, pc.take(x, pc.array([5000])))
    {ending}
    """
        )


def test_signals_reach_python_code_of_a_child() -> None:
    child = os.fork()
    if child == 0:
        try:
            signal.signal(signal.SIGALRM, lambda *_: os._exit(7))
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            x = pc.ones((400, 400))
            while True:
                pc.eval(x @ x + 1)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
