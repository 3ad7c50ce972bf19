"""Where the time went: by operation and by the line of your program that asked for it.

    from plait.profile import profile

    with profile() as p:
        train_one_epoch()
    print(p.table())
    p.save("trace.json")  # open it at ui.perfetto.dev or chrome://tracing

plait runs what it can in one pass over memory, so a row may name several operations: `add+mul+tanh` is one fused step.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import plait.core as pc

__all__ = ["Profile", "Row", "TracingError", "profile"]


class TracingError(RuntimeError):
    """plait.core was built without tracing, so nothing can be measured."""


@dataclass(frozen=True)
class Row:
    """Steps that share an operation or a line: how many, how long together, and their part of all step time."""

    name: str
    count: int
    total_ms: float
    share: float  # 0 to 1


@dataclass
class Profile:
    """What one `with profile()` block recorded; complete once the block is left.

    Units: `trace` holds microseconds, as the trace-event format asks; `wall_ms` is the time spent in the block.
    Threads: steps of every thread are recorded, so `step_ms` can exceed `wall_ms` where threads run side by side.
    """

    trace: dict[str, Any] = field(default_factory=lambda: {"traceEvents": []})
    wall_ms: float = 0.0

    @property
    def steps(self) -> list[dict[str, Any]]:
        """The events of executed regions and kernels, as recorded."""
        return [e for e in self.trace["traceEvents"] if e.get("cat") == "step" and e.get("ph") == "X"]

    @property
    def step_ms(self) -> float:
        """Time in all steps together."""
        return sum(float(step["dur"]) for step in self.steps) / 1000

    def by_operation(self) -> list[Row]:
        """One row for each distinct step (`conv2d`, `add+mul+tanh`), the slowest first."""
        return _rows((str(step["name"]), step["dur"]) for step in self.steps)

    def by_line(self) -> list[Row]:
        """One row for each line of user code that asked for work, the slowest first."""
        return _rows((str(step.get("args", {}).get("where") or "(unknown)"), step["dur"]) for step in self.steps)

    def table(self, by: Literal["operation", "line", "both"] = "both", limit: int = 15) -> str:
        """The rows as text: name, count, total milliseconds, share of all step time.

        The `limit` slowest rows are named and the others summed up in one.
        Errors: ValueError for another value of `by`, or a limit below 1.
        """
        if by not in ("operation", "line", "both"):
            raise ValueError(f"Profile.table: by must be 'operation', 'line' or 'both', got {by!r}")
        if limit < 1:
            raise ValueError(f"Profile.table: limit must be at least 1, got {limit}")
        parts = []
        if by != "line":
            parts.append(_text("operation", self.by_operation(), limit))
        if by != "operation":
            parts.append(_text("line", self.by_line(), limit))
        parts.append(f"{len(self.steps)} steps, {self.step_ms:.2f} ms in steps, {self.wall_ms:.2f} ms in all")
        return "\n\n".join(parts)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the trace as JSON for Perfetto or chrome://tracing; an interrupted write leaves no file behind.

        Errors: OSError when the folder does not exist or cannot be written.
        """
        target = Path(path)
        draft = target.with_name(f".{target.name}.{os.getpid()}")
        try:
            draft.write_text(json.dumps(self.trace), encoding="utf-8")
            draft.replace(target)
        finally:
            draft.unlink(missing_ok=True)


@contextlib.contextmanager
def profile() -> Iterator[Profile]:
    """Record every step that is evaluated inside the block.

    Work is lazy: evaluate inside the block what it is to measure.  The trace is also kept when the block raises.
    Errors: TracingError when plait.core has no tracing; a block within a block fails as the core reports it.
    """
    if not (hasattr(pc, "trace_start") and hasattr(pc, "trace_stop")):
        raise TracingError("profile: this build of plait.core has no tracing (trace_start and trace_stop are missing)")
    result = Profile()
    pc.trace_start()
    started = time.perf_counter()
    try:
        yield result
    finally:
        result.wall_ms = (time.perf_counter() - started) * 1000
        result.trace = pc.trace_stop()


def _rows(steps: Iterable[tuple[str, float]]) -> list[Row]:
    count: dict[str, int] = defaultdict(int)
    total: dict[str, float] = defaultdict(float)
    for name, microseconds in steps:
        count[name] += 1
        total[name] += float(microseconds) / 1000
    everything = sum(total.values())
    rows = [Row(name, count[name], ms, ms / everything if everything else 0.0) for name, ms in total.items()]
    return sorted(rows, key=lambda row: (-row.total_ms, row.name))


def _text(title: str, rows: list[Row], limit: int) -> str:
    shown, rest = rows[:limit], rows[limit:]
    if rest:
        count, total_ms, share = (sum(getattr(row, part) for row in rest) for part in ("count", "total_ms", "share"))
        shown.append(Row(f"({len(rest)} more)", int(count), total_ms, share))
    width = max([len(title), *(len(row.name) for row in shown)])
    lines = [f"{title:<{width}}  {'count':>7}  {'total ms':>10}  {'share':>6}"]
    lines += [f"{row.name:<{width}}  {row.count:>7}  {row.total_ms:>10.2f}  {row.share:>6.1%}" for row in shown]
    return "\n".join(lines)
