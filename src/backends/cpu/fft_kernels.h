// Loops of the fast Fourier transform, once per instruction set.
//
// Only plain declarations here: this header is seen by sources of every instruction set. Complex numbers in "planes" have their
// real and imaginary parts apart; elsewhere they are pairs of floats, and steps between them count pairs.
#pragma once

#include <cstdint>

namespace plait::cpu {

/// The largest prime that a pass takes; lengths with a larger one go through a convolution.
inline constexpr int kMostRadix = 61;

/// One pass (Stockham) over transforms of rows: `in_row` floats lie between the rows of the input, `row` between those of the
/// output, which are as long; a multiple of the lanes. Row j of m * radix rows that are left to transform meets rows
/// j + m, j + 2 m, ...; `twiddles` holds w^(p i) for p < m, 0 < i < radix, `roots` the powers of the radix's own root.
struct FftPass {
  int radix;
  int64_t m, row, in_row;
  const float *twiddles, *roots;
  const float *re, *im;
  float *to_re, *to_im;
};

/// Complex numbers in memory, element (r, c) at data + 2 (r row + c column).
struct FftGrid {
  float* data;
  int64_t row, column, rows, columns;
};

/// A block of columns of the first half of a long transform, times the twiddles between the halves, transposed.
struct FftTwist {
  const float *re, *im;  // (n1, columns), of the columns from `first` on
  int64_t columns, first, n1, n2;
  const float* lane_roots;  // (n1, 2, lanes): real and imaginary parts of w^(k l)
  const double *coarse_roots, *fine_roots;  // w^(e >> shift << shift), w^(e & (1 << shift) - 1), as pairs
  int shift;
  float *to_re, *to_im;  // (n2, to_row)
  int64_t to_row;
};

/// to[k] = scale * a[k] * b[k], a and to conjugated where asked.
struct FftProduct {
  const float* a;
  int64_t a_step;
  bool conjugate_a;
  const float* b;
  float* to;
  int64_t to_step;
  bool conjugate_to;
  float scale;
  int64_t n;
};

struct FftKernels {
  int lanes;
  void (*pass)(const FftPass&);
  /// Grid to planes with `ld` floats to a row, zeros behind the columns; exchange: real and imaginary parts change places.
  void (*split)(const FftGrid& from, float* re, float* im, int64_t ld, bool exchange);
  /// Planes to grid, multiplied by scale.
  void (*join)(const float* re, const float* im, int64_t ld, const FftGrid& to, bool exchange, float scale);
  void (*twist)(const FftTwist&);
  void (*multiply)(const FftProduct&);
  /// The half spectrum (h + 1) of 2 h real numbers from the transform (h) of the pairs they form; k from begin to end. `roots`:
  /// exp(-2 pi i k / 2 h).
  void (*unfold)(const float* z, const float* roots, int64_t h, int64_t begin, int64_t end, float* to, int64_t step);
  /// Its inverse: what to transform back into pairs of real numbers. Imaginary parts at 0 and h count as 0.
  void (*fold)(const float* x, int64_t step, const float* roots, int64_t h, int64_t begin, int64_t end, float* z);
};

#define PLAIT_FFT(target)              \
  namespace target {                   \
  extern const FftKernels kFftKernels; \
  }
PLAIT_FFT(portable)
#if defined(__x86_64__)
PLAIT_FFT(avx2)
PLAIT_FFT(avx512)
#endif
#undef PLAIT_FFT

}  // namespace plait::cpu
