"""Tables of vectors."""

from __future__ import annotations

import math

import plait.core as pc
from plait.nn.layers.base import Module
from plait.nn.layers.quantized import QuantizedEmbedding


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

    def to_quantized(
        self,
        group_size: int | None = None,
        bits: int | None = None,
        mode: str = "affine",
        quantize_input: bool = False,
    ) -> QuantizedEmbedding:
        """A layer with this one's table, packed. Raises `ValueError` for `quantize_input`: indices stay."""
        if quantize_input:
            raise ValueError("Embedding.to_quantized: indices are not quantised, quantize_input has to be False")
        return QuantizedEmbedding.from_embedding(self, group_size, bits, mode)
