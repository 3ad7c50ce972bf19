"""Checked sizes for layers that slide a window over 1 to 3 axes."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

Size = int | Sequence[int]


def sizes(layer: str, name: str, value: Any, rank: int, least: int) -> Any:
    """`value` as `rank` ints, a single one standing for all. `ValueError` unless each is at least `least`."""
    items = value if isinstance(value, (tuple, list)) else (value,) * rank
    try:
        result = tuple(operator.index(item) for item in items)
    except TypeError:
        result = ()
    if len(result) != rank:
        wanted = "an int" if rank == 1 else f"an int or {rank} ints"
        raise ValueError(f"{layer}: {name} must be {wanted}, got {value!r}")
    if min(result) < least:
        raise ValueError(f"{layer}: {name} must be at least {least}, got {value!r}")
    return result


def given(layer: str, name: str, value: Any, rank: int, least: int) -> Any:
    """`value` as it came, for settings that layers show unexpanded; checked as by `sizes`."""
    sizes(layer, name, value, rank, least)
    return value


def size(layer: str, name: str, value: Any, least: int) -> int:
    """`value` as one int of at least `least`, else `ValueError`."""
    return int(sizes(layer, name, value, 1, least)[0])
