"""Streams: contexts, defaults, waiting, and several threads at once."""

import threading
from typing import Any

import numpy as np
import pytest

import plait.core as pc
from on_threads import on_threads


def test_the_default_stream_and_contexts() -> None:
    assert pc.default_stream(pc.default_device()).device == pc.default_device()
    first = pc.default_stream(pc.cpu)
    assert first.device == pc.Device(pc.cpu, 0)
    other = pc.new_stream(pc.cpu)
    assert other != first and len({first, other, pc.new_stream(pc.default_device())}) == 3
    with pc.stream(other):
        assert pc.default_stream(pc.cpu) == other
        with pc.stream(pc.cpu):
            pass
        assert pc.default_stream(pc.cpu) == other
        with pytest.raises(ZeroDivisionError), pc.stream(first):
            assert pc.default_stream(pc.cpu) == first
            raise ZeroDivisionError
        assert pc.default_stream(pc.cpu) == other
    assert pc.default_stream(pc.cpu) == first


def test_a_context_may_be_used_again() -> None:
    first, other = pc.default_stream(pc.cpu), pc.new_stream(pc.cpu)
    context = pc.stream(other)
    for _ in range(2):
        with context:
            with context:
                assert pc.default_stream(pc.cpu) == other
            assert pc.default_stream(pc.cpu) == other
        assert pc.default_stream(pc.cpu) == first


def test_functions_take_a_stream() -> None:
    other = pc.new_stream(pc.cpu)
    a = pc.add(pc.ones(3, stream=other), 1, stream=other)
    for stream in (other, pc.cpu, pc.Device(pc.cpu), None, pc.new_thread_local_stream(pc.cpu)):
        assert pc.multiply(a, 2, stream=stream).tolist() == [4, 4, 4]
    assert a.sum(stream=other).item() == 6
    for bad in ("cpu", 0, 1.5):
        with pytest.raises(TypeError):
            pc.add(a, 1, stream=bad)  # type: ignore[arg-type]
    if not pc.is_available(pc.gpu):
        with pytest.raises(ValueError):
            pc.add(a, 1, stream=pc.gpu)


def test_results_of_one_stream_are_operands_of_another() -> None:
    start = pc.random.normal((300, 300)) / 17

    def chain(streams: list[pc.Stream]) -> list[Any]:
        a = start
        for i in range(9):
            with pc.stream(streams[i % len(streams)]):
                a = pc.tanh(a @ a) * 3
                pc.async_eval(a)
        for stream in streams:
            pc.synchronize(stream)
        return a.tolist()  # type: ignore[return-value]

    assert chain([pc.new_stream(pc.cpu) for _ in range(3)]) == chain([pc.default_stream(pc.cpu)])


def test_synchronize_waits_for_its_stream() -> None:
    stream = pc.new_stream(pc.cpu)
    x = pc.random.normal((500, 500)) / 25
    pc.eval(x)
    with pc.stream(stream):
        y = x
        for _ in range(20):
            y = pc.tanh(y @ x)
        pc.async_eval(y)
    pc.synchronize(stream)
    pc.synchronize()  # nothing to wait for on the default stream
    assert pc.get_array_buffer_size(y) >= 500 * 500 * 4  # raises for an array that is not evaluated
    for bad in ("cpu", 1):
        with pytest.raises(TypeError):
            pc.synchronize(bad)  # type: ignore[arg-type]


def test_each_thread_has_its_own_default() -> None:
    first = pc.default_stream(pc.cpu)

    def work(i: int) -> tuple[bool, float, bool]:
        stream = pc.new_stream(pc.cpu)
        with pc.stream(stream):
            a = pc.full((100, 100), float(i))
            for _ in range(20):
                a = (a @ a) / 100 - a * a + i  # stays i
                pc.async_eval(a)
            inside = pc.default_stream(pc.cpu) == stream
        pc.synchronize(stream)
        pc.set_default_stream(stream)
        return inside, a.max().item(), pc.default_stream(pc.cpu) == stream

    assert on_threads(8, work) == [(True, float(i), True) for i in range(8)]
    assert pc.default_stream(pc.cpu) == first


