"""Reading and writing through an index, with NumPy as the oracle."""

import itertools
from typing import Any

import numpy as np
import pytest

import plait.core as pc

SOURCE = np.arange(2 * 3 * 4, dtype=np.int32).reshape(2, 3, 4)
PLACES = [0, -1, slice(None), slice(1, None), slice(None, None, -1), slice(None, None, 2), None, Ellipsis]
ARRAYS = [np.array(1), np.array([0, 1]), np.array([[-1], [0]]), np.array([1, 0, 1])]


def name(index: Any) -> str:
    return repr(index).replace("slice", "").replace("None", "_")


def ours(index: Any) -> Any:
    if isinstance(index, tuple):
        return tuple(map(ours, index))
    return pc.array(index) if isinstance(index, np.ndarray) else index


def combinations() -> list[Any]:
    basic = [
        *PLACES,
        *itertools.product(PLACES, repeat=2),
        *itertools.product([0, slice(1, 3), slice(None, None, -2)], repeat=3),
    ]
    mixed = [
        *ARRAYS,
        *itertools.product(ARRAYS, PLACES),
        *itertools.product(PLACES, ARRAYS),
        *itertools.product(ARRAYS[:3], ARRAYS[:3]),
        (0, slice(None), ARRAYS[1]),
        (ARRAYS[1], slice(None), ARRAYS[1]),
        (ARRAYS[1], slice(0, 2), ARRAYS[2]),
        (slice(None), ARRAYS[1], ARRAYS[1]),
        (None, ARRAYS[1], None, ARRAYS[1]),
        (ARRAYS[1], None, ARRAYS[1], slice(1, 3)),
        (Ellipsis, ARRAYS[1], None),
        (ARRAYS[1], Ellipsis, ARRAYS[3][:2]),
        (0, ARRAYS[1], slice(1, 3)),
        (ARRAYS[1][:0],),
    ]
    valid = []
    for index in (*basic, *mixed):
        try:
            SOURCE[index]
        except IndexError:
            continue
        valid.append(index)
    return valid


@pytest.mark.parametrize("index", combinations(), ids=name)
def test_reading(index: Any) -> None:
    want = SOURCE[index]
    have = pc.array(SOURCE)[ours(index)]
    assert have.shape == want.shape
    np.testing.assert_array_equal(np.array(have), want)


@pytest.mark.parametrize("index", combinations(), ids=name)
def test_writing(index: Any) -> None:
    want = SOURCE.copy()
    shape = want[index].shape
    values = (np.arange(int(np.prod(shape)), dtype=np.int32) + 100).reshape(shape)
    have = pc.array(SOURCE)
    before = have[...]
    for value in (7, values):
        want[index] = value
        have[ours(index)] = pc.array(value)
        np.testing.assert_array_equal(np.array(have), want)
    assert before.tolist() == SOURCE.tolist()


@pytest.mark.parametrize("operation", ["add", "subtract", "multiply", "maximum", "minimum"])
@pytest.mark.parametrize(
    "index", [0, (slice(None), 1), ARRAYS[3], (ARRAYS[1], slice(None), ARRAYS[2]), (0, ARRAYS[3])], ids=name
)
def test_updates_combine_repeatedly(operation: str, index: Any) -> None:
    want = SOURCE.copy()
    getattr(np, operation).at(want, index, 3)
    have = getattr(pc.array(SOURCE).at[ours(index)], operation)(3)
    np.testing.assert_array_equal(np.array(have), want)


def test_dividing_updates() -> None:
    assert pc.ones(3).at[pc.array([0, 0])].divide(2).tolist() == [0.25, 1, 1]
    assert pc.ones(3, dtype=pc.int32).at[0].divide(2).tolist() == [0, 1, 1]


def test_masks_write() -> None:
    for mask in (SOURCE > 11, SOURCE[:, :, 0] > 3, np.array([True, False]), np.array(True)):
        for value in (5, np.arange(SOURCE[mask].shape[0], dtype=np.int32).reshape(-1, *[1] * (SOURCE[mask].ndim - 1))):
            want = SOURCE.copy()
            want[mask] = value
            have = pc.array(SOURCE)
            have[pc.array(mask)] = pc.array(value)
            np.testing.assert_array_equal(np.array(have), want)
    with pytest.raises(ValueError):
        pc.array(SOURCE)[pc.array([True, False, True])] = 1


@pytest.mark.parametrize(
    "index",
    [(0, 0, 0, 0), 2, -3, (0, 3), (..., ...), 1.0, "a", True, slice(0.0, 2.0), slice(0, 2, 0), range(2)],
    ids=repr,
)
def test_bad_indices(index: Any) -> None:
    a = pc.array(SOURCE)
    for raised in (ValueError, IndexError):
        with pytest.raises(raised):
            a[index]


def test_bad_arrays_and_values() -> None:
    a = pc.array(SOURCE)
    for index in (pc.array([0.0]), pc.array([True] * 7), (pc.array([0, 1]), pc.array([0, 1, 2]))):
        with pytest.raises(ValueError):
            a[index]
    for value in (pc.ones(3), [1, 2], "a"):
        with pytest.raises(ValueError):
            a[0] = value  # type: ignore[assignment]
    with pytest.raises(TypeError):
        a[0] = None  # type: ignore[assignment]
    with pytest.raises(AttributeError):
        del a[0]  # type: ignore[attr-defined]


def test_writing_rebinds_every_name() -> None:
    a = b = pc.zeros(3)
    before = a[:]
    a[0] = 1.5
    assert b.tolist() == [1.5, 0, 0] and before.tolist() == [0, 0, 0]
    c = pc.zeros(2, dtype=pc.int32)
    c[0] = 1.9
    assert c.tolist() == [1, 0]


def test_length_and_iteration() -> None:
    a = pc.array(SOURCE)
    assert len(a) == 2 and [row.shape for row in a] == [(3, 4)] * 2
    assert 5 in pc.array([4, 5]) and 6 not in pc.array([4, 5])
    for use in (len, iter):
        with pytest.raises(TypeError):
            use(pc.array(1))
