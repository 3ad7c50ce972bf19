"""Functions with rules of their own, recomputation and order, in any nesting of transforms."""

import gc
import threading
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import plait.core as pc

Transform = Callable[..., Any]


def close(a: Any, b: Any, tol: float = 1e-6) -> None:
    np.testing.assert_allclose(np.array(a), np.array(b), rtol=tol, atol=tol)


def wave(*shape: int) -> pc.array:
    n = int(np.prod(shape))
    return pc.array((1.3 + np.sin(1.7 * np.arange(n))).reshape(shape), dtype=pc.float32)


# ---- custom_function: what rules are given, and what they may return ----


def rule_sees(f: Callable[..., Any], *args: Any, **kwargs: Any) -> list[Any]:
    """What the vjp rule of f is called with, when f is called with these arguments, of which the first array moves."""
    seen: list[Any] = []
    custom = pc.custom_function(f)

    @custom.vjp
    def rule(*given: Any, **named: Any) -> None:
        seen.append((*given, named))

    def scalar(x: pc.array) -> pc.array:
        out = custom(x, *args, **kwargs)
        while not isinstance(out, pc.array):
            out = next(iter(out.values())) if isinstance(out, dict) else out[0]
        return out.sum()

    pc.grad(scalar)(pc.array(2.0))
    return seen[0]


def test_one_argument_comes_alone_and_several_as_a_tuple() -> None:
    primals, cotangents, outputs, named = rule_sees(lambda x: x * 2)
    assert primals.item() == 2.0 and cotangents.item() == 1.0 and outputs.item() == 4.0 and named == {}
    primals, *_ = rule_sees(lambda x, y, n: x * y * n, pc.array(3.0), 5)
    assert isinstance(primals, tuple) and primals[1].item() == 3.0 and primals[2] == 5


def test_results_are_arranged_as_the_function_returned_them() -> None:
    _, cotangents, outputs, _ = rule_sees(lambda x: {"a": x * 2, "b": [x * 3, "label"]})
    assert outputs["a"].item() == 4.0 and outputs["b"][0].item() == 6.0 and outputs["b"][1] == "label"
    assert cotangents["a"].item() == 1.0 and cotangents["b"][0].item() == 0.0


def test_keyword_arguments_come_by_name() -> None:
    primals, _, _, named = rule_sees(lambda x, y, n=1: x * y * n, y=pc.array(3.0), n=4)
    assert primals.item() == 2.0 and named["y"].item() == 3.0 and named["n"] == 4

    custom = pc.custom_function(lambda x, y: x * y)
    custom.vjp(lambda primals, g, out, y: (g * 5, {"y": g * 7}))
    a, b = pc.grad(lambda x, y: custom(x, y=y), argnums=(0, 1))(pc.array(1.0), pc.array(2.0))
    assert (a.item(), b.item()) == (5.0, 7.0)


def grad_of_rule(f: Callable[..., Any], rule: Callable[..., Any], *args: Any) -> Any:
    custom = pc.custom_function(f)
    custom.vjp(rule)
    return pc.grad(custom, argnums=tuple(range(len(args))))(*args)


def test_gradients_are_matched_by_key_and_place() -> None:
    tree = {"a": pc.array(1.0), "b": [pc.array(2.0), pc.array(3.0)]}
    custom = pc.custom_function(lambda p: p["a"] * p["b"][0] * p["b"][1])
    custom.vjp(lambda p, g, out: {"b": (g * 10, None), "a": g * 20})
    grads = pc.grad(custom)(tree)
    assert grads["a"].item() == 20.0 and grads["b"][0].item() == 10.0 and grads["b"][1].item() == 0.0


def test_none_and_numbers_are_gradients() -> None:
    a, b = grad_of_rule(lambda x, y: x * y, lambda p, g, out: (None, 3), pc.array(1.0), pc.array(2.0))
    assert (a.item(), b.item()) == (0.0, 3.0)
    a, b = grad_of_rule(lambda x, y: x * y, lambda p, g, out: None, pc.array(1.0), pc.array(2.0))
    assert (a.item(), b.item()) == (0.0, 0.0)


