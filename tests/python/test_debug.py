"""Errors that name the transforms around an operation, and the tools of plait.debug."""

import inspect
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable

import pytest

import plait.core as pc
from plait import debug


def line() -> int:
    frame = inspect.currentframe()
    assert frame is not None and frame.f_back is not None
    return frame.f_back.f_lineno


def error_of(kind: type[BaseException], work: Callable[[], object]) -> pc.Error:
    with pytest.raises(kind) as raised:
        work()
    assert isinstance(raised.value, pc.Error)
    return raised.value


def in_a_process(program: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


# --- errors name the transforms ---------------------------------------------------------------------------------------


def picks(x: pc.array, n: pc.array) -> pc.array:
    return (x * pc.take(x, n)).sum()


PICKS = f"test_debug.py:{picks.__code__.co_firstlineno + 1} in picks"


@pytest.mark.parametrize(
    ("make", "under"),
    [
        (lambda: pc.compile(picks), "compile of picks"),
        (lambda: pc.grad(picks), "grad of picks"),
        (lambda: pc.value_and_grad(picks), "grad of picks"),
        (lambda: pc.compile(pc.grad(picks)), "compile > grad of picks"),
        (lambda: pc.grad(pc.compile(picks)), "grad > compile of picks"),
        (lambda: pc.compile(pc.grad(lambda x, n: picks(x, n))), "compile > grad"),
        (lambda: pc.grad(pc.grad(picks)), None),
    ],
    ids=["compile", "grad", "value_and_grad", "compile-grad", "grad-compile", "lambda", "second"],
)
def test_evaluation_errors_name_the_transforms(make: Callable[[], Callable[..., object]], under: str | None) -> None:
    if under is None:  # the gradient of a gradient needs a scalar inside

        def twice(x: pc.array, n: pc.array) -> pc.array:
            return pc.grad(picks)(x, n).sum()

        work, under = pc.grad(twice), "grad of twice > grad of picks"
    else:
        work = make()
    pc.eval(work(pc.ones(3), pc.array([1])))
    for _ in range(3):  # in a replay as in the first run
        error = error_of(IndexError, lambda: pc.eval(work(pc.ones(3), pc.array([7]))))
        assert error.where == f"{PICKS}, under {under}", error.where
        assert error.where in str(error)


def test_a_compiled_vmapped_gradient() -> None:
    def step(x: pc.array, rows: pc.array) -> pc.array:
        return pc.vmap(pc.grad(picks), in_axes=(None, 0))(x, rows)

    compiled = pc.compile(step)
    pc.eval(compiled(pc.ones(3), pc.array([[1], [2]])))
    for rows in ([[1], [7]], [[0], [8], [1]]):
        error = error_of(IndexError, lambda rows=rows: pc.eval(compiled(pc.ones(3), pc.array(rows))))  # type: ignore[misc]
        assert error.where == f"{PICKS}, under compile of step > vmap > grad of picks", error.where


def test_one_trace_under_several_transforms() -> None:
    compiled = pc.compile(picks)

    def outer(x: pc.array, n: pc.array) -> pc.array:
        return compiled(x, n) * 2

    bad = pc.array([7])
    first = error_of(IndexError, lambda: pc.eval(compiled(pc.ones(3), bad)))
    within = error_of(IndexError, lambda: pc.eval(pc.grad(outer)(pc.ones(3), bad)))
    batched = error_of(IndexError, lambda: pc.eval(pc.vmap(outer, in_axes=(None, 0))(pc.ones(3), bad[None])))
    again = error_of(IndexError, lambda: pc.eval(compiled(pc.ones(3), bad)))
    assert first.where == again.where == f"{PICKS}, under compile of picks"
    assert within.where == f"{PICKS}, under grad of outer > compile of picks"
    assert batched.where == f"{PICKS}, under vmap of outer > compile of picks"


def test_a_trace_made_inside_another_transform_is_its_own() -> None:
    compiled = pc.compile(picks)

    def outer(x: pc.array, n: pc.array) -> pc.array:
        return compiled(x, n) * 2

    bad = pc.array([7])
    within = error_of(IndexError, lambda: pc.eval(pc.grad(outer)(pc.ones(3), bad)))
    alone = error_of(IndexError, lambda: pc.eval(compiled(pc.ones(3), bad)))
    assert within.where == f"{PICKS}, under grad of outer > compile of picks"
    assert alone.where == f"{PICKS}, under compile of picks"


def test_errors_while_tracing_name_the_transforms() -> None:
    def loss(x: pc.array) -> pc.array:
        return (x + pc.ones((4,))).sum()

    at = loss.__code__.co_firstlineno + 1

    def step(x: pc.array) -> pc.array:
        return pc.vmap(pc.grad(loss))(x)

    error = error_of(ValueError, lambda: pc.compile(step)(pc.ones((5, 3))))
    place = f"test_debug.py:{at} in test_errors_while_tracing_name_the_transforms.<locals>.loss"
    assert error.where == f"{place}, under compile of step > vmap > grad of loss", error.where


def test_a_missing_rule_names_the_transforms() -> None:
    def looks(x: pc.array) -> pc.array:
        return pc.array(x.item())

    error = error_of(ValueError, lambda: pc.vmap(looks)(pc.ones(3)))
    assert "a traced array was evaluated" in error.got and error.where.endswith("under vmap of looks"), error.where


def test_out_of_memory_names_the_transforms() -> None:
    def table(x: pc.array) -> pc.array:
        return pc.sort(x * pc.ones((1, 1 << 22))).sum()

    error = error_of(MemoryError, lambda: pc.eval(pc.compile(table)(pc.ones((1 << 22, 1)))))
    assert error.where.endswith(", under compile of table"), error.where


def test_a_failed_trace_leaves_no_transform_open() -> None:
    def fails(x: pc.array) -> pc.array:
        raise RuntimeError("no")

    for transform in (pc.grad, pc.vmap, pc.compile):
        with pytest.raises(RuntimeError):
            transform(fails)(pc.ones(3))
    at = line() + 1
    error = error_of(ValueError, lambda: pc.ones(3) + pc.ones(4))
    assert error.where.startswith(f"test_debug.py:{at} in ") and "under" not in error.where


def test_callables_without_a_name() -> None:
    class Model:
        def __call__(self, x: pc.array, n: pc.array) -> pc.array:
            return picks(x, n)

    error = error_of(IndexError, lambda: pc.eval(pc.grad(Model())(pc.ones(3), pc.array([7]))))
    assert error.where == f"{PICKS}, under grad"


# --- the eager switch -------------------------------------------------------------------------------------------------


def evaluated(a: pc.array) -> bool:
    try:
        pc.get_array_buffer_size(a)
    except ValueError:
        return False
    return True


def test_eager_evaluates_when_made() -> None:
    lazy = pc.ones(3) * 2
    with debug.eager():
        made = pc.ones(3) * 2 + lazy
        assert evaluated(made) and made.tolist() == [4, 4, 4]
        with debug.eager():
            pass
        assert evaluated(made + 1)
    assert not evaluated(made + 1)


def test_eager_errors_come_at_the_line() -> None:
    def steps(x: pc.array) -> pc.array:
        y = x * 2
        z = pc.take(y, pc.array([0, 9]))
        reached.append(1)
        return z + 1

    reached: list[int] = []
    steps(pc.ones(3))
    assert reached == [1]
    with debug.eager():
        error = error_of(IndexError, lambda: steps(pc.ones(3)))
    assert reached == [1]
    assert error.where.startswith(f"test_debug.py:{steps.__code__.co_firstlineno + 2} in ")


def test_eager_inside_transforms() -> None:
    seen: list[bool] = []

    def loss(x: pc.array) -> pc.array:
        y = pc.tanh(x) * x
        seen.append(evaluated(y))
        return (y * y).sum()

    x = pc.array([0.5, -1.0, 2.0])
    expected = pc.grad(loss)(x).tolist()
    batch = pc.stack([x, x + 1])
    rows = pc.vmap(pc.grad(loss))(batch).tolist()
    second = pc.grad(lambda x: pc.grad(loss)(x).sum())(x).tolist()
    seen.clear()
    with debug.eager():
        assert pc.grad(loss)(x).tolist() == expected
        assert seen == [True]
        assert pc.vmap(pc.grad(loss))(batch).tolist() == rows
        assert seen == [True, False]  # one example of a batch is not known
        assert pc.grad(lambda x: pc.grad(loss)(x).sum())(x).tolist() == second
        compiled = pc.compile(pc.grad(loss))
        for _ in range(2):  # runs as it is written, each time
            assert compiled(x).tolist() == expected
        assert seen == [True, False, True, True, True]
    assert compiled(x).tolist() == expected and seen[-1] is False


def test_eager_gives_the_same_bits() -> None:
    pc.random.seed(3)
    x = pc.random.normal((64, 33))
    work = lambda: pc.softmax(pc.tanh(x) @ x.T, axis=-1).sum(axis=0)  # noqa: E731
    lazy = work()
    with debug.eager():
        assert pc.array_equal(lazy, work()).item()


def test_eager_is_of_the_thread_and_of_the_process() -> None:
    program = """
        import threading
        import plait.core as pc
        from plait import debug

        def made():
            try:
                pc.get_array_buffer_size(pc.ones(3) * 2)
            except ValueError:
                return False
            return True

        def elsewhere():
            result = []
            thread = threading.Thread(target=lambda: result.append(made()))
            thread.start()
            thread.join()
            return result[0]

        with debug.eager():
            print(made(), elsewhere())
        print(made(), elsewhere())
    """
    assert in_a_process(program, PLAIT_EAGER="0").split() == ["True", "False", "False", "False"]
    assert in_a_process(program, PLAIT_EAGER="1").split() == ["True"] * 4
