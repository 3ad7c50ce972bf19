"""Training steps of which each `operator new` fails, in plait, its bindings and the standard library.

`tests/failing_new.cpp` is preloaded into processes of their own. A step either ends well or raises MemoryError; after
it the same step gives the same numbers. Some hundred allocations of a step are tried, evenly spread. With `--slow` all
are, of a first step in a process, with what is set up then, each fifth or so.
"""

import ast
import ctypes
import os
import shutil
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import plait.core as pc

HERE = Path(__file__).parent
SOURCE = HERE.parent / "failing_new.cpp"
COMPILER = shutil.which(os.environ.get("PLAIT_CXX", "c++")) or shutil.which("g++") or shutil.which("clang++")

pytestmark = [
    pytest.mark.skipif(not COMPILER, reason="NO C++ COMPILER, NOT TESTED"),
    pytest.mark.skipif(
        "san.so" in os.environ.get("LD_PRELOAD", ""), reason="the sanitizer has an operator new of its own"
    ),
]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("failing") / "failing_new.so"
    command = [str(COMPILER), "-std=c++17", "-O1", "-shared", "-fPIC", str(SOURCE), "-o", str(made)]
    subprocess.run(command, check=True)
    return made


@pytest.mark.parametrize("all_after", [False, True], ids=["one", "all_after"])
@pytest.mark.parametrize("step", ["plain", "background", "compiled", "tracing", "first"])
def test_a_sample(library: Path, step: str, all_after: bool) -> None:
    run(library, step, all_after, 60 if step == "first" else 250)


@pytest.mark.slow
@pytest.mark.parametrize("all_after", [False, True], ids=["one", "all_after"])
@pytest.mark.parametrize("step", ["plain", "background", "compiled", "tracing", "first"])
def test_more(library: Path, step: str, all_after: bool) -> None:
    run(library, step, all_after, 2000 if step == "first" else 1 << 30)


def run(library: Path, step: str, all_after: bool, most: int) -> None:
    done = subprocess.run(
        [sys.executable, __file__, step, str(int(all_after)), str(most)],
        env=os.environ | {"LD_PRELOAD": str(library), "PYTHONPATH": os.pathsep.join([str(HERE), *sys.path])},
        capture_output=True,
        text=True,
        timeout=3000,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


# ---- in the process with the library ----


def fails_well(attempt: Callable[[], Any], n: int, all_after: bool) -> bool:
    """Whether there was an n-th operator new. With all_after those behind it fail as well."""
    news = ctypes.CDLL(None)
    before = news.news_failed()
    raised = False
    news.fail_new(ctypes.c_int64(n), int(all_after))
    try:
        attempt()
    except MemoryError:
        raised = True
    finally:
        news.fail_new(ctypes.c_int64(-1), 0)
    failed = news.news_failed() > before
    assert failed or not raised
    return bool(failed)


def counted(attempt: Callable[[], Any]) -> int:
    news = ctypes.CDLL(None)
    news.fail_new(ctypes.c_int64(1 << 30), 0)
    attempt()
    total = (1 << 30) - news.news_left()
    news.fail_new(ctypes.c_int64(-1), 0)
    return int(total)


def spread(total: int, most: int) -> range:
    """At most about `most` numbers below `total`, and a few more in case that another run needs more."""
    return range(0, total + total // 10 + 2, max(1, total // most))


def in_one_process(step: str, all_after: bool, most: int) -> int:
    from test_allocation_failure import Training, in_the_background, numbers

    training = Training(compiled=step == "compiled")
    before = training.state()
    value = training.step().item()
    want = training.state()

    def attempt() -> None:
        if step == "tracing":
            Training(compiled=True).step()  # the first call of its function
        else:
            training.step(in_the_background if step == "background" else pc.eval)

    for _ in range(3):
        training.rewind()
        total = counted(attempt)
    reached = 0
    for n in spread(total, most):
        print(step, n, flush=True)
        training.rewind()
        reached += fails_well(attempt, n, all_after)
        pc.synchronize()
        assert numbers(dict(zip(("model", "optimizer"), training.begin, strict=True))) == before  # what is held
        training.rewind()
        assert training.step().item() == value and training.state() == want
    return reached


def in_a_child(work: Callable[[], Any]) -> Any:
    """What work() returns, a literal, in a fork of this process."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        ctypes.CDLL(None).alarm(60)  # a hang becomes a signal
        try:
            os.write(writing, repr(work()).encode())
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
            os._exit(1)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        said = pipe.read()
    status = os.waitpid(pid, 0)[1]
    assert status == 0, f"a child ended with status {status}"
    return ast.literal_eval(said)


def in_new_processes(all_after: bool, most: int) -> int:
    """The first step of a process, with what is set up then: each a fork of this one, which has computed nothing."""
    from test_allocation_failure import Training

    def attempt() -> tuple[Any, Any]:
        training = Training(compiled=False)
        return training.step().item(), training.state()

    want = in_a_child(attempt)
    reached = 0
    for n in spread(in_a_child(lambda: counted(attempt)), most):
        print("first", n, flush=True)
        failed, got = in_a_child(lambda n=n: (fails_well(attempt, n, all_after), attempt()))
        assert got == want
        reached += failed
    return reached


if __name__ == "__main__":
    step, all_after, most = sys.argv[1], sys.argv[2] == "1", int(sys.argv[3])
    reached = in_new_processes(all_after, most) if step == "first" else in_one_process(step, all_after, most)
    print(f"{step}: {reached} allocations failed")
    assert reached >= min(most, 100) // 2
