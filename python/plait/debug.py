"""Taking laziness apart: what is done while a fault, or time, is looked for.

    from plait import debug

    with debug.check_nan():      # the first operation that makes a NaN is an error that names its line
        train_one_step()

    with debug.eager():          # each operation is evaluated when it is made: step through with a debugger
        train_one_step()

    print(debug.explain(loss))               # what evaluating an array would do
    print(debug.explain(step, x, y))         # what a call would
    print(debug.explain(step, x, y, analyze=True))   # and what each part of it takes
    print(debug.explain(compiled))           # what compile made of a function, why, and how often it was used

docs/debugging.md shows each with its output.
"""

from __future__ import annotations

import contextlib
import html
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TextIO

import plait.core as pc

__all__ = [
    "Explanation",
    "FailedAllocation",
    "Step",
    "Trace",
    "check_nan",
    "eager",
    "explain",
    "failing_allocation",
    "unchecked_positions",
]


@contextlib.contextmanager
def check_nan(*, inf: bool = False, deep: bool = False) -> Iterator[None]:
    """Look for NaNs (`inf`: and infinities) in what this thread evaluates within the block.

    Every floating or complex result that a step puts in memory is looked at where it lies: one bool crosses from a
    GPU.  At the first that has one, the operations of that step are run one by one to find the one that made it.
    Numbers and arrays that had one before are named when it spreads into a result.  `deep` looks at every operation,
    also at those whose results fusion keeps out of memory, and whose NaNs vanish, in a `where` for one; nothing is
    fused then.

    The values are those of a run without the check.  Evaluate inside the block what it is to look at.
    PLAIT_CHECK_NAN=1 (or "inf", "deep", "inf,deep") does the same for the whole process.

    Errors: NanError, a FloatingPointError, with the operation, its line and transforms, how many elements there are
    and where the first is, and what the operands are there.  The arrays are as before, their work not done.
    """
    before = pc.set_nan_check(True, inf, deep)
    try:
        yield
    finally:
        pc.set_nan_check(*before)


@contextlib.contextmanager
def unchecked_positions() -> Iterator[None]:
    """Let a GPU go on where an index lies outside of its axis, while the block lasts, in the whole process.

    What is read there is zero, and what is written there is left out.  Otherwise such an index is an IndexError that
    names its line, raised by whoever looks at an array that came of it; on the CPU it always is.
    PLAIT_CHECK_POSITIONS=0 does the same from the start.
    """
    before = pc.set_position_check(False)
    try:
        yield
    finally:
        pc.set_position_check(before)


@dataclass
class FailedAllocation:
    """What `failing_allocation` hands out: after the block, whether it came to the allocation that had to fail."""

    failed: bool = False


@contextlib.contextmanager
def failing_allocation(after: int) -> Iterator[FailedAllocation]:
    """Let an allocation of array memory fail: the one behind the next `after` ones, of any thread, once.

    For tests of what a program does without memory.  The host's memory and that of devices count together.

        for n in itertools.count():
            with debug.failing_allocation(n) as allocation, contextlib.suppress(MemoryError):
                train_one_step()
            if not allocation.failed:
                break

    Errors: ValueError for a number below 0.  Within the block: OutOfMemory, a MemoryError.
    """
    if after < 0:
        raise ValueError(f"failing_allocation: after must be at least 0, got {after}")
    allocation = FailedAllocation()
    pc.fail_allocation(after)
    try:
        yield allocation
    finally:
        allocation.failed = pc.fail_allocation(-1) < 0


@contextlib.contextmanager
def eager() -> Iterator[None]:
    """Evaluate each operation of this thread when it is made, so that its errors come at the line itself.

    Functions given to `compile` run as they are, and `scan`, `map`, `while_loop` and `cond` call theirs turn by turn.
    Inside `grad` values are known and evaluated too; inside `vmap`, and in what records a program (an export), they are
    not, and operations on them stay in the graph.
    PLAIT_EAGER=1 does the same for the whole process.
    """
    before = pc.set_eager(True)
    try:
        yield
    finally:
        pc.set_eager(before)


