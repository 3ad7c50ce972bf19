"""tools/check sees what it is there to see."""

import importlib.machinery
import importlib.util
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

CHECK = Path(__file__).parents[2] / "tools/check"


@pytest.fixture
def check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script as a module, looking at an empty repository in tmp_path."""
    loader = importlib.machinery.SourceFileLoader("check", str(CHECK))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("check", loader))
    monkeypatch.setattr("sys.dont_write_bytecode", True)
    loader.exec_module(module)
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    monkeypatch.setattr(module, "ROOT", tmp_path)
    return module


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.parametrize(
    ("file", "includes", "fine"),
    [
        ("src/graph/node.h", "base/hash.h", True),
        ("src/graph/node.h", "plait/array.h", True),
        ("src/graph/node.h", "engine/plan.h", False),
        ("src/backends/cpu/region.cpp", "distributed/mpi.h", False),
        ("src/attic/old.cpp", "base/hash.h", False),
        ("include/plait/array.h", "plait/dtype.h", True),
        ("include/plait/array.h", "graph/node.h", False),
        ("python/src/core.cpp", "capi/c.h", True),
        ("python/src/core.cpp", "convert.h", True),
    ],
)
def test_rooms_look_down(check: ModuleType, tmp_path: Path, file: str, includes: str, fine: bool) -> None:
    write(tmp_path / "python/src/convert.h", "#pragma once\n")
    write(tmp_path / file, f'#pragma once\n#include <vector>\n#include "{includes}"\n')
    problems = list(check.rooms_look_down())
    assert (problems == []) == fine, problems
    assert all(problem.startswith(f"{file}:") for problem in problems)


def test_a_room_without_a_readme_is_named(check: ModuleType, tmp_path: Path) -> None:
    write(tmp_path / "src/base/README.md", "# base\n")
    write(tmp_path / "src/base/hash.h", "")
    write(tmp_path / "src/graph/node.h", "")
    assert [problem.split(":")[0] for problem in check.rooms_have_readmes()] == ["src/graph/README.md"]


def test_paths_of_one_machine_are_found(check: ModuleType, tmp_path: Path) -> None:
    write(tmp_path / "docs/a.md", "see /" + "home/me/notes\nand src/home/a\n")
    assert [problem.split(": ")[0] for problem in check.no_paths_of_one_machine()] == ["docs/a.md:1"]


def test_links_to_nothing_are_found(check: ModuleType, tmp_path: Path) -> None:
    write(tmp_path / "docs/a.md", "# Two words\n[b](b.md) [web](https://example.org) [here](#two-words) `x[0](y)`\n")
    write(tmp_path / "docs/b.md", "[a](a.md#two-words)\n[lost](c.md)\n[none](a.md#three)\n")
    assert list(check.links_lead_somewhere()) == [
        "docs/b.md:2: a link to nothing: c.md",
        "docs/b.md:3: no such heading: a.md#three",
    ]
