// Inner loops of dense products; see gemm_kernels.h.
#include "backends/cpu/gemm_kernels.h"
#include "backends/cpu/simd/vec.h"
#include "backends/cpu/targets/gemm_pack.h"

#if !defined(__clang__)
#pragma GCC diagnostic ignored \
    "-Wmaybe-uninitialized"  // g++ 12 warns of its own _mm512_undefined_ps where it is inlined
#endif

namespace plait::cpu::PLAIT_TARGET {
namespace {

// x in every lane; subtracting zero changes no number, where adding it would change -0.
template <class V>
PLAIT_SIMD V every(LaneOf<V> x) {
  return x - V{};
}

// Sums stay in registers: kRows x 2 of them, two of b and one of a.
#if defined(PLAIT_SIMD_AVX512)
constexpr int kRows = 8;
#elif defined(PLAIT_SIMD_AVX2)
constexpr int kRows = 6;
#else
constexpr int kRows = 4;
#endif

template <class T>
void tile(int64_t depth, const void* a_memory, const void* b_memory, void* c_memory, int64_t c_stride, bool add) {
  using V = Vec<T>;
  constexpr int64_t kWidth = kLanes<T>;
  const T* a = static_cast<const T*>(a_memory);
  const T* b = static_cast<const T*>(b_memory);
  T* c = static_cast<T*>(c_memory);
  V sum[kRows][2];
#pragma GCC unroll 8
  for (int i = 0; i < kRows; ++i) sum[i][0] = sum[i][1] = V{};
  for (int64_t p = 0; p < depth; ++p) {
    const V b0 = load(b), b1 = load(b + kWidth);
#pragma GCC unroll 8
    for (int i = 0; i < kRows; ++i) {
      const V x = every<V>(a[i]);
      sum[i][0] = fma(x, b0, sum[i][0]);
      sum[i][1] = fma(x, b1, sum[i][1]);
    }
    a += kRows;
    b += 2 * kWidth;
  }
#pragma GCC unroll 8
  for (int i = 0; i < kRows; ++i) {
    T* row = c + i * c_stride;
    if (add) {
      sum[i][0] += load(row);
      sum[i][1] += load(row + kWidth);
    }
    store(row, sum[i][0]);
    store(row + kWidth, sum[i][1]);
  }
}

// A 16-bit float with 5 bits of exponent, also the subnormal ones, by a product with 2^112.
PLAIT_SIMD float from_f16(uint16_t h) {
  const uint32_t magnitude = static_cast<uint32_t>(h & 0x7fff) << 13;
  float f;
  __builtin_memcpy(&f, &magnitude, 4);
  f *= 0x1p112f;
  uint32_t bits;
  __builtin_memcpy(&bits, &f, 4);
  if ((h & 0x7c00) == 0x7c00) bits = 0x7f800000u | magnitude;
  bits |= static_cast<uint32_t>(h & 0x8000) << 16;
  __builtin_memcpy(&f, &bits, 4);
  return f;
}
PLAIT_SIMD float from_bf16(uint16_t h) {
  const uint32_t bits = static_cast<uint32_t>(h) << 16;
  float f;
  __builtin_memcpy(&f, &bits, 4);
  return f;
}

void widen_f16(float* to, const uint16_t* from, int64_t n) {
  int64_t i = 0;
#if defined(PLAIT_SIMD_AVX512) || defined(PLAIT_SIMD_AVX2)
  for (; i + 8 <= n; i += 8)
    _mm256_storeu_ps(to + i, _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from + i))));
#endif
  for (; i < n; ++i) to[i] = from_f16(from[i]);
}
void widen_bf16(float* to, const uint16_t* from, int64_t n) {
  for (int64_t i = 0; i < n; ++i) to[i] = from_bf16(from[i]);
}

// How elements of a matrix in memory become what a product is summed in.
struct F32 {
  using Memory = float;
  using Sum = float;
  PLAIT_SIMD Vec<float> vector(const float* p) { return load(p); }
  PLAIT_SIMD float number(float x) { return x; }
};
struct F64 {
  using Memory = double;
  using Sum = double;
  PLAIT_SIMD Vec<double> vector(const double* p) { return load(p); }
  PLAIT_SIMD double number(double x) { return x; }
};
struct Bf16 {
  using Memory = uint16_t;
  using Sum = float;
  PLAIT_SIMD Vec<float> vector(const uint16_t* p) {
    using Narrow = VecN<uint16_t, kLanes<float>>;
    return bit_cast<Vec<float>>(__builtin_convertvector(load_as<Narrow>(p), VecN<uint32_t, kLanes<float>>) << 16);
  }
  PLAIT_SIMD float number(uint16_t x) { return from_bf16(x); }
};
struct F16 {
  using Memory = uint16_t;
  using Sum = float;
  PLAIT_SIMD Vec<float> vector(const uint16_t* p) {
    Vec<float> v;
#if defined(PLAIT_SIMD_AVX512)
    v = (Vec<float>)_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
#elif defined(PLAIT_SIMD_AVX2)
    v = (Vec<float>)_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
#else
    for (int i = 0; i < kLanes<float>; ++i) v[i] = from_f16(p[i]);
#endif
    return v;
  }
  PLAIT_SIMD float number(uint16_t x) { return from_f16(x); }
};

