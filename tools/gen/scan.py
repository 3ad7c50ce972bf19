"""Finds functions in the op files that the schema does not hold yet, from the text of their definitions.

An op file may use functions that another new file defines, so plait/ops.h has to declare both before the registry can
be compiled and printed. What is found here only bridges that one build; the printed registry replaces it.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

STRING = r'"(?:[^"\\]|\\.)*"'
START = re.compile(r"\b(?:ops|into|registry)\.(elementwise|function)\(\s*(" + STRING + r")")
FIELD = re.compile(r"\.(signature|method|alias|module|summary|internal|hand_written)\(\s*((?:" + STRING + r"\s*)*)\)")


def text_of(literals: str) -> str:
    return "".join(json.loads(s) for s in re.findall(STRING, literals))


def scan(sources: Path) -> list[dict[str, object]]:
    """Entries as in the schema's "functions", as far as the text shows them."""
    found = []
    for path in sorted(sources.glob("*/*.cpp")):
        text = path.read_text()
        starts = list(START.finditer(text))
        ends = [m.start() for m in starts[1:]] + [len(text)]
        for start, end in zip(starts, ends, strict=False):
            entry: dict[str, object] = {
                "name": text_of(start[2]), "module": "core", "family": path.parent.name, "signature": "", "method": "",
                "aliases": [], "summary": "", "details": "", "oracle": "", "domain": "", "differentiable": "yes",
                "primitive": text_of(start[2]) if start[1] == "elementwise" else "",
                "generated": start[1] == "elementwise", "samples": [],
            }  # fmt: skip
            internal = False
            for call in FIELD.finditer(text, start.end(), end):
                if call[1] == "alias":
                    entry["aliases"].append(text_of(call[2]))  # type: ignore[attr-defined]
                elif call[1] == "internal":
                    internal = True
                elif call[1] == "hand_written":
                    entry["generated"] = False
                else:
                    entry[call[1]] = text_of(call[2])
            if entry["signature"] and not internal:
                found.append(entry)
    return found


def bridge(schema: dict[str, list[dict[str, object]]], sources: Path) -> dict[str, list[dict[str, object]]]:
    """The schema with what only the sources have."""
    known = {(f["module"], f["name"]) for f in schema["functions"]}
    new = [f for f in scan(sources) if (f["module"], f["name"]) not in known]
    functions = sorted([*schema["functions"], *new], key=lambda f: str(f["name"]))
    return {**schema, "functions": functions}
