"""Taking laziness apart: what is done while a fault is looked for.

    from plait import debug

    with debug.eager():          # each operation is evaluated when it is made: step through with a debugger
        train_one_step()

docs/debugging.md shows each with its output.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import plait.core as pc

__all__ = ["eager"]


@contextlib.contextmanager
def eager() -> Iterator[None]:
    """Evaluate each operation of this thread when it is made, so that its errors come at the line itself.

    Functions given to `compile` run as they are.  Inside `grad` values are known and evaluated too; inside `vmap`, and
    in what records a program (the body of a loop, an export), they are not, and operations on them stay in the graph.
    PLAIT_EAGER=1 does the same for the whole process.
    """
    before = pc.set_eager(True)
    try:
        yield
    finally:
        pc.set_eager(before)
