"""Layers whose weights are packed into a few bits each."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import plait.core as pc
from plait.nn.layers.base import Module
from plait.utils import tree_map_with_path

# The group size and the bits of a mode where none are asked for.
_DEFAULTS = {"affine": (64, 4), "mxfp4": (32, 4), "mxfp8": (32, 8), "nvfp4": (16, 4)}

Predicate = Callable[[str, Module], "bool | dict[str, Any]"]


class _Packed(Module):
    """What layers with a packed weight share: `weight` (rows, words), `scales` and, in mode affine, `biases`."""

    def __init__(self, group_size: int | None, bits: int | None, mode: str) -> None:
        super().__init__()
        usual = _DEFAULTS.get(mode, _DEFAULTS["affine"])  # quantize refuses other modes
        self.group_size = usual[0] if group_size is None else group_size
        self.bits = usual[1] if bits is None else bits
        self.mode = mode

    def _format(self) -> dict[str, Any]:
        return {"group_size": self.group_size, "bits": self.bits, "mode": self.mode}

    def _pack(self, weight: pc.array) -> None:
        self.weight, self.scales, *biases = pc.quantize(weight, **self._format())
        if biases:
            self.biases = biases[0]

    def _columns(self) -> int:
        return int(self.weight.shape[-1]) * 32 // self.bits

    def _format_repr(self) -> str:
        return f"group_size={self.group_size}, bits={self.bits}, mode={self.mode}"


class QuantizedLinear(_Packed):
    """x @ weight.T + bias with a packed weight. Its parameters are frozen at first.

    Shapes: x (..., input_dims) -> (..., output_dims); weight, scales and biases as `plait.core.quantize` makes them of
    (output_dims, input_dims), bias (output_dims,). Raises `ValueError` where input_dims is no multiple of the group
    size, or the mode has no such format.
    """

    def __init__(
        self,
        input_dims: int,
        output_dims: int,
        bias: bool = True,
        group_size: int | None = None,
        bits: int | None = None,
        mode: str = "affine",
    ) -> None:
        super().__init__(group_size, bits, mode)
        if input_dims < 1:
            raise ValueError(f"QuantizedLinear: input_dims must be at least 1, got {input_dims}")
        bound = math.sqrt(1.0 / input_dims)
        self._pack(pc.random.uniform(low=-bound, high=bound, shape=(output_dims, input_dims)))
        if bias:
            self.bias = pc.zeros((output_dims,))
        self.freeze()

    def _extra_repr(self) -> str:
        rows, columns = self.weight.shape[0], self._columns()
        return f"input_dims={columns}, output_dims={rows}, bias={'bias' in self}, {self._format_repr()}"

    def __call__(self, x: pc.array) -> pc.array:
        y = pc.quantized_matmul(x, self["weight"], self["scales"], self.get("biases"), True, **self._format())
        return y + self["bias"] if "bias" in self else y

    @classmethod
    def from_linear(
        cls, linear_layer: Module, group_size: int | None = None, bits: int | None = None, mode: str = "affine"
    ) -> QuantizedLinear:
        """A layer with the weight of a `Linear`, packed, and its bias."""
        rows, columns = linear_layer.weight.shape
        layer = cls(columns, rows, False, group_size, bits, mode)
        layer._pack(linear_layer.weight)
        if "bias" in linear_layer:
            layer.bias = linear_layer.bias
        layer.freeze()
        return layer


class QuantizedEmbedding(_Packed):
    """A table with one packed vector per index. Its parameters are frozen at first.

    Shapes: x of any shape and an integer dtype, values 0 to num_embeddings - 1 -> (*x.shape, dims); weight, scales and
    biases as `plait.core.quantize` makes them of (num_embeddings, dims). Raises `ValueError` where dims is no multiple
    of the group size, or the mode has no such format.
    """

    def __init__(
        self,
        num_embeddings: int,
        dims: int,
        group_size: int | None = None,
        bits: int | None = None,
        mode: str = "affine",
    ) -> None:
        super().__init__(group_size, bits, mode)
        if dims < 1:
            raise ValueError(f"QuantizedEmbedding: dims must be at least 1, got {dims}")
        self.num_embeddings = num_embeddings
        self.dims = dims
        self._pack(pc.random.normal(shape=(num_embeddings, dims), scale=math.sqrt(1.0 / dims)))
        self.freeze()

    def _extra_repr(self) -> str:
        return f"{self.num_embeddings}, {self.dims}, {self._format_repr()}"

    def __call__(self, x: pc.array) -> pc.array:
        at = x.reshape(-1)
        biases = self["biases"][at] if "biases" in self else None
        rows = pc.dequantize(self["weight"][at], self["scales"][at], biases, **self._format())
        return rows.reshape(*x.shape, self.dims)

    def as_linear(self, x: pc.array) -> pc.array:
        """x @ weight.T: scores for each index, when input and output of a model share the table.

        Shapes: x (..., dims) -> (..., num_embeddings).
        """
        return pc.quantized_matmul(x, self["weight"], self["scales"], self.get("biases"), True, **self._format())

    @classmethod
    def from_embedding(
        cls, embedding_layer: Module, group_size: int | None = None, bits: int | None = None, mode: str = "affine"
    ) -> QuantizedEmbedding:
        """A layer with the table of an `Embedding`, packed."""
        rows, dims = embedding_layer.weight.shape
        layer = cls(rows, dims, group_size, bits, mode)
        layer._pack(embedding_layer.weight)
        layer.freeze()
        return layer


class QQLinear(_Packed):
    """x @ weight.T where both are quantised: x in each call, the weight in each call, or once by `quantize`.

    Evaluation mode packs the weight, training mode unpacks it. The gradient takes numbers for what they were before
    they were packed. Shapes: x (..., input_dims) -> (..., output_dims); weight (output_dims, input_dims), which starts
    uniform in +-1/sqrt(input_dims), or packed, with `scales`. Raises `ValueError` where input_dims is no multiple of
    the group size, when called.
    """

    def __init__(
        self,
        input_dims: int,
        output_dims: int,
        group_size: int | None = None,
        bits: int | None = None,
        mode: str = "nvfp4",
    ) -> None:
        super().__init__(group_size, bits, mode)
        if input_dims < 1:
            raise ValueError(f"QQLinear: input_dims must be at least 1, got {input_dims}")
        bound = math.sqrt(1.0 / input_dims)
        self.weight = pc.random.uniform(low=-bound, high=bound, shape=(output_dims, input_dims))

    def _extra_repr(self) -> str:
        columns = self._columns() if "scales" in self else self.weight.shape[1]
        return f"input_dims={columns}, output_dims={self.weight.shape[0]}, {self._format_repr()}"

    def __call__(self, x: pc.array) -> pc.array:
        return pc.qqmm(x, self["weight"], self.get("scales"), **self._format())

    def quantize(self) -> None:
        """Pack the weight; nothing where it is."""
        if "scales" not in self:
            self._dtype = self.weight.dtype
            self._pack(self.weight)

    def dequantize(self) -> None:
        """Unpack the weight, to the dtype it had; nothing where it is not packed."""
        if "scales" in self:
            self.weight = pc.dequantize(self.weight, self.scales, None, **self._format(), dtype=self._dtype)
            del self.scales

    def _set_training_mode(self, mode: bool) -> None:
        super()._set_training_mode(mode)
        self.dequantize() if mode else self.quantize()

    @classmethod
    def from_linear(
        cls, linear_layer: Module, group_size: int | None = None, bits: int | None = None, mode: str = "nvfp4"
    ) -> QQLinear:
        """A layer with the weight of a `Linear`. Raises `NotImplementedError` where that has a bias."""
        if "bias" in linear_layer:
            raise NotImplementedError("QQLinear.from_linear: a layer with a bias")
        rows, columns = linear_layer.weight.shape
        layer = cls(columns, rows, group_size, bits, mode)
        layer.weight = linear_layer.weight
        layer.train(linear_layer.training)
        return layer


def quantize(
    model: Module,
    group_size: int | None = None,
    bits: int | None = None,
    *,
    mode: str = "affine",
    quantize_input: bool = False,
    class_predicate: Predicate | None = None,
) -> None:
    """Replace layers of `model` by ones with packed weights: those that have ``to_quantized``.

    `class_predicate`, given a layer's path and the layer, says whether to replace it, or with which arguments of
    ``to_quantized``. `quantize_input`: layers that quantise their input as well. The model itself stays what it is.
    Raises `ValueError` for a weight whose rows are no whole groups, and for a chosen layer without ``to_quantized``.
    """

    def replaced(path: str, layer: Module) -> Module:
        chosen = hasattr(layer, "to_quantized") if class_predicate is None else class_predicate(path, layer)
        if not chosen:
            return layer
        if not hasattr(layer, "to_quantized"):
            raise ValueError(f"quantize: {path} is a {type(layer).__name__}, which has no to_quantized")
        given: dict[str, Any] = {"group_size": group_size, "bits": bits, "mode": mode}
        if quantize_input:
            given["quantize_input"] = True
        packed: Module = layer.to_quantized(**(chosen if isinstance(chosen, dict) else given))
        return packed

    model.update_modules(tree_map_with_path(replaced, model.leaf_modules(), is_leaf=Module.is_module))
