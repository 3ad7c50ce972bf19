"""Optimizers: the mathematics of one parameter each; walking the tree of parameters is the base class's work.

The state of an optimizer is a tree of arrays, so that it can be saved, and captured by ``compile``: "step" (uint64, the
number of updates done), "learning_rate", and for each parameter, at its place in the tree, a dict of what the method
remembers about it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import plait.core as pc
from plait.nn.layers.base import Module
from plait.utils import tree_map, tree_map_with_path, tree_merge, tree_reduce

Rate = float | pc.array | Callable[[pc.array], pc.array]


class Optimizer:
    """Base class: holds the state and applies `apply_single` to every parameter that has a gradient.

    A subclass defines `init_single` and `apply_single`. `schedulers` maps names of entries of the state to schedules
    (see ``plait.optimizers.schedulers``) that renew them before each update.
    """

    def __init__(self, schedulers: dict[str, Callable[[pc.array], pc.array]] | None = None) -> None:
        self._schedulers = dict(schedulers or {})
        self._state: dict[str, Any] = {"step": pc.array(0, pc.uint64)}

    # What a subclass defines

    def init_single(self, parameter: pc.array, state: dict[str, Any]) -> None:
        """Put what the method remembers about `parameter` into the empty dict `state`."""
        raise NotImplementedError(f"{type(self).__name__} does not define init_single")

    def apply_single(self, gradient: pc.array, parameter: pc.array, state: dict[str, Any]) -> pc.array:
        """The new value of one parameter; `state` is brought up to date.

        Shapes: gradient and parameter equal -> same.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define apply_single")

    # State

    @property
    def state(self) -> dict[str, Any]:
        """The state as a tree. Assign one to continue where another optimizer stopped."""
        return self._state

    @state.setter
    def state(self, state: dict[str, Any]) -> None:
        self._state = state

    @property
    def step(self) -> pc.array:
        """The number of updates done, a uint64 scalar."""
        step: pc.array = self.state["step"]
        return step

    @property
    def learning_rate(self) -> pc.array:
        """The learning rate of the last (before the first: the next) update. Assign a number or a schedule."""
        rate: pc.array = self.state["learning_rate"]
        return rate

    @learning_rate.setter
    def learning_rate(self, learning_rate: Rate) -> None:
        self._set_or_schedule("learning_rate", learning_rate)

    def _set_or_schedule(self, name: str, value: Rate) -> None:
        """Set an entry of the state to a number, or to what a schedule says, now and before each update."""
        self._schedulers.pop(name, None)
        if isinstance(value, pc.array):
            self.state[name] = value
        elif callable(value):
            self._schedulers[name] = value
            self.state[name] = value(self.step)
        else:
            self.state[name] = pc.array(value, pc.float32)

    # The tree

    def _pairs(self, gradients: Any, parameters: Any, state: Any, found: list[tuple[Any, Any, Any]]) -> None:
        """Collect (gradient, parameter, its state), making room in `state` where there is none yet."""
        if isinstance(gradients, dict):
            items: Any = gradients.items()
        elif isinstance(gradients, (list, tuple)):
            items = enumerate(gradients)
            while len(state) < len(gradients):
                state.append({})
        else:
            found.append((gradients, parameters, state))
            return
        by_name = isinstance(state, dict)
        for key, gradient in items:
            parameter = parameters[key]
            # Most are arrays, and it takes longest to find out that they are no dict, list or tuple.
            is_leaf = type(gradient) is pc.array
            wanted = list if not is_leaf and isinstance(gradient, (list, tuple)) else dict
            if by_name and key not in state:
                state[key] = wanted()
            own = state[key]
            if not isinstance(own, wanted):
                if own:
                    raise ValueError(f"{type(self).__name__}: the state has no place for the parameter {key!r}")
                state[key] = own = wanted()
            if is_leaf:
                found.append((gradient, parameter, own))
            else:
                self._pairs(gradient, parameter, own, found)

    def init(self, parameters: dict[str, Any]) -> None:
        """Make the state for a tree of parameters (or a module, for those that are trainable).

        Parameters that have a state keep it. Not needed before `update`, which does it on first sight; it is for
        capturing the state in ``compile`` before the first update.
        """
        if isinstance(parameters, Module):
            parameters = parameters.trainable_parameters()
        found: list[tuple[Any, Any, Any]] = []
        self._pairs(parameters, parameters, self.state, found)
        for parameter, _, state in found:
            if not state:
                self.init_single(parameter, state)

    def update(self, model: Module, gradients: dict[str, Any]) -> None:
        """Replace the parameters of `model` for which `gradients` has a gradient by their new values."""
        model.update(self.apply_gradients(gradients, model))

    def apply_gradients(self, gradients: dict[str, Any], parameters: dict[str, Any]) -> dict[str, Any]:
        """The new values of the parameters for which the tree `gradients` has a gradient, as a tree of that form.

        Raises `KeyError` for a gradient without a parameter; then neither step nor state change.
        """
        found: list[tuple[Any, Any, Any]] = []
        self._pairs(gradients, parameters, self.state, found)
        for name, schedule in self._schedulers.items():
            self.state[name] = schedule(self.step)
        self.state["step"] = self.step + 1
        updated = []
        for gradient, parameter, state in found:
            if not state:
                self.init_single(parameter, state)
            updated.append(self.apply_single(gradient, parameter, state))
        values = iter(updated)
        result: dict[str, Any] = tree_map(lambda _: next(values), gradients)
        return result


