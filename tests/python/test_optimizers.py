"""Optimizers against their formulas in float64, their state, schedules and clipping."""

import math
from collections import namedtuple

import numpy as np
import pytest

import plait.core as pc
import plait.nn as nn
import plait.optimizers as optim
from layer_oracle import dtype_name, near, numbers
from plait.utils import tree_flatten, tree_map

RATE = 0.05


class Formula:
    """One parameter in float64; `step` is called with the gradient and the number of the update, from 1."""

    def __init__(self, p):
        self.p = p.astype(np.float64)
        self.m = np.zeros_like(self.p)
        self.v = np.zeros_like(self.p)
        self.u = np.zeros_like(self.p)


def sgd(momentum=0.0, decay=0.0, dampening=0.0, nesterov=False):
    def step(f, g, t):
        g = g + decay * f.p
        f.v = momentum * f.v + (1 - dampening) * g
        f.p = f.p - RATE * (g + momentum * f.v if nesterov else f.v if momentum else g)

    return step


def rmsprop(alpha=0.99, eps=1e-8):
    def step(f, g, t):
        f.v = alpha * f.v + (1 - alpha) * g**2
        f.p = f.p - RATE * g / (np.sqrt(f.v) + eps)

    return step


def adagrad(f, g, t):
    f.v = f.v + g**2
    f.p = f.p - RATE * g / (np.sqrt(f.v) + 1e-8)


def adadelta(f, g, t):
    f.v = 0.9 * f.v + 0.1 * g**2
    d = np.sqrt(f.u + 1e-6) / np.sqrt(f.v + 1e-6) * g
    f.u = 0.9 * f.u + 0.1 * d**2
    f.p = f.p - RATE * d


def adam(b1=0.9, b2=0.999, eps=1e-8, correct=False, decay=0.0):
    def step(f, g, t):
        f.m = b1 * f.m + (1 - b1) * g
        f.v = b2 * f.v + (1 - b2) * g**2
        m, v = (f.m / (1 - b1**t), f.v / (1 - b2**t)) if correct else (f.m, f.v)
        f.p = f.p * (1 - RATE * decay) - RATE * m / (np.sqrt(v) + eps)

    return step


def adamax(f, g, t):
    f.m = 0.9 * f.m + 0.1 * g
    f.v = np.maximum(0.999 * f.v, np.abs(g))
    f.p = f.p - RATE * f.m / (f.v + 1e-8)


def lion(decay=0.0):
    def step(f, g, t):
        c = 0.9 * f.m + 0.1 * g
        f.m = 0.99 * f.m + 0.01 * g
        f.p = f.p * (1 - RATE * decay) - RATE * np.sign(c)

    return step


def adafactor(decay=0.0, beta=None, relative=True, scale=True, warmup=False):
    rms = lambda x: np.sqrt(np.mean(x**2))  # noqa: E731

    def step(f, g, t):
        keep = 1 - t**-0.8
        rate = min(1e-6 * t if warmup else 1e-2, 1 / math.sqrt(t)) if relative else RATE
        rate = rate * max(1e-3, rms(f.p)) if scale else rate
        f.v = keep * f.v + (1 - keep) * (g**2 + 1e-30)
        v = f.v
        if g.ndim >= 2:  # the rank-one matrix with the same row and column means
            row, col = f.v.mean(-1, keepdims=True), f.v.mean(-2, keepdims=True)
            v = row * col / row.mean(-2, keepdims=True)
        d = g / np.sqrt(v)
        d = d / max(1.0, rms(d)) * rate
        if beta is not None:
            d = f.m = beta * f.m + (1 - beta) * d
        f.p = f.p * (1 - rate * decay) - d

    return step


def muon(momentum=0.95, decay=0.01, nesterov=True, iterations=5):
    def step(f, g, t):
        g = g + decay * f.p
        f.v = momentum * f.v + (1 - momentum) * g
        d = momentum * f.v + (1 - momentum) * g if nesterov else f.v
        scale = 1.0
        if g.ndim >= 2:
            u, s, vt = np.linalg.svd(d.reshape(len(d), -1), full_matrices=False)
            s = s / np.linalg.norm(s)
            for _ in range(iterations):  # the same quintic, on the singular values alone
                s = 3.4445 * s - 4.7750 * s**3 + 2.0315 * s**5
            d = (u * s @ vt).reshape(d.shape)
            scale = math.sqrt(max(1, g.shape[-2] / g.shape[-1]))
        f.p = f.p - RATE * scale * d

    return step


