"""Functions written to find holes in transforms: what no sample of a single op shows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np

import plait.core as pc
from transform_cases import Written

Function = Callable[..., object]
KEY = pc.random.key(5)


class Maker(Protocol):
    """Makes an argument; `grow` is added to every extent above 1, for a call with other extents."""

    def __call__(self, rng: np.random.Generator, grow: int = 0) -> np.ndarray: ...


def made(shape: tuple[int, ...], draw: Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]) -> Maker:
    return lambda rng, grow=0: np.asarray(draw(rng, tuple(n + grow if n > 1 else n for n in shape)))


def floats(*shape: int) -> Maker:
    return made(shape, lambda rng, shape: rng.uniform(0.2, 2.0, shape))


def with_zeros(*shape: int) -> Maker:
    return made(shape, lambda rng, shape: rng.uniform(0.2, 2.0, shape) * (rng.random(shape) < 0.5))


def complexes(*shape: int) -> Maker:
    def draw(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        return np.asarray(rng.uniform(0.5, 2.0, shape) + 1j * rng.uniform(-1.0, 1.0, shape)).astype(np.complex64)

    return made(shape, draw)


def below(n: int, *shape: int) -> Maker:
    return made(shape, lambda rng, shape: rng.integers(-n, n, shape).astype(np.int32))


def order(n: int) -> Maker:
    return made((n,), lambda rng, shape: rng.permutation(shape[0]).astype(np.int32))


def bools(*shape: int) -> Maker:
    return made(shape, lambda rng, shape: rng.random(shape) < 0.5)


def words(*shape: int) -> Maker:
    return made(shape, lambda rng, shape: rng.integers(0, 2**32, shape).astype(np.uint32))


def exponents(*shape: int) -> Maker:
    return made(shape, lambda rng, shape: rng.integers(120, 128, shape).astype(np.uint8))


def starts(*room: int) -> Maker:
    return lambda rng, grow=0: np.array([rng.integers(0, n, endpoint=True) for n in room], np.int32)


def in_place(update: Callable[..., None]) -> Function:
    def f(x: pc.array, *more: pc.array) -> pc.array:
        y = x * 1.0
        update(y, *more)
        return y * y

    return f


def write_row(x: pc.array, v: pc.array) -> None:
    x[1] = v


def write_own(x: pc.array) -> None:
    x[0] = x[1] * x[2]


def write_steps(x: pc.array, v: pc.array) -> None:
    x[::2, 1:] = v
    x[..., ::-1] *= 2.0


def write_picked(x: pc.array, at: pc.array, v: pc.array) -> None:
    x[at] = v


def write_pairs(x: pc.array, at: pc.array, v: pc.array) -> None:
    x[at, at] = v


def write_masked(x: pc.array, m: pc.array) -> None:
    x[m] = 0.5


def add_in_place(x: pc.array, v: pc.array) -> None:
    x += v
    x *= v


# Each: a function of floats (which move), integers and bools, and what makes its arguments.
WRITTEN: dict[str, tuple[Function, list[Maker]]] = {
    "results that are arguments": (lambda x, y: [x, y, x, x * y], [floats(3), floats(3)]),
    "constants as results": (lambda x: [pc.array([1.0, 2.0]), x * 2.0, pc.zeros((2, 2))], [floats(3)]),
    "results that depend on some arguments": (lambda x, y: [x * x, y * y], [floats(2), floats(3)]),
    "an argument that is not used": (lambda x, y: pc.sin(y), [floats(2), floats(3)]),
    "one argument many times": (lambda x: pc.concatenate([x, x * x, x]) @ pc.concatenate([x, x, x]), [floats(3)]),
    "the same sum twice": (lambda x, y: [x + y, y + x], [floats(3), floats(1)]),
    "0-d": (lambda x, y: pc.sin(x) * pc.exp(y) + x, [floats(), floats()]),
    "0-d with a vector": (lambda x, y: pc.stack([x * y.sum(), x]) * y[:2], [floats(), floats(3)]),
    "nothing": (lambda x, y: x * y + pc.sum(x * 2.0), [floats(0, 3), floats(3)]),
    "nothing multiplied": (lambda x, y: x @ y, [floats(2, 0), floats(0, 3)]),
    "ranks that differ": (lambda x, y, z: x * y + z, [floats(2, 1, 3), floats(2, 1), floats()]),
    "rows against columns": (lambda x, y: pc.maximum(x[:, None], y[None]) / (x + y[:1]).sum(), [floats(3), floats(2)]),
    "a constant array": (lambda x: x * pc.array([1.0, 2.0, 3.0]) + pc.arange(3), [floats(2, 3)]),
    "reversed view": (lambda x: x[::-1] * x, [floats(4)]),
    "steps backwards": (lambda x: x[::-2, 1:] * x[::2, :-1], [floats(4, 3)]),
    "ends of nothing": (lambda x: pc.concatenate([x[:0], x, x[4:]]) * 2.0, [floats(4)]),
    "picked": (lambda x, i: x[i] * x[0], [floats(4, 2), below(4, 3)]),
    "picked beside an integer": (lambda x, i: x[-1, i] * x[i, -2, None], [floats(4, 4), below(4, 3)]),
    "picked in two axes": (lambda x, i, j: x[i, :, j] ** 2, [floats(3, 2, 4), below(3, 5), below(4, 5)]),
    "picked with a new axis": (lambda x, i: x[:, None, i] * 3.0, [floats(3, 4), below(4, 2, 2)]),
    "picked from a constant": (lambda i, x: pc.arange(8.0)[i] * x, [below(8, 3), floats(3)]),
    "picked by results": (lambda x: x[pc.argsort(x)] * x[pc.argmax(x)], [floats(5)]),
    "write a row": (in_place(write_row), [floats(3, 2), floats(2)]),
    "write a row of itself": (in_place(write_own), [floats(3, 2)]),
    "write steps": (in_place(write_steps), [floats(4, 3), floats(2, 2)]),
    "write picked rows": (in_place(write_picked), [floats(4, 2), below(4, 3), floats(3, 2)]),
    "write picked elements": (in_place(write_pairs), [floats(4, 4), order(4), floats(4)]),
    "write masked": (in_place(write_masked), [floats(2, 3), bools(2, 3)]),
    "operators in place": (in_place(add_in_place), [floats(2, 3), floats(3)]),
    "at add": (lambda x, i, v: x.at[i].add(v) * x, [floats(4), below(4, 6), floats(6)]),
    "at subtract": (lambda x, i, v: x.at[i].subtract(v) * x, [floats(4, 2), below(4, 3), floats(3, 2)]),
    "at multiply": (lambda x, i, v: x.at[i].multiply(v) * x, [floats(4), below(4, 6), floats(6)]),
    "at multiply by zeros": (
        lambda x, i, v: x.at[i].multiply(v) * x,
        [floats(3, 2), below(3, 7), with_zeros(7, 2)],
    ),
    "at divide": (lambda x, i, v: x.at[i].divide(v) * x, [floats(4), below(4, 3), floats(3)]),
    "at maximum": (lambda x, i, v: x.at[i].maximum(v) * x, [floats(4), below(4, 6), floats(6)]),
    "at minimum": (lambda x, i, v: x.at[1:, i].minimum(v) * x, [floats(4, 3), below(3, 2), floats(3, 2)]),
    "where a bool": (lambda m, x, y: pc.where(m, x * y, y), [bools(2, 3), floats(3), floats(2, 1)]),
    "where it is larger": (lambda x, y: pc.where(x > y, x * x, y), [floats(2, 3), floats(3)]),
    "through an integer": (lambda x: x * x.astype(pc.int32).astype(x.dtype) + pc.floor(x), [floats(5)]),
    "through a bool": (lambda x: x * (x > 1.0).astype(pc.float64) + x.astype(pc.bool_) * x, [floats(5)]),
    "slice that starts at an argument": (
        lambda x, i: pc.slice(x, i, (0, 1), (2, 2)) ** 2,
        [floats(4, 3), starts(2, 1)],
    ),
    "slice from the last axis": (lambda x, i: pc.slice(x, i, (2,), (2, 3, 2)) * 2.0, [floats(2, 3, 4), starts(2)]),
    "update that starts at an argument": (
        lambda x, u, i: pc.slice_update(x, u, i, (1, 0)) * x,
        [floats(4, 5, 2), floats(2, 3, 2), starts(2, 2)],
    ),
    "powers": (lambda x: x**3 + x**0.5 + 2.0**x + x**x, [floats(4)]),
    "einsum of three": (
        lambda a, b, c: pc.einsum("...ij,jk,...k->...i", a, b, c),
        [floats(2, 3, 2), floats(2, 4), floats(2, 4)],
    ),
    "einsum of a diagonal": (lambda a, b: pc.einsum("iij,j->i", a, b), [floats(3, 3, 2), floats(2)]),
    "picked products": (
        lambda a, b, i: pc.gather_mm(a, b, rhs_indices=i),
        [floats(3, 1, 2), floats(4, 2, 2), below(4, 3)],
    ),
    "all in one": (lambda x, y: pc.softmax(pc.sort(x @ y, axis=0), axis=-1).cumsum(0), [floats(3, 2), floats(2, 3)]),
    "flat sorts": (lambda x: [pc.sort(x, axis=None), pc.topk(x, 2, axis=None), pc.cumprod(x)], [floats(2, 3)]),
    "reduced in part": (
        lambda x: [x.sum((0, -1)), x.max((1, 2), keepdims=True), x.prod(-2), pc.logsumexp(x, (0, 2)), x.var()],
        [floats(2, 3, 2)],
    ),
    "several outputs": (lambda x: [*pc.split(x * x, 2), *pc.unstack(x), *pc.minmax(x, 0)], [floats(4, 2)]),
    "convolution without padding": (
        lambda x, w: pc.conv2d(x, w, stride=(2, 1), padding=(1, 0), dilation=(1, 2), groups=2) ** 2,
        [floats(1, 5, 5, 4), floats(2, 2, 2, 2)],
    ),
    "convolution in three axes": (lambda x, w: pc.conv3d(x, w) ** 2, [floats(1, 3, 3, 2, 2), floats(2, 2, 2, 1, 2)]),
    "transposed convolution": (
        lambda x, w: pc.conv_transpose2d(x, w, stride=2, padding=1, output_padding=1, groups=2) ** 2,
        [floats(1, 3, 2, 4), floats(2, 3, 3, 2)],
    ),
    "flipped convolution": (
        lambda x, w: pc.conv_general(x, w, padding=([2], [1]), input_dilation=2, flip=True),
        [floats(2, 4, 2), floats(3, 3, 2)],
    ),
    "the rest of a basis": (
        lambda a: [rest @ rest.T for rest in (pc.linalg.svd(a)[0][:, 2:], pc.linalg.svd(a.T)[2][2:].T)],
        [floats(4, 2)],
    ),
    "drawn with a covariance": (
        lambda mean, half: pc.random.multivariate_normal(mean, half @ half.T + pc.eye(3), shape=(2,), key=KEY) ** 2,
        [floats(3), floats(3, 3)],
    ),
    "drawn from a trace's bounds": (
        lambda low, x: pc.random.uniform(low, x + 3.0, (2, 3), pc.float64, KEY) * x,
        [floats(), floats(3)],
    ),
    "linear layer": (lambda x, w, b: pc.addmm(b, x, w.T), [floats(4, 3), floats(2, 3), floats(2)]),
    "attention with all it takes": (
        lambda q, k, v, mask, sinks: pc.fast.scaled_dot_product_attention(q, k, v, scale=0.6, mask=mask, sinks=sinks),
        [floats(2, 2, 3, 4), floats(2, 1, 5, 4), floats(2, 1, 5, 2), floats(1, 2, 3, 5), floats(2)],
    ),
    "attention to some": (
        lambda q, k, v, mask: pc.fast.scaled_dot_product_attention(q, k, v, scale=0.6, mask=mask) ** 2,
        [floats(1, 2, 3, 2), floats(1, 2, 4, 2), floats(1, 2, 4, 3), bools(2, 3, 4)],
    ),
    "masked blocks": (
        lambda a, b, m: pc.block_masked_mm(a, b, 2, mask_out=m),
        [floats(4, 4), floats(4, 2), bools(2, 1)],
    ),
    "packed products and scales": (
        lambda x, w, s: pc.quantized_matmul(x, w, s, pc.ones((3, 1), s.dtype)),
        [floats(2, 64), words(3, 8), floats(3, 1)],
    ),
    "packed products and biases": (
        lambda x, w, b: pc.quantized_matmul(x, w, pc.ones((3, 1), b.dtype), b),
        [floats(2, 64), words(3, 8), floats(3, 1)],
    ),
    "picked packed products": (
        lambda x, w, s, i, j: pc.gather_qmm(x, w, s, None, i, j, mode="mxfp4"),
        [floats(3, 2, 64), words(3, 4, 8), exponents(3, 4, 2), below(3, 2), below(3, 2)],
    ),
}

# The same with complex numbers, which have no float64: differences are coarser.
WRITTEN_COMPLEX: dict[str, tuple[Function, list[Maker]]] = {
    "parts of squares": (lambda z: pc.real(z * z) ** 2 * pc.imag(z) + pc.imag(pc.exp(z)) ** 2, [complexes(3)]),
    "moduli": (lambda z, w: pc.abs(z * w) * pc.abs(z - 1.0) ** 2 + pc.real(pc.sign(z)), [complexes(3), complexes(3)]),
    "conjugates": (lambda z, w: pc.vecdot(z, w) * pc.conjugate(w).sum() / z, [complexes(3), complexes(3)]),
    "reals among them": (lambda x, z: (x * z) @ pc.conjugate(z) + x.astype(pc.complex64), [floats(3), complexes(3)]),
    "picked complex numbers": (lambda z, i: z.at[i].multiply(z[i] * 1j) ** 2, [complexes(4), order(4)]),
}


# What cannot grow: groups of channels, blocks, parts that divide, arrays written out.
FIXED_EXTENTS = {
    "a constant array",
    "several outputs",
    "write steps",
    "convolution without padding",
    "convolution in three axes",
    "transposed convolution",
    "the rest of a basis",
    "drawn with a covariance",
    "drawn from a trace's bounds",
    "write masked",
    "masked blocks",
    "packed products and scales",
    "packed products and biases",
    "picked packed products",
}


def rows_of(name: str, count: int, grow: int = 0) -> list[Written]:
    """The function with the arguments of `count` examples."""
    f, arguments = (WRITTEN | WRITTEN_COMPLEX)[name]
    return [
        Written(name, f, [make(np.random.default_rng([row, i]), grow) for i, make in enumerate(arguments)])
        for row in range(count)
    ]
