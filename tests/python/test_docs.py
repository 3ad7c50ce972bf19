"""What the pages show is what happens: programs in kernel IR as they are printed, and the README's example."""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PREPARE = """
import plait.core as pc
x, w, b = pc.ones((64, 128)), pc.ones((128, 10)), pc.zeros((10,))
pc.eval(x, w, b)
"""
PROGRAMS = {  # by an instruction that only they have
    "tanh": "x = x.reshape(-1); pc.eval(0.5 * x * (1 + pc.tanh(0.7978845608 * (x + 0.044715 * x * x * x))))",
    "reduce_max": "pc.eval(pc.softmax(x, axis=-1))",
}


def blocks(page: str, language: str) -> list[str]:
    return [text for found, text in BLOCK.findall((ROOT / page).read_text()) if found == language]


def run_as_a_file(program: str, prepare: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The program as the file model.py; on stderr BEGIN stands before what it does."""
    start = (
        "import runpy, sys\n"
        "names = {}\n"
        "exec(sys.argv[1], names)\n"
        "print('BEGIN', file=sys.stderr, flush=True)\n"
        "runpy.run_path('model.py', names)\n"
    )
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "model.py").write_text(program)
        return subprocess.run(
            [sys.executable, "-c", start, prepare],
            cwd=folder,
            env=os.environ | environment,
            capture_output=True,
            text=True,
        )


def printed(program: str) -> str:
    """What PLAIT_DUMP says of a program's last plan."""
    run = run_as_a_file(program, PREPARE, PLAIT_DUMP="all")
    assert run.returncode == 0, run.stderr
    return run.stderr.rpartition("BEGIN\n")[2]


def test_the_readme_trains_something() -> None:
    (program,) = blocks("README.md", "python")
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert float(run.stdout.removeprefix("loss")) < 0.1


def test_the_engine_page_shows_the_plan() -> None:
    program = blocks("docs/engine.md", "python")[0]
    assert blocks("docs/engine.md", "")[0] == printed(program)


def shown_by(program: str) -> str:
    """What a program prints, its last error included."""
    run = run_as_a_file(program, "import plait.core as pc\nfrom plait import debug\n")
    return run.stdout + (run.stderr[run.stderr.rfind("\nplait.core.") + 1 :] if run.returncode else "")


@pytest.mark.parametrize(("page", "shown"), [("debugging.md", 4), ("control_flow.md", 2), ("custom_kernels.md", 3)])
def test_pages_show_what_is_printed(page: str, shown: int) -> None:
    programs, outputs = blocks(f"docs/{page}", "python"), blocks(f"docs/{page}", "")
    assert len(outputs) >= shown
    for program, output in zip(programs, outputs, strict=False):
        assert shown_by(program) == output


@pytest.mark.parametrize("page", sorted(p.name for p in (ROOT / "docs/decisions").glob("*kernel-ir*.md")))
def test_decisions_show_programs_as_they_are(page: str) -> None:
    shown = [text for text in blocks(f"docs/decisions/{page}", "") if text.startswith("region")]
    assert len(shown) == len(PROGRAMS)
    for text in shown:
        plain = "".join(re.split(" {3,}", line)[0].rstrip() + "\n" for line in text.splitlines())
        (program,) = [source for name, source in PROGRAMS.items() if f"= {name}." in plain]
        assert plain in printed(program)
