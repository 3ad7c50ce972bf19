#pragma once

#include <array>

#include "backends/kernel.h"

namespace plait {

/// The three values a convolution ties together: input x (n, in..., groups c), weight w (groups o, kernel..., c) and
/// output y (n, out..., groups o), with
///
///   y[n, p, g, o] = sum over k, c of x[n, p stride + k dilation - padding, g, c] w[g, o, k, c]
///
/// where x is zero outside. Each of the three kernels makes one of them from the other two. Spatial axes are filled up
/// to three with leading ones of extent 1.
struct ConvGeometry {
  using Extents = std::array<int64_t, 3>;
  int64_t n = 0, groups = 1, c = 0, o = 0;  // c and o per group
  Extents in{1, 1, 1}, kernel{1, 1, 1}, out{1, 1, 1};
  Extents stride{1, 1, 1}, dilation{1, 1, 1}, padding{0, 0, 0};
  bool operator==(const ConvGeometry&) const = default;

  int64_t in_count() const { return in[0] * in[1] * in[2]; }
  int64_t kernel_count() const { return kernel[0] * kernel[1] * kernel[2]; }
  int64_t out_count() const { return out[0] * out[1] * out[2]; }
  int64_t x_channels() const { return groups * c; }
  int64_t y_channels() const { return groups * o; }
  int64_t multiplications() const { return n * out_count() * kernel_count() * groups * c * o; }

  /// Flat position in x that output `p` (of out_count) sees through element `k` of the kernel; -1 outside.
  int64_t input_at(int64_t p, int64_t k) const {
    int64_t at = 0;
    const Extents ps = split(p, out), ks = split(k, kernel);
    for (size_t i = 0; i < 3; ++i) {
      const int64_t q = ps[i] * stride[i] + ks[i] * dilation[i] - padding[i];
      if (q < 0 || q >= in[i]) return -1;
      at = at * in[i] + q;
    }
    return at;
  }
  /// Flat position of the output that sees position `q` of x through element `k`; -1 where there is none.
  int64_t output_at(int64_t q, int64_t k) const {
    int64_t at = 0;
    const Extents qs = split(q, in), ks = split(k, kernel);
    for (size_t i = 0; i < 3; ++i) {
      const int64_t from = qs[i] + padding[i] - ks[i] * dilation[i];
      if (from < 0 || from % stride[i] != 0 || from / stride[i] >= out[i]) return -1;
      at = at * out[i] + from / stride[i];
    }
    return at;
  }
  static Extents split(int64_t at, const Extents& extents) {
    return {at / (extents[1] * extents[2]), at / extents[2] % extents[1], at % extents[2]};
  }

  /// Whichever of the three are inputs of `args`, and whichever is its output.
  PLAIT_API static ConvGeometry of(const KernelArgs& args, const TensorView& x, const TensorView& w,
                                   const TensorView& y);
};

}  // namespace plait
