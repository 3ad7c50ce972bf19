"""Errors that name the transforms around an operation, and the tools of plait.debug."""

import inspect
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

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
        (lambda: pc.checkpoint(picks), "checkpoint of picks"),
        (lambda: pc.grad(pc.checkpoint(picks)), "grad > checkpoint of picks"),
        (lambda: pc.compile(pc.grad(pc.checkpoint(lambda x, n: picks(x, n)))), "compile > grad > checkpoint"),
        (lambda: pc.grad(pc.grad(picks)), None),
    ],
    ids=[
        "compile",
        "grad",
        "value_and_grad",
        "compile-grad",
        "grad-compile",
        "lambda",
        "checkpoint",
        "grad-checkpoint",
        "compile-grad-checkpoint",
        "second",
    ],
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


# --- the NaN check ----------------------------------------------------------------------------------------------------


def found(work: Callable[[], object], **options: bool) -> pc.Error:
    with debug.check_nan(**options):
        error = error_of(FloatingPointError, work)
    assert isinstance(error, pc.NanError)
    return error


def test_the_first_operation_with_a_nan() -> None:
    x = pc.array([[4.0, -1.0, 9.0], [1.0, -4.0, 0.0]])
    at = line() + 1
    root = pc.sqrt(x)
    scaled = root * 2 + 1
    error = found(lambda: pc.eval(scaled))
    assert error.op == "sqrt"
    assert error.where == f"test_debug.py:{at} in test_the_first_operation_with_a_nan"
    assert "2 of 6 elements" in error.got and "the first at [0, 1]" in error.got
    assert "a = -1" in error.got and "shape (2, 3), dtype float32" in error.got
    assert scaled.shape == (2, 3) and pc.isnan(scaled).sum().item() == 2  # outside the block it is computed


@pytest.mark.parametrize("deep", [False, True], ids=["memory", "deep"])
def test_in_kernels_reductions_and_behind_them(deep: bool) -> None:
    big = pc.full((3, 3), 3e38)
    x = pc.array([1.0, float("inf"), 2.0])
    for work, op, got in (
        (lambda: pc.matmul(big, pc.ones((3, 1))) * 0.0, "multiply", "a = inf, b = 0"),
        (lambda: (x - x).sum(), "subtract", "a = inf, b = inf"),
        (lambda: pc.sum(pc.array([float("inf"), -float("inf"), 0.0])) + 1, "sum", "from -inf to inf"),
        (lambda: pc.matmul(pc.array([[float("inf"), 1.0]]), pc.array([[0.0], [1.0]])), "matmul", "of shape (1, 2)"),
    ):
        try:
            error = found(lambda work=work: pc.eval(work()), deep=deep)  # type: ignore[misc]
        except BaseException as e:
            raise AssertionError(op) from e
        assert error.op == op and got in error.got, (op, error)


def test_what_had_a_nan_before_is_said_to() -> None:
    at = line() + 1
    logs = pc.log(pc.array([1.0, -2.0, 3.0, -5.0]))
    pc.eval(logs)
    error = found(lambda: pc.eval(logs.reshape(2, 2) + 1))
    assert error.op == "add"
    assert "the operand a was so before: 2 of 4 elements" in error.hint, error.hint
    assert f"it comes from log at test_debug.py:{at}" in error.hint
    error = found(lambda: pc.eval(pc.ones(3) * float("nan")))
    assert error.op == "multiply" and "it is a number" in error.hint, error
    error = found(lambda: pc.eval(pc.array([1.0, float("nan")]).sum()))
    assert error.op == "sum" and "was so before" in error.hint


def test_nans_that_nobody_computes_are_no_error() -> None:
    with debug.check_nan():
        holes = pc.array([1.0, float("nan")])
        pc.eval(holes, pc.full((3,), float("nan")), holes[::-1], pc.isnan(holes), pc.nan_to_num(holes) + 1)
        assert pc.where(pc.isnan(holes), 0.0, holes).tolist() == [1, 0]


