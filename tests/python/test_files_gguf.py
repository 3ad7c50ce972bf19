"""GGUF: round trips, quantized tensors against stored blocks, metadata of all types, hostile headers."""

import io
import math
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import plait.core as pc

# Random blocks of each type, and what the package gguf 0.17 makes of them, rounded to float16.
BLOCKS = np.load(Path(__file__).parent / "golden/gguf_blocks.npz")
CODES = {
    "Q4_0": 2,
    "Q4_1": 3,
    "Q5_0": 6,
    "Q5_1": 7,
    "Q8_0": 8,
    "Q2_K": 10,
    "Q3_K": 11,
    "Q4_K": 12,
    "Q5_K": 13,
    "Q6_K": 14,
}


def text(value: str | bytes) -> bytes:
    raw = value.encode() if isinstance(value, str) else value
    return struct.pack("<Q", len(raw)) + raw


def tensor(name: str | bytes, dims: tuple[int, ...], code: int, offset: int) -> bytes:
    return text(name) + struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims, code, offset)


def value(key: str, code: int, raw: bytes) -> bytes:
    return text(key) + struct.pack("<I", code) + raw


def file_of(
    tensors: list[bytes], data: bytes = b"", values: list[bytes] | None = None, version: int = 3, align: int = 32
) -> bytes:
    values = values or []
    head = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(values)) + b"".join(values) + b"".join(tensors)
    return head + b"\0" * (-len(head) % align) + data


def load(raw: bytes, **options: Any) -> Any:
    return pc.load(io.BytesIO(raw), format="gguf", **options)


@pytest.mark.parametrize("dtype", ["float32", "float16", "int8", "int16", "int32"])
def test_dtypes_that_are_written(tmp_path: Path, dtype: str) -> None:
    kind = getattr(pc, dtype)
    given = {
        "m": pc.arange(6).reshape(2, 3).astype(kind),
        "0-d": pc.array(1).astype(kind),
        "e": pc.zeros((0, 2), kind),
        "five": pc.ones((1,) * 5, kind),
    }
    pc.save_gguf(tmp_path / "x", given)
    assert os.listdir(tmp_path) == ["x.gguf"]
    loaded = pc.load(tmp_path / "x.gguf")
    assert loaded.keys() == given.keys()
    for name, x in given.items():
        assert (loaded[name].dtype, loaded[name].shape) == (kind, x.shape)
        assert loaded[name].tolist() == x.tolist()


def test_the_bytes_of_a_file() -> None:
    buffer = io.BytesIO()
    pc.save_gguf(
        buffer, {"b": pc.arange(6).reshape(2, 3), "a": pc.ones(3, pc.float16)}, {"s": "t", "n": pc.array([1, 2])}
    )
    want = file_of(
        [tensor("a", (3,), 1, 0), tensor("b", (3, 2), 26, 32)],
        np.ones(3, np.float16).tobytes() + b"\0" * 26 + np.arange(6, dtype=np.int32).tobytes() + b"\0" * 8,
        [value("n", 9, struct.pack("<IQ2i", 5, 2, 1, 2)), value("s", 8, text("t"))],
    )
    assert buffer.getvalue() == want


@pytest.mark.parametrize(
    ("code", "dtype"),
    [
        (0, "float32"),
        (1, "float16"),
        (30, "bfloat16"),
        (24, "int8"),
        (25, "int16"),
        (26, "int32"),
        (27, "int64"),
        (28, "float64"),
    ],
)
def test_plain_types(code: int, dtype: str) -> None:
    x = pc.arange(6).reshape(3, 2).astype(getattr(pc, dtype))
    raw = bytes(memoryview(x.view(pc.uint8)))
    for version in (2, 3):
        loaded = load(file_of([tensor("x", (2, 3), code, 0)], raw, version=version))["x"]
        assert (loaded.dtype, loaded.tolist()) == (x.dtype, x.tolist())


