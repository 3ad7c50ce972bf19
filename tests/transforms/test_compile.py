# ruff: noqa: E501
"""compile: what is an input, what is looked at, what is kept; not the mathematics, which test_compiled_functions.py compares."""

import copy
import gc
import math
import threading
import weakref
from collections import namedtuple
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import plait.core as pc
import plait.debug


class Counted:
    """A function that counts how often it runs."""

    def __init__(self, f: Callable[..., Any]) -> None:
        self.f = f
        self.runs = 0
        self.compiled = pc.compile(self)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.runs += 1
        return self.f(*args, **kwargs)


def reasons() -> dict[str, int]:
    return {k: v for k, v in pc.trace_counters().items() if k.startswith(("traced: ", "planned: "))}


def since(before: dict[str, int]) -> dict[str, int]:
    return {k: v - before.get(k, 0) for k, v in reasons().items() if v != before.get(k, 0)}


# ---- numbers are inputs -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make", [int, float, complex, np.float32, np.float64, np.int64, np.float16, np.uint8, np.complex64]
)
@pytest.mark.parametrize("dtype", [pc.float32, pc.bfloat16, pc.int32, pc.int8, pc.uint64, pc.bool_, pc.complex64])
def test_a_number_is_an_input_with_the_dtype_rules_of_a_number(make: Callable[[int], Any], dtype: pc.Dtype) -> None:
    x = pc.array([0, 1, 1], dtype=dtype)
    reflected = make in (int, float, complex)  # c + x of NumPy's numbers is NumPy's business
    f = Counted(lambda x, c: (x * c, c + x if reflected else x + c, pc.power(x, c), pc.where(x == c, x, c)))
    for value in (3, 5, 7, 3):
        got, want = f.compiled(x, make(value)), f.f(x, make(value))
        for a, b in zip(got, want, strict=True):
            assert a.dtype == b.dtype and a.tolist() == b.tolist(), (make, dtype, value)
    assert f.runs == 1


def test_numbers_anywhere_in_the_arguments() -> None:
    f = Counted(lambda x, config, *, scale: x * config["a"][0] + config["b"] - scale)
    x = pc.array([1.0, 2.0])
    for a, b, scale in ((2, 0.5, 1), (3, 1.5, 0), (4, -1.0, 7)):
        assert f.compiled(x, {"a": (a,), "b": b}, scale=scale).tolist() == [1 * a + b - scale, 2 * a + b - scale]
    assert f.runs == 1


def test_types_of_numbers_are_told_apart() -> None:
    f = Counted(lambda x, c: x * c)
    x = pc.array([1, 2])
    for c in (2, 2.0, True, np.float32(2), 2 + 0j):
        assert f.compiled(x, c).dtype == (x * c).dtype
    assert f.runs == 5
    assert f.compiled(x, False).tolist() == [0, 0] and f.runs == 6  # programs branch on bools


def test_arithmetic_with_numbers_stays_symbolic() -> None:
    def f(x: pc.array, rate: float, step: int) -> pc.array:
        correction = 1 - 0.9 ** (step + 1)
        return x * (-rate / correction) + step // 2 + step % 3 + abs(-rate) + (+rate)

    g = Counted(f)
    x = pc.array([1.0, 2.0])
    for step in range(20):
        rate = 0.5 / (1 + step)
        np.testing.assert_allclose(np.array(g.compiled(x, rate, step)), np.array(f(x, rate, step)), rtol=1e-6)
    assert g.runs == 1


def test_what_python_looks_at_is_a_guard() -> None:
    def f(x: pc.array, c: float) -> pc.array:
        return x * c if c > 2 else x - c

    g = Counted(f)
    x = pc.array([1.0])
    for c in (3.0, 4.0, 1.0, 0.5, 7.0):
        assert g.compiled(x, c).tolist() == f(x, c).tolist()
    assert g.runs == 2
    before = reasons()
    h = Counted(lambda x, c: x + math.sqrt(c) + len(f"{c}"))
    assert [h.compiled(x, c).item() for c in (4.0, 9.0, 4.0)] == [6, 7, 6] and h.runs == 2
    assert since(before)["traced: a number that the function looked at was 4.0 and is now 9.0"] == 1


