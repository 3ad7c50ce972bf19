"""Taking laziness apart: what is done while a fault is looked for.

    from plait import debug

    with debug.check_nan():      # the first operation that makes a NaN is an error that names its line
        train_one_step()

    with debug.eager():          # each operation is evaluated when it is made: step through with a debugger
        train_one_step()

docs/debugging.md shows each with its output.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import plait.core as pc

__all__ = ["check_nan", "eager"]


@contextlib.contextmanager
def check_nan(*, inf: bool = False, deep: bool = False) -> Iterator[None]:
    """Look for NaNs (`inf`: and infinities) in what this thread evaluates within the block.

    Every floating or complex result that a step puts in memory is looked at where it lies: one bool crosses from a
    GPU.  At the first that has one, the operations of that step are run one by one to find the one that made it.
    Numbers and arrays that had one before are named when it spreads into a result.  `deep` looks at every operation,
    also at those whose results fusion keeps out of memory, and whose NaNs vanish, in a `where` for one; nothing is
    fused then.

    The values are those of a run without the check.  Evaluate inside the block what it is to look at.  PLAIT_CHECK_NAN=1
    (or "inf", "deep", "inf,deep") does the same for the whole process.

    Errors: NanError, a FloatingPointError, with the operation, its line and transforms, how many elements there are
    and where the first is, and what the operands are there.  The arrays are as before, their work not done.
    """
    before = pc.set_nan_check(True, inf, deep)
    try:
        yield
    finally:
        pc.set_nan_check(*before)


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