CASES = {
    "sgd": (lambda: optim.SGD(RATE), sgd()),
    "sgd decay": (lambda: optim.SGD(RATE, weight_decay=0.1), sgd(decay=0.1)),
    "sgd momentum": (lambda: optim.SGD(RATE, 0.9, 0.01, 0.2), sgd(0.9, 0.01, 0.2)),
    "sgd nesterov": (lambda: optim.SGD(RATE, 0.9, nesterov=True), sgd(0.9, nesterov=True)),
    "rmsprop": (lambda: optim.RMSprop(RATE), rmsprop()),
    "rmsprop settings": (lambda: optim.RMSprop(RATE, 0.9, 1e-3), rmsprop(0.9, 1e-3)),
    "adagrad": (lambda: optim.Adagrad(RATE), adagrad),
    "adadelta": (lambda: optim.AdaDelta(RATE), adadelta),
    "adam": (lambda: optim.Adam(RATE), adam()),
    "adam settings": (lambda: optim.Adam(RATE, [0.8, 0.9], 1e-2), adam(0.8, 0.9, 1e-2)),
    "adam corrected": (lambda: optim.Adam(RATE, bias_correction=True), adam(correct=True)),
    "adamw": (lambda: optim.AdamW(RATE, weight_decay=0.1), adam(decay=0.1)),
    "adamw corrected": (lambda: optim.AdamW(RATE, bias_correction=True), adam(correct=True, decay=0.01)),
    "adamax": (lambda: optim.Adamax(RATE), adamax),
    "lion": (lambda: optim.Lion(RATE), lion()),
    "lion decay": (lambda: optim.Lion(RATE, weight_decay=0.1), lion(0.1)),
    "adafactor": (lambda: optim.Adafactor(), adafactor()),
    "adafactor warm-up": (lambda: optim.Adafactor(warmup_init=True, beta_1=0.9), adafactor(warmup=True, beta=0.9)),
    "adafactor rate": (
        lambda: optim.Adafactor(RATE, relative_step=False, scale_parameter=False, weight_decay=0.1),
        adafactor(decay=0.1, relative=False, scale=False),
    ),
    "muon": (lambda: optim.Muon(RATE), muon()),
    "muon plain": (lambda: optim.Muon(RATE, 0.5, 0.0, False, 3), muon(0.5, 0.0, False, 3)),
}


def start():
    return {"w": numbers(4, 3), "deep": [numbers(3, seed=1), {"k": numbers(2, 3, 2, 2, seed=2)}]}


@pytest.mark.parametrize("name", CASES)
def test_formula(name):
    build, formula = CASES[name]
    optimizer = build()
    parameters = tree_map(pc.array, start())
    wanted = tree_map(Formula, start())
    for t in range(1, 6):
        gradients = tree_map(lambda p, t=t: numbers(*p.shape, seed=10 * t + p.size), start())
        parameters = optimizer.apply_gradients(tree_map(pc.array, gradients), parameters)
        tree_map(lambda g, f, t=t: formula(f, g.astype(np.float64), t), gradients, wanted)
    assert optimizer.step.item() == 5 and dtype_name(optimizer.step) == "uint64"
    for (_, have), (_, want) in zip(tree_flatten(parameters), tree_flatten(wanted), strict=True):
        near(have, want.p, tol=2e-4)


STATES = {
    "SGD": ["v"], "RMSprop": ["v"], "Adagrad": ["v"], "AdaDelta": ["u", "v"], "Adam": ["m", "v"], "AdamW": ["m", "v"],
    "Adamax": ["m", "v"], "Lion": ["m"], "Muon": ["v"],
}  # fmt: skip


@pytest.mark.parametrize("name", STATES)
def test_state(name):
    optimizer = getattr(optim, name)(0.1)
    near(optimizer.state["learning_rate"], 0.1)
    assert sorted(optimizer.state) == ["learning_rate", "step"]
    optimizer.init({"w": pc.ones((2, 3), dtype=pc.float16), "l": [pc.ones((2,))]})
    want = [f"{path}.{k}" for path in ("l.0", "w") for k in STATES[name]]
    assert sorted(p for p, _ in tree_flatten(optimizer.state)) == sorted([*want, "learning_rate", "step"])
    assert optimizer.state["w"][STATES[name][0]].shape == (2, 3)
    assert optimizer.state["w"][STATES[name][0]].dtype == pc.float16
    assert optimizer.step.item() == 0