def test_one_stream_used_by_all_threads() -> None:
    stream = pc.new_stream(pc.cpu)
    shared = pc.random.normal((200, 200)) + 0  # evaluated by whoever comes first
    want = float(np.asarray(shared + 0).sum())

    def work(i: int) -> float:
        with pc.stream(stream):
            values = [shared.sum() + k for k in range(30)]
            pc.async_eval(*values[::2])
            pc.synchronize(stream)
            return values[-1].item() - 29

    np.testing.assert_allclose(on_threads(6, work), want, rtol=1e-3, atol=1e-2)


def test_thread_local_streams() -> None:
    local = pc.new_thread_local_stream(pc.cpu)
    assert local == local and local != pc.new_thread_local_stream(pc.cpu)

    def work(i: int) -> pc.Stream:
        with pc.stream(local):
            a = pc.ones((50, 50)) * i
            pc.async_eval(a)
            pc.synchronize(local)
            assert a.sum().item() == 2500 * i
            return pc.default_stream(pc.cpu)

    assert len(set(on_threads(5, work))) == 5


def test_an_array_made_here_is_evaluated_there() -> None:
    arrays = [pc.random.normal((64, 64)) @ pc.ones((64, 64)) for _ in range(12)]
    total = sum(arrays, pc.zeros((64, 64)))

    def work(i: int) -> list[float]:
        return [a.sum().item() for a in (*arrays[i:], *arrays[:i])] + [total.sum().item()]

    for i, sums in enumerate(on_threads(6, work)):
        at = len(arrays) - i
        assert sums[at:-1] + sums[:at] == on_threads(1, lambda _: [a.sum().item() for a in arrays])[0]


def test_errors_stay_on_their_thread() -> None:
    def work(i: int) -> str:
        a = pc.take(pc.ones(4), pc.array([i]))
        pc.async_eval(a)
        try:
            return str(a.item())
        except IndexError as error:
            return error.got  # type: ignore[attr-defined, no-any-return]

    results = on_threads(8, work)
    assert results[:4] == ["1.0"] * 4
    assert results[4:] == [f"position {i} in an axis of extent 4" for i in range(4, 8)]


def test_one_context_within_many_threads() -> None:
    """A context is entered and left by each thread for itself, in whatever order."""
    first, other = pc.default_stream(pc.cpu), pc.new_stream(pc.cpu)
    context = pc.stream(other)
    barrier = threading.Barrier(4)

    def work(i: int) -> list[bool]:
        seen = []
        for _ in range(20):
            with context:
                barrier.wait()
                seen.append(pc.default_stream(pc.cpu) == other)
            seen.append(pc.default_stream(pc.cpu) == first)
            barrier.wait()
        return seen

    assert all(all(seen) for seen in on_threads(4, work))
    assert pc.default_stream(pc.cpu) == first


def test_contexts_of_all_kinds_nest() -> None:
    first, other, local = pc.default_stream(pc.cpu), pc.new_stream(pc.cpu), pc.new_thread_local_stream(pc.cpu)
    with pc.stream(local):
        mine = pc.default_stream(pc.cpu)
        assert mine not in (first, other)
        with pc.stream(pc.Device(pc.cpu)), pc.stream(other), pc.StreamContext(local):
            assert pc.default_stream(pc.cpu) == mine
            with pc.stream(pc.cpu):  # the device's default stream of this thread, which the block chose
                assert pc.default_stream(pc.cpu) == mine
            assert pc.default_device() == pc.Device(pc.cpu)
    assert pc.default_stream(pc.cpu) == first
    for bad in ("cpu", 0, None, pc.ones(2)):
        with pytest.raises(TypeError):
            pc.stream(bad)  # type: ignore[arg-type]


def test_streams_as_values() -> None:
    a, b, c = pc.new_stream(pc.cpu), pc.new_thread_unsafe_stream(pc.Device(pc.cpu)), pc.new_stream(pc.cpu)
    assert len({a, b, c}) == 3 and a == a and a != b and (a == 1) is False
    assert repr(a).startswith("Stream(Device(cpu, 0), ")
    assert a.device == pc.cpu == pc.Device(pc.cpu, 0) and hash(a.device) == hash(pc.Device(pc.cpu))
    local = pc.new_thread_local_stream(pc.cpu)
    assert local.device == pc.Device(pc.cpu) and repr(local).startswith("ThreadLocalStream(Device(cpu, 0), ")
    pc.clear_streams()
    assert pc.add(pc.ones(2), 1, stream=a).tolist() == [2, 2]  # those that are held go on
    for function in (pc.new_stream, pc.new_thread_local_stream, pc.new_thread_unsafe_stream, pc.default_stream):
        for bad in ("cpu", 0, None, a):
            with pytest.raises(TypeError):
                function(bad)  # type: ignore[arg-type]
        with pytest.raises(pc.DeviceError) as raised:
            function(pc.Device(pc.cpu, 9))
        assert "cpu 9" in raised.value.got  # type: ignore[attr-defined]