@dataclass(frozen=True)
class Step:
    """One step of a plan: a region (operations fused into one pass over memory), a kernel or a view.

    `shape` and `dtype` are those of the first of `results` values that are put in memory.  `how`: what would run it
    now.  `bytes_held`: what the plan holds while the step runs.  `notes`: memory that is taken over, copies.
    `transfers`: (from, to, bytes).  `lines`: where the operations were made.  `seconds`: None unless it was run.
    """

    kind: str
    operations: list[str]
    shape: tuple[int, ...]
    dtype: pc.Dtype
    results: int
    device: str
    stream: int
    how: str
    bytes_read: int
    bytes_written: int
    bytes_allocated: int
    bytes_held: int
    notes: list[str]
    transfers: list[tuple[str, str, int]]
    lines: list[str]
    seconds: float | None

    @property
    def gigabytes_per_second(self) -> float | None:
        """Bytes read and written by its time; None where that says nothing."""
        moved = self.bytes_read + self.bytes_written
        return moved / self.seconds * 1e-9 if self.seconds and moved else None


@dataclass(frozen=True)
class Trace:
    """What `compile` keeps of one run of a function.

    `arguments`: with names for extents, as used in `guards`, the decisions that another call has to share for the
    trace to serve it.  `state`: how many arrays it captures.  `why`: the function was run.  `calls`: that it served.
    """

    arguments: str
    state: int
    guards: list[str]
    operations: int
    why: str
    calls: int


@dataclass(frozen=True)
class Explanation:
    """What `explain` found; print it, or look at the parts.

    `operations`: how many are pending.  `peak_bytes`: the most memory that the plan holds at once, `result_bytes` what
    is held afterwards.  `plan`: whether it is in the cache, or why it is new.  `evaluations`: those that the function
    asked for while it ran, with their lines.  `traces`: of a compiled function, the last used first.
    """

    steps: list[Step] = field(default_factory=list)
    operations: int = 0
    peak_bytes: int = 0
    result_bytes: int = 0
    plan: str = ""
    evaluations: list[str] = field(default_factory=list)
    traces: list[Trace] = field(default_factory=list)
    text: str = field(default="", repr=False)

    def __str__(self) -> str:
        parts = [self.text.rstrip("\n")] if self.text else []
        if self.evaluations:
            parts.append("evaluated while the function ran:\n" + "\n".join(f"  {line}" for line in self.evaluations))
        if self.traces:
            parts.append(_traces_text(self.traces))
        return "\n".join(parts)

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(str(self))}</pre>"


def explain(what: Any, /, *args: Any, analyze: bool = False, file: TextIO | None = None, **kwargs: Any) -> Explanation:
    """The plan for evaluating an array, a tree of arrays, or what a function returns for these arguments.

    Nothing is evaluated or overwritten.  A function is run once, as lazily as it is written: `evaluations` are those
    it asks for itself.  The state that a compiled function assigns, and that of the random numbers, is put back; what
    else a function assigns stays.  `analyze` evaluates, waiting behind each step, and adds the time that each took.
    `file`: where to print the table as well.  A compiled function without arguments: its traces.

    Errors: ValueError for something without pending or evaluated arrays; what the function, and evaluation, raise.
    """
    traces: list[Trace] = []
    if isinstance(what, pc.CompiledFunction):
        raw = what.explain_call(args, kwargs, analyze) if args or kwargs else {}
        traces = [Trace(**trace) for trace in what.traces()]
        if not raw and not traces:
            raw = {"text": "not traced yet: it is traced when it is called"}
    elif callable(what) and not isinstance(what, pc.array):
        raw = pc.explain_call(what, args, kwargs, analyze)
    elif args or kwargs:
        raise ValueError(f"explain: arguments are for a function, and {type(what).__name__} is none")
    else:
        raw = pc.explain_arrays(what, analyze)
    parts: Mapping[str, Any] = {**raw, "steps": [Step(**step) for step in raw.get("steps", [])], "traces": traces}
    explanation = Explanation(**parts)
    if file is not None:
        print(explanation, file=file)
    return explanation


def _traces_text(traces: list[Trace]) -> str:
    lines = [f"{_counted(len(traces), 'trace')}, the last used first:"]
    for number, trace in enumerate(traces, 1):
        state = f", and {_counted(trace.state, 'array')} of state" if trace.state else ""
        lines.append(f"{number:>3}  {_shortened(trace.arguments)}{state}")
        used = f"{_counted(trace.operations, 'operation')}, used {_counted(trace.calls, 'time')}"
        lines.append(f"     {used}; traced: {trace.why}")
        lines += [f"     only where {guard}" for guard in trace.guards]
    return "\n".join(lines)


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _shortened(text: str, most: int = 160) -> str:
    return text if len(text) <= most else text[: most - 4] + " ..."
