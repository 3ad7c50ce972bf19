"""Memory shared with NumPy, PyTorch, JAX and whatever has a buffer: by pointer, with and without copies."""

import array as python_array
import copy
import gc
import importlib.util
import os
import pickle
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import plait.core as pc

CPU = (1, 0)


@pytest.fixture(autouse=True)
def on_the_cpu() -> Iterator[None]:
    with pc.stream(pc.cpu):
        yield


def address(a: Any) -> int:
    return int(np.asarray(a).__array_interface__["data"][0])


DTYPES = [
    "bool",
    "uint8",
    "int8",
    "uint16",
    "int16",
    "uint32",
    "int32",
    "uint64",
    "int64",
    "float16",
    "float32",
    "complex64",
]


@pytest.mark.parametrize("name", DTYPES)
def test_numpy_sees_the_same_memory(name: str) -> None:
    a = pc.array([[0, 1, 2], [3, 4, 5]]).astype(getattr(pc, name.replace("bool", "bool_")))
    by_buffer, by_dlpack = np.asarray(a), np.from_dlpack(a)  # type: ignore[arg-type]
    assert by_buffer.dtype == by_dlpack.dtype == np.dtype(name)
    assert by_buffer.ctypes.data == by_dlpack.ctypes.data
    by_buffer[1, 2] = 1
    assert a[1, 2].item() == 1  # written through the view
    assert np.array(a).ctypes.data != by_buffer.ctypes.data

    n = np.arange(6).reshape(2, 3).astype(name)
    for shared in (pc.from_dlpack(n), pc.asarray(n, copy=False)):
        assert np.asarray(shared).ctypes.data == n.ctypes.data
        n[0, 0] = 1
        assert shared[0, 0].item() == 1
    for copied in (pc.from_dlpack(n, copy=True), pc.asarray(n, copy=True), pc.asarray(n), pc.array(n)):
        assert np.asarray(copied).ctypes.data != n.ctypes.data


def test_views_are_shared_as_they_are() -> None:
    n = np.arange(24, dtype=np.float32).reshape(4, 6)
    for view in (n.T, n[::2, 1::2], n[::-1], n[2], n[:0], n[1:2, 3:4].reshape(())):
        shared = pc.from_dlpack(view)
        np.testing.assert_array_equal(np.asarray(shared), view)
        assert not view.size or np.asarray(shared).ctypes.data == view.ctypes.data
        np.testing.assert_array_equal(np.asarray(shared + 1), view + 1)
    a = pc.arange(24.0).reshape(4, 6)
    whole = np.asarray(a)
    for part, want in ((a.T, whole.T), (a[::2, 1::2], whole[::2, 1::2]), (a[2], whole[2])):
        got = np.from_dlpack(part)  # type: ignore[arg-type]
        np.testing.assert_array_equal(got, want)


def test_what_shares_memory_is_kept_and_never_reused() -> None:
    n = np.ones(1000, np.float32)
    shared = pc.from_dlpack(n)
    del n
    gc.collect()
    for _ in range(5):
        result = shared * 2 + 1  # may not overwrite what is not plait's
        pc.eval(result)
        assert result.sum().item() == 3000 and shared.sum().item() == 1000
    a = pc.ones(1000) + 0
    view = np.from_dlpack(a)  # type: ignore[arg-type]
    a = a * 3
    pc.eval(a)
    assert view.sum() == 1000 and a.sum().item() == 3000
    del a
    gc.collect()
    assert view.sum() == 1000


def test_memory_that_may_not_be_written() -> None:
    n = np.arange(4, dtype=np.float32)
    n.flags.writeable = False
    for shared in (pc.asarray(n, copy=False), pc.asarray(memoryview(n), copy=False)):
        out = np.asarray(shared)
        assert out.ctypes.data == n.ctypes.data and not out.flags.writeable
        with pytest.raises(ValueError):
            out[0] = 1
        with pytest.raises(BufferError):
            shared.__dlpack__()  # an old consumer could not be told
        assert "dltensor_versioned" in repr(shared.__dlpack__(max_version=(1, 0)))
        assert np.from_dlpack(shared).ctypes.data == n.ctypes.data  # type: ignore[arg-type]
        shared[0] = 7  # another value of the array, not a write
        assert n[0] == 0 and shared[0].item() == 7


