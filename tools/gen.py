#!/usr/bin/env python3
"""Makes everything that follows from the op registry.

gen.py SCHEMA OUT        C++ headers, sources and bindings under OUT, from the committed schema (CMake calls this)
gen.py --update [BUILD]  builds plait_schema in BUILD (build/release), rewrites schema/ops.json and c_abi.txt, the
                         stubs of plait.core, docs/ops and docs/coverage.md
gen.py --check [BUILD]   prints which of those are stale, and ends with 1 if any is
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from gen import bindings, c, coverage, cpp, pages, stubs
from gen.scan import bridge
from gen.schema import read

ROOT = Path(__file__).resolve().parent.parent
SCHEMA = ROOT / "schema/ops.json"
C_HEADERS = [ROOT / "include/plait/c.h", *sorted((ROOT / "include/plait").glob("c_*.h"))]


def write(path: Path, text: str) -> None:
    """Writes only what changed, so that nothing is built again without need."""
    if not path.exists() or path.read_text() != text:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def remove_others(folder: Path, pattern: str, keep: set[str]) -> None:
    for path in folder.glob(pattern):
        if path.name not in keep:
            path.unlink()


def generate(schema: Path, out: Path) -> None:
    known = json.loads(schema.read_text()) if schema.exists() else {"primitives": [], "functions": []}
    functions = read(json.dumps(bridge(known, ROOT / "src/ops")))
    write(out / "include/plait/ops.h", cpp.ops_header(functions))
    write(out / "include/plait/op_aliases.h", cpp.aliases_header(functions))
    write(out / "include/plait/c_ops.h", c.header(functions))
    write(out / "src/c_ops.cpp", c.source(functions))
    write(out / "src/ops_elementwise.cpp", cpp.elementwise_source(functions))
    write(out / "src/call.cpp", cpp.call_source(functions))
    files = bindings.files(functions)
    for name, text in files.items():
        write(out / "python" / name, text)
    remove_others(out / "python", "bind_*.cpp", set(files))


def committed(schema_text: str) -> dict[Path, str]:
    """Every committed file that is made from the schema."""
    functions = read(schema_text)
    made = {SCHEMA: schema_text}
    stub_files = stubs.files(functions)
    made |= {ROOT / "python/plait" / name: text for name, text in stub_files.items()}
    made[ROOT / "schema/c_abi.txt"] = c.abi(c.header(functions), *(p.read_text() for p in C_HEADERS))
    made[ROOT / "docs/coverage.md"] = coverage.page(schema_text, stub_files)
    made |= {ROOT / "docs/ops" / name: text for name, text in pages.files(functions, schema_text).items()}
    return made


def printed_schema(build: Path) -> str:
    generate(SCHEMA, build / "generated")  # declares functions the schema does not hold yet
    subprocess.run(
        ["cmake", "--build", build, "--target", "plait_schema", "--", "--quiet"], check=True, stdout=sys.stderr
    )
    return subprocess.run([build / "plait_schema"], check=True, capture_output=True, text=True).stdout


def main(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        print(__doc__)
        return 2
    if arguments[0] in ("--update", "--check"):
        build = Path(arguments[1]) if len(arguments) > 1 else ROOT / "build/release"
        made = committed(printed_schema(build))
        if arguments[0] == "--check":
            stale = [p for p, text in made.items() if not p.exists() or p.read_text() != text]
            for path in stale:
                print(f"{path.relative_to(ROOT)}:1: stale; run tools/gen.py --update")
            return 1 if stale else 0
        for path, text in made.items():
            write(path, text)
        pages_made = {p.name for p in made if p.parent == ROOT / "docs/ops"}
        remove_others(ROOT / "docs/ops", "*.md", pages_made)
        return 0
    schema, out = map(Path, arguments)
    generate(schema, out)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
