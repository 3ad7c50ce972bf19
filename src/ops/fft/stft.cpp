#include "ops/create/iota.h"
#include "ops/index/scatter.h"
#include "ops/prelude.h"
#include "ops/view/slice.h"
#include "plait/more_ops.h"

namespace plait {
namespace {

void refuse(std::string_view op, std::string got, std::string accepts, std::string hint = "") {
  throw ArgumentError({.op = std::string(op),
                       .got = std::move(got),
                       .accepts = std::move(accepts),
                       .hint = std::move(hint),
                       .where = here()});
}

bool is_complex(DType d) { return d == DType::complex64; }
DType kept(DType d) { return is_complex(d) ? d : DType::float32; }

/// How a signal is cut into frames.
struct Framing {
  int64_t n, hop;
  Array window;  // (n,), or undefined for ones
};

Framing framing_of(std::string_view op, int64_t n, std::optional<int64_t> hop, std::optional<int64_t> win_length,
                   const std::optional<Array>& window) {
  if (n < 1) refuse(op, "n_fft = " + std::to_string(n), "1 or more");
  Framing to{n, hop.value_or(std::max<int64_t>(n / 4, 1)), Array()};
  if (to.hop < 1) refuse(op, "hop_length = " + std::to_string(to.hop), "1 or more");
  if (window && window->rank() != 1) refuse(op, "a window of shape " + to_string(window->shape()), "one axis");
  const Dim length = window ? window->shape()[0] : Dim(win_length.value_or(n));
  if (length < Dim(1) || length > Dim(n))
    refuse(op, "a window of " + std::to_string(length.value()) + " elements", "1 to n_fft, " + std::to_string(n));
  if (!window && length == Dim(n)) return to;
  const Array ones_or_window = window ? converted(*window, kept(window->dtype())) : ones({length});
  const int64_t before = (n - length.fixed()) / 2;
  to.window = pad(ones_or_window, {{before, n - length.fixed() - before}});
  return to;
}

/// Positions in the signal: (frames, n).
Array positions(Dim frames, const Framing& framing) {
  const Array first = reshape(iota(frames, DType::int64), {frames, Dim(1)});
  return add(multiply(first, Array(Scalar(framing.hop), DType::int64)), iota(framing.n, DType::int64));
}

/// Frames (..., frames, n) added up where they lie: (..., samples).
Array overlapped(const Array& frames, const Array& at, Dim samples) {
  Shape batch = frames.shape();
  batch.pop_back();
  batch.pop_back();
  const Dim places = at.shape().count(), many = batch.count();
  const Array columns = transpose(reshape(frames, {many, places}));
  const Array sum =
      scatter_rows(zeros({samples, many}, frames.dtype()), reshape(at, {places}), columns, ScatterMode::add);
  batch.push_back(samples);
  return reshape(transpose(sum), batch);
}

/// `length` elements of the last axis from `start` on, zeros where there are none.
Array piece(const Array& a, int64_t start, int64_t length) {
  const int last = a.rank() - 1;
  const Dim have = a.shape()[last] - start;
  if (have >= Dim(length)) return slice_axis(a, last, start, length);
  const Array rest = slice_axis(a, last, start, have);
  Shape lacking = rest.shape();
  lacking[last] = Dim(length) - have;
  return concatenate({rest, zeros(lacking, a.dtype())}, last);
}

}  // namespace

namespace fft {

Array stft(const Array& x, int64_t n_fft, std::optional<int64_t> hop_length, std::optional<int64_t> win_length,
           const std::optional<Array>& window, bool center, std::string_view pad_mode, std::string_view norm,
           std::optional<bool> onesided) {
  constexpr std::string_view op = "fft.stft";
  if (x.rank() == 0) refuse(op, "a 0-d array", "one axis or more");
  const Framing framing = framing_of(op, n_fft, hop_length, win_length, window);
  const std::string_view modes[] = {"reflect", "constant", "edge", "symmetric"};
  if (std::find(std::begin(modes), std::end(modes), pad_mode) == std::end(modes))
    refuse(op, "pad_mode '" + std::string(pad_mode) + "'", "'reflect', 'constant', 'edge', 'symmetric'");
  const bool is_complex_signal =
      is_complex(x.dtype()) || (framing.window.defined() && is_complex(framing.window.dtype()));
  if (onesided.value_or(false) && is_complex_signal)
    refuse(op, "onesided=True for complex numbers", "real numbers", "onesided=False gives the whole spectrum");

  Array signal = converted(x, kept(x.dtype()));
  const int last = x.rank() - 1;
  if (center && signal.shape()[last] > Dim(0)) {
    std::vector<std::pair<int64_t, int64_t>> widths(static_cast<size_t>(x.rank()));
    widths.back() = {n_fft / 2, n_fft / 2};
    signal = pad(signal, widths, pad_mode);
  }
  if (x.shape()[last] < Dim(1) || signal.shape()[last] < Dim(n_fft))
    refuse(op, "a signal of " + std::to_string(x.shape()[last].value()) + " elements",
           center ? "1 or more" : std::to_string(n_fft) + " or more, which is n_fft");
  const Dim frames = (signal.shape()[last] - n_fft) / framing.hop + 1;
  Array cut = take(signal, positions(frames, framing), last);
  if (framing.window.defined()) cut = multiply(cut, framing.window);
  const Array spectra =
      onesided.value_or(!is_complex_signal) ? rfft(cut, std::nullopt, -1, norm) : fft(cut, std::nullopt, -1, norm);
  return swapaxes(spectra, -1, -2);
}

Array istft(const Array& stft_matrix, std::optional<int64_t> n_fft, std::optional<int64_t> hop_length,
            std::optional<int64_t> win_length, const std::optional<Array>& window, bool center, std::string_view norm,
            std::optional<bool> onesided, std::optional<int64_t> length) {
  constexpr std::string_view op = "fft.istft";
  const Array& s = stft_matrix;
  if (s.rank() < 2) refuse(op, "an array of shape " + to_string(s.shape()), "two axes or more: frequencies and frames");
  const Dim bins = s.shape()[s.rank() - 2], frames = s.shape()[s.rank() - 1];
  if (bins < Dim(1) || frames < Dim(1)) refuse(op, "an array of shape " + to_string(s.shape()), "one frame or more");
  const bool half = onesided.value_or(!n_fft || bins == Dim(*n_fft / 2 + 1) || bins != Dim(*n_fft));
  const int64_t n = n_fft ? *n_fft : (half ? (bins - 1) * 2 : bins).fixed();
  const Framing framing = framing_of(op, n, hop_length, win_length, window);
  if (bins != Dim(half ? n / 2 + 1 : n))
    refuse(op, std::to_string(bins.value()) + " frequencies for n_fft = " + std::to_string(n),
           std::to_string(half ? n / 2 + 1 : n) + " with onesided=" + (half ? "True" : "False"));
  if (framing.window.defined() && is_complex(framing.window.dtype()))
    throw DTypeError({.op = std::string(op), .got = "a complex window", .accepts = "real numbers", .where = here()});
  if (length && *length < 0) refuse(op, "length = " + std::to_string(*length), "0 or more");

  const Array spectra = swapaxes(s, -1, -2);
  Array cut = half ? irfft(spectra, n, -1, norm) : real(ifft(spectra, std::nullopt, -1, norm));
  if (framing.window.defined()) cut = multiply(cut, framing.window);
  const Array at = positions(frames, framing);
  const Dim samples = (frames - 1) * framing.hop + n;
  const Array square = framing.window.defined() ? multiply(framing.window, framing.window) : ones({Dim(n)});
  const Array weight = overlapped(broadcast_to(square, at.shape()), at, samples);
  const Array nothing = equal(weight, zeros_like(weight));
  const Array sum = overlapped(cut, at, samples);
  const Array whole = where(nothing, zeros_like(sum), divide(sum, where(nothing, ones_like(weight), weight)));
  const int64_t rim = center ? n / 2 : 0;
  if (length) return piece(whole, rim, *length);
  return slice_axis(whole, whole.rank() - 1, rim, samples - 2 * rim);
}

}  // namespace fft

void register_stft(OpRegistry& ops) {
  ops.function("stft")
      .module("core.fft")
      .signature(
          "(x: array, n_fft: int = 2048, hop_length: int | None = None, win_length: int | None = None, window: array | None "
          "= None, center: bool = True, pad_mode: str = 'reflect', norm: str = 'backward', onesided: bool | None = None, "
          "stream: StreamOrDevice = None) -> array")
      .summary("Short-time Fourier transform: spectra of the overlapping frames of a signal.")
      .details(
          "Shapes: x (..., samples) -> (..., frequencies, frames). hop_length: between the starts of frames, n_fft / 4 "
          "when not given. window: up to n_fft factors, in the middle of the frame, or win_length ones. center: frame t has "
          "its middle at t hop_length; the signal is padded by n_fft / 2 on both sides in the mode of `pad`. onesided: the "
          "first n_fft / 2 + 1 frequencies, as rfft; when not given, for real signals. Dtype: complex64. Errors: ValueError "
          "for a signal too short, a window too long, numbers below 1, onesided=True for complex numbers.")
      .oracle("oracle.stft(x, n_fft, hop_length, win_length, window, center, pad_mode, norm, onesided)")
      .sample("(9,)", "n_fft=4")
      .sample("(2, 11), (3,)", "n_fft=5, hop_length=2, win_length=3, pad_mode='constant', norm='ortho'")
      .sample("(9,)", "n_fft=4, win_length=2, center=False, onesided=False, norm='forward'")
      .sample("(0, 6)", "n_fft=4")
      .rejects("()", "n_fft=4", "ValueError")
      .rejects("(9,)", "n_fft=0", "ValueError")
      .rejects("(9,)", "n_fft=4, hop_length=0", "ValueError")
      .rejects("(9,)", "n_fft=4, win_length=5", "ValueError")
      .rejects("(9,)", "n_fft=4, win_length=0", "ValueError")
      .rejects("(9,), (5,)", "n_fft=4, hop_length=1, win_length=None", "ValueError")
      .rejects("(9,), (2, 2)", "n_fft=4, hop_length=1, win_length=None", "ValueError")
      .rejects("(9,)", "n_fft=4, pad_mode='zzz'", "ValueError")
      .rejects("(9,)", "n_fft=4, norm='zzz'", "ValueError")
      .rejects("(3,)", "n_fft=4, center=False", "ValueError")
      .rejects("(0,)", "n_fft=4", "ValueError");
  ops.function("istft")
      .module("core.fft")
      .signature(
          "(stft_matrix: array, n_fft: int | None = None, hop_length: int | None = None, win_length: int | None = None, "
          "window: array | None = None, center: bool = True, norm: str = 'backward', onesided: bool | None = None, length: int "
          "| None = None, stream: StreamOrDevice = None) -> array")
      .summary("The signal whose stft, with the same arguments, comes closest in the sum of squares.")
      .details(
          "Shapes: (..., frequencies, frames) -> (..., samples). n_fft: from the number of frequencies when not given. "
          "length: the signal is cut or zeros are put behind it. Samples that no window reaches are 0. Dtype: float32; of a "
          "complex signal the real part. Errors: ValueError for numbers of frequencies, windows and lengths that do not fit. "
          "Source: Griffin and Lim, 1984, \"Signal estimation from modified short-time Fourier transform\".")
      .oracle("oracle.istft(stft_matrix, n_fft, hop_length, win_length, window, center, norm, onesided, length)")
      .sample("(3, 5)")
      .sample("(2, 3, 4)", "n_fft=5, hop_length=2, win_length=3, norm='ortho', length=11")
      .sample("(4, 5)", "n_fft=4, onesided=False, center=False, win_length=2, norm='forward', length=3")
      .rejects("(3,)", "", "ValueError")
      .rejects("(0, 5)", "", "ValueError")
      .rejects("(3, 0)", "", "ValueError")
      .rejects("(3, 5)", "n_fft=7", "ValueError")
      .rejects("(3, 5)", "n_fft=0", "ValueError")
      .rejects("(3, 5)", "hop_length=0", "ValueError")
      .rejects("(3, 5)", "win_length=5", "ValueError")
      .rejects("(3, 5)", "length=-1", "ValueError")
      .rejects("(3, 5)", "norm='zzz'", "ValueError");
}

}  // namespace plait
