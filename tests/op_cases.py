# ruff: noqa: E501
"""Cases of every public function, as schema/ops.json describes them: arguments, layouts, oracles, tolerances."""

from __future__ import annotations

import functools
import itertools
import json
import mmap
import os
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.linalg
import scipy.special

import op_oracles
import plait.core as pc
from gen.samples import DTYPES, Function

# How far each function's results may be from its oracle's, in units of the dtype's eps of the result, or of 1 where the result is
# smaller: for 16-bit floats, for float32 and complex64, for float64. tools/tolerances.py measures, docs/ops/tolerances.md shows them.
TOLERANCES: dict[str, list[float]] = json.loads(Path(__file__).with_name("tolerances.json").read_text())
COLUMN = {"float16": 0, "bfloat16": 0, "float32": 1, "complex64": 1, "float64": 2}
# Elementary functions of a GPU have twice the error, and its libraries go other ways; what is moved or compared is the same.
ON_A_GPU = 8 if os.environ.get("PLAIT_TEST_DEVICE") == "gpu" else 1
SHAPES_ONLY = {"random"}  # families whose numbers have tests of their own


def fixed(name: str) -> Callable[..., pc.array]:
    return lambda *shape: pc.array(getattr(op_oracles, name)(*shape))


# Arguments of samples that keep their dtype: words(2, 8).
FIXED = {name: fixed(name) for name in ("words", "exponents", "codes", "numbers")}

ORACLE_NAMES = {"np": np, "scipy": scipy, "oracle": op_oracles}


def dtype_of(name: str) -> pc.Dtype:
    return getattr(pc, "bool_" if name == "bool" else name)


def name_of(dtype: pc.Dtype) -> str:
    return str(dtype).rpartition(".")[2].removesuffix("_")


def numpy_dtype(name: str) -> np.dtype:
    return np.dtype("float32" if name == "bfloat16" else name)


MAP_NORESERVE = getattr(mmap, "MAP_NORESERVE", 0x4000)  # Python names it from 3.13 on
WHOLE = 2**31 + 128  # elements that far_apart() makes views of


def sparse(x: np.ndarray, first: int, step: int) -> pc.array:
    """Memory of the host that nobody touches but for these elements."""
    memory = mmap.mmap(-1, WHOLE * x.itemsize, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_NORESERVE)
    memory.madvise(mmap.MADV_NOHUGEPAGE)  # else each element would take 2 MiB
    elements = np.frombuffer(memory, x.dtype)
    elements[first::step] = x
    return pc.asarray(elements, copy=False)


@functools.cache
def memory_of_gpu() -> Any:
    return pytest.importorskip("torch").zeros(WHOLE * 8, dtype=pytest.importorskip("torch").uint8, device="cuda")


def on_gpu(x: np.ndarray, first: int, step: int) -> pc.array:
    """PyTorch's memory, which it writes in place: as large an array for each operand would take seconds."""
    torch = pytest.importorskip("torch")
    elements = memory_of_gpu()[: WHOLE * x.itemsize].view(torch.from_numpy(x).dtype)
    elements[first::step] = torch.from_numpy(x).cuda()
    torch.cuda.synchronize()
    return pc.from_dlpack(elements)


PLACES = itertools.cycle(range(64))


