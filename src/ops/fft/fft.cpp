#include "ops/create/iota.h"
#include "ops/prelude.h"
#include "ops/view/slice.h"

namespace plait {
namespace {

struct FftAttrs {
  int axis = 0;
  bool inverse = false;
  int divide = 0;  // by sqrt(n) so many times
};
struct FftRealAttrs {
  int axis = 0;
  int divide = 0;
};
struct FftToRealAttrs {
  int axis = 0;
  int divide = 0;
  Dim n = 1;
};

Array complex_transform(const FftAttrs& attrs, const Array& a) {
  static const OpHandle op("fft_complex");
  return op(attrs, {a});
}
Array from_real(const FftRealAttrs& attrs, const Array& a) {
  static const OpHandle op("fft_real");
  return op(attrs, {a});
}
Array to_real(const FftToRealAttrs& attrs, const Array& a) {
  static const OpHandle op("fft_to_real");
  return op(attrs, {a});
}

bool is_divisor(int divide) { return divide >= 0 && divide <= 2; }

// --- complex to complex ----------------------------------------------------------------------------------------------

Avals infer_complex(const FftAttrs&, std::span<const Aval> in) { return {in[0]}; }

const char* check_complex(const FftAttrs& attrs, std::span<const Aval> in) {
  const bool holds = is_axis_of(attrs.axis, in[0]) && in[0].shape[attrs.axis] >= Dim(1) && is_divisor(attrs.divide);
  return holds ? nullptr : "an axis of the array that is not empty, and a divisor from 0 to 2";
}

// The matrix of the transform is symmetric, and gradients are transposed without conjugation.
Grads vjp_complex(const FftAttrs& attrs, const VjpArgs& at) { return {complex_transform(attrs, at.cotangent())}; }
Arrays jvp_complex(const FftAttrs& attrs, const JvpArgs& at) { return {complex_transform(attrs, at.tangent(0))}; }
VmapResult vmap_complex(const FftAttrs& attrs, const VmapArgs& at) {
  return {{complex_transform({behind_batch(attrs.axis), attrs.inverse, attrs.divide}, batch_first(at, 0))}, {0}};
}

// --- real to half a spectrum and back --------------------------------------------------------------------------------

Avals infer_real(const FftRealAttrs& attrs, std::span<const Aval> in) {
  Shape shape = in[0].shape;
  shape[attrs.axis] = shape[attrs.axis] / 2 + 1;
  return {{shape, DType::complex64}};
}

const char* check_real(const FftRealAttrs& attrs, std::span<const Aval> in) {
  const bool holds = is_axis_of(attrs.axis, in[0]) && in[0].shape[attrs.axis] >= Dim(1) && is_divisor(attrs.divide);
  return holds ? nullptr : "an axis of the array that is not empty, and a divisor from 0 to 2";
}

/// How often each element of half a spectrum stands in the whole one: twice but for the first, and the last of an even length.
/// Shaped to go along `axis` of `rank` axes.
Array times_seen(Dim n, int axis, int rank) {
  const Dim half = n / 2 + 1;
  const Array k = iota(half, DType::int32);
  Array once = equal(k, Array(0));
  if (n % 2 == Dim(0)) once = logical_or(once, equal(k, extent(n / 2, DType::int32)));
  Shape shape;
  for (int i = 0; i < rank; ++i) shape.push_back(i == axis ? half : Dim(1));
  return reshape(where(once, Array(1.0f), Array(2.0f)), shape);
}

// Re sum_k g[k] w^(j k) over the half spectrum: the transform to real numbers of conj(g), which counts most elements twice.
Grads vjp_real(const FftRealAttrs& attrs, const VjpArgs& at) {
  const Array& g = at.cotangent();
  const Dim n = at.input_shape(0)[attrs.axis];
  return {to_real({attrs.axis, attrs.divide, n}, divide(conjugate(g), times_seen(n, attrs.axis, g.rank())))};
}
Arrays jvp_real(const FftRealAttrs& attrs, const JvpArgs& at) { return {from_real(attrs, at.tangent(0))}; }
VmapResult vmap_real(const FftRealAttrs& attrs, const VmapArgs& at) {
  return {{from_real({behind_batch(attrs.axis), attrs.divide}, batch_first(at, 0))}, {0}};
}

Avals infer_to_real(const FftToRealAttrs& attrs, std::span<const Aval> in) {
  Shape shape = in[0].shape;
  shape[attrs.axis] = attrs.n;
  return {{shape, DType::float32}};
}

const char* check_to_real(const FftToRealAttrs& attrs, std::span<const Aval> in) {
  const bool holds = is_axis_of(attrs.axis, in[0]) && attrs.n >= Dim(1) && in[0].shape[attrs.axis] == attrs.n / 2 + 1 &&
                     is_divisor(attrs.divide);
  return holds ? nullptr : "an axis of n / 2 + 1 elements, n of 1 or more, and a divisor from 0 to 2";
}

Grads vjp_to_real(const FftToRealAttrs& attrs, const VjpArgs& at) {
  const Array& g = at.cotangent();
  return {multiply(conjugate(from_real({attrs.axis, attrs.divide}, g)), times_seen(attrs.n, attrs.axis, g.rank()))};
}
Arrays jvp_to_real(const FftToRealAttrs& attrs, const JvpArgs& at) { return {to_real(attrs, at.tangent(0))}; }
VmapResult vmap_to_real(const FftToRealAttrs& attrs, const VmapArgs& at) {
  return {{to_real({behind_batch(attrs.axis), attrs.divide, attrs.n}, batch_first(at, 0))}, {0}};
}

// --- arguments -------------------------------------------------------------------------------------------------------

int divide_of(std::string_view op, std::string_view norm, bool inverse) {
  if (norm == "backward") return inverse ? 2 : 0;
  if (norm == "ortho") return 1;
  if (norm == "forward") return inverse ? 0 : 2;
  throw ArgumentError({.op = std::string(op),
                       .got = "norm '" + std::string(norm) + "'",
                       .accepts = "'backward', 'ortho', 'forward'",
                       .where = here()});
}

/// The first `n` along an axis, zeros behind where there are fewer.
Array resized(const Array& a, int axis, Dim n) {
  const Dim have = a.shape()[axis];
  if (have == n) return a;
  if (have > n) return slice_axis(a, axis, 0, n);
  Shape padded = a.shape();
  padded[axis] = n;
  SliceAttrs to{{}, a.shape(), {}};
  for (int i = 0; i < a.rank(); ++i) to.start.push_back(0), to.step.push_back(1);
  return slice_update_static(zeros(padded, a.dtype()), a, to);
}

struct Along {
  int axis;
  Dim n;  // of the result of the transform, or of the real numbers
};

/// The axes to transform and their lengths. `to_real`: a length that was not given is that of real numbers whose half spectrum
/// the last axis holds.
std::vector<Along> lines_of(std::string_view op, const Array& a, const std::optional<IntList>& s, const Axes& axes,
                            bool to_real) {
  const auto refuse = [&](std::string got, std::string accepts, std::string hint = "") {
    throw ArgumentError({.op = std::string(op), .got = got, .accepts = accepts, .hint = hint, .where = here()});
  };
  if (s && !axes) refuse("s without axes", "the axes that the lengths are for", "axes=[-2, -1] for the last two");
  if (!axes && a.rank() == 0) refuse("a 0-d array", "one axis or more");
  (void)checked_axes(op, axes, a.rank());
  std::vector<Along> lines;
  for (int i = 0; i < (axes ? static_cast<int>(axes->size()) : a.rank()); ++i) {
    const int axis = axes ? checked_axis(op, (*axes)[static_cast<size_t>(i)], a.rank()) : i;
    lines.push_back({axis, a.shape()[axis]});
  }
  if (s && s->size() != lines.size())
    refuse(std::to_string(s->size()) + " lengths for " + std::to_string(lines.size()) + " axes", "one for each axis");
  if (to_real && !lines.empty()) lines.back().n = (lines.back().n - 1) * 2;
  for (size_t i = 0; i < lines.size(); ++i) {
    if (s) lines[i].n = (*s)[i];
    if (lines[i].n < Dim(1))
      refuse("length " + std::to_string(lines[i].n.value()) + " along axis " + std::to_string(lines[i].axis) +
                 " of an array of shape " + to_string(a.shape()),
             "transforms of 1 or more elements", to_real ? "n gives the number of real elements" : "");
  }
  return lines;
}

std::vector<Along> line_of(std::string_view op, const Array& a, std::optional<int64_t> n, int axis, bool to_real) {
  const std::optional<IntList> s = n ? std::optional<IntList>(IntList{*n}) : std::nullopt;
  return lines_of(op, a, s, Axes{axis}, to_real);
}

Array complex_along(const Array& a, const std::vector<Along>& lines, bool inverse, int divide) {
  Array x = converted(a, DType::complex64);
  for (size_t i = lines.size(); i-- > 0;)
    x = complex_transform({lines[i].axis, inverse, divide}, resized(x, lines[i].axis, lines[i].n));
  return x;
}

Along last_of(std::string_view op, std::vector<Along>& lines) {
  if (lines.empty())
    throw ArgumentError({.op = std::string(op), .got = "no axes", .accepts = "one axis or more", .where = here()});
  const Along last = lines.back();
  lines.pop_back();
  return last;
}

Array half_spectrum(std::string_view op, const Array& a, std::vector<Along> lines, int divide) {
  const Along last = last_of(op, lines);
  const Array x = resized(converted(real(a), DType::float32), last.axis, last.n);
  return complex_along(from_real({last.axis, divide}, x), lines, false, divide);
}

Array real_again(std::string_view op, const Array& a, std::vector<Along> lines, int divide) {
  const Along last = last_of(op, lines);
  const Array x = complex_along(resized(a, last.axis, last.n / 2 + 1), lines, true, divide);
  return to_real({last.axis, divide, last.n}, x);
}

}  // namespace

namespace fft {

Array fft(const Array& a, std::optional<int64_t> n, int axis, std::string_view norm) {
  return complex_along(a, line_of("fft.fft", a, n, axis, false), false, divide_of("fft.fft", norm, false));
}
Array ifft(const Array& a, std::optional<int64_t> n, int axis, std::string_view norm) {
  return complex_along(a, line_of("fft.ifft", a, n, axis, false), true, divide_of("fft.ifft", norm, true));
}
Array rfft(const Array& a, std::optional<int64_t> n, int axis, std::string_view norm) {
  return half_spectrum("fft.rfft", a, line_of("fft.rfft", a, n, axis, false), divide_of("fft.rfft", norm, false));
}
Array irfft(const Array& a, std::optional<int64_t> n, int axis, std::string_view norm) {
  return real_again("fft.irfft", a, line_of("fft.irfft", a, n, axis, true), divide_of("fft.irfft", norm, true));
}

Array hfft(const Array& a, std::optional<int64_t> n, int axis, std::string_view norm) {
  return real_again("fft.hfft", conjugate(a), line_of("fft.hfft", a, n, axis, true),
                    divide_of("fft.hfft", norm, false));
}
Array ihfft(const Array& a, std::optional<int64_t> n, int axis, std::string_view norm) {
  return conjugate(
      half_spectrum("fft.ihfft", a, line_of("fft.ihfft", a, n, axis, false), divide_of("fft.ihfft", norm, true)));
}

#define PLAIT_FFT_OF_AXES(suffix)                                                                                 \
  Array fft##suffix(const Array& a, const std::optional<IntList>& s, const Axes& axes, std::string_view norm) {   \
    constexpr std::string_view op = "fft.fft" #suffix;                                                            \
    return complex_along(a, lines_of(op, a, s, axes, false), false, divide_of(op, norm, false));                  \
  }                                                                                                               \
  Array ifft##suffix(const Array& a, const std::optional<IntList>& s, const Axes& axes, std::string_view norm) {  \
    constexpr std::string_view op = "fft.ifft" #suffix;                                                           \
    return complex_along(a, lines_of(op, a, s, axes, false), true, divide_of(op, norm, true));                    \
  }                                                                                                               \
  Array rfft##suffix(const Array& a, const std::optional<IntList>& s, const Axes& axes, std::string_view norm) {  \
    constexpr std::string_view op = "fft.rfft" #suffix;                                                           \
    return half_spectrum(op, a, lines_of(op, a, s, axes, false), divide_of(op, norm, false));                     \
  }                                                                                                               \
  Array irfft##suffix(const Array& a, const std::optional<IntList>& s, const Axes& axes, std::string_view norm) { \
    constexpr std::string_view op = "fft.irfft" #suffix;                                                          \
    return real_again(op, a, lines_of(op, a, s, axes, true), divide_of(op, norm, true));                          \
  }
