"""Reference pages: shapes, dtypes and errors of each public function, and an example that gives what is shown."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

import plait.core as pc

ROOT = Path(__file__).parents[2]
EXAMPLES: dict[str, list[str]] = json.loads((ROOT / "schema/examples.json").read_text())
FUNCTIONS = [
    (f["module"], f["name"], f"{f['module']}.{f['name']}".removeprefix("core."))
    for f in json.loads((ROOT / "schema/ops.json").read_text())["functions"]
]
NUMBER = re.compile(r"-?(?:\d+\.?\d*(?:e[+-]?\d+)?|inf|nan)")


def section(module: str, name: str) -> str:
    page = (ROOT / "docs/ops" / f"{module}.md").read_text()
    return page.partition(f"\n## {name}\n")[2].partition("\n## ")[0]


@pytest.mark.parametrize(("module", "name", "full"), FUNCTIONS, ids=[full for _, _, full in FUNCTIONS])
def test_each_function_is_described_with_an_example(module: str, name: str, full: str) -> None:
    text = section(module, name)
    assert "Errors: " in text or "Dtype" in text or "Shape" in text, "shapes, dtypes and errors are not said"
    assert full in EXAMPLES, "no example: run tools/examples.py, then tools/gen.py --update"
    assert "\n".join(EXAMPLES[full]) in text, "stale: run tools/gen.py --update"


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_give_what_is_shown(name: str) -> None:
    statements = [line[4:] for line in EXAMPLES[name] if line.startswith(">>> ")]
    shown = "\n".join(line for line in EXAMPLES[name] if not line.startswith(">>> "))
    scope: dict[str, object] = {"pc": pc, "nan": np.nan, "inf": np.inf}
    for statement in statements[:-1]:
        exec(statement, scope)
    result = eval(statements[-1], scope)
    got = "" if result is None else repr(result)
    assert NUMBER.sub("#", got) == NUMBER.sub("#", shown)
    have, want = ([float(x) for x in NUMBER.findall(text)] for text in (got, shown))
    np.testing.assert_allclose(have, want, rtol=1e-4, atol=1e-5)
