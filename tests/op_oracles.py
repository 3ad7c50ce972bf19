"""What oracles of op files call as `oracle.NAME`, where NumPy and SciPy have no single expression: loops over NumPy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

Extents = int | Sequence[int]


def each(setting: Extents, axes: int) -> list[int]:
    return [setting] * axes if isinstance(setting, int) else list(setting)


def spread(x: np.ndarray, steps: Sequence[int], first: int = 1) -> np.ndarray:
    """`x` with zeros between its elements along the axes from `first` on."""
    shape = list(x.shape)
    for axis, step in enumerate(steps, first):
        shape[axis] = max((shape[axis] - 1) * step + 1, 0)
    out = np.zeros(shape, x.dtype)
    out[(slice(None),) * first + tuple(slice(None, None, step) for step in steps)] = x
    return out


def channels(input: np.ndarray, weight: np.ndarray, groups: int) -> Iterator[tuple[slice, slice]]:
    """The input's and the output's channels of each group."""
    size, filters = input.shape[-1] // groups, weight.shape[0] // groups
    for g in range(groups):
        yield slice(g * size, (g + 1) * size), slice(g * filters, (g + 1) * filters)


def conv(
    input: np.ndarray,
    weight: np.ndarray,
    stride: Extents,
    padding: Extents | tuple[Sequence[int], Sequence[int]],
    dilation: Extents,
    input_dilation: Extents = 1,
    groups: int = 1,
    flip: bool = False,
) -> np.ndarray:
    """Convolution by its definition: input (N, spatial..., C), weight (C_out, kernel..., C / groups)."""
    n = input.ndim - 2
    paired = not isinstance(padding, int) and any(not isinstance(p, int) for p in padding)
    before, after = [each(p, n) for p in (padding if paired else (padding, padding))]
    x = np.pad(spread(input, each(input_dilation, n)), [(0, 0), *zip(before, after, strict=True), (0, 0)])
    w = spread(weight, each(dilation, n))
    if flip:
        w = np.flip(w, tuple(range(1, n + 1)))
    steps = each(stride, n)
    extents = [(x.shape[i] - w.shape[i]) // steps[i - 1] + 1 for i in range(1, n + 1)]
    out = np.zeros([len(x), *extents, len(w)])
    for at in np.ndindex(*w.shape[1:-1]):
        seen = x[(slice(None), *(slice(k, k + (e - 1) * s + 1, s) for k, e, s in zip(at, extents, steps, strict=True)))]
        for read, made in channels(input, weight, groups):
            out[..., made] += seen[..., read] @ w[(made, *at)].T
    return out


def conv_transpose(
    input: np.ndarray,
    weight: np.ndarray,
    stride: Extents,
    padding: Extents,
    dilation: Extents,
    output_padding: Extents,
    groups: int,
) -> np.ndarray:
    """Every element of the input adds its multiple of the kernel to the output, whose rim of `padding` is cut off."""
    n = input.ndim - 2
    w = spread(weight, each(dilation, n))
    steps, rim, more = each(stride, n), each(padding, n), each(output_padding, n)
    whole = [(e - 1) * s + k + m for e, s, k, m in zip(input.shape[1:-1], steps, w.shape[1:-1], more, strict=True)]
    out = np.zeros([len(input), *whole, len(w)])
    for at in np.ndindex(*input.shape[1:-1]):
        to = tuple(slice(i * s, i * s + k) for i, s, k in zip(at, steps, w.shape[1:-1], strict=True))
        for read, made in channels(input, weight, groups):
            out[(slice(None), *to, made)] += np.einsum("nc,o...c->n...o", input[(slice(None), *at, read)], w[made])
    return out[(slice(None), *(slice(p, e - p) for p, e in zip(rim, whole, strict=True)))]


def block_masked_mm(
    a: np.ndarray,
    b: np.ndarray,
    block: int,
    out: np.ndarray | None,
    left: np.ndarray | None,
    right: np.ndarray | None,
) -> np.ndarray:
    def masked(x: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
        if mask is None:
            return x
        return x * np.kron(mask, np.ones((block, block)))[: x.shape[0], : x.shape[1]]

    return masked(masked(a, left) @ masked(b, right), out)


def window(extents: Sequence[int], start: np.ndarray, axes: Sequence[int]) -> tuple[slice, ...]:
    """The index of a slice that begins at `start` along `axes` and at 0 along the others."""
    first = [0] * len(extents)
    for axis, at in zip(axes, start, strict=True):
        first[axis] = int(at)
    return tuple(slice(f, f + e) for f, e in zip(first, extents, strict=True))


def replaced(a: np.ndarray, at: tuple[slice, ...], values: np.ndarray) -> np.ndarray:
    out = np.array(a)
    out[at] = values
    return out


def put_along_axis(a: np.ndarray, indices: np.ndarray, values: np.ndarray, axis: int | None) -> np.ndarray:
    out = np.array(a)
    np.put_along_axis(out, indices, values, axis)
    return out


def unique(a: np.ndarray, size: int, index: bool, inverse: bool, counts: bool, fill: float | None) -> list[np.ndarray]:
    values, first, place, count = np.unique(a, return_index=True, return_inverse=True, return_counts=True)

    def sized(x: np.ndarray, rest: float) -> np.ndarray:
        out = np.full(size, rest, x.dtype)
        out[: len(x)] = x[:size]
        return out

    wanted = [(True, sized(values, values[0] if fill is None else fill)), (index, sized(first, first[0]))]
    wanted += [(inverse, place.reshape(a.shape)), (counts, sized(count, 0))]
    return [x for asked, x in wanted if asked]


def attention(
    q: np.ndarray,
    k: np.ndarray,
    v: np.ndarray,
    scale: float,
    mask: str | np.ndarray | None = None,
    sinks: np.ndarray | None = None,
) -> np.ndarray:
    """Head by head, with keys and values repeated for the heads that share them."""
    heads, queries, keys = q.shape[1], q.shape[2], k.shape[2]
    k, v = (np.repeat(x, heads // x.shape[1], axis=1) for x in (k, v))
    scores = scale * q @ np.swapaxes(k, -1, -2)
    if isinstance(mask, str):
        mask = np.arange(keys) <= np.arange(queries)[:, None] + keys - queries
    if mask is not None and mask.dtype == bool:
        scores = np.where(mask, scores, -3e38)
    elif mask is not None:
        scores = scores + mask
    if not keys:
        return np.zeros((*q.shape[:3], v.shape[3]))
    logits = scores
    if sinks is not None:
        logits = np.concatenate([scores, np.broadcast_to(sinks[:, None, None], (*scores.shape[:3], 1))], -1)
    return (np.exp(scores - np.max(logits, -1, keepdims=True)) @ v) / np.exp(
        logits - np.max(logits, -1, keepdims=True)
    ).sum(-1, keepdims=True)


def gated_delta_update(
    q: np.ndarray,
    k: np.ndarray,
    v: np.ndarray,
    gamma: np.ndarray,
    beta: np.ndarray,
    initial_state: np.ndarray | None = None,
    mask: np.ndarray | None = None,
) -> list[np.ndarray]:
    """Step by step and head by head; the state of a head is a matrix that turns keys into values."""
    n, length, heads, dv = v.shape
    state = np.zeros((n, heads, dv, q.shape[3])) if initial_state is None else np.array(initial_state)
    out = np.zeros(v.shape)
    for i, t, head in np.ndindex(n, length, heads):
        if mask is not None and not mask[i, t]:
            continue
        shared = head * q.shape[2] // heads
        key, s = k[i, t, shared], state[i, head] * gamma[i, t, head]
        state[i, head] = s + beta[i, t, head] * np.outer(v[i, t, head] - s @ key, key)
        out[i, t, head] = state[i, head] @ q[i, t, shared]
    return [out, state]


def rope(
    a: np.ndarray,
    dims: int,
    traditional: bool,
    base: float | None,
    scale: float,
    offset: int | np.ndarray,
    freqs: np.ndarray | None = None,
) -> np.ndarray:
    """Each pair of features as a complex number, times one of size 1."""
    turns = base ** (-np.arange(dims // 2) / (dims // 2)) if base else 1 / np.asarray(freqs)
    first = np.reshape(offset, (-1, *[1] * (a.ndim - 2))) if np.ndim(offset) else np.asarray(offset)
    angle = ((first + np.arange(a.shape[-2])) * scale)[..., None] * turns
    left, right = (slice(0, dims, 2), slice(1, dims, 2)) if traditional else (slice(dims // 2), slice(dims // 2, dims))
    turned = (a[..., left] + 1j * a[..., right]) * np.exp(1j * angle)
    out = np.array(a, np.float64)
    out[..., left], out[..., right] = turned.real, turned.imag
    return out


def hadamard_transform(a: np.ndarray, scale: float | None) -> np.ndarray:
    """By the recorded matrices of 12, 20 and 28, doubled as often as it takes."""
    n = a.shape[-1]
    m = next(m for m in (1, 12, 20, 28) if n % m == 0 and (n // m).bit_count() == 1)
    h = np.array([[1]]) if m == 1 else np.array([[1 if s == "+" else -1 for s in row] for row in HADAMARD[m]])
    while len(h) < n:
        h = np.kron(h, [[1, 1], [1, -1]])
    return (
        a.astype(np.complex128 if a.dtype.kind == "c" else np.float64)
        @ h.T
        * (1 / np.sqrt(n) if scale is None else scale)
    )


HADAMARD = {
    12: [
        "+-++++++++++",
        "--+-+-+-+-+-",
        "+++-++----++",
        "+---+--+-++-",
        "+++++-++----",
        "+-+---+--+-+",
        "++--+++-++--",
        "+--++---+--+",
        "++----+++-++",
        "+--+-++---+-",
        "++++----+++-",
        "+-+--+-++---",
    ],
    20: [
        "+----+----++--++-++-",
        "-+----+---+++---+-++",
        "--+----+---+++-+-+-+",
        "---+----+---+++++-+-",
        "----+----++--++-++-+",
        "-+++++-----+--+++--+",
        "+-+++-+---+-+--+++--",
        "++-++--+---+-+--+++-",
        "+++-+---+---+-+--+++",
        "++++-----++--+-+--++",
        "--++-+-++-+-----++++",
        "---++-+-++-+---+-+++",
        "+---++-+-+--+--++-++",
        "++---++-+----+-+++-+",
        "-++---++-+----+++++-",
        "-+--+--++-+----+----",
        "+-+-----++-+----+---",
        "-+-+-+---+--+----+--",
        "--+-+++------+----+-",
        "+--+--++------+----+",
    ],
    28: [
        "+------++----++-+--+-+--++--",
        "-+-----+++-----+-+--+-+--++-",
        "--+-----+++---+-+-+----+--++",
        "---+-----+++---+-+-+-+--+--+",
        "----+-----+++---+-+-+++--+--",
        "-----+-----++++--+-+--++--+-",
        "------++----++-+--+-+--++--+",
        "--++++-+-------++--+++-+--+-",
        "---++++-+-----+-++--+-+-+--+",
        "+---+++--+----++-++--+-+-+--",
        "++---++---+----++-++--+-+-+-",
        "+++---+----+----++-++--+-+-+",
        "++++--------+-+--++-++--+-+-",
        "-++++--------+++--++--+--+-+",
        "-+-++-++--++--+--------++++-",
        "+-+-++--+--++--+--------++++",
        "-+-+-++--+--++--+----+---+++",
        "+-+-+-++--+--+---+---++---++",
        "++-+-+-++--+------+--+++---+",
        "-++-+-+-++--+------+-++++---",
        "+-++-+---++--+------+-++++--",
        "-++--++-+-++-+++----++------",
        "+-++--++-+-++-+++-----+-----",
        "++-++---+-+-++-+++-----+----",
        "-++-++-+-+-+-+--+++-----+---",
        "--++-++++-+-+----+++-----+--",
        "+--++-+-++-+-+----+++-----+-",
        "++--++-+-++-+-+----++------+",
    ],
}


def frames_of(n: int, hop: int | None, length: int | None, window: np.ndarray | None) -> tuple[int, np.ndarray]:
    """The distance between frames, and the window filled up on both sides."""
    w = np.ones(length or n) if window is None else window
    before = (n - len(w)) // 2
    return hop or max(n // 4, 1), np.pad(w, (before, n - len(w) - before))


def stft(
    x: np.ndarray,
    n: int,
    hop: int | None = None,
    length: int | None = None,
    window: np.ndarray | None = None,
    center: bool = True,
    mode: str = "reflect",
    norm: str = "backward",
    onesided: bool | None = None,
) -> np.ndarray:
    hop, w = frames_of(n, hop, length, window)
    if center:
        x = np.pad(x, [(0, 0)] * (x.ndim - 1) + [(n // 2, n // 2)], mode=mode)
    frames = np.stack([x[..., i : i + n] * w for i in range(0, x.shape[-1] - n + 1, hop)], -2)
    half = not np.iscomplexobj(frames) if onesided is None else onesided
    return np.swapaxes((np.fft.rfft if half else np.fft.fft)(frames, norm=norm), -1, -2)


def istft(
    s: np.ndarray,
    n: int | None = None,
    hop: int | None = None,
    length: int | None = None,
    window: np.ndarray | None = None,
    center: bool = True,
    norm: str = "backward",
    onesided: bool | None = None,
    samples: int | None = None,
) -> np.ndarray:
    half = onesided is not False
    n = n or (2 * (s.shape[-2] - 1) if half else s.shape[-2])
    hop, w = frames_of(n, hop, length, window)
    frames = np.swapaxes(s, -1, -2)
    frames = np.fft.irfft(frames, n, norm=norm) if half else np.fft.ifft(frames, norm=norm).real
    out = np.zeros((*s.shape[:-2], (s.shape[-1] - 1) * hop + n))
    weight = np.zeros(out.shape[-1])
    for t in range(s.shape[-1]):
        out[..., t * hop : t * hop + n] += frames[..., t, :] * w
        weight[t * hop : t * hop + n] += w * w
    out = np.where(weight == 0, 0, out / np.where(weight == 0, 1, weight))
    rim = n // 2 if center else 0
    if samples is None:
        return out[..., rim : out.shape[-1] - rim]
    rest = max(rim + samples - out.shape[-1], 0)
    return np.pad(out, [(0, 0)] * (out.ndim - 1) + [(0, rest)])[..., rim : rim + samples]


def lu_factor(a: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Elimination with the largest element of a column as pivot, of each matrix of a batch."""
    lu, rows = np.array(a), a.shape[-2]
    pivots = np.zeros((*a.shape[:-2], min(a.shape[-2:])), np.uint32)
    for at in np.ndindex(*a.shape[:-2]):
        x = lu[at]
        for i in range(pivots.shape[-1]):
            k = i + int(np.argmax(np.abs(x[i:, i].real) + np.abs(x[i:, i].imag)))
            pivots[(*at, i)] = k
            x[[i, k]] = x[[k, i]]
            x[i + 1 :, i] /= x[i, i]
            x[i + 1 :, i + 1 :] -= np.outer(x[i + 1 : rows, i], x[i, i + 1 :])
    return lu, pivots