def test_nans_that_vanish() -> None:
    x = pc.array([4.0, -1.0])

    def safe(x: pc.array) -> pc.array:
        return pc.where(x > 0, pc.sqrt(x), 0.0) + 1

    with debug.check_nan():
        assert safe(x).tolist() == [3, 1]
    error = found(lambda: pc.eval(safe(x)), deep=True)
    assert error.op == "sqrt" and error.where.endswith("safe")
    # One that vanishes is not blamed for another, in the same fused step.
    error = found(lambda: pc.eval(safe(x) / 0.0 - safe(x) / 0.0))
    assert error.op == "subtract", error
    # But it is where it does not vanish after all: the gradient of the branch not taken.
    error = found(lambda: pc.eval(pc.grad(lambda x: safe(x).sum())(x)))
    assert error.where.endswith("safe, under grad"), error


def test_infinities_are_asked_for() -> None:
    x = pc.array([1.0, 0.0])
    with debug.check_nan():
        assert (1 / x).tolist() == [1, float("inf")]
    error = found(lambda: pc.eval(1 / x + 1), inf=True)
    assert error.op == "divide" and "NaN or infinite" in error.got and "b = 0" in error.got


@pytest.mark.parametrize("dtype", [pc.float16, pc.bfloat16, pc.float32, pc.float64, pc.complex64], ids=str)
def test_dtypes(dtype: pc.Dtype) -> None:
    with pc.stream(pc.cpu):  # float64 is for the CPU
        x = pc.array([1.0, 0.0, 2.0]).astype(dtype)
        error = found(lambda: pc.eval(x / x))
    assert error.op == "divide" and "at [1]" in error.got and str(dtype).split(".")[-1] in error.got, error


def test_the_check_changes_nothing() -> None:
    pc.random.seed(1)
    x = pc.random.normal((65, 130))
    w = pc.random.normal((130, 70))

    def work() -> list[pc.array]:
        hidden = pc.tanh(x @ w)
        kept = hidden * 2
        scattered = pc.zeros((70,)).at[pc.array([1, 1, 5])].add(kept[0, :3])
        return [kept, pc.softmax(hidden, axis=-1), scattered, pc.sort(hidden.sum(axis=0))]

    plain = work()
    pc.eval(plain)
    for options in ({}, {"inf": True}, {"deep": True}):
        with debug.check_nan(**options):
            checked = work()
            pc.eval(checked)
        assert all(pc.array_equal(a, b).item() for a, b in zip(plain, checked, strict=True))


def test_a_failed_check_leaves_arrays_intact() -> None:
    x = pc.array([1.0, 2.0]) + 0
    grown = x * 3
    pc.eval(x)
    y = x
    del x
    bad = pc.log(y - 2) * grown
    with debug.check_nan():
        for _ in range(2):
            with pytest.raises(pc.NanError):
                pc.eval(bad)
        assert grown.tolist() == [3, 6] and y.tolist() == [1, 2]


def test_under_compiled_vmapped_gradients() -> None:
    def loss(x: pc.array) -> pc.array:
        return pc.sqrt(x).sum()

    step = pc.compile(lambda batch: pc.vmap(pc.grad(loss))(batch) * 0.0)
    pc.eval(step(pc.ones((2, 3))))
    batch = pc.array([[1.0, 4.0], [0.0, 1.0]])
    for _ in range(2):
        error = found(lambda: pc.eval(step(batch)))
        assert error.op == "multiply" and "at [1, 0]" in error.got
    error = found(lambda: pc.eval(step(batch)), inf=True)
    assert error.where.endswith("loss, under compile > vmap > grad of loss"), error


