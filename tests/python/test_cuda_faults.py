"""What goes wrong on a real GPU: its memory ends, a kernel faults, NVIDIA's libraries are not what they should be.

Each program runs in a process of its own. Libraries are played by small ones, which the loader finds first.
"""

import os
import re
import shutil
import subprocess
import textwrap
import time
from pathlib import Path

import pytest

import plait.core as pc
from programs import finished

ROOT = Path(__file__).parents[2]
CUDA_ROOM = ROOT / "src/backends/cuda"

pytestmark = pytest.mark.skipif(
    bool(os.environ.get("PLAIT_SIMULATE_GPU")) or not pc.is_available(pc.gpu), reason="NO GPU, NOT TESTED"
)


def run(program: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The program's end: it has to come within a minute, and must not be an abort."""
    start = "import plait.core as pc\npc.set_default_device(pc.gpu)\n"
    return finished(start + textwrap.dedent(program), environment, timeout=60)


def played_library(directory: Path, name: str, source: str) -> dict[str, str]:
    """An environment in which the library of this name is this text."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if not compiler:
        pytest.skip("NO C COMPILER, NOT TESTED")
    text = directory / "played.c"
    text.write_text(textwrap.dedent(source))
    subprocess.run([compiler, "-shared", "-fPIC", "-w", "-o", str(directory / name), str(text)], check=True)
    inherited = os.environ.get("LD_LIBRARY_PATH")
    return {"LD_LIBRARY_PATH": f"{directory}:{inherited}" if inherited else str(directory)}


def functions_of(header: str, prefix: str) -> list[str]:
    """Names of the functions that the backend asks a library for."""
    text = (CUDA_ROOM / "libraries" / header).read_text()
    return [prefix + name for name in re.findall(r"\bF\((\w+)\)", text.split("_FUNCTIONS(F)")[1])]


def played_nvrtc(directory: Path, compile_body: str) -> dict[str, str]:
    return played_library(
        directory,
        "libnvrtc.so.13",
        """
        #include <stddef.h>
        #include <string.h>
        #include <unistd.h>
        static __thread int (*flow)(void*, void*);
        static __thread void* payload;
        static const char log[] = "region.cu(1): error: not today";
        int nvrtcVersion(int* major, int* minor) { *major = 13; *minor = 0; return 0; }
        int nvrtcGetNumSupportedArchs(int* n) { *n = 1; return 0; }
        int nvrtcGetSupportedArchs(int* archs) { *archs = 90; return 0; }
        int nvrtcCreateProgram(void** p) { *p = (void*)log; return 0; }
        int nvrtcSetFlowCallback(void* p, int (*f)(void*, void*), void* load) { flow = f; payload = load; return 0; }
        int nvrtcCompileProgram(void* p) { BODY }
        int nvrtcDestroyProgram(void** p) { return 0; }
        int nvrtcGetProgramLogSize(void* p, size_t* n) { *n = sizeof log; return 0; }
        int nvrtcGetProgramLog(void* p, char* to) { memcpy(to, log, sizeof log); return 0; }
        int nvrtcGetCUBINSize(void* p, size_t* n) { return 1; }
        int nvrtcGetCUBIN(void* p, char* to) { return 1; }
        int nvrtcGetPTXSize(void* p, size_t* n) { return 1; }
        int nvrtcGetPTX(void* p, char* to) { return 1; }
        """.replace("BODY", compile_body),
    )


REGIONS = """
import time
x = pc.arange(12.0).reshape(3, 4)
for k in range(4):
    assert (x * (k + 1) + k).sum().item() == 66.0 * (k + 1) + 12 * k
    assert pc.abs(pc.softmax(x - k, axis=1).sum(axis=1) - 1).max().item() < 1e-6
    time.sleep(0.2)
"""


@pytest.mark.parametrize("kind", ["empty", "failing"])
def test_regions_stay_on_tier_0_where_nothing_can_be_built(kind: str, tmp_path: Path) -> None:
    if kind == "empty":
        environment = played_library(tmp_path, "libnvrtc.so.13", "")
        reason = ["libnvrtc.so.13", "it is older than what plait was built for", "pip install nvidia-cuda-nvrtc"]
    else:
        environment = played_nvrtc(tmp_path, "return 6;")
        reason = ["NVRTC rejects the generated source", "region.cu(1): error: not today"]
    done = run(REGIONS, PLAIT_CACHE_DIR=str(tmp_path / "cache"), **environment)
    assert done.stderr.count("regions stay on the slower tier 0") == 1, done.stderr
    assert all(part in done.stderr for part in reason), done.stderr


def test_nothing_waits_for_a_compiler(tmp_path: Path) -> None:
    """Nor does the end of the process, whose compilations are cancelled."""
    slow = "for (int i = 0; i < 6000; ++i) { if (flow && flow(payload, 0)) return 10; usleep(10000); } return 6;"
    start = time.monotonic()
    done = run(REGIONS, PLAIT_CACHE_DIR=str(tmp_path / "cache"), **played_nvrtc(tmp_path, slow))
    assert time.monotonic() - start < 30
    assert not done.stderr


USES = {
    "libcublasLt.so.13": ("pc.ones((4, 4)) @ pc.ones((4, 4))", "nvidia-cublas"),
    "libcudnn.so.9": ("pc.conv1d(pc.ones((1, 8, 2)), pc.ones((3, 2, 2)))", "nvidia-cudnn-cu13"),
}


ALL_USES = USES | {"libcufft.so.12": ("pc.fft.fft(pc.ones(4))", "nvidia-cufft")}  # it does not say for which CUDA it is


def error_of(use: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Prints the error of one operation twice; what was there before it, and other operations, are as before."""
    return run(
        f"""
        before = pc.arange(4.0) + 1
        pc.eval(before)
        for _ in range(2):
            try:
                pc.eval({use})
                print("no error")
            except RuntimeError as error:
                print(type(error).__name__, error)
        assert before.tolist() == [1.0, 2.0, 3.0, 4.0]
        assert pc.sort(-before).tolist() == [-4.0, -3.0, -2.0, -1.0]
        """,
        **environment,
    )


@pytest.mark.parametrize("name", ALL_USES)
def test_a_library_that_is_too_old(name: str, tmp_path: Path) -> None:
    use, package = ALL_USES[name]
    done = error_of(use, **played_library(tmp_path, name, ""))
    assert done.stdout.count(f"DeviceError {name}") == 2, done.stdout
    assert f"{tmp_path}/{name} has no " in done.stdout and f"pip install {package}" in done.stdout


@pytest.mark.parametrize("name", USES)
def test_a_library_for_another_cuda(name: str, tmp_path: Path) -> None:
    use, package = USES[name]
    prefix = "cudnn" if "cudnn" in name else "cublasLt"
    source = "#include <stddef.h>\n" + "".join(
        f"size_t {function}(void) {{ return {12090 if function.endswith('GetCudartVersion') else 1}; }}\n"
        for function in functions_of(f"{prefix.lower()}.h", prefix)
    )
    done = error_of(use, **played_library(tmp_path, name, source))
    assert done.stdout.count(f"DeviceError {name}") == 2, done.stdout
    assert f"{tmp_path}/{name} was made for CUDA 12" in done.stdout and "one for CUDA 13" in done.stdout
    assert f"pip install {package}" in done.stdout


def test_a_library_that_is_missing() -> None:
    use, package = USES["libcudnn.so.9"]
    done = error_of(use, PLAIT_CUDA_LIBRARY_PATH="/nowhere", LD_LIBRARY_PATH="")
    if "no error" in done.stdout:
        pytest.skip("NOT TESTED: the loader knows libcudnn.so.9")
    assert f"libcudnn.so.9 (pip install {package})" in done.stderr
    assert done.stdout.count("DeviceError libcudnn.so.9") == 2 and f"pip install {package}" in done.stdout


def test_a_device_fault_is_an_error_and_the_process_goes_on() -> None:
    """A kernel that writes where nothing is, put by hand into the context that plait uses."""
    program = """
    import ctypes
    here = pc.add(pc.arange(3.0, stream=pc.cpu), 1, stream=pc.cpu)
    there = pc.arange(1000.0) + 1
    pc.eval(here, there)
    cuda = ctypes.CDLL("libcuda.so.1")
    text = b".version 7.0\\n.target sm_70\\n.address_size 64\\n.visible .entry write_nowhere() {\\n" \\
           b".reg .u64 %a; .reg .u32 %v; mov.u64 %a, 16; mov.u32 %v, 1; st.global.u32 [%a], %v; ret; }\\n"
    context, module, function = ctypes.c_void_p(), ctypes.c_void_p(), ctypes.c_void_p()
    def call(name, *arguments):
        assert getattr(cuda, name)(*arguments) == 0, name
    call("cuDevicePrimaryCtxRetain", ctypes.byref(context), 0)
    call("cuCtxPushCurrent_v2", context)
    call("cuModuleLoadData", ctypes.byref(module), text)
    call("cuModuleGetFunction", ctypes.byref(function), module, b"write_nowhere")
    call("cuLaunchKernel", function, 1, 1, 1, 1, 1, 1, 0, None, None, None)
    cuda.cuCtxSynchronize()
    for use in (lambda: (there * 2).tolist(), lambda: pc.eval(pc.ones(5) + 1), lambda: there @ there):
        try:
            pc.eval(use())
            print("no error")
        except RuntimeError as error:
            print(type(error).__name__, error)
    assert here.tolist() == [1.0, 2.0, 3.0]
    assert pc.multiply(here, 2, stream=pc.cpu).tolist() == [2.0, 4.0, 6.0]
    """
    done = run(program)
    assert done.stdout.count("DeviceError device fault") == 3, done.stdout + done.stderr
    assert "cudaErrorIllegalAddress" in done.stdout and "only in a new process" in done.stdout


def test_a_fork_of_a_process_that_used_the_gpu_keeps_the_cpu() -> None:
    program = """
    import os, sys
    pc.eval(pc.ones(5) + 1)
    child = os.fork()
    if child == 0:
        try:
            pc.eval(pc.ones(5) + 1)
        except RuntimeError as error:
            print(type(error).__name__, error)
        print(pc.multiply(pc.array([1.0, 2.0]), 2, stream=pc.cpu).tolist())
        sys.stdout.flush()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert (pc.ones(5) + 1).tolist() == [2.0] * 5
    """
    done = run(program)
    assert "DeviceError device: this process was forked" in done.stdout and 'by "spawn"' in done.stdout, done.stdout
    assert "[2.0, 4.0]" in done.stdout


def test_the_end_of_memory() -> None:
    """What is cached makes room first; then it is an error, after which smaller arrays still find room."""
    program = """
    most = pc.device_info()["memory_size"]
    part = int(0.55 * most) // 4
    for k in range(3):  # larger each time, so that the block before does not serve
        a = pc.arange(part + k * (1 << 24), dtype=pc.float32)
        pc.eval(a)
        del a
    assert pc.get_cache_memory() > 0.5 * most
    a = pc.arange(part, dtype=pc.float32)
    pc.eval(a)
    try:
        pc.eval(pc.arange(part, dtype=pc.float32))
        print("no error")
    except MemoryError as error:
        print(type(error).__name__, error)
    assert a[:3].tolist() == [0.0, 1.0, 2.0]
    assert (a[:1000] + 1).sum().item() == 500500.0
    """
    done = run(program)
    assert done.stdout.startswith("OutOfMemory"), done.stdout
    assert "arrays hold" in done.stdout and "use smaller batches" in done.stdout
