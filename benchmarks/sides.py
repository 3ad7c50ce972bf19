"""Who is compared: a side is one framework in one manner of use, in a process of its own.

This module is imported by every worker, also by those that measure memory: it imports nothing heavy.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

# glibc gives large blocks back to the system and faults them in again, which costs more than most of the work measured
# here. With these settings it keeps them: a peer's column "keeps" shows what is left of a win that is the allocator's.
KEEPS = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "68719476736", "MALLOC_ARENA_MAX": "1"}

PEERS = ("numpy", "mlx", "torch", "jax")  # what --peers chooses from
REQUIRED = ("torch", "jax")  # a published table needs these


@dataclass(frozen=True)
class Side:
    """One column. `family` names the body of a workload that it runs, `package` what it imports."""

    name: str
    peer: str
    family: str
    package: str
    compiled: bool = False
    keeps: bool = False
    again: bool = False  # the subject a second time: its ratio to itself is the spread


def _peer_sides() -> list[Side]:
    sides = [Side("mlx", "mlx", "mx", "mlx.core")]
    for name, family, package, compiled in (
        ("numpy", "numpy", "numpy", False),
        ("torch", "torch", "torch", False),
        ("torch compiled", "torch", "torch", True),
        ("jax", "jax", "jax", True),
    ):
        for keeps in (False, True):
            sides.append(Side(name + " keeps" * keeps, name.split()[0], family, package, compiled, keeps))
    return sides


# plait offers MLX's interface, so both run the bodies of the family "mx".
SUBJECTS = {
    "plait": Side("plait", "plait", "mx", "plait.core"),
    "mlx": Side("mlx", "mlx", "mx", "mlx.core"),
    "numpy": Side("numpy", "numpy", "numpy", "numpy"),
}
PEER_SIDES = _peer_sides()


def side_named(name: str) -> Side:
    """The side of that name; "again" after a name is the same side."""
    plain = name.removesuffix(" again")
    return next(side for side in (*SUBJECTS.values(), *PEER_SIDES) if side.name == plain)


def peer_sides(peers: list[str], subject: Side) -> list[Side]:
    """The columns of these peers, in the order of `peers`; the subject is not its own peer."""
    return [side for peer in peers for side in PEER_SIDES if side.peer == peer and side.name != subject.name]


def environment(side: Side | None, threads: int, scratch: Path) -> dict[str, str]:
    """The environment of a worker: `threads` threads for whoever asks, no GPU, malloc as the side says."""
    env = {key: value for key, value in os.environ.items() if not key.startswith("MALLOC_")}
    count = str(threads)
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "PLAIT_NUM_THREADS", "NPROC"):
        env[name] = count
    env |= {
        "CUDA_VISIBLE_DEVICES": "",
        "JAX_PLATFORMS": "cpu",
        "TORCHINDUCTOR_CACHE_DIR": str(scratch / "inductor"),
        "TORCHINDUCTOR_COMPILE_THREADS": "1",  # in the worker itself: helpers would outlive the compilation
    }
    if side is not None and side.keeps:
        env |= KEEPS
    return env


def chosen_cpus(threads: int) -> set[int]:
    """`threads` CPUs this process may use, one on each core as long as there are cores."""
    allowed = sorted(os.sched_getaffinity(0))
    first_of_core: list[int] = []
    others: list[int] = []
    seen: set[str] = set()
    for cpu in allowed:
        path = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
        core = path.read_text().strip() if path.exists() else str(cpu)
        (others if core in seen else first_of_core).append(cpu)
        seen.add(core)
    return set((first_of_core + others)[:threads])
