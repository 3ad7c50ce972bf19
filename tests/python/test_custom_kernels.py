"""Kernels from source, for the CPU and for GPUs: values, calls, errors, transforms, the cache of machine code."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import plait.core as pc

NAMES = ["bool_", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64"]
NAMES += ["float16", "bfloat16", "float32", "float64", "complex64"]
HAVE_COMPILER = any(shutil.which(name) for name in (os.environ.get("PLAIT_CXX", "c++"), "g++", "clang++"))
HAVE_GPU = not os.environ.get("PLAIT_SIMULATE_GPU") and pc.is_available(pc.gpu)

on_cpu = pytest.param("cpu", marks=pytest.mark.skipif(not HAVE_COMPILER, reason="NO C++ COMPILER, NOT TESTED"))
on_gpu = pytest.param("gpu", marks=pytest.mark.skipif(not HAVE_GPU, reason="NO GPU, NOT TESTED"))
needs_compiler = pytest.mark.skipif(not HAVE_COMPILER, reason="NO C++ COMPILER, NOT TESTED")
needs_gpu = pytest.mark.skipif(not HAVE_GPU, reason="NO GPU, NOT TESTED")
both = pytest.mark.parametrize("where", [on_cpu, on_gpu])

# A thread's own place in the grid, in the words of each language; bodies below say ELEM, X, Y, Z.
PLACES = {
    "cpu": {a.upper(): f"thread_position_in_grid.{a}" for a in "xyz"},
    "gpu": {a.upper(): f"(blockIdx.{a} * (long long)blockDim.{a} + threadIdx.{a})" for a in "xyz"},
}
Kernel = Callable[..., list[pc.array]]


def kernel(where: str, body: str, inputs: str = "inp", outputs: str = "out", name: str = "test", **more: Any) -> Kernel:
    header = "".join(f"#define {axis} {place}\n" for axis, place in PLACES[where].items()) + more.pop("header", "")
    make = pc.fast.cpu_kernel if where == "cpu" else pc.fast.cuda_kernel
    return make(name, inputs.split(), outputs.split(), body, header=header, **more)


def like(x: pc.array, **more: Any) -> dict[str, Any]:
    """A call with a thread for each element, and an output like x."""
    call = {"output_shapes": [x.shape], "output_dtypes": [x.dtype], "grid": (x.size, 1, 1), "threadgroup": (64, 1, 1)}
    return {**call, **more}


def twice(where: str) -> Callable[[pc.array], pc.array]:
    made = kernel(where, "out[X] = inp[X] + inp[X];")
    return lambda x: made(inputs=[x], **like(x))[0]


@both
def test_the_documented_example(where: str) -> None:
    exp = "exp" if where == "gpu" else "std::exp"
    made = kernel(where, f"auto elem = X; T tmp = inp[elem]; out[elem] = {exp}(tmp);", name="myexp")
    a = pc.random.normal((4, 16))
    (b,) = made(inputs=[a], template=[("T", pc.float32)], **like(a))
    np.testing.assert_allclose(np.array(b), np.exp(np.array(a)), rtol=1e-6)


@both
@pytest.mark.parametrize("name", NAMES)
def test_every_dtype_passes(where: str, name: str) -> None:
    dtype = getattr(pc, name)
    a = pc.array([0, 1, 1, 0, 1]).astype(dtype)
    (b,) = kernel(where, "T x = inp[X]; out[X] = x;")(inputs=[a], template=[("T", dtype)], **like(a))
    assert b.dtype == dtype
    assert b.tolist() == a.tolist()


@both
@pytest.mark.parametrize("name", ["float16", "bfloat16"])
def test_short_floats_are_rounded_as_by_plait(where: str, name: str) -> None:
    numbers = np.random.default_rng(0).integers(0, 2**32, 4096, dtype=np.uint32).view(np.float32)
    edges = np.array([0.0, -0.0, 65504, 65519.99, 65520, 6e-8, 2.9e-8, 3e-8, np.inf, -np.inf], np.float32)
    x = pc.array(np.concatenate([numbers, edges]))
    dtype = getattr(pc, name)
    conversion = "(T)(float)" if where == "gpu" else ""
    made = kernel(where, f"out[X] = {conversion}inp[X]; back[X] = (float)out[X];", outputs="out back")
    call = like(x, output_shapes=[x.shape] * 2, output_dtypes=[dtype, pc.float32])
    out, back = made(inputs=[x], template=[("T", dtype)], **call)
    want = x.astype(dtype)
    same = pc.array(np.isnan(np.array(x)))
    assert pc.all(pc.where(same, pc.isnan(out), out.view(pc.uint16) == want.view(pc.uint16))).item()
    np.testing.assert_array_equal(np.array(back), np.array(want.astype(pc.float32)))


@needs_compiler
def test_short_floats_calculate_in_float32() -> None:
    for dtype in (pc.float16, pc.bfloat16):
        x, y = (pc.random.normal((257,), key=pc.random.key(i)).astype(dtype) for i in (1, 2))
        made = kernel("cpu", "T z = a[X] * b[X] + 1; z += a[X]; z /= 2; out[X] = std::sqrt(z * z);", "a b")
        (out,) = made(inputs=[x, y], template=[("T", dtype)], **like(x))
        z = (x.astype(pc.float32) * y.astype(pc.float32) + 1).astype(dtype)
        z = (z.astype(pc.float32) + x.astype(pc.float32)).astype(dtype)
        assert out.tolist() == pc.abs((z.astype(pc.float32) / 2).astype(dtype)).tolist()


@both
def test_several_inputs_outputs_and_values(where: str) -> None:
    body = "if (NEGATE) { p[X] = -(a[X] + K); } else { p[X] = a[X] + K; } q[X] = b[0] * (BIG > 5000000000);"
    made = kernel(where, body, "a b", "p q")
    a, b = pc.arange(10), pc.array(2.5)
    call = like(a, output_shapes=[(10,), (2, 5)], output_dtypes=[pc.int32, pc.float32])
    values = [("NEGATE", True), ("K", -3), ("BIG", 5_000_000_001)]
    p, q = made(inputs=[a, b], template=values, **call)
    assert p.tolist() == [3 - i for i in range(10)]
    assert q.shape == (2, 5)
    assert q.tolist() == [[2.5] * 5] * 2
    (p, _) = made(inputs=[a, 2.5], template=[("NEGATE", False), ("K", 7), ("BIG", 0)], **call)
    assert p.tolist() == [7 + i for i in range(10)]
    lowest = kernel(where, "out[X] = K;")
    for k in (-(2**63), 2**63 - 1, -(2**31), -(2**31) - 1):
        assert lowest(inputs=[a], template=[("K", k)], **like(a, output_dtypes=[pc.int64]))[0].tolist() == [k] * 10


@both
@pytest.mark.parametrize("group", [(4, 2, 1), (3, 5, 2), (64, 8, 2), (1, 1, 1)])
def test_every_thread_of_the_grid_runs_once(where: str, group: tuple[int, int, int]) -> None:
    nx, ny, nz = 13, 6, 5
    made = kernel(where, "long long at = (Z * 6 + Y) * 13 + X; out[at] += X + 100 * Y + 10000 * Z;", "")
    call = {"inputs": [], "output_shapes": [(nz, ny, nx)], "output_dtypes": [pc.int32], "threadgroup": group}
    (out,) = made(**call, grid=(nx, ny, nz), init_value=7)
    z, y, x = np.indices((nz, ny, nx))
    np.testing.assert_array_equal(np.array(out), 7 + x + 100 * y + 10000 * z)


@needs_compiler
def test_positions_of_the_cpu() -> None:
    body = """
    auto place = threadgroup_position_in_grid, within = thread_position_in_threadgroup, size = threads_per_threadgroup;
    bool right = place.x * size.x + within.x == thread_position_in_grid.x && within.x < size.x && size.x == 4;
    out[X] = right && place.y == 0 && threads_per_grid.x == 10 && threads_per_grid.z == 1;
    """
    (out,) = kernel("cpu", body, "")(
        inputs=[], output_shapes=[(10,)], output_dtypes=[pc.bool_], grid=(10, 1, 1), threadgroup=(4, 1, 1)
    )
    assert pc.all(out).item()


@both
@pytest.mark.parametrize("name", NAMES)
def test_init_value(where: str, name: str) -> None:
    dtype = getattr(pc, name)
    made = kernel(where, "if (X == 1) { out[X] = inp[0]; }")
    one = pc.array(1).astype(dtype)
    call = like(one, output_shapes=[(5,)], grid=(5, 1, 1))
    (out,) = made(inputs=[one], init_value=0.0, **call)
    assert out.tolist() == pc.array([0, 1, 0, 0, 0]).astype(dtype).tolist()
    (out,) = made(inputs=[one], init_value=1.0, **call)
    assert out.tolist() == pc.ones((5,), dtype).tolist()


@both
def test_strided_inputs(where: str) -> None:
    a = pc.arange(24, dtype=pc.float32).reshape(4, 6)
    view = a.T[::2]
    rows = kernel(where, "out[X] = inp[X];")
    assert rows(inputs=[view], **like(view))[0].tolist() == view.tolist()
    body = "out[X] = inp[elem_to_loc(X, inp_shape, inp_strides, inp_ndim)];"
    strided = kernel(where, body, ensure_row_contiguous=False)
    for x in (view, a, a[1:3, ::-1], pc.broadcast_to(a[0], (3, 6)), pc.array(3.0)):
        assert strided(inputs=[x], **like(x))[0].tolist() == x.tolist()
    described = kernel(where, "out[0] = inp_ndim; out[1] = inp_shape[1]; out[2] = inp_strides[1];")
    call = {"output_shapes": [(3,)], "output_dtypes": [pc.int64], "grid": (1, 1, 1), "threadgroup": (1, 1, 1)}
    assert described(inputs=[view], **call)[0].tolist() == [2, 4, 1]


@both
def test_macros_of_the_header_describe_inputs(where: str) -> None:
    a = pc.arange(6, dtype=pc.float32).reshape(2, 3).T
    header = "#define AT(i) elem_to_loc(i, inp_shape, inp_strides, inp_ndim)\n"
    made = kernel(where, "out[X] = inp[AT(X)];", header=header, ensure_row_contiguous=False)
    assert made(inputs=[a], **like(a))[0].tolist() == a.tolist()


@both
def test_empty_arrays_and_grids(where: str) -> None:
    none = pc.zeros((0, 3))
    assert twice(where)(none).tolist() == []
    made = kernel(where, "out[X] = 1;", "")
    call = {"inputs": [], "output_shapes": [(2,)], "output_dtypes": [pc.float32], "threadgroup": (8, 1, 1)}
    for grid in ((0, 1, 1), (1, 0, 1), (2**63 - 1, 1, 0), (2**63 - 1, 2**63 - 1, 0)):
        assert made(**call, grid=grid, init_value=3)[0].tolist() == [3.0, 3.0]


@both
def test_calls_are_lazy_and_new_shapes_make_nothing_anew(where: str) -> None:
    f = twice(where)
    x = pc.ones((3, 5))
    y = f(x) + 1
    assert y.shape == (3, 5)
    assert y.tolist() == [[3.0] * 5] * 3
    pc.eval(f(pc.ones((4, 7))) + 1)
    before = pc.trace_counters()["plans_built"]
    for shape in ((5, 6), (50, 60)):
        pc.eval(f(pc.ones(shape)) + 1)
    assert pc.trace_counters()["plans_built"] == before


@both
def test_within_compile(where: str) -> None:
    f = twice(where)
    g = pc.compile(lambda x: f(x * 2).sum(axis=0))
    for shape in ((3, 4), (3, 4), (7, 2)):
        x = pc.random.normal(shape)
        np.testing.assert_allclose(np.array(g(x)), np.array((4 * x).sum(axis=0)), rtol=1e-6)
    other = kernel(where, "out[X] = inp[X] - 1;")
    h = pc.compile(lambda x: other(inputs=[x], **like(x))[0])
    assert h(pc.zeros((2,))).tolist() == [-1.0, -1.0]


@both
def test_derivatives_and_batches_need_rules(where: str) -> None:
    f = twice(where)
    x = pc.array([1.0, 2.0, 3.0])
    for transform in (
        lambda: pc.grad(lambda a: f(a).sum())(x),
        lambda: pc.jvp(f, [x], [x]),
        lambda: pc.vmap(f)(x[None]),
        lambda: pc.vmap(lambda a: f(a) * 2)(x[None]),
    ):
        with pytest.raises(pc.TransformError) as caught:
            transform()
        assert caught.value.op == f"{'cpu' if where == 'cpu' else 'cuda'}_kernel"
        assert "custom_function" in caught.value.accepts
    assert pc.grad(lambda a: (pc.stop_gradient(f(a)) * a).sum())(x).tolist() == [2.0, 4.0, 6.0]


@both
def test_rules_by_custom_function(where: str) -> None:
    raw = twice(where)

    @pc.custom_function
    def f(x: pc.array) -> pc.array:
        return raw(x) + 0

    f.vjp(lambda primals, cotangent, output: 2 * cotangent)
    f.jvp(lambda primals, tangents: 2 * tangents)
    f.vmap(lambda inputs, axes: (raw(inputs), axes))
    x = pc.array([1.0, 2.0, 3.0])
    assert pc.grad(lambda a: (f(a) * a).sum())(x).tolist() == [4.0, 8.0, 12.0]
    (_,), (t,) = pc.jvp(lambda a: f(a) * 1, [x], [pc.ones((3,))])
    assert t.tolist() == [2.0, 2.0, 2.0]
    rows = pc.arange(6, dtype=pc.float32).reshape(2, 3)
    assert pc.vmap(lambda a: f(a) + 1)(rows).tolist() == (2 * rows + 1).tolist()
    assert pc.vmap(pc.grad(lambda a: f(a).sum()))(rows).tolist() == [[2.0] * 3] * 2
    assert pc.compile(pc.grad(lambda a: f(a).sum()))(x).tolist() == [2.0] * 3


@needs_compiler
def test_a_rule_for_batches_says_nothing_of_captured_ones() -> None:
    raw = twice("cpu")

    def outer(a: pc.array) -> pc.array:
        g = pc.custom_function(lambda x: raw(a) + x)
        g.vmap(lambda x, axis: (x, axis))
        return g(pc.zeros((3,)))

    with pytest.raises(pc.TransformError):
        pc.vmap(outer)(pc.ones((2, 3)))


@needs_compiler
def test_it_cannot_be_exported(tmp_path: Path) -> None:
    f = twice("cpu")
    with pytest.raises(pc.TransformError, match="compiled and run"):
        pc.export_function(str(tmp_path / "f.bin"), f, pc.ones((3,)))
    assert not list(tmp_path.iterdir())


@both
def test_messages_of_the_compiler(where: str) -> None:
    made = kernel(where, "int fine = 1;\nout[X] = nowhere + fine;", name="broken one")
    y = made(inputs=[pc.ones((3,))], **like(pc.ones((3,))))[0]
    with pytest.raises(pc.ArgumentError) as caught:
        pc.eval(y)
    assert "broken_one" in caught.value.got
    assert "nowhere" in caught.value.got
    assert "(2)" in caught.value.got or ":2:" in caught.value.got  # the line of the body
    assert Path(__file__).name in caught.value.where
    assert twice(where)(pc.ones((3,))).tolist() == [2.0] * 3


@both
def test_bad_calls(where: str) -> None:
    made = kernel(where, "out[X] = a[X] + b[X];", "a b")
    x = pc.ones((3,))

    def bad(error: type[Exception], **changed: Any) -> None:
        with pytest.raises(error):
            made(**{**like(x), "inputs": [x, x], **changed})

    bad(ValueError, inputs=[x])
    bad(ValueError, inputs=[x, x, x])
    bad(ValueError, output_shapes=[(3,), (3,)])
    bad(ValueError, output_shapes=[(3,), (3,)], output_dtypes=[pc.float32] * 2)
    bad(ValueError, output_dtypes=[])
    bad(ValueError, output_shapes=[(-1,)])
    bad(ValueError, grid=(-1, 1, 1))
    bad(ValueError, grid=(2**62, 2**62, 1))
    bad(ValueError, threadgroup=(0, 1, 1))
    bad(ValueError, template=[("a", 1)])
    bad(ValueError, template=[("not a name", 1)])
    bad(ValueError, template=[("K", 1), ("K", 2)])
    bad(ValueError, template=[("plait_x", 2)])
    bad(TypeError, grid=(1, 1))
    bad(TypeError, grid=3)
    bad(TypeError, grid=(1.5, 1, 1))
    bad(TypeError, inputs=x.item)
    bad(TypeError, inputs="ab")
    bad(TypeError, output_dtypes=["float32"])
    bad(TypeError, output_shapes=[3])
    bad(TypeError, template=[("K", 1.5)])
    bad(TypeError, template=[("K",)])
    bad(TypeError, init_value="a")
    bad(ValueError, init_value=1j)
    bad(TypeError, verbose="a")
    bad(TypeError, unknown=1)
    with pytest.raises(TypeError):
        made([x, x])
    assert made(inputs=[x, x], **like(x))[0].tolist() == [2.0] * 3


@both
def test_bad_definitions(where: str) -> None:
    make = pc.fast.cpu_kernel if where == "cpu" else pc.fast.cuda_kernel
    for arguments in (
        ("", ["a"], ["b"], ""),
        ("k", ["a"], [], ""),
        ("k", ["a", "a"], ["b"], ""),
        ("k", ["a"], ["a"], ""),
        ("k", ["a b"], ["c"], ""),
        ("k", ["1a"], ["c"], ""),
        ("k", ["a;b"], ["c"], ""),
    ):
        with pytest.raises(ValueError, match="kernel"):
            make(*arguments)
    for wrong in ((1, ["a"], ["b"], ""), ("k", "a", 2, ""), ("k", ["a"], ["b"], 3)):
        with pytest.raises(TypeError):
            make(*wrong)


@both
def test_verbose_prints_the_text(where: str, capsys: pytest.CaptureFixture[str]) -> None:
    x = pc.ones((3,))
    kernel(where, "out[X] = inp[X]; // so it is", name="shown")(inputs=[x], verbose=True, **like(x))
    text = capsys.readouterr().out
    assert "so it is" in text
    assert "custom_kernel_shown" in text


@both
def test_headers_stand_before_the_function(where: str) -> None:
    function = (
        "__device__ float three(float x) { return 3 * x; }"
        if where == "gpu"
        else "static float three(float x) { return 3 * x; }"
    )
    x = pc.arange(4, dtype=pc.float32)
    (y,) = kernel(where, "out[X] = three(inp[X]);", header=function)(inputs=[x], **like(x))
    assert y.tolist() == [0.0, 3.0, 6.0, 9.0]


@needs_compiler
def test_exceptions_in_a_body() -> None:
    made = kernel(
        "cpu",
        'if (X == 70000) { throw std::out_of_range("here it ends"); } out[X] = 1;',
        header="#include <stdexcept>\n",
    )
    x = pc.ones((100_000,))
    with pytest.raises(pc.ArgumentError, match="here it ends"):
        pc.eval(made(inputs=[x], **like(x)))
    with pytest.raises(pc.ArgumentError, match=r"no std::exception"):
        pc.eval(kernel("cpu", "throw 1;")(inputs=[x], **like(x)))


@needs_compiler
def test_many_threads_at_once() -> None:
    x = pc.random.normal((1000,))
    pc.eval(x)
    results: list[list[float] | None] = [None] * 8

    def work(i: int) -> None:
        results[i] = kernel("cpu", f"out[X] = inp[X] * {i % 3};")(inputs=[x], **like(x))[0].tolist()

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    for i, got in enumerate(results):
        assert got == (x * (i % 3)).tolist()


@needs_compiler
def test_the_result_does_not_depend_on_threads() -> None:
    program = """
    import plait.core as pc
    body = "float s = 0; for (int i = 0; i < 50; ++i) s += x[AT] / (i + 1); y[AT] = s;"
    k = pc.fast.cpu_kernel("sums", ["x"], ["y"], body, header="#define AT thread_position_in_grid.x")
    x = pc.random.normal((20000,), key=pc.random.key(0))
    shape = {"output_shapes": [x.shape], "output_dtypes": [x.dtype], "grid": (x.size, 1, 1)}
    y = k(inputs=[x], threadgroup=(128, 1, 1), **shape)[0]
    print(y.view(pc.uint32).astype(pc.int64).sum().item())
    """
    assert len({run(program, PLAIT_NUM_THREADS=str(n)) for n in (1, 3)}) == 1


def run(program: str, **environment: str) -> str:
    inherited = {name: value for name, value in os.environ.items() if name != "PLAIT_TEST_DEVICE"}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        env={**inherited, "PYTHONPATH": ":".join(sys.path), **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


ONE = """
import plait.core as pc

