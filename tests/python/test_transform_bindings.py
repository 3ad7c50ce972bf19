"""How transforms take Python functions: trees of arguments, captured state, names, errors; not the mathematics."""

import gc
import weakref
from typing import Any

import numpy as np
import pytest

import plait.core as pc


def test_gradients_come_in_the_shape_of_the_arguments() -> None:
    x, y = pc.array([1.0, 2.0]), pc.array([3.0, 4.0])

    def f(tree: Any, scale: Any, label: str = "") -> pc.array:
        return (tree["a"] * tree["b"][0] * scale).sum()

    tree = {"a": x, "b": [y], "name": "kept"}
    grads = pc.grad(f)(tree, 2.0, label="aux")
    assert grads["a"].tolist() == [6, 8] and grads["b"][0].tolist() == [2, 4] and grads["name"] == "kept"
    both = pc.grad(lambda a, b: (a * b).sum(), argnums=(0, 1))(x, y)
    assert isinstance(both, tuple) and both[0].tolist() == [3, 4] and both[1].tolist() == [1, 2]
    assert pc.grad(lambda a, b: (a * b).sum(), argnums=[1])(x, y).tolist() == [1, 2]


def test_gradients_of_keyword_arguments() -> None:
    f = lambda a, b=None: (a * b).sum()  # noqa: E731
    a, b = pc.ones(2), pc.array([2.0, 3.0])
    assert pc.grad(f, argnames="b")(a, b=b)[0] is None
    assert pc.grad(f, argnums=[], argnames="b")(a, b=b)[0] is None
    positional, named = pc.grad(f, argnums=0, argnames=["b"])(a, b=b)
    assert positional.tolist() == [2, 3] and named["b"].tolist() == [1, 1]


def test_value_and_grad_passes_further_results_through() -> None:
    (value, extra, text), grad = pc.value_and_grad(lambda x: ((x * x).sum(), x + 1, "aux"))(pc.array([1.0, 2.0]))
    assert value.item() == 5 and extra.tolist() == [2, 3] and text == "aux" and grad.tolist() == [2, 4]


@pytest.mark.parametrize(
    "f", [lambda x: x, lambda x: 3, lambda x: None, lambda x: [x.sum()]], ids=["vector", "number", "None", "list"]
)
def test_what_is_no_scalar_array(f: Any) -> None:
    for transform in (pc.grad, pc.value_and_grad):
        with pytest.raises(ValueError):
            transform(f)(pc.ones(2))


def test_exceptions_pass_through() -> None:
    def f(x: pc.array) -> pc.array:
        raise KeyError("mine")

    for transform in (pc.grad, pc.value_and_grad, pc.vmap, pc.compile):
        with pytest.raises(KeyError, match="mine"):
            transform(f)(pc.ones(2))
    assert pc.grad(lambda x: (x * x).sum())(pc.ones(2)).tolist() == [2, 2]


def test_bad_requests() -> None:
    for argnums in (-1, (0, 0), ()):
        with pytest.raises(ValueError):
            pc.grad(lambda x: x, argnums=argnums)
    with pytest.raises(ValueError):
        pc.grad(lambda x: x.sum(), argnums=1)(pc.ones(1))
    with pytest.raises(TypeError):
        pc.grad(3)  # type: ignore[arg-type]


def test_nesting() -> None:
    assert pc.grad(pc.grad(lambda x: x * x * x))(pc.array(2.0)).item() == 12
    per_example = pc.vmap(pc.grad(lambda x: (x * x).sum()))(pc.ones((2, 3)))
    assert per_example.tolist() == [[2] * 3] * 2
    assert pc.grad(pc.compile(lambda x: (x * x).sum()))(pc.array([1.0, 2.0])).tolist() == [2, 4]


def test_in_place_writes_are_differentiated() -> None:
    def f(x: pc.array) -> pc.array:
        y = x * 1.0
        y += x
        return (y * y).sum()

    assert pc.grad(f)(pc.array([1.0, 2.0])).tolist() == [8, 16]


