"""The array object: making it, what it says of itself, and how it behaves as a number, a sequence and memory."""

import copy
import gc
import multiprocessing
import pickle
import threading
import weakref
from typing import Any

import numpy as np
import pytest

import plait.core as pc

SAMPLE = np.arange(24, dtype=np.float32).reshape(2, 3, 4)


def test_scalars_and_lists() -> None:
    for value in (True, 3, 2**40, 1.5, 2j, [], [[]], [1, 2.5], [[1, 2], [3, 4]], ((1,), [2]), [True, 2]):
        want = np.array(value)
        have = pc.array(value)
        assert have.shape == want.shape
        np.testing.assert_array_equal(np.array(have), want)


@pytest.mark.parametrize("bad", [[[1, 2], [3]], [1, [2]], "abc", object(), {1: 2}, ["a"], [None], range(3)])
def test_what_is_no_array(bad: Any) -> None:
    with pytest.raises(ValueError):
        pc.array(bad)


def test_none_is_a_type_error() -> None:
    with pytest.raises(TypeError):
        pc.array(None)
    with pytest.raises(TypeError):
        pc.array([1], dtype="float32")  # type: ignore[arg-type]


def test_numpy_both_ways() -> None:
    for dtype in ("bool", "int8", "uint16", "int32", "int64", "uint64", "float16", "float32", "complex64"):
        source = (SAMPLE % 5).astype(dtype)
        for view in (source, source[::2, ::-1], source.T, source[:, :0], source[0, 0, 0]):
            have = pc.array(view)
            assert np.array(have).dtype == view.dtype
            np.testing.assert_array_equal(np.array(have), view)
    assert pc.array(np.ones(2)).dtype == pc.float32
    assert pc.array(np.ones(2), dtype=pc.float64).dtype == pc.float64
    with pytest.raises(ValueError):
        pc.array(np.array(["a"]))
    ml_dtypes = pytest.importorskip("ml_dtypes")
    half = pc.array(np.array([1.5, -2], ml_dtypes.bfloat16))
    assert half.dtype is pc.bfloat16 and half.tolist() == [1.5, -2]


def test_memory_is_copied_in_and_shared_out() -> None:
    source = np.zeros(3, np.float32)
    a = pc.array(source)
    source[0] = 1
    assert a.tolist() == [0, 0, 0]
    view = np.array(a, copy=False)
    view[1] = 5
    assert a.tolist() == [0, 5, 0]
    assert memoryview(a).format == "f" and not memoryview(a).readonly


def test_writing_through_a_view_of_a_broadcast() -> None:
    a = pc.zeros((2, 2))
    np.asarray(a)[0, 0] = 7
    assert a.tolist() == [[7, 0], [0, 0]]


def test_dlpack() -> None:
    source = np.arange(6, dtype=np.float32).reshape(2, 3)
    shared = pc.from_dlpack(source)
    source[0, 0] = 9
    assert shared.tolist()[0][0] == 9
    assert pc.from_dlpack(source, copy=True).tolist() == source.tolist()
    back = np.from_dlpack(shared)
    np.testing.assert_array_equal(back, source)
    np.testing.assert_array_equal(np.from_dlpack(pc.transpose(pc.array(SAMPLE), stream=pc.cpu)), SAMPLE.T)
    with pytest.raises(TypeError):
        pc.from_dlpack([1])  # type: ignore[arg-type]


def test_shared_memory_lives_as_long_as_the_array() -> None:
    class Owner(np.ndarray):  # NumPy's own type takes no weak references
        pass

    source = np.ones(1000, np.float32).view(Owner)
    gone = weakref.ref(source)
    a = pc.from_dlpack(source)
    del source
    gc.collect()
    assert gone() is not None
    assert a.tolist() == [1] * 1000
    del a
    gc.collect()
    assert gone() is None


def test_properties() -> None:
    a = pc.array(SAMPLE)
    assert (a.shape, a.ndim, a.size, a.itemsize, a.nbytes) == ((2, 3, 4), 3, 24, 4, 96)
    assert a.T.shape == (4, 3, 2)
    with pytest.raises(AttributeError):
        a.shape = (1,)  # type: ignore[misc]
    with pytest.raises(AttributeError):
        a.new = 1  # type: ignore[attr-defined]


