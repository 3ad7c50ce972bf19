"""A side's process as the runner sees it: started, asked in turn, stopped while others are measured."""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parent.parent
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None)


class Process:
    """A worker that answers lines with lines of JSON. While it is not asked it is stopped: its threads may not spin."""

    def __init__(self, command: list[str], env: dict[str, str], cpus: set[int]) -> None:
        self.log = tempfile.TemporaryFile("w+")

        def before_exec() -> None:  # in the child: it must not outlive the runner, even stopped
            LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            os.sched_setaffinity(0, cpus)

        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
            bufsize=1,
            cwd=PROJECT,
            env=env,
            preexec_fn=before_exec,
        )

    def reply(self, timeout: float) -> dict[str, Any]:
        """The next line; {"error": ...} when the process ends or stays silent for `timeout` seconds."""
        assert self.process.stdout
        if not select.select([self.process.stdout], [], [], timeout)[0]:
            return {"error": f"no answer within {timeout:.0f} s"}
        line = self.process.stdout.readline()
        if line:
            return dict(json.loads(line))
        self.log.seek(0)
        said = self.log.read().strip().splitlines()
        return {"error": f"ended with status {self.process.wait()}: {said[-1][:200] if said else 'no message'}"}

    def pause(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def ask(self, line: str, timeout: float) -> dict[str, Any]:
        """Wake the process, send a line, return its answer, and stop it again."""
        assert self.process.stdin
        self.process.send_signal(signal.SIGCONT)
        try:
            self.process.stdin.write(line + "\n")
        except BrokenPipeError:
            pass  # reply tells why
        answer = self.reply(timeout)
        self.pause()
        return answer

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self.log.close()


def bare_import(package: str, env: dict[str, str], cpus: set[int]) -> dict[str, Any]:
    """Seconds that `import package` takes in an interpreter that has imported nothing else."""
    code = f"import time; start = time.perf_counter(); import {package}; print(time.perf_counter() - start)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=env,
        cwd=PROJECT,
        capture_output=True,
        text=True,
        preexec_fn=lambda: os.sched_setaffinity(0, cpus),
    )
    if done.returncode == 0:
        return {"ready": "", "value": float(done.stdout.split()[-1])}
    last = done.stderr.strip().splitlines()[-1]
    return {"missing" if "ImportError" in last or "ModuleNotFound" in last else "error": last}


def built(source: str) -> tuple[list[str], str]:
    """The command of a C++ yardstick, built for this machine unless it was; or an empty one and why there is none."""
    compiler = os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++") or shutil.which("c++")
    if not compiler:
        return [], "no C++ compiler"
    flags = ["-std=c++20", "-O3", "-march=native", "-pthread", "-I", str(PROJECT / "benchmarks")]
    if source.startswith("onednn"):
        needed = ("include/dnnl.hpp", "lib/libdnnl.so")
        prefix = next((at for at in prefixes() if all((at / name).exists() for name in needed)), None)
        if prefix is None:
            return [], "no oneDNN headers in this environment (package onednn-devel-cpu-gomp)"
        flags += ["-I", str(prefix / "include"), "-L", str(prefix / "lib"), "-ldnnl", f"-Wl,-rpath,{prefix / 'lib'}"]
    path = PROJECT / "benchmarks" / source
    # The CPU is part of the name: an executable for another one would not run.
    content = path.read_text() + (path.parent / "native.h").read_text() + " ".join([compiler, *flags]) + cpu_model()
    target = PROJECT / "build" / "benchmarks" / f"{path.stem}-{hashlib.sha256(content.encode()).hexdigest()[:16]}"
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        fresh = target.with_suffix(f".{os.getpid()}")
        done = subprocess.run([compiler, str(path), "-o", str(fresh), *flags], capture_output=True, text=True)
        if done.returncode:
            errors = [line for line in done.stderr.splitlines() if "error" in line]
            return [], f"{source} does not compile: {(errors or [done.stderr])[0][:200]}"
        fresh.rename(target)
    return [str(target)], ""


def prefixes() -> list[Path]:
    """Where packages of this environment put headers and libraries, then the system."""
    from_path = [Path(entry).parents[2] for entry in sys.path if entry.endswith("site-packages")]
    return [Path(sys.prefix), *from_path, Path("/usr/local"), Path("/usr")]


def cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return os.uname().machine


def last_level_cache_bytes() -> int:
    """Size of the largest cache that CPU 0 sees."""
    largest = 0
    for path in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size"):
        text = path.read_text().strip()
        largest = max(largest, int(text.rstrip("KMG")) * {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}.get(text[-1], 1))
    return largest or 32 << 20


def other_load(seconds: float = 0.5) -> float:
    """CPUs kept busy by other processes just now, this one being idle."""

    def busy() -> float:
        ticks = [int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
        return (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")

    before = busy()
    time.sleep(seconds)
    return (busy() - before) / seconds
