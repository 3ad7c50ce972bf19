"""plait.core.fast: recorded results, masks with grouped heads, gradients, batching, dtypes, bad calls."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import op_oracles as oracle
import plait.core as pc

GOLDEN = np.load(Path(__file__).parent.parent / "facts/golden/numeric.npz")
TOLERANCE = {pc.float32: 2e-5, pc.float64: 1e-12, pc.float16: 6e-3, pc.bfloat16: 4e-2}
DTYPES = list(TOLERANCE)
attention = pc.fast.scaled_dot_product_attention


def numbers(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-2, 2, shape)


def near(got: pc.array, want: np.ndarray, tol: float | None = None) -> None:
    tol = TOLERANCE[got.dtype] if tol is None else tol
    assert got.shape == want.shape
    np.testing.assert_allclose(np.array(got.astype(pc.float64)), want, rtol=tol, atol=tol)


def heads(batch: int, q: int, kv: int, length: int, keys: int, features: int = 8) -> list[np.ndarray]:
    shapes = [(batch, q, length, features), (batch, kv, keys, features), (batch, kv, keys, features + 2)]
    return [numbers(*shape, seed=i) for i, shape in enumerate(shapes)]


def arrays(values: list[np.ndarray], dtype: pc.Dtype = pc.float32) -> list[pc.array]:
    return [pc.array(x).astype(dtype) for x in values]


def slope(f: Any, points: list[np.ndarray], along: list[np.ndarray], step: float = 1e-6) -> float:
    ahead, behind = (
        f(*[pc.array(x + s * step * d, dtype=pc.float64) for x, d in zip(points, along, strict=True)]).item()
        for s in (1, -1)
    )
    return (ahead - behind) / (2 * step)


def check_gradient(f: Any, points: list[np.ndarray], tol: float = 1e-6) -> None:
    """The gradient of sum(f * weights) along a direction against differences, all in float64."""
    inputs = [pc.array(x, dtype=pc.float64) for x in points]
    weights = pc.array(numbers(*f(*inputs).shape, seed=9), dtype=pc.float64)

    def loss(*xs: pc.array) -> pc.array:
        return (f(*xs) * weights).sum()

    along = [numbers(*x.shape, seed=20 + i) for i, x in enumerate(points)]
    _, grads = pc.vjp(loss, inputs, [pc.array(1.0, dtype=pc.float64)])
    got = sum(float(np.sum(np.array(g) * d)) for g, d in zip(grads, along, strict=True))
    want = slope(loss, points, along)
    assert abs(got - want) < tol * (1 + abs(want)), f"{got} by rule, {want} by differences"


def test_attention_as_recorded() -> None:
    q, k, v = (pc.array(x) for x in (GOLDEN["fast_q"], *GOLDEN["fast_kv"]))
    near(attention(q, k, v, scale=0.5), GOLDEN["fast_sdpa"])
    near(attention(q, k, v, scale=0.5, mask="causal"), GOLDEN["fast_sdpa_causal"])
    table = pc.arange(35).reshape(5, 7)
    near(attention(q, k, v, scale=0.5, mask=table % 3 != 1), GOLDEN["fast_sdpa_boolmask"])
    near(attention(q, k, v, scale=0.5, mask=table.astype(pc.float32) * 0.1), GOLDEN["fast_sdpa_addmask"])
    near(attention(q, k, v, scale=0.5, sinks=pc.array([0.0, 1.0, -1.0, 0.5])), GOLDEN["fast_sdpa_sinks"])


def test_the_others_as_recorded() -> None:
    x, weight = pc.array(GOLDEN["fast_q"]), pc.arange(8, dtype=pc.float32)
    fast = pc.fast
    near(fast.rms_norm(x, weight, 1e-5), GOLDEN["fast_rms_norm"])
    near(fast.rms_norm(x, None, 1e-5), GOLDEN["fast_rms_norm_noweight"])
    near(fast.layer_norm(x, weight, pc.ones(8), 1e-5), GOLDEN["fast_layer_norm"])
    for traditional in (False, True):
        got = fast.rope(x, 8, traditional=traditional, base=10000.0, scale=1.0, offset=3)
        near(got, GOLDEN[f"fast_rope_trad{int(traditional)}"])
    near(fast.rope(x, 4, traditional=False, base=100.0, scale=0.5, offset=0), GOLDEN["fast_rope_dims4_scale05"])
    freqs = pc.array([1.0, 10.0, 100.0, 1000.0])
    got = fast.rope(x, 8, traditional=False, base=None, scale=1.0, offset=0, freqs=freqs)
    near(got, GOLDEN["fast_rope_freqs"])
    near(fast.cross_entropy(x[0, 0], pc.arange(5)), GOLDEN["fast_cross_entropy"])


MASKS = {
    "none": lambda b, h, l, s: None,
    "causal": lambda b, h, l, s: "causal",
    "boolean": lambda b, h, l, s: numbers(l, s, seed=5) > -1,
    "boolean of heads": lambda b, h, l, s: numbers(h, 1, s, seed=5) > -1,
    "boolean of examples": lambda b, h, l, s: numbers(b, 1, 1, s, seed=5) > -1,
    "additive": lambda b, h, l, s: numbers(b, h, l, s, seed=5),
    "additive row": lambda b, h, l, s: numbers(s, seed=5),
}


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize(
    "shape", [(2, 4, 4, 5, 7), (2, 4, 2, 5, 7), (1, 6, 1, 1, 9), (1, 2, 2, 6, 3), (2, 2, 1, 40, 300)]
)
def test_masks_and_grouped_heads(shape: tuple[int, ...], mask: str, dtype: pc.Dtype) -> None:
    b, h, _, length, keys = shape
    inputs = arrays(heads(*shape), dtype)
    seen = [np.array(x.astype(pc.float64)) for x in inputs]
    given = MASKS[mask](b, h, length, keys)
    numbers_only = isinstance(given, np.ndarray) and given.dtype != bool
    as_array = given
    if isinstance(given, np.ndarray):
        as_array = pc.array(given).astype(dtype) if numbers_only else pc.array(given)
        given = np.array(as_array.astype(pc.float64)) if numbers_only else given
    sinks = pc.array(numbers(h, seed=6)).astype(dtype)
    got = attention(*inputs, scale=0.35, mask=as_array)
    assert got.dtype == dtype
    near(got, oracle.attention(*seen, 0.35, given))
    got = attention(*inputs, scale=0.35, mask=as_array, sinks=sinks)
    near(got, oracle.attention(*seen, 0.35, given, np.array(sinks.astype(pc.float64))))


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("shape", [(2, 4, 4, 3, 5), (1, 4, 2, 5, 3)])
def test_gradients_of_attention(shape: tuple[int, ...], mask: str) -> None:
    given = MASKS[mask](shape[0], shape[1], shape[3], shape[4])
    given = pc.array(given) if isinstance(given, np.ndarray) else given

    def f(q: pc.array, k: pc.array, v: pc.array, sinks: pc.array) -> pc.array:
        return attention(q, k, v, scale=0.5, mask=given, sinks=sinks)

    check_gradient(f, [*heads(*shape), numbers(shape[1], seed=6)])
    check_gradient(lambda q, k, v: attention(q, k, v, scale=0.5, mask=given), heads(*shape))


def test_a_trained_mask_has_a_gradient() -> None:
    q, k, v = arrays(heads(1, 4, 2, 3, 5), pc.float64)
    check_gradient(lambda mask: attention(q, k, v, scale=0.5, mask=mask), [numbers(4, 1, 5)])


def test_queries_that_attend_to_nothing() -> None:
    q, k, v = arrays(heads(1, 2, 2, 3, 5))
    mean = np.broadcast_to(np.array(v).mean(2, keepdims=True), (1, 2, 3, 10))
    nothing = pc.zeros((3, 5), dtype=pc.bool_)
    near(attention(q, k, v, scale=0.5, mask=nothing), mean)
    near(attention(q, k, v, scale=0.5, mask=nothing, sinks=pc.zeros(2)), np.zeros((1, 2, 3, 10)))
    assert np.isnan(np.array(attention(q, k, v, scale=0.5, mask=pc.full((3, 5), -pc.inf)))).all()
    some = pc.where(pc.arange(5) < 2, 0.0, -pc.inf)
    near(attention(q, k, v, scale=0.5, mask=some), np.array(attention(q, k[:, :, :2], v[:, :, :2], scale=0.5)))


def test_what_is_masked_out_does_not_matter() -> None:
    q, k, v = arrays(heads(1, 2, 2, 5, 5))
    for mask, rows in ((pc.arange(5) != 4, slice(None)), ("causal", slice(4))):
        want = np.array(attention(q, k, v, scale=0.5, mask=mask)[:, :, rows])
        broken = pc.array(k)
        broken[:, :, 4] = pc.nan
        near(attention(q, broken, v, scale=0.5, mask=mask)[:, :, rows], want)


def test_float16_sums_may_pass_what_it_holds() -> None:
    q, k = pc.zeros((1, 1, 2, 4), dtype=pc.float16), pc.zeros((1, 1, 9000, 4), dtype=pc.float16)
    v = pc.full((1, 1, 9000, 3), 20.0, dtype=pc.float16)
    near(attention(q, k, v, scale=1.0), np.full((1, 1, 2, 3), 20.0))
    nothing = pc.zeros((9000,), dtype=pc.bool_)
    near(attention(q, k, v, scale=1.0, mask=nothing), np.full((1, 1, 2, 3), 20.0))


@pytest.mark.parametrize("dtype", [pc.float16, pc.bfloat16], ids=str)
def test_gradients_of_16_bit_attention(dtype: pc.Dtype) -> None:
    inputs = arrays(heads(2, 4, 2, 6, 8), dtype)
    weights = pc.array(numbers(2, 4, 6, 10, seed=3))

    def loss(q: pc.array, k: pc.array, v: pc.array) -> pc.array:
        return (attention(q, k, v, scale=0.35, mask="causal").astype(weights.dtype) * weights).sum()

    grads = pc.grad(loss, argnums=[0, 1, 2])(*inputs)
    wide = pc.grad(loss, argnums=[0, 1, 2])(*[x.astype(pc.float32) for x in inputs])
    for g, w in zip(grads, wide, strict=True):
        assert g.dtype == dtype
        near(g, np.array(w), 3 * TOLERANCE[dtype])


def test_vmap_over_arguments_and_masks() -> None:
    q, k, v = (np.stack([heads(2, 4, 2, 3, 5)[i] + j for j in range(3)]) for i in range(3))
    masks = numbers(3, 3, 5, seed=4) > -1
    sinks = numbers(3, 4, seed=5)
    inputs = [pc.array(x) for x in (q, k, v, masks, sinks)]

    def f(q: pc.array, k: pc.array, v: pc.array, mask: pc.array, sinks: pc.array) -> pc.array:
        return attention(q, k, v, scale=0.5, mask=mask, sinks=sinks) + attention(q, k, v, scale=0.5, mask="causal")

    got = pc.vmap(f)(*inputs)
    near(got, np.stack([np.array(f(*[x[i] for x in inputs])) for i in range(3)]))
    k, v, sinks = (inputs[i][0] for i in (1, 2, 4))
    got = pc.vmap(f, in_axes=(0, None, None, 0, None))(inputs[0], k, v, inputs[3], sinks)
    near(got, np.stack([np.array(f(inputs[0][i], k, v, inputs[3][i], sinks)) for i in range(3)]))


@pytest.mark.parametrize("kv", [4, 2])
def test_one_trace_and_one_plan_serve_every_length(kv: int) -> None:
    @pc.compile
    def f(q: pc.array, k: pc.array, v: pc.array) -> pc.array:
        def loss(q: pc.array, k: pc.array, v: pc.array) -> pc.array:
            return attention(q, k, v, scale=0.5, mask="causal").sum()

        return pc.value_and_grad(loss, argnums=[0, 1, 2])(q, k, v)

    def run(length: int, keys: int) -> None:
        inputs = arrays(heads(2, 4, kv, length, keys))
        value, grads = f(*inputs)
        near(value, oracle.attention(*[np.array(x) for x in inputs], 0.5, "causal").sum(), 1e-3)
        pc.eval(grads)

    def counts() -> tuple[int, int]:
        c = pc.trace_counters()
        return sum(n for name, n in c.items() if name.startswith("traced: ")), c["plans_built"]

    run(7, 13)
    before = counts()
    for length, keys in ((6, 9), (3, 11), (17, 40)):
        run(length, keys)
    assert counts() == before


def test_memory_of_attention() -> None:
    q, k, v = (pc.random.normal((2, 4, 256, 16)) for _ in range(3))
    pc.eval(q, k, v)
    scores = 2 * 4 * 256 * 256 * 4

    def loss(q: pc.array, k: pc.array, v: pc.array) -> pc.array:
        return attention(q, k, v, scale=0.25, mask="causal").sum()

    def peak(work: Any) -> int:
        pc.clear_cache()
        pc.reset_peak_memory()
        before = pc.get_active_memory()
        pc.eval(work())
        return pc.get_peak_memory() - before

    assert peak(lambda: loss(q, k, v)) < 2.5 * scores  # the scores and their exponentials; no mask
    assert peak(lambda: pc.grad(loss, argnums=[0, 1, 2])(q, k, v)) < 3.5 * scores


def test_attention_rejects() -> None:
    q = pc.ones((1, 4, 3, 8))
    k = pc.ones((1, 2, 5, 8))

    def rejected(error: type, **more: Any) -> None:
        with pytest.raises(error):
            attention(q, k, k, **{"scale": 1.0, **more})

    for shape in ((3, 3), (2, 3, 5), (2, 1, 3, 5), (1, 1, 1, 3, 5)):
        rejected(pc.ShapeError, mask=pc.zeros(shape))
    for dtype in (pc.float64, pc.complex64):
        rejected(pc.DTypeError, mask=pc.zeros((3, 5), dtype=dtype))
        rejected(pc.DTypeError, sinks=pc.zeros((4,), dtype=dtype))
    for shape in ((1,), (), (2,), (4, 1)):
        rejected(pc.ShapeError, sinks=pc.zeros(shape))
    rejected(ValueError, mask="Causal")
    for mask in (1.0, [1, 2], object()):
        rejected(TypeError, mask=mask)
    half = q.astype(pc.float16)
    with pytest.raises(pc.DTypeError):
        attention(half, half, half, scale=1.0, mask=pc.zeros((3, 3)))
    with pytest.raises(TypeError):
        attention(q, k, k, 1.0)
    with pytest.raises(pc.DTypeError):
        attention(q.astype(pc.int32), k.astype(pc.int32), k.astype(pc.int32), scale=1.0)
    with pytest.raises(pc.DTypeError):
        attention(q.astype(pc.complex64), k, k, scale=1.0)


def test_dtypes_meet() -> None:
    q, k, v = arrays(heads(1, 2, 1, 3, 5))
    half, brain = pc.float16, pc.bfloat16
    assert attention(q.astype(half), k, v, scale=1.0).dtype == pc.float32
    assert attention(q.astype(half), k.astype(brain), v.astype(half), scale=1.0).dtype == pc.float32
    assert attention(q.astype(half), k.astype(pc.int32), v.astype(half), scale=1.0).dtype == half
    x, fast = pc.ones((2, 4)), pc.fast
    assert fast.rms_norm(x.astype(half), pc.ones(4), 1e-5).dtype == pc.float32
    assert fast.layer_norm(x.astype(half), None, pc.ones(4), 1e-5).dtype == half
    assert fast.rms_norm(x.astype(pc.int32), pc.ones(4), 1e-5).dtype == pc.float32
    assert fast.cross_entropy(x.astype(half), pc.array([1, 2])).dtype == pc.float32


def test_norms_of_large_16_bit_numbers() -> None:
    near(pc.fast.rms_norm(pc.full((4,), 300.0, dtype=pc.float16), None, 1e-5), np.ones(4))
    x = pc.array([60000.0, -60000.0], dtype=pc.float16)
    near(pc.fast.layer_norm(x, None, None, 1e-5), np.array([1.0, -1.0]))


@pytest.mark.parametrize("traditional", [False, True])
@pytest.mark.parametrize("shape", [(2, 3, 6), (2, 4, 3, 6), (2, 1, 2, 3, 8)])
def test_rope_with_offsets_and_freqs(shape: tuple[int, ...], traditional: bool) -> None:
    x = numbers(*shape)

    def turned(offset: Any, **more: Any) -> pc.array:
        return pc.fast.rope(pc.array(x, dtype=pc.float32), 6, traditional=traditional, offset=offset, **more)

    base = {"base": 100.0, "scale": 0.5}
    for offset in (0, 7, -2, pc.array(3), pc.array([4]), pc.array([2, 50]), pc.array([2, 5], dtype=pc.uint8)):
        as_numpy = np.array(offset) if isinstance(offset, pc.array) else offset
        near(turned(offset, **base), oracle.rope(x, 6, traditional, 100.0, 0.5, as_numpy), 5e-5)
    freqs = np.array([1.0, 3.0, 9.0])
    want = oracle.rope(x, 6, traditional, None, 1.0, 2, freqs)
    near(turned(2, base=None, scale=1.0, freqs=pc.array(freqs, dtype=pc.float32)), want, 5e-5)


def test_rope_of_16_bit_floats_at_large_positions() -> None:
    x = pc.array(numbers(1, 2, 3, 8)).astype(pc.bfloat16)
    got = pc.fast.rope(x, 8, traditional=False, base=10000.0, scale=1.0, offset=1000)
    near(got, oracle.rope(np.array(x.astype(pc.float64)), 8, False, 10000.0, 1.0, 1000))


def test_a_new_offset_makes_no_new_plan() -> None:
    x = pc.ones((1, 2, 1, 8))

    def at(offset: int) -> pc.array:
        return pc.fast.rope(x, 8, traditional=False, base=10000.0, scale=1.0, offset=offset)

    pc.eval(x)
    pc.eval(at(5))
    before = pc.trace_counters()["plans_built"]
    pc.eval(at(6))
    pc.eval(at(7))
    assert pc.trace_counters()["plans_built"] == before


def test_rope_rejects() -> None:
    x = pc.ones((2, 3, 4))

    def rejected(error: type, **more: Any) -> None:
        with pytest.raises(error):
            pc.fast.rope(x, 4, **{"traditional": False, "base": 10.0, "scale": 1.0, "offset": 0, **more})

    rejected(ValueError, freqs=pc.ones(2))
    for shape in ((3,), (1, 2), ()):
        rejected(pc.ShapeError, base=None, freqs=pc.ones(shape))
    for shape in ((3,), (1, 1)):
        rejected(pc.ShapeError, offset=pc.zeros(shape, dtype=pc.int32))
    rejected(pc.DTypeError, offset=pc.array(1.5))
    rejected(pc.DTypeError, offset=pc.array(True))
    rejected(TypeError, offset=0.5)
    with pytest.raises(pc.DTypeError):
        pc.fast.rope(x.astype(pc.int32), 4, traditional=False, base=10.0, scale=1.0, offset=0)


def test_gradients_of_the_others() -> None:
    fast = pc.fast
    x, w, b = numbers(2, 3, 6), numbers(6, seed=1), numbers(6, seed=2)
    check_gradient(lambda x, w, b: fast.layer_norm(x, w, b, 1e-3), [x, w, b])
    check_gradient(lambda x, w: fast.rms_norm(x, w, 1e-3), [x, w])
    for traditional in (False, True):
        rope = {"traditional": traditional, "scale": 0.5, "offset": pc.array([1, 4])}
        check_gradient(lambda x, rope=rope: fast.rope(x, 4, base=100.0, **rope), [x])
        check_gradient(lambda x, f, rope=rope: fast.rope(x, 6, base=None, freqs=f, **rope), [x, 1 + abs(numbers(3))])
    check_gradient(lambda x: fast.cross_entropy(x, pc.array([[0, 5, -1], [2, 2, 1]])), [x])


def test_cross_entropy_of_large_logits() -> None:
    logits = pc.array([[1000.0, 0.0], [-1000.0, -1000.0]])
    near(pc.fast.cross_entropy(logits, pc.array([0, 1])), np.array([0.0, np.log(2.0)]))
    near(pc.fast.cross_entropy(logits[0], pc.array(1)), np.array(1000.0))
    with pytest.raises(pc.ShapeError):
        pc.fast.cross_entropy(pc.array(1.0), pc.array(0))
    assert pc.fast.cross_entropy(pc.zeros((0, 4)), pc.zeros((0,), dtype=pc.int32)).shape == (0,)


# ---- gated_delta_update ----------------------------------------------------------------------------------------------


def delta_arguments(
    batch: int, length: int, shared: int, heads: int, dk: int, dv: int, by_feature: bool
) -> list[np.ndarray]:
    q, k, v = (
        numbers(batch, length, shared, dk),
        numbers(batch, length, shared, dk, seed=1),
        numbers(batch, length, heads, dv, seed=2),
    )
    rates = np.random.default_rng(3).uniform(
        0.6, 1.0, (batch, length, heads, dk) if by_feature else (batch, length, heads)
    )
    return [q / dk**0.5, k / dk**0.5, v, rates, np.random.default_rng(4).uniform(0.1, 1.0, (batch, length, heads))]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("by_feature", [False, True])
def test_gated_delta_update(dtype: pc.Dtype, by_feature: bool) -> None:
    given = arrays(delta_arguments(2, 9, 2, 4, 16, 8, by_feature), dtype)
    values = [np.array(a.astype(pc.float64)) for a in given]
    out, state = pc.fast.gated_delta_update(*given)
    want, last = oracle.gated_delta_update(*values)
    assert out.dtype == dtype
    assert state.dtype == (pc.float64 if dtype == pc.float64 else pc.float32)
    near(out, want)
    near(state, last)
    wider = pc.fast.gated_delta_update(*given[:4], given[4].astype(pc.float32))[0]
    assert wider.dtype == dtype


def test_gated_delta_update_goes_on_from_a_state() -> None:
    given = arrays(delta_arguments(2, 40, 1, 3, 8, 4, False))
    out, state = pc.fast.gated_delta_update(*given)
    first, between = pc.fast.gated_delta_update(*[a[:, :17] for a in given])
    second, last = pc.fast.gated_delta_update(*[a[:, 17:] for a in given], between)
    near(pc.concatenate([first, second], axis=1), np.array(out))
    near(last, np.array(state))
    compiled = pc.compile(lambda *a: pc.fast.gated_delta_update(*a))
    for length in (40, 12):
        got = compiled(*[a[:, :length] for a in given])[0]
        near(got, np.array(out[:, :length]))


def test_gated_delta_update_passes_over_masked_steps() -> None:
    given = arrays(delta_arguments(1, 12, 2, 2, 4, 4, True))
    mask = np.random.default_rng(5).random((1, 12)) < 0.6
    out, state = pc.fast.gated_delta_update(*given, None, pc.array(mask))
    left = [a[:, pc.array(np.flatnonzero(mask))] for a in given]
    want, last = pc.fast.gated_delta_update(*left)
    near(out[:, pc.array(np.flatnonzero(mask))], np.array(want))
    assert not np.any(np.array(out)[~mask])
    near(state, np.array(last))
    again, _ = pc.fast.gated_delta_update(*given, mask=pc.array(mask).astype(pc.int32))
    assert again.tolist() == out.tolist()


def test_the_gradient_of_gated_delta_update() -> None:
    points = delta_arguments(1, 6, 1, 2, 3, 2, True)
    points.append(numbers(1, 2, 2, 3, seed=7))
    check_gradient(lambda *a: pc.fast.gated_delta_update(*a)[0], points)
    check_gradient(lambda *a: pc.fast.gated_delta_update(*a)[1], points)


def test_gated_delta_update_refuses_complex_numbers() -> None:
    given = arrays(delta_arguments(1, 2, 1, 1, 2, 2, False))
    with pytest.raises(pc.DTypeError):
        pc.fast.gated_delta_update(given[0].astype(pc.complex64), *given[1:])
    with pytest.raises(pc.DTypeError):
        pc.fast.gated_delta_update(*given[:3], given[3].astype(pc.complex64), given[4])
