"""plait beside what else a program imports: matplotlib, and its own start-up time."""

import subprocess
import sys

import numpy as np
import pytest

import plait.core as pc


def run(program: str, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *options, "-c", program], capture_output=True, text=True, check=True)


def test_matplotlib_plots_arrays() -> None:
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots()
    (line,) = axes.plot(pc.array([0.0, 1.0, 2.0]), pc.array([0.0, 1.0, 4.0]))
    np.testing.assert_array_equal(line.get_ydata(), [0, 1, 4])
    axes.imshow(pc.ones((4, 4)))
    pyplot.close(figure)


def seconds_to_import(module: str) -> float:
    # Of the processor: other work on the machine does not count.
    program = f"import time; start = time.process_time(); import {module}; print(time.process_time() - start)"
    return min(float(run(program).stdout) for _ in range(5))


def test_import_takes_less_than_30_ms() -> None:
    # Or half of NumPy's time, on a machine on which all takes longer.
    assert seconds_to_import("plait.core") < max(0.030, 0.5 * seconds_to_import("numpy"))
