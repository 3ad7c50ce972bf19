"""Gradients of functions that use a module, and recomputation in place of memory."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import plait.core as pc
from plait.nn.layers.base import Module


def value_and_grad(model: Module, fn: Callable[..., Any]) -> Callable[..., Any]:
    """A function that calls `fn` and returns its result and the gradient by the model's trainable parameters.

    `fn` computes a loss with `model`; it returns a scalar, or a tuple whose first element is the scalar. The gradient
    is a tree like ``model.trainable_parameters()``, ready for ``optimizer.update(model, gradient)``.
    """

    @wraps(fn)  # errors name it
    def with_parameters(parameters: Any, *args: Any, **kwargs: Any) -> Any:
        model.update(parameters)
        return fn(*args, **kwargs)

    differentiated = pc.value_and_grad(with_parameters)

    @wraps(fn)
    def value_and_gradient(*args: Any, **kwargs: Any) -> Any:
        parameters = model.trainable_parameters()
        try:
            return differentiated(parameters, *args, **kwargs)
        finally:  # while its loss is traced the model holds placeholders
            model.update(parameters)

    return value_and_gradient


def checkpoint(module: Module, fn: Callable[..., Any] | None = None) -> Callable[..., Any]:
    """A function like `fn` (the module itself by default) that keeps no intermediate results for the gradient.

    They are computed again when the gradient needs them: less memory for more time. Parameters that `fn` uses, those of
    `module` or others, get their gradients as without it.

    Source: Chen et al., 2016, "Training Deep Nets with Sublinear Memory Cost".
    """
    return pc.checkpoint(module if fn is None else fn)
