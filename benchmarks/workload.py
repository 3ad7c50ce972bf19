"""How a workload is declared: its inputs, what the machine must at least do for it, and one body for each family.

    @workload("softmax", "softmax of 4096x4096", size=(4096, 4096), quick=(64, 256),
              inputs=lambda rng, m, n: [rng.standard_normal((m, n), np.float32)],
              cost=lambda m, n: Cost(read=4 * m * n, write=4 * m * n))
    def softmax(xp, x):                 # for every family: xp is plait.core, mlx.core, numpy, torch or jax.numpy
        ...

    @softmax.on("torch")                # PyTorch spells it otherwise
    def _(xp, x):
        ...

    @softmax.builds("mx")               # or: prepares what it needs and returns the call to measure, without arguments
    def _(side, x):
        ...

This module is imported by every worker, also by those that measure memory: it imports nothing heavy.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Arrays = list[Any]


class NotOfferedError(Exception):
    """A framework has no such operation: reported as that."""


@dataclass(frozen=True)
class Cost:
    """What a workload cannot do without: bytes read and written once, floating-point operations. Its limit follows."""

    read: int = 0
    write: int = 0
    flops: int = 0
    unit: str = "fma_f32"  # which peak the operations are held against

    @property
    def traffic(self) -> str:
        """The limit its bytes are held against: the copy's where writing is a good part of them."""
        return "copy_nt" if 10 * self.write > self.read else "read"

    def quantities(self) -> list[str]:
        """The limits that have to be measured beside the workload."""
        return [self.traffic] * bool(self.read + self.write) + [self.unit] * bool(self.flops)

    def seconds(self, rates: dict[str, float]) -> float | None:
        """Time at the machine's limit, from rates in bytes and operations a second; None where one was not measured."""
        if any(name not in rates for name in self.quantities()):
            return None
        bounds = [0.0]
        if self.read + self.write:
            bounds.append((self.read + self.write) / rates[self.traffic])
        if self.flops:
            bounds.append(self.flops / rates[self.unit])
        return max(bounds)


@dataclass(frozen=True)
class Body:
    """One family's way to do a workload. `prepare` turns the NumPy inputs into its layout, outside the measurement."""

    function: Callable[..., Any]
    builds: bool = False
    prepare: Callable[..., Arrays] | None = None


@dataclass
class Workload:
    """A row of the table; see the module's example."""

    name: str
    title: str
    size: tuple[int, ...]
    quick: tuple[int, ...]
    inputs: Callable[..., Arrays]
    cost: Callable[..., Cost] | None = None
    # "time": a warm process, repeated calls. The others start a fresh process for every round: "cold" takes the calls
    # on all inputs in turn, "first" the first call less a steady one, "memory" the growth of the process, "import" the
    # import alone.
    meter: str = "time"
    group: str = "table"
    dtype: str = "float32"  # floating inputs arrive in this type
    items: int = 1  # calls are shown per item where one call does many
    rate: str = ""  # shown as so many of these a second instead
    compiled: bool = True  # False: compiling would change the question; JAX runs operation by operation
    gradients: bool = False  # PyTorch records operations only where this is set
    learns: bool = False  # the result is a loss, which has to fall from call to call
    # Makes results comparable among sides, within `tolerance` of the largest value; None where they cannot be.
    check: Callable[[Any], Any] | None = lambda result: result
    tolerance: float = 1e-4
    native: dict[str, tuple[str, ...]] = field(default_factory=dict)  # C++ yardsticks: column -> source, arguments
    bodies: dict[str, Body] = field(default_factory=dict)

    def on(self, *families: str, prepare: Callable[..., Arrays] | None = None) -> Callable[[Any], Any]:
        """The function for these families: xp and the arrays in, results out."""
        return self._add(families, False, prepare)

    def builds(self, *families: str, prepare: Callable[..., Arrays] | None = None) -> Callable[[Any], Any]:
        """The function for these families: side and arrays in, the call to measure out."""
        return self._add(families, True, prepare)

    def _add(self, families: tuple[str, ...], builds: bool, prepare: Any) -> Callable[[Any], Any]:
        def add(function: Any) -> Any:
            for family in families:
                self.bodies[family] = Body(function, builds, prepare)
            return function

        return add

    def body(self, family: str) -> Body:
        """The family's own body, or the common one."""
        found = self.bodies.get(family) or self.bodies.get("*")
        if found is None:
            raise NotOfferedError(f"no body for {family}")
        return found

    def dimensions(self, quick: bool) -> tuple[int, ...]:
        return self.quick if quick else self.size


REGISTRY: dict[str, Workload] = {}


def declare(name: str, title: str, **fields: Any) -> Workload:
    """A workload without a common body."""
    if name in REGISTRY:
        raise ValueError(f"two workloads are named {name}")
    REGISTRY[name] = Workload(name, title, **fields)
    return REGISTRY[name]


def workload(name: str, title: str, **fields: Any) -> Callable[[Any], Workload]:
    """A workload whose common body is the decorated function."""

    def add(function: Any) -> Workload:
        made = declare(name, title, **fields)
        made.bodies["*"] = Body(function)
        return made

    return add


def not_offered(made: Workload, *families: str, why: str = "") -> None:
    """These families have no such operation."""

    def refuse(*_: Any) -> None:
        raise NotOfferedError(why or "no such operation")

    made.on(*families)(refuse)
