"""static_tls.py READELF LIBRARY MOST: fails when variables of threads take more than MOST bytes of the library.

A library with the fast model for some of them gets all of them from memory that a process sets aside when it starts:
about 1,600 bytes for all libraries that are opened later. OpenMP wants some as well, and who comes last is refused.
"""

import re
import subprocess
import sys


def main(readelf: str, library: str, most: str) -> int:
    headers = subprocess.run([readelf, "-lW", library], capture_output=True, text=True, check=True).stdout
    found = re.search(r"^\s*TLS\s+(?:0x\w+\s+){4}(0x\w+)", headers, re.MULTILINE)
    size = int(found[1], 16) if found else 0
    print(f"{library}: {size} bytes of variables of threads, at most {most} are accepted")
    return 1 if size > int(most) else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
