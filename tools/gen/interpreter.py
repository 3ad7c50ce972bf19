"""Runs examples as an interpreter would."""

from __future__ import annotations

import contextlib
import doctest
import io
import sys
from collections.abc import Iterator

import numpy as np


@contextlib.contextmanager
def displayed(into: io.StringIO) -> Iterator[None]:
    """What statements print, and the values of those that are expressions."""
    before = sys.displayhook
    sys.displayhook = lambda value: None if value is None else print(repr(value))
    try:
        with contextlib.redirect_stdout(into):
            yield
    finally:
        sys.displayhook = before


def run(text: str) -> list[str]:
    """The lines of a text with prompts, with what each statement displays in place of what stands there."""
    import plait.core as pc

    scope: dict[str, object] = {"pc": pc, "nan": np.nan, "inf": np.inf}
    out: list[str] = []
    for example in doctest.DocTestParser().get_examples(text):
        first, *more = example.source.rstrip("\n").split("\n")
        out += [f">>> {first}", *(f"... {line}".rstrip() for line in more)]
        with displayed(into := io.StringIO()):
            exec(compile(example.source, "<example>", "single"), scope)
        out += into.getvalue().splitlines()
    return out
