"""Runs one workload on all sides in interleaved rounds."""

from __future__ import annotations

import random
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.process import Process, bare_import, built, last_level_cache_bytes
from benchmarks.sides import Side, chosen_cpus, environment
from benchmarks.workload import Cost, Workload

TURN_SECONDS = 0.05  # a side's calls in one round take about this long
BUDGET_SECONDS = 90.0  # a side that has used this much sits out the rounds beyond the first few
FEWEST_ROUNDS = 5
PATIENCE_SECONDS = 600.0


@dataclass(frozen=True)
class Options:
    subject: Side
    peers: list[Side]
    rounds: int = 20
    threads: int = 2
    quick: bool = False


@dataclass
class Column:
    """What one side did on one workload. `state`: "" if measured, else "missing", "not_offered", "error", "differs"."""

    name: str
    state: str = ""
    why: str = ""
    version: str = ""
    values: list[float | None] = field(default_factory=list)  # seconds a call, or bytes, by round
    extra: dict[str, int] = field(default_factory=dict)
    spent: float = 0.0  # seconds of all its turns


@dataclass
class Row:
    """A workload's result: the subject, the subject again, the peers and yardsticks, the limits of every round."""

    workload: Workload
    columns: dict[str, Column]
    limits: list[dict[str, float]]
    cost: Cost | None

    def wrong(self) -> list[str]:
        """Columns that should have been measured and were not."""
        return [name for name, column in self.columns.items() if column.state in ("error", "differs")]

    def limit_seconds(self) -> list[float | None]:
        return [self.cost.seconds(rates) if self.cost else None for rates in self.limits]


def measure(workload: Workload, options: Options, gone: dict[str, str]) -> Row:
    """All sides on one workload. `gone` remembers the peers that cannot be imported from one workload to the next."""
    shuffle = random.Random(workload.name)
    with tempfile.TemporaryDirectory(prefix="plait-bench-") as scratch:
        bench = _Bench(workload, options, Path(scratch), gone)
        try:
            for _ in range(options.rounds):
                turns = list(bench.turns)
                shuffle.shuffle(turns)  # no side always follows the same other
                for name in turns:
                    started = time.monotonic()
                    bench.turns[name]()
                    if name in bench.columns:
                        bench.columns[name].spent += time.monotonic() - started
        finally:
            for process in bench.processes:
                process.close()
        return bench.row()