def test_the_check_is_of_the_thread_and_of_the_process() -> None:
    program = """
        import threading
        import plait.core as pc
        from plait import debug

        def fails():
            try:
                pc.eval(pc.log(pc.array([-1.0])))
            except FloatingPointError:
                return "fails"
            return "passes"

        def elsewhere():
            result = []
            thread = threading.Thread(target=lambda: result.append(fails()))
            thread.start()
            thread.join()
            return result[0]

        with debug.check_nan():
            print(fails(), elsewhere())
        print(fails(), elsewhere())
    """
    assert in_a_process(program, PLAIT_CHECK_NAN="").split() == ["fails", "passes", "passes", "passes"]
    assert in_a_process(program, PLAIT_CHECK_NAN="1").split() == ["fails"] * 4
    assert in_a_process(program, PLAIT_CHECK_NAN="0").split() == ["fails", "passes", "passes", "passes"]
    deep = "import plait.core as pc; x = pc.array([-1.0]); print(pc.where(x > 0, pc.log(x), 0.0).item())"
    assert in_a_process(deep, PLAIT_CHECK_NAN="1").split() == ["0.0"]
    with pytest.raises(AssertionError, match="NanError: log"):
        in_a_process(deep, PLAIT_CHECK_NAN="deep")


def test_with_the_eager_switch_and_in_the_background() -> None:
    with debug.check_nan(), debug.eager():
        with pytest.raises(pc.NanError):
            pc.log(pc.array([-1.0]))
    bad = pc.log(pc.array([-1.0])) * 1
    with debug.check_nan():
        pc.async_eval(bad)
        pc.synchronize()  # says nothing, as for any error
        with pytest.raises(pc.NanError):
            bad.item()


def test_long_views_between() -> None:
    def chained(x: pc.array) -> pc.array:
        for _ in range(3000):
            x = x[None][0]
        return x

    x = pc.array([1.0, -1.0])
    error = found(lambda: pc.eval(chained(pc.log(x)) + 1))
    assert error.op == "log"


GPU_PROGRAM = """
    import plait.core as pc
    from plait import debug, transfers

    pc.set_default_device(pc.gpu)
    x = pc.arange(1.0, 7.0).reshape(2, 3) - 3
    y = pc.tanh(x @ x.T)
    pc.eval(x, y)
    with transfers.count() as moved, debug.check_nan():
        pc.eval(pc.exp(y) * 2, pc.sort(y))
    print(moved["gpu:0", "cpu"].transfers, moved["gpu:0", "cpu"].bytes, moved["cpu", "gpu:0"].bytes)
    with debug.check_nan():
        try:
            pc.eval(pc.log(x) + 1)
        except pc.NanError as e:
            print(e.op, "|", e.got)
        try:
            pc.eval(pc.argsort(pc.log(x)).sum() + pc.cumsum(pc.log(x)))
        except pc.NanError as e:
            print(e.op)
    print(x.tolist())
"""


def test_on_a_simulated_gpu() -> None:
    moved, first, second, kept = in_a_process(GPU_PROGRAM, PLAIT_SIMULATE_GPU="1").splitlines()
    assert moved == "2 2 0"  # one bool for each of the two results
    assert first.startswith("log | 2 of 6 elements") and "a = -2" in first
    assert second == "log"
    assert kept == "[[-2.0, -1.0, 0.0], [1.0, 2.0, 3.0]]"


# --- explain ----------------------------------------------------------------------------------------------------------


def layers(x: pc.array, w: pc.array) -> pc.array:
    hidden = pc.tanh(x @ w) * 2
    return pc.softmax(hidden, axis=-1)


