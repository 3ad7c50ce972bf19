"""Packed numbers: bit by bit as recorded, edge cases, gradients, transforms, odd and long shapes."""

import itertools
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import op_oracles as oracle
import plait.core as pc
import plait.nn as nn

GOLDEN = Path(__file__).parent.parent / "facts/golden"
FACTS = json.loads((GOLDEN / "quantization.json").read_text())
ARRAYS = dict(np.load(GOLDEN / "quantization.npz"))
BITS, GROUPS, MICROSCALED = (2, 3, 4, 5, 6, 8), (32, 64, 128), ("mxfp4", "mxfp8", "nvfp4")


def floats(a: pc.array) -> np.ndarray:
    return np.array(a.astype(pc.float32))


def same(a: pc.array, b: np.ndarray) -> None:
    assert np.array_equal(floats(a) if a.dtype == pc.bfloat16 else np.array(a), b, equal_nan=b.dtype.kind == "f")


# ---- as recorded -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("bits", "group"), list(itertools.product(BITS, GROUPS)))
def test_affine_as_recorded(bits: int, group: int) -> None:
    tag = f"affine_b{bits}_g{group}_"
    packed = pc.quantize(pc.array(ARRAYS["w"]), group_size=group, bits=bits)
    for part, name in zip(packed, "wsb", strict=True):
        same(part, ARRAYS[tag + name])
    same(pc.dequantize(*packed, group_size=group, bits=bits)[:, :32], ARRAYS[tag + "d"])


@pytest.mark.parametrize("mode", MICROSCALED)
def test_microscaled_as_recorded(mode: str) -> None:
    words, scales = pc.quantize(pc.array(ARRAYS["w"]), mode=mode)
    same(words, ARRAYS[mode + "_w"])
    same(scales, ARRAYS[mode + "_s"])
    same(pc.dequantize(words, scales, mode=mode), ARRAYS[mode + "_d"])


@pytest.mark.parametrize("name", FACTS["affine_special"])
def test_special_groups_as_recorded(name: str) -> None:
    values = {
        "constant": np.full((1, 64), 3.0),
        "zeros": np.zeros((1, 64)),
        "negative": -np.arange(64.0)[None],
        "positive": np.arange(1.0, 65.0)[None],
        "symmetric": np.linspace(-1, 1, 64, dtype=np.float32)[None],
    }[name]
    packed = pc.quantize(pc.array(values.astype(np.float32)))
    for part, wanted in zip(packed, ("w", "scales", "biases"), strict=True):
        assert part.tolist() == FACTS["affine_special"][name][wanted]


def test_codes_and_scales_as_recorded() -> None:
    number = [float(x) for x in FACTS["fp8_codes"]]
    codes = pc.arange(256).astype(pc.uint8)
    np.testing.assert_array_equal(floats(pc.from_fp8(codes)), number)
    np.testing.assert_array_equal(
        floats(pc.dequantize(codes.view(pc.uint32)[None], pc.full((1, 8), 127, dtype=pc.uint8), mode="mxfp8"))[0],
        number,
    )
    words = pc.array([[0x76543210, 0xFEDCBA98, 0, 0]], dtype=pc.uint32)
    one = pc.dequantize(words, pc.array([[127]], dtype=pc.uint8), mode="mxfp4")
    np.testing.assert_array_equal(floats(one)[0, :16], FACTS["fp4_codes"])
    for mode, facts, count in (("mxfp4", "mx_scale_byte", 1), ("nvfp4", "nvfp4_scale_byte", 2)):
        for byte, wanted in zip(FACTS[facts]["codes"], FACTS[facts]["value_of_code_2_times_scale"], strict=True):
            scales = pc.full((1, count), byte, dtype=pc.uint8)
            got = pc.dequantize(words, scales, mode=mode, dtype=pc.float32)[0, 2].item()
            np.testing.assert_equal(np.float32(got), np.float32(wanted))


@pytest.mark.parametrize("mode", ["affine", *MICROSCALED])
def test_product_as_recorded(mode: str) -> None:
    packed = pc.quantize(pc.array(ARRAYS["w"]), mode=mode)
    got = pc.quantized_matmul(pc.array(ARRAYS["x"]), *packed, mode=mode)
    np.testing.assert_allclose(np.array(got), ARRAYS["qmm_" + mode], rtol=2e-5, atol=2e-5)


