"""Programs that run in a process of their own, without this run's settings."""

import os
import subprocess
import sys
import textwrap
from collections.abc import Mapping

WHERE_LIBRARIES_ARE = "PLAIT_CUDA_LIBRARY_PATH"


def finished(
    program: str, environment: Mapping[str, str] | None = None, *, timeout: float = 120
) -> subprocess.CompletedProcess[str]:
    """The end of a Python program, which has to be a good one. Of plait's variables it sees `environment` alone."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("PLAIT_") or name == WHERE_LIBRARIES_ARE
    }
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        env={**inherited, "PYTHONPATH": ":".join(sys.path), **(environment or {})},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert done.returncode == 0, f"ended with {done.returncode}\n{done.stderr}"
    return done
