"""One side of one workload, in a process of its own: `python -m benchmarks.worker SIDE WORKLOAD THREADS [--quick]`.

It prints one line of JSON when it is ready: {"ready": version, "seconds": a first estimate, "sample": values of the
result}, or {"missing" | "not_offered" | "error": why}. Then, for every line "run N" on its input, it makes N calls and
prints {"seconds": per call}. A meter other than "time" measures once and puts {"value": ..., "extra": {...}} into the
ready line. The C++ yardsticks speak the same lines.
"""

from __future__ import annotations

import gc
import json
import mmap
import os
import sys
import time
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TextIO

from benchmarks.sides import Side, side_named
from benchmarks.workload import Arrays, Body, NotOfferedError, Workload

if TYPE_CHECKING:
    from benchmarks.frameworks import Framework

WARM_CALLS, WARM_SECONDS, LONG_WARMING = 5, 0.3, 10.0
LONG_CALL = 0.25  # seconds; a longer call needs none before it to warm caches


def main() -> int:
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what frameworks print goes to the log, not between the replies
    name, workload_name, threads = sys.argv[1], sys.argv[2], int(sys.argv[3])
    try:
        serve(side_named(name), workload_name, threads, "--quick" in sys.argv, replies)
    except NotOfferedError as reason:
        say(replies, not_offered=str(reason))
    except Exception as error:  # the report shows it; the other sides go on
        traceback.print_exc()
        say(replies, error=f"{type(error).__name__}: {error}".split("\n")[0][:300])
    return 0


def say(replies: TextIO, **fields: Any) -> None:
    replies.write(json.dumps(fields) + "\n")
    replies.flush()


def serve(side: Side, workload_name: str, threads: int, quick: bool, replies: TextIO) -> None:
    from benchmarks.frameworks import FAMILIES
    from benchmarks.workloads import REGISTRY

    workload = REGISTRY[workload_name]
    body = workload.body(side.family)
    try:
        framework = FAMILIES[side.family](side, threads, workload)
    except ImportError as missing:
        say(replies, missing=str(missing).split("\n")[0])
        return
    try:
        METERS[workload.meter](framework, workload, body, quick, replies)
    except (AttributeError, NotImplementedError) as lack:
        if isinstance(lack, AttributeError) and type(lack.obj).__name__ != "module":
            raise
        raise NotOfferedError(str(lack).split("\n")[0][:200]) from lack


def inputs_of(framework: Framework, workload: Workload, body: Body, quick: bool) -> list[Arrays]:
    """The inputs as this side has them; several sets of them for the meter "cold"."""
    import numpy as np

    made = workload.inputs(np.random.default_rng(0), *workload.dimensions(quick))
    sets = made if workload.meter == "cold" else [made]
    return [[framework.array(value) for value in (body.prepare(*one) if body.prepare else one)] for one in sets]


def compiled(framework: Framework, workload: Workload, body: Body) -> Callable[..., Any]:
    """The body as a function of arrays only, compiled where the side compiles."""

    def function(*arrays: Any) -> Any:
        return body.function(framework.xp, *arrays)

    return framework.compile(function) if workload.compiled else function


def call_of(framework: Framework, workload: Workload, body: Body, inputs: Arrays) -> Callable[[], Any]:
    """The call to measure: it ends when the result is there."""
    if body.builds:
        return body.function(framework, *inputs)  # type: ignore[no-any-return]
    function, wait = compiled(framework, workload, body), framework.wait
    return lambda: wait(function(*inputs))


def timed(call: Callable[[], Any], calls: int) -> float:
    """Seconds for each of `calls` calls. No result outlives its call, so a side may use its memory again."""
    gc.disable()
    start = time.perf_counter()
    for _ in range(calls):
        call()
    seconds = (time.perf_counter() - start) / calls
    gc.enable()
    return seconds