@pytest.mark.parametrize(
    "source",
    [bytearray(b"\1\2\3\4"), python_array.array("f", [1, 2, 3]), memoryview(bytearray(8)).cast("h"), b"\1\2"],
    ids=["bytearray", "array", "memoryview", "bytes"],
)
def test_buffers_are_shared_by_request(source: Any) -> None:
    shared = pc.asarray(source, copy=False)
    raw = np.frombuffer(source, np.uint8)
    assert np.asarray(shared).ctypes.data == raw.ctypes.data
    assert np.asarray(shared).tobytes() == bytes(raw)
    assert np.asarray(shared).flags.writeable == (not isinstance(source, bytes))
    if isinstance(source, bytearray):
        with pytest.raises(BufferError):
            source.append(5)  # its memory is in use
        source[0] = 9
        assert shared[0].item() == 9
    assert np.asarray(pc.asarray(np.frombuffer(source, np.uint8))).ctypes.data != raw.ctypes.data


def test_what_cannot_be_shared_says_so() -> None:
    unaligned = np.frombuffer(bytearray(17), np.uint8)[1:].view("f8")
    for bad in (np.zeros(2, np.complex128), memoryview(np.zeros(2, np.complex128)), [1, 2], 3.5):
        with pytest.raises(ValueError):
            pc.asarray(bad, copy=False)
    with pytest.raises(ValueError):
        pc.asarray(memoryview(unaligned), copy=False)
    with pytest.raises(ValueError):
        pc.asarray(np.zeros(2, np.float32), pc.float16, copy=False)
    with pytest.raises(ValueError):
        pc.asarray(memoryview(np.zeros(2, "M8[s]").view("V8")), copy=False)
    wide = np.ones(2)
    assert pc.from_dlpack(wide).dtype == pc.float32  # 64-bit floats are converted, unless that is excluded
    kept = pc.from_dlpack(wide, copy=False)
    assert kept.dtype == pc.float64 and np.asarray(kept).ctypes.data == wide.ctypes.data


def test_dlpack_as_the_standard_has_it() -> None:
    a = pc.arange(6.0).reshape(2, 3)
    assert a.__dlpack_device__() == CPU
    assert '"dltensor"' in repr(a.__dlpack__()) and '"dltensor"' in repr(a.__dlpack__(max_version=(0, 8)))
    for version in ((1, 0), (1, 1), (2, 0)):  # what the consumer can read at most
        assert '"dltensor_versioned"' in repr(a.__dlpack__(max_version=version))
    assert '"dltensor"' in repr(a.__dlpack__(stream=None, dl_device=CPU, copy=False))
    for stream in (0, 1, -1):
        with pytest.raises(ValueError):
            a.__dlpack__(stream=stream)
    for device in ((2, 63), (8, 0), (1, 1)):
        with pytest.raises(BufferError):
            a.__dlpack__(dl_device=device)

    class Asked:
        """A consumer's request, as numpy.from_dlpack(a, device=, copy=) makes it."""

        def __init__(self, **request: Any) -> None:
            self.request = request

        def __dlpack_device__(self) -> tuple[int, int]:
            return CPU

        def __dlpack__(self, **given: Any) -> Any:
            return a.__dlpack__(**(given | self.request))

    assert np.from_dlpack(Asked(copy=False)).ctypes.data == address(a)  # type: ignore[arg-type]
    taken = np.from_dlpack(Asked(copy=True, dl_device=CPU))  # type: ignore[arg-type]
    assert taken.ctypes.data != address(a) and taken.tolist() == a.tolist()
    taken[0, 0] = 100
    assert a[0, 0].item() == 0


