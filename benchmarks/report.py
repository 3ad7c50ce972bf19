"""The three forms of a report: JSON with every round, Markdown to publish, a table for the terminal."""

from __future__ import annotations

import dataclasses
import platform
import statistics
from datetime import date
from pathlib import Path
from typing import Any

from benchmarks import stats
from benchmarks.process import cpu_model, last_level_cache_bytes
from benchmarks.runner import Column, Options, Row
from benchmarks.sides import REQUIRED

SHORT = {"missing": "missing", "not_offered": "none", "error": "error", "differs": "differs"}
FEWEST_PUBLISHED_ROUNDS = 20
QUIET_CPUS = 0.2


def machine(options: Options, load: float) -> dict[str, Any]:
    return {
        "date": date.today().isoformat(),
        "cpu": cpu_model(),
        "threads": options.threads,
        "last_level_cache_bytes": last_level_cache_bytes(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "busy_cpus_before": round(load, 2),
    }


def as_data(rows: list[Row], options: Options, load: float) -> dict[str, Any]:
    """Everything measured and everything concluded."""
    return {
        "machine": machine(options, load),
        "subject": options.subject.name,
        "rounds": options.rounds,
        "quick": options.quick,
        "unpublishable": reasons(rows, options, load),
        "versions": versions(rows),
        "limits": limits(rows),
        "workloads": [row_data(row, options) for row in rows],
    }


def row_data(row: Row, options: Options) -> dict[str, Any]:
    subject = row.columns[options.subject.name]
    spread = spread_of(row, options)
    data: dict[str, Any] = {"name": row.workload.name, "title": row.workload.title, "meter": row.workload.meter}
    data |= {"median": stats.median(subject.values), "spread": spread, "extra": subject.extra}
    share = stats.ratio(row.limit_seconds(), subject.values) if row.cost else None
    data["share_of_limit"] = dataclasses.asdict(share) if share else None
    data["limits"] = row.limits
    data["sides"] = []
    for column in row.columns.values():
        ratio = ratio_of(row, column, options)
        side = dataclasses.asdict(column) | {"median": stats.median(column.values)}
        side["ratio"] = dataclasses.asdict(ratio) if ratio else None
        if ratio and spread is not None and column is not subject:
            side["subject_at_least_as_good"] = ratio.median >= 1 - spread
        data["sides"].append(side)
    return data


def spread_of(row: Row, options: Options) -> float | None:
    name = options.subject.name
    return stats.spread(row.columns[name].values, row.columns[name + " again"].values)


def ratio_of(row: Row, column: Column, options: Options) -> stats.Ratio | None:
    """How many times the subject this side takes: above 1 the subject is ahead."""
    return stats.ratio(column.values, row.columns[options.subject.name].values)


def versions(rows: list[Row]) -> dict[str, str]:
    """By column; a peer's columns run the same version, so the first of them stands for all."""
    columns = [column for row in rows for column in row.columns.values() if column.version]
    return {c.name: c.version for c in columns if not c.name.endswith((" again", " keeps", " compiled"))}


def limits(rows: list[Row]) -> dict[str, float]:
    """Median of each limit over all rounds in which it was measured."""
    rounds = [rates for row in rows for rates in row.limits]
    names = sorted({name for rates in rounds for name in rates if name != "error"})
    return {name: statistics.median(rates[name] for rates in rounds if name in rates) for name in names}


def reasons(rows: list[Row], options: Options, load: float) -> list[str]:
    """Why this run may not be published; empty when it may."""
    found = []
    if options.quick:
        found.append("--quick: small sizes, one call a round")
    if options.rounds < FEWEST_PUBLISHED_ROUNDS:
        found.append(f"{options.rounds} rounds, at least {FEWEST_PUBLISHED_ROUNDS} are needed")
    if options.subject.name != "plait":
        found.append(f"{options.subject.name} stands in plait's place")
    for peer in REQUIRED:
        names = {side.name for side in options.peers if side.peer == peer}
        columns = [column for row in rows for name, column in row.columns.items() if name in names]
        if not columns:
            found.append(f"{peer} was left out")
        elif any(column.state == "missing" for column in columns):
            found.append(f"{peer} is missing: {next(column.why for column in columns if column.state == 'missing')}")
    if load > QUIET_CPUS:
        found.append(f"{load:.1f} CPUs were busy with something else when it began")
    wrong = [f"{row.workload.name}/{name}" for row in rows for name in row.wrong()]
    if wrong:
        found.append("not measured: " + ", ".join(wrong))
    return found


def quantity(row: Row, value: float | None) -> str:
    """A measured value in the unit that suits the workload."""
    if value is None:
        return ""
    if row.workload.meter == "memory":
        return f"{value / 1e6:.1f} MB"
    if row.workload.rate:
        return f"{row.workload.items / value:.5g} {row.workload.rate}/s"
    seconds = value / row.workload.items
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-9:.3g} ns"


