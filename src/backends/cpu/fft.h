// Fast Fourier transforms of lines of complex64.
//
// Several lines at a time stand in the lanes of vectors, or one long line is a matrix whose columns do: either way a
// pass meets whole rows of lanes (targets/fft.cpp). Lengths with a prime factor above kMostRadix are convolutions.
#pragma once

#include <cstdint>
#include <memory>

#include "backends/cpu/fft_plan.h"

namespace plait::cpu {

/// Lines in memory: element j of line l at data + 2 (j step + l next).
struct FftLines {
  float* data;
  int64_t step, next;
};

/// How the lines of a call lie: how many there are, and whether they are neighbours in both memories (next is 1).
struct FftBatch {
  int64_t lines;
  bool neighbours;
};

/// Sums over j of x[j] exp(-+2 pi i j k / n), times scale.
///
/// The result does not depend on threads, but in its last bits on the batch: few lines are done one by one, many together.
/// Threads: any number may use one object. Errors: std::bad_alloc.
class Fft {
 public:
  Fft(int64_t n, bool inverse, float scale, FftBatch batch);

  /// How many lines `run` takes at most.
  int64_t group() const { return passes_ ? kernels_.lanes : 1; }
  /// Whether one line is worth several threads: `run` spreads it over the pool.
  bool spreads() const;
  /// `from` and `to` are the same memory, step and next or do not overlap.
  void run(const FftLines& from, const FftLines& to, int64_t lines) const;

 private:
  void run_together(const FftLines& from, const FftLines& to, int64_t lines) const;
  void run_long(const FftLines& from, const FftLines& to) const;
  void run_chirp(const FftLines& from, const FftLines& to) const;

  const FftKernels& kernels_;
  int64_t n_;
  bool inverse_;
  float scale_;
  std::shared_ptr<const FftPasses> passes_;  // one of the three
  std::shared_ptr<const FftLong> long_;
  std::shared_ptr<const FftChirp> chirp_;
  std::unique_ptr<Fft> forth_, back_;  // of a chirp
};

}  // namespace plait::cpu
