"""Arrays with more than 2^31 elements: nothing counts in 32 bits. Each takes a few gigabytes."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import plait.core as pc

pytestmark = [pytest.mark.slow]

N = (1 << 31) + 8


@pytest.fixture(autouse=True)
def memory() -> Iterator[None]:
    before = pc.set_memory_limit(10 << 30)
    cache = pc.set_cache_limit(0)
    yield
    pc.set_cache_limit(cache)
    pc.set_memory_limit(before)


def ramp(dtype: pc.Dtype) -> pc.array:
    """(N,): position % 8, written out."""
    a = pc.broadcast_to(pc.arange(8, dtype=dtype), (N // 8, 8)).reshape(-1)
    pc.eval(a)
    assert a.shape == (N,) and pc.get_array_buffer_size(a) == N
    return a


@pytest.mark.parametrize("dtype", [pc.int8, pc.uint8], ids=str)
def test_integers(dtype: pc.Dtype) -> None:
    a = ramp(dtype)
    assert a.size == a.nbytes == N and len(a) == N
    # Positions on both sides of 2^31, one at a time, in slices, by arrays, from the end.
    assert [a[i].item() for i in (0, 5, 2**31 - 1, 2**31, 2**31 + 7, -1, -9, -N)] == [0, 5, 7, 0, 7, 7, 7, 0]
    assert a[2**31 - 2 : 2**31 + 3].tolist() == [6, 7, 0, 1, 2]
    assert a[:: 2**30].tolist() == [0, 0, 0]
    assert a[-1 : -N : -(2**30)].tolist() == [7, 7, 7]
    assert pc.take(a, pc.array([2**31 + 3, -1, 1], dtype=pc.int64)).tolist() == [3, 7, 1]
    for bad in (N, -N - 1):
        with pytest.raises(IndexError):
            a[bad]
    # Sums in 64 bits where they are needed.
    assert a[2**31 :].astype(pc.int64).sum().item() == 28
    assert a.max().item() == 7 and a.min().item() == 0
    assert pc.argmax(a[::-1]).item() == 0
    rows = a.reshape(-1, 8)
    assert rows.shape == (N // 8, 8) and rows[-1].tolist() == list(range(8))
    assert rows.T.shape == (8, N // 8) and rows.T[3, -1].item() == 3
    assert pc.sum(rows == 3).item() == N // 8
    view = np.asarray(a)
    assert view.shape == (N,) and view[-1] == 7 and view[2**31] == 0
    del view
    doubled = a + a
    del a, rows
    assert doubled[2**31 + 7].item() == 14 and doubled[:4].tolist() == [0, 2, 4, 6]


def test_bool() -> None:
    mask = pc.zeros((N,), dtype=pc.bool_)
    mask[2**31 + 1] = True
    mask[-2:] = True
    pc.eval(mask)
    assert mask[2**31 - 1 :].tolist() == [False, False, True, False, False, False, False, True, True]
    assert mask.sum().item() == 3 and mask.any().item() and not mask.all().item()
    assert pc.argmax(mask).item() == 2**31 + 1
    assert pc.where(mask, pc.array(2, dtype=pc.uint8), pc.array(1, dtype=pc.uint8))[-3:].tolist() == [1, 2, 2]


def test_joining_and_writing() -> None:
    half = pc.full((N // 2,), 3, dtype=pc.int8)
    whole = pc.concatenate([half, half])
    whole[2**31 :] = pc.array(5, dtype=pc.int8)
    whole[2**31 + 2] = 1
    pc.eval(whole)
    del half
    assert whole[2**31 - 2 :].tolist() == [3, 3, 5, 5, 1, 5, 5, 5, 5, 5]
    assert whole.reshape(2, -1)[1, -1].item() == 5
    assert pc.cumsum(whole[2**31 - 1 :]).tolist() == [3, 8, 13, 14, 19, 24, 29, 34, 39]
    assert (whole == 5).sum().item() == 7


def test_a_matrix_whose_product_has_more_elements_than_32_bits_count() -> None:
    table = pc.ones((46342, 1), dtype=pc.bfloat16) @ pc.full((1, 46342), 2, dtype=pc.bfloat16)  # 2^31 + 92,516 elements
    corner = table[-1, -2:]
    pc.eval(table, corner)
    assert corner.tolist() == [2, 2] and table[46341, 46341].item() == 2
    assert table[:, -1].astype(pc.float32).sum().item() == 2 * 46342


# ---- a few functions of each family ----

PLACES = [slice(0, 16), slice(2**31 - 16, 2**31 + 8), slice(N - 8, N)]


def numbers_at(place: slice, dtype: Any = np.int8) -> np.ndarray:
    """What ramp() holds there."""
    return (np.arange(place.start, place.stop, dtype=np.int64) % 8).astype(dtype)


def values_of(a: pc.array) -> np.ndarray:
    return np.array(a.astype(pc.float32) if a.dtype == pc.bfloat16 else a)


ELEMENTWISE: dict[str, Callable[[Any, Any], Any]] = {
    "add": lambda xp, x: x + xp.flip(x) if xp is pc else x + (7 - x),
    "where": lambda xp, x: xp.where(x > 3, x, -x),
    "compared": lambda xp, x: (x > 2) & (x != 5),
    "bits": lambda xp, x: (x << 2) ^ (x | 1),
    "divided": lambda xp, x: x // 3 + x % 3,
    "clipped": lambda xp, x: xp.clip(x, 2, 5),
    "converted": lambda xp, x: x.astype(xp.uint8) if xp is pc else x.astype(np.uint8),
}


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_elementwise(name: str) -> None:
    f = ELEMENTWISE[name]
    got = f(pc, ramp(pc.int8))
    pc.eval(got)
    assert got.shape == (N,)
    for place in PLACES:
        assert np.array_equal(values_of(got[place]), f(np, numbers_at(place))), place


@pytest.mark.parametrize("dtype", [pc.float32, pc.float64, pc.float16, pc.bfloat16], ids=str)
def test_reductions_of_a_broadcast_array(dtype: pc.Dtype) -> None:
    """One element, N times: nothing is written out."""
    a = pc.broadcast_to(pc.array([0.5]).astype(dtype), (N,))

    def total() -> pc.array:  # nothing holds what is summed, else it would be written out
        return pc.sum(a.astype(pc.float32) if dtype in (pc.float16, pc.bfloat16) else a)

    def product() -> pc.array:
        return pc.prod(a * 2)

    assert total().item() == pytest.approx(N / 2, rel=1e-6)
    assert pc.mean(a).item() == pytest.approx(0.5, rel=1e-3)
    assert pc.max(a).item() == 0.5 and pc.min(a).item() == 0.5 and product().item() == 1
    rows = pc.broadcast_to(pc.array([[0.5], [1.0]]).astype(dtype), (2, N))
    assert pc.max(rows, axis=1).tolist() == [0.5, 1] and pc.mean(rows, axis=1).tolist() == [0.5, 1]


def test_reductions_that_name_places() -> None:
    a = ramp(pc.int8)
    for place, value in ((2**31 + 3, 9), (2**31 + 5, -2)):
        a[place] = value
        pc.eval(a)
    assert pc.argmax(a).item() == 2**31 + 3 and pc.argmin(a).item() == 2**31 + 5
    assert pc.count_nonzero(a).item() == N - N // 8
    assert pc.any(a > 8).item() and not pc.all(a >= 0).item()
    rows = a.reshape(N // 8, 8)
    assert pc.max(rows, axis=0).tolist() == [0, 1, 2, 9, 4, 5, 6, 7]
    assert pc.argmax(rows, axis=0)[3].item() == 2**28
    assert [x.tolist() for x in pc.nonzero(a > 8)] == [[2**31 + 3]]
    assert a[a < 0].tolist() == [-2]


def test_scans() -> None:
    mask = pc.zeros((N,), dtype=pc.int8)
    for place, value in ((2**31 - 2, 1), (2**31 + 2, 3)):
        mask[place] = value
        pc.eval(mask)
    assert pc.cummax(mask)[2**31 - 3 : 2**31 + 4].tolist() == [0, 1, 1, 1, 1, 3, 3]
    assert pc.cummin(-mask)[2**31 - 3 : 2**31 + 4].tolist() == [0, -1, -1, -1, -1, -3, -3]
    assert pc.cummax(mask, reverse=True)[2**31 + 1 :].tolist() == [3, 3, 0, 0, 0, 0, 0]


def test_sorting_and_searching() -> None:
    a = ramp(pc.uint8)
    a[2**31 + 1] = 200
    pc.eval(a)
    ordered = pc.sort(a)
    pc.eval(ordered)
    del a
    assert ordered[:2].tolist() == [0, 0] and ordered[-3:].tolist() == [7, 7, 200]
    each = N // 8
    assert ordered[6 * each - 2 : 6 * each + 2].tolist() == [5, 6, 6, 6]
    assert pc.searchsorted(ordered, pc.array([7, 201], dtype=pc.uint8)).tolist() == [7 * each - 1, N]


def test_indexing() -> None:
    a = ramp(pc.int8)
    far = pc.array([2**31 + 3, 5, -1], dtype=pc.int64)
    assert pc.take_along_axis(a, far, axis=0).tolist() == [3, 5, 7]
    changed = a.at[far].add(pc.array([1, 1, 1], dtype=pc.int8))
    pc.eval(changed)
    del a
    assert changed[2**31 : 2**31 + 8].tolist() == [0, 1, 2, 4, 4, 5, 6, 8] and changed[5].item() == 6
    put = pc.put_along_axis(changed, far, pc.array([9, 9, 9], dtype=pc.int8), axis=0)
    pc.eval(put)
    del changed
    assert put[2**31 + 2 : 2**31 + 5].tolist() == [2, 9, 4] and put[-1].item() == 9
    written = pc.slice_update(put, pc.array([5, 6], dtype=pc.int8), pc.array([2**31 + 1]), [0])
    assert written[2**31 : 2**31 + 4].tolist() == [0, 5, 6, 9]


VIEWS: dict[str, tuple[Callable[[pc.array], pc.array], Callable[[np.ndarray], np.ndarray]]] = {  # of positions
    "roll": (lambda a: pc.roll(a, 3), lambda i: (i - 3) % N % 8),
    "flip": (lambda a: pc.contiguous(pc.flip(a)), lambda i: (N - 1 - i) % 8),
    "pad": (lambda a: pc.pad(a, (2, 0))[:N], lambda i: np.where(i < 2, 0, (i - 2) % 8)),
    "repeat": (lambda a: pc.repeat(a[: N // 2], 2), lambda i: i // 2 % 8),
    "tile": (lambda a: pc.tile(a[: N // 2], 2), lambda i: i % (N // 2) % 8),
    "transpose": (
        lambda a: pc.contiguous(a.reshape(8, N // 8).T).reshape(-1),
        lambda i: (i % 8 * (N // 8) + i // 8) % 8,
    ),
    "stack": (
        lambda a: pc.stack([a[: N // 2], -a[: N // 2]], axis=1).reshape(-1),
        lambda i: i // 2 % 8 * (1 - i % 2 * 2),
    ),
    "view": (lambda a: pc.contiguous(a).view(pc.uint8), lambda i: i % 8),
}


@pytest.mark.parametrize("name", VIEWS)
def test_views_and_moves(name: str) -> None:
    f, want = VIEWS[name]
    got = f(ramp(pc.int8))
    pc.eval(got)
    assert got.shape == (N,)
    for place in PLACES:
        assert np.array_equal(np.array(got[place]), want(np.arange(place.start, place.stop, dtype=np.int64))), place


def test_products_of_more_elements() -> None:
    wide = pc.broadcast_to(pc.array([1.0], dtype=pc.bfloat16), (2**15, 2**16 + 1))
    assert pc.einsum("ij->i", wide)[-1].item() == 2**16
    product = wide @ pc.full((2**16 + 1,), 0.5, dtype=pc.bfloat16)
    assert product.shape == (2**15,) and product[-1].item() == 2**15


UNARY: dict[str, Callable[[Any, Any], Any]] = {
    "exp": lambda xp, x: xp.exp(x * 0.25),
    "square root": lambda xp, x: xp.sqrt(x + 1),
}


@pytest.mark.parametrize("name", UNARY)
def test_functions_of_floats(name: str) -> None:
    f = UNARY[name]
    got = f(pc, ramp(pc.int8).astype(pc.bfloat16))
    pc.eval(got)
    assert got.shape == (N,) and got.dtype == pc.bfloat16
    for place in PLACES:
        assert np.allclose(values_of(got[place]), f(np, numbers_at(place, np.float32)), rtol=2e-2), place


def test_random_numbers() -> None:
    pc.set_memory_limit(14 << 30)  # 32 bits are drawn for each
    key = pc.random.key(3)
    for draw, mean in (
        (lambda: pc.random.bernoulli(0.25, (N,), key=key), 0.25),
        (lambda: pc.random.uniform(0, 1, (N,), dtype=pc.bfloat16, key=key), 0.5),
    ):
        a = draw()
        pc.eval(a)
        parts = [values_of(a[at : at + 4096]).astype(np.float64) for at in (0, 2**30, 2**31 - 2048, N - 4096)]
        for i, part in enumerate(parts):
            assert abs(part.mean() - mean) < 0.04
            assert not any(np.array_equal(part, other) for other in parts[:i])
        del a


def test_the_largest_few() -> None:
    a = ramp(pc.int8)
    for place, value in ((5, 100), (2**31 + 1, 99), (N - 1, 101)):
        a[place] = value
        pc.eval(a)
    assert sorted(pc.topk(a, 3).tolist()) == [99, 100, 101]


def test_packed_numbers() -> None:
    rows = 2**16 + 1
    w = pc.broadcast_to((pc.arange(2**15) % 64 / 64).astype(pc.float16), (rows, 2**15))  # 2^31 + 2^15 numbers
    parts = pc.quantize(w, group_size=64, bits=4)
    pc.eval(parts)
    assert parts[0].size * 8 == w.size > 2**31
    last = pc.dequantize(*(a[-2:] for a in parts), group_size=64, bits=4)
    assert np.allclose(np.array(last), np.array(w[-2:]), atol=0.04)
    product = pc.quantized_matmul(pc.ones((1, 2**15), dtype=pc.float16) / 2**15, *parts, group_size=64, bits=4)
    assert product.shape == (1, rows)
    assert np.allclose(np.array(product.astype(pc.float32)), 63 / 128, atol=5e-3)


def test_a_convolution() -> None:
    x = pc.broadcast_to(pc.arange(8, dtype=pc.bfloat16), (1, N // 8, 8))
    y = pc.conv1d(x, pc.array([[[1.0] * 8, [0.0] * 8, [-0.5] * 8]], dtype=pc.bfloat16))
    pc.eval(y)
    assert y.shape == (1, N // 8 - 2, 1)
    for start in (0, 2**27, N // 8 - 10):
        assert values_of(y[0, start : start + 8, 0]).tolist() == [14] * 8, start