def _rate(optimizer: Optimizer, gradient: pc.array) -> pc.array:
    """The learning rate in the gradient's dtype, so that 16-bit training stays 16-bit."""
    return optimizer.learning_rate.astype(gradient.dtype)


def _check(name: str, **bounds: tuple[float, float, float]) -> None:
    """Raise `ValueError` unless each value lies in [low, high): keyword -> (value, low, high)."""
    for argument, (value, low, high) in bounds.items():
        if not low <= value < high:
            limit = f"at least {low}" if math.isinf(high) else f"at least {low} and less than {high}"
            raise ValueError(f"{name}: {argument} must be {limit}, got {value}")


class SGD(Optimizer):
    """Stochastic gradient descent with momentum.

    v = momentum v + (1 - dampening) g, p -= rate v, with v = g if momentum is 0; `weight_decay` p is added to g first.
    With `nesterov` (which needs momentum and no dampening) the step is g + momentum v.

    State: v.
    Source: Sutskever et al., 2013, "On the Importance of Initialization and Momentum in Deep Learning".
    """

    def __init__(
        self,
        learning_rate: Rate,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        dampening: float = 0.0,
        nesterov: bool = False,
    ) -> None:
        super().__init__()
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError(
                f"SGD: nesterov needs momentum and no dampening, got momentum {momentum} and dampening {dampening}"
            )
        self._set_or_schedule("learning_rate", learning_rate)
        self.momentum = momentum
        self.weight_decay = weight_decay
        self.dampening = dampening
        self.nesterov = nesterov

    def init_single(self, parameter: pc.array, state: dict[str, Any]) -> None:
        state["v"] = pc.zeros_like(parameter)

    def apply_single(self, gradient: pc.array, parameter: pc.array, state: dict[str, Any]) -> pc.array:
        if self.weight_decay != 0:
            gradient = gradient + self.weight_decay * parameter
        step = gradient
        if self.momentum > 0:
            fresh = (1 - self.dampening) * gradient if self.dampening else gradient
            v: pc.array = self.momentum * state["v"] + fresh
            state["v"] = v
            step = gradient + self.momentum * v if self.nesterov else v
        return parameter - _rate(self, gradient) * step


