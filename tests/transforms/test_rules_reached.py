"""Each rule of each primitive is called by the cases of these tests: one that none calls would be right by luck."""

from __future__ import annotations

import functools
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parent.parent
SCHEMA = json.loads((TESTS.parent / "schema/ops.json").read_text())
PRIMITIVES = [p for p in SCHEMA["primitives"] if p["kind"] not in ("constant", "placeholder")]
MOVING = {"float16", "bfloat16", "float32", "float64", "complex64"}

# Primitives that hold functions, which no sample can give: tests that take them through every transform.
ELSEWHERE = {
    "call_without_rules": "python/test_export.py",
    "cond": "transforms/test_control_flow.py",
    "scan": "transforms/test_scan.py",
    "while_loop": "transforms/test_control_flow.py",
    "custom_call": "transforms/test_custom.py",
    "depends": "transforms/test_custom.py",
}
# Primitives that one function alone is made from, whose operands vary only as it has them.
WITHIN = {
    "segment_scan": "gradients of .at[].multiply start it where positions change, and have a term there alone",
    "affine_gathered_matmul": "gather_qmm makes it of six arrays, of which one, two and all are mapped",
    "attention_vjp": "gradients of attention are made by it",
    "straight_through": "qqmm hands it numbers and what they stand for once packed, which has no derivative",
}
# Calls that cannot come about: "PRIMITIVE RULE DIGITS", the digits as `count_rule` writes them.
IMPOSSIBLE = {
    "make_complex jvp 11": "only rounding joins two parts that depend on an argument, and they do not move with it",
}


@functools.cache
def reached() -> dict[str, set[str]]:
    """The digits of all calls of a rule ("multiply vjp"): which inputs it was called for."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(TESTS), str(TESTS.parent / "tools"), os.environ.get("PYTHONPATH", "")]),
        "PLAIT_COUNT_RULES": "1",
        "PLAIT_SIMULATE_GPU": "1",
    }
    command = [sys.executable, str(TESTS / "reached_rules.py"), *sorted({str(TESTS / f) for f in ELSEWHERE.values()})]
    run = subprocess.run(command, env=environment, cwd=TESTS.parent, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    out: dict[str, set[str]] = {}
    for name in json.loads(run.stdout):
        _, op, rule, digits = name.split(" ") if name.count(" ") == 3 else (*name.split(" "), "")
        out.setdefault(f"{op} {rule}", set()).add(digits)
    return out


def wanted(primitive: dict, rule: str) -> Iterator[str]:
    """For derivatives each input that can move alone, and all of them; for batches each set of inputs."""
    inputs = primitive["inputs"]
    names = range(len(inputs))
    if primitive["variadic"]:
        names = range(2)  # what holds for two holds for more
    if rule != "vmap":
        names = [i for i in names if MOVING & set(inputs[min(i, len(inputs) - 1)]["dtypes"])]
    count = max(len(inputs), 2) if primitive["variadic"] else len(inputs)
    for size in {1, len(names)} if rule != "vmap" else range(1, len(names) + 1):
        for chosen in itertools.combinations(names, size):
            yield "".join(str(int(i in chosen)) for i in range(count))


@pytest.mark.parametrize("primitive", PRIMITIVES, ids=lambda p: p["name"])
def test_every_rule_is_called(primitive: dict) -> None:
    name = primitive["name"]
    for rule in ("vjp", "jvp", "vmap"):
        digits = reached().get(f"{name} {rule}", set())
        if not primitive[rule]:
            assert not digits
            continue
        if name in ELSEWHERE:
            assert digits, f"{rule} of {name} is never called by {ELSEWHERE[name]}"
            continue
        if name in WITHIN:
            assert digits, f"{rule} of {name} is never called"
            continue
        missing = [d for d in wanted(primitive, rule) if d not in digits]
        impossible = [d for d in missing if f"{name} {rule} {d}" in IMPOSSIBLE]
        assert missing == impossible, f"{rule} of {name} was called for {sorted(digits)}, never for {missing}"


def test_no_gap_is_declared_in_vain() -> None:
    calls = {f"{rule} {d}" for rule, digits in reached().items() for d in digits}
    assert not calls & set(IMPOSSIBLE)
    names = {p["name"] for p in PRIMITIVES}
    assert not {key.split()[0] for key in IMPOSSIBLE} - names and not {*ELSEWHERE, *WITHIN} - names
