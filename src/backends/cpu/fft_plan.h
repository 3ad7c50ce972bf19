// What transforms of one length share: factors, roots of unity computed in double, and for lengths with large prime factors
// the convolution they are turned into. Plans are cached.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "backends/cpu/fft_kernels.h"

namespace plait::cpu {

/// The loops for the machine's instruction set.
const FftKernels& fft_kernels();

/// Whether passes can transform the length: no prime factor above kMostRadix.
bool has_passes(int64_t n);

/// Transforms of many rows at a time, all in step.
struct FftPasses {
  struct Pass {
    int radix;
    int64_t m;
    std::vector<float> twiddles, roots;
  };
  std::vector<Pass> passes;

  explicit FftPasses(int64_t n);
  int64_t bytes() const;
};

/// One transform as a matrix (n1, n2): transforms of its columns, twiddles, transforms of its rows.
struct FftLong {
  int64_t n1 = 1, n2 = 1;
  int shift = 0;
  std::vector<float> lane_roots;
  std::vector<double> coarse_roots, fine_roots;
  std::shared_ptr<const FftPasses> first, second;

  explicit FftLong(int64_t n);
  int64_t bytes() const;
};

/// Any length as a convolution with a chirp (Bluestein 1970), done by transforms of length m.
struct FftChirp {
  int64_t m = 1;
  std::vector<float> chirp;  // exp(-i pi k^2 / n)
  std::vector<float> spectrum;  // of its conjugate, divided by m

  explicit FftChirp(int64_t n);
  int64_t bytes() const;
};

/// exp(-2 pi i k / n) for k up to n / 2: what turns the transform of pairs into that of real numbers.
struct FftHalf {
  std::vector<float> roots;

  explicit FftHalf(int64_t n);
  int64_t bytes() const;
};

/// The plan of a length, cached. Threads: any. The least recently made go when a kind holds more than 64 MiB; what is larger
/// than that alone is made each time. Errors: std::bad_alloc.
template <class Plan>
std::shared_ptr<const Plan> fft_plan(int64_t n);

}  // namespace plait::cpu
