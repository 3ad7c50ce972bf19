"""What holds for files of all formats: writes are whole or not at all, and what is no file raises."""

import io
import os
import random
import resource
import signal
import stat
import subprocess
import sys
import textwrap
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import plait.core as pc
import plait.nn as nn

SAVE: dict[str, Callable[[Any, pc.array], None]] = {
    "npy": pc.save,
    "npz": lambda file, a: pc.savez(file, a=a),
    "safetensors": lambda file, a: pc.save_safetensors(file, {"a": a}),
    "gguf": lambda file, a: pc.save_gguf(file, {"a": a}),
}
FORMATS = list(SAVE)


def read(file: Any, format: str) -> pc.array:
    loaded = pc.load(file, format=format)
    return loaded if isinstance(loaded, pc.array) else loaded["a"]  # type: ignore[call-overload, no-any-return]


@pytest.mark.parametrize("format", FORMATS)
def test_what_is_no_file(tmp_path: Path, format: str) -> None:
    os.mkfifo(tmp_path / f"fifo.{format}")
    (tmp_path / f"folder.{format}").mkdir()
    (tmp_path / f"loop.{format}").symlink_to(tmp_path / f"loop.{format}")
    for name in ("fifo", "folder", "loop", "missing", "folder/../no/x", "zero\0byte", "x" * 300):
        with pytest.raises((pc.FileError, ValueError)) as caught:
            pc.load(str(tmp_path / f"{name}.{format}"))
        if isinstance(caught.value, pc.FileError):
            assert caught.value.op == "load"
            assert str(tmp_path) in caught.value.got
    for name in ("fifo", "folder", "folder/../no/x", "x" * 300):
        with pytest.raises(pc.FileError) as error:
            SAVE[format](str(tmp_path / f"{name}.{format}"), pc.ones(2))
        assert error.value.op.startswith("save")
    assert stat.S_ISFIFO((tmp_path / f"fifo.{format}").stat().st_mode)
    assert len(os.listdir(tmp_path)) == 3


@pytest.mark.parametrize("save", [pc.savez, pc.savez_compressed])
def test_an_array_may_be_called_file(tmp_path: Path, save: Any) -> None:
    by_position, by_name = tmp_path / "a.npz", tmp_path / "b.npz"
    save(by_position, pc.zeros(1), file=pc.ones(2), x=pc.ones(3))
    assert {name: a.size for name, a in pc.load(str(by_position)).items()} == {"arr_0": 1, "file": 2, "x": 3}
    save(file=by_name, x=pc.ones(3))
    assert list(pc.load(str(by_name))) == ["x"]
    with pytest.raises(TypeError) as raised:
        save(x=pc.ones(3))
    assert raised.value.got == "no file"  # type: ignore[attr-defined]
    with pytest.raises(pc.FileError):
        save(by_name, file=str(by_position))
    assert list(pc.load(str(by_name))) == ["x"]


def test_parameters_with_names_of_arguments(tmp_path: Path) -> None:
    class Named(nn.Module):
        def __init__(self, value: float) -> None:
            super().__init__()
            for name in ("file", "args", "kwargs", "self", "arr_0"):
                setattr(self, name, pc.full((2,), value))

    for ending in ("npz", "safetensors"):
        Named(3.0).save_weights(tmp_path / f"w.{ending}")
        back = Named(0.0).load_weights(tmp_path / f"w.{ending}")
        assert {name: back[name].tolist() for name in back} == {name: [3.0, 3.0] for name in Named(0.0)}


@pytest.mark.parametrize("format", FORMATS)
def test_a_replaced_file_keeps_permissions_and_links(tmp_path: Path, format: str) -> None:
    file, link = tmp_path / f"x.{format}", tmp_path / f"link.{format}"
    SAVE[format](file, pc.ones(2))
    file.chmod(0o640)
    link.symlink_to(file)
    SAVE[format](link, pc.zeros(3))
    assert link.is_symlink()
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert read(file, format).tolist() == [0, 0, 0]
    assert sorted(os.listdir(tmp_path)) == sorted([file.name, link.name])


