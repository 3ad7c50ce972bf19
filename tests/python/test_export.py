"""Functions as files, from Python. The format, threads and hostile files: src/transforms/export*_test.cpp."""

import io
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import plait.core as pc


def same(a: pc.array, b: pc.array) -> None:
    assert a.shape == b.shape and a.dtype == b.dtype
    np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


def through_file(path: Path, f: Any, *args: Any, **kwargs: Any) -> Any:
    pc.export_function(str(path / "f"), f, *args, **kwargs)
    return pc.import_function(str(path / "f"))


X, Y = pc.arange(3.0), pc.ones(3) * 4


@pytest.mark.parametrize(
    ("given", "call"),
    [
        (((X, Y), {}), lambda f: f(X, Y)),
        ((((X, Y),), {}), lambda f: f([X, Y])),
        (((X,), {"y": Y}), lambda f: f(X, y=Y)),
        ((((X,), {"y": Y}), {}), lambda f: f(X, y=Y)),
        (((X,), {"y": Y}), lambda f: f((X,), {"y": Y})),
        ((({"x": X, "y": Y},), {}), lambda f: f(y=Y, x=X)),
    ],
)
def test_arguments_by_position_and_name(tmp_path: Path, given: Any, call: Any) -> None:
    args, kwargs = given
    results = call(through_file(tmp_path, lambda x, y: x - y, *args, **kwargs))
    assert isinstance(results, tuple) and len(results) == 1
    same(results[0], X - Y)


@pytest.mark.parametrize("args", [(3,), (pc.ones(2), 3), ((pc.ones(2), 3),), ({"a": 1},), ((pc.ones(2),), pc.ones(2))])
def test_other_arguments_are_refused(tmp_path: Path, args: Any) -> None:
    with pytest.raises(ValueError):
        pc.export_function(str(tmp_path / "f"), lambda *a: a[0], *args)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("result", [None, 1.0, {"a": pc.ones(2)}, [pc.ones(2), 3], [pc.ones(2), (pc.ones(2),)]])
def test_other_results_are_refused(tmp_path: Path, result: Any) -> None:
    with pytest.raises(ValueError):
        pc.export_function(str(tmp_path / "f"), lambda x: result, pc.ones(2))
    assert os.listdir(tmp_path) == []


def test_what_the_function_raises_comes_through_and_the_old_file_stays(tmp_path: Path) -> None:
    file = tmp_path / "f"
    pc.export_function(str(file), lambda x: x, pc.ones(2))
    before = file.read_bytes()

    def broken(x: pc.array) -> pc.array:
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        pc.export_function(str(file), broken, pc.ones(2))
    with pytest.raises(KeyError), pc.exporter(str(file), lambda x: x) as export:
        export(pc.ones(3))
        raise KeyError
    assert file.read_bytes() == before
    assert os.listdir(tmp_path) == ["f"]


def test_metadata_and_paths(tmp_path: Path) -> None:
    for file in (tmp_path / "f", tmp_path / "größe", str(tmp_path / "x.plait"), os.fsencode(tmp_path / "b")):
        pc.export_function(file, lambda x: x, pc.ones(2), metadata="Größe: 2")
        f, metadata = pc.import_function(file, return_metadata=True)
        assert metadata == "Größe: 2" == f.metadata
        assert f.signatures == ["(float32(2,))"]
    assert sorted(os.listdir(tmp_path)) == ["b", "f", "größe", "x.plait"]
    with pytest.raises(TypeError):
        pc.export_function(3, lambda x: x, pc.ones(2))
    with pytest.raises(TypeError):
        pc.export_function(str(tmp_path / "f"), 3, pc.ones(2))
    with pytest.raises(RuntimeError):
        pc.export_function(str(tmp_path / "none" / "f"), lambda x: x, pc.ones(2))