def test_numbers() -> None:
    assert int(pc.array(3.7)) == 3 and float(pc.array([[3]])) == 3.0 and complex(pc.array(1j)) == 1j
    assert [1, 2, 3][pc.array(1)] == 2
    assert bool(pc.array([1])) and not pc.array(0)
    for convert in (int, float, bool, pc.array.item):
        with pytest.raises(ValueError):
            convert(pc.array([1, 2]))
    for bad in (pc.array(3.0), pc.array([3]), pc.array(True)):
        with pytest.raises(TypeError):
            bad.__index__()
    assert f"{pc.array(1.5):.3f}" == "1.500"


@pytest.mark.parametrize("operation", ["+", "-", "*", "/", "//", "%", "**", "<", "<=", "==", "!=", ">", ">="])
def test_operators_follow_numpy(operation: str) -> None:
    x, y = SAMPLE[0] + 1, SAMPLE[1, :1] + 1
    want = eval(f"x {operation} y")
    have = eval(f"a {operation} b", {"a": pc.array(x), "b": pc.array(y)})
    np.testing.assert_allclose(np.array(have), want, rtol=1e-5)
    have = eval(f"a {operation} 2", {"a": pc.array(x)})
    np.testing.assert_allclose(np.array(have), eval(f"x {operation} 2"), rtol=1e-5)
    have = eval(f"2 {operation} a", {"a": pc.array(x)})
    np.testing.assert_allclose(np.array(have), eval(f"2 {operation} x"), rtol=1e-5)


def test_in_place_operators_rebind_the_slot() -> None:
    a = b = pc.zeros(3)
    a += 1
    a *= pc.array([1, 2, 3])
    assert a is b and b.tolist() == [1, 2, 3]


def test_comparison_with_other_things() -> None:
    a = pc.array([1, 2])
    assert (a == "a") is False and (a != [1, 2]) is True  # type: ignore[comparison-overlap]
    with pytest.raises(TypeError):
        a == None  # noqa: B015, E711
    with pytest.raises(ValueError):
        a + "x"  # type: ignore[operator]


def test_an_object_may_say_how_it_becomes_an_array() -> None:
    class Wrapper:
        def __plait_array__(self) -> pc.array:
            return pc.array([1, 2])

    assert (pc.array([1, 1]) + Wrapper()).tolist() == [2, 3]  # type: ignore[operator]
    assert pc.array(Wrapper()).tolist() == [1, 2]  # type: ignore[arg-type]


def test_copies_and_pickles() -> None:
    for a in (pc.array(SAMPLE).T, pc.array([1.5], dtype=pc.bfloat16), pc.array(1j), pc.zeros((2, 0)), pc.ones((3, 3))):
        for again in (copy.copy(a), copy.deepcopy(a), pickle.loads(pickle.dumps(a))):
            assert again is not a and again.dtype is a.dtype
            assert again.tolist() == a.tolist()


def test_subclasses() -> None:
    class Mine(pc.array):
        pass

    mine = Mine([1, 2])
    assert type(mine) is Mine and (mine + 1).tolist() == [2, 3]
    with pytest.raises(ValueError):
        Mine.__new__(Mine).shape  # noqa: B018


def test_numpy_functions_take_arrays() -> None:
    a = pc.array(SAMPLE)
    assert np.mean(a) == SAMPLE.mean()
    np.testing.assert_allclose(np.sqrt(a), np.sqrt(SAMPLE))
    assert np.concatenate([a, a]).shape == (4, 3, 4)


def test_printing() -> None:
    assert repr(pc.array([[1.5, 2], [3, 4]])) == "array([[1.5, 2],\n       [3, 4]], dtype=float32)"
    assert "..." in str(pc.zeros((100, 100)))
    with pc.printoptions(precision=3):
        assert repr(pc.array([3.14159])) == "array([3.142], dtype=float32)"
    assert "<pre>" in pc.array([1])._repr_html_()  # type: ignore[attr-defined]


def test_any_thread() -> None:
    results: list[float] = []

    def work(seed: int) -> None:
        a = pc.array(np.full(1000, seed, np.float32))
        for _ in range(50):
            a = a * 0.5 + seed
        results.append(a.sum().item())

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    np.testing.assert_allclose(sorted(results), [2000.0 * i for i in range(4)], rtol=1e-5)


def twice_the_sum(a: pc.array) -> float:
    # A GPU that the parent used is closed to its forks (test_cuda_faults.py); the CPU never is.
    return float(pc.multiply(a, 2, stream=pc.cpu).sum(stream=pc.cpu).item())


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_processes(method: str) -> None:
    pc.eval(pc.ones(10) + 1)  # the parent has threads of its own by now
    with multiprocessing.get_context(method).Pool(2) as pool:
        assert pool.map(twice_the_sum, [pc.ones(100), pc.ones(10)]) == [200.0, 20.0]
