"""Two memories, on a simulated GPU and on a real one: what crosses, what is refused, what is said."""

from typing import Any

import pytest

import plait.core as pc
from plait import transfers
from programs import finished


def output_of(program: str, environment: dict[str, str]) -> str:
    return finished(program, environment).stdout


def test_a_training_loop_moves_batches_and_losses_only(gpu: dict[str, str]) -> None:
    program = """
    import numpy as np
    import plait.core as pc, plait.nn as nn, plait.optimizers as optim
    from plait import transfers

    pc.set_default_device(pc.gpu)
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))
    optimizer = optim.Adam(learning_rate=1e-2)
    x, y = np.random.rand(32, 8).astype(np.float32), np.random.randint(0, 4, 32).astype(np.int32)
    step = nn.value_and_grad(model, lambda x, y: nn.losses.cross_entropy(model(x), y, reduction="mean"))
    def train(steps):
        losses = []
        for _ in range(steps):
            loss, grads = step(pc.array(x), pc.array(y))
            optimizer.update(model, grads)
            pc.eval(model.parameters(), optimizer.state, loss)
            losses.append(loss.item())
        return losses
    first = train(3)
    with transfers.count() as moved:
        last = train(5)
    assert last[-1] < first[0]
    print(moved["cpu", "gpu:0"].bytes, moved["gpu:0", "cpu"].transfers, moved["gpu:0", "cpu"].bytes)
    """
    batch = 32 * 8 * 4 + 32 * 4
    assert output_of(program, gpu) == f"{5 * batch} 5 {5 * 4}\n"


def test_streams_of_operations_and_contexts(gpu: dict[str, str]) -> None:
    program = """
    import plait.core as pc
    assert pc.is_available(pc.gpu) and pc.device_count(pc.gpu) == 1
    a = pc.arange(4.0, stream=pc.gpu)
    b = pc.add(a, 1, stream=pc.cpu)
    with pc.stream(pc.gpu):
        assert pc.default_device() == pc.Device(pc.gpu, 0)
        c = a * b
    assert pc.default_device() == pc.Device(pc.cpu, 0)
    print(c.tolist(), (c @ c).item())
    pc.synchronize(pc.default_stream(pc.gpu))
    """
    assert output_of(program, gpu) == "[0.0, 2.0, 6.0, 12.0] 184.0\n"


def test_the_guard_names_the_line(gpu: dict[str, str]) -> None:
    program = """
    import plait.core as pc
    from plait import transfers
    x = pc.array([1.0, 2.0])
    with transfers.guard("log"):
        y = pc.add(x, 1, stream=pc.gpu); pc.eval(y)
    z = pc.multiply(x, x, stream=pc.gpu)
    with transfers.guard("error"):
        pc.eval(z)
        w = pc.add(y, z, stream=pc.cpu)
        try:
            pc.eval(w)
        except RuntimeError as error:
            print(error)
    assert w.tolist() == [3.0, 7.0]
    print(transfers.report())
    """
    done = finished(program, gpu)
    assert "8 bytes from host to device 0 at <string>:6" in done.stderr
    assert "<string>:10" in done.stdout and "transfers are forbidden" in done.stdout


def test_what_has_no_kernel_is_said_once_or_refused() -> None:
    program = """
    import plait.core as pc
    from plait import transfers
    pc.set_default_device(pc.gpu)
    x = pc.array([3.0, 1.0, 2.0])
    for _ in range(3):
        assert pc.sort(x + 0).tolist() == [1.0, 2.0, 3.0]
    with transfers.fallback("error"):
        try:
            pc.eval(pc.sort(x + 0))
        except RuntimeError as error:
            print(error)
    """
    done = finished(program, {"PLAIT_SIMULATE_GPU": "1", "PLAIT_SIMULATE_WITHOUT": "sort"})
    assert done.stderr.count("runs on the CPU") == 1 and "<string>:7" in done.stderr
    assert "sort" in done.stdout and "<string>:10" in done.stdout


def test_a_numpy_view_that_is_written_to_counts(gpu: dict[str, str]) -> None:
    program = """
    import numpy as np
    import plait.core as pc
    a = pc.array(np.zeros(3, np.float32))
    view = np.array(a, copy=False)
    on_gpu = lambda: pc.add(a, 1, stream=pc.gpu).tolist()
    print(on_gpu())
    view[0] = 5
    print(on_gpu())
    del view
    print(on_gpu(), on_gpu())
    """
    assert output_of(program, gpu) == "[1.0, 1.0, 1.0]\n[6.0, 1.0, 1.0]\n[6.0, 1.0, 1.0] [6.0, 1.0, 1.0]\n"


def test_views_end_while_others_move_the_same_array(gpu: dict[str, str]) -> None:
    program = """
    import threading
    import numpy as np
    import plait.core as pc
    pc.set_default_device(pc.gpu)
    x = pc.arange(8.0)
    pc.eval(x)
    def work():
        for k in range(200):
            assert np.array(x * k).sum() == 28 * k and np.array(x).sum() == 28
    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(x.tolist()[-1])
    """
    assert output_of(program, gpu) == "7.0\n"


def test_memory_is_that_of_the_default_device(gpu: dict[str, str]) -> None:
    program = """
    import plait.core as pc
    host = pc.get_active_memory()
    pc.set_default_device(pc.gpu)
    assert pc.get_active_memory() == 0
    a = pc.arange(1.0, (1 << 20) + 1.0) * 1.0
    pc.eval(a)
    assert 4 << 20 <= pc.get_active_memory() <= pc.get_peak_memory() < 5 << 20
    limit = pc.set_memory_limit(6 << 20)
    try:
        pc.eval(a + 1)
    except MemoryError as error:
        print(error)
    assert pc.set_memory_limit(limit) == 6 << 20
    assert (a + 1).max().item() == (1 << 20) + 1
    info = pc.device_info()
    assert info == pc.device_info(pc.gpu) != pc.device_info(pc.cpu)
    pc.set_default_device(pc.cpu)
    assert pc.get_active_memory() == host
    """
    assert "(limit 6.0 MiB)" in output_of(program, gpu)


def test_host_and_gpu_work_at_once(gpu: dict[str, str]) -> None:
    """The device's part is enqueued first: the host's does not wait for it, and both end as one program would."""
    program = """
    import plait.core as pc
    from plait import transfers
    x = pc.random.normal((64, 64)) * 0.1
    pc.eval(x)
    def program(here, there):
        a, b = x, x
        for _ in range(20):
            a = pc.tanh(pc.matmul(a, x, stream=there), stream=there)
            b = pc.tanh(pc.matmul(b, x, stream=here), stream=here)
        return pc.add(a, b, stream=here)
    want = program(pc.cpu, pc.cpu)
    with transfers.count() as moved:
        got = program(pc.cpu, pc.gpu)
        pc.eval(got)
    assert pc.allclose(got, want, 1e-4, 1e-5).item()
    print(moved["cpu", "gpu:0"].transfers, moved["gpu:0", "cpu"].transfers)
    """
    assert output_of(program, gpu) == "1 1\n"


@pytest.mark.parametrize("context", [transfers.guard, transfers.fallback])
def test_policies_are_checked_and_restored(context: Any) -> None:
    with pytest.raises(pc.ArgumentError, match="'allow', 'log' or 'error'"), context("never"):
        pass
    with pc.stream(pc.cpu), context("error"), context("allow"), transfers.count() as moved:
        assert (pc.ones(3) + 1).tolist() == [2.0, 2.0, 2.0]
    assert moved.total == transfers.Totals()