def test_other_extents_where_exported_so(tmp_path: Path) -> None:
    w = pc.arange(12.0).reshape(3, 4)

    def f(x: pc.array) -> pc.array:
        flat = (x @ w).reshape(-1, 2)[::-1]
        return pc.concatenate([flat, flat * 2]) / flat.sum(axis=0, keepdims=True) + pc.mean(x)

    g = through_file(tmp_path, f, pc.ones((2, 3)), shapeless=True)
    for rows in (1, 2, 9):
        x = pc.arange(3.0 * rows).reshape(rows, 3)
        same(g(x)[0], f(x))
    with pytest.raises(ValueError, match="extents 5 and 3 were equal when traced"):
        g(pc.ones((2, 5)))
    decides = through_file(tmp_path, lambda x: x * x.shape[0], pc.ones(2), shapeless=True)
    with pytest.raises(ValueError, match="number was 2 and is now 3"):
        decides(pc.ones(3))
    with pytest.raises(pc.ArgumentError) as caught:
        g(pc.ones((2, 3)), mask=pc.ones(2))
    assert caught.value.got == "arguments (float32(2, 3), mask=float32(2,))"
    assert caught.value.accepts == "(float32(?, ?))"


def test_exporter_selects_among_traces(tmp_path: Path) -> None:
    file = str(tmp_path / "f")
    with pc.exporter(file, lambda x, scale=None: x + 1 if scale is None else x * scale) as export:
        export(pc.ones(2))
        export(pc.ones(3))
        export(pc.ones(2, dtype=pc.int32))
        export(pc.ones(2), scale=pc.ones(2))
        with pytest.raises(RuntimeError):
            export(pc.ones(3))
    with pytest.raises(RuntimeError):
        export(pc.ones(4))
    export.close()
    f = pc.import_function(file)
    assert len(f.signatures) == 4
    same(f(pc.ones(3))[0], pc.ones(3) + 1)
    same(f(pc.ones(2, dtype=pc.int32))[0], pc.ones(2, dtype=pc.int32) + 1)
    same(f(pc.ones(2), scale=pc.arange(2.0))[0], pc.arange(2.0))
    with pytest.raises(ValueError):
        f(pc.ones(4))


def test_every_transform_takes_an_imported_function(tmp_path: Path) -> None:
    w = pc.random.normal((3, 4))

    def f(x: pc.array) -> pc.array:
        return pc.tanh(x @ w).sum(axis=-1)

    g = through_file(tmp_path, f, pc.ones((2, 3)), shapeless=True)
    x = pc.random.normal((5, 3))
    same(pc.grad(lambda x: g(x)[0].sum())(x), pc.grad(lambda x: f(x).sum())(x))
    same(pc.vmap(lambda x: g(x)[0])(x.reshape(5, 1, 3)), pc.vmap(f)(x.reshape(5, 1, 3)))
    compiled = pc.compile(lambda x: g(x)[0])
    for rows in (5, 2, 3):
        same(compiled(x[:rows]), f(x[:rows]))
    again = through_file(tmp_path, pc.grad(lambda x: g(x)[0].sum()), x, shapeless=True)
    # Two programs: on a GPU the library may multiply their operands in another order.
    got, want = again(x[:2])[0], pc.grad(lambda x: f(x).sum())(x[:2])
    np.testing.assert_allclose(np.asarray(got), np.asarray(want), rtol=2e-6, atol=1e-6)


def test_a_custom_function_is_exported_without_its_rules(tmp_path: Path) -> None:
    @pc.custom_function
    def rounded(x: pc.array) -> pc.array:
        return pc.round(x)

    @rounded.vjp
    def pass_on(primals: pc.array, cotangent: pc.array, output: pc.array) -> pc.array:
        return cotangent

    def loss(x: pc.array) -> pc.array:
        return (rounded(x) * x).sum()

    x = pc.array([0.25, 1.75])
    pc.export_function(str(tmp_path / "loss"), loss, x)
    pc.export_function(str(tmp_path / "grad"), pc.grad(loss), x)
    imported = pc.import_function(str(tmp_path / "loss"))
    assert imported(x)[0].item() == loss(x).item()
    assert pc.vmap(imported)(x[None])[0].tolist() == [loss(x).item()]
    assert pc.jvp(lambda x: imported(x)[0], [x], [pc.ones(2)])[1][0].item() == 2.0  # which had no rule
    for f, given in ((imported, x), (pc.compile(imported), x), (pc.vmap(imported), x[None])):
        with pytest.raises(pc.TransformError, match="export the gradient instead"):
            pc.grad(lambda x, f=f: f(x)[0].sum())(given)
    assert pc.import_function(str(tmp_path / "grad"))(x)[0].tolist() == pc.grad(loss)(x).tolist() == [0.25, 3.75]


