"""Ctrl-C while plait works: KeyboardInterrupt comes soon, on the line that waits, and what was there before stays."""

import signal
import subprocess
import sys
import textwrap

import pytest

# What each program does is far longer than the test may take, so that it cannot be over before the signal comes.
LONG = {
    "one_fused_pass": "pc.eval((pc.exp(column * row) + 1).sum())",
    "many_steps": "pc.eval(chain(x, 100_000))",
    "many_small_evaluations": "while True: pc.eval(x + 1)",
    "products": "pc.eval(deep(square, 10_000))",
    "reading_an_element": "deep(square, 10_000)[0, 0].item()",
    "waiting_for_the_background": "y = deep(square, 10_000); pc.async_eval(y); y.tolist()",
    "synchronize": "pc.async_eval(deep(square, 10_000)); pc.synchronize()",
    "sorting": "while True: pc.eval(pc.sort(pc.random.normal((1_000_000,))))",
    "a_compiled_function": "step = pc.compile(lambda a: pc.tanh(a @ a))\nwhile True: square = step(square)",
    "a_gradient": "loss = pc.grad(lambda a: pc.tanh(a @ a).sum())\nwhile True: pc.eval(loss(square))",
    "numpy": "while True: np.asarray(square @ square)",
}
PROGRAM = """
import sys, threading, time
import numpy as np
import plait.core as pc

x = pc.arange(1000.0)
column, row = pc.ones((1 << 21, 1)) * 0.5, pc.ones((1, 1 << 21))
square = pc.random.normal((1200, 1200)) / 40
kept = pc.array([1, 2, 3])
pc.eval(x, column, row, square)
before = square.tolist()

def chain(a, length):
    for _ in range(length):
        a = pc.sin(a)
        a = a[::-1] + pc.sort(a)
    return a

def deep(a, length):
    b = a
    for _ in range(length):
        b = pc.tanh(b @ a)
    return b

def main(square=square):
    WORK

print("ready", flush=True)
try:
    main()
except KeyboardInterrupt:
    print("interrupted", flush=True)
    assert (kept + 1).tolist() == [2, 3, 4] and x.sum().item() == 499500
    assert square.tolist() == before  # not even a donated buffer is lost
    assert pc.matmul(pc.ones((300, 300)), pc.ones((300, 300))).sum().item() == 300**3
    print("usable", flush=True)
"""


@pytest.mark.parametrize("name", LONG)
def test_control_c(name: str) -> None:
    work = textwrap.indent(LONG[name], "    ").lstrip()
    program = subprocess.Popen(
        [sys.executable, "-c", PROGRAM.replace("WORK", work)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert program.stdout is not None
    assert program.stdout.readline() == "ready\n"
    # "ready" comes before the work: whenever the signal arrives, it has to end it. The pause only makes it likely that
    # the work is under way.
    try:
        program.wait(timeout=0.2)
    except subprocess.TimeoutExpired:
        program.send_signal(signal.SIGINT)
    try:
        out, err = program.communicate(timeout=20)
    finally:
        program.kill()
    assert out == "interrupted\nusable\n", err


def test_other_signals_and_other_handlers() -> None:
    # A handler may raise what it likes; it comes out of the evaluation as it is.
    program = """
    import os, signal, threading
    import plait.core as pc

    class Stop(Exception):
        pass

    def handler(*_):
        raise Stop("now")

    signal.signal(signal.SIGUSR1, handler)
    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGUSR1)).start()
    try:
        pc.eval((pc.exp(pc.ones((1 << 21, 1)) * pc.ones((1, 1 << 21)))).sum())
    except Stop as stop:
        print("stopped", stop)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "stopped now\n"


def test_a_signal_that_raises_nothing_disturbs_nothing() -> None:
    program = """
    import signal
    import plait.core as pc

    seen = []
    signal.signal(signal.SIGALRM, lambda *_: seen.append((pc.ones(3) + 1).sum().item()))  # evaluates in the midst
    signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
    a = pc.ones((700, 700))
    while len(seen) < 5:
        assert (a @ a).sum().item() == 700**3
    signal.setitimer(signal.ITIMER_REAL, 0)  # the interpreter that ends takes the handler away
    print(set(seen))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "{6.0}\n"
