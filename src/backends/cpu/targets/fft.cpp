#include "backends/cpu/fft_kernels.h"
#include "backends/cpu/simd/vec.h"

namespace plait::cpu::PLAIT_TARGET {
namespace {

using V = Vec<float>;
constexpr int kL = kLanes<float>;

struct Complex {
  V re, im;
};
PLAIT_SIMD Complex sum(Complex a, Complex b) { return {a.re + b.re, a.im + b.im}; }
PLAIT_SIMD Complex difference(Complex a, Complex b) { return {a.re - b.re, a.im - b.im}; }
PLAIT_SIMD Complex times_minus_i(Complex a) { return {a.im, -a.re}; }
PLAIT_SIMD Complex times(Complex a, V re, V im) { return {fma(a.re, re, -(a.im * im)), fma(a.re, im, a.im * re)}; }

// --- transforms of a few numbers, one in each lane -------------------------------------------------------------------

PLAIT_SIMD void transform2(Complex& a, Complex& b) {
  const Complex d = difference(a, b);
  a = sum(a, b);
  b = d;
}

PLAIT_SIMD void transform4(Complex& a, Complex& b, Complex& c, Complex& d) {
  const Complex t0 = sum(a, c), t1 = difference(a, c), t2 = sum(b, d), t3 = times_minus_i(difference(b, d));
  a = sum(t0, t2);
  b = sum(t1, t3);
  c = difference(t0, t2);
  d = difference(t1, t3);
}

PLAIT_SIMD void transform8(Complex (&a)[8]) {
  constexpr float kHalfRoot = 0x1.6a09e6p-1f;  // sqrt(1/2)
  transform4(a[0], a[2], a[4], a[6]);
  transform4(a[1], a[3], a[5], a[7]);
  const Complex o1{(a[3].re + a[3].im) * kHalfRoot, (a[3].im - a[3].re) * kHalfRoot};
  const Complex o2 = times_minus_i(a[5]);
  const Complex o3{(a[7].im - a[7].re) * kHalfRoot, -(a[7].re + a[7].im) * kHalfRoot};
  const Complex e0 = a[0], e1 = a[2], e2 = a[4], e3 = a[6], o0 = a[1];
  a[0] = sum(e0, o0), a[4] = difference(e0, o0);
  a[1] = sum(e1, o1), a[5] = difference(e1, o1);
  a[2] = sum(e2, o2), a[6] = difference(e2, o2);
  a[3] = sum(e3, o3), a[7] = difference(e3, o3);
}

// An odd number of elements in pairs from both ends: the roots of the second are conjugates of the first's, so half of the
// products are shared. roots: cos and -sin of each multiple of the angle.
template <class Elements>
PLAIT_SIMD void transform_odd(Elements& a, Elements& work, int n, const float* roots) {
  const int pairs = (n - 1) / 2;
  const Complex first = a[0];
  for (int j = 1; j <= pairs; ++j) {
    work[j] = sum(a[j], a[n - j]);
    work[n - j] = difference(a[j], a[n - j]);
    a[0] = sum(a[0], work[j]);
  }
  for (int k = 1; k <= pairs; ++k) {
    Complex even = first, odd{V{}, V{}};
    for (int j = 1, at = k; j <= pairs; ++j) {
      const float cosine = roots[2 * at], sine = roots[2 * at + 1];
      even = {fma(work[j].re, cosine, even.re), fma(work[j].im, cosine, even.im)};
      odd = {fma(work[n - j].re, sine, odd.re), fma(work[n - j].im, sine, odd.im)};
      at = at + k >= n ? at + k - n : at + k;
    }
    a[k] = {even.re - odd.im, even.im + odd.re};
    a[n - k] = {even.re + odd.im, even.im - odd.re};
  }
}

template <int kRadix>
PLAIT_SIMD void transform(Complex (&a)[kRadix], const float* roots) {
  if constexpr (kRadix == 2) {
    transform2(a[0], a[1]);
  } else if constexpr (kRadix == 4) {
    transform4(a[0], a[1], a[2], a[3]);
  } else if constexpr (kRadix == 8) {
    transform8(a);
  } else {
    Complex work[kRadix];
    transform_odd(a, work, kRadix, roots);
  }
}

// --- passes ----------------------------------------------------------------------------------------------------------

template <int kRadix, bool kTwiddles>
void pass_of(const FftPass& at) {
  const int64_t apart = at.m * at.in_row;
  for (int64_t p = 0; p < at.m; ++p) {
    const float* w = at.twiddles + p * (kRadix - 1) * 2;
    const float *re = at.re + p * at.in_row, *im = at.im + p * at.in_row;
    float *to_re = at.to_re + p * kRadix * at.row, *to_im = at.to_im + p * kRadix * at.row;
    for (int64_t q = 0; q < at.row; q += kL) {
      Complex a[kRadix];
#pragma GCC unroll 16
      for (int i = 0; i < kRadix; ++i) a[i] = {load(re + i * apart + q), load(im + i * apart + q)};
      transform<kRadix>(a, at.roots);
#pragma GCC unroll 16
      for (int i = 0; i < kRadix; ++i) {
        if (kTwiddles && i > 0) a[i] = times(a[i], splat<V>(w[2 * i - 2]), splat<V>(w[2 * i - 1]));
        store(to_re + i * at.row + q, a[i].re);
        store(to_im + i * at.row + q, a[i].im);
      }
    }
  }
}

// Any odd radix, by loops over memory.
void pass_of_any(const FftPass& at) {
  const int64_t apart = at.m * at.in_row;
  for (int64_t p = 0; p < at.m; ++p) {
    const float* w = at.twiddles + p * (at.radix - 1) * 2;
    for (int64_t q = 0; q < at.row; q += kL) {
      Complex a[kMostRadix], work[kMostRadix];
      for (int i = 0; i < at.radix; ++i) {
        const int64_t from = p * at.in_row + i * apart + q;
        a[i] = {load(at.re + from), load(at.im + from)};
      }
      transform_odd(a, work, at.radix, at.roots);
      for (int i = 0; i < at.radix; ++i) {
        if (i > 0 && at.m > 1) a[i] = times(a[i], splat<V>(w[2 * i - 2]), splat<V>(w[2 * i - 1]));
        const int64_t to = (p * at.radix + i) * at.row + q;
        store(at.to_re + to, a[i].re);
        store(at.to_im + to, a[i].im);
      }
    }
  }
}

template <int kRadix>
void pass_of(const FftPass& at) {
  at.m > 1 ? pass_of<kRadix, true>(at) : pass_of<kRadix, false>(at);
}

void pass(const FftPass& at) {
  switch (at.radix) {
    case 2: return pass_of<2>(at);
    case 3: return pass_of<3>(at);
    case 4: return pass_of<4>(at);
    case 5: return pass_of<5>(at);
    case 7: return pass_of<7>(at);
    case 8: return pass_of<8>(at);
    case 11: return pass_of<11>(at);
    case 13: return pass_of<13>(at);
    default: return pass_of_any(at);
  }
}

// --- pairs to planes and back ----------------------------------------------------------------------------------------

template <int... i>
PLAIT_SIMD Complex apart(V a, V b, std::integer_sequence<int, i...>) {
  return {__builtin_shufflevector(a, b, (2 * i)...), __builtin_shufflevector(a, b, (2 * i + 1)...)};
}
template <int... i>
PLAIT_SIMD void store_pairs(float* to, Complex a, std::integer_sequence<int, i...>) {
  store(to, __builtin_shufflevector(a.re, a.im, (i / 2 + i % 2 * kL)...));
  store(to + kL, __builtin_shufflevector(a.re, a.im, (kL / 2 + i / 2 + i % 2 * kL)...));
}
using Lanes = std::make_integer_sequence<int, kL>;
PLAIT_SIMD Complex load_pairs(const float* from) { return apart(load(from), load(from + kL), Lanes()); }

/// Blocks of kStep lanes of b change places with the blocks of a behind them.
template <int kStep, int... i>
PLAIT_SIMD void exchange(V& a, V& b, std::integer_sequence<int, i...>) {
  const V low = __builtin_shufflevector(a, b, (i & kStep ? kL + i - kStep : i)...);
  b = __builtin_shufflevector(a, b, (i & kStep ? kL + i : i + kStep)...);
  a = low;
}
template <int kStep = kL / 2>
PLAIT_SIMD void transpose(V (&rows)[kL]) {
#pragma GCC unroll 16
  for (int i = 0; i < kL; ++i)
    if (!(i & kStep)) exchange<kStep>(rows[i], rows[i + kStep], Lanes());
  if constexpr (kStep > 1) transpose<kStep / 2>(rows);
}

// Columns that lie one behind the other.
void split_rows(const FftGrid& from, float* re, float* im, int64_t ld) {
  for (int64_t r = 0; r < from.rows; ++r) {
    const float* row = from.data + 2 * r * from.row;
    int64_t c = 0;
    for (; c + kL <= from.columns; c += kL) {
      const Complex x = load_pairs(row + 2 * c);
      store(re + r * ld + c, x.re);
      store(im + r * ld + c, x.im);
    }
    for (; c < from.columns; ++c) re[r * ld + c] = row[2 * c], im[r * ld + c] = row[2 * c + 1];
    for (; c < ld; ++c) re[r * ld + c] = im[r * ld + c] = 0;
  }
}

void split_elements(const FftGrid& from, int64_t first, float* re, float* im, int64_t ld) {
  for (int64_t r = first; r < from.rows; ++r) {
    for (int64_t c = 0; c < ld; ++c) {
      const float* at = from.data + 2 * (r * from.row + c * from.column);
      re[r * ld + c] = c < from.columns ? at[0] : 0;
      im[r * ld + c] = c < from.columns ? at[1] : 0;
    }
  }
}

// Rows that lie one behind the other, one vector of columns: squares are transposed on the way.
void split_columns(const FftGrid& from, float* re, float* im, int64_t ld) {
  int64_t r = 0;
  for (; r + kL <= from.rows; r += kL) {
    V rows_re[kL], rows_im[kL];
    for (int c = 0; c < kL; ++c) {
      const Complex x = c < from.columns ? load_pairs(from.data + 2 * (r + c * from.column)) : Complex{V{}, V{}};
      rows_re[c] = x.re;
      rows_im[c] = x.im;
    }
    transpose(rows_re);
    transpose(rows_im);
    for (int i = 0; i < kL; ++i) {
      store(re + (r + i) * ld, rows_re[i]);
      store(im + (r + i) * ld, rows_im[i]);
    }
  }
  split_elements(from, r, re, im, ld);
}

void split(const FftGrid& from, float* re, float* im, int64_t ld, bool exchange) {
  if (exchange) return split(from, im, re, ld, false);
  if (from.column == 1) return split_rows(from, re, im, ld);
  if (from.row == 1 && ld == kL) return split_columns(from, re, im, ld);
  split_elements(from, 0, re, im, ld);
}

void join_rows(const float* re, const float* im, int64_t ld, const FftGrid& to, float scale) {
  for (int64_t r = 0; r < to.rows; ++r) {
    float* row = to.data + 2 * r * to.row;
    int64_t c = 0;
    for (; c + kL <= to.columns; c += kL)
      store_pairs(row + 2 * c, {load(re + r * ld + c) * scale, load(im + r * ld + c) * scale}, Lanes());
    for (; c < to.columns; ++c) row[2 * c] = re[r * ld + c] * scale, row[2 * c + 1] = im[r * ld + c] * scale;
  }
}

void join_elements(const float* re, const float* im, int64_t ld, int64_t first, const FftGrid& to, float scale) {
  for (int64_t r = first; r < to.rows; ++r) {
    for (int64_t c = 0; c < to.columns; ++c) {
      float* at = to.data + 2 * (r * to.row + c * to.column);
      at[0] = re[r * ld + c] * scale;
      at[1] = im[r * ld + c] * scale;
    }
  }
}

void join_columns(const float* re, const float* im, int64_t ld, const FftGrid& to, float scale) {
  int64_t r = 0;
  for (; r + kL <= to.rows; r += kL) {
    V rows_re[kL], rows_im[kL];
    for (int i = 0; i < kL; ++i) {
      rows_re[i] = load(re + (r + i) * ld) * scale;
      rows_im[i] = load(im + (r + i) * ld) * scale;
    }
    transpose(rows_re);
    transpose(rows_im);
    for (int c = 0; c < kL && c < to.columns; ++c)
      store_pairs(to.data + 2 * (r + c * to.column), {rows_re[c], rows_im[c]}, Lanes());
  }
  join_elements(re, im, ld, r, to, scale);
}

void join(const float* re, const float* im, int64_t ld, const FftGrid& to, bool exchange, float scale) {
  if (exchange) return join(im, re, ld, to, false, scale);
  if (to.column == 1) return join_rows(re, im, ld, to, scale);
  if (to.row == 1 && ld == kL) return join_columns(re, im, ld, to, scale);
  join_elements(re, im, ld, 0, to, scale);
}

// --- between the halves of a long transform --------------------------------------------------------------------------

struct Root {
  float re, im;
};
PLAIT_SIMD Root root_of(const FftTwist& at, int64_t e) {
  const double* a = at.coarse_roots + 2 * (e >> at.shift);
  const double* b = at.fine_roots + 2 * (e & ((int64_t{1} << at.shift) - 1));
  return {static_cast<float>(a[0] * b[0] - a[1] * b[1]), static_cast<float>(a[0] * b[1] + a[1] * b[0])};
}

// The twiddle of row k and column j + l is w^(j k) w^(l k): a number for each vector times a table for all.
void twist(const FftTwist& at) {
  const int64_t n = at.n1 * at.n2;
  for (int64_t c = 0; c < at.columns && at.first + c < at.n2; c += kL) {
    const int64_t j = at.first + c;
    int64_t e = 0;  // j k modulo n
    for (int64_t k0 = 0; k0 < at.n1; k0 += kL) {
      V rows_re[kL], rows_im[kL];
      for (int i = 0; i < kL; ++i) {
        const int64_t k = k0 + i;
        rows_re[i] = rows_im[i] = V{};
        if (k >= at.n1) continue;
        const Root root = root_of(at, e);
        const float* lanes = at.lane_roots + k * 2 * kL;
        const Complex w = times({load(lanes), load(lanes + kL)}, splat<V>(root.re), splat<V>(root.im));
        const Complex x = times({load(at.re + k * at.columns + c), load(at.im + k * at.columns + c)}, w.re, w.im);
        rows_re[i] = x.re;
        rows_im[i] = x.im;
        e = e + j >= n ? e + j - n : e + j;
      }
      transpose(rows_re);
      transpose(rows_im);
      for (int l = 0; l < kL && j + l < at.n2; ++l) {
        store(at.to_re + (j + l) * at.to_row + k0, rows_re[l]);
        store(at.to_im + (j + l) * at.to_row + k0, rows_im[l]);
      }
    }
  }
}

// --- products, and the halves of real transforms ---------------------------------------------------------------------

template <int... i>
PLAIT_SIMD V reversed(V a, std::integer_sequence<int, i...>) {
  return __builtin_shufflevector(a, a, (kL - 1 - i)...);
}
PLAIT_SIMD Complex load_reversed(const float* from) {
  const Complex a = load_pairs(from);
  return {reversed(a.re, Lanes()), reversed(a.im, Lanes())};
}

void multiply(const FftProduct& at) {
  const float sign_a = at.conjugate_a ? -1.0f : 1.0f, scale_im = at.conjugate_to ? -at.scale : at.scale;
  int64_t k = 0;
  if (at.a_step == 1 && at.to_step == 1)
    for (; k + kL <= at.n; k += kL) {
      const Complex a = load_pairs(at.a + 2 * k), b = load_pairs(at.b + 2 * k);
      const Complex ab = times({a.re, a.im * sign_a}, b.re, b.im);
      store_pairs(at.to + 2 * k, {ab.re * at.scale, ab.im * scale_im}, Lanes());
    }
  for (; k < at.n; ++k) {
    const float a_re = at.a[2 * k * at.a_step], a_im = at.a[2 * k * at.a_step + 1] * sign_a;
    const float b_re = at.b[2 * k], b_im = at.b[2 * k + 1];
    at.to[2 * k * at.to_step] = (a_re * b_re - a_im * b_im) * at.scale;
    at.to[2 * k * at.to_step + 1] = (a_re * b_im + a_im * b_re) * scale_im;
  }
}

// With e and o the transforms of the even and odd elements, z = e + i o and x[k] = e[k] + w^k o[k].
void unfold(const float* z, const float* roots, int64_t h, int64_t begin, int64_t end, float* to, int64_t step) {
  const auto one = [&](int64_t k) __attribute__((always_inline)) {
    const float* a = z + 2 * (k == h ? 0 : k);
    const float* b = z + 2 * (k == 0 ? 0 : h - k);
    const float e_re = 0.5f * (a[0] + b[0]), e_im = 0.5f * (a[1] - b[1]);
    const float o_re = 0.5f * (a[1] + b[1]), o_im = 0.5f * (b[0] - a[0]);
    const float w_re = roots[2 * k], w_im = roots[2 * k + 1];
    to[2 * k * step] = e_re + (w_re * o_re - w_im * o_im);
    to[2 * k * step + 1] = e_im + (w_re * o_im + w_im * o_re);
  };
  int64_t k = begin;
  if (k == 0 && k < end) one(k++);
  if (step == 1)
    for (; k + kL <= end && k + kL <= h; k += kL) {
      const Complex a = load_pairs(z + 2 * k), b = load_reversed(z + 2 * (h - k - kL + 1));
      const Complex e{0.5f * (a.re + b.re), 0.5f * (a.im - b.im)}, o{0.5f * (a.im + b.im), 0.5f * (b.re - a.re)};
      const Complex w = load_pairs(roots + 2 * k);
      store_pairs(to + 2 * k, sum(e, times(o, w.re, w.im)), Lanes());
    }
  for (; k < end; ++k) one(k);
}

void fold(const float* x, int64_t step, const float* roots, int64_t h, int64_t begin, int64_t end, float* z) {
  const auto one = [&](int64_t k) __attribute__((always_inline)) {
    const float* a = x + 2 * k * step;
    const float* b = x + 2 * (h - k) * step;
    const float a_im = k == 0 ? 0 : a[1], b_im = k == 0 ? 0 : b[1];
    const float e_re = a[0] + b[0], e_im = a_im - b_im, d_re = a[0] - b[0], d_im = a_im + b_im;
    const float w_re = roots[2 * k], w_im = -roots[2 * k + 1];
    const float o_re = d_re * w_re - d_im * w_im, o_im = d_re * w_im + d_im * w_re;
    z[2 * k] = e_re - o_im;
    z[2 * k + 1] = e_im + o_re;
  };
  int64_t k = begin;
  if (k == 0 && k < end) one(k++);
  if (step == 1)
    for (; k + kL <= end && k + kL <= h; k += kL) {
      const Complex a = load_pairs(x + 2 * k), b = load_reversed(x + 2 * (h - k - kL + 1));
      const Complex w = load_pairs(roots + 2 * k);
      const Complex o = times({a.re - b.re, a.im + b.im}, w.re, -w.im);
      store_pairs(z + 2 * k, {a.re + b.re - o.im, a.im - b.im + o.re}, Lanes());
    }
  for (; k < end; ++k) one(k);
}

}  // namespace

const FftKernels kFftKernels = {kL, pass, split, join, twist, multiply, unfold, fold};

}  // namespace plait::cpu::PLAIT_TARGET