def test_bad_producers() -> None:
    class Producer:
        def __init__(self, device: Any, capsule: Any) -> None:
            self.device, self.capsule = device, capsule

        def __dlpack_device__(self) -> Any:
            return self.device

        def __dlpack__(self, **_: Any) -> Any:
            return self.capsule

    used = pc.ones(3).__dlpack__()
    pc.from_dlpack(Producer(CPU, used))
    for device, capsule, error in (
        (CPU, used, TypeError),  # taken already
        (CPU, None, TypeError),
        ((7, 0), used, pc.DeviceError),  # Vulkan
        ((2, 50), used, pc.DeviceError),
    ):
        with pytest.raises(error):
            pc.from_dlpack(Producer(device, capsule))
    for bad in ([1], 3, "text", None):
        with pytest.raises(TypeError):
            pc.from_dlpack(bad)  # type: ignore[arg-type]

    class Old:  # from before version 1 of DLPack
        def __dlpack_device__(self) -> tuple[int, int]:
            return CPU

        def __dlpack__(self, stream: Any = None) -> Any:
            return pc.arange(3).__dlpack__()

    assert pc.from_dlpack(Old()).tolist() == [0, 1, 2]

    class Failing(Old):
        def __dlpack__(self, stream: Any = None) -> Any:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        pc.from_dlpack(Failing())


def test_hooks_of_objects() -> None:
    class Ours:
        def __plait_array__(self) -> pc.array:
            return pc.array([1.0, 2.0])

    class Theirs:
        def __mlx_array__(self) -> pc.array:
            return pc.array([3.0, 4.0])

    class Both(Ours, Theirs):
        pass

    class Wrong:
        def __plait_array__(self) -> int:
            return 3

    class Failing:
        def __mlx_array__(self) -> pc.array:
            raise ZeroDivisionError

    for wrapped, want in ((Ours(), [1, 2]), (Theirs(), [3, 4]), (Both(), [1, 2])):
        assert pc.array(wrapped).tolist() == want  # type: ignore[arg-type]
        assert pc.asarray(wrapped).tolist() == want  # type: ignore[arg-type]
        assert (pc.ones(2) * wrapped).tolist() == want  # type: ignore[operator]
        assert pc.add(wrapped, 1).tolist() == [x + 1 for x in want]  # type: ignore[arg-type]
        assert pc.array([wrapped, wrapped]).tolist() == [want, want]  # type: ignore[list-item]
        assert pc.array(pc.ArrayLike(wrapped), pc.int32).tolist() == want  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        pc.array(Wrong())  # type: ignore[arg-type]
    with pytest.raises(ZeroDivisionError):
        pc.array(Failing())  # type: ignore[arg-type]


def test_copies_and_pickles_of_what_shares_memory() -> None:
    n = np.arange(12, dtype=np.float32).reshape(3, 4)
    shared = pc.from_dlpack(n.T)
    copies = [copy.deepcopy(shared), pickle.loads(pickle.dumps(shared)), copy.copy(shared)]
    for again in copies:
        np.testing.assert_array_equal(np.asarray(again), n.T)
    tree = {"layers": [{"weight": shared}, pc.array(1.5, pc.bfloat16)], "step": 3}
    for again in (copy.deepcopy(tree), pickle.loads(pickle.dumps(tree, 5))):
        assert again["step"] == 3 and again["layers"][1].dtype == pc.bfloat16
        np.testing.assert_array_equal(np.asarray(again["layers"][0]["weight"]), n.T)
    for state in (((2,), "float32", b"123"), ((2,), "float31", b"12345678"), ((-1,), "int8", b""), (1, 2)):
        with pytest.raises((ValueError, TypeError)):
            pc.array(0).__setstate__(state)  # type: ignore[arg-type]


# Frameworks are imported in processes of their own.