@pytest.mark.parametrize("kind", ["Q5_0", "Q5_1", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K"])
def test_types_that_become_float16(tmp_path: Path, kind: str) -> None:
    raw, want = BLOCKS[kind + "_raw"], BLOCKS[kind + "_values"]
    rows, block = want.shape
    (tmp_path / "x.gguf").write_bytes(file_of([tensor("a.weight", (block, rows), CODES[kind], 0)], raw.tobytes()))
    loaded = pc.load(tmp_path / "x.gguf")
    assert list(loaded) == ["a.weight"]
    got = loaded["a.weight"]
    assert (got.dtype, got.shape) == (pc.float16, want.shape)
    assert np.array(got).tobytes() == want.tobytes()


@pytest.mark.parametrize("kind", ["Q4_0", "Q4_1", "Q8_0"])
@pytest.mark.parametrize("name", ["blk.0.attn.weight", "table"])
def test_types_that_stay_packed(tmp_path: Path, kind: str, name: str) -> None:
    raw, want = BLOCKS[kind + "_raw"], BLOCKS[kind + "_values"]
    bits = 8 if kind == "Q8_0" else 4
    (tmp_path / "x.gguf").write_bytes(file_of([tensor(name, (64, 2), CODES[kind], 0)], raw.tobytes()))
    loaded = pc.load(tmp_path / "x.gguf")
    stem = name.removesuffix(".weight")
    assert set(loaded) == {name, stem + ".scales", stem + ".biases"}
    words, scales, biases = loaded[name], loaded[stem + ".scales"], loaded[stem + ".biases"]
    assert (words.dtype, words.shape) == (pc.uint32, (2, 64 * bits // 32))
    assert {scales.dtype, biases.dtype} == {pc.float16}
    assert scales.shape == biases.shape == (2, 2)
    shifts = np.arange(0, 32, bits, dtype=np.uint32)
    q = (np.array(words)[..., None] >> shifts & np.uint32(2**bits - 1)).reshape(2, 2, 32).astype(np.float64)
    got = q * np.array(scales, np.float64)[..., None] + np.array(biases, np.float64)[..., None]
    assert np.abs(got.reshape(4, 32) - want.astype(np.float64)).max() < 2e-3 * np.abs(want.astype(np.float64)).max()


@pytest.mark.parametrize("kind", ["Q4_0", "Q4_1", "Q8_0"])
def test_packed_types_are_what_quantised_functions_take(kind: str) -> None:
    raw, want = BLOCKS[kind + "_raw"], BLOCKS[kind + "_values"].astype(np.float32).reshape(2, 64)
    loaded = load(file_of([tensor("x.weight", (64, 2), CODES[kind], 0)], raw.tobytes()))
    packed = loaded["x.weight"], loaded["x.scales"], loaded["x.biases"]
    bits = 8 if kind == "Q8_0" else 4
    got = np.array(pc.dequantize(*packed, group_size=32, bits=bits).astype(pc.float32))
    assert np.abs(got - want).max() < 2e-3 * np.abs(want).max()
    x = pc.ones((3, 64), pc.float16)
    product = np.array(pc.quantized_matmul(x, *packed, group_size=32, bits=bits).astype(pc.float32))
    assert np.abs(product - want.sum(1)).max() < 2e-3 * np.abs(want).sum(1).max()


VALUES: dict[str, tuple[int, str, Any]] = {
    "uint8": (0, "B", 200),
    "int8": (1, "b", -5),
    "uint16": (2, "H", 60000),
    "int16": (3, "h", -300),
    "uint32": (4, "I", 1 << 31),
    "int32": (5, "i", -7),
    "float32": (6, "f", 1.5),
    "bool": (7, "B", 1),
    "uint64": (10, "Q", 1 << 63),
    "int64": (11, "q", -(1 << 40)),
    "float64": (12, "d", 0.1),
}


@pytest.mark.parametrize("name", VALUES)
def test_metadata_of_numbers(name: str) -> None:
    code, letter, number = VALUES[name]
    values = [
        value("one", code, struct.pack("<" + letter, number)),
        value("list", 9, struct.pack(f"<IQ2{letter}", code, 2, number, 0)),
        value("none", 9, struct.pack("<IQ", code, 0)),
    ]
    arrays, metadata = load(file_of([], values=values), return_metadata=True)
    assert arrays == {}
    kind = getattr(pc, "bool_" if name == "bool" else name)
    assert {m.dtype for m in metadata.values()} == {kind}
    assert metadata["one"].shape == ()
    assert metadata["one"].item() == number
    assert metadata["list"].tolist() == [number, 0]
    assert metadata["none"].shape == (0,)
    if name != "float64":
        buffer = io.BytesIO()
        pc.save_gguf(buffer, {}, metadata)
        again = load(buffer.getvalue(), return_metadata=True)[1]
        assert {k: (v.dtype, v.tolist()) for k, v in again.items()} == {
            k: (v.dtype, v.tolist()) for k, v in metadata.items()
        }


def test_metadata_of_texts() -> None:
    metadata: dict[str, Any] = {"t": "héllo", "empty": "", "list": ["a", "", "ç"], "none": []}
    buffer = io.BytesIO()
    pc.save_gguf(buffer, {"x": pc.ones(1)}, metadata)
    assert load(buffer.getvalue(), return_metadata=True)[1] == metadata
    raw = file_of([], values=[value("token", 8, text(b"\xff\xfe"))])
    assert load(raw, return_metadata=True)[1]["token"].encode("utf-8", "surrogateescape") == b"\xff\xfe"


def test_alignment_as_the_file_says(tmp_path: Path) -> None:
    for unit in (1, 8, 256):
        pc.save_gguf(
            tmp_path / "x",
            {"a": pc.ones(3, pc.int8), "b": pc.ones(5)},
            {"general.alignment": pc.array(unit, pc.uint32)},
        )
        loaded = pc.load(tmp_path / "x.gguf")
        assert (loaded["a"].tolist(), loaded["b"].tolist()) == ([1] * 3, [1] * 5)
    for bad in (pc.array(0, pc.uint32), pc.array(3, pc.uint32), pc.array(32), "32"):
        with pytest.raises(pc.ArgumentError):
            pc.save_gguf(tmp_path / "x", {}, {"general.alignment": bad})


def test_what_gguf_does_not_hold(tmp_path: Path) -> None:
    for dtype in (pc.bfloat16, pc.float64, pc.int64, pc.uint8, pc.uint32, pc.bool_, pc.complex64):
        with pytest.raises(pc.FileError, match="astype"):
            pc.save_gguf(tmp_path / "x", {"x": pc.ones(2, dtype)}, {})
    for kind in (pc.bfloat16, pc.float16, pc.float64, pc.complex64):
        with pytest.raises(pc.DTypeError):
            pc.save_gguf(tmp_path / "x", {}, {"k": pc.ones(2, kind)})
    for bad in (3, [1], {"a": "b"}, pc.ones((2, 2)), b"bytes"):
        with pytest.raises(pc.FileError):
            pc.save_gguf(tmp_path / "x", {}, {"k": bad})  # type: ignore[dict-item]
    with pytest.raises(pc.FileError):
        pc.save_gguf(tmp_path / "x", {"x": 1}, {})  # type: ignore[dict-item]
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(("code", "name"), [(9, "Q8_1"), (15, "Q8_K"), (16, "IQ2_XXS"), (39, "MXFP4"), (99, "99")])
def test_types_that_no_array_can_be_made_of_are_named(code: int, name: str) -> None:
    with pytest.raises(pc.FileError) as caught:
        load(file_of([tensor("the.weight", (256, 2), code, 0)], b"\0" * 1000))
    assert f"the tensor the.weight of type {name}" in caught.value.got
    assert "Q6_K" in caught.value.accepts


ONE = tensor("a", (4,), 0, 0)
DATA = b"\0" * 16
HOSTILE = {
    "empty": b"",
    "short": b"GGUF\3\0\0",
    "another file": b"x" * 100,
    "version 1": file_of([ONE], DATA, version=1),
    "big-endian": b"GGUF" + struct.pack(">IQQ", 3, 0, 0),
    "2^60 tensors": b"GGUF" + struct.pack("<IQQ", 3, 1 << 60, 0) + b"\0" * 100,
    "2^60 values": b"GGUF" + struct.pack("<IQQ", 3, 0, 1 << 60) + b"\0" * 100,
    "a text of 2^60 bytes": file_of([], values=[struct.pack("<Q", 1 << 60)]),
    "a key beyond the end": b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 50) + b"x" * 20,
    "2^60 numbers": file_of([], values=[value("k", 9, struct.pack("<IQ", 4, 1 << 60))]),
    "2^64 - 1 numbers": file_of([], values=[value("k", 9, struct.pack("<IQ", 10, (1 << 64) - 1))]),
    "2^60 texts": file_of([], values=[value("k", 9, struct.pack("<IQ", 8, 1 << 60))]),
    "arrays of arrays": file_of([], values=[value("k", 9, struct.pack("<IQ", 9, 1) + struct.pack("<IQ", 4, 0))]),
    "an unknown type of value": file_of([], values=[value("k", 13, b"\0" * 8)]),
    "a value twice": file_of([], values=[value("k", 0, b"\0")] * 2),
    "a tensor twice": file_of([ONE, tensor("a", (4,), 0, 32)], DATA * 4),
    "a name of scales twice": file_of([tensor("a", (32,), 8, 0), tensor("a.scales", (4,), 0, 64)], DATA * 8),
    "a name that is no UTF-8": file_of([tensor(b"\xff", (4,), 0, 0)], DATA),
    "65 axes": file_of([tensor("a", (1,) * 65, 0, 0)], DATA),
    "2^32 - 1 axes": file_of([text("a") + struct.pack("<I", (1 << 32) - 1)], DATA * 4),
    "2^60 elements": file_of([tensor("a", (1 << 60,), 0, 0)], DATA),
    "an overflow": file_of([tensor("a", (1 << 32, 1 << 32, 4), 0, 0)], DATA),
    "nothing, and an overflow": file_of([tensor("a", (0, 1 << 62, 1 << 62), 0, 0)], DATA),
    "no multiple of a block": file_of([tensor("a", (33, 2), 8, 0)], DATA * 8),
    "a block without axes": file_of([tensor("a", (), 8, 0)], DATA * 8),
    "an offset that is not aligned": file_of([tensor("a", (4,), 0, 4)], DATA * 2),
    "outside": file_of([tensor("a", (4,), 0, 1 << 62)], DATA),
    "outside by an overflow": file_of([tensor("a", (4,), 0, (1 << 64) - 32)], DATA),
    "elements missing": file_of([ONE], DATA[:15]),
    "tensors that share bytes": file_of([tensor("a", (16,), 0, 0), tensor("b", (16,), 0, 32)], DATA * 8),
    "an alignment of 0": file_of([ONE], DATA, [value("general.alignment", 4, struct.pack("<I", 0))]),
    "an alignment of 24": file_of([ONE], DATA, [value("general.alignment", 4, struct.pack("<I", 24))]),
    "an alignment that is a text": file_of([ONE], DATA, [value("general.alignment", 8, text("32"))]),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_raise(tmp_path: Path, name: str) -> None:
    (tmp_path / "x.gguf").write_bytes(HOSTILE[name])
    active = pc.get_active_memory()
    with pytest.raises(pc.FileError) as caught:
        pc.load(tmp_path / "x.gguf")
    assert caught.value.op == "load"
    assert "x.gguf" in caught.value.got
    assert caught.value.hint
    assert pc.get_active_memory() == active
    with pytest.raises(pc.FileError):
        load(HOSTILE[name])


def test_every_cut_of_a_file_raises() -> None:
    buffer = io.BytesIO()
    pc.save_gguf(buffer, {"a": pc.ones(8)}, {"k": ["x", "y"], "n": pc.array([1, 2])})
    whole = buffer.getvalue()
    for length in range(len(whole)):
        with pytest.raises(pc.FileError):
            load(whole[:length])


def test_long_tensors_are_read_in_pieces(tmp_path: Path) -> None:
    """Longer than what is decoded at once, and cut so that no piece ends where a block does."""
    rows = 2000
    block = BLOCKS["Q6_K_raw"]
    raw = np.tile(block, (rows * 16 // 2, 1)).tobytes()
    (tmp_path / "x.gguf").write_bytes(file_of([tensor("a", (256 * 16, rows), 14, 0)], raw))
    got = pc.load(tmp_path / "x.gguf")["a"].reshape(-1, 512)
    want = pc.array(BLOCKS["Q6_K_values"].reshape(1, 512))
    assert pc.all(got == want).item()
    assert math.prod(got.shape) == rows * 256 * 16
