"""Tables of vectors."""

from __future__ import annotations

import math

import plait.core as pc
from plait.nn.layers.base import Module


class Embedding(Module):
    """A table with one vector per index.

    Shapes: x of any shape and an integer dtype, values 0 to num_embeddings - 1 -> (*x.shape, dims); weight
    (num_embeddings, dims), which starts normal with standard deviation 1/sqrt(dims).
    """

    def __init__(self, num_embeddings: int, dims: int) -> None:
        super().__init__()
        if dims < 1:
            raise ValueError(f"Embedding: dims must be at least 1, got {dims}")
        self.weight = pc.random.normal(shape=(num_embeddings, dims), scale=math.sqrt(1.0 / dims))

    def _extra_repr(self) -> str:
        return f"{self.weight.shape[0]}, {self.weight.shape[1]}"

    def __call__(self, x: pc.array) -> pc.array:
        weight: pc.array = self["weight"]
        return weight[x]

    def as_linear(self, x: pc.array) -> pc.array:
        """x @ weight.T: scores for each index, when input and output of a model share the table.

        Shapes: x (..., dims) -> (..., num_embeddings).
        """
        weight: pc.array = self["weight"]
        return x @ weight.T