def test_explain_an_array() -> None:
    x, w = pc.random.normal((64, 32)), pc.random.normal((32, 16))
    pc.eval(x, w)
    y = layers(x, w)
    counters = pc.trace_counters()
    e = debug.explain(y)
    assert pc.trace_counters() == counters
    assert not evaluated(y)
    assert [step.kind for step in e.steps] == ["kernel", "region", "view"]  # softmax's rules stand in a view
    matmul, rest, _ = e.steps
    assert matmul.operations == ["matmul"] and matmul.shape == (64, 16) and matmul.dtype == pc.float32
    assert rest.operations[:2] == ["tanh", "multiply"]
    on_gpu = pc.default_device() == pc.Device(pc.gpu)
    assert rest.device == ("gpu:0" if on_gpu else "cpu")
    assert on_gpu or rest.how in ("interpreted", "assembled")
    at = layers.__code__.co_firstlineno
    assert rest.lines == [f"test_debug.py:{at + 1} in layers", f"test_debug.py:{at + 2} in layers"]
    assert (
        matmul.bytes_read == (64 * 32 + 32 * 16) * 4 and matmul.bytes_written == matmul.bytes_allocated == 64 * 16 * 4
    )
    assert matmul.seconds is None and e.result_bytes == 64 * 16 * 4
    assert e.plan.startswith("new: ")
    text = str(e)
    assert "matmul" in text and "float32(64, 16)" in text and f"test_debug.py:{at + 1} in layers" in text
    assert "kernel" in e._repr_html_() and e._repr_html_().startswith("<pre>")
    pc.eval(y)
    assert debug.explain(layers(x, w)).plan == "in the cache"
    assert "everything is evaluated" in debug.explain({"a": [y, x]}).plan


def test_explain_is_the_plan_that_is_run() -> None:
    x, w = pc.random.normal((8, 6)), pc.random.normal((6, 5))
    pc.eval(x, w)
    own = lambda: pc.expm1(pc.arctan(layers(x, w)))  # noqa: E731  a structure that no other test has
    debug.explain(own())  # plans, but keeps nothing
    built = pc.trace_counters().get("plans_built", 0)
    e = debug.explain(own(), analyze=True)
    assert pc.trace_counters()["plans_built"] == built + 1
    assert all(step.seconds is not None and step.seconds >= 0 for step in e.steps)
    assert "GB/s" in str(e)
    assert str(debug.explain(layers, x, w)).splitlines()[1].split()[:3] == ["1", "kernel", "matmul"]


def test_explain_a_function() -> None:
    def looks(x: pc.array) -> pc.array:
        scale = pc.max(x).item()
        return x / scale

    at = looks.__code__.co_firstlineno + 1
    x = pc.random.normal((4, 4))
    key = pc.random.state[0].tolist()
    e = debug.explain(looks, x)
    assert len(e.evaluations) == 1
    assert e.evaluations[0].startswith(f"asked for at test_debug.py:{at} in ")
    assert "evaluated while the function ran" in str(e)
    assert debug.explain(lambda: pc.random.normal((3,))).steps
    assert pc.random.state[0].tolist() == key
    for transform in (pc.grad, pc.value_and_grad):
        e = debug.explain(transform(lambda x: pc.tanh(x).sum()), x)
        assert "tanh" in str(e) and e.steps


def test_explain_a_compiled_step_leaves_its_state() -> None:
    state = {"w": pc.ones((4, 4)) * 2, "m": [pc.zeros((4, 4)) + 0]}
    pc.eval(state)

    def step(x: pc.array) -> pc.array:
        grad = pc.tanh(x @ state["w"])
        state["m"][0] = state["m"][0] * 0.9 + grad
        state["w"] = state["w"] - 0.1 * state["m"][0]
        return grad.sum()

    compiled = pc.compile(step, inputs=state, outputs=state)
    x = pc.ones((4, 4))
    kept = state["w"], state["m"][0]
    for analyze in (False, True):
        e = debug.explain(compiled, x, analyze=analyze)
        assert state["w"].tolist() == [[2.0] * 4] * 4 and state["m"][0].tolist() == [[0.0] * 4] * 4
        assert "matmul" in str(e) and e.traces[0].state == 2
    del kept
    e = debug.explain(compiled, x)
    assert any("overwrites an array that nobody else holds" in note for s in e.steps for note in s.notes), str(e)
    first = compiled(x)
    assert state["m"][0].tolist() != [[0.0] * 4] * 4 and first.item() > 0