FRAMEWORKS = [name for name in ("torch", "jax") if importlib.util.find_spec(name)]
POINTERS = {
    "torch": """
    import torch
    a = pc.arange(6.0).reshape(2, 3)
    t = torch.from_dlpack(a)
    assert t.data_ptr() == address(a), "out by DLPack"
    assert torch.from_numpy(np.asarray(a)).data_ptr() == address(a), "out by the buffer protocol"
    t[1, 2] = 50
    assert a[1, 2].item() == 50
    s = torch.ones(4, 5)[:, 1:3]
    for b in (pc.from_dlpack(s), pc.asarray(s, copy=False)):
        assert address(b) == s.data_ptr() and b.shape == (4, 2)
    s[0, 0] = 3
    assert b[0, 0].item() == 3
    assert address(pc.from_dlpack(s, copy=True)) != s.data_ptr() != address(pc.array(s))
    assert address(pc.asarray(s.numpy(), copy=False)) == s.data_ptr()
    for dtype in (torch.bool, torch.uint8, torch.int16, torch.int64, torch.float16, torch.bfloat16, torch.complex64):
        x = torch.ones(3, dtype=dtype)
        y = torch.from_dlpack(pc.from_dlpack(x))
        assert y.dtype == dtype and y.data_ptr() == x.data_ptr()
    """,
    "jax": """
    import jax
    import jax.numpy as jnp
    a = pc.arange(6.0).reshape(2, 3) + 0
    pc.eval(a)
    j = jnp.from_dlpack(a)
    assert j.unsafe_buffer_pointer() == address(a), "out by DLPack"
    k = jnp.arange(6.0).reshape(2, 3) + 1
    for b in (pc.from_dlpack(k), pc.asarray(k, copy=False)):
        assert address(b) == k.unsafe_buffer_pointer() and b.tolist() == k.tolist()
    assert address(pc.from_dlpack(k, copy=True)) != k.unsafe_buffer_pointer()
    assert address(pc.asarray(np.asarray(k), copy=False)) == k.unsafe_buffer_pointer(), "by the buffer protocol"
    b[0, 0] = 50  # JAX's arrays do not change: another value of b
    assert k[0, 0] == 1 and b[0, 0].item() == 50
    assert jnp.from_dlpack(pc.from_dlpack(k)).unsafe_buffer_pointer() == k.unsafe_buffer_pointer()
    """,
}
HEAD = """
    import numpy as np
    import plait.core as pc
    def address(a):
        return np.asarray(a).ctypes.data
"""