@pytest.mark.parametrize(
    "look",
    [
        float, int, bool, str, repr, hash, round, math.floor, math.ceil, math.trunc, complex, abs, copy.copy, copy.deepcopy,
        np.asarray, np.float32, lambda c: range(10)[c], lambda c: c.real, lambda c: f"{c:03d}", lambda c: c.bit_length(),
        lambda c: divmod(c, 3), lambda c: c & 3, lambda c: c << 2, lambda c: pow(c, 2, 7), lambda c: {c: 1}[c], lambda c: [7] * c,
        lambda c: isinstance(c, int), lambda c: isinstance(c, float), lambda c: max(c, 3), lambda c: c in (5, 6), lambda c: sorted([c, 3]),
        lambda c: np.sqrt(c), lambda c: np.ones(3) * c, lambda c: c == 5, lambda c: "x" * c, lambda c: c ** -1, lambda c: 2 ** c, lambda c: ~c,
    ],
)  # fmt: skip
def test_a_number_behaves_as_the_number_it_is(look: Callable[[Any], Any]) -> None:
    seen = []

    def f(x: pc.array, c: int) -> pc.array:
        got = look(c)
        seen.append(np.array(copy.copy(got)).tolist() if not isinstance(got, str) else got)
        return x * c

    g = pc.compile(f)
    for c in (5, 6):
        assert g(pc.array([2]), c).tolist() == [2 * c]
    want = [look(c) if isinstance(look(c), str) else np.array(look(c)).tolist() for c in (5, 6)]
    assert seen in (want, want[:1])  # a look at the type alone serves both


def test_a_number_as_an_axis_or_an_extent_is_looked_at() -> None:
    f = Counted(lambda x, axis: pc.sum(x, axis=axis))
    x = pc.ones((2, 3))
    assert [f.compiled(x, a).shape for a in (0, 1, -1, 0)] == [(3,), (2,), (2,), (3,)] and f.runs == 3
    g = Counted(lambda n: pc.zeros(n) + pc.arange(n))
    assert [g.compiled(n).tolist() for n in (2, 3, 2)] == [[0, 1], [0, 1, 2], [0, 1]] and g.runs == 2
    h = Counted(lambda x, i: x[i] + x[:, i].sum())
    for i in (0, 1, 0):
        assert h.compiled(x, i).tolist() == [3] * 3
    assert h.runs == 2


def test_integers_that_need_another_dtype() -> None:
    f = Counted(pc.array)
    assert [f.compiled(n).dtype for n in (1, 2, 2**40, 3)] == [pc.int32, pc.int32, pc.int64, pc.int32] and f.runs == 2
    g = pc.compile(lambda x, c: x + c)
    x = pc.array([1], dtype=pc.int8)
    assert g(x, 100).tolist() == [101]
    with pytest.raises(ValueError):
        g(x, 300)
    assert g(x, -7).tolist() == [-6]
    with pytest.raises(RuntimeError):
        g(x, 2**70)  # as without compile


def test_special_numbers() -> None:
    f = Counted(lambda x, c: x * c)
    x = pc.array([1.0])
    for c in (math.inf, -math.inf, math.nan, -0.0, 1e300, 5e-324):
        assert np.array_equal(np.array(f.compiled(x, c)), np.array(x * c), equal_nan=True)
    assert math.copysign(1, f.compiled(x, -0.0).item()) == -1
    assert f.runs == 1
    g = pc.compile(lambda x, c: x / (1.0 / c))
    with pytest.raises(ZeroDivisionError):
        g(x, 0.0)
    assert g(x, 2.0).item() == 2
    with pytest.raises(ZeroDivisionError):
        g(x, 0.0)
    assert g(x, 4.0).item() == 4


