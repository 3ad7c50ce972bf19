#!/usr/bin/env python3
"""Derive and print the polynomial coefficients used in src/backends/cpu/simd.

Each entry of SPECS names a function, an interval, the powers that are free and the weight that turns an error of the
polynomial into the relative error of the final result. The Remez exchange algorithm (E. Remez, 1934) finds the
minimax polynomial in high precision. Coefficients are then rounded, all at once or one at a time with the remaining
ones fitted again (so that later coefficients take up the rounding of earlier ones), whichever ends up better.

Needs mpmath.  Usage: tools/polynomials.py [name ...]
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable
from dataclasses import dataclass

from mpmath import mp, mpf

mp.dps = 60
Real = Callable[[mpf], mpf]
GRID = 600


@dataclass(frozen=True)
class Spec:
    """Find p(x) = sum of c[k] x**k for k in range(terms), minimising |weight(x) (p(x) - target(x))| on [low, high]."""

    name: str
    bits: int  # 24: coefficients rounded to float, 53: to double
    low: mpf
    high: mpf
    terms: int
    target: Real
    weight: Real


def to_float(x: mpf) -> mpf:
    return mpf(struct.unpack("f", struct.pack("f", float(x)))[0])


def to_double(x: mpf) -> mpf:
    return mpf(float(x))


def evaluate(coefficients: list[mpf], x: mpf) -> mpf:
    result = mpf(0)
    for c in reversed(coefficients):
        result = result * x + c
    return result


def chebyshev_points(low: mpf, high: mpf, count: int) -> list[mpf]:
    middle, half = (low + high) / 2, (high - low) / 2
    return [middle - half * mp.cos(mp.pi * i / (count - 1)) for i in range(count)]


def remez(target: Real, weight: Real, low: mpf, high: mpf, first: int, terms: int) -> tuple[list[mpf], mpf]:
    """Minimax coefficients of x**first .. x**(first+terms-1), and the largest weighted error."""
    points = chebyshev_points(low, high, terms + 1)
    grid = chebyshev_points(low, high, GRID)
    weights = [weight(x) for x in grid]
    targets = [target(x) for x in grid]
    best: tuple[list[mpf], mpf] | None = None
    for _ in range(12):
        rows = mp.matrix(terms + 1, terms + 1)
        right = mp.matrix(terms + 1, 1)
        for i, x in enumerate(points):
            w = weight(x)
            for k in range(terms):
                rows[i, k] = w * x ** (first + k)
            rows[i, terms] = mpf(-1) ** i
            right[i] = w * target(x)
        solution = mp.lu_solve(rows, right)
        found = [solution[k] for k in range(terms)]
        error = [w * (x**first * evaluate(found, x) - t) for x, w, t in zip(grid, weights, targets)]
        worst = max(abs(e) for e in error)
        if best is None or worst < best[1]:
            best = (found, worst)
        # New points: the largest error within each run of equal sign.
        runs: list[int] = []
        for i, e in enumerate(error):
            if runs and (e > 0) == (error[runs[-1]] > 0):
                if abs(e) > abs(error[runs[-1]]):
                    runs[-1] = i
            else:
                runs.append(i)
        while len(runs) > terms + 1:
            runs.pop(0 if abs(error[runs[0]]) < abs(error[runs[-1]]) else -1)
        if len(runs) < terms + 1 or worst - abs(solution[terms]) < worst / 200:
            break
        points = [grid[i] for i in runs]
    assert best is not None
    return best


def derive(spec: Spec) -> tuple[list[mpf], mpf]:
    """Rounded coefficients and the largest weighted error with them: rounded at once or one by one, whichever is better."""
    round_to = to_float if spec.bits == 24 else to_double
    grid = chebyshev_points(spec.low, spec.high, 2 * GRID)
    weights = [spec.weight(x) for x in grid]
    targets = [spec.target(x) for x in grid]

    def worst_of(c: list[mpf]) -> mpf:
        return max(abs(w * (evaluate(c, x) - t)) for x, w, t in zip(grid, weights, targets))

    at_once, _ = remez(spec.target, spec.weight, spec.low, spec.high, 0, spec.terms)
    candidates = [[round_to(c) for c in at_once]]
    fixed: list[mpf] = []
    for k in range(spec.terms):
        known = list(fixed)

        def rest(x: mpf, known: list[mpf] = known) -> mpf:
            return spec.target(x) - evaluate(known, x) if known else spec.target(x)

        fitted, _ = remez(rest, spec.weight, spec.low, spec.high, k, spec.terms - k)
        fixed.append(round_to(fitted[0]))
        candidates.append(fixed + [round_to(c) for c in fitted[1:]])
    best = min(candidates, key=worst_of)
    return best, worst_of(best)


LN2_HALF = mp.log(2) / 2 * mpf("1.001")  # rounding of the multiplier reaches a little past half


def exp_tail(x: mpf) -> mpf:  # (exp(x) - 1 - x) / x^2
    return mp.hyp1f1(1, 3, x) / 2


def exp2_head(x: mpf) -> mpf:  # (2^x - 1) / x
    return mp.log(2) * mp.hyp1f1(1, 2, x * mp.log(2))


def log_tail(x: mpf) -> mpf:  # (log(1 + x) - x) / x^2
    return -mp.hyp2f1(2, 1, 3, -x) / 2


def log_ratio(x: mpf) -> mpf:  # log(1 + x) / x
    return mp.hyp2f1(1, 1, 2, -x)


def sin_tail(z: mpf) -> mpf:  # (sin(x) - x) / x^3 in z = x^2
    return -mp.hyp1f2(1, 2, mpf(5) / 2, -z / 4) / 6


def sinc(z: mpf) -> mpf:  # sin(x) / x in z = x^2
    return mp.hyp0f1(mpf(3) / 2, -z / 4)


def erf_ratio(z: mpf) -> mpf:  # erf(x) / x in z = x^2
    return 2 / mp.sqrt(mp.pi) * mp.hyp1f1(mpf(1) / 2, mpf(3) / 2, -z)


SPECS: list[Spec] = []


def add(name: str, bits: int, low: object, high: object, terms: int, target: Real, weight: Real) -> None:
    SPECS.append(Spec(name, bits, mpf(low), mpf(high), terms, target, weight))


# exp(r) = 1 + r + r^2 p(r)
add("exp_f32", 24, -LN2_HALF, LN2_HALF, 5, exp_tail, lambda r: r * r / mp.exp(r))
# 2^r = 1 + r p(r)
add("exp2_f32", 24, -0.5005, 0.5005, 6, exp2_head, lambda r: abs(r) / mpf(2) ** r)
# log(1 + f) = f + f^2 p(f), mantissa in [0.75, 1.5)
add("log_f32", 24, -0.25, 0.5, 9, log_tail, lambda f: abs(f) / log_ratio(f))
# sin(r) = r + r^3 p(r^2)
HALF_PI_SQUARED = (mp.pi / 2 * mpf("1.01")) ** 2
add("sin_f32", 24, 0, HALF_PI_SQUARED, 4, sin_tail, lambda z: z / sinc(z))
# erf(x) = x + x p(x^2) on [0, 1]
add("erf_near_f32", 24, 0, 1, 7, lambda z: erf_ratio(z) - 1, lambda z: 1 / erf_ratio(z))
# erf(x) = 1 - 2^p(x - 1) on [1, 4]: only the bits of erfc that reach 1 matter
add("erf_far_f32", 24, 0, 3, 7, lambda y: mp.log(mp.erfc(y + 1), 2), lambda y: mp.log(2) * mp.erfc(y + 1))
# 2^r = 1 + r p(r), for erf and erfc parts that need few bits
add("exp2_short_f32", 24, -0.5005, 0.5005, 5, exp2_head, lambda r: abs(r) / mpf(2) ** r)


def literal(c: mpf) -> str:
    mantissa, exponent = float(c).hex().split("p")
    return mantissa.rstrip("0").rstrip(".") + "p" + exponent


def main() -> None:
    wanted = sys.argv[1:]
    for spec in SPECS:
        if wanted and spec.name not in wanted:
            continue
        coefficients, worst = derive(spec)
        kind = "float" if spec.bits == 24 else "double"
        suffix = "f" if spec.bits == 24 else ""
        print(f"// {spec.name}: weighted error 2^{float(mp.log(worst, 2)):.1f}", flush=True)
        print(f"constexpr {kind} k[{len(coefficients)}] = {{", end="")
        print(", ".join(literal(c) + suffix for c in coefficients), end="};\n", flush=True)


if __name__ == "__main__":
    main()
