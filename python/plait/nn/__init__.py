"""Layers, losses and initialisers for networks."""

from plait.nn import init, losses
from plait.nn.layers import *  # noqa: F403
from plait.nn.layers import __all__ as _layers
from plait.nn.utils import value_and_grad

__all__ = [*_layers, "init", "losses", "value_and_grad"]