def test_an_argument_that_is_no_array_needs_no_gradient() -> None:
    custom = pc.custom_function(lambda x, n: x * n)
    for rule in (lambda p, g, out: g * p[1], lambda p, g, out: (g * p[1], None)):
        custom.vjp(rule)
        assert pc.grad(lambda x: custom(x, 3))(pc.array(1.0)).item() == 3.0


def test_integers_among_the_arguments_get_no_gradient() -> None:
    custom = pc.custom_function(lambda x, i, m: pc.where(m, x * i, x))
    custom.vjp(lambda p, g, out: (g * 5, g * 6, None))
    i, m = pc.array([1, 2]), pc.array([True, False])
    assert pc.grad(lambda x: custom(x, i, m).sum())(pc.array([1.0, 2.0])).tolist() == [5.0, 5.0]


@pytest.mark.parametrize(
    "returned",
    [
        lambda g: g,
        lambda g: (g,),
        lambda g: (g, g, g),
        lambda g: (g, pc.ones((5,))),
        lambda g: (g, "text"),
        lambda g: {"x": g, "y": g},
    ],
)
def test_a_vjp_rule_that_returns_something_else_is_refused(returned: Callable[[pc.array], Any]) -> None:
    with pytest.raises(pc.TransformError, match="vjp rule"):
        grad_of_rule(lambda x, y: x * y, lambda p, g, out: returned(g), pc.array(1.0), pc.array(2.0))


def test_gradients_have_the_dtype_of_the_argument() -> None:
    g = grad_of_rule(lambda x: x * 2, lambda p, g, out: g.astype(pc.float16) * 3, pc.array(1.0))
    assert g.dtype == pc.float32 and g.item() == 3.0


def test_what_a_rule_raises_goes_through() -> None:
    with pytest.raises(ZeroDivisionError):
        grad_of_rule(lambda x: x * 2, lambda p, g, out: 1 / 0, pc.array(1.0))
    assert pc.grad(lambda x: x * 2)(pc.array(1.0)).item() == 2.0


def test_rules_and_functions_have_to_be_callable() -> None:
    for make in (pc.custom_function, pc.checkpoint, pc.custom_function(len).vjp, pc.custom_function(len).jvp):
        with pytest.raises(TypeError):
            make(3)


def test_setting_a_rule_returns_the_custom_function() -> None:
    f = pc.custom_function(lambda x: x)

    @f.vjp
    def rule(p: pc.array, g: pc.array, out: pc.array) -> pc.array:
        return g

    assert rule is f and f.jvp(lambda p, t: t) is f and f.vmap(lambda x, a: (x, a)) is f


def test_without_rules_it_is_the_function() -> None:
    f = pc.custom_function(lambda x, w: pc.sin(x) * w)
    x, w = wave(3), wave(3)
    close(f(x, w), pc.sin(x) * w)
    close(pc.grad(lambda x, w: f(x, w).sum(), argnums=1)(x, w), pc.sin(x))
    close(pc.vmap(f)(x, w), pc.sin(x) * w)


def test_each_rule_alone_leaves_the_other_ways_through_the_function() -> None:
    only_vjp = pc.custom_function(lambda x: x * 2).vjp(lambda p, g, out: g * 50)
    only_jvp = pc.custom_function(lambda x: x * 2).jvp(lambda p, t: t * 70)
    x = pc.array(3.0)
    assert pc.jvp(only_vjp, [x], [pc.array(1.0)])[1][0].item() == 2.0
    assert pc.grad(only_jvp)(x).item() == 2.0
    assert pc.grad(only_vjp)(x).item() == 50.0
    assert pc.jvp(only_jvp, [x], [pc.array(1.0)])[1][0].item() == 70.0


