"""Errors: built-in bases, fields, and the user's line."""

import inspect
import time
from collections.abc import Callable

import pytest

import plait.core as pc


def line() -> int:
    frame = inspect.currentframe()
    assert frame is not None and frame.f_back is not None
    return frame.f_back.f_lineno


def test_bases() -> None:
    for cls, bases in {
        pc.ShapeError: (ValueError,),
        pc.AxisError: (ValueError, IndexError),
        pc.DTypeError: (ValueError,),
        pc.ArgumentTypeError: (TypeError,),
        pc.IndexError: (IndexError, ValueError),
        pc.OutOfMemory: (MemoryError, RuntimeError),
        pc.InternalError: (RuntimeError,),
    }.items():
        assert issubclass(cls, pc.Error)
        for base in bases:
            assert issubclass(cls, base)
        assert isinstance(cls("text"), bases)


def test_fields() -> None:
    with pytest.raises(pc.ShapeError) as raised:
        at = line() + 1
        pc.ones((2, 3)) + pc.ones((4,))
    error = raised.value
    assert error.op == "add"
    assert "(2, 3)" in error.got and "(4,)" in error.got
    assert error.where == f"test_errors.py:{at} in test_fields"
    assert error.where in str(error)


def test_axis() -> None:
    with pytest.raises(pc.AxisError) as raised:
        pc.sum(pc.ones((2, 3)), axis=2)
    assert "axis 2" in raised.value.got and raised.value.accepts == "-2 to 1"


@pytest.mark.parametrize("positions", [[1, 2], "a", 1.5, object()], ids=["list", "str", "float", "object"])
def test_positions_of_a_wrong_type(positions: object) -> None:
    for call in (lambda: pc.take(pc.arange(6), positions), lambda: pc.random.permutation(positions)):  # type: ignore[arg-type]
        with pytest.raises(pc.ArgumentTypeError) as raised:
            call()
        assert type(positions).__name__ in raised.value.got


def test_numbers_that_do_not_fit() -> None:
    with pytest.raises(ValueError):
        pc.array([1], dtype=pc.uint8) + 300
    with pytest.raises(ValueError):
        pc.array([1]) + 2**40


def where_it_fails(work: Callable[[], object], error: type[BaseException]) -> pc.Error:
    with pytest.raises(error) as raised:
        work()
    assert isinstance(raised.value, pc.Error)
    return raised.value


def late(n: int) -> tuple[pc.array, int]:
    """Lazy work that fails when it is run, in the middle of a graph, and the line at fault."""
    values = pc.arange(4.0)
    at = line() + 1
    picked = pc.take(values, pc.array([0, n]) + 0)
    return pc.exp(picked) + values[:2], at


def in_the_background(a: pc.array) -> object:
    pc.async_eval(a)
    pc.synchronize()
    return a.tolist()


@pytest.mark.parametrize(
    "ask",
    [
        pc.eval,
        pc.array.tolist,
        str,
        lambda a: a.sum().item(),
        memoryview,
        lambda a: pc.eval({"a": [a, pc.ones(3)]}),
        in_the_background,
    ],
    ids=["eval", "tolist", "str", "item", "memoryview", "tree", "async"],
)
def test_late_errors_name_the_line_that_made_the_operation(ask: Callable[[pc.array], object]) -> None:
    result, at = late(9)
    for _ in range(2):  # asking again fails again, in the same way
        error = where_it_fails(lambda: ask(result), IndexError)
        assert error.where == f"test_errors.py:{at} in late"
        assert error.op == "take" and "position 9" in error.got and error.accepts == "-4 to 3"
    assert late(3)[0].shape == (2,)


