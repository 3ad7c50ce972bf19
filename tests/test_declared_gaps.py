"""Every primitive can run, and says why where it has no rule."""

import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tools"))
from gen.coverage import NOT_YET, cuda_kernels, kernels  # noqa: E402

PRIMITIVES = [
    p
    for p in json.loads((ROOT / "schema/ops.json").read_text())["primitives"]
    if p["kind"] not in ("constant", "placeholder")
]


@pytest.mark.parametrize("primitive", PRIMITIVES, ids=lambda p: p["name"])
def test_a_missing_rule_has_a_reason(primitive: dict) -> None:
    differentiable = primitive["vjp"] and primitive["jvp"]
    assert differentiable or primitive["not_differentiable"] or primitive["name"] in NOT_YET
    assert not (differentiable and primitive["name"] in NOT_YET)
    assert primitive["vmap"] or primitive["no_vmap"]


@pytest.mark.parametrize("primitive", [p for p in PRIMITIVES if p["kind"] == "opaque"], ids=lambda p: p["name"])
def test_an_opaque_primitive_has_a_kernel(primitive: dict) -> None:
    assert kernels().get(primitive["name"])


@pytest.mark.parametrize("primitive", [p for p in PRIMITIVES if p["kind"] == "opaque"], ids=lambda p: p["name"])
def test_only_known_primitives_fall_back_from_a_gpu(primitive: dict) -> None:
    assert (primitive["name"] in cuda_kernels()) == (primitive["name"] != "covariance_root")
