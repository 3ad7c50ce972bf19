"""How many recorded names and cases plait holds: floor.py prints the counts, floor.py --raise records those that rose."""

import json
import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
FLOOR = HERE / "floor.json"
COMMANDS = {
    "coverage": ["coverage.py"],
    "facts": ["facts.py", "--deviations", str(HERE / "deviations.json"), "--limit", "100000"],
}


def measure(table: str) -> tuple[dict[str, int], str]:
    """The count of each group and of all ("total"), and the whole report."""
    subprocess.run([sys.executable, "-c", "import plait.core"], check=True)  # else each case would fail by itself
    script, *options = COMMANDS[table]
    run = subprocess.run([sys.executable, HERE / script, *options], capture_output=True, text=True, check=False)
    counts = re.findall(r"^(\S.*?) +(\d+) of \d+", run.stdout, re.MULTILINE)
    return {group: int(held) for group, held in counts}, run.stdout + run.stderr


def recorded() -> dict[str, dict[str, int]]:
    return json.loads(FLOOR.read_text()) if FLOOR.exists() else {table: {} for table in COMMANDS}


def main() -> None:
    floor = recorded()
    for table, least in floor.items():
        counts, report = measure(table)
        if "total" not in counts:
            raise SystemExit(report)
        print(table, re.search(r"^total.*", report, re.MULTILINE)[0])
        floor[table] = {group: max(held, least.get(group, 0)) for group, held in counts.items()}
    if "--raise" in sys.argv[1:]:
        FLOOR.write_text(json.dumps(floor, indent=1) + "\n")


if __name__ == "__main__":
    main()
