"""Arrays with more than 2^31 elements: nothing counts in 32 bits. Each takes a few gigabytes."""

from collections.abc import Iterator

import numpy as np
import pytest

import plait.core as pc

pytestmark = [pytest.mark.slow]

N = (1 << 31) + 8


@pytest.fixture(autouse=True)
def memory() -> Iterator[None]:
    before = pc.set_memory_limit(6 << 30)
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