def test_a_jvp_rule_gets_none_for_what_does_not_move() -> None:
    seen = []
    f = pc.custom_function(lambda x, y: (x * y, x))

    @f.jvp
    def rule(primals: Any, tangents: Any) -> Any:
        seen.append(tangents[1])
        return tangents[0] * 100, None

    out, moved = pc.jvp(lambda x: list(f(x, pc.array(5.0))), [pc.array(3.0)], [pc.array(2.0)])
    assert seen == [None] and moved[0].item() == 200.0 and moved[1].item() == 0.0
    assert [o.item() for o in out] == [15.0, 3.0]


@pytest.mark.parametrize("returned", [lambda t: (t,), lambda t: (t, pc.ones((5,))), lambda t: t])
def test_a_jvp_rule_that_returns_something_else_is_refused(returned: Callable[[pc.array], Any]) -> None:
    f = pc.custom_function(lambda x: (x * 2, x)).jvp(lambda p, t: returned(t))
    with pytest.raises(pc.TransformError, match="jvp rule"):
        pc.jvp(lambda x: list(f(x)), [pc.array(3.0)], [pc.array(1.0)])


def test_an_array_of_the_trace_that_is_no_argument_is_refused() -> None:
    x = pc.array(2.0)

    def loss(w: pc.array, rules: str) -> pc.array:
        f = pc.custom_function(lambda x: x * w)
        getattr(f, rules)(lambda *given: given[1])
        return f(x) + w

    with pytest.raises(pc.TransformError, match="not among its arguments"):
        pc.grad(lambda w: loss(w, "vjp"))(pc.array(3.0))
    with pytest.raises(pc.TransformError, match="not among its arguments"):
        pc.jvp(lambda w: loss(w, "jvp"), [pc.array(3.0)], [pc.array(1.0)])
    assert pc.grad(lambda w: loss(w, "jvp"))(pc.array(3.0)).item() == 3.0

    def stopped(w: pc.array) -> pc.array:
        scale = pc.stop_gradient(w)
        return pc.custom_function(lambda x: x * scale).vjp(lambda p, g, out: g)(w)

    assert pc.grad(stopped)(pc.array(3.0)).item() == 1.0


def test_an_argument_may_be_captured_too_and_come_back_as_it_is() -> None:
    def loss(w: pc.array) -> pc.array:
        return pc.custom_function(lambda x: x * w).vjp(lambda p, g, out: g * 100)(w)

    assert pc.grad(loss)(pc.array(3.0)).item() == 100.0
    same = pc.custom_function(lambda x: x).vjp(lambda p, g, out: g * 50)
    assert pc.grad(same)(pc.array(2.0)).item() == 50.0
    unused = pc.custom_function(lambda x, y: x * 1).vjp(lambda p, g, out: (g, g * 9))
    assert pc.grad(unused, argnums=1)(pc.array(2.0), pc.array(4.0)).item() == 9.0


def test_a_call_without_arrays_is_a_call() -> None:
    assert pc.custom_function(lambda n: n + 1).vjp(lambda *a: a)(3) == 4
    assert pc.checkpoint(lambda n: n + 1)(3) == 4


# ---- custom_function under other transforms ----


def cubed() -> Any:
    """x ** 3 whose rules say 5 x ** 2: they are recognised in every derivative."""
    f = pc.custom_function(lambda x: x * x * x)
    f.vjp(lambda x, g, out: g * 5 * x * x)
    f.jvp(lambda x, t: t * 5 * x * x)
    return f