def test_adafactor_state_is_factored():
    optimizer = optim.Adafactor(beta_1=0.9)
    optimizer.init({"w": pc.ones((2, 3, 4)), "b": pc.ones((5,))})
    shapes = {path: x.shape for path, x in tree_flatten(optimizer.state)}
    assert shapes == {
        "step": (), "w.exp_avg_sq_row": (2, 3), "w.exp_avg_sq_col": (2, 4), "w.exp_avg": (2, 3, 4),
        "b.exp_avg_sq": (5,), "b.exp_avg": (5,),
    }  # fmt: skip


@pytest.mark.parametrize("name", [*STATES, "Adafactor"])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_dtype_stays(name, dtype):
    dtype = getattr(pc, dtype)
    optimizer = getattr(optim, name)(0.01)
    parameters = {"w": pc.ones((3, 2)).astype(dtype), "b": pc.ones((3,)).astype(dtype)}
    for _ in range(2):
        parameters = optimizer.apply_gradients(tree_map(lambda p: p * 0.5, parameters), parameters)
    assert all(p.dtype == dtype for _, p in tree_flatten(parameters))
    assert all(x.dtype == dtype for p, x in tree_flatten(optimizer.state) if p not in ("step", "learning_rate"))


def test_one_parameter_alone():
    state = {}
    optimizer = optim.Adam(RATE)
    optimizer.init_single(pc.ones((2,)), state)
    new = optimizer.apply_single(pc.array([1.0, -1.0]), pc.ones((2,)), state)
    formula = Formula(np.ones(2))
    adam()(formula, np.array([1.0, -1.0]), 1)
    near(new, formula.p)
    near(state["m"], formula.m)
    with pytest.raises(KeyError):
        optimizer.apply_single(pc.ones((2,)), pc.ones((2,)), {})


def test_update_of_a_model():
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    model.layers[2].freeze()
    before = {p: np.array(x) for p, x in tree_flatten(model.parameters())}
    _, grads = nn.value_and_grad(model, lambda x: pc.sum(model(x) ** 2))(pc.array(numbers(8, 2)))
    optimizer = optim.SGD(0.1)
    optimizer.update(model, grads)
    slopes = dict(tree_flatten(grads))
    for path, x in tree_flatten(model.parameters()):
        near(x, before[path] - 0.1 * np.array(slopes[path]) if path in slopes else before[path])
    assert set(slopes) == {"layers.0.weight", "layers.0.bias"}


def test_init_with_a_model_takes_the_trainable_parameters():
    model = nn.BatchNorm(2)
    optimizer = optim.Adam(0.1)
    optimizer.init(model)
    assert sorted(optimizer.state) == ["bias", "learning_rate", "step", "weight"]


def test_parameters_may_come_later():
    optimizer = optim.SGD(0.1, momentum=0.9)
    p = {"a": pc.ones((2,)), "l": [pc.ones((1,)), pc.ones((1,))]}
    optimizer.apply_gradients({"a": pc.ones((2,))}, p)
    new = optimizer.apply_gradients({"a": pc.ones((2,)), "l": [{}, pc.ones((1,))]}, p)
    near(new["a"], [0.81, 0.81])
    near(new["l"][1], [0.9])
    new = optimizer.apply_gradients({"l": [pc.ones((1,)), {}]}, p)
    near(new["l"][0], [0.9])


def test_an_error_changes_neither_step_nor_state():
    optimizer = optim.Adam(0.1)
    with pytest.raises(KeyError, match="b"):
        optimizer.apply_gradients({"a": pc.ones((2,)), "b": pc.ones((2,))}, {"a": pc.ones((2,))})
    assert optimizer.step.item() == 0
    assert "m" not in optimizer.state["a"]


def test_an_error_leaves_what_is_remembered():
    optimizer = optim.Adam(lambda step: 0.1 * (step + 1))
    parameters = {"a": pc.ones((2,)), "l": [pc.ones((2,)), pc.ones((1,))]}
    optimizer.apply_gradients(parameters, parameters)
    before = dict(tree_flatten(optimizer.state))
    with pytest.raises(IndexError):
        optimizer.apply_gradients({"a": pc.ones((2,)), "l": [pc.ones((2,))] * 3}, parameters)
    assert all(before[path] is x for path, x in tree_flatten(optimizer.state))
    with pytest.raises(ValueError, match="Adam: the state has no place for the parameter 'l'"):
        optimizer.apply_gradients({"a": pc.ones((2,)), "l": pc.ones((2,))}, parameters)
    assert all(before[path] is x for path, x in tree_flatten(optimizer.state))