def test_numbers_come_back_as_numbers() -> None:
    f = pc.compile(lambda x, c: {"array": x * c, "number": c, "twice": c * 2, "plain": 7})
    for c in (2, 3):
        got = f(pc.array([1.0]), c)
        assert type(got["number"]) is int and got["number"] == c and got["twice"] == 2 * c and got["plain"] == 7
        assert got["array"].tolist() == [c]


def test_a_number_kept_after_the_trace_is_the_first_one() -> None:
    kept: list[Any] = []

    def f(x: pc.array, c: float) -> pc.array:
        kept.append(c)
        return x * c

    g = pc.compile(f)
    g(pc.array([1.0]), 3.0)
    assert kept[0] == 3 and kept[0] + 1 == 4.0 and (pc.array([2.0]) * kept[0]).item() == 6
    assert g(pc.array([1.0]), 5.0).item() == 5


def test_numbers_through_nested_transforms() -> None:
    inner = Counted(lambda x, c: (x * x * c).sum())
    outer = Counted(lambda x, c, d: inner.compiled(x, c * 2 + d) + c)
    x = pc.array([1.0, 2.0])
    for c, d in ((1.0, 2), (3.0, 4), (5.0, 7)):
        assert outer.compiled(x, c, d).item() == 5 * (2 * c + d) + c
    assert (inner.runs, outer.runs) == (1, 1)
    for c in (2.0, 3.0):
        assert pc.grad(inner.compiled)(x, c).tolist() == [2 * c, 4 * c]
        assert pc.compile(pc.grad(inner.compiled))(x, c).tolist() == [2 * c, 4 * c]
        assert pc.vmap(lambda x, c=c: inner.compiled(x, c))(x[:, None]).tolist() == [c, 4 * c]
    # A number that the inner function looks at is looked at in the outer one.
    looking = Counted(lambda x, c: x * c if c > 2 else x)
    through = Counted(lambda x, c: looking.compiled(x, c + 1))
    assert [through.compiled(x, c).tolist() for c in (1, 3, 0, 5)] == [[1, 2], [4, 8], [1, 2], [6, 12]]
    assert through.runs == 2


def test_a_number_of_an_outer_trace_that_an_inner_function_captures() -> None:
    def outer(x: pc.array, c: float) -> pc.array:
        return pc.compile(lambda y: y * c)(x) + c

    f = pc.compile(outer)
    assert [f(pc.array([1.0]), c).item() for c in (2.0, 3.0, 2.0)] == [4, 6, 4]


def test_a_new_number_is_no_new_plan() -> None:
    f = pc.compile(lambda x, c: pc.softmax(x * c + 1, axis=-1))
    x = pc.ones((4, 5))
    pc.eval(x)
    pc.eval(f(x, 0.1))
    before = reasons()
    for c in (0.2, 0.3, 0.4):
        pc.eval(f(x, c))
    assert since(before) == {}


# ---- arrays that are captured ------------------------------------------------------------------------------------------


def test_what_is_captured_is_computed_once() -> None:
    """Whether it is pending at the trace, is computed between two calls, or by the first of them."""
    for evaluate in ("before", "between", "never"):
        held = pc.arange(5.0) * 2.0 * 3.0  # only `held` holds what it is made of
        if evaluate == "before":
            pc.eval(held)
        f = Counted(lambda x, held=held: x + held)
        first = f.compiled(pc.ones((5,)))
        if evaluate == "between":
            pc.eval(held)
        others = [pc.zeros((3,)) + i for i in range(50)]  # which get the memory of what was dropped
        for out in (first, f.compiled(pc.ones((5,)))):
            assert out.tolist() == [1, 7, 13, 19, 25]
        del others
        assert plait.debug.explain(held).steps == [] and f.runs == 1


