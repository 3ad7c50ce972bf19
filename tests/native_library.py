"""Where the headers and the library of the plait under test are: those of a build tree, or of an installed package."""

import re
from pathlib import Path

import plait.core  # noqa: F401  (loads the library)

SOURCES = Path(__file__).resolve().parents[1]


def library() -> Path:
    maps = Path("/proc/self/maps").read_text()
    return Path(re.findall(r"(/\S*/libplait\.so\S*)$", maps, re.MULTILINE)[0])


def include_flags() -> list[str]:
    folder = library().parent
    installed = folder.parent / "include"
    if (installed / "plait/core.h").exists():
        return [f"-I{installed}"]
    return [f"-I{SOURCES / 'include'}", f"-I{folder / 'generated/include'}"]


def link_flags() -> list[str]:
    return [str(library()), f"-Wl,-rpath,{library().parent}"]
