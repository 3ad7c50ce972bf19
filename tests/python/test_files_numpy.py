"""npy and npz: what NumPy writes is read, what is written NumPy reads, and damaged files raise."""

import io
import os
import struct
import warnings
import zipfile
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import plait.core as pc

DTYPES = [
    "bool",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "int8",
    "int16",
    "int32",
    "int64",
    "float16",
    "float32",
    "float64",
    "complex64",
]
SHAPES: list[tuple[int, ...]] = [(), (1,), (7,), (0,), (3, 4), (0, 2), (2, 0, 3), (2, 3, 4), (1,) * 9]


def samples(dtype: str, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    numbers = np.random.default_rng(0).integers(-100, 100, shape)
    with np.errstate(all="ignore"):
        return np.asarray(numbers * (1 + 0.5j) if dtype == "complex64" else numbers).astype(dtype)


def same(a: pc.array, b: np.ndarray[Any, Any]) -> None:
    got = np.array(a)
    assert got.dtype == b.dtype
    assert got.shape == b.shape
    assert got.tobytes() == np.ascontiguousarray(b).tobytes()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_npy_in_both_directions(tmp_path: Path, dtype: str, shape: tuple[int, ...]) -> None:
    x = samples(dtype, shape)
    file = tmp_path / "x.npy"
    np.save(file, x)
    written = file.read_bytes()
    same(pc.load(file), x)
    pc.save(file, pc.array(x, dtype=getattr(pc, dtype if dtype != "bool" else "bool_")))
    assert file.read_bytes() == written


@pytest.mark.parametrize("order", ["<", ">", "="])
@pytest.mark.parametrize("dtype", DTYPES)
def test_npy_of_other_byte_orders_and_layouts(tmp_path: Path, dtype: str, order: str) -> None:
    x = samples(dtype, (3, 4, 5))
    for layout in (x, np.asfortranarray(x), x.T, x[::2, ::-1]):
        np.save(tmp_path / "x.npy", layout.astype(np.dtype(dtype).newbyteorder(order)))
        same(pc.load(str(tmp_path / "x.npy")), layout)


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_versions_of_the_header(tmp_path: Path, version: tuple[int, int]) -> None:
    x = samples("float32", (2, 3))
    with (tmp_path / "x.npy").open("wb") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        np.lib.format.write_array(file, x, version=version)
    same(pc.load(tmp_path / "x.npy"), x)


def test_headers_that_others_write(tmp_path: Path) -> None:
    x = samples("int32", (3,))
    for text in (
        "{'descr': '<i4', 'fortran_order': False, 'shape': (3L,), }\n",
        '{"shape":(3,),"fortran_order":True,"descr":"<i4"}',
        "{ 'descr' : '<i4' ,\t'shape':( 3 , ) , 'fortran_order':False , } \n \n",
    ):
        head = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode()
        (tmp_path / "x.npy").write_bytes(head + x.tobytes())
        same(pc.load(tmp_path / "x.npy"), x)


def test_bfloat16_is_raw_elements_of_two_bytes(tmp_path: Path) -> None:
    x = pc.array([1.5, -2.0, float("inf")], dtype=pc.bfloat16)
    pc.save(tmp_path / "x.npy", x)
    raw = np.load(tmp_path / "x.npy")
    assert raw.dtype == np.dtype("V2")
    assert raw.view(ml_dtypes.bfloat16).astype(np.float32).tolist() == [1.5, -2.0, float("inf")]
    np.save(tmp_path / "y.npy", np.array([0.5, 3.0], ml_dtypes.bfloat16))
    y = pc.load(tmp_path / "y.npy")
    assert (y.dtype, y.tolist()) == (pc.bfloat16, [0.5, 3.0])


def test_bools_that_are_neither_0_nor_1(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.array([0, 1, 2, 255], np.uint8).view(np.bool_))
    x = pc.load(tmp_path / "x.npy")
    assert x.tolist() == [False, True, True, True]
    assert x.astype(pc.int32).tolist() == [0, 1, 1, 1]


@pytest.mark.parametrize(
    "x",
    [
        np.array(["a"]),
        np.ones(2, complex),
        np.ones(2, "V4"),
        np.ones(2, [("a", "i4"), ("b", "f4")]),
        np.array("2026-11-28", "M8[D]"),
        np.ones(2, np.longdouble),
    ],
    ids=lambda x: str(x.dtype),
)
def test_elements_that_no_array_has(tmp_path: Path, x: np.ndarray[Any, Any]) -> None:
    np.save(tmp_path / "x.npy", x)
    with pytest.raises(pc.DTypeError) as caught:
        pc.load(tmp_path / "x.npy")
    assert caught.value.op == "load"
    assert "x.npy" in caught.value.got
    assert "astype" in caught.value.hint


def with_header(text: str, elements: bytes = b"", version: int = 1) -> bytes:
    length = struct.pack("<H" if version == 1 else "<I", len(text))
    return b"\x93NUMPY" + bytes([version, 0]) + length + text.encode() + elements


def dict_text(shape: str, descr: str = "'<f4'", fortran: str = "False") -> str:
    return f"{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}, }}"


DAMAGED = {
    "empty": b"",
    "short": b"\x93NUM",
    "another file": b"hello, this is text and no array",
    "version 4": with_header(dict_text("(1,)"), b"1234", 4),
    "header beyond the end": b"\x93NUMPY\x01\x00\xff\xff{",
    "huge header": b"\x93NUMPY\x02\x00\xff\xff\xff\xff{" + b" " * 100,
    "2^60 elements": with_header(dict_text("(1152921504606846976,)")),
    "an overflow of bytes": with_header(dict_text("(4294967296, 4294967296, 4294967296)")),
    "nothing, and an overflow": with_header(dict_text("(0, 9223372036854775807, 9223372036854775807)")),
    "an extent beyond 64 bits": with_header(dict_text("(99999999999999999999999,)")),
    "a negative extent": with_header(dict_text("(-1,)")),
    "elements missing": with_header(dict_text("(4,)"), b"123456789012345"),
    "elements too many": with_header(dict_text("(4,)"), b"12345678901234567"),
    "65 axes": with_header(dict_text("(" + "1," * 65 + ")"), b"1234"),
    "a number as the shape": with_header(dict_text("(4)"), b"1" * 16),
    "code": with_header(dict_text("(__import__('os').abort(),)"), b"1234"),
    "no dict": with_header("[1, 2, 3]"),
    "keys missing": with_header("{'descr': '<f4', 'shape': (1,)}", b"1234"),
    "keys twice": with_header("{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (1,)}", b"1234"),
    "other keys": with_header("{'descr': '<f4', 'fortran_order': False, 'shape': (1,), 'x': 1}", b"1234"),
    "text behind the dict": with_header(dict_text("(1,)") + "1", b"1234"),
    "a text without an end": with_header("{'descr: "),
    "brackets without an end": with_header("{'descr': " + "[" * 1000),
    "no flag": with_header(dict_text("(1,)", fortran="None"), b"1234"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_npy_files_raise(tmp_path: Path, name: str) -> None:
    (tmp_path / "x.npy").write_bytes(DAMAGED[name])
    with pytest.raises(pc.FileError) as caught:
        pc.load(tmp_path / "x.npy")
    error = caught.value
    assert (error.op, bool(error.accepts), bool(error.hint)) == ("load", True, True)
    assert "x.npy" in error.got
    assert isinstance(error, RuntimeError)


def test_every_cut_of_a_file_raises(tmp_path: Path) -> None:
    for ending, write in (
        ("npy", lambda f: pc.save(f, pc.ones((5, 3)))),
        ("npz", lambda f: pc.savez_compressed(f, x=pc.ones(9))),
    ):
        buffer = io.BytesIO()
        write(buffer)
        whole = buffer.getvalue()
        for length in range(len(whole)):
            with pytest.raises(pc.FileError):
                pc.load(io.BytesIO(whole[:length]), format=ending)


def test_several_arrays_in_one_file_object(tmp_path: Path) -> None:
    arrays = [pc.ones((2, 3)), pc.zeros((0,)), pc.array(3)]
    with (tmp_path / "all.npy").open("wb") as file:
        for a in arrays:
            pc.save(file, a)
    with (tmp_path / "all.npy").open("rb") as file:
        for a in arrays:
            assert pc.array_equal(pc.load(file), a)
    with pytest.raises(pc.FileError, match="several"):
        pc.load(tmp_path / "all.npy")


# ---- npz -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("save", [pc.savez, pc.savez_compressed])
def test_npz_that_numpy_reads(tmp_path: Path, save: Any) -> None:
    given = {d: samples(d, (3, 4)) for d in DTYPES} | {"a/b.c": samples("int32", ()), "ärger": samples("bool", (0, 3))}
    save(
        tmp_path / "all",
        pc.array([1, 2]),
        **{k: pc.array(v, dtype=getattr(pc, v.dtype.name if v.dtype != bool else "bool_")) for k, v in given.items()},
    )
    assert os.listdir(tmp_path) == ["all.npz"]
    with zipfile.ZipFile(tmp_path / "all.npz") as archive:
        assert archive.testzip() is None
        kinds = {info.compress_type for info in archive.infolist()}
        assert kinds == {zipfile.ZIP_DEFLATED if save is pc.savez_compressed else zipfile.ZIP_STORED}
    loaded = np.load(tmp_path / "all.npz")
    assert set(loaded) == {"arr_0", *given}
    again = pc.load(tmp_path / "all.npz")
    assert set(again) == {"arr_0", *given}
    for name, x in given.items():
        assert loaded[name].tobytes() == x.tobytes()
        same(again[name], x)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz_that_numpy_wrote(tmp_path: Path, save: Any) -> None:
    given = {d: samples(d, (30, 4)) for d in DTYPES} | {"fortran": np.asfortranarray(samples("int32", (3, 5)))}
    save(tmp_path / "all.npz", samples("float32", (3,)), **given)
    loaded = pc.load(tmp_path / "all.npz")
    assert set(loaded) == {"arr_0", *given}
    for name, x in given.items():
        same(loaded[name], x)


def test_the_same_arrays_are_the_same_bytes(tmp_path: Path) -> None:
    for k in range(2):
        pc.savez_compressed(tmp_path / f"{k}.npz", pc.arange(100), b=pc.ones(3))
    assert (tmp_path / "0.npz").read_bytes() == (tmp_path / "1.npz").read_bytes()


def test_empty_archives_and_comments(tmp_path: Path) -> None:
    pc.savez(tmp_path / "none.npz")
    assert pc.load(tmp_path / "none.npz") == {}
    np.savez(tmp_path / "x.npz", x=np.arange(3))
    with zipfile.ZipFile(tmp_path / "x.npz", "a") as archive:
        archive.comment = b"a comment, PK\x05\x06 and what looks like the end of an archive"
    assert pc.load(tmp_path / "x.npz")["x"].tolist() == [0, 1, 2]


def test_names_with_folders_are_names(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        buffer = io.BytesIO()
        np.save(buffer, np.ones(2))
        archive.writestr("../../etc/passwd.npy", buffer.getvalue())
    assert list(pc.load(tmp_path / "x.npz")) == ["../../etc/passwd"]


def test_members_with_64_bit_sizes(tmp_path: Path) -> None:
    """As streams write them, whose lengths nobody knows before: sizes in an extra field."""
    buffer = io.BytesIO()
    np.save(buffer, np.arange(1000))
    with zipfile.ZipFile(tmp_path / "x.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("x.npy", "w", force_zip64=True) as member:
            member.write(buffer.getvalue())
    assert pc.load(tmp_path / "x.npz")["x"].tolist() == list(range(1000))


def archive_of(**arrays: np.ndarray[Any, Any]) -> bytearray:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return bytearray(buffer.getvalue())


def changed(raw: bytearray, at: int, value: bytes) -> bytes:
    return bytes(raw[:at] + value + raw[at + len(value) :])


def hostile_archives() -> dict[str, bytes]:
    raw = archive_of(a=np.arange(10.0), b=np.ones(3))
    directory = raw.index(b"PK\x01\x02")
    second = raw.index(b"PK\x01\x02", directory + 4)
    end = raw.index(b"PK\x05\x06")
    twice = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(twice, "w") as archive:
        warnings.simplefilter("ignore")
        for _ in range(2):
            archive.writestr("a.npy", bytes(DAMAGED["elements missing"]))
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", with_header(dict_text("(1099511627776,)")) + b"\0" * 100000)
    other = io.BytesIO()
    with zipfile.ZipFile(other, "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("a.npy", b"x" * 100)
    text = io.BytesIO()
    with zipfile.ZipFile(text, "w") as archive:
        archive.writestr("note.txt", "hi")
    u32 = struct.Struct("<I").pack
    return {
        "empty": b"",
        "no archive": b"x" * 1000,
        "another check sum": changed(raw, directory + 16, b"\1\2\3\4"),
        "a changed element": changed(raw, 200, b"\1\2\3\4"),
        "encrypted": changed(raw, directory + 8, b"\1"),
        "other sizes": changed(raw, directory + 20, u32(100) + u32(200)),
        "huge sizes": changed(raw, directory + 20, u32(0xFFFFFFFE) * 2),
        "sizes in a field that is not there": changed(raw, directory + 20, u32(0xFFFFFFFF) * 2),
        "a header outside": changed(raw, directory + 42, u32(0xFFFFFF)),
        "a header elsewhere": changed(raw, directory + 42, u32(7)),
        "members that share bytes": changed(raw, second + 42, u32(0)),
        "another name in front": changed(raw, 30, b"z"),
        "a name beyond the end": changed(raw, directory + 28, b"\xff\xff"),
        "many members": changed(raw, end + 8, b"\xfe\xff\xfe\xff"),
        "a directory elsewhere": changed(raw, end + 16, u32(5)),
        "a huge directory": changed(raw, end + 12, u32(0xFFFFFFF0)),
        "several files": changed(raw, end + 4, b"\1"),
        "the same name twice": twice.getvalue(),
        "a bomb": bomb.getvalue(),
        "compressed otherwise": other.getvalue(),
        "no array": text.getvalue(),
    }


HOSTILE = hostile_archives()


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_archives_raise(tmp_path: Path, name: str) -> None:
    (tmp_path / "x.npz").write_bytes(HOSTILE[name])
    active = pc.get_active_memory()
    with pytest.raises(pc.FileError) as caught:
        pc.load(tmp_path / "x.npz")
    assert caught.value.op == "load"
    assert "x.npz" in caught.value.got
    assert pc.get_active_memory() == active


def test_a_bomb_meets_the_memory_limit(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", with_header(dict_text("(134217728,)", "'|u1'")) + b"\0" * 134217728)
    with pc.stream(pc.cpu):  # files are read into its memory, so that its limit counts
        before = pc.set_memory_limit(64 << 20)
        try:
            with pytest.raises(pc.OutOfMemory):
                pc.load(tmp_path / "x.npz")
        finally:
            pc.set_memory_limit(before)
    assert pc.load(tmp_path / "x.npz")["a"].sum().item() == 0


def test_deflated_bytes_that_are_damaged(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    pc.savez_compressed(buffer, x=pc.random.normal((300,)))
    whole = buffer.getvalue()
    rng = np.random.default_rng(0)
    for at in rng.integers(40, whole.index(b"PK\x01\x02"), 200):
        bad = bytearray(whole)
        bad[at] ^= 1 << int(rng.integers(8))
        try:
            got = pc.load(io.BytesIO(bytes(bad)), format="npz")
        except (pc.FileError, pc.DTypeError):
            continue
        assert got.keys() == {"x"}  # a bit that means nothing, such as one of the length behind the bytes


# ---- arguments -------------------------------------------------------------------------------------------------------


def test_arguments_of_savez(tmp_path: Path) -> None:
    with pytest.raises(pc.ArgumentError, match="arr_0"):
        pc.savez(tmp_path / "x", pc.ones(1), arr_0=pc.ones(1))
    with pytest.raises(RuntimeError, match="tree_flatten"):
        pc.savez(tmp_path / "x", {"a": pc.ones(1)})
    with pytest.raises(RuntimeError):
        pc.savez(tmp_path / "x", a=3)
    with pytest.raises(TypeError):
        pc.save(tmp_path / "x", [1, 2])  # type: ignore[arg-type]
    assert os.listdir(tmp_path) == []


def test_formats(tmp_path: Path) -> None:
    pc.save(tmp_path / "x.npy", pc.ones(2))
    (tmp_path / "x.npy").rename(tmp_path / "x.data")
    assert pc.load(tmp_path / "x.data", format="npy").tolist() == [1, 1]
    for bad in (lambda: pc.load(tmp_path / "x.data"), lambda: pc.load(tmp_path / "x"), lambda: pc.load("x.npy", "bin")):
        with pytest.raises(pc.ArgumentError, match="npz"):
            bad()
    with pytest.raises(pc.ArgumentError, match="return_metadata"):
        pc.load(tmp_path / "x.data", format="npy", return_metadata=True)
    for no_file in (3, object()):
        with pytest.raises(ValueError, match="read, seek and tell"):
            pc.load(no_file, format="npy")  # type: ignore[call-overload]
        with pytest.raises(ValueError, match="write"):
            pc.save(no_file, pc.ones(1))  # type: ignore[arg-type]


def test_a_stream(tmp_path: Path) -> None:
    pc.save(tmp_path / "x.npy", pc.ones(2))
    assert pc.load(tmp_path / "x.npy", stream=pc.cpu).tolist() == [1, 1]
