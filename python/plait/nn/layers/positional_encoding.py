"""Encodings that tell a transformer where in the sequence a vector stands."""

from __future__ import annotations

import math

import plait.core as pc
from plait.nn.layers.base import Module


class RoPE(Module):
    """Rotary encoding: pairs of features are turned by an angle that grows with the position.

    Position t turns pair i of the first `dims` features by ``scale * t * base ** (-2 i / dims)``; further features
    pass unchanged. A pair is features i and i + dims/2, or 2i and 2i + 1 if `traditional`. Positions start at `offset`,
    an int, or an array with one for all or one for each element of the first axis.

    Shapes: x (B, ..., L, D) with D at least dims -> same, of the same floating dtype.
    Numerics: angles and products are float32 for 16-bit inputs.
    Source: Su et al., 2021, "RoFormer: Enhanced Transformer with Rotary Position Embedding".
    """

    def __init__(self, dims: int, traditional: bool = False, base: float = 10000, scale: float = 1.0) -> None:
        super().__init__()
        if dims < 2 or dims % 2:
            raise ValueError(f"RoPE: dims must be positive and even, got {dims}")
        self.dims = dims
        self.traditional = traditional
        self.base = base
        self.scale = scale

    def _extra_repr(self) -> str:
        return f"{self.dims}, traditional={self.traditional}"

    def _angles(self, x: pc.array, offset: int | pc.array) -> pc.array:
        """(L, dims/2), or (B, 1, ..., L, dims/2) for one offset per element of the batch."""
        half = self.dims // 2
        positions = pc.arange(x.shape[-2], dtype=pc.float32)
        if isinstance(offset, pc.array) and offset.ndim:
            positions = positions + offset.reshape(-1, *(1,) * (x.ndim - 2))
        else:
            positions = positions + offset
        speeds = pc.exp(pc.arange(half, dtype=pc.float32) * (-math.log(self.base) / half)) * self.scale
        return positions[..., None] * speeds

    def __call__(self, x: pc.array, offset: int | pc.array = 0) -> pc.array:
        if x.ndim < 3 or x.shape[-1] < self.dims:
            raise ValueError(f"RoPE: x must be (B, ..., L, D) with D at least {self.dims}, got shape {x.shape}")
        if not pc.issubdtype(x.dtype, pc.floating):
            raise ValueError(f"RoPE: x must have a floating dtype, got {x.dtype}")
        angles = self._angles(x, offset)
        cos, sin = pc.cos(angles), pc.sin(angles)
        half = self.dims // 2
        if self.traditional:
            first, second = x[..., 0 : self.dims : 2], x[..., 1 : self.dims : 2]
        else:
            first, second = x[..., :half], x[..., half : self.dims]
        turned = [first * cos - second * sin, first * sin + second * cos]
        if self.traditional:
            y = pc.stack(turned, axis=-1).reshape(*x.shape[:-1], self.dims)
        else:
            y = pc.concatenate(turned, axis=-1)
        y = y.astype(x.dtype)
        return pc.concatenate([y, x[..., self.dims :]], axis=-1) if x.shape[-1] > self.dims else y


class SinusoidalPositionalEncoding(Module):
    """Sines and cosines of the position at frequencies from `max_freq` down to `min_freq`, evenly spaced in logarithm.

    The result is sin(x f) for all frequencies f, then cos(x f) (the other way round if `cos_first`), times `scale`,
    sqrt(2 / dims) by default. With `full_turns` frequencies count turns, not radians.

    Shapes: x of any shape, the positions -> (*x.shape, dims), float32.
    Source: Vaswani et al., 2017, "Attention Is All You Need".
    """

    def __init__(
        self,
        dims: int,
        min_freq: float = 0.0001,
        max_freq: float = 1,
        scale: float | None = None,
        cos_first: bool = False,
        full_turns: bool = False,
    ) -> None:
        super().__init__()
        if dims < 2 or dims % 2:
            raise ValueError(f"SinusoidalPositionalEncoding: dims must be positive and even, got {dims}")
        half = dims // 2
        ratio = (min_freq / max_freq) ** (1 / max(half - 1, 1))
        unit = 2 * math.pi if full_turns else 1.0
        self._frequencies = pc.array([unit * max_freq * ratio**i for i in range(half)])
        self.scale = math.sqrt(2 / dims) if scale is None else scale
        self.cos_first = cos_first

    def __call__(self, x: pc.array) -> pc.array:
        angles = x[..., None] * self._frequencies
        waves = [pc.cos(angles), pc.sin(angles)] if self.cos_first else [pc.sin(angles), pc.cos(angles)]
        y = pc.concatenate(waves, axis=-1)
        return y if self.scale == 1 else y * self.scale


class ALiBi(Module):
    """Attention with linear biases: scores lose a multiple, different for each head, of the distance in positions.

    Shapes: attention_scores (..., heads, L, S) -> same. Queries start at position `offset`; `mask`, if given, is added
    as well and broadcasts against the scores.
    Source: Press et al., 2022, "Train Short, Test Long: Attention with Linear Biases Enables Input Length
    Extrapolation".
    """

    @staticmethod
    def create_alibi_slope(num_heads: int, dtype: pc.Dtype = pc.float32) -> pc.array:
        """The multiple of each head, (num_heads, 1, 1).

        For a power of two n these are 2^(-8/n), 2^(-16/n), ..., 2^-8. Otherwise those of the next lower power of two,
        then every other one of the next higher.
        """
        if num_heads < 1:
            raise ValueError(f"ALiBi: num_heads must be at least 1, got {num_heads}")

        def slopes(n: int) -> list[float]:
            return [2.0 ** (-8.0 * (i + 1) / n) for i in range(n)]

        lower = 1 << (num_heads.bit_length() - 1)
        chosen = slopes(lower) + slopes(2 * lower)[: 2 * (num_heads - lower) : 2]
        return pc.array(chosen, dtype).reshape(num_heads, 1, 1)

    @staticmethod
    def create_alibi_matrix(
        q_sequence_length: int, k_sequence_length: int, num_heads: int, offset: int = 0, dtype: pc.Dtype = pc.float32
    ) -> pc.array:
        """The biases (1, num_heads, q_sequence_length - offset, k_sequence_length) of queries from `offset` on."""
        queries = pc.arange(offset, q_sequence_length)
        keys = pc.arange(k_sequence_length)
        distance = pc.abs(queries[:, None] - keys[None, :]).astype(dtype)
        return (-distance * ALiBi.create_alibi_slope(num_heads, dtype))[None]

    def __call__(self, attention_scores: pc.array, offset: int = 0, mask: pc.array | None = None) -> pc.array:
        if attention_scores.ndim < 3:
            raise ValueError(f"ALiBi: scores must be (..., heads, L, S), got shape {attention_scores.shape}")
        heads, queries, keys = attention_scores.shape[-3:]
        bias = self.create_alibi_matrix(queries + offset, keys, heads, offset, attention_scores.dtype)
        if mask is not None:
            bias = bias + mask
        return attention_scores + bias