def far_apart(x: np.ndarray, dtype: pc.Dtype) -> pc.array:
    """`x` as a view of 2^31 elements and more, the first ones before position 2^31 where there are several, the last behind it."""
    place = next(PLACES)  # on a GPU operands of a call share memory: each has its own of 64 neighbours
    step = max(2**31 // max(x.size - 1, 1) // 64, 1) * 64
    first = 2**31 + 64 + place - step * (x.size - 1)
    flat = np.ascontiguousarray(x, np.float32 if dtype == pc.bfloat16 else x.dtype).reshape(-1)
    if dtype == pc.bfloat16:
        flat = (flat.view(np.uint32) >> 16).astype(np.uint16)
    if dtype == pc.float64:  # which from_dlpack would round to float32, all of it
        flat = flat.view(np.int64)
    base = (on_gpu if pc.default_device() == pc.gpu else sparse)(flat, first, step)
    if dtype in (pc.bfloat16, pc.float64):
        base = base.view(dtype)
    assert base.dtype == dtype
    strides = [step * int(np.prod(x.shape[axis + 1 :])) for axis in range(x.ndim)]
    return pc.as_strided(base, x.shape, strides, first)


def other_row(value: np.ndarray, row: int) -> np.ndarray:
    """Given values for another example of a batch: as valid, and in the same order where they were sorted."""
    if value.dtype.kind == "f":
        return value * value.dtype.type(1 - row / 16)
    return np.roll(value, row)


class Values:
    """What stands for one positional argument of a sample: a random array, given values, or a number."""

    def __init__(self, function: Function, spec: object, dtype: str, seed: int, row: int = 0) -> None:
        self.dtype = dtype
        self.is_array = not isinstance(spec, (int, float, bool, complex))
        self.moves = False  # takes the case's dtype, so it can be differentiated
        if isinstance(spec, tuple):
            self.moves = True
            self.value: object = self.random(spec, function.domain, np.random.default_rng(seed))
        elif isinstance(spec, (list, np.ndarray)):
            value = np.array(spec)
            self.moves = value.dtype.kind == "f" or (value.size == 0 and isinstance(spec, list))
            if not self.moves:
                self.dtype = "int32" if value.dtype.kind == "i" else str(value.dtype)
            with np.errstate(invalid="ignore"):  # NaN as an integer is any integer
                self.value = other_row(value.astype(numpy_dtype(self.dtype)), row)
        elif isinstance(spec, pc.array):  # a random key
            self.dtype = name_of(spec.dtype)
            self.value = np.array(spec) + np.array(row, numpy_dtype(self.dtype))
        else:
            self.value = spec
        if self.is_array:
            self.value = np.asarray(self.value)  # NumPy draws a 0-d array as a number
        if self.is_array and self.dtype == "bfloat16":  # the values that the array will hold
            self.value = numpy_of(pc.array(self.value).astype(pc.bfloat16))

    def random(self, shape: tuple[int, ...], domain: tuple[float, float], rng: np.random.Generator) -> np.ndarray:
        low, high = domain
        kind = numpy_dtype(self.dtype)
        if self.dtype == "bool":
            return rng.random(shape) < 0.5
        if kind.kind in "iu":
            low, high = (max(low, 0), max(high, 5)) if kind.kind == "u" else (low, high + 3 * (high == 2.0))
            return rng.integers(int(np.ceil(low)), int(np.floor(high)), shape, endpoint=True).astype(kind)
        x = rng.uniform(low, high, shape)
        # On a grid that float32 holds exactly, each value once: no order among them depends on rounding, nor on a step aside.
        if self.dtype not in ("float16", "bfloat16"):
            grid = np.arange(np.ceil(low * 4096), np.floor(high * 4096) + 1) / 4096
            x = rng.choice(grid, shape, replace=x.size > grid.size)
        if kind.kind == "c":
            x = x + 1j * np.round(rng.uniform(low, high, shape) * 4096) / 4096
        return np.asarray(x).astype(kind)

    def takes(self, layout: str) -> bool:
        """Whether the elements can lie so, and not as in the contiguous array."""
        if not isinstance(self.value, np.ndarray):
            return False
        x = self.value
        if layout == "transposed":
            return x.ndim >= 2 and x.size > 1
        if layout == "broadcast":
            return x.ndim >= 1 and x.shape[0] > 1 and self.moves
        if layout == "far":
            return x.size > 0
        return layout in ("reversed", "stepped") and x.size > 1

    def array(self, layout: str = "contiguous") -> object:
        if not self.is_array:
            return self.value
        assert isinstance(self.value, np.ndarray)
        x = self.value
        dtype = dtype_of(self.dtype)

        def make(v: np.ndarray) -> pc.array:
            return pc.array(np.ascontiguousarray(v).reshape(v.shape), dtype=dtype)

        if not self.takes(layout):
            return make(x)
        if layout == "transposed":
            return make(x.T).T
        if layout == "reversed":
            back = (slice(None, None, -1),) * x.ndim
            return make(x[back])[back]
        if layout == "stepped":
            return make(np.repeat(x, 2, axis=-1))[..., ::2]
        if layout == "far":
            return far_apart(x, dtype)
        return pc.broadcast_to(make(x[:1]), x.shape)

    def seen(self, layout: str) -> object:
        """The values that `array(layout)` holds."""
        if not self.is_array:
            return self.value
        assert isinstance(self.value, np.ndarray)
        x = self.value
        return np.broadcast_to(x[:1], x.shape) if layout == "broadcast" and self.takes(layout) else x

    def bits(self, layout: str) -> object:
        """What `array(layout)` holds in a NumPy dtype of its width."""
        x = self.seen(layout)
        return (
            (x.view(np.uint32) >> 16).astype(np.uint16) if isinstance(x, np.ndarray) and self.dtype == "bfloat16" else x
        )

    def wide(self, layout: str, to_floats: bool) -> object:
        """The values that `array(layout)` holds, wide enough for an oracle; `to_floats` turns integers into floats first."""
        x = self.seen(layout)
        if not isinstance(x, np.ndarray):
            return x
        if x.dtype.kind == "c":
            return x.astype(np.complex128)
        return x.astype(np.float64) if x.dtype.kind == "f" or (to_floats and self.moves) else x


LAYOUTS = ["contiguous", "transposed", "reversed", "stepped", "broadcast"]  # reversed: negative strides along each axis
# and "far": the elements apart, in order, the last one past position 2^31 of what they are a view of. See far_apart().


class Case:
    """One sample of a function with one dtype; `row` tells the examples of a batch apart."""

    def __init__(
        self,
        function: Function,
        sample: dict[str, str],
        dtype: str,
        row: int = 0,
        change: Callable[[list[object]], list[object]] = list,
    ) -> None:
        self.function = function
        self.sample = sample
        self.dtype = dtype
        text = sample["inputs"].strip()
        names = {"nan": np.nan, "inf": np.inf, "key": pc.random.key, **FIXED}
        specs = change(list(eval(f"({text},)", names)) if text else [])
        start = zlib.crc32(f"{function} {sample['inputs']} {sample['keywords']}".encode()) + 1000 * row
        self.values = [Values(function, spec, dtype, start + i, row) for i, spec in enumerate(specs)]

    def __str__(self) -> str:
        return f"{self.function}({', '.join(filter(None, [self.sample['inputs'], self.sample['keywords']]))}) of {self.dtype}"

    def keywords(self, oracle: bool) -> dict[str, object]:
        names = {n: np.dtype(numpy_dtype(n)) if oracle else dtype_of(n) for n in DTYPES}
        return eval(f"dict({self.sample['keywords']})", {"dict": dict, **names, "bool_": names["bool"]})

    def call(self, arrays: list[object]) -> list[pc.array]:
        args, keywords = self.function.bound(arrays, self.keywords(oracle=False))
        result = self.function.op(*args, **keywords)
        return list(result) if isinstance(result, (list, tuple)) else [result]

    def layouts(self) -> list[str]:
        """Those that make a difference to some argument."""
        return [name for name in LAYOUTS if name == "contiguous" or any(v.takes(name) for v in self.values)]

    def arrays(self, layout: str = "contiguous") -> list[object]:
        return [v.array(layout) for v in self.values]

    def expected(self, layout: str, floats: bool = False) -> list[np.ndarray]:
        """What the oracle gives. `floats`: the function returns floats also for integers, so it computes in them; NumPy
        would take float16 for 8-bit integers."""
        raw = ".view(" in self.function.entry["oracle"]
        values = [v.bits(layout) if raw else v.wide(layout, floats) for v in self.values]
        names: dict[str, object] = {p.name: p.default for p in self.function.params}
        names["largest"] = float(pc.finfo(dtype_of(self.dtype)).max) if self.dtype in COLUMN else 0
        names.update(self.keywords(oracle=True))
        left = list(values)
        for p in self.function.params:
            if p.how == "all" or (p.takes_list and left):
                names[p.name] = left
                left = []
            elif left and p.name not in self.keywords(oracle=True):
                names[p.name] = left.pop(0)
        with np.errstate(all="ignore"):
            result = eval(self.function.entry["oracle"], {**ORACLE_NAMES, **names})
        return [np.asarray(r) for r in result] if isinstance(result, (list, tuple)) else [np.asarray(result)]


def cases(function: Function, dtype: str) -> Iterator[Case]:
    for sample in function.samples:
        yield Case(function, sample, dtype)


def numpy_of(a: pc.array) -> np.ndarray:
    return np.array(a.astype(pc.float32) if a.dtype == pc.bfloat16 else a)


def inexact(a: pc.array) -> bool:
    return name_of(a.dtype) in ("float16", "bfloat16", "float32", "float64", "complex64")


def tolerance(function: Function, dtype: str) -> float:
    """In eps; 0 for results that are equal. What has no entry, as a function not yet measured, gets that of "other"."""
    allowed = TOLERANCES.get(str(function), TOLERANCES["other"])[COLUMN[dtype]]
    return allowed * ON_A_GPU


def distance(got: pc.array, want: np.ndarray) -> float:
    """The largest error in eps, of the result or of 1 where that is smaller; infinite for another number, NaN or sign of infinity."""
    have = numpy_of(got)
    if have.shape != want.shape:
        return np.inf
    with np.errstate(all="ignore"):
        rounded = want.astype(have.dtype)
        same = (have == rounded) | ((have != have) & (rounded != rounded))
        if have.dtype.kind in "iub":
            return 0.0 if same.all() else np.inf
        wide = np.complex128 if have.dtype.kind == "c" else np.float64
        error = np.abs(have.astype(wide) - want) / np.maximum(np.abs(want), 1)
    eps = float(pc.finfo(pc.float32 if have.dtype.kind == "c" else got.dtype).eps)
    exact = same if have.dtype == want.dtype else same & ~np.isfinite(have)
    return float(np.max(np.where(exact, 0, np.where(np.isfinite(have), error, np.inf)), initial=0)) / eps


def assert_close(function: Function, got: pc.array, want: np.ndarray, about: str) -> None:
    far = distance(got, want)
    allowed = tolerance(function, name_of(got.dtype)) if inexact(got) else 0
    assert far <= allowed, f"{about}: {far:.3g} eps, more than {allowed:g}\n{numpy_of(got)}\nnot\n{want}"