shape = {"output_shapes": [(2,)], "output_dtypes": [pc.int32], "grid": (2, 1, 1), "threadgroup": (1, 1, 1)}
try:
    k = pc.fast.cpu_kernel("one", [], ["y"], "y[thread_position_in_grid.x] = 41 + 1;")
    print(k(inputs=[], **shape)[0].tolist(), flush=True)
except pc.Error as error:
    print(type(error).__name__, error.got, error.accepts, error.hint)
"""


@needs_compiler
def test_code_is_kept_on_disk(tmp_path: Path) -> None:
    cache, counted = tmp_path / "cache", tmp_path / "count"
    compiler = tmp_path / "cxx"
    real = shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")
    compiler.write_text(f'#!/bin/sh\necho once >> {counted}\nexec {real} "$@"\n')
    compiler.chmod(0o755)
    environment = {"PLAIT_CACHE_DIR": str(cache), "PLAIT_CXX": str(compiler)}
    for _ in range(2):
        assert run(ONE, **environment) == "[42, 42]\n"
    assert counted.read_text() == "once\n"
    (entry,) = cache.glob("*.image")
    whole = entry.read_bytes()
    for damaged in (whole[:100], whole[:-1] + b"?", b""):
        entry.write_bytes(damaged)
        entry.chmod(0o600)
        assert run(ONE, **environment) == "[42, 42]\n"
        assert entry.read_bytes() == whole
    before = counted.read_text()
    entry.chmod(0o666)  # another could have written it
    assert run(ONE, **environment) == "[42, 42]\n"
    assert len(counted.read_text()) > len(before)


@needs_compiler
def test_files_that_are_included_may_change(tmp_path: Path) -> None:
    header = tmp_path / "own.h"
    program = ONE.replace(
        '"y[thread_position_in_grid.x] = 41 + 1;"', f"""'y[0] = y[1] = OWN;', '#include "{header}"'"""
    )
    for value in (1, 2):
        header.write_text(f"#define OWN {value}\n")
        assert run(program, PLAIT_CACHE_DIR=str(tmp_path / "cache")) == f"{[value, value]}\n"
    assert not list((tmp_path / "cache").glob("*.image"))


@needs_compiler
def test_no_room_for_temporary_files(tmp_path: Path) -> None:
    limit = "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (64, 64))\n"
    text = run(limit + ONE, PLAIT_CACHE_DIR=str(tmp_path / "cache"))
    assert text.startswith("DeviceError") and "cannot be written" in text and "TMPDIR" in text


def test_without_a_compiler(tmp_path: Path) -> None:
    nothing = {"PLAIT_CACHE_DIR": str(tmp_path / "cache"), "PATH": str(tmp_path), "PLAIT_CXX": ""}
    text = run(ONE, **nothing)
    assert text.startswith("DeviceError no C++ compiler")
    assert "PLAIT_CXX" in text
    assert "which is not there" in run(ONE, **{**nothing, "PLAIT_CXX": "/nowhere/c++"})


@needs_compiler
def test_nothing_is_left_behind(tmp_path: Path) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    run(ONE, PLAIT_CACHE_DIR=str(tmp_path / "cache"), TMPDIR=str(temporary))
    run(ONE.replace("41 + 1", "41 +"), PLAIT_CACHE_DIR=str(tmp_path / "cache"), TMPDIR=str(temporary))
    assert not list(temporary.iterdir())


@needs_compiler
@pytest.mark.parametrize(
    ("does", "says"),
    [
        ("kill -9 $$", "Killed"),
        ("kill -11 $$", "Segmentation fault"),
        ("echo 'g++: fatal error: Killed signal terminated program cc1plus' >&2; exit 1", "cc1plus"),
    ],
)
def test_a_compiler_that_is_ended_says_nothing_of_the_source(does: str, says: str, tmp_path: Path) -> None:
    compiler = tmp_path / "cxx"
    compiler.write_text(f"#!/bin/sh\n{does}\n")
    compiler.chmod(0o755)
    text = run(ONE, PLAIT_CACHE_DIR=str(tmp_path / "cache"), PLAIT_CXX=str(compiler))
    assert text.startswith(f"DeviceError {compiler}")
    assert says in text
    assert "rejects" not in text


@needs_compiler
def test_without_a_place_for_temporary_files(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    for place in (tmp_path / "nowhere", file):
        text = run(ONE, PLAIT_CACHE_DIR=str(tmp_path / "cache"), TMPDIR=str(place))
        assert text.startswith("DeviceError no directory to compile in")
        assert "TMPDIR" in text


@needs_compiler
def test_headers_may_not_rename_the_function() -> None:
    made = kernel("cpu", "out[X] = 1;", name="renamed", header="#define custom_kernel_renamed other")
    with pytest.raises(pc.ArgumentError, match="custom_kernel_renamed"):
        pc.eval(made(inputs=[pc.ones((3,))], **like(pc.ones((3,)))))


@needs_compiler
def test_interrupted_compilation(tmp_path: Path) -> None:
    compiler, begun = tmp_path / "cxx", tmp_path / "begun"
    compiler.write_text(f"#!/bin/sh\ntouch {begun}\nsleep 50\n")
    compiler.chmod(0o755)
    program = f"""
