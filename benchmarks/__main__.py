"""`python -m benchmarks`: run plait and its peers side by side, print the table, write the report."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from benchmarks import report
from benchmarks.process import PROJECT, other_load
from benchmarks.runner import Options, run
from benchmarks.sides import PEERS, SUBJECTS, Side, peer_sides
from benchmarks.workload import Workload
from benchmarks.workloads import REGISTRY


def chosen(names: list[str]) -> list[Workload]:
    """Workloads by name or group, in the order of the report; all of them without names."""
    known = {name for workload in REGISTRY.values() for name in (workload.name, workload.group)}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise SystemExit(f"no workload or group {', '.join(unknown)}; --list shows them")
    return [workload for workload in REGISTRY.values() if not names or {workload.name, workload.group} & set(names)]


def chosen_subject(name: str | None, peers: list[str]) -> Side:
    """plait when it can be imported; until then the first of MLX and NumPy, as the report says."""
    if name:
        return SUBJECTS[name]
    for candidate in ("plait", *(peer for peer in ("mlx", "numpy") if peer in peers)):
        probe = [sys.executable, "-c", f"import {SUBJECTS[candidate].package}"]
        if subprocess.run(probe, cwd=PROJECT, capture_output=True, check=False).returncode == 0:
            return SUBJECTS[candidate]
    raise SystemExit("neither plait nor a peer in its place can be imported")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", help="workloads or groups (speed, table); all without")
    parser.add_argument("--rounds", type=int, help="interleaved rounds (20; with --quick 3)")
    parser.add_argument("--peers", default=",".join(PEERS), help="of " + ",".join(PEERS))
    parser.add_argument("--out", type=Path, help="folder for results.json and results.md")
    parser.add_argument("--quick", action="store_true", help="small sizes: shows that all runs, measures nothing")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--subject", choices=SUBJECTS, help="what the peers are compared with (plait)")
    parser.add_argument("--list", action="store_true", help="name the workloads and stop")
    args = parser.parse_args()
    workloads = chosen(args.names)
    if args.list:
        for workload in workloads:
            print(f"{workload.name:18} {workload.group:6} {workload.title}")
        return 0
    peers = [peer for peer in args.peers.split(",") if peer]
    if unknown := set(peers) - set(PEERS):
        raise SystemExit(f"no such peer: {', '.join(sorted(unknown))}")
    subject = chosen_subject(args.subject, peers)
    rounds = args.rounds or (3 if args.quick else 20)
    options = Options(subject, peer_sides(peers, subject), rounds, args.threads, args.quick)

    load = other_load()
    rows = []
    for row in run(workloads, options):
        rows.append(row)
        if args.out:
            report.write(args.out, rows, options, load)  # each time: a run that is broken off leaves what it has
    print(report.terminal(rows, options, load))
    if args.out:
        print(f"report: {args.out / 'results.md'}")
    return 1 if any(row.wrong() for row in rows) else 0


if __name__ == "__main__":
    raise SystemExit(main())
