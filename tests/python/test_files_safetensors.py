"""safetensors: round trips, what other writers make of the format, elements that wait in the file, hostile headers."""

import io
import json
import os
import pickle
import struct
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import plait.core as pc

TYPES = {
    "bool_": "BOOL",
    "uint8": "U8",
    "uint16": "U16",
    "uint32": "U32",
    "uint64": "U64",
    "int8": "I8",
    "int16": "I16",
    "int32": "I32",
    "int64": "I64",
    "float16": "F16",
    "bfloat16": "BF16",
    "float32": "F32",
    "float64": "F64",
    "complex64": "C64",
}


def file_of(header: Any, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def entry(shape: list[int], begin: int, end: int, dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def header_of(file: Path) -> tuple[dict[str, Any], bytes, int]:
    raw = file.read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    return json.loads(raw[8 : 8 + length]), raw[8 + length :], 8 + length


@pytest.mark.parametrize("dtype", TYPES)
def test_all_dtypes(tmp_path: Path, dtype: str) -> None:
    kind = getattr(pc, dtype)
    given = {
        "m": pc.arange(6).reshape(2, 3).astype(kind),
        "0-d": pc.array(1).astype(kind),
        "empty": pc.zeros((0, 2), kind),
    }
    pc.save_safetensors(tmp_path / "x", given)
    assert os.listdir(tmp_path) == ["x.safetensors"]
    header, _, _ = header_of(tmp_path / "x.safetensors")
    assert {v["dtype"] for v in header.values()} == {TYPES[dtype]}
    loaded = pc.load(tmp_path / "x.safetensors")
    assert loaded.keys() == given.keys()
    for name, x in given.items():
        assert (loaded[name].dtype, loaded[name].shape) == (kind, x.shape)
        assert loaded[name].tolist() == x.tolist()


def test_tensors_are_aligned_and_the_header_is_sorted(tmp_path: Path) -> None:
    given = {
        "b": pc.ones((3,), pc.bool_),
        "a": pc.ones((3,), pc.float16),
        "z": pc.ones((5,), pc.complex64),
        "c": pc.ones(1),
    }
    pc.save_safetensors(tmp_path / "x.safetensors", given, {"k": "v", "a": '"\\\n\x01é'})
    header, data, begin = header_of(tmp_path / "x.safetensors")
    assert begin % 8 == 0
    assert list(header) == ["__metadata__", "a", "b", "c", "z"]
    assert header.pop("__metadata__") == {"a": '"\\\n\x01é', "k": "v"}
    for name, tensor in header.items():
        assert tensor["data_offsets"][0] % given[name].itemsize == 0
    assert sorted(t["data_offsets"][1] for t in header.values())[-1] == len(data)
    assert pc.load(tmp_path / "x.safetensors", return_metadata=True)[1] == {"a": '"\\\n\x01é', "k": "v"}


def test_views_and_pending_work_are_written(tmp_path: Path) -> None:
    x = pc.arange(12).reshape(3, 4)
    pc.save_safetensors(tmp_path / "x.safetensors", {"t": x.T, "s": x[::2, 1::2], "e": pc.exp(x * 0.0)})
    loaded = pc.load(tmp_path / "x.safetensors")
    assert loaded["t"].tolist() == x.T.tolist()
    assert loaded["s"].tolist() == [[1, 3], [9, 11]]
    assert loaded["e"].sum().item() == 12


def test_files_of_other_writers(tmp_path: Path) -> None:
    data = np.arange(4, dtype=np.float32).tobytes() + b"\1\2"
    for header in (
        {"__metadata__": None, "a": entry([4], 0, 16), "b": entry([2], 16, 18, "F8_E4M3")},
        {
            "b": entry([2], 16, 18, "U8"),
            "a": {**entry([2, 2], 0, 16), "more": [{"x": [1, -2.5e3, True, None, {}]}, "y"]},
        },
        b' {"\\u0061" :{ "shape":[ 4 ],"dtype":"F32", "data_offsets" : [0,16]},\n"b":'
        + json.dumps(entry([2], 16, 18, "U8")).encode()
        + b"}   ",
    ):
        (tmp_path / "x.safetensors").write_bytes(file_of(header, data))
        loaded, metadata = pc.load(tmp_path / "x.safetensors", return_metadata=True)
        assert metadata == {}
        assert loaded["a"].flatten().tolist() == [0, 1, 2, 3]
        assert loaded["b"].tolist() == [1, 2]
        assert loaded["b"].dtype == pc.uint8


def test_names_of_all_kinds(tmp_path: Path) -> None:
    names = ["", "../../x", "ärger", "a\nb", '"', "\U0001f40d", "x" * 5000]
    pc.save_safetensors(tmp_path / "x", {name: pc.array(i) for i, name in enumerate(names)})
    loaded = pc.load(tmp_path / "x.safetensors")
    assert {name: loaded[name].item() for name in names} == {name: i for i, name in enumerate(names)}


F = entry([1], 0, 4)
HOSTILE = {
    "empty": b"",
    "short": b"1234567",
    "a header beyond the end": struct.pack("<Q", 100) + b"{}",
    "a header of 2^60 bytes": struct.pack("<Q", 1 << 60) + b"{}",
    "a header of 2^64 - 1 bytes": b"\xff" * 8 + b"{}",
    "no JSON": file_of(b"hello"),
    "nothing": file_of(b""),
    "no object": file_of([1, 2]),
    "more behind the object": file_of(b"{}{}"),
    "a comma at the end": file_of(b'{"a":1,}'),
    "no tensor": file_of({"a": 3}),
    "no dtype": file_of({"a": {"shape": [1], "data_offsets": [0, 4]}}, b"1234"),
    "a property twice": file_of(b'{"a":{"dtype":"F32","shape":[1],"shape":[1],"data_offsets":[0,4]}}', b"1234"),
    "a name twice": file_of(b'{"a":' + json.dumps(F).encode() + b',"a":' + json.dumps(F).encode() + b"}", b"1234"),
    "a text twice": file_of(b'{"__metadata__":{"a":"1","a":"2"}}'),
    "a text that is a number": file_of({"__metadata__": {"a": 1}}),
    "three offsets": file_of({"a": {**F, "data_offsets": [0, 4, 8]}}, b"1234"),
    "offsets the other way": file_of({"a": {**F, "data_offsets": [4, 0]}}, b"1234"),
    "a negative offset": file_of({"a": {**F, "data_offsets": [-4, 0]}}, b"1234"),
    "fractions": file_of({"a": {**F, "shape": [1.0]}}, b"1234"),
    "an exponent": file_of(b'{"a":{"dtype":"F32","shape":[1e0],"data_offsets":[0,4]}}', b"1234"),
    "a number beyond 64 bits": file_of({"a": {**F, "shape": [1 << 70]}}, b"1234"),
    "2^60 elements": file_of({"a": {**F, "shape": [1 << 60], "data_offsets": [0, 1 << 62]}}, b"1234"),
    "an overflow": file_of({"a": {**F, "shape": [1 << 32, 1 << 32, 4]}}, b"1234"),
    "nothing, and an overflow": file_of({"a": {**F, "shape": [0, 1 << 62, 1 << 62], "data_offsets": [0, 0]}}),
    "100 axes": file_of({"a": {**F, "shape": [1] * 100}}, b"1234"),
    "another size": file_of({"a": {**F, "shape": [2]}}, b"1234"),
    "outside": file_of({"a": entry([1], 4, 8)}, b"1234"),
    "elements missing": file_of({"a": F}, b"123"),
    "elements too many": file_of({"a": F}, b"12345"),
    "tensors that share bytes": file_of({"a": entry([2], 0, 8), "b": entry([2], 4, 12)}, b"x" * 12),
    "a hole": file_of({"a": F, "b": entry([1], 8, 12)}, b"x" * 12),
    "another type": file_of({"the tensor": {**F, "dtype": "F4"}}, b"1234"),
    "a type that is none": file_of({"a": {**F, "dtype": 1}}, b"1234"),
    "deep brackets": file_of(b'{"a":{"x":' + b"[" * 1000000 + b"]" * 1000000 + b"}}"),
    "brackets without an end": file_of(b'{"a":{"x":' + b"[{" * 20),
    "no UTF-8": file_of(b'{"\xff":' + json.dumps(F).encode() + b"}", b"1234"),
    "half a character": file_of(b'{"\\ud800":' + json.dumps(F).encode() + b"}", b"1234"),
    "an unknown escape": file_of(b'{"\\x":1}'),
    "a control character": file_of(b'{"a\nb":1}'),
    "a text without an end": file_of(b'{"a'),
    "no quotes": file_of(b"{a:1}"),
    "a comment": file_of(b"/* */{}"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_raise(tmp_path: Path, name: str) -> None:
    (tmp_path / "x.safetensors").write_bytes(HOSTILE[name])
    active = pc.get_active_memory()
    with pytest.raises(pc.FileError) as caught:
        pc.load(tmp_path / "x.safetensors")
    error = caught.value
    assert (error.op, bool(error.accepts), bool(error.hint)) == ("load", True, True)
    assert "x.safetensors" in error.got
    assert len(error.got) < 1000
    assert pc.get_active_memory() == active
    with pytest.raises(pc.FileError):
        pc.load(io.BytesIO(HOSTILE[name]), format="safetensors")


def test_a_type_that_no_array_has_is_named() -> None:
    with pytest.raises(pc.FileError, match="the tensor of type F4"):
        pc.load(io.BytesIO(file_of({"the tensor": {**F, "dtype": "F4"}}, b"1234")), format="safetensors")


# ---- elements that wait ----------------------------------------------------------------------------------------------


def test_untouched_tensors_cost_nothing(tmp_path: Path) -> None:
    huge = 1 << 42  # 4 TiB of zeros that no disk has
    header = {"small": entry([3], 0, 12), "huge": entry([huge // 4], 12, 12 + huge)}
    file = tmp_path / "x.safetensors"
    file.write_bytes(file_of(header, np.arange(3, dtype=np.float32).tobytes()))
    os.truncate(file, len(file_of(header)) + 12 + huge)
    active = pc.get_active_memory()
    loaded = pc.load(file)
    assert loaded["huge"].shape == (huge // 4,)
    assert loaded["small"].tolist() == [0, 1, 2]
    assert pc.get_active_memory() - active < 1 << 20
    with pytest.raises(pc.OutOfMemory):
        pc.eval(loaded["huge"])
    assert loaded["small"].tolist() == [0, 1, 2]


@pytest.mark.parametrize("change", ["cut", "rewrite", "grow"])
def test_a_file_that_changes_before_its_elements_are_needed(tmp_path: Path, change: str) -> None:
    file = tmp_path / "x.safetensors"
    pc.save_safetensors(file, {"a": pc.ones((100000,)), "b": pc.ones(3)})
    loaded = pc.load(file)
    assert loaded["b"].tolist() == [1, 1, 1]
    if change == "cut":
        os.truncate(file, 1000)
    else:
        with file.open("ab" if change == "grow" else "r+b") as f:
            f.write(b"\0" * 1000)
        os.utime(file, (1, 1))
    for _ in range(2):
        with pytest.raises(pc.FileError, match=r"x\.safetensors"):
            pc.eval(loaded["a"] + 1)
    assert loaded["b"].tolist() == [1, 1, 1]


def test_a_file_that_is_replaced_or_removed_stays_readable(tmp_path: Path) -> None:
    file = tmp_path / "x.safetensors"
    pc.save_safetensors(file, {"a": pc.arange(1000)})
    first = pc.load(file)["a"]
    pc.save_safetensors(file, {"a": pc.zeros(10)})
    second = pc.load(file)["a"]
    file.unlink()
    assert first.sum().item() == 499500
    assert second.sum().item() == 0


@pytest.mark.parametrize("touched", [False, True])
def test_saving_to_the_file_that_is_read_from(tmp_path: Path, touched: bool) -> None:
    file = tmp_path / "x.safetensors"
    pc.save_safetensors(file, {"a": pc.arange(100000), "b": pc.ones(3)})
    loaded = pc.load(file)
    if touched:
        pc.eval(loaded["a"])
    loaded["b"] = loaded["b"] + 1
    pc.save_safetensors(file, loaded)
    again = pc.load(file)
    assert pc.array_equal(again["a"], pc.arange(100000))
    assert again["b"].tolist() == [2, 2, 2]


def test_transforms_take_what_waits_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "x.safetensors"
    pc.save_safetensors(file, {"w": pc.array([1.0, 2.0, 3.0])})

    def loss(w: pc.array, x: pc.array) -> pc.array:
        return (w * x).sum()

    assert pc.grad(loss)(pc.load(file)["w"], pc.array([1.0, 0.0, 2.0])).tolist() == [1, 0, 2]
    w = pc.load(file)["w"]
    assert pc.compile(lambda x: w * x)(pc.array(2.0)).tolist() == [2, 4, 6]
    assert pc.vmap(lambda x: w * x)(pc.ones((2, 3))).tolist() == [[1, 2, 3]] * 2
    assert pc.compile(lambda x: pc.load(file)["w"] + x)(pc.array(1.0)).tolist() == [2, 3, 4]
    v = pc.load(file)["w"]
    v[0] = 7
    assert v.tolist() == [7, 2, 3]
    assert pc.load(file)["w"].tolist() == [1, 2, 3]


def test_threads_that_need_the_same_elements(tmp_path: Path) -> None:
    file = tmp_path / "x.safetensors"
    pc.save_safetensors(file, {str(i): pc.full((1000,), i) for i in range(100)})
    loaded = pc.load(file)
    with ThreadPoolExecutor(4) as pool:
        sums = list(pool.map(lambda _: sum(loaded[str(i)].sum() for i in range(100)).item(), range(4)))
    assert sums == [4950000] * 4


def test_copies_and_exports_hold_the_elements(tmp_path: Path) -> None:
    file = tmp_path / "x.safetensors"
    pc.save_safetensors(file, {"w": pc.arange(3)})
    w = pc.load(file)["w"]
    assert pickle.loads(pickle.dumps(pc.load(file)["w"])).tolist() == [0, 1, 2]
    assert np.array(pc.load(file)["w"]).tolist() == [0, 1, 2]
    pc.export_function(str(tmp_path / "f.plait"), lambda x: x + w, pc.array(1))
    file.unlink()
    assert pc.import_function(str(tmp_path / "f.plait"))(pc.array(1))[0].tolist() == [1, 2, 3]


def test_file_objects(tmp_path: Path) -> None:
    buffer = io.BytesIO(b"front")
    buffer.seek(0, 2)
    pc.save_safetensors(buffer, {"a": pc.ones(2)}, {"k": "v"})
    buffer.seek(5)
    loaded, metadata = pc.load(buffer, format="safetensors", return_metadata=True)
    assert (loaded["a"].tolist(), metadata) == ([1, 1], {"k": "v"})
    with (tmp_path / "x.safetensors").open("wb") as file:
        pc.save_safetensors(file, {"a": pc.ones(2)})
    with (tmp_path / "x.safetensors").open("rb") as file:
        assert pc.load(file)["a"].tolist() == [1, 1]


def test_bad_arguments(tmp_path: Path) -> None:
    for call in (
        lambda: pc.save_safetensors(tmp_path / "x", {"a": 1}),  # type: ignore[dict-item]
        lambda: pc.save_safetensors(tmp_path / "x", {"__metadata__": pc.ones(1)}),
    ):
        with pytest.raises(pc.FileError):
            call()
    for call in (
        lambda: pc.save_safetensors(tmp_path / "x", {1: pc.ones(1)}),  # type: ignore[dict-item]
        lambda: pc.save_safetensors(tmp_path / "x", {"a": pc.ones(1)}, {"k": 1}),  # type: ignore[dict-item]
        lambda: pc.save_safetensors(tmp_path / "x", {"\ud800": pc.ones(1)}),
    ):
        with pytest.raises(ValueError):
            call()
    assert os.listdir(tmp_path) == []