@pytest.mark.parametrize("format", FORMATS)
def test_work_that_fails_touches_no_file(tmp_path: Path, format: str) -> None:
    file = tmp_path / f"x.{format}"
    SAVE[format](file, pc.ones(2))
    before = file.read_bytes(), file.stat().st_ino
    with pytest.raises(pc.OutOfMemory):
        SAVE[format](file, pc.ones((1 << 44,)))
    with pytest.raises(pc.TransformError):
        pc.vmap(lambda x: SAVE[format](file, x) or x)(pc.ones((2, 2)))
    assert (file.read_bytes(), file.stat().st_ino) == before
    assert os.listdir(tmp_path) == [file.name]


WRITER = """
import sys
import plait.core as pc
format, file = sys.argv[1:]
save = {
    "npy": pc.save,
    "npz": lambda f, a: pc.savez(f, a=a),
    "safetensors": lambda f, a: pc.save_safetensors(f, {"a": a}),
    "gguf": lambda f, a: pc.save_gguf(f, {"a": a}),
}[format]
arrays = [pc.full((1 << 19,), k, pc.int32) for k in range(4)]
pc.eval(arrays)
print("ready", flush=True)
k = 0
while True:
    save(file, arrays[k % 4])
    k += 1
"""


@pytest.mark.parametrize("format", FORMATS)
def test_a_writer_that_is_killed_leaves_a_whole_file(tmp_path: Path, format: str) -> None:
    file = tmp_path / f"x.{format}"
    SAVE[format](file, pc.full((1 << 19,), 3, pc.int32))
    rng = random.Random(format)
    for _ in range(8):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, format, str(file)], stdout=subprocess.PIPE, text=True)
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
        time.sleep(rng.random() * 0.06)
        writer.kill()
        writer.communicate()
        array = read(file, format)
        assert array.shape == (1 << 19,)
        assert pc.all(array == array[0]).item()