def test_late_errors_within_transforms() -> None:
    def loss(x: pc.array, n: pc.array) -> pc.array:
        return (x * pc.take(x, n)).sum()

    one, rows = pc.array([7]), pc.array([[1], [7]])
    compiled = pc.compile(loss)
    assert compiled(pc.ones(3), pc.array([1])).item() == 3
    for work, n in (
        (compiled, one),
        (pc.grad(loss), one),
        (pc.vmap(loss, in_axes=(None, 0)), rows),
        (pc.compile(pc.grad(loss)), one),
        (pc.vmap(pc.grad(loss), in_axes=(None, 0)), rows),
    ):
        error = where_it_fails(lambda work=work, n=n: pc.eval(work(pc.ones(3), n)), IndexError)  # type: ignore[misc]
        assert "in test_late_errors_within_transforms.<locals>.loss, under " in error.where, error.where


def test_a_failure_spoils_nothing_else() -> None:
    with pc.stream(pc.cpu):  # on a GPU what is evaluated together fails together
        result, _ = late(9)
        good = pc.arange(4.0) * 2
        with pytest.raises(IndexError):
            pc.eval(good, result)
        assert good.tolist() == [0, 2, 4, 6]


def test_background_errors_wait_for_their_use() -> None:
    result, at = late(5)
    pc.async_eval(result)
    pc.synchronize()  # says nothing: the result may never be wanted
    sum_of_it = result.sum()
    pc.async_eval(sum_of_it)
    assert where_it_fails(sum_of_it.item, IndexError).where == f"test_errors.py:{at} in late"


def test_memory_is_refused_in_time() -> None:
    """Before a page of it is touched, with the sizes, the operation's line, and everything else as it was."""
    kept = pc.ones(3) + 0
    rows = pc.ones((1 << 22, 1))
    start = time.monotonic()
    at = line() + 1
    table = pc.sort(rows * pc.ones((1, 1 << 22)))
    error = where_it_fails(lambda: pc.eval(table.sum(), kept), MemoryError)
    assert time.monotonic() - start < 5
    assert error.where == f"test_errors.py:{at} in test_memory_is_refused_in_time"
    assert "70368744177664 bytes (64.0 TiB) asked" in error.got and "shape (4194304, 4194304)" in error.got
    assert "limit" in error.accepts and "set_memory_limit" in error.hint
    assert kept.tolist() == [1, 1, 1]


def test_a_constant_costs_nothing_until_it_is_written_out() -> None:
    huge = pc.zeros((1 << 40,))
    pc.eval(huge)
    assert huge.shape == (1 << 40,) and huge.nbytes == 1 << 42
    assert huge[123].item() == 0
    with pytest.raises(MemoryError, match="4398046511104 bytes"):
        memoryview(huge)


def test_limits_can_be_set() -> None:
    pc.clear_cache()
    before = pc.set_memory_limit(pc.get_active_memory() + (64 << 20))
    try:
        half = pc.random.normal((8 << 20,))  # 32 MiB
        pc.eval(half)
        at = line() + 1
        other = pc.random.normal((16 << 20,)) * 2
        error = where_it_fails(lambda: pc.eval(other), MemoryError)
        assert error.where == f"test_errors.py:{at} in test_limits_can_be_set"
        assert "67108864 bytes (64.0 MiB) asked" in error.got and "limit" in error.accepts
        assert half.sum().item() == half.sum().item()
        pc.set_memory_limit(before)
        pc.eval(other)
    finally:
        pc.set_memory_limit(before)
    assert pc.get_memory_limit() == before


@pytest.mark.parametrize("shape", [(1 << 40, 1 << 40), (1 << 62, 1), (1 << 31, 1 << 31, 2), (1 << 32, 1 << 32)])
def test_shapes_that_cannot_be_counted(shape: tuple[int, ...]) -> None:
    with pytest.raises(pc.ShapeError, match="63"):
        pc.zeros(shape)
    with pytest.raises(pc.ShapeError):
        pc.broadcast_to(pc.ones((1,) * len(shape)), shape)
    with pytest.raises(pc.ShapeError):
        pc.ones((0,)).reshape(shape)
    assert pc.zeros((0, *shape)).size == 0
