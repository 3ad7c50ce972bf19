"""The example programs: each runs, and more steps lower its loss."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "examples" / "python"
# name, steps, the loss they reach with room to spare, and the loss of guessing
LEARNED = {"digits_mlp": (150, 0.6, 2.3), "tiny_transformer": (150, 2.6, 4.2), "per_example_gradients": (60, 1.0, 2.3)}


def run(name, *arguments):
    command = [sys.executable, str(FOLDER / f"{name}.py"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_example_is_tested():
    assert {file.stem for file in FOLDER.glob("*.py")} == set(LEARNED)


@pytest.mark.parametrize("name", LEARNED)
def test_two_steps_run(name):
    assert "step    2  loss" in run(name, "--steps", "2")


@pytest.mark.slow
@pytest.mark.parametrize("name", LEARNED)
def test_learns(name):
    steps, reached, guessing = LEARNED[name]
    losses = [float(loss) for loss in re.findall(r"loss (\d+\.\d+)", run(name, "--steps", str(steps)))]
    assert losses[-1] < reached < guessing
