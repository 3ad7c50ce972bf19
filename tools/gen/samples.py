# ruff: noqa: E501
"""Functions of schema/ops.json as they are called: parameters, samples, and where a sample's arguments go."""

from __future__ import annotations

import ast
import functools
import importlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

SCHEMA = json.loads((Path(__file__).resolve().parents[2] / "schema/ops.json").read_text())
PRIMITIVES = {p["name"]: p for p in SCHEMA["primitives"]}
DTYPES = ["bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float16", "bfloat16", "float32", "float64", "complex64"]  # fmt: skip


@dataclass(frozen=True)
class Param:
    name: str
    how: str  # "positional", "either", "keyword", "all" (*args)
    annotation: str
    default: object

    @property
    def takes_arrays(self) -> bool:
        return "array" in self.annotation

    @property
    def takes_list(self) -> bool:
        return self.annotation.startswith(("list[array]", "Sequence[array]"))


def parameters(signature: str) -> list[Param]:
    tree = ast.parse(f"def f{signature}: ...").body[0]
    assert isinstance(tree, ast.FunctionDef)
    args = tree.args
    out: list[Param] = []
    ordered = [(a, "positional") for a in args.posonlyargs] + [(a, "either") for a in args.args]
    defaults: list[ast.expr | None] = [None] * (len(ordered) - len(args.defaults)) + list(args.defaults)
    keyword = [(a, "keyword") for a in args.kwonlyargs]
    every = [*zip(ordered, defaults, strict=True), *zip(keyword, args.kw_defaults, strict=True)]
    if args.vararg:
        every.insert(len(ordered), ((args.vararg, "all"), None))
    for (arg, how), default in every:
        value = None
        if default is not None:
            try:
                value = ast.literal_eval(default)
            except ValueError:
                value = np.dtype(ast.unparse(default).replace("bfloat16", "float32"))  # a dtype's name
        out.append(Param(arg.arg, how, ast.unparse(arg.annotation) if arg.annotation else "", value))
    return out


@dataclass(frozen=True)
class Function:
    entry: dict
    name: str  # "linalg.norm"

    def __str__(self) -> str:
        return self.name

    @property
    def samples(self) -> list[dict[str, str]]:
        return [s for s in self.entry["samples"] if not s["error"]]

    @property
    def rejects(self) -> list[dict[str, str]]:
        return [s for s in self.entry["samples"] if s["error"]]

    @property
    def differentiable(self) -> bool:
        return self.entry["differentiable"] == "yes"

    @functools.cached_property
    def params(self) -> list[Param]:
        return [p for p in parameters(self.entry["signature"]) if p.name != "stream"]

    @property
    def op(self) -> Callable[..., object]:
        return getattr(importlib.import_module("plait." + self.entry["module"]), self.entry["name"])

    def takes(self, dtype: str) -> bool:
        """Whether the primitive behind it says so; compositions are tried."""
        primitive = PRIMITIVES.get(self.entry["primitive"])
        if primitive is None or not primitive["inputs"]:
            return True
        accepted = set(primitive["inputs"][0]["dtypes"])
        floats = not accepted & {"int32", "bool"}
        return dtype in accepted or (floats and dtype in DTYPES[:9])  # integers are converted first

    @property
    def dtype(self) -> str:
        """float32, or int32 for functions of integers."""
        return "float32" if self.takes("float32") else "int32"

    @property
    def domain(self) -> tuple[float, float]:
        return ast.literal_eval(self.entry["domain"]) if self.entry["domain"] else (-2.0, 2.0)

    def bound(self, arrays: list[object], keywords: dict[str, object]) -> tuple[list[object], dict[str, object]]:
        """Positional and keyword arguments of a sample; what has to be positional is."""
        args: list[object] = []
        given = dict(keywords)
        left = list(arrays)
        for p in self.params:
            if p.how == "all":
                args += left
                left = []
            elif p.takes_list and left:
                args.append(left)
                left = []
            elif left and p.name not in keywords:
                args.append(left.pop(0))
            elif p.name in given and (left or p.how == "positional"):
                args.append(given.pop(p.name))
            else:
                break
        if left:
            raise ValueError(f"{self}: more inputs than parameters")
        return args, given


FUNCTIONS = [
    Function(entry, f"{entry['module']}.{entry['name']}".removeprefix("core.")) for entry in SCHEMA["functions"]
]
