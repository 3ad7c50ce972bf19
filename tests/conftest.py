"""What all Python tests share."""

import os
import signal

import pytest

import plait.core as pc

# Where this run was started with Ctrl-C ignored (in the background of a script) its children would ignore it too.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# As an oracle JAX stays on the CPU; beside a GPU's tests it would take most of its memory.
os.environ.setdefault("JAX_PLATFORMS", "cpu")

# The same tests with another default device: PLAIT_TEST_DEVICE=gpu, on a GPU or a simulated one (PLAIT_SIMULATE_GPU=1).
if os.environ.get("PLAIT_TEST_DEVICE") == "gpu":
    pc.set_default_device(pc.gpu)


@pytest.fixture(params=["simulated", "real"])
def gpu(request: pytest.FixtureRequest) -> dict[str, str]:
    """What a process has in its environment to see a GPU."""
    if request.param == "simulated":
        return {"PLAIT_SIMULATE_GPU": "1"}
    if os.environ.get("PLAIT_SIMULATE_GPU") or not pc.is_available(pc.gpu):
        pytest.skip("no GPU in this machine")
    return {}


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what tests recorded as `closing note`, also when they passed on another worker."""
    for reports in terminalreporter.stats.values():
        for report in reports:
            if getattr(report, "when", None) == "call":
                for name, value in report.user_properties:
                    if name == "closing note":
                        terminalreporter.write_line(str(value))