def test_derivatives_of_batches_and_of_compiled_functions_use_the_rules() -> None:
    f, x = cubed(), wave(4)
    want = 5 * np.array(x) ** 2
    each = pc.grad(f)
    everything: list[Callable[[pc.array], pc.array]] = [
        pc.vmap(each),
        pc.grad(lambda x: pc.vmap(f)(x).sum()),
        pc.compile(pc.vmap(each)),
        pc.vmap(pc.compile(each)),
        pc.grad(pc.compile(lambda x: pc.vmap(f)(x).sum())),
        pc.grad(lambda x: pc.compile(f)(x).sum()),
        pc.vmap(lambda x: pc.jvp(f, [x], [pc.array(1.0)])[1][0]),
        lambda x: pc.jvp(pc.vmap(f), [x], [pc.ones((4,))])[1][0],
        lambda x: pc.jvp(pc.compile(f), [x], [pc.ones((4,))])[1][0],
        pc.grad(pc.checkpoint(lambda x: f(x).sum())),
        pc.vmap(pc.grad(pc.checkpoint(f))),
        pc.grad(lambda x: pc.vmap(pc.vmap(f))(x.reshape(2, 2)).sum()),
    ]
    for g in everything:
        close(g(x), want)
        close(g(x), want)  # the second call of a compiled one


def test_second_derivatives_are_those_of_the_rule() -> None:
    f, x = cubed(), pc.array(2.0)
    assert pc.grad(pc.grad(f))(x).item() == 20.0
    assert pc.grad(lambda x: pc.jvp(f, [x], [pc.array(1.0)])[1][0])(x).item() == 20.0
    assert pc.jvp(pc.grad(f), [x], [pc.array(1.0)])[1][0].item() == 20.0
    close(pc.vmap(pc.grad(pc.grad(f)))(wave(3)), 10 * np.array(wave(3)))
    # With the output in the rule the second derivative uses the rule again: (5 x y)' with y' = 5 x ** 2.
    g = pc.custom_function(lambda x: x * x * x).vjp(lambda x, g, out: g * out * 5)
    assert pc.grad(pc.grad(g))(x).item() == 5 * 5 * 8.0


def test_a_shared_argument_of_a_batch_gets_the_sum() -> None:
    f = pc.custom_function(lambda x, w: x * w)
    f.vjp(lambda p, g, out: (g * p[1] * 2, g * p[0] * 2))
    x, w = wave(5, 3), wave(3)
    a, b = pc.grad(lambda x, w: pc.vmap(f, in_axes=(0, None))(x, w).sum(), argnums=(0, 1))(x, w)
    close(a, 2 * np.broadcast_to(np.array(w), (5, 3)))
    close(b, 2 * np.array(x).sum(0))
    a, b = pc.grad(lambda x, w: pc.vmap(f, in_axes=(1, None), out_axes=1)(x, w).sum(), argnums=(0, 1))(wave(3, 5), w)
    close(b, 2 * np.array(wave(3, 5)).sum(1))


def test_a_rule_that_ignores_the_batch() -> None:
    f = pc.custom_function(lambda x, w: x * w)
    f.vjp(lambda p, g, out: (pc.ones((3,)), pc.ones((3,)) * 2))
    a, b = pc.grad(lambda x, w: pc.vmap(f, in_axes=(0, None))(x, w).sum(), argnums=(0, 1))(wave(5, 3), wave(3))
    assert a.tolist() == [[1.0] * 3] * 5 and b.tolist() == [10.0] * 3


def test_the_batch_may_be_captured() -> None:
    f = cubed()
    out = pc.vmap(lambda a: pc.custom_function(lambda x: f(x) * a).vjp(lambda p, g, out: g)(pc.array(2.0)))(wave(3))
    close(out, 8 * np.array(wave(3)))


def test_a_vmap_rule_gets_the_whole_batch() -> None:
    seen = []
    f = pc.custom_function(lambda x, y: x * y)

    @f.vmap
    def rule(inputs: Any, axes: Any) -> Any:
        seen.append((inputs[0].shape, inputs[1].shape, axes))
        return inputs[0] * 3, axes[0]

    close(pc.vmap(f, in_axes=(-1, None))(wave(2, 5), wave(2)), 3 * np.array(wave(2, 5)).T)
    assert seen == [((2, 5), (2,), (1, None))]
    assert f(pc.array(2.0), pc.array(3.0)).item() == 6.0