def test_shapes_and_dtypes_as_recorded() -> None:
    w = pc.array(ARRAYS["w"])
    for kind, facts in FACTS["half_inputs"].items():
        parts = pc.quantize(w.astype(getattr(pc, kind)))
        assert [(list(p.shape), str(p.dtype).rpartition(".")[2]) for p in parts] == [
            (f["shape"], f["dtype"]) for f in facts
        ]
    batched = pc.quantize(pc.ones((3, 2, 64)))
    assert [list(p.shape) for p in batched] == [f["shape"] for f in FACTS["batched"]]


# ---- odd and long shapes ---------------------------------------------------------------------------------------------

FORMATS = [("affine", g, b) for g in GROUPS for b in BITS] + [("mxfp4", 32, 4), ("mxfp8", 32, 8), ("nvfp4", 16, 4)]


def packed_of(
    rng: np.random.Generator, shape: tuple[int, ...], form: tuple[str, int, int], dtype: pc.Dtype = pc.float32
) -> list[pc.array]:
    """Any codes, with scales (and biases) of moderate size."""
    mode, group, bits = form
    rows, n = shape[:-1], shape[-1]
    some = rng.integers(0, 2**32, (*rows, n * bits // 32)).astype(np.uint32)
    words = pc.array(some & 0xFEFEFEFE if mode == "mxfp8" else some)  # no NaN
    if mode == "affine":
        parts = [rng.uniform(-1, 1, (*rows, n // group)).astype(np.float32) for _ in range(2)]
        return [words, *(pc.array(p).astype(dtype) for p in parts)]
    return [words, pc.array(rng.integers(118, 124, (*rows, n // group)).astype(np.uint8))]


def wide(parts: list[pc.array], form: tuple[str, int, int]) -> np.ndarray:
    mode, group, bits = form
    given = [
        floats(p).astype(np.float64) if p.dtype != pc.uint8 and p.dtype != pc.uint32 else np.array(p) for p in parts
    ]
    return oracle.dequantize(given[0], given[1], given[2] if len(given) > 2 else None, group, bits, mode)


def arguments(form: tuple[str, int, int]) -> dict[str, object]:
    return dict(zip(("mode", "group_size", "bits"), form, strict=True))


@settings(max_examples=120, deadline=None)
@given(
    form=st.sampled_from(FORMATS),
    groups=st.integers(1, 12),
    rows=st.integers(1, 19),
    n=st.integers(0, 40),
    transpose=st.booleans(),
    dtype=st.sampled_from(["float32", "float16", "bfloat16", "float64"]),
    seed=st.integers(0, 2**31),
)
def test_products_of_any_shape(
    form: tuple[str, int, int], groups: int, rows: int, n: int, transpose: bool, dtype: str, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    kind = getattr(pc, dtype)
    packed = packed_of(rng, (n, groups * form[1]), form, kind)
    depth = groups * form[1] if transpose else n
    x = pc.array(rng.uniform(-1, 1, (rows, depth))).astype(kind)
    got = pc.quantized_matmul(x, *packed, transpose=transpose, **arguments(form))
    w = wide(packed, form)
    x = floats(x).astype(np.float64)
    want, size = x @ (w.T if transpose else w), np.abs(x) @ np.abs(w.T if transpose else w)
    assert got.dtype == kind
    step = {"float16": 2e-3, "bfloat16": 1.6e-2, "float32": 2e-6, "float64": 1e-6}[dtype]
    # Codes times scales and sums times biases may cancel: measured by the sizes of both.
    limit = step * (np.abs(want) + 1e-3 * size) + 3e-6 * (size + 300 * np.abs(x).sum(-1, keepdims=True))
    assert got.shape == want.shape
    with np.errstate(over="ignore"):
        assert np.all((np.abs(floats(got) - want) <= limit) | (np.abs(want) > 6e4))


@settings(max_examples=60, deadline=None)
@given(form=st.sampled_from(FORMATS), groups=st.integers(0, 9), rows=st.integers(0, 9), seed=st.integers(0, 2**31))
def test_packing_and_unpacking(form: tuple[str, int, int], groups: int, rows: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    w = rng.standard_normal((rows, groups * form[1])).astype(np.float32)
    packed = pc.quantize(pc.array(w), **arguments(form))
    for got, want in zip(packed, oracle.quantize(w, form[1], form[2], form[0]), strict=True):
        assert got.shape == want.shape
        same(got, want.astype(np.array(got).dtype))
    numbers = pc.dequantize(*packed, **arguments(form), dtype=pc.float32)
    np.testing.assert_allclose(np.array(numbers), wide(packed, form), rtol=1e-5, atol=1e-5)
    if form[0] == "affine" and w.size:  # half a step off at most; the range is one step short at worst
        step = np.repeat(np.abs(np.array(packed[1])), form[1], -1)
        assert np.all(np.abs(np.array(numbers) - w) <= 1.01 * step)


@pytest.mark.parametrize("form", FORMATS, ids=str)
def test_products_of_long_rows_are_the_same_for_any_number_of_rows_of_x(form: tuple[str, int, int]) -> None:
    rng = np.random.default_rng(0)
    packed = packed_of(rng, (270, 1536), form)
    x = rng.uniform(-1, 1, (33, 1536)).astype(np.float32)
    want = x.astype(np.float64) @ wide(packed, form).T
    scale = np.abs(want).max()
    for rows in (1, 2, 3, 4, 5, 8, 9, 33):
        got = np.array(pc.quantized_matmul(pc.array(x[:rows]), *packed, **arguments(form)))
        np.testing.assert_allclose(got, want[:rows], rtol=0, atol=2e-5 * scale)
    numbers = wide(packed, form)
    for rows in (1, 33):
        y = rng.uniform(-1, 1, (rows, 270)).astype(np.float32)
        got = np.array(pc.quantized_matmul(pc.array(y), *packed, transpose=False, **arguments(form)))
        np.testing.assert_allclose(got, y @ numbers, rtol=0, atol=2e-5 * np.abs(y @ numbers).max())


def test_operands_that_are_not_contiguous() -> None:
    rng = np.random.default_rng(1)
    form = ("affine", 32, 4)
    words, scales, biases = packed_of(rng, (6, 128), form)
    x = pc.array(rng.uniform(-1, 1, (128, 5)).astype(np.float32)).T
    want = pc.quantized_matmul(pc.array(np.array(x)), words, scales, biases, group_size=32)
    turned = [pc.array(np.ascontiguousarray(np.array(p).T)).T for p in (words, scales, biases)]
    same(pc.quantized_matmul(x, *turned, group_size=32), np.array(want))
    same(pc.dequantize(*turned, group_size=32), np.array(pc.dequantize(words, scales, biases, group_size=32)))
    rows = [p[::-2] for p in (words, scales, biases)]
    same(pc.quantized_matmul(x, *rows, group_size=32), np.array(want)[:, ::-2])


@pytest.mark.parametrize("form", [FORMATS[1], FORMATS[9], *FORMATS[-3:]], ids=str)
@pytest.mark.parametrize("transpose", [True, False])
def test_picked_matrices(form: tuple[str, int, int], transpose: bool) -> None:
    rng = np.random.default_rng(7)
    packed = packed_of(rng, (2, 3, 12, 256), form)
    lhs, rhs = np.array([[3, -1, 0]]), np.array([[5], [-6], [2], [2]])
    numbers = wide(packed, form).reshape(6, 12, 256)
    for dtype, m in itertools.product((pc.float32, pc.float16), (1, 3, 20, 40)):
        x = pc.array(rng.uniform(-1, 1, (2, 2, m, 256 if transpose else 12))).astype(dtype)
        parts = [p.astype(dtype) if p.dtype == pc.float32 else p for p in packed]
        want = floats(x).reshape(4, m, -1)[lhs] @ (numbers.swapaxes(-1, -2) if transpose else numbers)[rhs]
        got = pc.gather_qmm(
            x, *parts, lhs_indices=pc.array(lhs), rhs_indices=pc.array(rhs), transpose=transpose, **arguments(form)
        )
        assert got.shape == want.shape and got.dtype == dtype
        limit = (2e-6 if dtype == pc.float32 else 4e-3) * np.abs(want).max()
        np.testing.assert_allclose(floats(got), want, rtol=0, atol=limit)
    # Without positions of one side all of its matrices are taken, in their order.
    some = {"rhs_indices": pc.array([[1, 4], [0, 1]]), "transpose": transpose, **arguments(form)}
    each = pc.gather_qmm(x, *parts, **some)
    assert pc.array_equal(each, pc.gather_qmm(x, *parts, lhs_indices=pc.arange(4).reshape(2, 2), **some)).item()


def test_positions_of_picked_matrices() -> None:
    w, s, b = pc.quantize(pc.ones((3, 4, 64)))
    x = pc.ones((2, 1, 64))
    pc.eval(w, s, b, x)  # whatever comes of a run with such a position is refused on a GPU
    for wrong in ({"lhs_indices": pc.array([2])}, {"rhs_indices": pc.array([0, -4])}):
        with pytest.raises(IndexError):
            pc.eval(pc.gather_qmm(x, w, s, b, **wrong))
    with pytest.raises(pc.DTypeError) as raised:
        pc.gather_qmm(x, w, s, b, rhs_indices=pc.array([0.0]))
    assert raised.value.accepts == "integers"
    with pytest.raises(pc.ShapeError):
        pc.gather_qmm(x, w, s, b, lhs_indices=pc.array([0, 1]), rhs_indices=pc.array([0, 1, 2]))
    assert pc.gather_qmm(x, w, s, b, rhs_indices=pc.array([2, 2])).tolist() == [[[64.0] * 4]] * 2
    assert pc.gather_qmm(x, w, s, b, rhs_indices=pc.zeros((0, 2), dtype=pc.int32)).shape == (0, 2, 1, 4)


# ---- transforms ------------------------------------------------------------------------------------------------------


def test_gradients_of_scales_and_biases() -> None:
    rng = np.random.default_rng(2)
    words, scales, biases = packed_of(rng, (4, 64), ("affine", 32, 4), pc.float64)
    x = pc.array(rng.uniform(-1, 1, (3, 64)))

    def product(x: pc.array, s: pc.array, b: pc.array) -> pc.array:
        return (pc.quantized_matmul(x, words, s, b, group_size=32) ** 2).sum()

    def plain(x: pc.array, s: pc.array, b: pc.array) -> pc.array:
        codes = pc.array(oracle.codes_of(np.array(words), 4).astype(np.float64))
        w = codes * pc.repeat(s, 32, axis=-1) + pc.repeat(b, 32, axis=-1)
        return ((x @ w.T) ** 2).sum()

    for got, want in zip(
        pc.grad(product, argnums=[0, 1, 2])(x, scales, biases),
        pc.grad(plain, argnums=[0, 1, 2])(x, scales, biases),
        strict=True,
    ):
        np.testing.assert_allclose(np.array(got), np.array(want), rtol=1e-9, atol=1e-9)


def test_gradient_of_packing() -> None:
    """Scale and bias follow the element of largest magnitude; codes, and all of the other modes, change in steps."""
    w = pc.array(np.linspace(-1.0, 0.9, 64)[None])
    grad = pc.grad(lambda w: pc.quantize(w)[2].sum())(w)
    assert grad.tolist() == [[1.0] + [0.0] * 63]
    scale = pc.grad(lambda w: pc.quantize(w)[1].sum())(w)
    np.testing.assert_allclose(np.array(scale)[0, 0], -1 / 8, rtol=1e-6)
    assert np.count_nonzero(np.array(scale)) == 1
    flat = pc.grad(lambda w: sum(p.sum() for p in pc.quantize(w)[1:]))(pc.zeros((1, 64)))
    assert not np.array(flat).any()
    for mode in MICROSCALED:
        zero = pc.grad(lambda w, mode=mode: pc.dequantize(*pc.quantize(w, mode=mode), mode=mode).sum())(w)
        assert not np.array(zero).any()


@pytest.mark.parametrize("mode", ["affine", *MICROSCALED])
def test_packing_in_a_batch(mode: str) -> None:
    w = pc.array(np.random.default_rng(3).standard_normal((5, 3, 64)).astype(np.float32))
    for axis in (0, 1):
        got = pc.vmap(lambda w: tuple(pc.quantize(w, mode=mode)), in_axes=axis)(w)
        for k in range(w.shape[axis]):
            one = pc.quantize(w[k] if axis == 0 else w[:, k], mode=mode)
            for a, b in zip(got, one, strict=True):
                same(a[k], np.array(b))


def test_compiled_for_other_shapes() -> None:
    @pc.compile
    def f(x: pc.array, w: pc.array) -> pc.array:
        return pc.quantized_matmul(x, *pc.quantize(w, group_size=32, bits=3), group_size=32, bits=3)

    rng = np.random.default_rng(4)
    for rows, n, k in ((1, 3, 64), (7, 5, 96), (2, 8, 320)):
        x, w = (pc.array(rng.standard_normal(s).astype(np.float32)) for s in ((rows, k), (n, k)))
        want = pc.quantized_matmul(x, *pc.quantize(w, group_size=32, bits=3), group_size=32, bits=3)
        same(f(x, w), np.array(want))
    with pytest.raises(ValueError):
        f(pc.ones((1, 65)), pc.ones((2, 65)))


@pytest.mark.parametrize("mode", ["affine", *MICROSCALED])
def test_exported(mode: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    w = pc.array(rng.standard_normal((6, 64)).astype(np.float32))
    x = pc.array(rng.standard_normal((2, 64)).astype(np.float32))

    def f(x: pc.array, w: pc.array) -> list[pc.array]:
        packed = pc.quantize(w, mode=mode)
        return [pc.quantized_matmul(x, *packed, mode=mode), pc.dequantize(*packed, mode=mode, dtype=pc.float32)]

    file = str(tmp_path / "f.plait")
    pc.export_function(file, f, x, w)
    for got, want in zip(pc.import_function(file)(x, w), f(x, w), strict=True):
        same(got, np.array(want))


# ---- what is not accepted --------------------------------------------------------------------------------------------


def rejected(error: type[pc.Error], call: Callable[[], object], accepts: str) -> None:
    with pytest.raises(error) as raised:
        call()
    assert accepts in raised.value.accepts, raised.value


def test_what_is_not_accepted() -> None:
    w, s, b = pc.quantize(pc.ones((4, 64)))
    x = pc.ones((2, 64))
    rejected(pc.ShapeError, lambda: pc.quantize(pc.ones((2, 65))), "multiple of 64")
    rejected(pc.ShapeError, lambda: pc.quantize(pc.ones((64,))), "two axes")
    rejected(pc.DTypeError, lambda: pc.quantize(pc.ones((2, 64), dtype=pc.int32)), "floats")
    rejected(pc.ArgumentError, lambda: pc.quantize(x, bits=7), "2, 3, 4, 5, 6 or 8 bits")
    rejected(pc.ArgumentError, lambda: pc.quantize(x, mode="mxfp8", bits=4), "8 bits in groups of 32")
    rejected(pc.ArgumentError, lambda: pc.quantize(x, mode="int4"), "mxfp4")
    rejected(pc.ArgumentError, lambda: pc.quantize(x, global_scale=pc.array(1.0)), "nvfp4")
    rejected(pc.DTypeError, lambda: pc.dequantize(pc.ones((2, 8)), pc.ones((2, 1)), pc.ones((2, 1))), "uint32")
    rejected(pc.ShapeError, lambda: pc.dequantize(w, s, b, group_size=32), "a scale for each group")
    rejected(pc.ShapeError, lambda: pc.dequantize(w, s, b[:1]), "a scale for each group")
    rejected(pc.DTypeError, lambda: pc.dequantize(w, s, b, dtype=pc.int32), "floats")
    rejected(pc.ArgumentError, lambda: pc.quantized_matmul(x, w, s), "biases in mode affine")
    rejected(pc.ShapeError, lambda: pc.quantized_matmul(x[:, :32], w, s, b), "as long as the rows")
    rejected(pc.ShapeError, lambda: pc.quantized_matmul(x, w, s, b, transpose=False), "as long as the columns")
    rejected(pc.DTypeError, lambda: pc.quantized_matmul(x.astype(pc.complex64), w, s, b), "floats")
    rejected(pc.DTypeError, lambda: pc.from_fp8(pc.ones((2,))), "uint8")
    with pytest.raises(pc.ShapeError):
        pc.quantized_matmul(pc.ones((3, 2, 64)), *(pc.broadcast_to(p, (2, *p.shape)) for p in (w, s, b)))
    assert pc.quantized_matmul(x, w, s, b).tolist() == [[64.0] * 4] * 2  # nothing was lost


# ---- layers ----------------------------------------------------------------------------------------------------------


def test_quantized_linear() -> None:
    x = pc.array(np.random.default_rng(6).standard_normal((3, 64)).astype(np.float32))
    for bias, mode in itertools.product((True, False), ("affine", *MICROSCALED)):
        linear = nn.Linear(64, 8, bias=bias)
        packed = linear.to_quantized(mode=mode)
        plain = pc.dequantize(*pc.quantize(linear.weight, mode=mode), mode=mode, dtype=pc.float32)
        want = x @ plain.T + (linear.bias if bias else 0.0)
        np.testing.assert_allclose(np.array(packed(x)), np.array(want), rtol=1e-4, atol=1e-4)
        assert not packed.trainable_parameters()
        assert ("biases" in packed) == (mode == "affine")
    grads = nn.value_and_grad(packed.unfreeze(keys="scales"), lambda x: packed(x).sum())
    assert not np.array(grads(x)[1]["scales"]).any()  # integers
    with pytest.raises(ValueError, match="input_dims"):
        nn.QuantizedLinear(0, 4)
    with pytest.raises(ValueError):
        nn.QuantizedLinear(33, 4)
    with pytest.raises(ValueError, match="nvfp4"):
        linear.to_quantized(quantize_input=True)


def test_low_rank_training_through_a_packed_weight() -> None:
    """What is packed stays; what is beside it learns."""
    base = nn.Linear(64, 8).to_quantized(group_size=32, bits=8)

    def loss(x: pc.array) -> pc.array:
        return (base(x) ** 2).mean()

    x = pc.array(np.random.default_rng(7).standard_normal((4, 64)).astype(np.float32))
    base.unfreeze(keys=["scales", "biases", "bias"])
    before, grads = nn.value_and_grad(base, loss)(x)
    assert sorted(grads) == ["bias", "biases", "scales"]
    base.update({k: base[k] - 1e-8 * g for k, g in grads.items()})
    assert loss(x).item() < before.item()


@pytest.mark.parametrize("mode", ["affine", *MICROSCALED])
def test_quantized_embedding(mode: str) -> None:
    table = nn.Embedding(5, 64)
    packed = table.to_quantized(mode=mode)
    plain = pc.dequantize(*pc.quantize(table.weight, mode=mode), mode=mode)
    for at in (pc.array(3), pc.array([1, 4]), pc.array([[0, 1], [2, 4]]), pc.zeros((0,), dtype=pc.int32)):
        same(packed(at), floats(plain[at]))
    x = pc.ones((2, 64))
    np.testing.assert_allclose(np.array(packed.as_linear(x)), floats(x @ plain.T), rtol=2e-2, atol=2e-2)
    with pytest.raises(ValueError, match="quantize_input"):
        table.to_quantized(quantize_input=True)
    with pytest.raises(ValueError, match="dims"):
        nn.QuantizedEmbedding(3, 0)


def test_quantizing_a_model() -> None:
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Sequential(nn.Linear(64, 32)))
    assert nn.quantize(model, bits=8) is None
    kinds = [type(m).__name__ for _, m in model.named_modules()]
    assert kinds.count("QuantizedLinear") == 2 and "Linear" not in kinds
    assert model(pc.ones((2, 64))).shape == (2, 32)
    other = nn.Sequential(nn.Linear(64, 64), nn.ReLU())
    with pytest.raises(ValueError, match="ReLU"):
        nn.quantize(other, class_predicate=lambda path, layer: True)
    assert isinstance(other.layers[0], nn.Linear)  # nothing was changed
    nn.quantize(other, class_predicate=lambda path, layer: {"bits": 2} if path == "layers.0" else False)
    assert other.layers[0].bits == 2
    both = nn.Sequential(nn.Linear(64, 64, bias=False))
    nn.quantize(both, mode="mxfp8", quantize_input=True)
    assert isinstance(both.layers[0], nn.QQLinear)


def test_layer_that_quantizes_its_input() -> None:
    linear = nn.Linear(64, 8, bias=False)
    layer = linear.to_quantized(mode="mxfp8", quantize_input=True)
    x = pc.array(np.random.default_rng(8).standard_normal((3, 64)).astype(np.float32))
    training = layer(x)
    assert sorted(layer.parameters()) == ["weight"]
    grads = nn.value_and_grad(layer, lambda x: layer(x).sum())(x)[1]
    assert grads["weight"].shape == (8, 64) and np.isfinite(np.array(grads["weight"])).all()
    layer.eval()
    assert sorted(layer.parameters()) == ["scales", "weight"] and layer.weight.dtype == pc.uint32
    np.testing.assert_allclose(np.array(layer(x)), np.array(training), rtol=1e-5, atol=1e-5)
    layer.train()
    assert sorted(layer.parameters()) == ["weight"] and layer.weight.dtype == pc.float32
    np.testing.assert_allclose(np.array(layer(x)), np.array(training), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(np.array(layer(x)), np.array(linear(x)), rtol=0.1, atol=0.1)
    with pytest.raises(NotImplementedError, match="bias"):
        nn.QQLinear.from_linear(nn.Linear(64, 8))


def test_gradient_of_qqmm_takes_numbers_as_they_were() -> None:
    rng = np.random.default_rng(9)
    x, w = (pc.array(rng.standard_normal(s)) for s in ((3, 64), (4, 64)))

    def of(mode: str, x: np.ndarray) -> np.ndarray:
        return oracle.quantised(np.array(x), None, None, mode)

    for mode in MICROSCALED:
        of_x, of_w = pc.grad(lambda x, w, mode=mode: pc.qqmm(x, w, mode=mode).sum(), argnums=[0, 1])(x, w)
        np.testing.assert_allclose(np.array(of_x), np.broadcast_to(of(mode, w).sum(0), (3, 64)), rtol=1e-6)
        np.testing.assert_allclose(np.array(of_w), np.broadcast_to(of(mode, x).sum(0), (4, 64)), rtol=1e-6)


def test_global_scales() -> None:
    w = pc.array(np.random.default_rng(10).standard_normal((2, 64)).astype(np.float32))
    usual, scale = pc.quantize(w, mode="nvfp4"), pc.array(2688.0)
    for a, b in zip(pc.quantize(w, mode="nvfp4", global_scale=scale), usual, strict=True):
        same(a, np.array(b))
    for factor in (0.5, 4.0):
        packed = pc.quantize(w, mode="nvfp4", global_scale=scale * factor)
        got = pc.dequantize(*packed, mode="nvfp4", global_scale=scale * factor)
        assert got.dtype == pc.float32
        np.testing.assert_allclose(np.array(got), np.array(w), atol=0.6)
    product = pc.qqmm(w, w, mode="nvfp4")
    np.testing.assert_allclose(
        np.array(pc.qqmm(w, w, global_scale_x=scale, global_scale_w=scale)), np.array(product), rtol=1e-5, atol=1e-5
    )
    np.testing.assert_allclose(
        np.array(pc.qqmm(w, *usual, global_scale_x=scale, global_scale_w=scale)),
        np.array(product),
        rtol=1e-5,
        atol=1e-5,
    )
    rejected(pc.ArgumentError, lambda: pc.qqmm(w, w, global_scale_x=scale), "both or none")
    rejected(pc.ShapeError, lambda: pc.quantize(w, mode="nvfp4", global_scale=pc.ones((2,))), "one number")


@pytest.mark.parametrize("mode", MICROSCALED)
def test_extreme_numbers(mode: str) -> None:
    def through(values: list[float]) -> np.ndarray:
        return floats(
            pc.dequantize(*pc.quantize(pc.array([values + [0.0] * (32 - len(values))]), mode=mode), mode=mode)
        )[0]

    assert not through([0.0]).any()
    largest = through([np.inf, 1.0])
    assert largest[0] >= 2688 and largest[1] == 0 if mode == "nvfp4" else largest[0] == np.inf
    assert np.all(np.abs(through([1e-44, 1e-42])) <= 1e-37)
    with_nan = through([np.nan, 1.0])
    assert abs(with_nan[1] - 1.0) < 0.05 and (np.isnan(with_nan[0]) if mode == "mxfp8" else with_nan[0] == 0)


def test_affine_groups_with_infinities_and_nan() -> None:
    def packed(value: float) -> list[pc.array]:
        return pc.quantize(pc.array([[value, *np.linspace(-1, 1, 31)]]), group_size=32)

    words, scales, biases = packed(np.nan)
    assert scales.item() == pytest.approx(-1 / 7) and biases.item() == 1.0
    for value in (np.inf, -np.inf):
        words, scales, biases = packed(value)
        assert np.isnan(scales.item()) and biases.item() == value and not np.array(words).any()
        assert np.isnan(np.array(pc.dequantize(words, scales, biases, group_size=32))).all()
