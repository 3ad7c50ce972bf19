"""Attention and the transformer of Vaswani et al., 2017, "Attention Is All You Need".

Sequences are (N, L, dims). A mask broadcasts against the scores (N, heads, L, S): boolean, true where attention is
allowed, or a number that is added to the score.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import plait.core as pc
from plait.nn.layers.activations import relu
from plait.nn.layers.base import Module
from plait.nn.layers.dropout import Dropout
from plait.nn.layers.linear import Linear
from plait.nn.layers.normalization import LayerNorm
from plait.nn.utils import checkpoint as recomputing

Activation = Callable[[Any], Any]


class MultiHeadAttention(Module):
    """Attention of queries to keys, which brings back the values, `num_heads` times on parts of the features.

    Shapes: queries (N, L, query_input_dims), keys (N, S, key_input_dims), values (N, S, value_input_dims) ->
    (N, L, value_output_dims). Inside, queries and keys have `dims` features and values `value_dims`. All default to
    `dims`, values to `key_input_dims` first. `ValueError` unless `num_heads` divides `dims`.
    """

    def __init__(
        self,
        dims: int,
        num_heads: int,
        query_input_dims: int | None = None,
        key_input_dims: int | None = None,
        value_input_dims: int | None = None,
        value_dims: int | None = None,
        value_output_dims: int | None = None,
        bias: bool = False,
    ) -> None:
        super().__init__()
        key_inputs = key_input_dims or dims
        values = value_dims or dims
        if num_heads < 1 or dims % num_heads or values % num_heads:
            raise ValueError(f"MultiHeadAttention: num_heads must divide dims, got {num_heads} heads for {dims}")
        self.num_heads = num_heads
        self.query_proj = Linear(query_input_dims or dims, dims, bias=bias)
        self.key_proj = Linear(key_inputs, dims, bias=bias)
        self.value_proj = Linear(value_input_dims or key_inputs, values, bias=bias)
        self.out_proj = Linear(values, value_output_dims or dims, bias=bias)

    def _heads(self, x: pc.array) -> pc.array:
        """(N, L, features) -> (N, heads, L, features / heads)."""
        return x.reshape(*x.shape[:-1], self.num_heads, -1).swapaxes(-2, -3)

    def __call__(self, queries: pc.array, keys: pc.array, values: pc.array, mask: pc.array | None = None) -> pc.array:
        q = self._heads(self.query_proj(queries))
        k = self._heads(self.key_proj(keys))
        v = self._heads(self.value_proj(values))
        if mask is not None and mask.dtype != pc.bool_:
            mask = mask.astype(q.dtype)
        out = pc.fast.scaled_dot_product_attention(q, k, v, scale=math.sqrt(1.0 / q.shape[-1]), mask=mask)
        out = out.swapaxes(-2, -3)
        return self.out_proj(out.reshape(*out.shape[:-2], -1))

    @staticmethod
    def create_additive_causal_mask(N: int, dtype: pc.Dtype = pc.float32) -> pc.array:  # noqa: N803
        """(N, N): 0 for positions up to the own one, the lowest number of `dtype` for later ones."""
        position = pc.arange(N)
        return pc.where(position[:, None] < position[None, :], pc.finfo(dtype).min, 0).astype(dtype)


class TransformerEncoderLayer(Module):
    """Self-attention and a two-layer network (`mlp_dims` features inside, 4 dims by default), each added to its input.

    Normalization comes before each of the two with `norm_first`, else after its addition.

    Shapes: x (N, L, dims) -> same.
    """

    def __init__(
        self,
        dims: int,
        num_heads: int,
        mlp_dims: int | None = None,
        dropout: float = 0.0,
        activation: Activation = relu,
        norm_first: bool = True,
    ) -> None:
        super().__init__()
        inner = mlp_dims or 4 * dims
        self.attention = MultiHeadAttention(dims, num_heads)
        self.ln1 = LayerNorm(dims)
        self.ln2 = LayerNorm(dims)
        self.linear1 = Linear(dims, inner)
        self.linear2 = Linear(inner, dims)
        self.dropout1 = Dropout(dropout)
        self.dropout2 = Dropout(dropout)
        self.activation = activation
        self.norm_first = norm_first

    def _mlp(self, x: pc.array) -> pc.array:
        return self.linear2(self.dropout2(self.activation(self.linear1(x))))

    def __call__(self, x: pc.array, mask: pc.array | None = None) -> pc.array:
        if self.norm_first:
            y = self.ln1(x)
            x = x + self.dropout1(self.attention(y, y, y, mask))
            return x + self._mlp(self.ln2(x))
        x = self.ln1(x + self.dropout1(self.attention(x, x, x, mask)))
        return self.ln2(x + self._mlp(x))


class TransformerEncoder(Module):
    """`num_layers` encoder layers and a final normalization. With `checkpoint`, layers keep nothing for the gradient.

    Shapes: x (N, L, dims) -> same.
    """

    def __init__(
        self,
        num_layers: int,
        dims: int,
        num_heads: int,
        mlp_dims: int | None = None,
        dropout: float = 0.0,
        activation: Activation = relu,
        norm_first: bool = True,
        checkpoint: bool = False,
    ) -> None:
        super().__init__()
        self.layers = [
            TransformerEncoderLayer(dims, num_heads, mlp_dims, dropout, activation, norm_first)
            for _ in range(num_layers)
        ]
        self.ln = LayerNorm(dims)
        self.checkpoint = checkpoint

    def __call__(self, x: pc.array, mask: pc.array | None = None) -> pc.array:
        for layer in self.layers:
            x = (recomputing(layer) if self.checkpoint else layer)(x, mask)
        return self.ln(x)


class TransformerDecoderLayer(Module):
    """As the encoder layer, with attention to `memory` between the two.

    Shapes: x (N, L, dims), memory (N, S, dims) -> (N, L, dims).
    """

    def __init__(
        self,
        dims: int,
        num_heads: int,
        mlp_dims: int | None = None,
        dropout: float = 0.0,
        activation: Activation = relu,
        norm_first: bool = True,
    ) -> None:
        super().__init__()
        inner = mlp_dims or 4 * dims
        self.self_attention = MultiHeadAttention(dims, num_heads)
        self.cross_attention = MultiHeadAttention(dims, num_heads)
        self.ln1 = LayerNorm(dims)
        self.ln2 = LayerNorm(dims)
        self.ln3 = LayerNorm(dims)
        self.linear1 = Linear(dims, inner)
        self.linear2 = Linear(inner, dims)
        self.dropout1 = Dropout(dropout)
        self.dropout2 = Dropout(dropout)
        self.dropout3 = Dropout(dropout)
        self.activation = activation
        self.norm_first = norm_first

    def _mlp(self, x: pc.array) -> pc.array:
        return self.linear2(self.dropout3(self.activation(self.linear1(x))))

    def __call__(
        self,
        x: pc.array,
        memory: pc.array,
        x_mask: pc.array | None = None,
        memory_mask: pc.array | None = None,
    ) -> pc.array:
        if self.norm_first:
            y = self.ln1(x)
            x = x + self.dropout1(self.self_attention(y, y, y, x_mask))
            x = x + self.dropout2(self.cross_attention(self.ln2(x), memory, memory, memory_mask))
            return x + self._mlp(self.ln3(x))
        x = self.ln1(x + self.dropout1(self.self_attention(x, x, x, x_mask)))
        x = self.ln2(x + self.dropout2(self.cross_attention(x, memory, memory, memory_mask)))
        return self.ln3(x + self._mlp(x))


class TransformerDecoder(Module):
    """`num_layers` decoder layers and a final normalization. With `checkpoint`, layers keep nothing for the gradient.

    Shapes: x (N, L, dims), memory (N, S, dims) -> (N, L, dims).
    """

    def __init__(
        self,
        num_layers: int,
        dims: int,
        num_heads: int,
        mlp_dims: int | None = None,
        dropout: float = 0.0,
        activation: Activation = relu,
        norm_first: bool = True,
        checkpoint: bool = False,
    ) -> None:
        super().__init__()
        self.layers = [
            TransformerDecoderLayer(dims, num_heads, mlp_dims, dropout, activation, norm_first)
            for _ in range(num_layers)
        ]
        self.ln = LayerNorm(dims)
        self.checkpoint = checkpoint

    def __call__(
        self,
        x: pc.array,
        memory: pc.array,
        x_mask: pc.array | None = None,
        memory_mask: pc.array | None = None,
    ) -> pc.array:
        for layer in self.layers:
            x = (recomputing(layer) if self.checkpoint else layer)(x, memory, x_mask, memory_mask)
        return self.ln(x)


class Transformer(Module):
    """An encoder for the source and a decoder for the target, each replaceable by an own module.

    Shapes: src (N, S, dims), tgt (N, L, dims) -> (N, L, dims).
    """

    def __init__(
        self,
        dims: int = 512,
        num_heads: int = 8,
        num_encoder_layers: int = 6,
        num_decoder_layers: int = 6,
        mlp_dims: int | None = None,
        dropout: float = 0.0,
        activation: Activation = relu,
        custom_encoder: Any | None = None,
        custom_decoder: Any | None = None,
        norm_first: bool = True,
        checkpoint: bool = False,
    ) -> None:
        super().__init__()
        common = (dims, num_heads, mlp_dims, dropout, activation, norm_first, checkpoint)
        # `is None`: a module without parameters is an empty dict, and so false.
        self.encoder = TransformerEncoder(num_encoder_layers, *common) if custom_encoder is None else custom_encoder
        self.decoder = TransformerDecoder(num_decoder_layers, *common) if custom_decoder is None else custom_decoder

    def __call__(
        self,
        src: pc.array,
        tgt: pc.array,
        src_mask: pc.array | None = None,
        tgt_mask: pc.array | None = None,
        memory_mask: pc.array | None = None,
    ) -> pc.array:
        memory = self.encoder(src, src_mask)
        result: pc.array = self.decoder(tgt, memory, tgt_mask, memory_mask)
        return result
