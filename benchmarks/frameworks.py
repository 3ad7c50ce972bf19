"""What differs among frameworks outside the workloads: making arrays, waiting, compiling, reading results back.

Only workers import this module, and it imports a framework only when that framework's worker asks for it.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.sides import Side
from benchmarks.workload import NotOfferedError, Workload


class Framework:
    """NumPy itself, and what the others change. `xp` is the module that workloads call."""

    def __init__(self, side: Side, threads: int, workload: Workload) -> None:
        self.side = side
        self.dtype = workload.dtype
        self.xp: Any = importlib.import_module(side.package)
        self.start(threads, workload)

    def start(self, threads: int, workload: Workload) -> None:
        """Set the framework up for this workload."""

    @property
    def version(self) -> str:
        package = importlib.import_module(self.side.package.split(".")[0])
        return str(getattr(package, "__version__", "") or getattr(self.xp, "__version__", ""))

    def array(self, value: Any) -> Any:
        """The framework's own copy of a NumPy array; floating ones in the workload's dtype."""
        if self.dtype == "bfloat16":
            raise NotOfferedError("NumPy has no bfloat16")
        return value.astype(self.dtype) if value.dtype.kind == "f" else value.copy()

    def compile(self, function: Callable[..., Any]) -> Callable[..., Any]:
        return function

    def wait(self, result: Any) -> Any:
        """Return when the result is there."""
        return result

    def host(self, result: Any) -> Any:
        """One array as NumPy's, 16-bit floats widened."""
        return np.asarray(result)

    def counters(self) -> dict[str, int]:
        """What the framework counts about itself, by name."""
        return {}

    def reset_peak(self) -> None:
        """Start a new measurement of the allocator's own peak."""

    def peak_bytes(self) -> int | None:
        """Growth since `reset_peak` by the allocator's own account, where it has one."""
        return None


class NumPy(Framework):
    pass


class MX(Framework):
    """plait and MLX: one interface."""

    def start(self, threads: int, workload: Workload) -> None:
        self.xp.set_default_device(self.xp.cpu)

    def module(self, name: str) -> Any:
        """`nn`, `optimizers` or `utils` of the same package."""
        try:
            return importlib.import_module(f"{self.side.package.split('.')[0]}.{name}")
        except ModuleNotFoundError as missing:
            raise NotOfferedError(f"no {missing.name}") from None

    def array(self, value: Any) -> Any:
        made = self.xp.array(value)
        made = made.astype(getattr(self.xp, self.dtype)) if value.dtype.kind == "f" else made
        self.xp.eval(made)
        return made

    def wait(self, result: Any) -> Any:
        self.xp.eval(result)
        return result

    def host(self, result: Any) -> Any:
        wide = result.astype(self.xp.float32) if result.dtype in (self.xp.bfloat16, self.xp.float16) else result
        return np.array(wide)

    def counters(self) -> dict[str, int]:
        read = getattr(self.xp, "counters", None)  # plait's own: plans built, among others
        return dict(read()) if read else {}

    def reset_peak(self) -> None:
        self.xp.reset_peak_memory()
        self.before = self.xp.get_active_memory()

    def peak_bytes(self) -> int | None:
        return int(self.xp.get_peak_memory() - self.before)


class Torch(Framework):
    def start(self, threads: int, workload: Workload) -> None:
        self.xp.set_num_threads(threads)
        self.xp.set_grad_enabled(workload.gradients)

    def array(self, value: Any) -> Any:
        made = self.xp.tensor(value)
        return made.to(getattr(self.xp, self.dtype)) if value.dtype.kind == "f" else made

    def compile(self, function: Callable[..., Any]) -> Callable[..., Any]:
        return self.xp.compile(function) if self.side.compiled else function

    def host(self, result: Any) -> Any:
        result = result.detach()
        return (result.float() if result.dtype in (self.xp.bfloat16, self.xp.float16) else result).numpy()


class Jax(Framework):
    def start(self, threads: int, workload: Workload) -> None:
        self.jax = self.xp
        self.xp = importlib.import_module("jax.numpy")

    def array(self, value: Any) -> Any:
        made = self.xp.array(value)
        return self.wait(made.astype(self.dtype) if value.dtype.kind == "f" else made)

    def compile(self, function: Callable[..., Any]) -> Callable[..., Any]:
        return self.jax.jit(function) if self.side.compiled else function

    def wait(self, result: Any) -> Any:
        return self.jax.block_until_ready(result)

    def host(self, result: Any) -> Any:
        return np.asarray(result.astype("float32") if result.dtype.name in ("bfloat16", "float16") else result)


FAMILIES = {"numpy": NumPy, "mx": MX, "torch": Torch, "jax": Jax}
