#!/usr/bin/env python3
"""Makes schema/examples.json, an example that was run for each public name, and schema/docstrings.json, what the
extension says of names that are bound by hand.

examples.py            for the names that have none, and for those whose example gives another result now
examples.py --all      for all

Examples come from samples of the op files, or from tools/written_examples.txt. docs/ops shows them (tools/gen.py
--update puts them there), tests/python/test_reference.py runs them again.
"""

from __future__ import annotations

import ast
import contextlib
import json
import sys
import tempfile
import zlib
from pathlib import Path

import numpy as np

from gen.interpreter import run
from gen.samples import DTYPES, FUNCTIONS, Function
from gen.written import DOCSTRINGS, Written, written

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "schema/examples.json"
WRITTEN = ROOT / "tools/written_examples.txt"
MOST_SHOWN = 24  # elements


def nice(shape: tuple[int, ...], function: Function, seed: int) -> np.ndarray:
    """Short numbers of the function's domain, each once as far as there are enough."""
    low, high = function.domain
    if function.dtype == "int32":
        grid = np.arange(int(np.ceil(low)), int(np.floor(high)) + 4)
    else:
        step = next(s for s in (0.5, 0.25, 0.125, 0.0625, 2.0**-6, 2.0**-10) if (high - low) / s >= 6 or s < 2.0**-9)
        grid = np.arange(np.ceil(low / step), np.floor(high / step) + 1) * step
    size = int(np.prod(shape))
    return np.random.default_rng(seed).choice(grid, shape, replace=size > grid.size)


def literal(value: object) -> str:
    return repr(value.tolist()) if isinstance(value, np.ndarray) else repr(value)


def lines_of(function: Function, sample: dict[str, str]) -> list[str]:
    """Statements, the last of which gives the result."""
    text = sample["inputs"].strip()
    elements = ast.parse(f"({text},)", mode="eval").body.elts if text else []  # type: ignore[attr-defined]
    names = [p.name for p in function.params if p.takes_arrays or p.how == "positional" or p.how == "either"]
    keywords = {k.arg: ast.unparse(k.value) for k in ast.parse(f"f({sample['keywords']})").body[0].value.keywords}  # type: ignore[attr-defined]
    free = [n for n in names if n not in keywords]
    many = next((p for p in function.params if p.how == "all" or p.takes_list), None)
    before: list[str] = []
    spelled: list[object] = []
    for i, element in enumerate(elements):
        source = ast.unparse(element)
        if isinstance(element, ast.Tuple):
            shape = ast.literal_eval(source)
            made = nice(shape, function, zlib.crc32(f"{function} {i}".encode()))
            if 0 < made.size <= MOST_SHOWN:
                array = f"pc.array({literal(made)})"
            else:
                array = f"pc.ones({shape})" if made.size else f"pc.zeros({shape})"
        elif isinstance(element, ast.List):
            array = f"pc.array({source})"
        else:
            spelled.append(source.replace("key(", "pc.random.key("))
            continue
        name = "abcdefgh"[i] if many or i >= len(free) else free[i]
        name = name.strip("_") + "_" if name in ("lambda", "in") else name
        before.append(f"{name} = {array}")
        spelled.append(name)
    names_of = {name: f"pc.{name}" for name in DTYPES if name != "bool"} | {"bool_": "pc.bool_"}
    keywords = {k: names_of.get(v, v) for k, v in keywords.items()}
    args, given = function.bound(list(spelled), dict(keywords))
    positional = ["[" + ", ".join(map(str, a)) + "]" if isinstance(a, list) else str(a) for a in args]
    call = ", ".join([*positional, *(f"{k}={v}" for k, v in given.items())])
    return [*before, f"pc.{function.name}({call})"]


def run_sample(lines: list[str]) -> list[str]:
    """As `run`, with the shape of a result that is too large to be shown."""
    import plait.core as pc

    scope: dict[str, object] = {"pc": pc, "nan": np.nan, "inf": np.inf}
    for line in lines[:-1]:
        exec(line, scope)
    result = eval(lines[-1], scope)
    parts = result if isinstance(result, (tuple, list)) else [result]
    if any(isinstance(p, pc.array) and p.size > MOST_SHOWN for p in parts):
        shape = f"{lines[-1]}.shape" if isinstance(result, pc.array) else f"[r.shape for r in {lines[-1]}]"
        lines = [*lines[:-1], shape]
    return run("\n".join(f">>> {line}" for line in lines))


def cost(sample: dict[str, str]) -> tuple[int, int]:
    """Small ones first that are no edge case; those that say more before those that say less."""
    text = sample["inputs"].strip()
    elements = ast.parse(f"({text},)", mode="eval").body.elts if text else []  # type: ignore[attr-defined]
    specs = [ast.literal_eval(e) for e in elements if not isinstance(e, ast.Call)]
    sizes = [int(np.prod(s)) if isinstance(s, tuple) else 4 for s in specs]
    edge = any(s < 2 for s in sizes) or "nan" in text or "inf" in text
    largest = max(sizes, default=0)
    return (int(edge) + 2 * int(largest > MOST_SHOWN), largest - 6 * bool(sample["keywords"]))


def example(function: Function) -> list[str]:
    plain = [s for s in function.samples if "nan" not in s["inputs"] and "inf" not in s["inputs"]] or function.samples
    for sample in sorted(plain, key=cost):
        try:
            return run_sample(lines_of(function, sample))
        except Exception as error:
            problem = f"{function}({sample['inputs']}, {sample['keywords']}): {type(error).__name__}: {error}"
    raise SystemExit(f"no example: {problem if function.samples else function.name + ' has no samples'}")


def written_examples() -> dict[str, str]:
    """Name -> text, from tools/written_examples.txt."""
    parts = WRITTEN.read_text().split("\n== ")[1:]
    return {part.partition("\n")[0]: part.partition("\n")[2] for part in parts}


def object_of(w: Written) -> object:
    """What it names: a function, a class, or what a class has for it."""
    import plait.core as pc

    found: object = pc
    for part in w.full.split("."):
        found = vars(found)[part]
    return found


def text_of(thing: object) -> str:
    """The docstring alone, without the signatures that nanobind puts above it."""
    thing = getattr(thing, "fget", thing)
    if overloads := getattr(thing, "__nb_signature__", None):
        return "\n".join(dict.fromkeys(text for _, text, *_ in overloads if text))
    return getattr(thing, "__doc__", None) or ""


def docstrings() -> dict[str, str]:
    registry = {str(f) for f in FUNCTIONS}
    every = [w for w in written() if w.full not in registry]
    return {w.full: text for c in every for w in (c, *c.members) if (text := text_of(object_of(w)))}


def main() -> None:
    everything = "--all" in sys.argv[1:]
    known = json.loads(EXAMPLES.read_text()) if EXAMPLES.exists() else {}
    made = {name: run(text) for name, text in written_examples().items()}
    for function in sorted(FUNCTIONS, key=str):
        if function.name in made:
            continue
        have = known.get(function.name)
        made[function.name] = run("\n".join(have)) if have and not everything else example(function)
    EXAMPLES.write_text(json.dumps(dict(sorted(made.items())), indent=1) + "\n")
    DOCSTRINGS.write_text(json.dumps(dict(sorted(docstrings().items())), indent=1, ensure_ascii=False) + "\n")
    print(f"{len(made)} examples, {len(made.keys() - known.keys())} new")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):  # some write files
        main()