PLAIT_FFT_OF_AXES(2)
PLAIT_FFT_OF_AXES(n)
#undef PLAIT_FFT_OF_AXES

}  // namespace fft

void register_fft(OpRegistry& ops) {
  ops.opaque<FftAttrs>("fft_complex")
      .summary("Sums of a[j] exp(-2 pi i j k / n) along an axis.")
      .input("a", dtypes::complex)
      .attr("axis", &FftAttrs::axis, "the axis, not negative")
      .attr("inverse", &FftAttrs::inverse, "exp(2 pi i j k / n) instead")
      .attr("divide", &FftAttrs::divide, "divided by sqrt(n) so many times")
      .infer(infer_complex)
      .check(check_complex)
      .vjp(vjp_complex)
      .jvp(jvp_complex)
      .vmap(vmap_complex);
  ops.opaque<FftRealAttrs>("fft_real")
      .summary(
          "The first n / 2 + 1 sums of a[j] exp(-2 pi i j k / n) along an axis; the others are conjugates of these.")
      .input("a", dtype_bit(DType::float32))
      .attr("axis", &FftRealAttrs::axis, "the axis, not negative")
      .attr("divide", &FftRealAttrs::divide, "divided by sqrt(n) so many times")
      .infer(infer_real)
      .check(check_real)
      .vjp(vjp_real)
      .jvp(jvp_real)
      .vmap(vmap_real);
  ops.opaque<FftToRealAttrs>("fft_to_real")
      .summary(
          "Sums of a[k] exp(2 pi i j k / n) along an axis of n / 2 + 1 elements, whose conjugates stand for the others.")
      .input("a", dtypes::complex)
      .attr("axis", &FftToRealAttrs::axis, "the axis, not negative")
      .attr("divide", &FftToRealAttrs::divide, "divided by sqrt(n) so many times")
      .attr("n", &FftToRealAttrs::n, "elements of the result along the axis")
      .infer(infer_to_real)
      .check(check_to_real)
      .vjp(vjp_to_real)
      .jvp(jvp_to_real)
      .vmap(vmap_to_real);

  const std::string stream = ", norm: str = 'backward', stream: StreamOrDevice = None) -> array";
  const std::string norms =
      "norm: 'backward' divides the inverse by n, 'ortho' both directions by sqrt(n), 'forward' the other direction. ";
  const std::string errors =
      "Errors: ValueError for a length below 1, another norm, an axis that does not exist or is named twice.";
  const auto line = [&](const std::string& name, const char* summary, const std::string& details) {
    return ops.function(name)
        .module("core.fft")
        .signature("(a: array, n: int | None = None, axis: int = -1" + stream)
        .summary(summary)
        .details(details + norms + errors)
        .oracle("np.fft." + name +
                (name == "rfft" || name == "ihfft" ? "(np.real(a), n, axis, norm)" : "(a, n, axis, norm)"))
        .sample("(6,)")
        .sample("(2, 5)", "n=7, norm='ortho'")
        .sample("(3, 4)", "n=2, axis=0, norm='forward'")
        .sample("(0, 3)")
        .rejects("(3,)", "axis=1", "AxisError")
        .rejects("()", "", "AxisError")
        .rejects("(3,)", "n=0", "ValueError")
        .rejects("(3,)", "n=-1", "ValueError")
        .rejects("(0,)", "", "ValueError")
        .rejects("(3,)", "norm='zzz'", "ValueError");
  };
  const std::string n_of_input = "n: the axis is cut or zeros are put behind it to this length. Dtype: complex64. ";
  line("fft", "The discrete Fourier transform along an axis: sums of a[j] exp(-2 pi i j k / n).", n_of_input);
  line("ifft", "The inverse of fft along an axis.", n_of_input);
  line("rfft", "The first n / 2 + 1 elements of the transform of real numbers along an axis.",
       "The others are conjugates of these. The imaginary part of a complex array is left out. " + n_of_input);
  line(
      "irfft", "The inverse of rfft along an axis.",
      "n: length of the result, 2 (m - 1) for m elements when not given. Imaginary parts of the first element, and of the "
      "last for even n, count as 0. Dtype: float32. ");
  line(
      "hfft", "The transform of numbers whose conjugates stand for the other half along an axis: real ones.",
      "n: length of the result, 2 (m - 1) for m elements when not given. Imaginary parts of the first element, and of the "
      "last for even n, count as 0. Dtype: float32. ");
  line("ihfft", "The inverse of hfft along an axis: the first n / 2 + 1 elements.",
       "The imaginary part of a complex array is left out. " + n_of_input);

  const auto axes = [&](const std::string& name, const char* summary, bool two, const std::string& details) {
    auto f = ops.function(name)
                 .module("core.fft")
                 .signature("(a: array, s: tuple[int, ...] | None = None, axes: Sequence[int] | None = " +
                            std::string(two ? "[-2, -1]" : "None") + stream)
                 .summary(summary)
                 .details(details + norms + errors)
                 .oracle("np.fft." + name + (name[0] == 'r' ? "(np.real(a), s, axes, norm)" : "(a, s, axes, norm)"))
                 .sample("(3, 4)")
                 .sample("(2, 3, 5)", "s=(4, 4), axes=[0, -1], norm='ortho'")
                 .sample("(3, 4)", "axes=[1, 0], norm='forward'")
                 .rejects("(3, 3)", "axes=[0, 0]", "ValueError")
                 .rejects("(3, 3)", "axes=[0, 2]", "AxisError")
                 .rejects("(3, 3)", "s=(2,), axes=[0, 1]", "ValueError")
                 .rejects("(3, 3)", "s=(2, 2), axes=None", "ValueError")
                 .rejects("(3, 3)", "s=(2, 0), axes=[0, 1]", "ValueError")
                 .rejects("(3, 3)", "norm='zzz'", "ValueError");
    if (two)
      f.rejects("(3,)", "", "AxisError");
    else
      f.rejects("()", "", "ValueError");
  };
  const std::string s_of_input =
      "s: a length for each of axes, to which it is cut or filled up with zeros. Dtype: complex64. ";
  const std::string s_of_result =
      "s: a length of the result for each of axes; 2 (m - 1) for the last when not given. Dtype: float32. ";
  axes("fft2", "The transform along two axes.", true, s_of_input);
  axes("ifft2", "The inverse of fft2.", true, s_of_input);
  axes("rfft2", "The transform of real numbers along two axes; of the last one, the first n / 2 + 1 elements.", true,
       s_of_input);
  axes("irfft2", "The inverse of rfft2.", true, s_of_result);
  axes("fftn", "The transform along several axes, or all.", false, s_of_input);
  axes("ifftn", "The inverse of fftn.", false, s_of_input);
  axes("rfftn",
       "The transform of real numbers along several axes, or all; of the last one, the first n / 2 + 1 elements.",
       false, s_of_input);
  axes("irfftn", "The inverse of rfftn.", false, s_of_result);
}

}  // namespace plait