def test_a_vmap_rule_may_give_one_axis_for_all_results_or_none() -> None:
    f = pc.custom_function(lambda x: {"a": x * 2, "b": x}).vmap(lambda x, axis: ({"a": x * 3, "b": x}, axis))
    out = pc.vmap(f)(wave(3))
    close(out["a"], 3 * np.array(wave(3)))
    g = pc.custom_function(lambda x: x * 0).vmap(lambda x, axis: (pc.array(7.0), None))
    assert pc.vmap(g)(wave(3)).tolist() == [7.0] * 3


@pytest.mark.parametrize(
    "rule",
    [
        lambda x, axis: x,
        lambda x, axis: (None, 0),
        lambda x, axis: (x, 4),
        lambda x, axis: (x, "first"),
        lambda x, axis: (x[:2], axis),
        lambda x, axis: (pc.array(3.0), 0),
        lambda x, axis: ((x, x), (0, 0)),
    ],
)
def test_a_vmap_rule_that_returns_something_else_is_refused(rule: Callable[..., Any]) -> None:
    f = pc.custom_function(lambda x: x * 2).vmap(rule)
    with pytest.raises(pc.TransformError, match="vmap rule"):
        pc.vmap(f)(wave(3))


def test_all_rules_together() -> None:
    f = cubed().vmap(lambda x, axis: (x * x * x + 1000, axis))
    x = wave(4)
    close(pc.vmap(f)(x), np.array(x) ** 3 + 1000)
    close(pc.grad(lambda x: pc.vmap(f)(x).sum())(x), 5 * np.array(x) ** 2)
    close(pc.vmap(pc.grad(f))(x), 5 * np.array(x) ** 2)
    close(pc.vmap(pc.vmap(f))(wave(2, 2)), np.array(wave(2, 2)) ** 3 + 1000)


def test_a_rule_is_there_for_every_shape_of_a_compiled_function() -> None:
    f = pc.custom_function(lambda x: pc.softmax(x, -1)).vjp(lambda x, g, out: pc.ones_like(x) * x.shape[0])
    step = pc.compile(lambda x: pc.grad(lambda x: f(x * 2).sum())(x))
    for n in (3, 5, 3, 8):
        assert step(wave(n, 4)).tolist() == [[2.0 * n] * 4] * n


def test_nothing_runs_for_results_that_a_rule_replaces() -> None:
    f = pc.custom_function(lambda x: pc.sort(x)).vmap(lambda x, axis: (x * 2, axis))
    x = wave(3, 4)
    pc.trace_start()
    pc.eval(pc.vmap(f)(x))
    names = [e["name"] for e in pc.trace_stop()["traceEvents"]]
    assert not any("sort" in n for n in names)


def test_what_leads_only_to_an_unused_argument_does_not_run() -> None:
    f = pc.custom_function(lambda x, y: x * 2).vjp(lambda p, g, out: (g, g))
    step = pc.compile(lambda x: f(x, pc.sort(x)))
    pc.trace_start()
    close(step(wave(4)), 2 * np.array(wave(4)))
    names = [e["name"] for e in pc.trace_stop()["traceEvents"]]
    assert names and not any("sort" in n for n in names)


def test_the_line_of_an_error_in_a_rule_is_the_rules() -> None:
    f = pc.custom_function(lambda x: x * 2).vjp(lambda x, g, out: pc.ones((2,)) + pc.ones((3,)))
    with pytest.raises(pc.ShapeError, match="test_custom"):
        pc.grad(f)(pc.array(1.0))