def lu(a: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    packed, pivots = lu_factor(a)
    rows, k = a.shape[-2], min(a.shape[-2:])
    order = np.zeros(a.shape[:-1], np.uint32)
    for at in np.ndindex(*a.shape[:-2]):
        stands = np.arange(rows)
        for i, pivot in enumerate(pivots[at]):
            stands[[i, pivot]] = stands[[pivot, i]]
        order[at] = np.argsort(stands)
    return order, np.tril(packed[..., :k], -1) + np.eye(rows, k), np.triu(packed[..., :k, :])


def turned(v: np.ndarray) -> np.ndarray:
    """Columns whose first large element is positive."""
    if not v.shape[-2]:
        return np.ones_like(v)
    size = np.abs(v)
    at = np.argmax(size >= 0.618 * size.max(-2, keepdims=True), -2, keepdims=True)
    first = np.take_along_axis(v, at, -2)
    return first.conj() / np.abs(first)


def eigh(a: np.ndarray, uplo: str) -> tuple[np.ndarray, np.ndarray]:
    w, v = np.linalg.eigh(np.asarray(a), uplo)
    return w, v * turned(v)


def svd(a: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    u, s, vt = np.linalg.svd(np.asarray(a), full_matrices=False)
    turns = turned(u)
    return u * turns, s, vt * np.swapaxes(turns.conj(), -1, -2)


def eig(a: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    w, v = np.linalg.eig(np.asarray(a))
    return w, v * turned(v)


def cross(a: np.ndarray, b: np.ndarray, axis: int) -> np.ndarray:
    x, y = (np.moveaxis(v, axis, -1) for v in (np.asarray(a), np.asarray(b)))
    x, y = (np.concatenate([v, np.zeros((*v.shape[:-1], 3 - v.shape[-1]), v.dtype)], -1) for v in (x, y))
    return np.moveaxis(np.cross(x, y), -1, axis)


# ---- packed numbers: tables and bits, as the recorded facts have them ------------------------------------------------

FLOAT4 = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6])
FLOAT8 = np.array(
    [np.nan if m == 127 else (m * 2.0**-9 if m < 8 else (1 + m % 8 / 8) * 2.0 ** (m // 8 - 7)) for m in range(128)]
)
FLOAT8 = np.concatenate([FLOAT8, -FLOAT8])
FORMATS = {"affine": (64, 4), "mxfp4": (32, 4), "mxfp8": (32, 8), "nvfp4": (16, 4)}


def format_of(mode: str, group_size: int | None, bits: int | None) -> tuple[int, int]:
    usual = FORMATS[mode]
    return usual[0] if group_size is None else group_size, usual[1] if bits is None else bits


def codes_of(words: np.ndarray, bits: int) -> np.ndarray:
    """The little-endian bit stream of each row, `bits` at a time."""
    stream = np.unpackbits(np.ascontiguousarray(words).view(np.uint8), axis=-1, bitorder="little")
    return stream.reshape(*words.shape[:-1], words.shape[-1] * 32 // bits, bits) @ (1 << np.arange(bits))


def words_of(codes: np.ndarray, bits: int) -> np.ndarray:
    stream = (codes[..., None].astype(np.uint8) >> np.arange(bits).astype(np.uint8)) & 1
    packed = np.packbits(stream.reshape(*codes.shape[:-1], codes.shape[-1] * bits), axis=-1, bitorder="little")
    return np.ascontiguousarray(packed).view(np.uint32)


def to_fp4(x: np.ndarray) -> np.ndarray:
    """The nearest entry; of two the one nearer to 0, which has no sign."""
    return np.abs(np.asarray(x)[..., None] - FLOAT4).argmin(-1)


def to_fp8(x: np.ndarray) -> np.ndarray:
    """The nearest entry; of two the even one."""
    x = np.asarray(x)
    distance = np.abs(np.minimum(np.abs(x), 448)[..., None] - FLOAT8[:127])
    first, last = distance.argmin(-1), 126 - distance[..., ::-1].argmin(-1)
    codes = np.where(np.isnan(x), 127, np.where(first % 2 == 0, first, last))
    return (codes + np.where(np.signbit(x), 128, 0)).astype(np.uint8)


def from_fp8(x: np.ndarray) -> np.ndarray:
    return FLOAT8[np.asarray(x)]


def quantize(w: np.ndarray, group_size: int | None, bits: int | None, mode: str) -> list[np.ndarray]:
    group, bits = format_of(mode, group_size, bits)
    w = np.asarray(w, np.float32)
    g = w.reshape(*w.shape[:-1], w.shape[-1] // group, group)
    if mode == "affine":
        low, high, last = g.min(-1), g.max(-1), np.float32(2**bits - 1)
        step = np.maximum((high - low) / last, np.float32(1e-7))
        from_low = np.abs(low) > np.abs(high)
        scale, edge = np.where(from_low, step, -step), np.where(from_low, low, high)
        steps = np.round(edge / scale)
        scale, bias = np.where(steps != 0, edge / np.where(steps == 0, 1, steps), scale), np.where(steps != 0, edge, 0)
        codes = np.clip(np.round((g - bias[..., None]) / scale[..., None]), 0, last)
        return [words_of(codes.reshape(w.shape), bits), scale, bias]
    wanted = np.abs(g).max(-1) / np.float32(6 if bits == 4 else 448)
    if mode == "nvfp4":
        scales = to_fp8(wanted)
        values = from_fp8(scales)
    else:
        scales = np.clip(np.ceil(np.log2(wanted)), -127, 127).astype(np.int64) + 127
        values = 2.0 ** (scales - 127)
    codes = (to_fp4 if bits == 4 else to_fp8)(g / values[..., None])
    return [words_of(codes.reshape(w.shape), bits), scales.astype(np.uint8)]


def dequantize(
    w: np.ndarray,
    scales: np.ndarray,
    biases: np.ndarray | None,
    group_size: int | None,
    bits: int | None,
    mode: str,
    global_scale: float | None = None,
) -> np.ndarray:
    group, bits = format_of(mode, group_size, bits)
    codes = codes_of(w, bits)
    if mode == "affine":
        return codes * np.repeat(scales, group, -1) + np.repeat(biases, group, -1)
    values = (FLOAT4 if bits == 4 else FLOAT8)[codes]
    powers = from_fp8(scales) if mode == "nvfp4" else 2.0 ** (scales.astype(np.float64) - 127)
    return values * np.repeat(powers, group, -1)


def quantized_matmul(
    x: np.ndarray,
    w: np.ndarray,
    scales: np.ndarray,
    biases: np.ndarray | None,
    transpose: bool,
    group_size: int | None,
    bits: int | None,
    mode: str,
) -> np.ndarray:
    numbers = dequantize(w, scales, biases, group_size, bits, mode)
    return np.matmul(x, np.swapaxes(numbers, -1, -2) if transpose else numbers)


def gather_qmm(
    x: np.ndarray,
    w: np.ndarray,
    scales: np.ndarray,
    biases: np.ndarray | None,
    lhs_indices: np.ndarray | None,
    rhs_indices: np.ndarray | None,
    *form: object,
) -> np.ndarray:
    picked = [a if a is None or rhs_indices is None else a[rhs_indices] for a in (w, scales, biases)]
    return quantized_matmul(x if lhs_indices is None else x[lhs_indices], *picked, *form)


def quantised(x: np.ndarray, *form: object) -> np.ndarray:
    packed = quantize(x, *form)
    return dequantize(*packed, None, *form)


def gather_qqmm(
    x: np.ndarray,
    w: np.ndarray,
    scales: np.ndarray | None,
    lhs_indices: np.ndarray | None,
    rhs_indices: np.ndarray | None,
    *form: object,
) -> np.ndarray:
    group, bits, mode = form
    numbers = quantised(w, group, bits, mode) if scales is None else dequantize(w, scales, None, group, bits, mode)
    left = quantised(x if lhs_indices is None else x[lhs_indices], group, bits, mode)
    return np.matmul(left, np.swapaxes(numbers if rhs_indices is None else numbers[rhs_indices], -1, -2))


def qqmm(x: np.ndarray, w: np.ndarray, scales: np.ndarray | None, *form: object) -> np.ndarray:
    return gather_qqmm(x, w, scales, None, None, *form)


# Fixed arguments of samples: words and codes are not what is differentiated, and any are valid.


def words(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).integers(0, 2**32, shape).astype(np.uint32)


def exponents(*shape: int) -> np.ndarray:
    """Scales of 8 bits that are small numbers in every mode."""
    return np.random.default_rng(sum(shape)).integers(118, 123, shape).astype(np.uint8)


def codes(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).integers(0, 120, shape).astype(np.uint8)


def numbers(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)
