"""Type stubs of plait.core and its submodules: a hand-written head, then every function of the schema."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

from gen.forms import FORMS
from gen.schema import Function, by_module

HEAD = Path(__file__).with_name("core_head.pyi")
METHODS = "    # methods\n"
LIMITS = "".join(
    f"def {name}(limit: int) -> int: ...\n" for name in ("set_cache_limit", "set_memory_limit", "set_wired_limit")
)
COUNTS = "".join(f"def {name}() -> int: ...\n" for name in ("get_active_memory", "get_cache_memory", "get_peak_memory"))
ONE_ARRAY = "(x: scalar | array, *, group: Group | None = None, stream: StreamOrDevice = None) -> array: ...\n"
COLLECTIVES = "".join(
    f"def {name}{ONE_ARRAY}" for name in ("all_gather", "all_max", "all_min", "all_sum", "sum_scatter")
)
BY_HAND = {
    "core/cuda.pyi": "def is_available() -> bool: ...\n",
    "core/distributed.pyi": "from collections.abc import Callable, Sequence\n\n"
    "from plait.core import Dtype, StreamOrDevice, array, scalar\n\n"
    "class Group:\n    def rank(self) -> int: ...\n    def size(self) -> int: ...\n"
    "    def split(self, color: int, key: int = -1) -> Group: ...\n\n"
    "def is_available(backend: str = 'any') -> bool: ...\n"
    "def init(strict: bool = False, backend: str = 'any', *, "
    "all_gather_factory: Callable[[int, int], Callable[[bytes, int], bytes]] | None = None) -> Group: ...\n"
    + COLLECTIVES
    + f"def send{ONE_ARRAY}".replace("*,", "dst: int, *,")
    + f"def recv{ONE_ARRAY}".replace("x: scalar | array, *,", "shape: Sequence[int], dtype: Dtype, src: int, *,")
    + f"def recv_like{ONE_ARRAY}".replace("*,", "src: int, *,"),
    "core/linalg.pyi": "class EighResult(NamedTuple):\n    eigenvalues: array\n    eigenvectors: array\n\n"
    "class QRResult(NamedTuple):\n    Q: array\n    R: array\n\n"
    "class SlogdetResult(NamedTuple):\n    sign: array\n    logabsdet: array\n\n"
    "class SVDResult(NamedTuple):\n    U: array\n    S: array\n    Vh: array\n\n",
    "core/metal.pyi": "def is_available() -> bool: ...\ndef device_info() -> dict[str, str | int]: ...\n"
    "def start_capture(path: str) -> None: ...\ndef stop_capture() -> None: ...\n"
    "def clear_cache() -> None: ...\ndef reset_peak_memory() -> None: ...\n" + COUNTS + LIMITS,
}


def docstring(f: Function, indent: str) -> str:
    text = f.summary + ("\n\n" + f.details if f.details else "")
    text = text.replace("\\", "\\\\").replace('"""', r"\"\"\"")
    lines = [line for paragraph in text.splitlines() for line in (textwrap.wrap(paragraph, 110) or [""])]
    quoted = f'{indent}"""' + f"\n{indent}".join(lines) + ("\n" + indent if len(lines) > 1 else "") + '"""\n'
    return "\n".join(line.rstrip() for line in quoted.split("\n"))


def annotated(signature: str) -> str:
    """The signature as plait.core's stub has it, where `bool` is a dtype."""
    return re.sub(r"(?<![\w.])bool\b", "builtins.bool", signature)


def function(f: Function) -> str:
    signature = annotated(f.signature_text) if f.module == "core" else f.signature_text
    text = f"def {f.name}{signature}:\n{docstring(f, '    ')}\n"
    if f.full in FORMS:
        forms = map(annotated, FORMS[f.full]) if f.module == "core" else FORMS[f.full]
        more = "".join(f"@overload\ndef {f.name}{form}: ...\n" for form in forms)
        text = f"@overload\n{text}{more}\n"
    aliases = [alias for alias in f.aliases if "." not in alias]
    return text + "".join(f"{alias} = {f.name}\n" for alias in aliases) + ("\n" if aliases else "")


def method(f: Function) -> str:
    self = "(self" + ("" if f.method_text.startswith("()") else ", ") + annotated(f.method_text)[1:]
    return f"    def {f.name}{self}:\n{docstring(f, '        ')}\n"


def files(functions: list[Function]) -> dict[str, str]:
    """Path below python/plait -> text."""
    head = HEAD.read_text()
    if METHODS not in head:
        raise SystemExit(f"{HEAD} has no line '{METHODS.strip()}'")
    by_hand = set()  # (whether it is a method of array, name)
    owner = ""
    for line in head.splitlines():
        if line and not line.startswith((" ", "def ")):
            owner = line
        if line.lstrip().startswith("def ") and (line.startswith("def ") or owner == "class array:"):
            by_hand.add((line.startswith(" "), line.split("def ")[1].split("(")[0]))
    modules = by_module(functions)
    core = [f for f in modules.pop("core", []) if (False, f.name) not in by_hand]
    methods = [f for f in functions if f.method and (True, f.name) not in by_hand]
    submodules = "".join(
        f"from plait.core import {m.removeprefix('core.')} as {m.removeprefix('core.')}\n" for m in sorted(modules)
    )
    head = head.replace(
        "from plait.core import metal as metal\n", "from plait.core import metal as metal\n" + submodules
    )
    out = BY_HAND | {
        "core/__init__.pyi": head.replace(METHODS, "".join(method(f) for f in methods))
        + "\n"
        + "".join(map(function, core))
    }
    for module, members in sorted(modules.items()):
        name = module.removeprefix("core.").replace(".", "/")
        also = [f.name for f in functions if f"{name}.{f.name}" in f.aliases]
        out[f"core/{name}.pyi"] = (
            "# Generated by tools/gen.py from schema/ops.json.\n"
            "from collections.abc import Callable, Sequence\nfrom typing import Literal, NamedTuple, overload\n\n"
            "from plait.core import Dtype, StreamOrDevice, array, bfloat16, float32, int32, scalar\n"
            + "".join(f"from plait.core import {n} as {n}\n" for n in sorted(also))
            + "\n"
            + ("state: object\n\n" if module == "core.random" else "")
            + BY_HAND.get(f"core/{name}.pyi", "")
            + "".join(map(function, members))
        )
    return out