def test_the_result_has_the_form_of_the_gradients():
    point = namedtuple("point", "x y")
    one = pc.ones((1,))
    parameters = {"t": (one, [one]), "p": point(one, one), "other": one}
    gradients = {"p": point(one, {}), "t": (one, [one])}
    optimizer = optim.SGD(0.1, momentum=0.9)
    new = optimizer.apply_gradients(gradients, parameters)
    assert list(new) == ["p", "t"] and type(new["t"]) is tuple and type(new["p"]) is point and new["p"].y == {}
    assert sorted(p for p, _ in tree_flatten(optimizer.state)) == [
        "learning_rate", "p.0.v", "step", "t.0.v", "t.1.0.v"
    ]  # fmt: skip
    near(optim.SGD(0.1).apply_gradients(one, one), [0.9])


def test_the_learning_rate_may_change_between_parameters():
    class Falling(optim.SGD):
        def apply_single(self, gradient, parameter, state):
            self.state["learning_rate"] *= 0.5
            return super().apply_single(gradient, parameter, state)

    optimizer = Falling(0.4)
    new = optimizer.apply_gradients({"a": pc.ones((1,)), "b": pc.ones((1,))}, {"a": pc.ones((1,)), "b": pc.ones((1,))})
    near(new["a"], [0.8])
    near(new["b"], [0.9])
    near(optimizer.apply_single(pc.ones((1,)), pc.ones((1,)), {"v": pc.zeros((1,))}), [0.95])


def test_a_state_can_be_handed_on():
    gradients, parameters = {"w": pc.ones((2,))}, {"w": pc.ones((2,))}
    one, two = optim.Adam(0.1), optim.Adam(0.5)
    parameters = one.apply_gradients(gradients, parameters)
    two.state = tree_map(lambda x: x, one.state)
    near(two.learning_rate, 0.1)
    near(two.apply_gradients(gradients, parameters)["w"], np.array(one.apply_gradients(gradients, parameters)["w"]))


def test_learning_rate():
    optimizer = optim.SGD(0.1)
    optimizer.learning_rate = 0.5
    near(optimizer.apply_gradients({"w": pc.ones((1,))}, {"w": pc.ones((1,))})["w"], [0.5])
    near(optim.SGD(pc.array(0.25)).learning_rate, 0.25)
    scheduled = optim.SGD(lambda step: 0.1 * (step + 1))
    near(scheduled.learning_rate, 0.1)
    rates = []
    for _ in range(3):
        scheduled.apply_gradients({"w": pc.ones((1,))}, {"w": pc.ones((1,))})
        rates.append(scheduled.learning_rate.item())
    np.testing.assert_allclose(rates, [0.1, 0.2, 0.3], rtol=1e-6)
    scheduled.learning_rate = 1.0
    scheduled.apply_gradients({"w": pc.ones((1,))}, {"w": pc.ones((1,))})
    near(scheduled.learning_rate, 1.0)


@pytest.mark.parametrize("build", [
    lambda: optim.SGD(0.1, nesterov=True),
    lambda: optim.SGD(0.1, 0.9, dampening=0.1, nesterov=True),
    lambda: optim.Adam(0.1, betas=[1.0, 0.9]),
    lambda: optim.Adam(0.1, betas=[0.9, -0.1]),
    lambda: optim.AdamW(0.1, eps=-1),
    lambda: optim.Adamax(0.1, eps=-1),
    lambda: optim.RMSprop(0.1, alpha=-1),
    lambda: optim.RMSprop(0.1, eps=-1),
    lambda: optim.Adagrad(0.1, eps=-1),
    lambda: optim.AdaDelta(0.1, rho=-1),
    lambda: optim.Lion(0.1, betas=[0.9, 1.5]),
    lambda: optim.Adafactor(relative_step=False),
    lambda: optim.MultiOptimizer([], []),
    lambda: optim.MultiOptimizer([optim.SGD(0.1), optim.SGD(0.2)], []),
])  # fmt: skip
def test_settings_are_checked(build):
    with pytest.raises(ValueError):
        build()


