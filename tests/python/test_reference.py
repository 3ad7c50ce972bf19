"""Reference pages: each public name of plait.core has one, says shapes, dtypes and errors, and shows what was run."""

import importlib
import json
import re
import types
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import plait.core as pc
from gen.interpreter import run

ROOT = Path(__file__).parents[2]
EXAMPLES: dict[str, list[str]] = json.loads((ROOT / "schema/examples.json").read_text())
DOCSTRINGS: dict[str, str] = json.loads((ROOT / "schema/docstrings.json").read_text())
FUNCTIONS = json.loads((ROOT / "schema/ops.json").read_text())["functions"]
ALIASES = {f"{f['module']}.{alias}": f"{f['module']}.{f['name']}" for f in FUNCTIONS for alias in f["aliases"]}
NUMBER = re.compile(r"-?(?:\d+\.?\d*(?:e[+-]?\d+)?|inf|nan)")


def public(module: types.ModuleType) -> Iterator[str]:
    """Functions and classes of plait.core and its submodules, "core.random.key"; errors have docs/errors.md."""
    for name, value in vars(module).items():
        if name.startswith("_"):
            continue
        if isinstance(value, types.ModuleType):
            if value.__name__.startswith("plait.core."):
                yield from public(value)
        elif isinstance(value, type) and issubclass(value, BaseException):
            continue
        elif isinstance(value, type) or (callable(value) and not isinstance(type(value), type(pc.DeviceType))):
            yield f"{module.__name__.removeprefix('plait.')}.{name}"


def section(full: str) -> str:
    """What the page of a name says about it; the class array has a page, members of other classes stand with these."""
    if full == "core.array":
        return (ROOT / "docs/ops/core.array.md").read_text().partition("\nFunctions of")[0]
    module, _, name = full.rpartition(".")
    page = ROOT / "docs/ops" / f"{module}.md"
    return page.read_text().partition(f"\n## {name}\n")[2].partition("\n## ")[0] if page.exists() else section(module)


NAMES = sorted({ALIASES.get(name, name) for name in public(pc)})
OF_ARRAY = [f"core.{name}" for name in DOCSTRINGS if name.startswith("array.")]


@pytest.mark.parametrize("full", [*NAMES, *OF_ARRAY])
def test_each_name_has_a_page_with_an_example(full: str) -> None:
    text = section(full)
    name = full.removeprefix("core.")
    assert text, (
        "no page: is it in a stub (tools/gen/core_head.pyi)? Then run tools/examples.py and tools/gen.py --update"
    )
    assert name in EXAMPLES, "no example: write one into tools/written_examples.txt, or give the op a sample"
    assert "\n".join(EXAMPLES[name]) in text, "stale: run tools/gen.py --update"


@pytest.mark.parametrize("full", [f"{f['module']}.{f['name']}" for f in FUNCTIONS])
def test_each_operation_says_shapes_dtypes_or_errors(full: str) -> None:
    text = section(full)
    assert "Errors: " in text or "Dtype" in text or "Shape" in text


@pytest.mark.parametrize("name", DOCSTRINGS)
def test_pages_say_what_the_extension_says(name: str) -> None:
    thing: object = importlib.import_module("plait.core")
    for part in name.split("."):
        thing = vars(thing)[part]
    doc = getattr(thing, "__doc__", None) or getattr(getattr(thing, "fget", None), "__doc__", None) or ""
    for line in DOCSTRINGS[name].splitlines():
        assert line.strip() in doc, "stale: run tools/examples.py, then tools/gen.py --update"
    assert DOCSTRINGS[name] in section(f"core.{name}"), "stale: run tools/gen.py --update"


def test_what_takes_arguments_says_its_errors_or_shapes() -> None:
    silent = {}
    for name in NAMES:
        text = DOCSTRINGS.get(name.removeprefix("core."), "")
        takes = re.match(r"\n```python\n\w+\((?!\))", section(name))  # a function with parameters
        if text and takes and not re.search(r"Errors?[:,] |Shape|shape|[Dd]type", text):
            silent[name] = text
    assert not silent


@pytest.fixture
def cpu() -> Iterator[None]:
    before = pc.default_device()
    pc.set_default_device(pc.cpu)
    yield
    pc.set_default_device(before)


@pytest.mark.usefixtures("cpu")  # where what is shown was run
@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_give_what_is_shown(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # some write files
    shown = "\n".join(EXAMPLES[name])
    got = "\n".join(run(shown))
    assert NUMBER.sub("#", got) == NUMBER.sub("#", shown)
    have, want = ([float(x) for x in NUMBER.findall(text)] for text in (got, shown))
    np.testing.assert_allclose(have, want, rtol=1e-4, atol=1e-5)
