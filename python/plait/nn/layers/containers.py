"""Modules that hold other modules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from plait.nn.layers.base import Module


class Sequential(Module):
    """Calls its modules (or plain functions) one after the other, each on what the last one returned."""

    def __init__(self, *modules: Callable[..., Any]) -> None:
        super().__init__()
        self.layers = list(modules)

    def __call__(self, x: Any) -> Any:
        for layer in self.layers:
            x = layer(x)
        return x