import os, pathlib, signal, threading, time

def interrupt():
    while not pathlib.Path({str(begun)!r}).exists():
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGINT)

threading.Thread(target=interrupt, daemon=True).start()
""" + ONE.replace("except pc.Error", "except KeyboardInterrupt:\n    print('interrupted')\nexcept pc.Error")
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    environment = {"PLAIT_CACHE_DIR": str(tmp_path / "cache"), "PLAIT_CXX": str(compiler), "TMPDIR": str(temporary)}
    assert run(program, **environment) == "interrupted\n"
    assert not list(temporary.iterdir())


@needs_compiler
def test_in_the_child_of_a_fork() -> None:
    other = ONE.replace("41", "42")
    fork = "\nimport os\npid = os.fork()\nif pid:\n    os.waitpid(pid, 0)\n"
    program = ONE + fork + ONE + other + "\nif pid == 0:\n    os._exit(0)\n"
    assert sorted(run(program).split("\n")) == ["", *["[42, 42]"] * 3, *["[43, 43]"] * 2]


@needs_compiler
def test_the_cpu_runs_it_whatever_the_device() -> None:
    f = twice("cpu")
    for device in [pc.cpu, *([pc.gpu] if pc.is_available(pc.gpu) else [])]:
        with pc.stream(device):
            x = pc.ones((3,)) + 1
            assert (f(x) + 1).tolist() == [5.0] * 3
    if pc.is_available(pc.gpu):
        made = kernel("cpu", "out[X] = inp[X];")
        with pytest.raises(pc.DeviceError):
            made(inputs=[x], stream=pc.gpu, **like(x))


@pytest.mark.skipif(HAVE_GPU, reason="this machine has a GPU")
def test_cuda_kernels_without_a_gpu() -> None:
    with pytest.raises(RuntimeError) as caught:
        pc.fast.cuda_kernel("k", ["a"], ["b"], "b[0] = a[0];")
    assert isinstance(caught.value, pc.DeviceError)
    assert "cpu_kernel" in caught.value.hint
    call = {"inputs": [], "output_shapes": [(1,)], "output_dtypes": [pc.float32], "scalars": []}
    with pytest.raises(pc.DeviceError):
        pc.fast.precompiled_cuda_kernel(name="k", compiled_source=b"x", **call, grid=(1, 1, 1), threadgroup=(1, 1, 1))


def test_metal_kernels_say_where_they_run() -> None:
    made = pc.fast.metal_kernel("k", ["a"], ["b"], "b[0] = a[0];", atomic_outputs=True)
    with pytest.raises(pc.DeviceError) as caught:
        made(inputs=[pc.ones((3,))], **like(pc.ones((3,))))
    assert "macOS" in caught.value.accepts
    assert "cuda_kernel" in caught.value.hint
    assert "cpu_kernel" in caught.value.hint
    with pytest.raises(TypeError):
        pc.fast.metal_kernel("k", 1, ["b"], "")


# ---- on a GPU alone -----------------------------------------------------------------------------------------------


@needs_gpu
def test_cooperative_groups_as_documented() -> None:
    body = "auto elem = cooperative_groups::this_grid().thread_rank(); T tmp = inp[elem]; out[elem] = exp(tmp);"
    a = pc.random.normal((4, 16))
    made = pc.fast.cuda_kernel(name="myexp", input_names=["inp"], output_names=["out"], source=body)
    (b,) = made(inputs=[a], template=[("T", pc.float32)], **like(a, threadgroup=(256, 1, 1)))
    np.testing.assert_allclose(np.array(b), np.exp(np.array(a)), rtol=1e-6)


@needs_gpu
@pytest.mark.parametrize("kilobytes", [1, 100])
def test_shared_memory(kilobytes: int) -> None:
    body = """
    extern __shared__ float room[];
    room[threadIdx.x] = inp[X];
    __syncthreads();
    out[X] = room[blockDim.x - 1 - threadIdx.x];
    """
    a = pc.arange(256, dtype=pc.float32)
    made = kernel("gpu", body, shared_memory=kilobytes << 10)
    (b,) = made(inputs=[a], **like(a))
    assert b.tolist() == np.arange(256).reshape(4, 64)[:, ::-1].reshape(-1).tolist()
    with pytest.raises(pc.ArgumentError):
        pc.eval(kernel("gpu", body, shared_memory=1 << 30)(inputs=[a], **like(a)))


@needs_gpu
def test_shared_memory_beside_static_one() -> None:
    body = """
    extern __shared__ float room[];
    __shared__ float own[5000];
    own[threadIdx.x] = inp[X];
    __syncthreads();
    room[threadIdx.x] = own[blockDim.x - 1 - threadIdx.x];
    out[X] = room[threadIdx.x];
    """
    a = pc.arange(256, dtype=pc.float32)
    (b,) = kernel("gpu", body, shared_memory=40 << 10)(inputs=[a], **like(a))
    assert b.tolist() == np.arange(256).reshape(4, 64)[:, ::-1].reshape(-1).tolist()
    with pytest.raises(pc.ArgumentError, match="20000"):
        pc.eval(kernel("gpu", body, shared_memory=220 << 10)(inputs=[a], **like(a)))


@needs_gpu
def test_amounts_of_shared_memory_from_several_threads() -> None:
    body = "extern __shared__ float room[]; room[threadIdx.x] = inp[X]; out[X] = room[threadIdx.x];"
    a = pc.arange(256, dtype=pc.float32)
    pc.eval(a)
    failed: list[BaseException] = []

    def work(kilobytes: int) -> None:
        made = kernel("gpu", body, shared_memory=kilobytes << 10)
        try:
            for _ in range(200):
                assert made(inputs=[a], **like(a))[0].tolist() == a.tolist()
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(kilobytes,)) for kilobytes in (60, 100, 200)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not failed


@needs_gpu
def test_atomics_add_to_the_initial_value() -> None:
    a = pc.ones((10_000,))
    made = kernel("gpu", "atomicAdd(out, inp[X]);")
    call = like(a, output_shapes=[()], threadgroup=(256, 1, 1))
    assert made(inputs=[a], init_value=5.0, **call)[0].item() == 10_005


@needs_gpu
def test_launches_that_the_device_refuses() -> None:
    f = kernel("gpu", "out[X] = inp[X];")
    a = pc.ones((5000,))
    for threadgroup in ((2048, 1, 1), (64, 32, 1), (1, 1, 128)):
        with pytest.raises(pc.ArgumentError):
            pc.eval(f(inputs=[a], **like(a, grid=(5000, 64, 128), threadgroup=threadgroup)))
    with pytest.raises(pc.ArgumentError):
        pc.eval(f(inputs=[a], **like(a, grid=(1, 100_000, 1), threadgroup=(1, 1, 1))))
    assert f(inputs=[a], **like(a))[0].tolist() == a.tolist()


@needs_gpu
def test_a_stream_of_the_cpu_is_refused() -> None:
    a = pc.ones((3,))
    with pytest.raises(pc.DeviceError):
        kernel("gpu", "out[X] = inp[X];")(inputs=[a], stream=pc.cpu, **like(a))
    with pc.stream(pc.cpu):
        assert twice("gpu")(a).tolist() == [2.0] * 3


PTX = """
.version 7.0
.target sm_70
.address_size 64
.visible .entry scale(.param .u64 inp, .param .u64 out, .param .f32 factor, .param .u32 count, .param .u8 negate)
{
  .reg .pred %p<3>; .reg .f32 %f<4>; .reg .b32 %r<6>; .reg .b64 %d<6>; .reg .b16 %h<2>;
  mov.u32 %r1, %ctaid.x;
  mov.u32 %r2, %ntid.x;
  mov.u32 %r3, %tid.x;
  mad.lo.u32 %r4, %r1, %r2, %r3;
  ld.param.u32 %r5, [count];
  setp.ge.u32 %p1, %r4, %r5;
  @%p1 ret;
  ld.param.u64 %d1, [inp];
  ld.param.u64 %d2, [out];
  mul.wide.u32 %d3, %r4, 4;
  add.u64 %d4, %d1, %d3;
  add.u64 %d5, %d2, %d3;
  ld.global.f32 %f1, [%d4];
  ld.param.f32 %f2, [factor];
  mul.f32 %f3, %f1, %f2;
  ld.param.u8 %h1, [negate];
  setp.ne.u16 %p2, %h1, 0;
  @%p2 neg.f32 %f3, %f3;
  st.global.f32 [%d5], %f3;
  ret;
}
"""


@needs_gpu
def test_precompiled_kernels() -> None:
    a = pc.arange(300, dtype=pc.float32)
    pc.eval(a)

    def scaled(x: pc.array, factor: float, negate: bool, name: str = "scale", code: bytes = PTX.encode()) -> pc.array:
        return pc.fast.precompiled_cuda_kernel(
            name=name,
            compiled_source=code,
            inputs=[x],
            scalars=[factor, x.size, negate],
            ensure_row_contiguous=True,
            **like(x),
        )[0]

    assert scaled(a, 0.5, False).tolist() == (a * 0.5).tolist()
    assert scaled(a[::-1], 2.0, True).tolist() == (a[::-1] * -2).tolist()
    before = pc.trace_counters()["plans_built"]
    pc.eval(scaled(a, 3.0, True))
    assert pc.trace_counters()["plans_built"] == before
    for bad in ({"name": "nothing"}, {"code": b"no code at all"}):
        with pytest.raises(pc.DeviceError):
            pc.eval(scaled(a, 1.0, False, **bad))
    for scalars in ([1.0], [1.0, 300, False, 1]):  # fewer and more than its parameters
        with pytest.raises(pc.ArgumentError, match="parameters"):
            pc.eval(
                pc.fast.precompiled_cuda_kernel(
                    name="scale", compiled_source=PTX.encode(), inputs=[a], scalars=scalars, **like(a)
                )
            )
    assert scaled(a, 1.0, False).tolist() == a.tolist()
    with pytest.raises(TypeError):
        scaled(a, 1j, False)
    with pytest.raises(pc.TransformError):
        pc.grad(lambda x: scaled(x, 2.0, False).sum())(a)
