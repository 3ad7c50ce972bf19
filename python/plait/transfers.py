"""What crosses between the memories of the CPU and the GPUs, which line of your program caused it, and a guard.

    from plait import transfers

    with transfers.count() as moved:
        train_one_step()
    print(moved.total.bytes, moved["cpu", "gpu:0"].transfers)

    with transfers.guard("error"):   # a copy that you did not think of becomes an exception that names its line
        train_one_step()

    print(transfers.report())        # since the start of the program, by line

An array has one identity: a device that uses it gets a copy once, and keeps it until another device writes. On a
machine with one memory all of this works and counts nothing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

import plait.core as pc

__all__ = ["Moved", "Totals", "clear", "count", "fallback", "guard", "report", "totals"]

Policy = Literal["allow", "log", "error"]


@dataclass(frozen=True)
class Totals:
    """Copies in one direction: how many, how many bytes, and the seconds that starting or awaiting them took."""

    transfers: int = 0
    bytes: int = 0
    seconds: float = 0.0

    def __add__(self, other: Totals) -> Totals:
        return Totals(self.transfers + other.transfers, self.bytes + other.bytes, self.seconds + other.seconds)

    def __sub__(self, other: Totals) -> Totals:
        return Totals(self.transfers - other.transfers, self.bytes - other.bytes, self.seconds - other.seconds)


@dataclass
class Moved:
    """Totals by direction, a pair of "cpu", "gpu:0", "gpu:1", ...; nothing moved is `Totals()`."""

    directions: dict[tuple[str, str], Totals] = field(default_factory=dict)

    def __getitem__(self, direction: tuple[str, str]) -> Totals:
        return self.directions.get(direction, Totals())

    @property
    def total(self) -> Totals:
        """All directions together."""
        return sum(self.directions.values(), Totals())


def totals() -> Moved:
    """What moved since the start of the program, or the last `clear`."""
    raw: Mapping[tuple[str, str], tuple[int, int, float]] = pc.transfer_totals()
    return Moved({direction: Totals(*numbers) for direction, numbers in raw.items()})


@contextlib.contextmanager
def count() -> Iterator[Moved]:
    """What moves within the block; it is filled in at the block's end."""
    before, moved = totals(), Moved()
    try:
        yield moved
    finally:
        for direction, after in totals().directions.items():
            if after.transfers > before[direction].transfers:
                moved.directions[direction] = after - before[direction]


def report() -> str:
    """A table of the lines that moved most bytes."""
    return pc.transfer_report()


def clear() -> None:
    """Forget what was counted so far."""
    pc.clear_transfers()


@contextlib.contextmanager
def guard(policy: Policy) -> Iterator[None]:
    """What happens at a transfer within the block, on all threads: "allow", "log" it on stderr, or "error".

    Errors: ValueError for another policy; with "error", what needs a transfer raises DeviceError with its line, and
    nothing is copied.
    """
    before = pc.set_transfer_guard(policy)
    try:
        yield
    finally:
        pc.set_transfer_guard(before)


@contextlib.contextmanager
def fallback(policy: Policy) -> Iterator[None]:
    """What happens within the block when an operation has no kernel on its device.

    "log": it runs on the CPU, which is said once for each operation (the default); "allow": silently; or "error".

    Errors: ValueError for another policy.
    """
    before = pc.set_fallback(policy)
    try:
        yield
    finally:
        pc.set_fallback(before)
