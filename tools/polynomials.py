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
        error = [w * (x**first * evaluate(found, x) - t) for x, w, t in zip(grid, weights, targets, strict=True)]
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
    """Rounded coefficients, at once or one by one, whichever is better, and the largest weighted error with them."""
    round_to = to_float if spec.bits == 24 else to_double
    grid = chebyshev_points(spec.low, spec.high, 2 * GRID)
    weights = [spec.weight(x) for x in grid]
    targets = [spec.target(x) for x in grid]

    def worst_of(c: list[mpf]) -> mpf:
        return max(abs(w * (evaluate(c, x) - t)) for x, w, t in zip(grid, weights, targets, strict=True))

    at_once, _ = remez(spec.target, spec.weight, spec.low, spec.high, 0, spec.terms)
    candidates = [[round_to(c) for c in at_once]]
    fixed: list[mpf] = []
    for k in range(spec.terms if spec.terms <= 20 else 0):  # beyond it takes many minutes and gains nothing
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


def log2_erfc(y: mpf) -> mpf:
    return mp.log(mp.erfc(y + 1), 2)


def asin_tail(z: mpf) -> mpf:  # (asin(x) - x) / x^3 in z = x^2
    return mp.hyp3f2(mpf(3) / 2, mpf(3) / 2, 1, mpf(5) / 2, 2, z) / 6


def atan_tail(z: mpf) -> mpf:  # (atan(x) - x) / x^3 in z = x^2
    return -mp.hyp2f1(mpf(3) / 2, 1, mpf(5) / 2, -z) / 3


def sinh_tail(z: mpf) -> mpf:  # (sinh(x) - x) / x^3 in z = x^2
    return sin_tail(-z) * -1


def tan_tail(z: mpf) -> mpf:  # (tan(x) - x) / x^3 in z = x^2
    x = mp.sqrt(z)
    return mpf(1) / 3 + z * 2 / 15 if x < mpf(10) ** -12 else (mp.tan(x) - x) / x**3


def log_odd_tail(z: mpf) -> mpf:  # (log(1 + f) / s - 2) / s^2 in z = s^2, s = f / (2 + f)
    return mpf(2) / 3 * mp.hyp2f1(mpf(3) / 2, 1, mpf(5) / 2, z)


def log_odd_tail_2(z: mpf) -> mpf:  # (log(1 + f) - 2 s - 2/3 s^3) / s^5 in z = s^2
    return mpf(2) / 5 * mp.hyp2f1(mpf(5) / 2, 1, mpf(7) / 2, z)


def erfinv_ratio(s: mpf) -> mpf:  # erfinv(x) / x where s = sqrt(-log(1 - x^2))
    if s < mpf(10) ** -12:
        return mp.sqrt(mp.pi) / 2
    x = mp.sqrt(-mp.expm1(-s * s))
    return mp.erfinv(x) / x


SPECS: list[Spec] = []


def add(name: str, bits: int, low: object, high: object, terms: int, target: Real, weight: Real) -> None:
    SPECS.append(Spec(name, bits, mpf(low), mpf(high), terms, target, weight))


def add_odd(name: str, bits: int, high: object, terms: int, tail: Real) -> None:
    """f(x) = x + x^3 p(x^2) for x^2 <= high, relative error."""
    add(name, bits, 0, high, terms, tail, lambda z: z / (1 + z * tail(z)))


HALF_PI_SQUARED = (mp.pi / 2 * mpf("1.01")) ** 2
QUARTER_PI_SQUARED = (mp.pi / 4 * mpf("1.03")) ** 2