def test_rules_are_let_go_with_the_last_node() -> None:
    class Rule:
        def __call__(self, p: pc.array, g: pc.array, out: pc.array) -> pc.array:
            return g

    kept: list[pc.array] = []

    def use() -> weakref.ref[Rule]:
        rule = Rule()
        f = pc.custom_function(lambda x: x * 2).vjp(rule)
        pc.grad(lambda x: (kept.append(f(x)), f(x))[1])(pc.array(1.0))
        pc.eval(kept)
        return weakref.ref(rule)

    gone = use()
    kept.clear()
    gc.collect()
    assert gone() is None


def test_cycles_through_a_custom_function_are_collected() -> None:
    class Owner:
        def __init__(self) -> None:
            self.f = pc.custom_function(lambda x: x + self.n).vjp(lambda p, g, out: g * self.n)
            self.again = pc.checkpoint(lambda x: x * self.n)
            self.n = 3

    owner = Owner()
    assert pc.grad(owner.f)(pc.array(1.0)).item() == 3.0
    gone = weakref.ref(owner)
    del owner
    gc.collect()
    assert gone() is None


def test_rules_on_several_threads() -> None:
    f, x = cubed(), wave(8)
    failed = []

    def work() -> None:
        for _ in range(20):
            got = np.array(pc.grad(lambda x: pc.vmap(f)(x).sum())(x))
            if not np.allclose(got, 5 * np.array(x) ** 2):
                failed.append(got)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not failed


# ---- depends ----


def test_depends_passes_its_inputs_on() -> None:
    x, y = wave(3), wave(2)
    one = pc.depends(x, pc.exp(y))
    assert isinstance(one, pc.array)
    close(one, x)
    several = pc.depends((x, y * 2), [pc.exp(y), pc.sin(x)])
    assert isinstance(several, list)
    close(several[1], 2 * np.array(y))
    assert pc.depends([], x) == [] and pc.depends(x, []).tolist() == x.tolist()
    close(pc.depends(pc.broadcast_to(x, (2, 3)), pc.array(1.0)) + 1, np.broadcast_to(np.array(x), (2, 3)) + 1)


@pytest.mark.parametrize("args", [(3, 1), ("x", 2), ([3], 1), ({"a": 1}, 2)])
def test_depends_takes_arrays(args: tuple[Any, int]) -> None:
    with pytest.raises(TypeError):
        pc.depends(args[0], pc.ones((args[1],)))
    with pytest.raises(TypeError):
        pc.depends(pc.ones((args[1],)), args[0])


def steps_of(*arrays: Any) -> list[str]:
    pc.trace_start()
    pc.eval(*arrays)
    return [e["name"] for e in pc.trace_stop()["traceEvents"] if e.get("cat") == "step"]


def test_what_depends_comes_later_and_is_not_fused_with_what_came_before() -> None:
    x, y = wave(4, 4), wave(4, 4)
    early = pc.sin(x)
    late = pc.cos(pc.depends(early, pc.sort(y)))
    names = [n for n in steps_of(late + early) if n != "depends"]
    place = {name: [i for i, n in enumerate(names) if name in n] for name in ("sin", "sort", "cos")}
    assert max(place["sin"]) < min(place["cos"]) and max(place["sort"]) < min(place["cos"])


def test_depends_in_every_transform() -> None:
    x = wave(4)

    def f(x: pc.array) -> pc.array:
        a, b = pc.depends([x, x * 3], [pc.exp(x)])
        return a * b

    close(pc.grad(lambda x: f(x).sum())(x), 6 * np.array(x))
    close(pc.jvp(f, [x], [pc.ones((4,))])[1][0], 6 * np.array(x))
    close(pc.vmap(f)(x), 3 * np.array(x) ** 2)
    close(pc.vmap(lambda x: pc.depends(x, pc.array(1.0)) * 2)(x), 2 * np.array(x))
    close(pc.vmap(lambda x, y: pc.depends(y, x) * x, in_axes=(0, None))(x, pc.array(2.0)), 2 * np.array(x))
    close(pc.compile(pc.vmap(pc.grad(pc.grad(f))))(x), np.full(4, 6.0))


# ---- checkpoint ----