def test_what_the_function_makes_and_hands_out_may_be_computed_meanwhile() -> None:
    made = []

    def f(x: pc.array) -> pc.array:
        made.append(pc.ones((3,)) * 2.0 * 3.0)
        return x + made[-1]

    g = pc.compile(f)
    pc.eval(g(pc.ones((3,))), made)
    others = [pc.zeros((3,)) + i for i in range(50)]
    assert g(pc.ones((3,))).tolist() == [7, 7, 7] and len(made) == 1 and len(others) == 50


def test_the_gradient_of_what_is_captured() -> None:
    x, w = pc.array([1.0, 2.0]), pc.array([3.0, 4.0]) * 2.0
    assert pc.grad(lambda w: pc.compile(lambda x: (x * w).sum())(x))(w).tolist() == [1, 2]
    assert pc.vmap(lambda w: pc.compile(lambda x: x * w)(x))(w).tolist() == [[6, 12], [8, 16]]


# ---- extents ---------------------------------------------------------------------------------------------------------


def test_fifty_row_counts_are_one_trace_and_one_plan() -> None:
    f = Counted(lambda x, w: pc.sum(pc.softmax(x @ w * 2, axis=-1), axis=-1))
    w = pc.ones((6, 4))
    pc.eval(w)
    pc.eval(f.compiled(pc.ones((16, 6)), w))
    before = reasons()
    for n in range(50):
        rows = 17 + 37 * n
        out = f.compiled(pc.ones((rows, 6)), w)
        assert out.shape == (rows,)
        pc.eval(out)
    assert f.runs == 1 and since(before) == {}