class RMSprop(Optimizer):
    """v = alpha v + (1 - alpha) g^2, p -= rate g / (sqrt(v) + eps).

    State: v.
    Source: Tieleman and Hinton, 2012, Lecture 6.5, "rmsprop", Coursera: Neural Networks for Machine Learning.
    """

    def __init__(self, learning_rate: Rate, alpha: float = 0.99, eps: float = 1e-8) -> None:
        super().__init__()
        _check("RMSprop", alpha=(alpha, 0, math.inf), eps=(eps, 0, math.inf))
        self._set_or_schedule("learning_rate", learning_rate)
        self.alpha = alpha
        self.eps = eps

    def init_single(self, parameter: pc.array, state: dict[str, Any]) -> None:
        state["v"] = pc.zeros_like(parameter)

    def apply_single(self, gradient: pc.array, parameter: pc.array, state: dict[str, Any]) -> pc.array:
        v: pc.array = self.alpha * state["v"] + (1 - self.alpha) * pc.square(gradient)
        state["v"] = v
        return parameter - _rate(self, gradient) * gradient / (pc.sqrt(v) + self.eps)


class Adagrad(Optimizer):
    """v += g^2, p -= rate g / (sqrt(v) + eps).

    State: v.
    Source: Duchi et al., 2011, "Adaptive Subgradient Methods for Online Learning and Stochastic Optimization".
    """

    def __init__(self, learning_rate: Rate, eps: float = 1e-8) -> None:
        super().__init__()
        _check("Adagrad", eps=(eps, 0, math.inf))
        self._set_or_schedule("learning_rate", learning_rate)
        self.eps = eps

    def init_single(self, parameter: pc.array, state: dict[str, Any]) -> None:
        state["v"] = pc.zeros_like(parameter)

    def apply_single(self, gradient: pc.array, parameter: pc.array, state: dict[str, Any]) -> pc.array:
        v: pc.array = state["v"] + pc.square(gradient)
        state["v"] = v
        return parameter - _rate(self, gradient) * gradient / (pc.sqrt(v) + self.eps)


class AdaDelta(Optimizer):
    """v = rho v + (1 - rho) g^2, d = g sqrt(u + eps) / sqrt(v + eps), u = rho u + (1 - rho) d^2, p -= rate d.

    State: v, u.
    Source: Zeiler, 2012, "ADADELTA: An Adaptive Learning Rate Method".
    """

    def __init__(self, learning_rate: Rate, rho: float = 0.9, eps: float = 1e-6) -> None:
        super().__init__()
        _check("AdaDelta", rho=(rho, 0, math.inf), eps=(eps, 0, math.inf))
        self._set_or_schedule("learning_rate", learning_rate)
        self.rho = rho
        self.eps = eps

    def init_single(self, parameter: pc.array, state: dict[str, Any]) -> None:
        state["v"] = pc.zeros_like(parameter)
        state["u"] = pc.zeros_like(parameter)

    def apply_single(self, gradient: pc.array, parameter: pc.array, state: dict[str, Any]) -> pc.array:
        v: pc.array = self.rho * state["v"] + (1 - self.rho) * pc.square(gradient)
        step: pc.array = gradient * pc.sqrt(state["u"] + self.eps) / pc.sqrt(v + self.eps)
        state["v"] = v
        state["u"] = self.rho * state["u"] + (1 - self.rho) * pc.square(step)
        return parameter - _rate(self, gradient) * step


class Adam(Optimizer):
    """m = beta1 m + (1 - beta1) g, v = beta2 v + (1 - beta2) g^2, p -= rate m / (sqrt(v) + eps).

    With `bias_correction` m and v are divided by 1 - beta1^step and 1 - beta2^step, as in the paper.

    State: m, v.
    Source: Kingma and Ba, 2015, "Adam: A Method for Stochastic Optimization".
    """

    def __init__(
        self,
        learning_rate: Rate,
        betas: Sequence[float] = [0.9, 0.999],
        eps: float = 1e-8,
        bias_correction: bool = False,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        _check(name, beta1=(betas[0], 0, 1), beta2=(betas[1], 0, 1), eps=(eps, 0, math.inf))
        self._set_or_schedule("learning_rate", learning_rate)
        self.betas = betas
        self.eps = eps
        self.bias_correction = bias_correction

    def init_single(self, parameter: pc.array, state: dict[str, Any]) -> None:
        state["m"] = pc.zeros_like(parameter)
        state["v"] = pc.zeros_like(parameter)

    def apply_single(self, gradient: pc.array, parameter: pc.array, state: dict[str, Any]) -> pc.array:
        beta1, beta2 = self.betas
        rate = _rate(self, gradient)
        m: pc.array = beta1 * state["m"] + (1 - beta1) * gradient
        v: pc.array = beta2 * state["v"] + (1 - beta2) * pc.square(gradient)
        state["m"] = m
        state["v"] = v
        root = pc.sqrt(v)
        if self.bias_correction:
            rate = (rate / (1 - beta1**self.step)).astype(gradient.dtype)
            root = root * pc.rsqrt(1 - beta2**self.step).astype(gradient.dtype)
        return parameter - rate * m / (root + self.eps)


class AdamW(Adam):
    """`Adam` with the decay of weights kept out of the gradient: p is multiplied by 1 - rate * weight_decay first.

    State: m, v.
    Source: Loshchilov and Hutter, 2019, "Decoupled Weight Decay Regularization".
    """

    def __init__(
        self,
        learning_rate: Rate,
        betas: Sequence[float] = [0.9, 0.999],
        eps: float = 1e-8,
        weight_decay: float = 0.01,
        bias_correction: bool = False,
    ) -> None:
        super().__init__(learning_rate, betas, eps, bias_correction)
        self.weight_decay = weight_decay

    def apply_single(self, gradient: pc.array, parameter: pc.array, state: dict[str, Any]) -> pc.array:
        decayed = parameter * (1 - _rate(self, gradient) * self.weight_decay)
        return super().apply_single(gradient, decayed, state)


class Adamax(Adam):
    """m = beta1 m + (1 - beta1) g, v = max(beta2 v, |g|), p -= rate m / (v + eps).

    State: m, v.
    Source: Kingma and Ba, 2015, "Adam: A Method for Stochastic Optimization", section 7.1.
    """

    def __init__(
        self,
        learning_rate: Rate,
        betas: Sequence[float] = [0.9, 0.999],
        eps: float = 1e-8,
    ) -> None:
        super().__init__(learning_rate, betas, eps)

    def init_single(self, parameter: pc.array, state: dict[str, Any]) -> None:
        state["m"] = pc.zeros_like(parameter)
        state["v"] = pc.zeros_like(parameter)

    def apply_single(self, gradient: pc.array, parameter: pc.array, state: dict[str, Any]) -> pc.array:
        beta1, beta2 = self.betas
        m: pc.array = beta1 * state["m"] + (1 - beta1) * gradient
        v: pc.array = pc.maximum(beta2 * state["v"], pc.abs(gradient))
        state["m"] = m
        state["v"] = v
        return parameter - _rate(self, gradient) * m / (v + self.eps)


class Lion(Optimizer):
    """c = beta1 m + (1 - beta1) g, m = beta2 m + (1 - beta2) g, p -= rate sign(c), after decay of p as in `AdamW`.

    State: m.
    Source: Chen et al., 2023, "Symbolic Discovery of Optimization Algorithms".
    """

    def __init__(
        self,
        learning_rate: Rate,
        betas: Sequence[float] = [0.9, 0.99],
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__()
        _check("Lion", beta1=(betas[0], 0, 1), beta2=(betas[1], 0, 1))
        self._set_or_schedule("learning_rate", learning_rate)
        self.betas = betas
        self.weight_decay = weight_decay

    def init_single(self, parameter: pc.array, state: dict[str, Any]) -> None:
        state["m"] = pc.zeros_like(parameter)

    def apply_single(self, gradient: pc.array, parameter: pc.array, state: dict[str, Any]) -> pc.array:
        beta1, beta2 = self.betas
        rate = _rate(self, gradient)
        direction: pc.array = beta1 * state["m"] + (1 - beta1) * gradient
        state["m"] = beta2 * state["m"] + (1 - beta2) * gradient
        if self.weight_decay > 0:
            parameter = parameter * (1 - rate * self.weight_decay)
        return parameter - rate * pc.sign(direction)


def _root_mean_square(x: pc.array) -> pc.array:
    return pc.sqrt(pc.mean(pc.square(x)))


class Adafactor(Optimizer):
    """Adam's scaling with the second moments of matrices kept as one number per row and one per column.

    With `relative_step` the rate follows from the step, min(0.01, 1 / sqrt(step)), or 1e-6 step instead of 0.01 with
    `warmup_init`, and `learning_rate` is not used; with `scale_parameter` it is multiplied by the root mean square of
    the parameter (at least ``eps[1]``). ``eps[0]`` is added to squared gradients. A step whose root mean square is over
    `clip_threshold` is scaled down. The averages of squares decay by 1 - step^decay_rate; `beta_1` also averages steps.

    State: exp_avg_sq_row and exp_avg_sq_col for arrays with 2 axes or more, exp_avg_sq otherwise; exp_avg if `beta_1`.
    Source: Shazeer and Stern, 2018, "Adafactor: Adaptive Learning Rates with Sublinear Memory Cost".
    """

    def __init__(
        self,
        learning_rate: Rate | None = None,
        eps: tuple[float, float] = (1e-30, 1e-3),
        clip_threshold: float = 1.0,
        decay_rate: float = -0.8,
        beta_1: float | None = None,
        weight_decay: float = 0.0,
        scale_parameter: bool = True,
        relative_step: bool = True,
        warmup_init: bool = False,
    ) -> None:
        super().__init__()
        if learning_rate is None and not relative_step:
            raise ValueError("Adafactor: needs a learning_rate or relative_step")
        if learning_rate is not None:
            self._set_or_schedule("learning_rate", learning_rate)
        self.eps = eps
        self.clip_threshold = clip_threshold
        self.decay_rate = decay_rate
        self.beta_1 = beta_1
        self.weight_decay = weight_decay
        self.scale_parameter = scale_parameter
        self.relative_step = relative_step
        self.warmup_init = warmup_init

    def init_single(self, parameter: pc.array, state: dict[str, Any]) -> None:
        shape, dtype = parameter.shape, parameter.dtype
        if parameter.ndim >= 2:
            state["exp_avg_sq_row"] = pc.zeros(shape[:-1], dtype=dtype)
            state["exp_avg_sq_col"] = pc.zeros(shape[:-2] + shape[-1:], dtype=dtype)
        else:
            state["exp_avg_sq"] = pc.zeros_like(parameter)
        if self.beta_1 is not None:
            state["exp_avg"] = pc.zeros_like(parameter)

    def _rate_for(self, parameter: pc.array) -> pc.array:
        if self.relative_step:
            most = 1e-6 * self.step if self.warmup_init else 1e-2
            rate = pc.minimum(most, pc.rsqrt(self.step))
        else:
            rate = self.learning_rate
        rate = rate.astype(parameter.dtype)
        if self.scale_parameter:
            rate = rate * pc.maximum(self.eps[1], _root_mean_square(parameter))
        return rate

    def _scaled(self, gradient: pc.array, state: dict[str, Any]) -> pc.array:
        """The gradient divided by the root of the running mean of its squares."""
        keep = (1 - self.step**self.decay_rate).astype(gradient.dtype)
        squares = pc.square(gradient) + self.eps[0]
        if gradient.ndim < 2:
            average: pc.array = keep * state["exp_avg_sq"] + (1 - keep) * squares
            state["exp_avg_sq"] = average
            return gradient * pc.rsqrt(average)
        row: pc.array = keep * state["exp_avg_sq_row"] + (1 - keep) * pc.mean(squares, axis=-1)
        col: pc.array = keep * state["exp_avg_sq_col"] + (1 - keep) * pc.mean(squares, axis=-2)
        state["exp_avg_sq_row"] = row
        state["exp_avg_sq_col"] = col
        row_scale = pc.rsqrt(row / pc.mean(row, axis=-1, keepdims=True))
        return gradient * row_scale[..., :, None] * pc.rsqrt(col)[..., None, :]

    def apply_single(self, gradient: pc.array, parameter: pc.array, state: dict[str, Any]) -> pc.array:
        rate = self._rate_for(parameter)
        step = self._scaled(gradient, state)
        step = step * (rate / pc.maximum(1.0, _root_mean_square(step) / self.clip_threshold))
        if self.beta_1 is not None:
            step = self.beta_1 * state["exp_avg"] + (1 - self.beta_1) * step
            state["exp_avg"] = step
        if self.weight_decay != 0:
            parameter = parameter * (1 - rate * self.weight_decay)
        return parameter - step


class Muon(Optimizer):
    """Momentum whose step, for a matrix, is replaced by the nearest orthogonal matrix.

    v = momentum v + (1 - momentum) g; with `nesterov` the step is momentum v + (1 - momentum) g, else v. For arrays
    with 2 axes or more (all but the first are joined) it goes through `ns_steps` Newton-Schulz iterations and is scaled
    by sqrt(max(1, n / m)), where n and m are the sizes of the last two axes. `weight_decay` p is added to g first.
    Meant for the matrices inside a network; embeddings, biases and the last layer do better with `AdamW` (see
    `MultiOptimizer`).

    State: v.
    Source: Jordan et al., 2024, "Muon: An Optimizer for Hidden Layers in Neural Networks".
    """

    # A quintic whose iterates drive every singular value towards 1 fast, though not exactly there.
    _QUINTIC = (3.4445, -4.7750, 2.0315)

    def __init__(
        self,
        learning_rate: Rate,
        momentum: float = 0.95,
        weight_decay: float = 0.01,
        nesterov: bool = True,
        ns_steps: int = 5,
    ) -> None:
        super().__init__()
        self._set_or_schedule("learning_rate", learning_rate)
        self.momentum = momentum
        self.weight_decay = weight_decay
        self.nesterov = nesterov
        self.ns_steps = ns_steps

    def init_single(self, parameter: pc.array, state: dict[str, Any]) -> None:
        state["v"] = pc.zeros_like(parameter)

    def _orthogonalized(self, x: pc.array) -> pc.array:
        """Matrix x with its singular values brought near 1."""
        a, b, c = self._QUINTIC
        tall = x.shape[0] > x.shape[1]
        if tall:
            x = x.T
        x = x / (pc.sqrt(pc.sum(pc.square(x))) + 1e-7)
        for _ in range(self.ns_steps):
            gram = x @ x.T
            x = a * x + (b * gram + c * (gram @ gram)) @ x
        return x.T if tall else x

    def apply_single(self, gradient: pc.array, parameter: pc.array, state: dict[str, Any]) -> pc.array:
        rate = _rate(self, gradient)
        if self.weight_decay != 0:
            gradient = gradient + self.weight_decay * parameter
        v: pc.array = self.momentum * state["v"] + (1 - self.momentum) * gradient
        state["v"] = v
        step = self.momentum * v + (1 - self.momentum) * gradient if self.nesterov else v
        if step.ndim >= 2:
            rows, columns = step.shape[0], math.prod(step.shape[1:])
            step = self._orthogonalized(step.reshape(rows, columns)).reshape(step.shape)
            rate = rate * math.sqrt(max(1.0, gradient.shape[-2] / gradient.shape[-1]))
        return parameter - rate * step


class MultiOptimizer(Optimizer):
    """Several optimizers, each for its part of the parameters.

    ``filters[i](path, gradient)`` says whether a parameter belongs to ``optimizers[i]``; the first that agrees takes
    it, and the last optimizer, which has no filter, takes what remains.

    State: {"states": [one per optimizer]}. Raises `ValueError` unless there is one filter less than optimizers.
    """

    def __init__(self, optimizers: list[Optimizer], filters: list[Callable[[str, Any], bool]] = []) -> None:  # noqa: B006
        if not optimizers or len(filters) != len(optimizers) - 1:
            raise ValueError(
                "MultiOptimizer: needs at least one optimizer and one filter less than optimizers, "
                f"got {len(optimizers)} optimizers and {len(filters)} filters"
            )
        self.optimizers = optimizers
        self.filters: list[Callable[[str, Any], bool]] = [*filters, lambda path, gradient: True]

    def _split(self, tree: dict[str, Any]) -> list[dict[str, Any]]:
        """One tree per optimizer; what belongs to others is an empty dict there."""
        chosen = tree_map_with_path(
            lambda path, leaf: next(i for i, accepts in enumerate(self.filters) if accepts(path, leaf)), tree
        )

        def part(i: int) -> Any:
            return tree_map(lambda leaf, owner: leaf if owner == i else {}, tree, chosen)

        return [part(i) for i in range(len(self.optimizers))]

    def init(self, parameters: dict[str, Any]) -> None:
        if isinstance(parameters, Module):
            parameters = parameters.trainable_parameters()
        for optimizer, part in zip(self.optimizers, self._split(parameters), strict=True):
            optimizer.init(_without_empty(part))

    def apply_gradients(self, gradients: dict[str, Any], parameters: dict[str, Any]) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for optimizer, part in zip(self.optimizers, self._split(gradients), strict=True):
            result = tree_merge(result, optimizer.apply_gradients(_without_empty(part), parameters))
        return result

    @property
    def state(self) -> dict[str, Any]:
        """The states of the optimizers, as {"states": [...]}."""
        return {"states": [optimizer.state for optimizer in self.optimizers]}

    @state.setter
    def state(self, state: dict[str, Any]) -> None:
        states = state.get("states")
        if not isinstance(states, list) or len(states) != len(self.optimizers):
            raise ValueError(f"MultiOptimizer: the state must hold a list of {len(self.optimizers)} states")
        for optimizer, own in zip(self.optimizers, states, strict=True):
            optimizer.state = own

    @property
    def step(self) -> pc.array:
        """The number of updates done, a uint64 scalar."""
        return self.optimizers[0].step

    @property
    def learning_rate(self) -> pc.array:
        """The learning rate of the first optimizer. Assigning sets that of all."""
        return self.optimizers[0].learning_rate

    @learning_rate.setter
    def learning_rate(self, learning_rate: Rate) -> None:
        for optimizer in self.optimizers:
            optimizer.learning_rate = learning_rate


def _without_empty(tree: Any) -> Any:
    """The tree without dict entries that hold nothing; positions in lists stay."""
    if isinstance(tree, dict):
        kept = {k: _without_empty(v) for k, v in tree.items()}
        return {k: v for k, v in kept.items() if not (isinstance(v, (dict, list)) and not v)}
    if isinstance(tree, list):
        items = [_without_empty(v) for v in tree]
        return items if any(not (isinstance(v, (dict, list)) and not v) for v in items) else []
    return tree


def clip_grad_norm(grads: Any, max_norm: float) -> tuple[Any, pc.array]:
    """Scale a tree of gradients down if their common 2-norm is over `max_norm`.

    Returns the tree, with unchanged dtypes, and the norm before scaling, a float32 scalar.
    Numerics: squares of 16-bit gradients are summed in float32.
    Source: Pascanu et al., 2013, "On the Difficulty of Training Recurrent Neural Networks".
    """
    squares = tree_reduce(
        lambda total, g: total + pc.sum(pc.square(g.astype(pc.float32))), grads, initializer=pc.array(0.0)
    )
    norm = pc.sqrt(squares)
    scale = pc.minimum(max_norm / (norm + 1e-6), 1.0)
    return tree_map(lambda g: (g * scale).astype(g.dtype), grads), norm