def test_several_optimizers():
    parameters = tree_map(pc.array, start())
    gradients = tree_map(pc.ones_like, parameters)
    both = optim.MultiOptimizer([optim.SGD(0.1), optim.Adam(0.1)], [lambda path, g: path == "w" or g.ndim == 4])
    both.init(parameters)
    new = both.apply_gradients(gradients, parameters)
    plain, other = optim.SGD(0.1), optim.Adam(0.1)
    want = plain.apply_gradients(gradients, parameters)
    near(new["w"], np.array(want["w"]))
    near(new["deep"][1]["k"], np.array(want["deep"][1]["k"]))
    near(new["deep"][0], np.array(other.apply_gradients(gradients, parameters)["deep"][0]))
    assert sorted(p for p, _ in tree_flatten(both.state)) == [
        "states.0.deep.1.k.v", "states.0.learning_rate", "states.0.step", "states.0.w.v",
        "states.1.deep.0.m", "states.1.deep.0.v", "states.1.learning_rate", "states.1.step",
    ]  # fmt: skip
    both.learning_rate = 0.3
    near(both.learning_rate, 0.3)
    near(both.optimizers[1].learning_rate, 0.3)
    assert both.step.item() == 1
    state = both.state
    both.state = state
    with pytest.raises(ValueError, match="list of 2"):
        both.state = {"states": []}


def test_base_class():
    class Halve(optim.Optimizer):
        def init_single(self, parameter, state):
            pass

        def apply_single(self, gradient, parameter, state):
            return parameter * self.state["factor"]

    optimizer = Halve({"factor": lambda step: 0.5 + 0 * step})
    near(optimizer.apply_gradients({"w": pc.ones((1,))}, {"w": pc.ones((1,))})["w"], [0.5])
    for call in (lambda o: o.init_single(1, {}), lambda o: o.apply_single(1, 2, {})):
        with pytest.raises(NotImplementedError, match="Optimizer"):
            call(optim.Optimizer())


SCHEDULES = {
    "exponential": (optim.exponential_decay(0.1, 0.9), lambda t: 0.1 * 0.9**t),
    "steps": (optim.step_decay(0.1, 0.5, 5), lambda t: 0.1 * 0.5 ** (t // 5)),
    "cosine": (optim.cosine_decay(0.1, 10, 0.01), lambda t: 0.01 + 0.045 * (1 + math.cos(math.pi * min(t, 10) / 10))),
    "linear": (optim.linear_schedule(0.5, 0.1, 5), lambda t: 0.5 - 0.4 * min(t, 5) / 5),
    "joined": (
        optim.join_schedules([optim.linear_schedule(0, 0.1, 5), optim.exponential_decay(0.1, 2.0)], [5]),
        lambda t: 0.02 * t if t < 5 else 0.1 * 2.0 ** (t - 5),
    ),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedule(name):
    schedule, want = SCHEDULES[name]
    for t in (0, 1, 4, 5, 6, 11, 20):
        near(schedule(pc.array(t, pc.uint64)), want(t))
        assert abs(float(schedule(t)) - want(t)) <= 2e-5 * want(t) + 1e-7


@pytest.mark.parametrize("build", [
    lambda: optim.step_decay(0.1, 0.5, 0),
    lambda: optim.cosine_decay(0.1, 0),
    lambda: optim.linear_schedule(0.1, 0.5, -1),
    lambda: optim.join_schedules([], []),
    lambda: optim.join_schedules([lambda s: s], [1]),
])  # fmt: skip
def test_schedules_are_checked(build):
    with pytest.raises(ValueError):
        build()


def test_clip_grad_norm():
    gradients = start()
    norm = math.sqrt(sum((g.astype(np.float64) ** 2).sum() for _, g in tree_flatten(gradients)))
    clipped, have = optim.clip_grad_norm(tree_map(pc.array, gradients), 0.5)
    near(have, norm)
    for (_, c), (_, g) in zip(tree_flatten(clipped), tree_flatten(gradients), strict=True):
        near(c, g * 0.5 / norm)
    same, _ = optim.clip_grad_norm(tree_map(pc.array, gradients), 1e6)
    near(same["w"], gradients["w"])
    large, norm = optim.clip_grad_norm({"a": pc.array([3e4, 4e4]).astype(pc.float16)}, 1.0)
    near(norm, 5e4, tol=1e-3)
    assert large["a"].dtype == pc.float16
    near(large["a"], [0.6, 0.8], tol=1e-3)
    near(optim.clip_grad_norm({}, 1.0)[1], 0)


def test_training_finds_a_line():
    pc.random.seed(0)
    x = numbers(64, 2)
    y = x @ np.array([[1.5], [-2.0]], np.float32) + 0.5
    model = nn.Linear(2, 1)
    optimizer = optim.Adam(0.1)
    step = nn.value_and_grad(model, lambda x, y: nn.losses.mse_loss(model(x), y))
    for _ in range(150):
        loss, grads = step(pc.array(x), pc.array(y))
        optimizer.update(model, grads)
        pc.eval(model.state, optimizer.state, loss)
    assert loss.item() < 1e-3
    near(model.weight, [[1.5, -2.0]], tol=0.05)