def test_under_a_trace_it_raises(tmp_path: Path) -> None:
    def f(x: pc.array) -> pc.array:
        pc.export_function(str(tmp_path / "f"), lambda y: y * 2, x)
        return x.sum()

    for transformed in (pc.compile(f), pc.grad(f), pc.vmap(f)):
        with pytest.raises(pc.TransformError):
            transformed(pc.ones((2, 3)))
    assert os.listdir(tmp_path) == []


def test_events_of_a_callback() -> None:
    w = pc.arange(3.0)
    events: list[dict[str, Any]] = []
    pc.export_function(events.append, lambda x, y: (x * w + y).sum(axis=0), pc.ones((2, 3)), y=pc.ones(3))
    assert [e["type"] for e in events] == ["inputs", "keyword_inputs", "outputs", "constants"] + ["primitive"] * 3
    inputs, keywords, outputs, constants, multiply, add, total = events
    assert inputs["inputs"] == [("A", (2, 3), pc.float32), ("B", (3,), pc.float32)]
    assert keywords["keywords"] == [("y", "B")]
    ((name, value),) = constants["constants"]
    same(value, w)
    assert multiply["name"] == "multiply" and multiply["inputs"] == [inputs["inputs"][0], (name, (3,), pc.float32)]
    assert add["inputs"] == [multiply["outputs"][0], inputs["inputs"][1]]
    assert total["arguments"] == [[0], False] and total["outputs"] == outputs["outputs"]
    with pytest.raises(ValueError):
        pc.export_function(events.append, lambda x: x, pc.ones(2), metadata="m")

    def stops(event: dict[str, Any]) -> None:
        raise StopIteration

    with pytest.raises(StopIteration):
        pc.export_function(stops, lambda x: x, pc.ones(2))


def test_damaged_files(tmp_path: Path) -> None:
    file = tmp_path / "f"
    pc.export_function(str(file), lambda x: x * pc.arange(3.0), pc.ones(3), metadata="m" * 40)
    whole = file.read_bytes()
    for n in range(0, len(whole), 7):
        file.write_bytes(whole[:n])
        with pytest.raises(pc.FileError):
            pc.import_function(str(file))
    for i in range(0, len(whole), 5):
        changed = bytearray(whole)
        changed[i] ^= 0xFF
        file.write_bytes(changed)
        try:
            pc.import_function(str(file))
            assert whole[i] == 0, i  # between parts
        except pc.FileError as error:
            assert str(file) in error.got
    for content in (b"", b"abcdefgh" * 40, os.urandom(4096)):
        file.write_bytes(content)
        with pytest.raises(RuntimeError):
            pc.import_function(str(file))
    with pytest.raises(RuntimeError):
        pc.import_function(str(tmp_path))


def test_another_process_runs_it(tmp_path: Path) -> None:
    file = str(tmp_path / "f")
    pc.export_function(file, lambda x: pc.cumsum(x * pc.arange(4.0), axis=0), pc.ones((2, 4)), shapeless=True)
    code = f"import plait.core as pc; print(pc.import_function({file!r})(pc.ones((5, 4)))[0].tolist()[4])"
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert run.stdout.strip() == "[0.0, 5.0, 10.0, 15.0]"


def test_dot_text(tmp_path: Path) -> None:
    file = tmp_path / "g.dot"
    x = pc.ones(2)
    pc.eval(x)
    pc.export_to_dot(str(file), [pc.exp(x) + 1, {"b": x}], **{'odd "name"\\\n\0': x * 2})
    text = file.read_text()
    assert text.split()[0] == "digraph" and text.endswith("}\n")
    for line in text.splitlines()[1:-1]:
        assert re.fullmatch(r'("(\\.|[^"\\])*"|[\w\[\]{};=, .>-])*', line), line
    assert 'label="exp"' in text and r"odd \"name\"\\\n " in text
    stream = io.StringIO()
    pc.export_to_dot(stream, x)
    assert stream.getvalue().startswith("digraph")
    pc.export_to_dot(stream)
    for bad in (3, [x, 3]):
        with pytest.raises(ValueError):
            pc.export_to_dot(str(file), bad)
    with pytest.raises(ValueError):
        pc.export_to_dot(3, x)
    with pytest.raises(RuntimeError):
        pc.export_to_dot(str(tmp_path / "none" / "g"), x)
