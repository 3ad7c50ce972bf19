"""The statistics of a comparison: ratios paired by round, their median, and how sure it is.

All functions take the rounds of a side as a list with one number a round, None where the side did not run.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

Rounds = Sequence[float | None]


@dataclass(frozen=True)
class Ratio:
    """Median of paired ratios, with the interval that holds the true median with 95 % confidence."""

    median: float
    low: float
    high: float
    rounds: int


def paired(numerator: Rounds, denominator: Rounds) -> list[float]:
    """numerator / denominator for every round in which both sides ran."""
    return [n / d for n, d in zip(numerator, denominator, strict=False) if n is not None and d]


def median_interval(values: Sequence[float], confidence: float = 0.95) -> tuple[float, float]:
    """Order statistics around the median; free of any assumption about the distribution.

    The number of values below the true median is binomial(n, 1/2), so the interval between the k-th smallest and the
    k-th largest value misses it with probability 2 * P(binomial < k). Below six values no pair reaches 95 %: the whole
    range is given.
    """
    ordered = sorted(values)
    n = len(ordered)
    below, k = 0.0, 0
    while k < n // 2:
        below += math.comb(n, k) / 2**n
        if 2 * below > 1 - confidence:
            break
        k += 1
    k = max(k, 1)
    return ordered[k - 1], ordered[n - k]


def ratio(numerator: Rounds, denominator: Rounds) -> Ratio | None:
    """How many times `denominator` the `numerator` takes; None when no round has both."""
    values = paired(numerator, denominator)
    if not values:
        return None
    low, high = median_interval(values)
    return Ratio(statistics.median(values), low, high, len(values))


def spread(side: Rounds, again: Rounds) -> float | None:
    """How far a side measured against itself strays from 1, as a fraction.

    `again` is the same program in a second process of the same rounds. The wider end of the interval of their ratio
    counts, so that a lasting difference between two processes (where their memory happens to lie) is part of it.
    """
    self_ratio = ratio(side, again)
    if self_ratio is None:
        return None
    return max(abs(self_ratio.low - 1), abs(self_ratio.high - 1))


def median(side: Rounds) -> float | None:
    """Median of the rounds that ran."""
    values = [value for value in side if value is not None]
    return statistics.median(values) if values else None
