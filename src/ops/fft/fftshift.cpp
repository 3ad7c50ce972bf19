#include <cmath>

#include "ops/create/iota.h"
#include "ops/prelude.h"
#include "ops/view/roll.h"

namespace plait {
namespace {

/// Every axis rolled by the rounded half of its extent, forwards or back.
Array shifted(std::string_view op, const Array& a, const Axes& axes, bool back) {
  std::vector<int> all;
  for (int i = 0; i < a.rank(); ++i) all.push_back(i);
  Array out = a;
  for (const int i : axes ? *axes : all) {
    const int axis = checked_axis(op, i, a.rank());
    const Dim n = a.shape()[axis], half = n / 2;
    out = rolled(out, axis, back ? n - half : half);
  }
  return out;
}

/// k / (n d) for each of the integers, rounded once.
Array frequencies(std::string_view op, const Array& k, int64_t n, double d) {
  if (d == 0 || std::isnan(d))
    throw ArgumentError({.op = std::string(op),
                         .got = "a spacing of " + std::to_string(d),
                         .accepts = "a number that is not 0",
                         .where = here()});
  return converted(converted(k, DType::float64) / (static_cast<double>(n) * d), DType::float32);
}

int64_t checked_length(std::string_view op, int64_t n) {
  if (n < 1)
    throw ArgumentError(
        {.op = std::string(op), .got = "n = " + std::to_string(n), .accepts = "1 or more", .where = here()});
  return n;
}

}  // namespace

namespace fft {

Array fftfreq(int64_t n, double d) {
  const Array k = iota(checked_length("fft.fftfreq", n), DType::int64);
  const Array last = Array(Scalar((n - 1) / 2), DType::int64), turn = Array(Scalar(n), DType::int64);
  return frequencies("fft.fftfreq", where(less_equal(k, last), k, subtract(k, turn)), n, d);
}
Array rfftfreq(int64_t n, double d) {
  return frequencies("fft.rfftfreq", iota(checked_length("fft.rfftfreq", n) / 2 + 1, DType::int64), n, d);
}

Array fftshift(const Array& a, const Axes& axes) { return shifted("fft.fftshift", a, axes, false); }
Array ifftshift(const Array& a, const Axes& axes) { return shifted("fft.ifftshift", a, axes, true); }

}  // namespace fft

void register_fftshift(OpRegistry& ops) {
  const auto frequency = [&](const std::string& name, const char* summary, const char* shape) {
    ops.function(name)
        .module("core.fft")
        .signature("(n: int, d: float = 1.0, stream: StreamOrDevice = None) -> array")
        .summary(summary)
        .details("d: the distance between samples. Shapes: " + std::string(shape) +
                 ". Dtype: float32. Errors: ValueError for n below 1, d of 0.")
        .oracle("np.fft." + name + "(n, d)")
        .not_differentiable("it has no array operand")
        .sample("", "n=5")
        .sample("", "n=8, d=0.25")
        .sample("", "n=1")
        .rejects("", "n=0", "ValueError")
        .rejects("", "n=-3", "ValueError")
        .rejects("", "n=4, d=0.0", "ValueError")
        .rejects("", "n=4, d=float('nan')", "ValueError");
  };
  frequency("fftfreq", "The frequencies of the elements of fft: 0, 1, ..., then the negative ones, over n d.", "(n,)");
  frequency("rfftfreq", "The frequencies of the elements of rfft: 0, 1, ..., n / 2, over n d.", "(n / 2 + 1,)");

  const auto shift = [&](const std::string& name, const char* summary) {
    ops.function(name)
        .module("core.fft")
        .signature("(a: array, axes: int | Sequence[int] | None = None, stream: StreamOrDevice = None) -> array")
        .summary(summary)
        .details(
            "axes: one, several, or None for all; one that is named twice is moved twice. Errors: ValueError and "
            "IndexError for an axis that does not exist.")
        .oracle("np.fft." + name + "(a, axes) if np.ndim(a) else a")
        .sample("(5,)")
        .sample("(4, 5)")
        .sample("(4, 5)", "axes=0")
        .sample("(2, 3, 5)", "axes=[0, -1]")
        .sample("(0, 3)")
        .sample("()")
        .rejects("(3,)", "axes=1", "AxisError");
  };
  shift("fftshift", "The element of frequency 0 moved from the front of each axis to its middle.");
  shift("ifftshift", "The inverse of fftshift.");
}

}  // namespace plait
