#!/usr/bin/env python3
"""Makes schema/examples.json: for each public function an example that was run, from one of its samples.

examples.py            for the functions that have none, and for those whose example gives another result now
examples.py --all      for all

docs/ops shows them (tools/gen.py --update puts them there), tests/python/test_reference.py runs them again.
"""

from __future__ import annotations

import ast
import json
import sys
import zlib
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))
from op_cases import DTYPES, FUNCTIONS, Case, Function, dtype_of, name_of  # noqa: E402

EXAMPLES = ROOT / "schema/examples.json"
MOST_SHOWN = 24  # elements
BY_HAND = {
    "random.seed": ["pc.random.seed(7)", "pc.random.randint(0, 10, (4,))"],
}


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
    case = Case(function, sample, function.dtype)
    text = sample["inputs"].strip()
    elements = ast.parse(f"({text},)", mode="eval").body.elts if text else []  # type: ignore[attr-defined]
    names = [p.name for p in function.params if p.takes_arrays or p.how == "positional" or p.how == "either"]
    keywords = {k.arg: ast.unparse(k.value) for k in ast.parse(f"f({sample['keywords']})").body[0].value.keywords}  # type: ignore[attr-defined]
    free = [n for n in names if n not in keywords]
    many = next((p for p in function.params if p.how == "all" or p.takes_list), None)
    before: list[str] = []
    spelled: list[object] = []
    for i, (element, value) in enumerate(zip(elements, case.values, strict=True)):
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
        del value
    names_of = {name_of(d): f"pc.{name_of(d)}" for d in (dtype_of(n) for n in DTYPES)} | {"bool_": "pc.bool_"}
    keywords = {k: names_of.get(v, v) for k, v in keywords.items()}
    args, given = case.bound(list(spelled), dict(keywords))
    positional = ["[" + ", ".join(map(str, a)) + "]" if isinstance(a, list) else str(a) for a in args]
    call = ", ".join([*positional, *(f"{k}={v}" for k, v in given.items())])
    return [*before, f"pc.{function.name}({call})"]


def run(lines: list[str]) -> list[str]:
    """The statements as one sees them in an interpreter, and what the last one gives."""
    import plait.core as pc

    scope: dict[str, object] = {"pc": pc, "nan": np.nan, "inf": np.inf}
    for line in lines[:-1]:
        exec(line, scope)
    result = eval(lines[-1], scope)
    parts = result if isinstance(result, (tuple, list)) else [result]
    if any(isinstance(p, pc.array) and p.size > MOST_SHOWN for p in parts):
        lines = [
            *lines[:-1],
            f"{lines[-1]}.shape" if isinstance(result, pc.array) else f"[r.shape for r in {lines[-1]}]",
        ]
        result = eval(lines[-1], scope)
    text = [] if result is None else repr(result).splitlines()
    return [*(f">>> {line}" for line in lines), *text]


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
    if function.name in BY_HAND:
        return run(BY_HAND[function.name])
    plain = [s for s in function.samples if "nan" not in s["inputs"] and "inf" not in s["inputs"]] or function.samples
    for sample in sorted(plain, key=cost):
        try:
            return run(lines_of(function, sample))
        except Exception as error:
            problem = f"{function}({sample['inputs']}, {sample['keywords']}): {type(error).__name__}: {error}"
    raise SystemExit(f"no example: {problem if function.samples else function.name + ' has no samples'}")


def main() -> None:
    everything = "--all" in sys.argv[1:]
    known = json.loads(EXAMPLES.read_text()) if EXAMPLES.exists() else {}
    made = {}
    for function in sorted(FUNCTIONS, key=str):
        have = known.get(function.name)
        if have and not everything:
            statements = [line.removeprefix(">>> ") for line in have if line.startswith(">>> ")]
            made[function.name] = run(statements)
        else:
            made[function.name] = example(function)
    EXAMPLES.write_text(json.dumps(made, indent=1) + "\n")
    print(f"{len(made)} examples, {len(made.keys() - known.keys())} new")


if __name__ == "__main__":
    main()
