"""The C and the Rust example: built, and run on files that Python wrote."""

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import plait.core as pc
from native_library import include_flags, library, link_flags

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture(scope="module")
def c_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("gcc") or shutil.which("cc")
    if not compiler:
        pytest.skip("no C compiler is installed")
    program = tmp_path_factory.mktemp("c") / "predict"
    command = [compiler, "-std=c11", "-Wall", "-Wextra", "-Werror", *include_flags(), str(EXAMPLES / "c/predict.c")]
    subprocess.run([*command, "-o", str(program), *link_flags()], check=True)
    return program


@pytest.fixture(scope="module")
def rust_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    cargo = shutil.which("cargo") or shutil.which("cargo", path=str(Path.home() / ".cargo/bin"))
    if not cargo:
        pytest.skip("cargo is not installed")
    folder = tmp_path_factory.mktemp("rust")
    (folder / "lib").mkdir()
    (folder / "lib/libplait.so").symlink_to(library())
    soname = folder / "lib" / ".".join([*library().name.split(".")[:2], "0"])  # what the loader asks for
    soname.unlink(missing_ok=True)
    soname.symlink_to(library())
    subprocess.run(
        [cargo, "build", "--quiet", "--offline", "--target-dir", str(folder / "target")],
        cwd=EXAMPLES / "rust",
        env=os.environ | {"PLAIT_LIB_DIR": str(folder / "lib"), "RUSTFLAGS": "-D warnings"},
        check=True,
    )
    return folder / "target/debug/predict"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, dict[str, pc.array]]:
    folder = tmp_path_factory.mktemp("files")
    weights = {"weight": pc.arange(12.0).reshape(3, 4) / 7, "bias": pc.array([0.5, -0.5, 0.0, 1.0])}

    def predict(x: pc.array, **parameters: pc.array) -> pc.array:
        return pc.softmax(pc.tanh(x @ parameters["weight"]) + parameters["bias"], axis=-1)

    model, arrays = folder / "model.plait", folder / "model.safetensors"
    pc.export_function(str(model), predict, pc.ones((2, 3)), shapeless=True, **weights)
    pc.save_safetensors(str(arrays), weights)
    return model, arrays, weights


@pytest.mark.parametrize("language", ["c_program", "rust_program"])
def test_an_exported_function_runs(
    language: str, files: tuple[Path, Path, dict[str, pc.array]], request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    program: Path = request.getfixturevalue(language)
    model, arrays, weights = files
    for rows in (1, 4, 33):
        done = subprocess.run([program, model, arrays, str(rows)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        x = pc.arange(3.0 * rows).reshape(rows, 3) / 10
        (want,) = pc.import_function(str(model))(x, **weights)
        got = np.array([float(line) for line in done.stdout.split()], np.float32)
        np.testing.assert_allclose(got.reshape(rows, 4), np.asarray(want), rtol=1e-6)

    damaged = tmp_path / "damaged.plait"
    damaged.write_bytes(model.read_bytes()[:-9])
    for wrong, said in ((damaged, "damaged.plait"), (tmp_path / "none", "none")):
        done = subprocess.run([program, wrong, arrays, "2"], capture_output=True, text=True)
        assert done.returncode == 1 and said in done.stderr
    pc.save_safetensors(str(tmp_path / "other.safetensors"), {"weight": weights["weight"]})
    done = subprocess.run([program, model, tmp_path / "other.safetensors", "2"], capture_output=True, text=True)
    assert done.returncode == 1 and "bias=float32" in done.stderr