def add_all(suffix: str, bits: int, terms: dict[str, int]) -> None:
    # exp(r) = 1 + r + r^2 p(r)
    add("exp" + suffix, bits, -LN2_HALF, LN2_HALF, terms["exp"], exp_tail, lambda r: r * r / mp.exp(r))
    # 2^r = 1 + r p(r)
    add("exp2" + suffix, bits, -0.5005, 0.5005, terms["exp2"], exp2_head, lambda r: abs(r) / mpf(2) ** r)
    add_odd("sin" + suffix, bits, HALF_PI_SQUARED, terms["sin"], sin_tail)
    add_odd("tan" + suffix, bits, QUARTER_PI_SQUARED, terms["tan"], tan_tail)
    add_odd("asin" + suffix, bits, 0.3165, terms["asin"], asin_tail)
    add_odd("atan" + suffix, bits, 1, terms["atan"], atan_tail)
    add_odd("atanh" + suffix, bits, 0.0625, terms["atanh"], lambda z: log_odd_tail(z) / 2)
    add_odd("sinh" + suffix, bits, 1, terms["sinh"], sinh_tail)
    # erf(x) = x + x p(x^2) on [0, 1]
    add("erf_near" + suffix, bits, 0, 1, terms["erf_near"], lambda z: erf_ratio(z) - 1, lambda z: 1 / erf_ratio(z))
    # erf(x) = 1 - 2^p(x - 1) from 1 to where erf rounds to 1: only the bits of erfc that reach 1 matter
    top = 3 if bits == 24 else 5
    add("erf_far" + suffix, bits, 0, top, terms["erf_far"], log2_erfc, lambda y: mp.log(2) * mp.erfc(y + 1))


add_all("_f32", 24, dict(exp=5, exp2=6, sin=4, tan=7, asin=5, atan=9, atanh=4, sinh=3, erf_near=7, erf_far=7))
# log(1 + f) = f + f^2 p(f), mantissa in [0.75, 1.5)
add("log_f32", 24, -0.25, 0.5, 9, log_tail, lambda f: abs(f) / log_ratio(f))
# 2^r = 1 + r p(r), where few bits are needed
add("exp2_short_f32", 24, -0.5005, 0.5005, 5, exp2_head, lambda r: abs(r) / mpf(2) ** r)
# log2(1 + f) = f p(f) and 2^r = 1 + r p(r) for the power of floats, in double but to 35 and 30 bits
add("pow_log2_f32", 53, -0.25, 0.5, 13, lambda f: log_ratio(f) / mp.log(2), lambda f: mp.log(2) / log_ratio(f))
add("pow_exp2_f32", 53, -0.5005, 0.5005, 6, exp2_head, lambda r: abs(r) / mpf(2) ** r)


# erfinv(x) = x p(w) for small w = -log(1 - x^2), with polynomials in s = sqrt(w) beyond (as M. Giles, 2010)
def add_erfinv(name: str, bits: int, low: object, high: object, terms: int, s_of: Real) -> None:
    add(name, bits, low, high, terms, lambda x: erfinv_ratio(s_of(x)), lambda x: 1 / erfinv_ratio(s_of(x)))


# In float the constants come in two parts: c + c' + x p(x)
def add_erfinv_rest(name: str, low: object, high: object, terms: int, s_of: Real, constant: mpf) -> None:
    def rest(x: mpf) -> mpf:
        if abs(x) < mpf(10) ** -15:
            return mp.diff(lambda t: erfinv_ratio(s_of(t)), mpf(10) ** -15)
        return (erfinv_ratio(s_of(x)) - constant) / x

    add(name, 24, low, high, terms, rest, lambda x: abs(x) / erfinv_ratio(s_of(x)))


add_erfinv_rest("erfinv_near_f32", 0, 5, 9, mp.sqrt, mp.sqrt(mp.pi) / 2)
add_erfinv_rest("erfinv_far_f32", "-0.77", 1, 9, lambda x: x + 3, erfinv_ratio(mpf(3)))

add_all("_f64", 53, dict(exp=10, exp2=11, sin=9, tan=14, asin=14, atan=20, atanh=9, sinh=7, erf_near=14, erf_far=18))
# log(1 + f) = 2 s + s^3 p(s^2), s = f / (2 + f), mantissa in [0.75, 1.5)
add("log_f64", 53, 0, 0.04, 7, log_odd_tail, lambda z: z / 2)
# log(1 + f) = 2 s + 2/3 s^3 + s^5 p(s^2), for the power of doubles; relative to log
add("pow_log_f64", 53, 0, 0.0401, 7, log_odd_tail_2, lambda z: z * z / 2)
add_erfinv("erfinv_near_f64", 53, 0, 5, 22, mp.sqrt)
add_erfinv("erfinv_middle_f64", 53, "-0.65", "0.65", 21, lambda x: x + mpf("2.85"))
add_erfinv("erfinv_far_f64", 53, "-1.35", "1.35", 23, lambda x: x + mpf("4.85"))


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