def run(program: str) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "PLAIT_SIMULATE_GPU"}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        env=environment | {"PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if done.returncode == 77:
        pytest.skip(done.stdout.strip())
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_pointers_are_those_of_the_other(framework: str) -> None:
    run(textwrap.dedent(HEAD) + textwrap.dedent(POINTERS[framework]))


GPU = """
    import gc
    import sys
    try:
        import torch
    except ImportError:
        print("PyTorch is not installed"); sys.exit(77)
    if not torch.cuda.is_available():
        print("no GPU that PyTorch can use"); sys.exit(77)
    if not pc.is_available(pc.gpu):
        print("no GPU that plait can use"); sys.exit(77)
    pc.set_default_device(pc.gpu)
    from plait import transfers
"""
# Each is a program behind GPU; pointers are the GPU's.
GPU_PROGRAMS = {
    "out": """
    a = pc.arange(1000.0) * 2
    assert a.__dlpack_device__() == (2, 0)
    with transfers.guard("error"):  # nothing crosses
        t = torch.from_dlpack(a)
        assert t.is_cuda and t.device.index == 0
        again = torch.from_dlpack(a)
        assert t.data_ptr() == again.data_ptr(), "one memory"
        b = pc.from_dlpack(t)
        assert torch.from_dlpack(b).data_ptr() == t.data_ptr(), "there and back"
        a = a + 1  # may not take over what PyTorch sees
        pc.eval(a)
    assert torch.equal(t.cpu(), torch.arange(1000.0) * 2)
    assert a[999].item() == 1999
    del t, again, b
    """,
    "in": """
    t = torch.arange(24.0, device="cuda").reshape(4, 6)
    with transfers.guard("error"):
        for s in (t, t.T, t[::2, 1::2], t[2], t[:0]):
            shared = pc.from_dlpack(s)
            assert shared.device == pc.Device(pc.gpu, 0) and tuple(shared.shape) == tuple(s.shape)
            assert not s.numel() or torch.from_dlpack(shared).data_ptr() == s.data_ptr()
            assert torch.equal(torch.from_dlpack(shared * 2 + 1), s * 2 + 1)
        for copied in (pc.from_dlpack(t, copy=True), pc.array(t)):
            assert torch.from_dlpack(copied).data_ptr() != t.data_ptr()
        assert pc.asarray(t, copy=False).dtype == pc.float32
    np.testing.assert_array_equal(np.asarray(pc.from_dlpack(t)), t.cpu().numpy())
    assert pc.array(t, pc.int32).tolist() == t.int().tolist()
    assert pc.from_dlpack(t.double()).dtype == pc.float32
    assert pc.from_dlpack(t.double(), copy=False).dtype == pc.float64
    for dtype in (torch.bool, torch.uint8, torch.int16, torch.int64, torch.float16, torch.bfloat16, torch.complex64):
        x = torch.ones(3, dtype=dtype, device="cuda")
        y = torch.from_dlpack(pc.from_dlpack(x))
        assert y.dtype == dtype and y.data_ptr() == x.data_ptr()
    """,
    "order": """
    # Work of both, on streams of their own, in the order of the program.
    side = torch.cuda.Stream()
    x = torch.ones(1 << 20, device="cuda")
    for i in range(60):
        with torch.cuda.stream(side):
            y = x * 3 + i  # enqueued, not waited for
            for _ in range(5):
                y = torch.sqrt(y * y)
            a = pc.from_dlpack(y)
            del y  # the memory stays until plait has read it
        b = a * 2 + 1
        del a
        with torch.cuda.stream(side):
            z = torch.from_dlpack(b)
            del b
            total = (z - 1).sum().item()
        assert abs(total - (1 << 20) * 2 * (3 + i)) < 1e-3 * total, (i, total)
        del z
        filler = pc.zeros(1 << 20) + 7  # what is free may be used again
        pc.async_eval(filler)
    """,
    "requests": """
    a = pc.arange(10.0) + 1
    host = np.from_dlpack(a, device="cpu") if np.lib.NumpyVersion(np.__version__) >= "2.1.0" else np.asarray(a)
    assert host.tolist() == a.tolist()
    try:
        a.__dlpack__(dl_device=(1, 0), copy=False)
    except BufferError:
        pass
    else:
        raise AssertionError("another memory without a copy")
    for stream in (None, -1, 1, 2, torch.cuda.current_stream().cuda_stream or 1):
        t = torch.utils.dlpack.from_dlpack(a.__dlpack__(stream=stream, max_version=None))
        assert t.is_cuda and t.tolist() == a.tolist()
    try:
        a.__dlpack__(stream=0)
    except ValueError:
        pass
    else:
        raise AssertionError("stream 0")
    on_cpu = pc.array([1.0, 2.0])
    t = torch.utils.dlpack.from_dlpack(on_cpu.__dlpack__(dl_device=(2, 0)))
    assert t.is_cuda and t.tolist() == [1, 2]
    c = torch.utils.dlpack.from_dlpack(a.__dlpack__(copy=True))
    c += 100
    assert a[0].item() == 1
    """,
    "lifetimes": """
    held = pc.get_active_memory()
    for _ in range(20):
        t = torch.from_dlpack(pc.ones(1 << 20) + 1)
        s = pc.from_dlpack(torch.ones(1 << 20, device="cuda"))
        assert t.sum().item() == 2 << 20 and s.sum().item() == 1 << 20
        del t, s
    gc.collect()
    pc.synchronize()
    assert pc.get_active_memory() <= held + (8 << 20), (held, pc.get_active_memory())
    before = torch.cuda.memory_allocated()
    s = pc.from_dlpack(torch.ones(1 << 20, device="cuda"))
    assert torch.cuda.memory_allocated() >= before + (4 << 20)
    del s
    assert torch.cuda.memory_allocated() == before
    """,
}


@pytest.mark.parametrize("name", GPU_PROGRAMS)
def test_memory_of_a_gpu(name: str) -> None:
    run(textwrap.dedent(HEAD) + textwrap.dedent(GPU) + textwrap.dedent(GPU_PROGRAMS[name]))
