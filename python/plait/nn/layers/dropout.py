"""Layers that zero a random part of their input while training."""

from __future__ import annotations

import plait.core as pc
from plait.nn.layers.base import Module


class _Drop(Module):
    """The common part: which elements share a draw is the subclass's matter."""

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        if not 0 <= p < 1:
            raise ValueError(f"{type(self).__name__}: p must be at least 0 and less than 1, got {p}")
        self._keep = 1 - p

    def _extra_repr(self) -> str:
        return f"p={1 - self._keep:.6g}"

    def _drop(self, x: pc.array, shape: tuple[int, ...]) -> pc.array:
        """x with elements (one draw for each element of `shape`, which broadcasts) zeroed and the others scaled up."""
        if self._keep == 1 or not self.training:
            return x
        # `where`, not a product: what is dropped is 0 even if it was infinite.
        return pc.where(pc.random.bernoulli(self._keep, shape), x * (1 / self._keep), 0)


class Dropout(_Drop):
    """In training, zeroes each element with probability `p` and scales the others by 1 / (1 - p); else the identity.

    Source: Srivastava et al., 2014, "Dropout: A Simple Way to Prevent Neural Networks from Overfitting".
    """

    def __call__(self, x: pc.array) -> pc.array:
        return self._drop(x, x.shape)


class Dropout2d(_Drop):
    """In training, zeroes whole channels with probability `p` and scales the others by 1 / (1 - p); else the identity.

    Shapes: x (N, H, W, C) or (H, W, C), with one draw for each N and C. `ValueError` for other ranks.
    Source: Tompson et al., 2015, "Efficient Object Localization Using Convolutional Networks".
    """

    def __call__(self, x: pc.array) -> pc.array:
        if x.ndim not in (3, 4):
            raise ValueError(f"Dropout2d: x must be (H, W, C) or (N, H, W, C), got shape {x.shape}")
        return self._drop(x, (*x.shape[:-3], 1, 1, x.shape[-1]))


class Dropout3d(_Drop):
    """In training, zeroes whole channels with probability `p` and scales the others by 1 / (1 - p); else the identity.

    Shapes: x (N, D, H, W, C) or (D, H, W, C), with one draw for each N and C. `ValueError` for other ranks.
    Source: Tompson et al., 2015, "Efficient Object Localization Using Convolutional Networks".
    """

    def __call__(self, x: pc.array) -> pc.array:
        if x.ndim not in (4, 5):
            raise ValueError(f"Dropout3d: x must be (D, H, W, C) or (N, D, H, W, C), got shape {x.shape}")
        return self._drop(x, (*x.shape[:-4], 1, 1, 1, x.shape[-1]))
