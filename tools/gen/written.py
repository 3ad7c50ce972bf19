"""Public names of plait.core that are bound by hand: signatures from the stubs, texts from schema/docstrings.json."""

from __future__ import annotations

import ast
import json
import re
from dataclasses import dataclass, field
from pathlib import Path

from gen import stubs

DOCSTRINGS = Path(__file__).resolve().parents[2] / "schema/docstrings.json"
ARRAY = "core.array"  # the class with a page of its own
SPECIAL = {"__call__", "__wrapped__"}  # shown of classes


@dataclass
class Written:
    """A function, class, method or property."""

    module: str  # "core.metal"; for members of a class "core.Device"
    name: str
    lines: list[str]  # as one writes it: a line for each overload
    members: list[Written] = field(default_factory=list)

    @property
    def full(self) -> str:
        """The key of its text and its example."""
        return f"{self.module}.{self.name}".removeprefix("core.")


def signature(node: ast.FunctionDef, method: bool) -> str:
    arguments = node.args
    if method:
        (arguments.posonlyargs or arguments.args).pop(0)  # self
    returns = ast.unparse(node.returns) if node.returns else "None"
    return re.sub(r"(?<=\S)=(?=\S)", " = ", f"({ast.unparse(arguments)}) -> {returns}")


def is_property(node: ast.FunctionDef) -> bool:
    return any(isinstance(d, ast.Name) and d.id == "property" for d in node.decorator_list)


def member(owner: str, node: ast.stmt) -> Written | None:
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        return Written(owner, node.target.id, [f"{node.target.id}: {ast.unparse(node.annotation)}"])
    if not isinstance(node, ast.FunctionDef) or (node.name.startswith("_") and node.name not in SPECIAL):
        return None
    if is_property(node):
        return Written(owner, node.name, [f"{node.name}: {ast.unparse(node.returns)}"])  # type: ignore[arg-type]
    return Written(owner, node.name, [node.name + signature(node, method=True)])


def class_entry(module: str, node: ast.ClassDef) -> Written:
    made = Written(module, node.name, [f"class {node.name}"])
    for part in node.body:
        if isinstance(part, ast.FunctionDef) and part.name == "__init__":
            made.lines = [f"class {node.name}{signature(part, method=True).partition(' -> ')[0]}"]
        elif found := member(f"{module}.{node.name}", part):
            made.members.append(found)
    return made


def is_error(node: ast.ClassDef) -> bool:
    """Errors have a page of their own: docs/errors.md."""
    return any(ast.unparse(base).endswith(("Error", "Exception")) for base in node.bases)


def entries(module: str, stub: str) -> list[Written]:
    found: dict[str, Written] = {}
    for node in ast.parse(stub).body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_") and not is_error(node):
            found[node.name] = class_entry(module, node)
        elif isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            entry = found.setdefault(node.name, Written(module, node.name, []))
            entry.lines.append(node.name + signature(node, method=False))
    return list(found.values())


def written() -> list[Written]:
    """All of them, but for those that the registry describes as well."""
    out = entries("core", stubs.HEAD.read_text())
    for path, stub in stubs.BY_HAND.items():
        out += entries("core." + Path(path).stem, stub)
    return out


def docstrings() -> dict[str, str]:
    return json.loads(DOCSTRINGS.read_text()) if DOCSTRINGS.exists() else {}