def table(rows: list[Row], options: Options) -> list[list[str]]:
    """Header and one line for each workload: the subject's own figures, then how many times as long each side takes."""
    native = list(dict.fromkeys(name for row in rows for name in row.workload.native))
    peers = [side.name for side in options.peers] + native
    lines = [["workload", options.subject.name, "spread", "limit", *peers]]
    for row in rows:
        subject = row.columns[options.subject.name]
        spread = spread_of(row, options)
        share = stats.ratio(row.limit_seconds(), subject.values) if row.cost else None
        own = SHORT.get(subject.state) or quantity(row, stats.median(subject.values))
        line = [row.workload.name, own]
        line += [f"{spread:.1%}" if spread is not None else "", f"{share.median:.0%}" if share else ""]
        for name in peers:
            column = row.columns.get(name)
            ratio = ratio_of(row, column, options) if column else None
            state = SHORT.get(column.state, "") if column else ""
            line.append(state or (f"{ratio.median:.2f}" if ratio else ""))
        lines.append(line)
    return lines


def notes(rows: list[Row], options: Options) -> list[str]:
    """Everything a cell leaves unsaid: why it is empty, what was counted, results that differ."""
    found = []
    for row in rows:
        subject = row.columns[options.subject.name]
        found += [f"{row.workload.name}: {name} = {value}" for name, value in subject.extra.items()]
        why: dict[str, list[str]] = {}
        for column in row.columns.values():
            if column.state and column.state != "missing" and not column.name.endswith(" again"):
                why.setdefault(f"{SHORT[column.state]}: {column.why}", []).append(column.name)
        found += [f"{row.workload.name}, {', '.join(names)}: {text}" for text, names in why.items()]
    missing = {(c.name, c.why) for row in rows for c in row.columns.values() if c.state == "missing"}
    return found + [f"{name} is missing: {why}" for name, why in sorted(missing)]


def legend(options: Options) -> str:
    return (
        f"Columns of peers: their time (or memory) over {options.subject.name}'s, median of ratios paired by round; "
        f"above 1 {options.subject.name} is ahead. spread: {options.subject.name} against itself in a second process. "
        "limit: share of what the machine can do, measured in the same rounds. "
        "keeps: with a malloc that keeps freed memory."
    )


def limit_line(rows: list[Row]) -> str:
    units = {"fma_f32": "GFLOP/s", "dot_bf16": "GFLOP/s"}
    return ", ".join(f"{name} {rate / 1e9:.1f} {units.get(name, 'GB/s')}" for name, rate in limits(rows).items())


def terminal(rows: list[Row], options: Options, load: float) -> str:
    lines = table(rows, options)
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    text = [
        "  ".join(
            cell.rjust(width) if i else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    ]
    text += ["", legend(options), f"limits measured: {limit_line(rows) or 'none'}"]
    text += notes(rows, options)
    return "\n".join(text + [f"NOT for publication: {reason}" for reason in reasons(rows, options, load)])


def markdown(rows: list[Row], options: Options, load: float) -> str:
    where = machine(options, load)
    text = ["# Benchmarks", ""]
    text += [f"**Not for publication:** {reason}." for reason in reasons(rows, options, load)]
    text += [
        "",
        f"{where['cpu']}, {options.threads} threads, {options.rounds} rounds, {where['date']}.",
        legend(options),
        "",
    ]
    lines = table(rows, options)
    text += ["| " + " | ".join(line) + " |" for line in (lines[0], ["---"] * len(lines[0]), *lines[1:])]
    text += ["", f"Limits measured in the same run: {limit_line(rows) or 'none'}.", ""]
    text += [f"- `{row.workload.name}`: {row.workload.title}" for row in rows]
    text += ["", "Versions: " + ", ".join(f"{name} {version}" for name, version in versions(rows).items()) + "."]
    text += ["", *(f"- {note}" for note in notes(rows, options))]
    return "\n".join(text) + "\n"


def write(folder: Path, rows: list[Row], options: Options, load: float) -> None:
    """results.json and results.md in `folder`."""
    import json

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(json.dumps(as_data(rows, options, load), indent=1) + "\n")
    (folder / "results.md").write_text(markdown(rows, options, load))
