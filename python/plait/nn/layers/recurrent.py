"""Recurrent layers: each steps through the second-to-last axis of its input, carrying a hidden vector.

Shapes: x (L, D) or (..., L, D); the hidden vectors of all steps are returned, (..., L, hidden_size). A start may be
given, (..., hidden_size), and is zero otherwise. All parameters start uniform in +-1/sqrt(hidden_size).
`ValueError` for an input without steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import plait.core as pc
from plait.nn.layers.activations import tanh
from plait.nn.layers.base import Module


class _Recurrent(Module):
    """What the cells share: how parameters start and how the input enters."""

    def _uniform(self, hidden_size: int, *shape: int) -> pc.array:
        if hidden_size < 1:
            raise ValueError(f"{type(self).__name__}: hidden_size must be at least 1, got {hidden_size}")
        bound = 1.0 / math.sqrt(hidden_size)
        return pc.random.uniform(low=-bound, high=bound, shape=shape)

    def _project(self, x: pc.array, weight: pc.array, bias: pc.array | None) -> pc.array:
        """x @ weight.T + bias for all steps at once."""
        if x.ndim < 2 or x.shape[-1] != weight.shape[1] or x.shape[-2] == 0:
            raise ValueError(f"{type(self).__name__}: x must be (..., L, {weight.shape[1]}), got shape {x.shape}")
        return x @ weight.T if bias is None else pc.addmm(bias, x, weight.T)


class RNN(_Recurrent):
    """h = nonlinearity(Wxh x + Whh h + bias), with tanh by default.

    Parameters: Wxh (hidden_size, input_size), Whh (hidden_size, hidden_size), bias (hidden_size,).
    Source: Elman, 1990, "Finding Structure in Time".
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: Callable[[pc.array], pc.array] | None = None,
    ) -> None:
        super().__init__()
        if nonlinearity is not None and not callable(nonlinearity):
            raise ValueError(f"RNN: nonlinearity must be callable, got {nonlinearity!r}")
        self.nonlinearity = tanh if nonlinearity is None else nonlinearity
        self.hidden_size = hidden_size
        self.Wxh = self._uniform(hidden_size, hidden_size, input_size)
        self.Whh = self._uniform(hidden_size, hidden_size, hidden_size)
        if bias:
            self.bias = self._uniform(hidden_size, hidden_size)

    def _extra_repr(self) -> str:
        return f"input_dims={self.Wxh.shape[1]}, hidden_size={self.hidden_size}, bias={'bias' in self}"

    def __call__(self, x: pc.array, hidden: pc.array | None = None) -> pc.array:
        x = self._project(x, self.Wxh, self.get("bias"))
        recurrent, nonlinearity = self.Whh.T, self.nonlinearity
        steps = []
        for i in range(x.shape[-2]):
            z = x[..., i, :]
            hidden = nonlinearity(z if hidden is None else pc.addmm(z, hidden, recurrent))
            steps.append(hidden)
        return pc.stack(steps, axis=-2)


class GRU(_Recurrent):
    """Gated recurrent unit.

    r = sigmoid(Wr x + Ur h + br), z = sigmoid(Wz x + Uz h + bz), n = tanh(Wn x + bn + r (Un h + bhn)),
    h = (1 - z) n + z h.

    Parameters: Wx (3 hidden_size, input_size) and Wh (3 hidden_size, hidden_size) hold those of r, z, n in this order;
    b (3 hidden_size,), bhn (hidden_size,).
    Source: Cho et al., 2014, "Learning Phrase Representations Using RNN Encoder-Decoder".
    """

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True) -> None:
        super().__init__()
        self.hidden_size = hidden_size
        self.Wx = self._uniform(hidden_size, 3 * hidden_size, input_size)
        self.Wh = self._uniform(hidden_size, 3 * hidden_size, hidden_size)
        self.b = self._uniform(hidden_size, 3 * hidden_size) if bias else None
        self.bhn = self._uniform(hidden_size, hidden_size) if bias else None

    def _extra_repr(self) -> str:
        return f"input_dims={self.Wx.shape[1]}, hidden_size={self.hidden_size}, bias={'b' in self}"

    def __call__(self, x: pc.array, hidden: pc.array | None = None) -> pc.array:
        x = self._project(x, self.Wx, self.b)
        if hidden is None:
            hidden = pc.zeros((self.hidden_size,), dtype=x.dtype)
        recurrent, bhn, n = self.Wh.T, self.bhn, self.hidden_size
        steps = []
        for i in range(x.shape[-2]):
            z = x[..., i, :]
            h = hidden @ recurrent
            gates = pc.sigmoid(z[..., : 2 * n] + h[..., : 2 * n])
            reset, keep = gates[..., :n], gates[..., n:]
            candidate = h[..., 2 * n :] if bhn is None else h[..., 2 * n :] + bhn
            new = pc.tanh(z[..., 2 * n :] + reset * candidate)
            hidden = new + keep * (hidden - new)
            steps.append(hidden)
        return pc.stack(steps, axis=-2)


class LSTM(_Recurrent):
    """Long short-term memory; returns the hidden vectors and the cells of all steps.

    i, f, o = sigmoid(W x + U h + b) each, g = tanh(Wg x + Ug h + bg), c = f c + i g, h = o tanh(c).

    Parameters: Wx (4 hidden_size, input_size) and Wh (4 hidden_size, hidden_size) hold those of i, f, g, o in this
    order; bias (4 hidden_size,).
    Source: Hochreiter and Schmidhuber, 1997, "Long Short-Term Memory".
    """

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True) -> None:
        super().__init__()
        self.hidden_size = hidden_size
        self.Wx = self._uniform(hidden_size, 4 * hidden_size, input_size)
        self.Wh = self._uniform(hidden_size, 4 * hidden_size, hidden_size)
        if bias:
            self.bias = self._uniform(hidden_size, 4 * hidden_size)

    def _extra_repr(self) -> str:
        return f"input_dims={self.Wx.shape[1]}, hidden_size={self.hidden_size}, bias={'bias' in self}"

    def __call__(
        self, x: pc.array, hidden: pc.array | None = None, cell: pc.array | None = None
    ) -> tuple[pc.array, pc.array]:
        x = self._project(x, self.Wx, self.get("bias"))
        recurrent = self.Wh.T
        n = self.hidden_size
        hiddens: list[Any] = []
        cells: list[Any] = []
        for step in range(x.shape[-2]):
            z = x[..., step, :]
            if hidden is not None:
                z = pc.addmm(z, hidden, recurrent)
            write, forget, read = pc.sigmoid(z[..., :n]), pc.sigmoid(z[..., n : 2 * n]), pc.sigmoid(z[..., 3 * n :])
            new = write * pc.tanh(z[..., 2 * n : 3 * n])
            cell = new if cell is None else forget * cell + new
            hidden = read * pc.tanh(cell)
            hiddens.append(hidden)
            cells.append(cell)
        return pc.stack(hiddens, axis=-2), pc.stack(cells, axis=-2)
