"""Transforms against NumPy in double precision: every length, layout and direction, and what bad numbers do."""

import threading
from collections.abc import Callable

import numpy as np
import pytest

import plait.core as pc

LENGTHS = [*range(1, 201), 256, 343, 512, 1000, 1001, 1024, 1331, 2048, 3721, 4096, 5040, 6561, 8192, 15625]
PRIMES = [211, 499, 1009, 2003, 4093, 10007]
RNG = np.random.default_rng(7)


def tolerance(n: int) -> float:
    """Of the error's norm against the result's."""
    return 2.0**-24 * (2 + np.log2(n))


def complex_numbers(*shape: int) -> np.ndarray:
    return (RNG.standard_normal(shape) + 1j * RNG.standard_normal(shape)).astype(np.complex64)


def assert_near(got: pc.array, want: np.ndarray, n: int) -> None:
    have = np.array(got)
    assert have.shape == want.shape
    assert np.linalg.norm(have - want) <= tolerance(n) * np.linalg.norm(want), f"n = {n}"


@pytest.mark.parametrize("lines", [1, 3, 40])
@pytest.mark.parametrize("name", ["fft", "ifft", "rfft", "irfft"])
def test_lengths(name: str, lines: int) -> None:
    for n in LENGTHS + PRIMES:
        if lines == 40 and n > 2100:
            continue
        x = complex_numbers(lines, n // 2 + 1 if name == "irfft" else n)
        if name == "rfft":
            x = x.real
        length = {"n": n} if name == "irfft" else {}
        assert_near(
            getattr(pc.fft, name)(pc.array(x), **length),
            getattr(np.fft, name)(x.astype(np.complex128) if x.dtype.kind == "c" else x.astype(np.float64), **length),
            n,
        )


@pytest.mark.parametrize("n", [1 << 15, 1 << 20, 3 * 5 * 7 * 11 * 13 * 8, 100003, 65537])
def test_long_lines(n: int) -> None:
    x = complex_numbers(n)
    wide = x.astype(np.complex128)
    assert_near(pc.fft.fft(pc.array(x)), np.fft.fft(wide), n)
    assert_near(pc.fft.ifft(pc.array(x)), np.fft.ifft(wide), n)
    assert_near(pc.fft.rfft(pc.array(x.real)), np.fft.rfft(wide.real), n)
    assert_near(pc.fft.irfft(pc.array(x[: n // 2 + 1]), n), np.fft.irfft(wide[: n // 2 + 1], n), n)
    pair = pc.array(np.stack([x, x[::-1]]))
    assert_near(pc.fft.fft(pair)[1], np.fft.fft(wide[::-1]), n)


LAYOUTS: dict[str, Callable[[pc.array], pc.array]] = {
    "transposed": lambda x: x.transpose(2, 0, 1),
    "reversed": lambda x: x[::-1, :, ::-1],
    "stepped": lambda x: x[:, ::2, 1::3],
    "broadcast": lambda x: pc.broadcast_to(x[:, :1], x.shape),
    "one number": lambda x: pc.broadcast_to(x[:1, :1, :1], x.shape),
    "moved": lambda x: pc.moveaxis(x, 0, 1),
}


@pytest.mark.parametrize("shape", [(5, 6, 9), (33, 20, 5), (3, 70, 17), (2, 129, 4), (70, 68, 3)])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_and_axes(layout: str, shape: tuple[int, ...]) -> None:
    x = LAYOUTS[layout](pc.array(complex_numbers(*shape)))
    wide = np.array(x).astype(np.complex128)
    for axis in range(-1, 2):
        n = wide.shape[axis]
        assert_near(pc.fft.fft(x, axis=axis), np.fft.fft(wide, axis=axis), n)
        assert_near(pc.fft.rfft(pc.real(x), axis=axis), np.fft.rfft(wide.real, axis=axis), n)
        real = LAYOUTS[layout](pc.array(RNG.standard_normal(shape, np.float32)))
        assert_near(pc.fft.rfft(real, axis=axis), np.fft.rfft(np.array(real).astype(np.float64), axis=axis), n)
        for length in (n, 2 * n - 2, 2 * n - 1):
            if length > 0:
                assert_near(pc.fft.irfft(x, length, axis), np.fft.irfft(wide, length, axis), length)
    assert_near(pc.fft.fftn(x), np.fft.fftn(wide), wide.size)
    assert_near(pc.fft.irfftn(x, (4, 6, 7), [0, 1, 2]), np.fft.irfftn(wide, (4, 6, 7), (0, 1, 2)), 168)


@pytest.mark.parametrize("norm", ["backward", "ortho", "forward"])
@pytest.mark.parametrize("n", [1, 3, 8, 20])
def test_lengths_and_norms(n: int, norm: str) -> None:
    x = complex_numbers(4, 8)
    wide = x.astype(np.complex128)
    for axis in (0, 1):
        for name in ("fft", "ifft", "irfft"):
            got = getattr(pc.fft, name)(pc.array(x), n, axis, norm)
            assert_near(got, getattr(np.fft, name)(wide, n, axis, norm), n)
        assert_near(pc.fft.rfft(pc.array(x.real), n, axis, norm), np.fft.rfft(wide.real, n, axis, norm), n)
    for name in ("fft2", "ifft2", "fftn", "ifftn", "irfft2", "irfftn"):
        got = getattr(pc.fft, name)(pc.array(x), (n, 5), [1, 0], norm)
        assert_near(got, getattr(np.fft, name)(wide, (n, 5), [1, 0], norm), 5 * n)


@pytest.mark.parametrize("n", [5, 8, 64, 67, 100, 300, 1024])
def test_inverses(n: int) -> None:
    x = complex_numbers(3, n)
    assert_near(pc.fft.ifft(pc.fft.fft(pc.array(x))), x, n * n)
    assert_near(pc.fft.irfft(pc.fft.rfft(pc.array(x.real)), n), x.real, n * n)


def test_dtypes() -> None:
    for dtype in (pc.bool_, pc.int8, pc.uint64, pc.float16, pc.bfloat16, pc.float32, pc.float64, pc.complex64):
        a = pc.array([1, 0, 1, 1]).astype(dtype)
        assert pc.fft.fft(a).dtype == pc.complex64 and pc.fft.fft(a).tolist() == [3, 1j, 1, -1j]
        assert pc.fft.rfftn(a).dtype == pc.complex64 and pc.fft.rfftn(a).tolist() == [3, 1j, 1]
        assert pc.fft.irfft(a).dtype == pc.float32


def test_numbers_that_are_not_finite_stay_in_their_line() -> None:
    for n in (8, 67, 100, 1024):
        x = np.ones((20, n), np.complex64)
        x[3, 1], x[5, 2] = np.nan, np.inf
        for transformed in (pc.fft.fft(pc.array(x)), pc.fft.rfft(pc.array(x.real))):
            good = np.isfinite(np.array(transformed)).all(axis=1)
            assert np.isnan(np.array(transformed)[3]).all()
            assert good.tolist() == [i not in (3, 5) for i in range(20)]


def test_empty_batches() -> None:
    assert pc.fft.fft(pc.zeros((0, 4))).shape == (0, 4)
    assert pc.fft.rfft(pc.zeros((3, 0, 5))).shape == (3, 0, 3)
    assert pc.fft.irfft(pc.zeros((4, 0)), 7, 0).shape == (7, 0)
    assert pc.fft.fftn(pc.zeros((0, 4)), axes=[1]).shape == (0, 4)
    with pytest.raises(ValueError, match="length 0"):
        pc.fft.fft(pc.zeros((0, 4)), axis=0)


def test_no_axes() -> None:
    x = pc.array([[1.0, 2.0]])
    assert pc.fft.fftn(x, axes=[]).dtype == pc.complex64
    for name in ("rfftn", "irfftn"):
        with pytest.raises(ValueError, match="no axes"):
            getattr(pc.fft, name)(x, axes=[])


def test_threads_share_plans() -> None:
    inputs = [complex_numbers(n) for n in (60, 67, 1000, 4099) for _ in range(4)]
    results: list[np.ndarray | None] = [None] * len(inputs)

    def work(i: int) -> None:
        results[i] = np.array(pc.fft.fft(pc.array(inputs[i])))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(inputs))]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    for x, y in zip(inputs, results, strict=True):
        assert y is not None
        np.testing.assert_array_equal(y, np.array(pc.fft.fft(pc.array(x))))


def test_a_compiled_transform_serves_other_lengths() -> None:
    def smooth(x: pc.array) -> pc.array:
        return pc.fft.irfft(pc.fft.rfft(x) * 0.5, x.shape[-1])

    compiled = pc.compile(smooth)
    for n in (8, 12, 9, 33):
        x = RNG.standard_normal((3, n), np.float32)
        np.testing.assert_allclose(np.array(compiled(pc.array(x))), x / 2, atol=1e-6)


def test_gradient_is_the_adjoint() -> None:
    x, w = RNG.standard_normal(12, np.float32), complex_numbers(7)

    def power(a: pc.array) -> pc.array:
        return (pc.abs(pc.fft.rfft(a) * pc.array(w)) ** 2).sum()

    step = 1e-3
    slopes = []
    for i in range(12):
        ahead, behind = x.astype(np.float64), x.astype(np.float64)
        ahead[i] += step
        behind[i] -= step
        values = [(np.abs(np.fft.rfft(v) * w) ** 2).sum() for v in (ahead, behind)]
        slopes.append((values[0] - values[1]) / (2 * step))
    np.testing.assert_allclose(np.array(pc.grad(power)(pc.array(x))), slopes, rtol=1e-4, atol=1e-3)


def hann(n: int) -> pc.array:
    return pc.array(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n) / n), dtype=pc.float32)


@pytest.mark.parametrize(
    ("n_fft", "hop", "window"), [(8, 2, None), (8, 4, hann(8)), (9, 3, hann(7)), (16, 5, None), (5, 1, hann(5))]
)
@pytest.mark.parametrize("norm", ["backward", "ortho", "forward"])
def test_istft_undoes_stft(n_fft: int, hop: int, window: pc.array | None, norm: str) -> None:
    x = pc.array(RNG.standard_normal((2, 41), np.float32))
    for onesided in (True, False):
        spectra = pc.fft.stft(x, n_fft, hop, window=window, norm=norm, onesided=onesided)
        again = pc.fft.istft(spectra, n_fft, hop, window=window, norm=norm, onesided=onesided, length=41)
        covered = slice(0, spectra.shape[-1] * hop)
        np.testing.assert_allclose(np.array(again)[:, covered], np.array(x)[:, covered], atol=2e-6)


def test_frames() -> None:
    x = pc.array(RNG.standard_normal(50, np.float32))
    assert pc.fft.stft(x).shape == (1025, 1)
    assert pc.fft.stft(x, 8).shape == (5, 26) and pc.fft.stft(x, 8, center=False).shape == (5, 22)
    assert pc.fft.stft(x, 8, onesided=False).shape == pc.fft.stft(x * 1j, 8).shape == (8, 26)
    assert pc.fft.stft(x.reshape(2, 5, 5), 4).shape == (2, 5, 3, 6)
    assert pc.fft.istft(pc.fft.stft(x, 8)).shape == (50,)
    assert pc.fft.istft(pc.fft.stft(x, 8, 20), hop_length=20).shape == (40,)  # samples between the frames are 0
    assert pc.fft.istft(pc.fft.stft(x, 8), length=60).tolist()[54:] == [0.0] * 6
    np.testing.assert_allclose(
        np.array(pc.fft.stft(x, 8, window=pc.ones(4))), np.array(pc.fft.stft(x, 8, win_length=4))
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: pc.fft.stft(x + 1j, 8, onesided=True), "complex numbers"),
        (lambda x: pc.fft.stft(x, 8, window=pc.ones(9)), "window of 9"),
        (lambda x: pc.fft.istft(pc.fft.stft(x, 8), 10), "5 frequencies"),
        (lambda x: pc.fft.istft(pc.fft.stft(x, 8), 8, onesided=False), "5 frequencies"),
        (lambda x: pc.fft.istft(pc.fft.stft(x, 8), 8, window=pc.ones(8) * 1j), "complex window"),
    ],
)
def test_bad_frames(call: Callable[[pc.array], pc.array], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(pc.array(RNG.standard_normal(50, np.float32)))


def test_gradient_through_frames() -> None:
    x, window = RNG.standard_normal(20, np.float32), hann(6)

    def power(a: pc.array) -> pc.array:
        return (pc.abs(pc.fft.stft(a, 6, 2, window=window)) ** 2).sum()

    # The sum of squares is a quadratic form: its gradient along x is twice its value.
    np.testing.assert_allclose(
        float((pc.grad(power)(pc.array(x)) * pc.array(x)).sum()), 2 * power(pc.array(x)).item(), rtol=1e-5
    )
