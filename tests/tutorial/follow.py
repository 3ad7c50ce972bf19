#!/usr/bin/env python3
"""Follows docs/adding_an_op.md to the letter: follow.py SOURCE BUILD WORK.

Copies SOURCE into WORK, writes each code block of the page to the file that its first line names, and runs the page's
shell commands there one by one. Objects of BUILD, a finished release build of SOURCE, are taken over for sources that
the page does not touch (reuse_object.sh), so that only what is new gets compiled.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

PARTS = (
    "CMakeLists.txt CMakePresets.json cmake docs examples include pyproject.toml python schema src tests tools".split()
)
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NAMED = re.compile(r"(?://|#) (\S+/\S+)\n")


def blocks(page: str) -> Iterator[tuple[str | None, str]]:
    """(file, text) of each block that names a file, (None, commands) of each shell block, in order."""
    for language, text in BLOCK.findall(page):
        if language == "sh":
            yield None, text
        elif named := NAMED.match(text):
            yield named[1], text.removeprefix(named[0])
        else:
            raise SystemExit(f"a block of the page names no file:\n{text}")


def copy(source: Path, work: Path) -> None:
    shutil.rmtree(work, ignore_errors=True)
    for part in PARTS:
        if (source / part).is_dir():
            shutil.copytree(source / part, work / part, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            (work / part).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source / part, work / part)


def configure_alike(build: Path, work: Path) -> None:
    """Options of the original build become those of the copy: its objects were compiled with them."""
    options = dict(
        re.findall(r"^(PLAIT_\w+):(?:BOOL|PATH)=(.+)$", (build / "CMakeCache.txt").read_text(), re.MULTILINE)
    )
    presets = json.loads((work / "CMakePresets.json").read_text())
    presets["configurePresets"][0]["cacheVariables"] |= options
    (work / "CMakePresets.json").write_text(json.dumps(presets))


def environment(source: Path, build: Path, work: Path) -> dict[str, str]:
    made = work / "build/release"
    return os.environ | {
        "ORIGINAL": str(source),
        "ORIGINAL_BUILD": str(build),
        "COPY": str(work),
        "COPY_BUILD": str(made),
        "CMAKE_CXX_COMPILER_LAUNCHER": str(Path(__file__).with_name("reuse_object.sh")),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(made / "python"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PLAIT_VERIFY": "1",
    }


def main(arguments: list[str]) -> int:
    source, build, work = (Path(a).resolve() for a in arguments)
    page = (source / "docs/adding_an_op.md").read_text()
    copy(source, work)
    configure_alike(build, work)
    done = 0
    for name, text in blocks(page):
        if name is not None:
            if (work / name).exists():
                raise SystemExit(f"{name} is there already: the page has to use another name")
            (work / name).parent.mkdir(parents=True, exist_ok=True)
            (work / name).write_text(text)
            continue
        for command in text.strip().splitlines():
            start = time.monotonic()
            print(f"==> {command}", flush=True)
            rc = subprocess.run(command, shell=True, cwd=work, env=environment(source, build, work), check=False)
            print(f"--- {time.monotonic() - start:.0f} s", flush=True)
            if rc.returncode:
                print(f"tutorial: failed: {command}")
                return 1
            done += 1
    print(f"tutorial: {done} commands ran")
    return 0 if done else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