def test_fifty_row_counts_where_python_reads_the_shape_are_one_plan() -> None:
    f = Counted(lambda x: (x.reshape(x.shape[0] // 2, 2, x.shape[1]) * x.shape[0]).sum(axis=1))
    pc.eval(f.compiled(pc.ones((32, 6))))
    before = reasons()
    for n in range(50):
        rows = 34 + 2 * n
        got = f.compiled(pc.ones((rows, 6))).tolist()  # an assert would hold the argument, which is another structure
        assert got == [[2.0 * rows] * 6] * (rows // 2)
    made = since(before)
    assert f.runs == 51 and sum(v for k, v in made.items() if k.startswith("traced")) == 50
    assert not any(k.startswith("planned") for k in made)


def test_programs_are_kept_within_a_bound_and_the_used_ones_stay() -> None:
    f = Counted(lambda x: x * x.shape[0])
    for n in range(1, 200):
        assert f.compiled(pc.ones(n)).tolist() == [n] * n
        f.compiled(pc.ones(1))
    assert f.runs == 199  # the one used between all others was never dropped
    f.compiled(pc.ones(2))
    assert f.runs == 200  # an old one was


def test_structures_are_kept_within_a_bound() -> None:
    f = Counted(lambda x, name: x + len(name))
    for n in range(600):
        f.compiled(pc.ones(1), "a" * n)
    assert f.runs == 600
    f.compiled(pc.ones(1), "a" * 599)
    assert f.runs == 600


# ---- trees -----------------------------------------------------------------------------------------------------------

Pair = namedtuple("Pair", "left right")


def test_structures_are_told_apart() -> None:
    f = Counted(lambda t: pc.array(1.0))
    x = pc.ones(2)
    trees: list[Any] = [
        x, [x], (x,), Pair(x, x), (x, x), {"a": x}, {"b": x}, {"a": x, "b": x}, {"b": x, "a": x}, [[x]], [x, []], [], None,
        [x, "s"], [x, "t"], [x, None], [x, True], [x, 1], [x, 1.0], {1: x}, {1.0: x}, {True: x}, [x, (1, "s")], [x, (1, "t")],
    ]  # fmt: skip
    for tree in trees:
        f.compiled(tree)
    assert f.runs == len(trees)
    for tree in trees:
        f.compiled(tree)
    assert f.runs == len(trees)


def test_results_keep_their_form() -> None:
    tree = {"pair": Pair(pc.ones(1), [pc.zeros(2), "text"]), "empty": [], "none": None, "array": np.ones(2)}
    got = pc.compile(lambda x: {**tree, "x": x})(pc.ones(3))
    assert (
        isinstance(got["pair"], Pair) and got["pair"].right[1] == "text" and got["empty"] == [] and got["none"] is None
    )
    assert got["array"] is tree["array"] and list(got) == [*tree, "x"]


def test_arguments_that_cannot_be_compared() -> None:
    f = pc.compile(lambda x, y: x)
    for bad in (np.ones(2), {1, 2}, bytearray(b"x")):
        with pytest.raises(TypeError, match="hashable"):
            f(pc.ones(1), bad)
    with pytest.raises(TypeError, match=r"array\(\.\.\.\) makes"):
        f(pc.ones(1), np.ones(2))
    cycle: list[Any] = []
    cycle.append(cycle)
    with pytest.raises(RecursionError):
        f(pc.ones(1), cycle)
    assert f(pc.ones(1), "text").item() == 1


def test_values_of_arrays_are_not_known_while_tracing() -> None:
    for look in (lambda x: x.item(), bool, float, lambda x: x.tolist(), lambda x: np.array(x), pc.eval):
        with pytest.raises(pc.TransformError, match="traced array"):
            pc.compile(lambda x, look=look: (look(x), x)[1])(pc.array(1.0))


# ---- state -----------------------------------------------------------------------------------------------------------


def test_state_with_numbers_as_arguments() -> None:
    state = {"w": pc.array([1.0]), "moments": [pc.array([0.0])]}

    def step(x: pc.array, rate: float) -> pc.array:
        gradient = x * state["w"]
        state["moments"][0] = state["moments"][0] * 0.5 + gradient
        state["w"] = state["w"] - rate * state["moments"][0]
        return gradient

    plain = {"w": 1.0, "m": 0.0}
    compiled = Counted(step)
    run = pc.compile(compiled, inputs=state, outputs=state)
    for k in range(5):
        rate = 0.1 * (k + 1)
        run(pc.array([2.0]), rate)
        plain["m"] = plain["m"] * 0.5 + 2 * plain["w"]
        plain["w"] -= rate * plain["m"]
        assert state["w"].item() == pytest.approx(plain["w"], rel=1e-6)
    assert compiled.runs == 1


def test_state_is_as_before_when_the_function_fails() -> None:
    state = [pc.array(1.0)]

    def f(x: pc.array) -> pc.array:
        state[0] = state[0] + x
        if x.ndim == 1:
            raise KeyError("mine")
        return x

    g = pc.compile(f, inputs=state, outputs=state)
    with pytest.raises(KeyError):
        g(pc.ones(2))
    assert state[0].item() == 1
    g(pc.array(2.0))
    assert state[0].item() == 3


def test_random_state_is_state() -> None:
    pc.random.seed(3)
    f = pc.compile(lambda c: pc.random.uniform(shape=(3,)) * c, inputs=pc.random.state, outputs=pc.random.state)
    got = [f(2.0).tolist(), f(3.0).tolist()]
    pc.random.seed(3)
    assert got == [(pc.random.uniform(shape=(3,)) * c).tolist() for c in (2.0, 3.0)]


def test_what_is_kept_can_be_collected() -> None:
    class Held:
        pass

    held = Held()
    gone = weakref.ref(held)
    f = pc.compile(lambda x, o: x * 2)
    f(pc.ones(1), held)
    held.f = f  # type: ignore[attr-defined]
    del held, f
    gc.collect()
    assert gone() is None


def test_threads_share_a_compiled_function() -> None:
    f = pc.compile(lambda x, c: (x * c).sum() + x.shape[0])
    wrong: list[Any] = []

    def work(seed: int) -> None:
        rng = np.random.default_rng(seed)
        for _ in range(200):
            n, c = int(rng.integers(1, 20)), float(rng.integers(1, 9))
            got = f(pc.ones(n), c).item()
            if got != n * c + n:
                wrong.append((n, c, got))

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong
