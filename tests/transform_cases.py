"""Functions to transform, from the samples of op_cases or by hand: what moves, what is mapped along which axes."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

import plait.core as pc
from gen.samples import FUNCTIONS, Function
from op_cases import Case, cases, dtype_of, inexact, numpy_of

SAMPLED = [f for f in FUNCTIONS if f.samples]
SMOOTH = [f for f in SAMPLED if f.differentiable]
EXAMPLES = 3  # of a batch

Arrays = list[pc.array]


class Argument(Protocol):
    is_array: bool
    moves: bool  # can be differentiated


class Call(Protocol):
    """A function and one set of arguments for it: a Case, or a Written one."""

    @property
    def values(self) -> Sequence[Argument]: ...
    def arrays(self) -> list[object]: ...
    def call(self, arrays: list[object]) -> Arrays: ...


@dataclass
class Given:
    """An argument of a function written by hand: it moves where it holds floats."""

    value: np.ndarray
    is_array: bool = True

    @property
    def moves(self) -> bool:
        return self.value.dtype.kind in "fc"


class Written:
    """A function written by hand, with arguments: `rows` are examples of the same shapes, in NumPy."""

    def __init__(self, name: str, f: Callable[..., object], row: Sequence[np.ndarray]) -> None:
        self.name = name
        self.f = f
        self.values = [Given(np.asarray(a)) for a in row]

    def __str__(self) -> str:
        return self.name

    def arrays(self) -> list[object]:
        return [pc.array(v.value, dtype=dtype_of(v.value.dtype.name)) for v in self.values]

    def call(self, arrays: list[object]) -> Arrays:
        return listed(self.f(*arrays))


def listed(result: object) -> Arrays:
    return list(result) if isinstance(result, (list, tuple)) else [result]  # type: ignore[list-item]


class Scalar:
    """A call as a function of the arrays that move, to one number: a fixed weighting of everything it returns."""

    def __init__(self, case: Call) -> None:
        self.case = case
        self.moving = [i for i, v in enumerate(case.values) if v.moves]
        self.fixed = case.arrays()
        self.rng = np.random.default_rng(1)
        self.weights = [self.random(r.shape) for r in self.outputs(*self.inputs()) if inexact(r)]

    def __str__(self) -> str:
        return str(self.case)

    def random(self, shape: tuple[int, ...], dtype: pc.Dtype = pc.float64) -> pc.array:
        """A direction, of numbers that every dtype holds exactly."""
        parts = [np.round(self.rng.uniform(-1, 1, shape) * 64) / 64 for _ in range(2)]
        return pc.array(parts[0] + 1j * parts[1] if dtype == pc.complex64 else parts[0]).astype(dtype)

    def directions(self) -> Arrays:
        return [self.random(x.shape, x.dtype) for x in self.inputs()]

    def inputs(self) -> Arrays:
        return [self.fixed[i] for i in self.moving]  # type: ignore[misc]

    def outputs(self, *moving: pc.array) -> Arrays:
        arrays = list(self.fixed)
        for i, a in zip(self.moving, moving, strict=True):
            arrays[i] = a
        return self.case.call(arrays)

    def __call__(self, *moving: pc.array) -> pc.array:
        total = pc.zeros((), dtype=pc.float64)
        for out, weight in zip((o for o in self.outputs(*moving) if inexact(o)), self.weights, strict=True):
            real = pc.real(out) + pc.imag(out) if out.dtype == pc.complex64 else out
            total = total + pc.sum(real.astype(pc.float64) * weight)
        return total


class ThroughIntegers(Scalar):
    """A function of integers, of floats that it turns into integers first."""

    def inputs(self) -> Arrays:
        return [x.astype(pc.float64) for x in super().inputs()]

    def outputs(self, *moving: pc.array) -> Arrays:
        return [out.astype(pc.float64) for out in super().outputs(*[x.astype(pc.int32) for x in moving])]


def finite(arrays: Sequence[pc.array]) -> bool:
    return all(np.isfinite(numpy_of(a)).all() for a in arrays)


def accepted_cases(function: Function, dtype: str) -> list[Scalar]:
    """Its samples that can move, of a dtype; none where it does not take that."""
    out = []
    for case in cases(function, dtype):
        try:
            f = Scalar(case)
            pc.eval(f.outputs(*f.inputs()))
        except pc.DTypeError:
            continue
        if f.moving:
            out.append(f)
    return out


def differentiable_cases(function: Function, dtype: str = "float64") -> list[Scalar]:
    return [f for f in accepted_cases(function, dtype) if f.weights and finite(f.inputs())]


def integer_cases(function: Function) -> list[Scalar]:
    return [f for f in map(ThroughIntegers, cases(function, "int32")) if f.moving]


def grads_of(f: Callable[..., pc.array], count: int) -> Callable[..., Arrays]:
    """The gradients with respect to all arguments, always as a list."""
    return lambda *xs: listed(pc.grad(f, argnums=list(range(count)))(*xs))


# ---- mapped arguments -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Mapping:
    """The axis of each argument along which examples lie (None: the same for all), and that of the results."""

    axes: tuple[int | None, ...]
    out: int = 0

    @property
    def mapped(self) -> tuple[int, ...]:
        return tuple(i for i, axis in enumerate(self.axes) if axis is not None)


def subsets(items: Sequence[int]) -> list[tuple[int, ...]]:
    """All that are not empty; of more than five items the single ones, the pairs and all."""
    sizes = range(1, len(items) + 1) if len(items) <= 5 else sorted({1, 2, len(items)})
    return [s for n in sizes for s in itertools.combinations(items, n)]


class Batch:
    """Calls with arguments of the same shapes: the examples of a batch. `sets`: which arguments are mapped together."""

    def __init__(self, rows: Sequence[Call], sets: Sequence[tuple[int, ...]] | None = None) -> None:
        self.case = rows[0]
        self.arrays = [row.arrays() for row in rows]
        self.arguments = [i for i, v in enumerate(self.case.values) if v.is_array]
        self.sets = subsets(self.arguments) if sets is None else list(sets)
        self.ranks = [len(getattr(a, "shape", ())) for a in self.arrays[0]]

    def __str__(self) -> str:
        return str(self.case)

    def f(self, *arrays: object) -> Arrays:
        return self.case.call(list(arrays))

    def mapping(self, subset: Sequence[int], axis: Callable[[int, int], int], out: int) -> Mapping:
        """axis(k, rank): where the examples of the k-th mapped argument lie."""
        axes = [
            axis(subset.index(i), self.ranks[i]) if i in subset else None for i in range(len(self.arrays[0]))
        ]  # fmt: skip
        return Mapping(tuple(axes), out)

    def mappings(self) -> Iterator[Mapping]:
        for subset in self.sets:
            if len(subset) == 1:
                rank = self.ranks[subset[0]]
                for at in sorted({0, min(1, rank), rank, -1}):
                    yield self.mapping(subset, lambda k, rank, at=at: at, at)
                continue
            yield self.mapping(subset, lambda k, rank: 0, 0)
            yield self.mapping(subset, lambda k, rank: -1, -1)
            yield self.mapping(subset, lambda k, rank: min(k, rank), 1)
            yield self.mapping(subset, lambda k, rank: max(rank - k, 0), 0)

    def stacked(self, i: int, axis: int, rows: Sequence[int]) -> pc.array:
        """Argument i of several examples; of none an empty batch."""
        if not rows:
            one = self.arrays[0][i]
            shape = list(one.shape)  # type: ignore[attr-defined]
            shape.insert(axis % (len(shape) + 1), 0)
            return pc.zeros(shape, dtype=one.dtype)  # type: ignore[attr-defined]
        return pc.stack([self.arrays[k][i] for k in rows], axis)

    def given(self, mapping: Mapping, rows: Sequence[int] | None = None) -> list[object]:
        rows = range(len(self.arrays)) if rows is None else rows
        return [
            self.arrays[0][i] if axis is None else self.stacked(i, axis, rows) for i, axis in enumerate(mapping.axes)
        ]

    def example(self, mapped: Sequence[int], row: int) -> list[object]:
        return [self.arrays[row if i in mapped else 0][i] for i in range(len(self.arrays[0]))]


def batches(function: Function, dtype: str | None = None, extent: int = EXAMPLES) -> Iterator[Batch]:
    """Its samples with examples for each of their arrays, where there are any."""
    for sample in function.samples:
        batch = Batch([Case(function, sample, dtype or function.dtype, row) for row in range(extent)])
        if batch.arguments:
            yield batch