class _Bench:
    """The sides of one workload while they are measured: `turns` holds, by column, what to do in each round."""

    def __init__(self, workload: Workload, options: Options, scratch: Path, gone: dict[str, str]) -> None:
        self.workload, self.options, self.scratch, self.gone = workload, options, scratch, gone
        self.cpus = chosen_cpus(options.threads)
        self.columns: dict[str, Column] = {}
        self.processes: list[Process] = []
        self.turns: dict[str, Any] = {}
        self.limits: list[dict[str, float]] = []
        self.samples: dict[str, list[float]] = {}
        size = workload.dimensions(options.quick)
        self.cost = workload.cost(*size) if workload.cost else None
        for name, side in self.sides():
            self.add_side(name, side)
        for name, (source, *arguments) in workload.native.items():
            self.add_native(name, source, [argument.format(*size) for argument in arguments])
        if self.cost and self.turns:
            self.add_limits(self.cost)
        self.compare_samples()

    def sides(self) -> list[tuple[str, Side]]:
        """Columns to measure: one with nothing to compile, or no steady state for an allocator, is left out."""
        subject, again = self.options.subject, self.options.subject.name + " again"
        named = [(subject.name, subject), (again, subject)] + [(side.name, side) for side in self.options.peers]
        steady = self.workload.meter == "time"
        imports = self.workload.meter == "import"
        return [
            (name, side)
            for name, side in named
            if not (side.keeps and not steady)
            and not (side.family == "torch" and side.compiled and (imports or not self.workload.compiled))
        ]

    def add_side(self, name: str, side: Side) -> None:
        column = self.columns[name] = Column(name)
        if side.peer in self.gone:
            column.state, column.why = "missing", self.gone[side.peer]
            return
        env = environment(side, self.options.threads, self.scratch)
        if self.workload.meter != "time":
            self.turns[name] = lambda: self.fresh(column, side)
            return
        say(f"  {name}: starting")
        answer = self.add_process(column, Process(self.command(side), env, self.cpus))
        if "missing" in answer:
            self.gone[side.peer] = column.why

    def command(self, side: Side) -> list[str]:
        quick = ["--quick"] if self.options.quick else []
        arguments = [side.name, self.workload.name, str(self.options.threads), *quick]
        return [sys.executable, "-m", "benchmarks.worker", *arguments]

    def fresh(self, column: Column, side: Side) -> None:
        """A round of a meter that needs a new process each time, with nothing cached on disk by the side."""
        if column.state or self.tired(column):
            column.values.append(None)
            return
        with tempfile.TemporaryDirectory(dir=self.scratch) as empty:
            env = environment(side, self.options.threads, Path(empty))
            if self.workload.meter == "import":
                answer = bare_import(side.package, env, self.cpus)
            else:
                process = Process(self.command(side), env, self.cpus)
                answer = process.reply(PATIENCE_SECONDS)
                process.close()
        if not self.take(column, answer) and "missing" in answer:
            self.gone[side.peer] = column.why
        column.values.append(answer.get("value"))
        column.extra = answer.get("extra", {})

    def tired(self, column: Column) -> bool:
        """True for a peer that has used up its time; the subject takes part in every round."""
        if column.name.removesuffix(" again") == self.options.subject.name:
            return False
        return column.spent > BUDGET_SECONDS and len(column.values) >= FEWEST_ROUNDS

    def add_native(self, name: str, source: str, arguments: list[str]) -> None:
        column = self.columns[name] = Column(name)
        command, why = built(source)
        if not command:
            column.state, column.why = "missing", why
            return
        env = environment(None, self.options.threads, self.scratch)
        self.add_process(column, Process([*command, str(self.options.threads), *arguments], env, self.cpus))

    def add_process(self, column: Column, process: Process) -> dict[str, Any]:
        """A warm process: from now on it answers "run N" in each round. Returns its first answer."""
        self.processes.append(process)
        answer = process.reply(PATIENCE_SECONDS)
        if not self.take(column, answer):
            return answer
        process.pause()
        if answer.get("sample"):
            self.samples[column.name] = answer["sample"]
        seconds = max(answer["seconds"], 1e-9)
        calls = 1 if self.options.quick else max(1, min(10000, round(TURN_SECONDS / seconds)))

        def turn() -> None:
            if column.state or self.tired(column):
                column.values.append(None)
                return
            answered = process.ask(f"run {calls}", PATIENCE_SECONDS)
            self.take(column, answered)
            column.values.append(answered.get("seconds"))

        self.turns[column.name] = turn
        return answer

    def take(self, column: Column, answer: dict[str, Any]) -> bool:
        """Note why a side does not run; True when it does."""
        column.version = answer.get("ready", column.version)
        for state in ("missing", "not_offered", "error"):
            if state in answer:
                column.state, column.why = state, answer[state]
        return not column.state

    def add_limits(self, cost: Cost) -> None:
        """The machine's limits take part in the rounds like a side."""
        command, why = built("limits.cpp")
        if not command:
            say(f"  no limits: {why}")
            return
        size = 16 << 20 if self.options.quick else max(8 * last_level_cache_bytes(), 256 << 20)
        env = environment(None, self.options.threads, self.scratch)
        process = Process([*command, str(self.options.threads), str(size), *cost.quantities()], env, self.cpus)
        self.processes.append(process)
        process.reply(PATIENCE_SECONDS)
        process.pause()
        self.turns["limits"] = lambda: self.limits.append(process.ask("run 2", PATIENCE_SECONDS))

    def compare_samples(self) -> None:
        """Sides whose results differ from the first side's that has any in this order did other work: say so."""
        trusted = ("numpy", "torch", "jax", "mlx")
        reference = next((self.samples[name] for name in trusted if name in self.samples), None)
        if reference is None:
            return
        scale = max(map(abs, reference)) or 1.0
        for name, sample in self.samples.items():
            worst = max((abs(a - b) for a, b in zip(reference, sample, strict=False)), default=0.0)
            if len(sample) != len(reference) or not worst <= self.workload.tolerance * scale:
                self.columns[name].state = "differs"
                self.columns[name].why = f"results are {worst / scale:.2g} of the largest value apart"

    def row(self) -> Row:
        return Row(self.workload, self.columns, self.limits, self.cost)


def run(workloads: list[Workload], options: Options) -> Iterator[Row]:
    """All workloads, one after the other."""
    gone: dict[str, str] = {}
    for workload in workloads:
        started = time.monotonic()
        say(f"{workload.name}: {workload.title}")
        row = measure(workload, options, gone)
        say(f"  done in {time.monotonic() - started:.0f} s")
        yield row


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
