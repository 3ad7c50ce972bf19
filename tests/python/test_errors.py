"""Errors: built-in bases, fields, and the user's line."""

import inspect
import signal
import subprocess
import sys
import textwrap

import pytest

import plait.core as pc


def line() -> int:
    frame = inspect.currentframe()
    assert frame is not None and frame.f_back is not None
    return frame.f_back.f_lineno


def test_bases() -> None:
    for cls, bases in {
        pc.ShapeError: (ValueError,),
        pc.AxisError: (ValueError, IndexError),
        pc.DTypeError: (ValueError,),
        pc.ArgumentTypeError: (TypeError,),
        pc.IndexError: (IndexError, ValueError),
        pc.OutOfMemory: (MemoryError, RuntimeError),
        pc.InternalError: (RuntimeError,),
    }.items():
        assert issubclass(cls, pc.Error)
        for base in bases:
            assert issubclass(cls, base)
        assert isinstance(cls("text"), bases)


def test_fields() -> None:
    with pytest.raises(pc.ShapeError) as raised:
        at = line() + 1
        pc.ones((2, 3)) + pc.ones((4,))
    error = raised.value
    assert error.op == "add"
    assert "(2, 3)" in error.got and "(4,)" in error.got
    assert error.where == f"test_errors.py:{at} in test_fields"
    assert error.where in str(error)


def test_axis() -> None:
    with pytest.raises(pc.AxisError) as raised:
        pc.sum(pc.ones((2, 3)), axis=2)
    assert "axis 2" in raised.value.got and raised.value.accepts == "-2 to 1"


def test_numbers_that_do_not_fit() -> None:
    with pytest.raises(ValueError):
        pc.array([1], dtype=pc.uint8) + 300
    with pytest.raises(ValueError):
        pc.array([1]) + 2**40


def test_memory_is_refused_in_time() -> None:
    with pytest.raises(MemoryError):
        pc.eval(pc.zeros((1 << 22, 1 << 22)) + pc.ones((1 << 22, 1)))
    assert pc.ones(3).tolist() == [1, 1, 1]


INTERRUPTED = """
    import plait.core as pc, sys
    a = pc.array([float(i) for i in range(1000)])
    big = pc.ones((3000, 1)) * pc.ones((1, 3000))
    try:
        print("ready", flush=True)
        while True:
            pc.eval(pc.exp(big * 0.5) + 1)
    except KeyboardInterrupt:
        print("interrupted", (a + 1).sum().item())
"""


def test_control_c() -> None:
    program = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(INTERRUPTED)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert program.stdout is not None
    assert program.stdout.readline() == "ready\n"
    program.send_signal(signal.SIGINT)
    out, err = program.communicate(timeout=60)
    assert out.startswith("interrupted"), err