@pytest.mark.parametrize("format", FORMATS)
def test_a_full_disk_leaves_the_old_file(tmp_path: Path, format: str) -> None:
    """A limit on the size of files stands for the disk: the write comes short in the same way."""
    file = tmp_path / f"x.{format}"
    SAVE[format](file, pc.ones(2))
    before = file.read_bytes()
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, limits[1]))
        with pytest.raises(pc.FileError) as caught:
            SAVE[format](file, pc.ones((1 << 20,)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert file.name in caught.value.got
    assert file.read_bytes() == before
    assert os.listdir(tmp_path) == [file.name]


class Failing(io.BytesIO):
    """A file that fails at the n-th call of a method."""

    def __init__(self, calls: int, raw: bytes = b"") -> None:
        super().__init__(raw)
        self.calls = calls

    def count(self) -> None:
        self.calls -= 1
        if self.calls < 0:
            raise OSError("no more")

    def write(self, data: Any) -> int:
        self.count()
        return super().write(data)

    def read(self, size: int | None = -1) -> bytes:
        self.count()
        return super().read(size)


@pytest.mark.parametrize("format", FORMATS)
def test_file_objects_that_fail(format: str) -> None:
    whole = io.BytesIO()
    SAVE[format](whole, pc.ones(5))
    counts = 0
    for calls in range(100):
        file = Failing(calls)
        try:
            SAVE[format](file, pc.ones(5))
        except OSError as error:
            assert str(error) == "no more"
            counts += 1
            continue
        assert file.getvalue() == whole.getvalue()
        break
    assert counts > 0
    for calls in range(100):
        try:
            assert read(Failing(calls, whole.getvalue()), format).tolist() == [1] * 5
            break
        except OSError as error:
            assert str(error) == "no more"


@pytest.mark.parametrize("format", FORMATS)
def test_file_objects_that_misbehave(format: str) -> None:
    whole = io.BytesIO()
    SAVE[format](whole, pc.ones(500))

    class Text(io.BytesIO):
        def read(self, size: int | None = -1) -> Any:
            return "x" * (size or 1)

    class Long(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            return b"x" * ((size or 1) + 1)

    class Short(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            return b""

    class Slow(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            return super().read(min(size or 1, 7))

        def write(self, data: Any) -> int:
            return super().write(bytes(data)[:5])

    for kind, error in ((Text, TypeError), (Long, pc.FileError), (Short, pc.FileError)):
        with pytest.raises(error):
            read(kind(whole.getvalue()), format)
    assert pc.all(read(Slow(whole.getvalue()), format) == 1).item()
    slow = Slow()
    SAVE[format](slow, pc.ones(500))
    assert slow.getvalue() == whole.getvalue()
    with pytest.raises(TypeError):
        SAVE[format](io.StringIO(), pc.ones(2))


@pytest.mark.parametrize("format", FORMATS)
def test_what_fuzzing_found_worth_keeping(tmp_path: Path, format: str) -> None:
    read_well = 0
    with zipfile.ZipFile(Path(__file__).parents[1] / f"fuzz/corpus/{format}.zip") as corpus:
        names = corpus.namelist()
        for name in names:
            file = tmp_path / "x"
            file.write_bytes(corpus.read(name))
            results = []
            for given in (file, io.BytesIO(file.read_bytes())):
                try:
                    loaded = pc.load(given, format=format)
                    pc.eval(loaded)
                    results.append(True)
                except (pc.FileError, pc.DTypeError):
                    results.append(False)
            read_well += results[0]
            assert results[0] <= results[1]  # npy alone: bytes may follow the array in a file object
    assert 0 < read_well < len(names)


@pytest.mark.parametrize("format", FORMATS)
def test_arrays_of_a_device_with_a_memory_of_its_own(tmp_path: Path, format: str) -> None:
    program = """
    import sys
    import plait.core as pc
    sys.path.insert(0, sys.argv[3])
    from test_files import SAVE, read
    pc.set_default_device(pc.gpu)
    format, file = sys.argv[1:3]
    SAVE[format](file, pc.exp(pc.zeros((3, 2))) * 2)
    a = read(file, format)
    print((a + 1).tolist())
    """
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            textwrap.dedent(program),
            format,
            str(tmp_path / f"x.{format}"),
            str(Path(__file__).parent),
        ],
        env={**os.environ, "PLAIT_SIMULATE_GPU": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == "[[3.0, 3.0], [3.0, 3.0], [3.0, 3.0]]\n", done.stderr


INTERRUPTED = {
    "inflating": "pc.load(file, format='npz')",
    "deflating": "pc.savez_compressed('away', x)",
    "reading": "[pc.eval(pc.load(file + '.safetensors')['x'].sum()) for _ in range(100000)]",
    "writing": "[pc.save('away', x) for _ in range(100000)]",
}


@pytest.mark.parametrize("name", INTERRUPTED)
def test_control_c(tmp_path: Path, name: str) -> None:
    program = f"""
    import os, signal, threading
    import plait.core as pc

    x = pc.random.randint(0, 1 << 30, (1 << 24,))
    file = "zeros.npz"
    if "{name}" == "inflating":
        pc.savez_compressed(file, x=pc.zeros((1 << 29,), pc.uint8))
    pc.save_safetensors(file, {{"x": x[: 1 << 22]}})
    pc.eval(x)
    print("ready", flush=True)
    threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
    try:
        {INTERRUPTED[name]}
        print("done")
    except KeyboardInterrupt:
        print("interrupted", [f for f in os.listdir() if f.startswith(".plait")], pc.ones(3).sum().item())
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout == "ready\ninterrupted [] 3.0\n", done.stderr


def test_weights_of_modules(tmp_path: Path) -> None:
    def model() -> nn.Module:
        return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm(4), nn.Linear(4, 2, bias=False))

    trained = model()
    x = pc.random.normal((5, 3))
    trained(x)
    trained.eval()
    for ending in ("npz", "safetensors"):
        trained.save_weights(tmp_path / f"w.{ending}")
        fresh = model()
        assert fresh.load_weights(tmp_path / f"w.{ending}") is fresh
        fresh.eval()
        assert pc.array_equal(fresh(x), trained(x))
    pc.save(tmp_path / "one.npy", x)
    with pytest.raises(ValueError, match="no named arrays"):
        model().load_weights(tmp_path / "one.npy")
    with pytest.raises(ValueError, match="missing"):
        nn.Linear(3, 4).load_weights(tmp_path / "w.npz")
