"""exported_symbols.py NM LIBRARY PATTERN: fails when the library exports a name that does not match the pattern."""

import re
import subprocess
import sys


def main(nm: str, library: str, pattern: str) -> int:
    lines = subprocess.run([nm, "-D", "--defined-only", library], capture_output=True, text=True, check=True).stdout
    names = [line.split()[-1].split("@")[0] for line in lines.splitlines()]
    alien = [name for name in names if not re.fullmatch(pattern, name)]
    print(f"{library}: {len(names)} names exported", *(f"not its own: {name}" for name in alien), sep="\n")
    return 1 if alien or not names else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
