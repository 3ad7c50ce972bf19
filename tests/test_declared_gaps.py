"""Every primitive can run and has its rules, or says why not; every function has samples, which all tests go by."""

import json
from pathlib import Path

import pytest

from gen.coverage import BY_HAND, cuda_kernels, kernels

ROOT = Path(__file__).parent.parent
SCHEMA = json.loads((ROOT / "schema/ops.json").read_text())
PRIMITIVES = [p for p in SCHEMA["primitives"] if p["kind"] not in ("constant", "placeholder")]
NO_OPERAND = "it has no array operand"
# What falls back from a GPU to the CPU: factorisations of small matrices, kernels that are for it.
ON_THE_CPU = {"covariance_root", "covariance_root_change", "cpu_kernel", "eig", "pinv"}


@pytest.mark.parametrize("primitive", PRIMITIVES, ids=lambda p: p["name"])
def test_a_missing_rule_has_a_reason(primitive: dict) -> None:
    assert primitive["vjp"] == primitive["jvp"]
    without_rules = not (primitive["vjp"] or primitive["vmap"] or primitive["not_differentiable"])  # no_vmap says why
    assert without_rules or primitive["vjp"] != bool(primitive["not_differentiable"])
    assert primitive["vmap"] != bool(primitive["no_vmap"])


@pytest.mark.parametrize("primitive", PRIMITIVES, ids=lambda p: p["name"])
def test_only_what_has_no_operand_says_so(primitive: dict) -> None:
    alone = not primitive["inputs"]
    assert (primitive["not_differentiable"] == NO_OPERAND) == alone
    assert (primitive["no_vmap"] == NO_OPERAND) == alone


@pytest.mark.parametrize("function", SCHEMA["functions"], ids=lambda f: f"{f['module']}.{f['name']}")
def test_a_function_has_samples(function: dict) -> None:
    name = f"{function['module']}.{function['name']}".removeprefix("core.")
    sampled = any(not s["error"] for s in function["samples"])
    assert sampled != (name in BY_HAND)
    if not sampled:
        assert function["name"] in (ROOT / BY_HAND[name]).read_text()


@pytest.mark.parametrize("primitive", [p for p in PRIMITIVES if p["kind"] == "opaque"], ids=lambda p: p["name"])
def test_an_opaque_primitive_has_a_kernel(primitive: dict) -> None:
    assert kernels().get(primitive["name"])


@pytest.mark.parametrize("primitive", [p for p in PRIMITIVES if p["kind"] == "opaque"], ids=lambda p: p["name"])
def test_only_known_primitives_fall_back_from_a_gpu(primitive: dict) -> None:
    assert (primitive["name"] in cuda_kernels()) != (primitive["name"] in ON_THE_CPU)
