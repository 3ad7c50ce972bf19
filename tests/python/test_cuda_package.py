"""The wheel of the CUDA backend, and where NVIDIA's wheels put their libraries."""

import os
import re
import tomllib
from pathlib import Path

import pytest

from plait._cuda_libraries import name_directories

ROOT = Path(__file__).parents[2]


def test_versions_agree() -> None:
    plait, cuda = (
        tomllib.loads((ROOT / path).read_text())["project"] for path in ("pyproject.toml", "python/cuda/pyproject.toml")
    )
    assert cuda["version"] == plait["version"]
    assert f"plait=={plait['version']}" in cuda["dependencies"]
    assert re.search(r"project\(plait VERSION (\S+)", (ROOT / "CMakeLists.txt").read_text())[1] == plait["version"]


def test_directories_of_nvidias_wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("cu13/lib", "cudnn/lib", "cudnn/include", "empty"):
        (tmp_path / "nvidia" / name).mkdir(parents=True)
    monkeypatch.setattr("sys.path", ["", "/nowhere", str(tmp_path)])
    monkeypatch.setenv("PLAIT_CUDA_LIBRARY_PATH", "")  # so that the end of the test puts back what was there
    monkeypatch.delenv("PLAIT_CUDA_LIBRARY_PATH")
    name_directories()
    found = os.environ["PLAIT_CUDA_LIBRARY_PATH"].split(":")
    assert sorted(found) == [str(tmp_path / "nvidia" / name) for name in ("cu13/lib", "cudnn/lib")]

    monkeypatch.setenv("PLAIT_CUDA_LIBRARY_PATH", "/chosen")
    name_directories()
    assert os.environ["PLAIT_CUDA_LIBRARY_PATH"] == "/chosen"