def test_vjp_and_jvp() -> None:
    x, y = pc.array(2.0), pc.array(3.0)
    out, grads = pc.vjp(lambda a, b: [a * b], [x, y], [pc.array(1.0)])
    assert out[0].item() == 6 and [g.item() for g in grads] == [3, 2]
    out, tangents = pc.jvp(lambda a, b: (a * b, a), (x, y), (pc.array(1.0), pc.array(1.0)))
    assert [o.item() for o in out] == [6, 2] and [t.item() for t in tangents] == [5, 1]
    with pytest.raises(ValueError):
        pc.vjp(lambda a: a, [x], [])


def test_vmap_axes() -> None:
    a, b = pc.array(np.arange(6, dtype=np.float32).reshape(2, 3)), pc.array([1.0, 2.0, 3.0])
    np.testing.assert_array_equal(
        np.array(pc.vmap(lambda x, y: x + y, in_axes=(0, None))(a, b)), np.array(a) + np.array(b)
    )
    np.testing.assert_array_equal(np.array(pc.vmap(lambda x: x, out_axes=1)(a)), np.array(a).T)
    np.testing.assert_array_equal(np.array(pc.vmap(lambda x: x, in_axes=-1)(a)), np.array(a).T)
    pair = pc.vmap(lambda d: (d["x"] + d["y"], d["y"]), in_axes=({"x": 0, "y": None},), out_axes=(0, None))(
        {"x": a, "y": b}
    )
    assert pair[0].shape == (2, 3) and pair[1].shape == (3,)
    for bad in ([0], (0, 0), 5):
        with pytest.raises(ValueError):
            pc.vmap(lambda x: x, in_axes=bad)(a)


def test_compile_traces_once_per_structure() -> None:
    calls = []

    def f(x: pc.array, c: Any = 1) -> pc.array:
        calls.append(c)
        return x * c

    g = pc.compile(f)
    for x, c, traces in (
        (pc.ones(2), 2, 1),
        (pc.ones(2), 2, 1),
        (pc.ones(5), 2, 1),
        (pc.ones(2), 3, 1),
        (pc.ones(2), 2.0, 2),
    ):
        assert g(x, c).tolist() == [c] * x.size
        assert len(calls) == traces
    g(pc.ones(2, dtype=pc.int32), 2)
    assert len(calls) == 3
    pc.disable_compile()
    g(pc.ones(2), 2)
    pc.enable_compile()
    assert len(calls) == 4
    assert g.__name__ == "f"


def test_compile_trees_and_state() -> None:
    nested = pc.compile(lambda x: [x, (x, {"a": x + 1})])(pc.array(1.0))
    assert nested[1][1]["a"].item() == 2 and isinstance(nested[1], tuple)
    state = {"a": pc.array(1.0), "fixed": [pc.array(10.0)]}

    def step(x: pc.array) -> pc.array:
        state["a"] = state["a"] + x * state["fixed"][0]  # type: ignore[index]
        return state["a"]  # type: ignore[return-value]

    g = pc.compile(step, inputs=state, outputs=state)
    assert [g(pc.array(1.0)).item() for _ in range(3)] == [11, 21, 31]
    state["fixed"][0] = pc.array(0.0)  # type: ignore[index]
    assert g(pc.array(1.0)).item() == 31
    state["a"] = pc.array(-1.0)
    assert g(pc.array(1.0)).item() == -1


def test_captured_inputs_are_left_alone() -> None:
    state = [pc.array(1.0)]
    g = pc.compile(lambda x: x + state[0], inputs=state)
    assert g(pc.array(1.0)).item() == 2
    assert state[0].item() == 1
    state[0] = pc.array(5.0)
    assert g(pc.array(1.0)).item() == 6


def test_transformed_functions_are_collected() -> None:
    class Model:
        def __init__(self) -> None:
            self.step = pc.compile(self.loss)
            self.grad = pc.grad(self.loss)

        def loss(self, x: pc.array) -> pc.array:
            return (x * x).sum()

    model = Model()
    assert model.step(pc.ones(2)).item() == 2
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None
