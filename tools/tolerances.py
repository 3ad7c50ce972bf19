#!/usr/bin/env python3
# ruff: noqa: E402
"""Measures how far the results of functions are from their oracles, and writes tests/tolerances.json.

tolerances.py            for functions that have no entry
tolerances.py --all      for all
tolerances.py --show     prints what was measured, and writes nothing

Each case of tests/parity is measured; an entry is a power of 2, for other machines at least one and a half times what
was found, or four times of sums, and 0 where all results are equal. docs/ops/tolerances.md shows the table
(tools/gen.py --update).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests/parity")]

import test_ops

import op_cases
import plait.core as pc
from gen.samples import DTYPES, Function

# Families whose results are sums: libraries and instruction sets add in other orders.
SUMMED = {"fft", "linalg", "nn", "quant", "reduce", "scan"}


def measured(function: Function) -> list[float]:
    """The largest error by column of the table, in eps."""
    worst = [0.0, 0.0, 0.0]
    for dtype in DTYPES:
        if not function.takes(dtype):
            continue
        more = [op_cases.Case(function, sample, dtype) for sample in test_ops.large_and_small(function)]
        for case in [*op_cases.cases(function, dtype), *more]:
            for layout in case.layouts():
                try:
                    got = case.call(case.arrays(layout))
                    pc.eval(got)
                    want = test_ops.expected(case, got, layout)
                except (pc.DTypeError, TypeError):
                    break
                for a, b in zip(got, want, strict=True):
                    if op_cases.inexact(a):
                        column = op_cases.COLUMN[op_cases.name_of(a.dtype)]
                        worst[column] = max(worst[column], op_cases.distance(a, b))
    return worst


def entry(function: Function, worst: list[float]) -> list[float]:
    if not any(worst):
        return [0, 0, 0]
    summed = function.entry["family"] in SUMMED
    margin, least = (4, [1, 4, 4]) if summed else (1.5, [1, 1, 1])
    return [max(n, int(2 ** np.ceil(np.log2(margin * w)))) if w > 0 else n for w, n in zip(worst, least, strict=True)]


def main(arguments: list[str]) -> int:
    path = ROOT / "tests/tolerances.json"
    known = op_cases.TOLERANCES
    table = {"other": known["other"]}
    for function in sorted(test_ops.WITH_ORACLE, key=str):
        name = str(function)
        if name in known and not arguments:
            table[name] = known[name]
            continue
        worst = measured(function)
        if not np.isfinite(worst).all():
            raise SystemExit(f"{name}: another number, NaN or sign of infinity than its oracle's")
        table[name] = entry(function, worst)
        print(name, *(f"{w:.3g}" for w in worst), table[name])
    if "--show" not in arguments:
        rows = ",\n".join(f" {json.dumps(name)}: {json.dumps(row)}" for name, row in table.items())
        path.write_text("{\n" + rows + "\n}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
