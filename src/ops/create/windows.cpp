#include <numbers>

#include "ops/create/iota.h"
#include "ops/prelude.h"

namespace plait {
namespace {

// Sums of cosines of the place in the window, from 0 to 1.
Array cosines(int64_t m, double constant, double first, double second) {
  if (m < 1) return zeros({0});
  if (m == 1) return ones({1});
  const Array turn = iota(m, DType::float32) * (2 * std::numbers::pi / static_cast<double>(m - 1));
  const Array window = constant + cos(turn) * first;
  return second == 0 ? window : window + cos(turn * 2.0) * second;
}

}  // namespace

Array hanning(int64_t M) { return cosines(M, 0.5, -0.5, 0); }
Array hamming(int64_t M) { return cosines(M, 0.54, -0.46, 0); }
Array blackman(int64_t M) { return cosines(M, 0.42, -0.5, 0.08); }

Array bartlett(int64_t M) {
  if (M < 1) return zeros({0});
  if (M == 1) return ones({1});
  const double half = static_cast<double>(M - 1) / 2;
  return 1.0 - abs(iota(M, DType::float32) / half - 1.0);
}

void register_windows(OpRegistry& ops) {
  ops.function("hanning")
      .signature("(M: int, *, stream: StreamOrDevice = None) -> array")
      .summary("The Hann window: 0.5 - 0.5 cos(2 pi n / (M - 1)).")
      .details("Shapes: (M,), empty for M below 1. Dtype: float32.")
      .oracle("np.hanning(M)")
      .not_differentiable("it has no array operand")
      .sample("", "M=5")
      .sample("", "M=1")
      .sample("", "M=0");
  ops.function("hamming")
      .signature("(M: int, *, stream: StreamOrDevice = None) -> array")
      .summary("The Hamming window: 0.54 - 0.46 cos(2 pi n / (M - 1)).")
      .details("Shapes: (M,), empty for M below 1. Dtype: float32.")
      .oracle("np.hamming(M)")
      .not_differentiable("it has no array operand")
      .sample("", "M=5")
      .sample("", "M=1")
      .sample("", "M=0");
  ops.function("blackman")
      .signature("(M: int, *, stream: StreamOrDevice = None) -> array")
      .summary("The Blackman window: 0.42 - 0.5 cos(2 pi n / (M - 1)) + 0.08 cos(4 pi n / (M - 1)).")
      .details("Shapes: (M,), empty for M below 1. Dtype: float32.")
      .oracle("np.blackman(M)")
      .not_differentiable("it has no array operand")
      .sample("", "M=5")
      .sample("", "M=1")
      .sample("", "M=0");
  ops.function("bartlett")
      .signature("(M: int, *, stream: StreamOrDevice = None) -> array")
      .summary("The Bartlett window: a triangle from 0 to 1 and back.")
      .details("Shapes: (M,), empty for M below 1. Dtype: float32.")
      .oracle("np.bartlett(M)")
      .not_differentiable("it has no array operand")
      .sample("", "M=5")
      .sample("", "M=1")
      .sample("", "M=0");
}

}  // namespace plait