// Four rows at a time, each with a sum per lane; lanes are folded in a fixed tree.
template <class E>
void dots(void* y_memory, const void* x_memory, const void* b_memory, int64_t stride, int64_t depth, int64_t n) {
  using T = typename E::Sum;
  using V = Vec<T>;
  constexpr int64_t kWidth = kLanes<T>;
  T* y = static_cast<T*>(y_memory);
  const T* x = static_cast<const T*>(x_memory);
  const auto* b = static_cast<const typename E::Memory*>(b_memory);
  const auto rows = [&]<int kCount>(int64_t j) {
    V sum[kCount][2];
    for (int r = 0; r < kCount; ++r) sum[r][0] = sum[r][1] = V{};
    const auto* row = b + j * stride;
    int64_t p = 0;
    for (; p + 2 * kWidth <= depth; p += 2 * kWidth) {
      const V x0 = load(x + p), x1 = load(x + p + kWidth);
#pragma GCC unroll 4
      for (int r = 0; r < kCount; ++r) {
        sum[r][0] = fma(x0, E::vector(row + r * stride + p), sum[r][0]);
        sum[r][1] = fma(x1, E::vector(row + r * stride + p + kWidth), sum[r][1]);
      }
    }
    for (int r = 0; r < kCount; ++r) {
      T total = sum_lanes(sum[r][0] + sum[r][1]);
      for (int64_t q = p; q < depth; ++q) total += x[q] * E::number(row[r * stride + q]);
      y[j + r] = total;
    }
  };
  int64_t j = 0;
  for (; j + 4 <= n; j += 4) rows.template operator()<4>(j);
  for (; j < n; ++j) rows.template operator()<1>(j);
}

// y stays in L1 while rows run by, four at a time; whole lines of the matrix are read in order.
template <class E>
void combine(void* y_memory, const void* x_memory, const void* b_memory, int64_t stride, int64_t depth, int64_t n) {
  using T = typename E::Sum;
  using V = Vec<T>;
  constexpr int64_t kWidth = kLanes<T>;
  T* y = static_cast<T*>(y_memory);
  const T* x = static_cast<const T*>(x_memory);
  const auto* b = static_cast<const typename E::Memory*>(b_memory);
  for (int64_t j = 0; j < n; ++j) y[j] = 0;
  const auto rows = [&]<int kCount>(int64_t p) {
    const auto* row = b + p * stride;
    V w[kCount];
    for (int r = 0; r < kCount; ++r) w[r] = every<V>(x[p + r]);
    int64_t j = 0;
    for (; j + kWidth <= n; j += kWidth) {
      V sum = load(y + j);
#pragma GCC unroll 4
      for (int r = 0; r < kCount; ++r) sum = fma(w[r], E::vector(row + r * stride + j), sum);
      store(y + j, sum);
    }
    for (; j < n; ++j)
      for (int r = 0; r < kCount; ++r) y[j] += x[p + r] * E::number(row[r * stride + j]);
  };
  int64_t p = 0;
  for (; p + 4 <= depth; p += 4) rows.template operator()<4>(p);
  for (; p < depth; ++p) rows.template operator()<1>(p);
}

void weighted_sum(float* y, const float* const* x, const float* const* w, int64_t taps, int64_t n) {
  constexpr int64_t kWidth = kLanes<float>;
  int64_t i = 0;
  for (; i + 2 * kWidth <= n; i += 2 * kWidth) {
    Vec<float> sum0{}, sum1{};
    for (int64_t k = 0; k < taps; ++k) {
      sum0 = fma(load(x[k] + i), load(w[k] + i), sum0);
      sum1 = fma(load(x[k] + i + kWidth), load(w[k] + i + kWidth), sum1);
    }
    store(y + i, sum0);
    store(y + i + kWidth, sum1);
  }
  for (; i < n; ++i) {
    float sum = 0;
    for (int64_t k = 0; k < taps; ++k) sum += x[k][i] * w[k][i];
    y[i] = sum;
  }
}

template <class E>
void add_gemv(GemmKernels& table, GemvType type) {
  table.dots[static_cast<int>(type)] = dots<E>;
  table.combine[static_cast<int>(type)] = combine<E>;
}

}  // namespace

void add_gemm_kernels(GemmKernels& table) {
  table.f32 = {panels<Pack32, kRows>(), panels<Pack32, 2 * kLanes<float>>(), 1, tile<float>};
  table.f64 = {panels<Pack64, kRows>(), panels<Pack64, 2 * kLanes<double>>(), 1, tile<double>};
  table.widen_f16 = widen_f16;
  table.widen_bf16 = widen_bf16;
  table.weighted_sum = weighted_sum;
  add_gemv<F32>(table, GemvType::f32);
  add_gemv<F64>(table, GemvType::f64);
  add_gemv<F16>(table, GemvType::f16);
  add_gemv<Bf16>(table, GemvType::bf16);
}

}  // namespace plait::cpu::PLAIT_TARGET
