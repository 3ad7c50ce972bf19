"""How much of the recorded interface plait offers may only grow."""

import re
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "facts"))
import floor


@pytest.mark.parametrize("table", floor.COMMANDS)
def test_the_floor_only_rises(table: str, record_property: Callable[[str, object], None]) -> None:
    counts, report = floor.measure(table)
    assert "total" in counts, report
    record_property("closing note", f"{table}: {re.search('^total +(.*)', report, re.MULTILINE)[1]}")

    least = floor.recorded()[table]
    fallen = {
        group: f"{counts.get(group, 0)}, was {held}" for group, held in least.items() if counts.get(group, 0) < held
    }
    assert not fallen, f"{fallen}\n{report}"
    if any(held > least.get(group, 0) for group, held in counts.items()):
        warnings.warn(f"{table}: more holds than recorded; run `python tests/facts/floor.py --raise`", stacklevel=1)
