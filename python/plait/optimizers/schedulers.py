"""Schedules: functions from the number of steps done (an int or an integer array) to a learning rate.

Pass one in place of the number an optimizer takes as its learning rate.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import plait.core as pc

Schedule = Callable[[Any], Any]


def _positive(schedule: str, name: str, value: int) -> None:
    if value < 1:
        raise ValueError(f"{schedule}: {name} must be at least 1, got {value}")


# What a schedule computes is a function of this module with the parameters bound, so that it can be pickled and copied
# like the optimizer that holds it.


def _exponential(init: float, decay_rate: float, step: Any) -> Any:
    return init * decay_rate**step


def _stepped(init: float, decay_rate: float, step_size: int, step: Any) -> Any:
    return init * decay_rate ** (step // step_size)


def _cosine(init: float, decay_steps: int, end: float, step: Any) -> Any:
    angle = pc.minimum(step, decay_steps) * (math.pi / decay_steps)
    return end + (0.5 * (init - end)) * (1 + pc.cos(angle))


def _linear(init: float, end: float, steps: int, step: Any) -> Any:
    return init + pc.minimum(step, steps) * ((end - init) / steps)


def _joined(schedules: list[Schedule], boundaries: list[int], step: Any) -> Any:
    rate = schedules[0](step)
    for boundary, following in zip(boundaries, schedules[1:], strict=True):
        # Steps before the boundary never reach `following` as negative (or, unsigned, as huge) numbers.
        rate = pc.where(step < boundary, rate, following(pc.maximum(step, boundary) - boundary))
    return rate


def exponential_decay(init: float, decay_rate: float) -> Schedule:
    """init * decay_rate ** step."""
    return partial(_exponential, init, decay_rate)


def step_decay(init: float, decay_rate: float, step_size: int) -> Schedule:
    """init * decay_rate ** (step // step_size)."""
    _positive("step_decay", "step_size", step_size)
    return partial(_stepped, init, decay_rate, step_size)


def cosine_decay(init: float, decay_steps: int, end: float = 0.0) -> Schedule:
    """Half a cosine wave from `init` to `end` over `decay_steps` steps, then `end`.

    Source: Loshchilov and Hutter, 2017, "SGDR: Stochastic Gradient Descent with Warm Restarts".
    """
    _positive("cosine_decay", "decay_steps", decay_steps)
    return partial(_cosine, init, decay_steps, end)


def linear_schedule(init: float, end: float, steps: int) -> Schedule:
    """A straight line from `init` to `end` over `steps` steps, then `end`."""
    _positive("linear_schedule", "steps", steps)
    return partial(_linear, init, end, steps)


def join_schedules(schedules: list[Schedule], boundaries: list[int]) -> Schedule:
    """One schedule after another: number i + 1 from step ``boundaries[i]`` on, which is its step 0.

    Raises `ValueError` unless there is one boundary less than schedules.
    """
    if not schedules or len(boundaries) != len(schedules) - 1:
        raise ValueError(
            "join_schedules: needs at least one schedule and one boundary less than schedules, "
            f"got {len(schedules)} schedules and {len(boundaries)} boundaries"
        )
    return partial(_joined, list(schedules), list(boundaries))
