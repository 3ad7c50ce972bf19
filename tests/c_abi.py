"""c_abi.py NM LIBRARY LIST: fails unless the library exports the C functions of schema/c_abi.txt, all and no others."""

import re
import subprocess
import sys
from pathlib import Path


def main(nm: str, library: str, listed: str) -> int:
    lines = subprocess.run([nm, "-D", "--defined-only", library], capture_output=True, text=True, check=True).stdout
    exported = {line.split()[-1].split("@")[0] for line in lines.splitlines()}
    exported = {name for name in exported if name.startswith("plait_")}
    declared = [line for line in Path(listed).read_text().splitlines() if not line.startswith("typedef")]
    wanted = {found[1] for line in declared if (found := re.search(r"\b(plait_\w+)\(", line))}
    print(f"{library}: {len(exported)} C functions exported, {len(wanted)} listed")
    print(*(f"not exported: {name}" for name in sorted(wanted - exported)), sep="\n")
    print(*(f"not listed: {name}" for name in sorted(exported - wanted)), sep="\n")
    return 0 if exported == wanted and wanted else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