def test_devices_are_described() -> None:
    assert (
        pc.is_available(pc.cpu) and pc.is_available(pc.Device(pc.cpu, 0)) and not pc.is_available(pc.Device(pc.cpu, 1))
    )
    assert pc.device_count(pc.cpu) == 1 and pc.device_count(pc.gpu) >= 0
    assert pc.is_available(pc.gpu) == (pc.device_count(pc.gpu) > 0) == pc.cuda.is_available()
    info = pc.device_info(pc.cpu)
    assert info["architecture"] and info["device_name"]
    assert pc.device_info() == pc.device_info(pc.default_device())
    assert pc.device_info(pc.Device(pc.cpu, 5)) == {} and pc.device_info(pc.Device(pc.gpu, 63)) == {}
    if pc.is_available(pc.gpu):
        assert pc.device_info(pc.gpu)["memory_size"] > 0  # type: ignore[operator]
    with pytest.raises(TypeError):
        pc.device_info("cpu")  # type: ignore[arg-type]


def test_the_default_device_is_the_process_s() -> None:
    before = pc.default_device()
    try:
        pc.set_default_device(pc.cpu)
        assert pc.default_device() == pc.Device(pc.cpu)
        assert on_threads(2, lambda _: pc.default_device()) == [pc.Device(pc.cpu)] * 2
        for missing in (pc.Device(pc.cpu, 3), pc.Device(pc.gpu, 63)):
            with pytest.raises(pc.DeviceError):
                pc.set_default_device(missing)
        assert pc.default_device() == pc.Device(pc.cpu)
        with pytest.raises(TypeError):
            pc.set_default_device("cpu")  # type: ignore[arg-type]
    finally:
        pc.set_default_device(before)


def test_threads_share_what_they_build() -> None:
    """One graph that all threads extend, differentiate, batch and evaluate, while others do the same."""
    weight = pc.random.normal((32, 32)) / 6
    x = pc.tanh(pc.random.normal((16, 32)) @ weight)  # pending: whoever comes first evaluates it
    local = pc.new_thread_local_stream(pc.cpu)

    def loss(w: Any, x: Any) -> Any:
        return (pc.tanh(x @ w) ** 2).mean()

    compiled = pc.compile(pc.value_and_grad(loss))
    checkpointed = pc.grad(pc.checkpoint(loss))

    def build(i: int) -> list[Any]:
        shared = x * 2 if i % 2 else x + x  # the same numbers
        value, slope = compiled(weight, shared)
        again = checkpointed(weight, shared)
        each = pc.vmap(lambda row: loss(weight, row[None]))(shared)
        loop = pc.scan(lambda c, row: (c + row.sum(), c), pc.array(0.0), shared)[0]
        return [value, slope, again, each.mean(), loop]

    def numbers(arrays: list[Any]) -> list[Any]:
        return [a.tolist() for a in arrays]

    want = numbers(build(0))

    def work(i: int) -> list[Any]:
        with pc.stream(local):
            results = [build(i + k) for k in range(6)]
            pc.async_eval(results[::2])
            pc.eval(results[-1])
            if i % 2:
                pc.synchronize(local)
            return [numbers(r) for r in results]

    for results in on_threads(6, work):
        for got in results:
            for mine, theirs in zip(got, want, strict=True):
                np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-6)


def test_arrays_change_hands_between_threads() -> None:
    """Producers make and replace arrays, consumers evaluate them; every value is one that was put there."""
    slots = [pc.zeros((64,)) for _ in range(4)]

    def work(i: int) -> int:
        if i < 3:
            for k in range(150):
                at = (i + k) % len(slots)
                slots[at] = pc.full((64,), float(k)) * 1 + slots[at] * 0
            return 0
        looked = 0
        for _ in range(100):
            for a in list(slots):
                values = set(a.tolist())  # type: ignore[arg-type]
                assert len(values) == 1 and values.pop().is_integer()
                looked += 1
        return looked

    results = on_threads(6, work)
    assert results[3:] == [400] * 3