def layer(x: pc.array, w: pc.array) -> pc.array:
    return pc.tanh(x @ w) * pc.sigmoid(x)


CHECKPOINTED: list[tuple[str, Transform]] = [
    ("grad", lambda f: lambda x, w: pc.grad(lambda x, w: f(x, w).sum(), argnums=(0, 1))(x, w)),
    ("vjp", lambda f: lambda x, w: pc.vjp(f, [x, w], [wave(4, 3)])),
    ("jvp", lambda f: lambda x, w: pc.jvp(f, [x, w], [x, w])),
    ("vmap", lambda f: lambda x, w: pc.vmap(f, in_axes=(0, None))(x.reshape(2, 2, 3), w)),
    ("compile", lambda f: lambda x, w: pc.compile(f)(x, w)),
    (
        "grad of vmap",
        lambda f: (
            lambda x, w: pc.grad(
                lambda x, w: pc.vmap(f, in_axes=(0, None))(x.reshape(2, 2, 3), w).sum(), argnums=(0, 1)
            )(x, w)
        ),
    ),
    (
        "vmap of grad",
        lambda f: (
            lambda x, w: pc.vmap(pc.grad(lambda x, w: f(x, w).sum(), argnums=(0, 1)), in_axes=(0, None))(
                x.reshape(2, 2, 3), w
            )
        ),
    ),
    (
        "grad of grad",
        lambda f: lambda x, w: pc.grad(lambda x: (pc.grad(lambda x: f(x, w).square().sum())(x) * wave(4, 3)).sum())(x),
    ),
    (
        "jvp of grad",
        lambda f: lambda x, w: pc.jvp(pc.grad(lambda x: f(x, w).square().sum()), [x], [wave(4, 3)]),
    ),
    (
        "grad of jvp",
        lambda f: (
            lambda x, w: pc.grad(
                lambda x, w: pc.jvp(lambda x: f(x, w), [x], [wave(4, 3)])[1][0].square().sum(), argnums=(0, 1)
            )(x, w)
        ),
    ),
    (
        "compile of grad",
        lambda f: lambda x, w: pc.compile(pc.grad(lambda x, w: f(x, w).sum(), argnums=(0, 1)))(x, w),
    ),
    (
        "grad of compile",
        lambda f: lambda x, w: pc.grad(lambda x, w: pc.compile(f)(x, w).sum(), argnums=(0, 1))(x, w),
    ),
    ("nested", lambda f: lambda x, w: pc.grad(pc.checkpoint(lambda x: pc.checkpoint(f)(f(x, w), w).sum()))(x)),
    (
        "stop_gradient",
        lambda f: lambda x, w: pc.grad(lambda x: f(pc.stop_gradient(x) * x, pc.stop_gradient(w)).sum())(x),
    ),
]


def flat(tree: Any) -> list[np.ndarray]:
    return [np.array(tree)] if isinstance(tree, pc.array) else [a for t in tree for a in flat(t)]


@pytest.mark.parametrize(("name", "transform"), CHECKPOINTED, ids=[n for n, _ in CHECKPOINTED])
def test_checkpoint_changes_no_result(name: str, transform: Transform) -> None:
    x, w = wave(4, 3), wave(3, 3)
    captured: Transform = lambda x, w: pc.checkpoint(lambda x: layer(x, w))(x)  # noqa: E731
    want = flat(transform(layer)(x, w))
    for f in (pc.checkpoint(layer), captured):
        got = flat(transform(f)(x, w))
        assert len(got) == len(want)
        for a, b in zip(got, want, strict=True):
            np.testing.assert_allclose(a, b, rtol=2e-6, atol=2e-6)