def test_explain_what_compile_made() -> None:
    def f(x: pc.array, scale: float, flag: bool = True) -> pc.array:
        n = x.shape[0]
        return x.reshape(n // 2, -1) * scale if flag else x + n

    compiled = pc.compile(f)
    assert str(debug.explain(compiled)) == "not traced yet: it is traced when it is called"
    for rows in (4, 4, 4, 6):
        pc.eval(compiled(pc.ones((rows, 3)), 2.0))
    pc.eval(compiled(pc.ones((4, 3)), 3.0, flag=False))
    traces = debug.explain(compiled).traces
    assert [t.calls for t in traces] == [1, 1, 3]
    assert traces[2].why == "first call"
    assert traces[1].why == "an extent read as a number was 4 and is now 6"
    assert traces[0].why == "other arguments: containers, constants or types"
    assert "float32(a, b)" in traces[2].arguments and "flag" in traces[0].arguments
    assert "a was read as a number and is 4" in traces[2].guards
    text = str(debug.explain(compiled))
    assert "used 3 times; traced: first call" in text and "only where a was read as a number and is 6" in text


def test_guards_in_words() -> None:
    def f(x: pc.array, y: pc.array) -> pc.array:
        return pc.concatenate([x, y]).reshape(-1, 2) + (1 if x.shape == y.shape else 2)

    compiled = pc.compile(f)
    pc.eval(compiled(pc.ones((4,)), pc.ones((6,))))
    (trace,) = debug.explain(compiled).traces
    assert "float32(a,)" in trace.arguments and "float32(b,)" in trace.arguments
    assert trace.guards


def test_explain_refuses_what_it_cannot() -> None:
    with pytest.raises(ValueError, match="arguments are for a function"):
        debug.explain(pc.ones(3), 1)
    with pytest.raises(ValueError, match="traced array"):
        pc.vmap(lambda x: (debug.explain(x + 1), x)[1])(pc.ones(3))
    error = error_of(ValueError, lambda: debug.explain(lambda x: x + pc.ones(4), pc.ones(3)))
    assert error.op == "add"
    bad = pc.take(pc.ones(3), pc.array([7]))
    assert debug.explain(bad).steps
    error_of(IndexError, lambda: debug.explain(bad, analyze=True))
    error_of(IndexError, lambda: pc.eval(bad))


def test_explain_prints_to_a_file(tmp_path: Path) -> None:
    with (tmp_path / "plan.txt").open("w") as file:
        e = debug.explain(pc.ones(3) + 1, file=file)
    assert (tmp_path / "plan.txt").read_text() == f"{e}\n"


def test_explain_long_chains() -> None:
    x = pc.ones(4)
    for _ in range(20_000):
        x = pc.sin(x) + 1
    e = debug.explain(x)
    assert e.operations >= 40_000 and len(str(e).splitlines()) > 100


def test_explain_on_a_simulated_gpu() -> None:
    program = """
        import plait.core as pc
        from plait import debug

        x = pc.ones((64, 32)) * 1
        pc.eval(x)
        pc.set_default_device(pc.gpu)
        y = pc.sort(pc.tanh(x @ x.T), axis=0)
        with pc.stream(pc.cpu):
            z = y.sum(axis=0)
        for analyze in (False, True):
            e = debug.explain(z, analyze=analyze)
            for step in e.steps:
                print(step.kind, step.device, step.transfers, step.seconds is not None)
            print(*[note for step in e.steps for note in step.notes], sep="|")
    """
    lines = in_a_process(program, PLAIT_SIMULATE_GPU="1", PLAIT_SIMULATE_WITHOUT="sort").splitlines()
    moved = "('cpu', 'gpu:0', 8192)"
    assert lines[: len(lines) // 2] == [line.replace("True", "False") for line in lines[len(lines) // 2 :]]
    assert any(moved in line and "gpu:0 [" in line for line in lines)
    assert any("gpu:0 has no kernel for it" in line for line in lines)
    assert any("('gpu:0', 'cpu', 16384)" in line for line in lines)