def measure_warm(framework: Framework, workload: Workload, body: Body, quick: bool, replies: TextIO) -> None:
    """Warm up, show a sample of the result, then measure whenever asked."""
    call = call_of(framework, workload, body, inputs_of(framework, workload, body, quick)[0])
    first = call()
    sample = sampled(framework, workload, first) if workload.check else None
    took: list[float] = []
    while sum(took) < WARM_SECONDS * (not quick) or (len(took) < WARM_CALLS and sum(took) < LONG_WARMING):
        took.append(timed(call, 1))
    seconds = min(took)
    if workload.learns and not float(framework.host(call())) < float(framework.host(first)):
        raise ArithmeticError("the loss does not fall")
    del first
    say(replies, ready=framework.version, seconds=seconds, sample=sample)
    for line in sys.stdin:
        if seconds < LONG_CALL:
            call()  # other sides ran in between: caches and threads are cold
        say(replies, seconds=timed(call, int(line.split()[1])))


def sampled(framework: Framework, workload: Workload, result: Any) -> list[float]:
    """A few values at fixed places of every array of the result."""
    import numpy as np

    assert workload.check
    values: list[float] = []
    for one in result if isinstance(result, (tuple, list)) else [result]:
        flat = np.ravel(workload.check(framework.host(one)))
        picked = flat[np.linspace(0, flat.size - 1, min(flat.size, 32)).astype(int)]
        values += np.abs(picked).tolist() if np.iscomplexobj(picked) else picked.astype(float).tolist()
    return values


def measure_cold(framework: Framework, workload: Workload, body: Body, quick: bool, replies: TextIO) -> None:
    """One call on each set of inputs, in a process that has computed nothing before."""
    sets = inputs_of(framework, workload, body, quick)
    before = framework.counters()
    start = time.perf_counter()
    function = compiled(framework, workload, body)
    for arrays in sets:
        framework.wait(function(*arrays))
    seconds = time.perf_counter() - start
    counted = {name: count - before.get(name, 0) for name, count in framework.counters().items()}
    counted = {name: count for name, count in counted.items() if count}
    say(replies, ready=framework.version, value=seconds, extra=counted)


def measure_first(framework: Framework, workload: Workload, body: Body, quick: bool, replies: TextIO) -> None:
    """What the first call takes beyond a steady one, modules imported, on a machine that has its memory."""
    inputs = inputs_of(framework, workload, body, quick)[0]
    if framework.side.family == "mx":
        for name in ("nn", "optimizers"):
            framework.module(name)
    take_pages()
    start = time.perf_counter()
    call = call_of(framework, workload, body, inputs)
    call()
    first = time.perf_counter() - start
    steady = min(timed(call, 1) for _ in range(2))
    parts = {"first_us": round(first * 1e6), "steady_us": round(steady * 1e6)}
    say(replies, ready=framework.version, value=first - steady, extra=parts)


def take_pages() -> None:
    """Touch memory and give it back, so that a virtual machine has it from its host: that is no framework's work."""
    for advice in (mmap.MADV_HUGEPAGE, mmap.MADV_NOHUGEPAGE):  # pages of both sizes come from pools of their own
        with mmap.mmap(-1, 1 << 30, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as pages:
            pages.madvise(advice)
            for at in range(0, len(pages), mmap.PAGESIZE):
                pages[at] = 1


def measure_memory(framework: Framework, workload: Workload, body: Body, quick: bool, replies: TextIO) -> None:
    """How far the resident memory of the process rises above the inputs during the first full call.

    A call on small arrays comes first, so that code and compilers that load late are not taken for data.
    """
    function = compiled(framework, workload, body)
    framework.wait(function(*inputs_of(framework, workload, body, True)[0]))
    inputs = inputs_of(framework, workload, body, quick)[0]
    gc.collect()
    with open("/proc/self/clear_refs", "w") as control:
        control.write("5")  # the high-water mark starts again from here
    framework.reset_peak()
    before = status_bytes("VmRSS")
    framework.wait(function(*inputs))
    grown = status_bytes("VmHWM") - before
    own = framework.peak_bytes()
    say(replies, ready=framework.version, value=grown, extra={} if own is None else {"allocator_peak_bytes": own})


def status_bytes(field: str) -> int:
    with open("/proc/self/status") as status:
        line = next(line for line in status if line.startswith(field + ":"))
    return int(line.split()[1]) * 1024


METERS = {"time": measure_warm, "cold": measure_cold, "first": measure_first, "memory": measure_memory}

if __name__ == "__main__":
    raise SystemExit(main())