def test_checkpoint_takes_and_returns_trees() -> None:
    f = pc.checkpoint(lambda p, n, scale=1: {"a": p["x"] * n * scale, "n": n, "i": p["i"] + 1})
    tree = {"x": pc.array(2.0), "i": pc.array(3)}

    def loss(x: pc.array) -> pc.array:
        out = f({**tree, "x": x}, 3, scale=pc.array(5.0))
        assert out["n"] == 3 and out["i"].dtype == pc.int32
        return out["a"]

    assert pc.grad(loss)(pc.array(2.0)).item() == 15.0


def test_checkpoint_with_an_output_that_is_an_input_or_from_outside() -> None:
    w = pc.array(3.0)
    f = pc.checkpoint(lambda x: (x, w, x * w))
    assert pc.grad(lambda x: sum(f(x)))(pc.array(2.0)).item() == 4.0
    assert pc.grad(lambda w: sum(pc.checkpoint(lambda x: (x, w, x * w))(pc.array(2.0))))(w).item() == 3.0


def test_one_output_of_several_is_an_argument() -> None:
    a = wave(6)

    def loss(a: pc.array) -> pc.array:
        left, right = pc.split(pc.exp(a), 2)
        left, right = pc.depends([left, right], [a])
        return pc.checkpoint(lambda x: x * x * right)(left).sum()

    want = pc.grad(lambda a: (pc.exp(a)[:3] ** 2 * pc.exp(a)[3:]).sum())(a)
    close(pc.grad(loss)(a), want, 1e-5)


def test_recomputed_random_numbers_are_the_same() -> None:
    x = pc.ones((1000,))

    def noisy(x: pc.array) -> pc.array:
        return x * pc.random.bernoulli(0.5, (1000,)) * pc.random.uniform(shape=(1000,))

    for transform in (lambda f: f, pc.compile):
        pc.random.seed(3)
        out, grads = transform(lambda x: pc.vjp(pc.checkpoint(noisy), [x], [pc.ones((1000,))]))(x)
        pc.eval(out, grads)
        assert np.array_equal(np.array(out[0]), np.array(grads[0]))


def test_the_function_runs_once_and_may_look_at_values() -> None:
    runs = []

    def f(x: pc.array) -> pc.array:
        runs.append(1)
        h = pc.exp(x)
        if h.sum().item() > 0:
            pc.eval(h)
            h = h * 2
        return h

    close(pc.grad(lambda x: pc.checkpoint(f)(x).sum())(wave(3)), 2 * np.exp(np.array(wave(3))), 1e-5)
    assert len(runs) == 1
    close(pc.grad(lambda x: pc.checkpoint(lambda x: (y := f(x), pc.eval(y))[0])(x).sum())(wave(3)),
          2 * np.exp(np.array(wave(3))), 1e-5)  # fmt: skip


def test_what_a_checkpointed_function_leaves_behind_is_right() -> None:
    left = []

    def f(x: pc.array) -> pc.array:
        left.append(x * 3)
        return pc.sin(left[0])

    g = pc.grad(lambda x: pc.checkpoint(f)(x).sum() + left[0].sum())(wave(3))
    close(g, 3 * np.cos(3 * np.array(wave(3))) + 3, 1e-5)
    close(left[0], 3 * np.array(wave(3)))


def test_an_error_inside_leaves_nothing_behind() -> None:
    def bad(x: pc.array) -> pc.array:
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        pc.grad(pc.checkpoint(bad))(pc.array(1.0))
    assert pc.grad(pc.checkpoint(lambda x: x * 2))(pc.array(1.0)).item() == 2.0


def test_compiled_checkpoints_serve_all_shapes() -> None:
    traces = []

    def loss(x: pc.array, w: pc.array) -> pc.array:
        traces.append(1)
        return pc.checkpoint(layer)(pc.checkpoint(layer)(x, w), w).sum()

    step = pc.compile(pc.grad(loss, argnums=1))
    for n in (2, 5, 9):
        close(
            step(wave(n, 3), wave(3, 3)), pc.grad(lambda w, n=n: layer(layer(wave(n, 3), w), w).sum())(wave(3, 3)), 1e-5
        )
    assert len(traces) == 1
