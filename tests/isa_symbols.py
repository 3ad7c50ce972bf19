"""isa_symbols.py NM TARGET OBJECT...: what objects built for one instruction set define must carry the target's name.

An inline function or template of another name would be merged by the linker with the copies from portable objects, and
the one that stays may use instructions that the machine lacks.
"""

import subprocess
import sys

nm, target, *objects = sys.argv[1:]
shared = set()
for path in objects:
    listing = subprocess.run([nm, "--defined-only", "--extern-only", path], check=True, capture_output=True, text=True)
    shared |= {line.split()[-1] for line in listing.stdout.splitlines() if line.strip()}
shared = {name for name in shared if target not in name and not name.startswith("DW.ref.")}
for name in sorted(shared):
    print(f"{target}: {name} could be shared with code for every machine")
print(f"{target}: {len(objects)} objects, {len(shared)} symbols that the linker could share")
sys.exit(bool(shared))
