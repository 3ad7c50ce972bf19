// Vectors of one instruction set: types, memory, selection, fused multiply-add, rounding, bits, sums.
//
// Included only by sources that are compiled once per instruction set with -DPLAIT_TARGET=portable|avx2|avx512. Everything
// is in plait::cpu::PLAIT_TARGET and has internal linkage, so that nothing built for one instruction set can be shared by
// the linker with code that runs on a smaller machine. For the same reason no inline function of the standard library
// is called here.
//
// Vec<T> is a plain compiler vector (GCC and clang), so + - * / & | ^ ~ << >> and comparisons are operators. A comparison
// gives a mask: a signed integer vector of the same lane width, all ones where true.
#pragma once

#include <cstdint>
#include <type_traits>
#include <utility>

#if defined(__CUDACC__)
#include "backends/cuda/regions/device/vec.cuh"
#define PLAIT_SIMD_GIVEN 1
#elif defined(PLAIT_RECORDED)
#include "backends/cpu/jit/recorded.h"
#define PLAIT_SIMD_GIVEN 1
#endif
#ifndef PLAIT_TARGET
#error "compile with -DPLAIT_TARGET=portable|avx2|avx512"
#endif

#if defined(PLAIT_SIMD_GIVEN)
namespace plait::cpu::PLAIT_TARGET {
#else
#if defined(__x86_64__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"  // g++ 12 warns of its own _mm512_undefined_ps
#include <immintrin.h>
#pragma GCC diagnostic pop
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

// Vectors wider than a register pass between functions here; all of them are inlined, so their calling convention is moot.
#pragma GCC diagnostic ignored "-Wpsabi"

#define PLAIT_SIMD static inline __attribute__((always_inline))
#define PLAIT_RARE static __attribute__((noinline, cold))

namespace plait::cpu::PLAIT_TARGET {

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512DQ__) && defined(__AVX512VL__)
#define PLAIT_SIMD_AVX512 1
constexpr int kVectorBytes = 64;
#elif defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)
#define PLAIT_SIMD_AVX2 1
constexpr int kVectorBytes = 32;
#else
constexpr int kVectorBytes = 16;
#endif

/// Whether fma() rounds once. Baseline x86 has no such instruction: there it is a product and a sum, each rounded.
#if defined(PLAIT_SIMD_AVX512) || defined(PLAIT_SIMD_AVX2) || defined(__aarch64__)
constexpr bool kFusedMultiplyAdd = true;
#else
constexpr bool kFusedMultiplyAdd = false;
#endif

template <class T, int N>
struct VecType {
  typedef T type __attribute__((vector_size(N * sizeof(T))));
};

/// N lanes of T, any power of two; used where lane counts must match across widths.
template <class T, int N>
using VecN = typename VecType<T, N>::type;

template <class T>
constexpr int kLanes = kVectorBytes / static_cast<int>(sizeof(T));

/// One register of T.
template <class T>
using Vec = VecN<T, kLanes<T>>;

template <class V>
using LaneOf = std::remove_cv_t<std::remove_reference_t<decltype(std::declval<V&>()[0])>>;
template <class V>
constexpr int kLanesOf = static_cast<int>(sizeof(V) / sizeof(LaneOf<V>));
template <class V>
using MaskOf = decltype(std::declval<V>() < std::declval<V>());

template <int kBytes>
struct IntOfBytes;
template <>
struct IntOfBytes<1> {
  using type = int8_t;
};
template <>
struct IntOfBytes<2> {
  using type = int16_t;
};
template <>
struct IntOfBytes<4> {
  using type = int32_t;
};
template <>
struct IntOfBytes<8> {
  using type = int64_t;
};

/// Signed (or unsigned) integer vector with the lanes of V.
template <class V>
using BitsOf = VecN<typename IntOfBytes<sizeof(LaneOf<V>)>::type, kLanesOf<V>>;
template <class V>
using UnsignedBitsOf = VecN<std::make_unsigned_t<typename IntOfBytes<sizeof(LaneOf<V>)>::type>, kLanesOf<V>>;

/// The same bits seen as another vector, or scalar, of the same size.
template <class To, class From>
static constexpr inline __attribute__((always_inline)) To bit_cast(From v) {
  return __builtin_bit_cast(To, v);
}

// --- memory: any alignment -------------------------------------------------------------------------------------------

template <class V>
PLAIT_SIMD V load_as(const void* p) {
  V v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}
template <class T>
PLAIT_SIMD Vec<T> load(const T* p) {
  return load_as<Vec<T>>(p);
}
template <class V>
PLAIT_SIMD void store(void* p, V v) {
  __builtin_memcpy(p, &v, sizeof v);
}

/// Store past the caches; `p` is aligned to the vector. Call store_fence() before other threads read the result.
template <class V>
PLAIT_SIMD void store_streaming(void* p, V v) {
#if defined(PLAIT_SIMD_AVX512)
  if constexpr (sizeof(V) == 64) {
    _mm512_stream_si512(static_cast<__m512i*>(p), bit_cast<__m512i>(v));
    return;
  }
#endif
#if defined(PLAIT_SIMD_AVX512) || defined(PLAIT_SIMD_AVX2)
  if constexpr (sizeof(V) == 32) {
    _mm256_stream_si256(static_cast<__m256i*>(p), bit_cast<__m256i>(v));
    return;
  }
#endif
#if defined(__x86_64__)
  if constexpr (sizeof(V) == 16) {
    _mm_stream_si128(static_cast<__m128i*>(p), bit_cast<__m128i>(v));
    return;
  }
#endif
  store(p, v);
}
PLAIT_SIMD void store_fence() {
#if defined(__x86_64__)
  _mm_sfence();
#endif
}

template <class V>
PLAIT_SIMD V splat(LaneOf<V> x) {
  return V{} + x;
}
/// 0, 1, 2, ...
template <class V>
PLAIT_SIMD V iota() {
  V v;
  for (int i = 0; i < kLanesOf<V>; ++i) v[i] = static_cast<LaneOf<V>>(i);
  return v;
}

/// Lane by lane conversion as C's cast; the lane count stays, the size may change. The pairs written out are those that
/// the compiler takes apart needlessly; loops over memory that only convert are better left to its vectoriser.
template <class T, class V>
PLAIT_SIMD VecN<T, kLanesOf<V>> convert(V v) {
  using To = VecN<T, kLanesOf<V>>;
  static_assert(sizeof(To) <= kVectorBytes, "convert the halves: compilers handle vectors of two registers badly");
  [[maybe_unused]] constexpr bool kFloatToDouble = std::is_same_v<LaneOf<V>, float> && std::is_same_v<T, double>;
  [[maybe_unused]] constexpr bool kDoubleToFloat = std::is_same_v<LaneOf<V>, double> && std::is_same_v<T, float>;
#if defined(PLAIT_SIMD_AVX512)
  if constexpr (kFloatToDouble && sizeof(To) == 64) return (To)_mm512_cvtps_pd((__m256)v);
  if constexpr (kDoubleToFloat && sizeof(V) == 64) return (To)_mm512_cvtpd_ps((__m512d)v);
#endif
#if defined(PLAIT_SIMD_AVX512) || defined(PLAIT_SIMD_AVX2)
  if constexpr (kFloatToDouble && sizeof(To) == 32) return (To)_mm256_cvtps_pd((__m128)v);
  if constexpr (kDoubleToFloat && sizeof(V) == 32) return (To)_mm256_cvtpd_ps((__m256d)v);
#endif
  return __builtin_convertvector(v, To);
}

/// Lower and upper halves, and back.
template <class V>
using HalfOf = VecN<LaneOf<V>, kLanesOf<V> / 2>;
template <class V>
using TwiceOf = VecN<LaneOf<V>, kLanesOf<V> * 2>;
template <class V>
PLAIT_SIMD HalfOf<V> low_half(V v) {
  HalfOf<V> r;
  __builtin_memcpy(&r, &v, sizeof r);
  return r;
}
template <class V>
PLAIT_SIMD HalfOf<V> high_half(V v) {
  HalfOf<V> r;
  __builtin_memcpy(&r, reinterpret_cast<const char*>(&v) + sizeof r, sizeof r);
  return r;
}
template <class V>
PLAIT_SIMD TwiceOf<V> join(V low, V high) {
  TwiceOf<V> r;
  __builtin_memcpy(&r, &low, sizeof low);
  __builtin_memcpy(reinterpret_cast<char*>(&r) + sizeof low, &high, sizeof high);
  return r;
}

// --- masks -----------------------------------------------------------------------------------------------------------

template <class M, class V>
PLAIT_SIMD V select(M mask, V a, V b) {
  return mask ? a : b;
}

/// The lanes that bytes of memory, 0 or 1 each, name. Written out where the compiler widens lane by lane.
template <class V>
PLAIT_SIMD MaskOf<V> load_mask(const char* p) {
  using Bits = BitsOf<V>;
  [[maybe_unused]] constexpr size_t kBytes = sizeof(V), kLane = sizeof(LaneOf<V>);
#if defined(PLAIT_SIMD_AVX512)
  if constexpr (kBytes == 64 && kLane == 4) return bit_cast<Bits>(_mm512_cvtepi8_epi32(load_as<__m128i>(p))) != 0;
  if constexpr (kBytes == 64 && kLane == 8)
    return bit_cast<Bits>(_mm512_cvtepi8_epi64(_mm_cvtsi64_si128(load_as<int64_t>(p)))) != 0;
#endif
#if defined(PLAIT_SIMD_AVX512) || defined(PLAIT_SIMD_AVX2)
  if constexpr (kBytes == 32 && kLane == 4)
    return bit_cast<Bits>(_mm256_cvtepi8_epi32(_mm_cvtsi64_si128(load_as<int64_t>(p)))) != 0;
  if constexpr (kBytes == 32 && kLane == 8)
    return bit_cast<Bits>(_mm256_cvtepi8_epi64(_mm_cvtsi32_si128(load_as<int32_t>(p)))) != 0;
#endif
#if defined(__x86_64__)
  if constexpr (kBytes == 16 && kLane >= 4) {
    const __m128i bytes = _mm_cvtsi32_si128(kLane == 4 ? load_as<int32_t>(p) : load_as<int16_t>(p));
    const __m128i pairs = _mm_unpacklo_epi8(bytes, bytes), fours = _mm_unpacklo_epi16(pairs, pairs);
    return bit_cast<Bits>(kLane == 4 ? fours : _mm_unpacklo_epi32(fours, fours)) != 0;
  }
#endif
  return __builtin_convertvector(load_as<VecN<int8_t, kLanesOf<V>>>(p), Bits) != 0;
}

/// A byte per lane, 0 or 1: packing by halves keeps the sign, of which a mask's lanes are all made.
template <class V>
PLAIT_SIMD void store_mask(char* p, MaskOf<V> mask) {
#if defined(__x86_64__) && !defined(PLAIT_SIMD_AVX512)
  if constexpr (sizeof(LaneOf<V>) >= 2) {
    __m128i low, high;
    if constexpr (sizeof(V) == 32) {
      low = bit_cast<__m128i>(low_half(mask)), high = bit_cast<__m128i>(high_half(mask));
    } else {
      low = high = bit_cast<__m128i>(mask);
    }
    __m128i x = sizeof(LaneOf<V>) == 2 ? _mm_packs_epi16(low, high) : _mm_packs_epi32(low, high);
    if constexpr (sizeof(LaneOf<V>) == 8) x = _mm_packs_epi32(x, x);
    if constexpr (sizeof(LaneOf<V>) >= 4) x = _mm_packs_epi16(x, x);
    x = _mm_and_si128(x, _mm_set1_epi8(1));
    __builtin_memcpy(p, &x, kLanesOf<V>);
    return;
  }
#endif
  store(p, __builtin_convertvector(mask, VecN<int8_t, kLanesOf<V>>) & 1);
}

/// Whether some lane of a mask is set.
template <class M>
PLAIT_SIMD bool any(M mask) {
#if defined(PLAIT_SIMD_AVX512)
  if constexpr (sizeof(M) == 64 && sizeof(LaneOf<M>) == 4) return _mm512_movepi32_mask(bit_cast<__m512i>(mask)) != 0;
  if constexpr (sizeof(M) == 64 && sizeof(LaneOf<M>) == 8) return _mm512_movepi64_mask(bit_cast<__m512i>(mask)) != 0;
#endif
#if defined(PLAIT_SIMD_AVX512) || defined(PLAIT_SIMD_AVX2)
  if constexpr (sizeof(M) == 32) return _mm256_movemask_epi8(bit_cast<__m256i>(mask)) != 0;
#endif
#if defined(__x86_64__)
  if constexpr (sizeof(M) == 16) return _mm_movemask_epi8(bit_cast<__m128i>(mask)) != 0;
#elif defined(__aarch64__)
  if constexpr (sizeof(M) == 16) return vmaxvq_u32(bit_cast<uint32x4_t>(mask)) != 0;
#endif
  if constexpr (sizeof(M) > 16) {
    return any(low_half(mask) | high_half(mask));
  } else {
    LaneOf<M> found = 0;
    for (int i = 0; i < kLanesOf<M>; ++i) found |= mask[i];
    return found != 0;
  }
}
template <class M>
PLAIT_SIMD bool all(M mask) {
  return !any(~mask);
}

// --- fused multiply-add ----------------------------------------------------------------------------------------------

/// a * b + c, rounded once where the hardware can (kFusedMultiplyAdd).
template <class V>
PLAIT_SIMD V fma(V a, V b, V c) {
#if defined(PLAIT_SIMD_AVX512)
  if constexpr (sizeof(V) == 64 && std::is_same_v<LaneOf<V>, float>)
    return (V)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
  if constexpr (sizeof(V) == 64 && std::is_same_v<LaneOf<V>, double>)
    return (V)_mm512_fmadd_pd((__m512d)a, (__m512d)b, (__m512d)c);
#endif
#if defined(PLAIT_SIMD_AVX512) || defined(PLAIT_SIMD_AVX2)
  if constexpr (sizeof(V) == 32 && std::is_same_v<LaneOf<V>, float>)
    return (V)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
  if constexpr (sizeof(V) == 32 && std::is_same_v<LaneOf<V>, double>)
    return (V)_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)c);
  if constexpr (sizeof(V) == 16 && std::is_same_v<LaneOf<V>, float>)
    return (V)_mm_fmadd_ps((__m128)a, (__m128)b, (__m128)c);
  if constexpr (sizeof(V) == 16 && std::is_same_v<LaneOf<V>, double>)
    return (V)_mm_fmadd_pd((__m128d)a, (__m128d)b, (__m128d)c);
#elif defined(__aarch64__)
  if constexpr (sizeof(V) == 16 && std::is_same_v<LaneOf<V>, float>)
    return (V)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
  if constexpr (sizeof(V) == 16 && std::is_same_v<LaneOf<V>, double>)
    return (V)vfmaq_f64((float64x2_t)c, (float64x2_t)a, (float64x2_t)b);
#endif
  return a * b + c;
}
#endif  // !PLAIT_SIMD_GIVEN

template <class V>
PLAIT_SIMD V fma(V a, V b, LaneOf<V> c) {
  return fma(a, b, splat<V>(c));
}
template <class V>
PLAIT_SIMD V fma(V a, LaneOf<V> b, V c) {
  return fma(a, splat<V>(b), c);
}
template <class V>
PLAIT_SIMD V fma(V a, LaneOf<V> b, LaneOf<V> c) {
  return fma(a, splat<V>(b), splat<V>(c));
}

/// c[0] + c[1] x + c[2] x^2 + ... by Horner's rule; coefficients in ascending order.
template <class V, int N>
PLAIT_SIMD V polynomial(V x, const LaneOf<V> (&c)[N]) {
  V p = splat<V>(c[N - 1]);
#if defined(__CUDACC__)
#pragma unroll
#else
#pragma GCC unroll 32
#endif
  for (int i = N - 2; i >= 0; --i) p = fma(p, x, c[i]);
  return p;
}

// --- signs, magnitudes, square roots ---------------------------------------------------------------------------------

template <class V>
constexpr LaneOf<BitsOf<V>> kSignBit =
    static_cast<LaneOf<BitsOf<V>>>(LaneOf<UnsignedBitsOf<V>>{1} << (8 * sizeof(LaneOf<V>) - 1));

template <class V>
PLAIT_SIMD V abs(V x) {
  if constexpr (std::is_floating_point_v<LaneOf<V>>) {
    return bit_cast<V>(bit_cast<BitsOf<V>>(x) & ~kSignBit<V>);
  } else if constexpr (std::is_signed_v<LaneOf<V>>) {
    return select(x < 0, -x, x);
  } else {
    return x;
  }
}
/// Flip the sign of x where sign_of is negative.
template <class V>
PLAIT_SIMD V flip_sign(V x, V sign_of) {
  return bit_cast<V>(bit_cast<BitsOf<V>>(x) ^ (bit_cast<BitsOf<V>>(sign_of) & kSignBit<V>));
}
/// Magnitude of x with the sign of sign_of.
template <class V>
PLAIT_SIMD V copysign(V x, V sign_of) {
  return bit_cast<V>((bit_cast<BitsOf<V>>(x) & ~kSignBit<V>) | (bit_cast<BitsOf<V>>(sign_of) & kSignBit<V>));
}
/// Whether the sign bit is set, also for -0 and NaN.
template <class V>
PLAIT_SIMD MaskOf<V> sign_bit_set(V x) {
  return bit_cast<BitsOf<V>>(x) < 0;
}
template <class V>
PLAIT_SIMD MaskOf<V> is_nan(V x) {
  return x != x;
}
template <class V>
constexpr LaneOf<V> kInfinity = static_cast<LaneOf<V>>(bit_cast<double>(uint64_t{0x7ff0} << 48));
template <class V>
constexpr LaneOf<V> kNaN = static_cast<LaneOf<V>>(bit_cast<double>(uint64_t{0x7ff8} << 48));

#if !defined(PLAIT_SIMD_GIVEN)
template <class V>
PLAIT_SIMD V sqrt(V x) {
#if defined(PLAIT_SIMD_AVX512)
  if constexpr (sizeof(V) == 64 && sizeof(LaneOf<V>) == 4) return (V)_mm512_sqrt_ps((__m512)x);
  if constexpr (sizeof(V) == 64 && sizeof(LaneOf<V>) == 8) return (V)_mm512_sqrt_pd((__m512d)x);
#endif
#if defined(PLAIT_SIMD_AVX512) || defined(PLAIT_SIMD_AVX2)
  if constexpr (sizeof(V) == 32 && sizeof(LaneOf<V>) == 4) return (V)_mm256_sqrt_ps((__m256)x);
  if constexpr (sizeof(V) == 32 && sizeof(LaneOf<V>) == 8) return (V)_mm256_sqrt_pd((__m256d)x);
#endif
#if defined(__x86_64__)
  if constexpr (sizeof(V) == 16 && sizeof(LaneOf<V>) == 4) return (V)_mm_sqrt_ps((__m128)x);
  if constexpr (sizeof(V) == 16 && sizeof(LaneOf<V>) == 8) return (V)_mm_sqrt_pd((__m128d)x);
#elif defined(__aarch64__)
  if constexpr (sizeof(V) == 16 && sizeof(LaneOf<V>) == 4) return (V)vsqrtq_f32((float32x4_t)x);
  if constexpr (sizeof(V) == 16 && sizeof(LaneOf<V>) == 8) return (V)vsqrtq_f64((float64x2_t)x);
#endif
  if constexpr (sizeof(V) > 16) {
    return join(sqrt(low_half(x)), sqrt(high_half(x)));
  } else {
    for (int i = 0; i < kLanesOf<V>; ++i) x[i] = sizeof(LaneOf<V>) == 4 ? __builtin_sqrtf(x[i]) : __builtin_sqrt(x[i]);
    return x;
  }
}

#if defined(PLAIT_SIMD_AVX512)
#define PLAIT_SIMD_SCALES 1
/// x * 2^floor(n), rounded once.
template <class V>
PLAIT_SIMD V scale_by(V x, V n) {
  if constexpr (sizeof(LaneOf<V>) == 4)
    return (V)_mm512_scalef_ps((__m512)x, (__m512)n);
  else
    return (V)_mm512_scalef_pd((__m512d)x, (__m512d)n);
}
/// floor(log2 |x|); infinite for 0 and infinity.
template <class V>
PLAIT_SIMD V exponent_of(V x) {
  if constexpr (sizeof(LaneOf<V>) == 4)
    return (V)_mm512_getexp_ps((__m512)x);
  else
    return (V)_mm512_getexp_pd((__m512d)x);
}
/// The mantissa of x in [0.75, 1.5); NaN for negative x.
template <class V>
PLAIT_SIMD V mantissa_of(V x) {
  if constexpr (sizeof(LaneOf<V>) == 4)
    return (V)_mm512_getmant_ps((__m512)x, _MM_MANT_NORM_p75_1p5, _MM_MANT_SIGN_nan);
  else
    return (V)_mm512_getmant_pd((__m512d)x, _MM_MANT_NORM_p75_1p5, _MM_MANT_SIGN_nan);
}
#endif

// --- minimum and maximum ---------------------------------------------------------------------------------------------

/// The smaller of a and b, and b where either is NaN: one instruction on x86 (the compiler does not find it by itself).
template <class V>
PLAIT_SIMD V min_or_second(V a, V b) {
#if defined(PLAIT_SIMD_AVX512)
  if constexpr (sizeof(V) == 64 && std::is_same_v<LaneOf<V>, float>) return (V)_mm512_min_ps((__m512)a, (__m512)b);
  if constexpr (sizeof(V) == 64 && std::is_same_v<LaneOf<V>, double>) return (V)_mm512_min_pd((__m512d)a, (__m512d)b);
#endif
#if defined(PLAIT_SIMD_AVX512) || defined(PLAIT_SIMD_AVX2)
  if constexpr (sizeof(V) == 32 && std::is_same_v<LaneOf<V>, float>) return (V)_mm256_min_ps((__m256)a, (__m256)b);
  if constexpr (sizeof(V) == 32 && std::is_same_v<LaneOf<V>, double>) return (V)_mm256_min_pd((__m256d)a, (__m256d)b);
#endif
#if defined(__x86_64__)
  if constexpr (sizeof(V) == 16 && std::is_same_v<LaneOf<V>, float>) return (V)_mm_min_ps((__m128)a, (__m128)b);
  if constexpr (sizeof(V) == 16 && std::is_same_v<LaneOf<V>, double>) return (V)_mm_min_pd((__m128d)a, (__m128d)b);
#endif
  return a < b ? a : b;
}
template <class V>
PLAIT_SIMD V max_or_second(V a, V b) {
#if defined(PLAIT_SIMD_AVX512)
  if constexpr (sizeof(V) == 64 && std::is_same_v<LaneOf<V>, float>) return (V)_mm512_max_ps((__m512)a, (__m512)b);
  if constexpr (sizeof(V) == 64 && std::is_same_v<LaneOf<V>, double>) return (V)_mm512_max_pd((__m512d)a, (__m512d)b);
#endif
#if defined(PLAIT_SIMD_AVX512) || defined(PLAIT_SIMD_AVX2)
  if constexpr (sizeof(V) == 32 && std::is_same_v<LaneOf<V>, float>) return (V)_mm256_max_ps((__m256)a, (__m256)b);
  if constexpr (sizeof(V) == 32 && std::is_same_v<LaneOf<V>, double>) return (V)_mm256_max_pd((__m256d)a, (__m256d)b);
#endif
#if defined(__x86_64__)
  if constexpr (sizeof(V) == 16 && std::is_same_v<LaneOf<V>, float>) return (V)_mm_max_ps((__m128)a, (__m128)b);
  if constexpr (sizeof(V) == 16 && std::is_same_v<LaneOf<V>, double>) return (V)_mm_max_pd((__m128d)a, (__m128d)b);
#endif
  return a > b ? a : b;
}
#endif
/// NaN where either is NaN, as NumPy's minimum and maximum. In a reduction `a` is the value so far: whether `b` is NaN is known
/// before that is.
template <class V>
PLAIT_SIMD V min(V a, V b) {
  const V m = min_or_second(b, a);
  if constexpr (std::is_floating_point_v<LaneOf<V>>) return select(is_nan(b), b, m);
  return m;
}
template <class V>
PLAIT_SIMD V max(V a, V b) {
  const V m = max_or_second(b, a);
  if constexpr (std::is_floating_point_v<LaneOf<V>>) return select(is_nan(b), b, m);
  return m;
}
/// x held within [low, high]; NaN stays NaN.
template <class V>
PLAIT_SIMD V clamp(V x, LaneOf<V> low, LaneOf<V> high) {
  return min_or_second(splat<V>(high), max_or_second(splat<V>(low), x));
}

// --- rounding to an integral value -----------------------------------------------------------------------------------

// 2^23 or 2^52: from here on every value is integral; adding and taking away again rounds to nearest even below.
template <class V>
constexpr LaneOf<V> kIntegral = sizeof(LaneOf<V>) == 4 ? 8388608.0 : 4503599627370496.0;
#if !defined(PLAIT_SIMD_GIVEN)
template <class V>
PLAIT_SIMD V round_even_by_magic(V x) {
  const V a = abs(x);
  const V r = (a + kIntegral<V>)-kIntegral<V>;
  return copysign(select(a < kIntegral<V>, r, a), x);  // NaN compares false and stays
}

enum class Rounding { even, down, up, zero };

template <Rounding kMode, class V>
PLAIT_SIMD V round_to(V x) {
#if defined(__x86_64__) && (defined(PLAIT_SIMD_AVX512) || defined(PLAIT_SIMD_AVX2))
  constexpr int kImmediate = (kMode == Rounding::even   ? _MM_FROUND_TO_NEAREST_INT
                              : kMode == Rounding::down ? _MM_FROUND_TO_NEG_INF
                              : kMode == Rounding::up   ? _MM_FROUND_TO_POS_INF
                                                        : _MM_FROUND_TO_ZERO) |
                             _MM_FROUND_NO_EXC;
#if defined(PLAIT_SIMD_AVX512)
  if constexpr (sizeof(V) == 64 && sizeof(LaneOf<V>) == 4) return (V)_mm512_roundscale_ps((__m512)x, kImmediate);
  if constexpr (sizeof(V) == 64 && sizeof(LaneOf<V>) == 8) return (V)_mm512_roundscale_pd((__m512d)x, kImmediate);
#endif
  if constexpr (sizeof(V) == 32 && sizeof(LaneOf<V>) == 4) return (V)_mm256_round_ps((__m256)x, kImmediate);
  if constexpr (sizeof(V) == 32 && sizeof(LaneOf<V>) == 8) return (V)_mm256_round_pd((__m256d)x, kImmediate);
  if constexpr (sizeof(V) == 16 && sizeof(LaneOf<V>) == 4) return (V)_mm_round_ps((__m128)x, kImmediate);
  if constexpr (sizeof(V) == 16 && sizeof(LaneOf<V>) == 8) return (V)_mm_round_pd((__m128d)x, kImmediate);
#elif defined(__aarch64__)
  if constexpr (sizeof(V) == 16 && sizeof(LaneOf<V>) == 4) {
    const auto n = (float32x4_t)x;
    return (V)(kMode == Rounding::even   ? vrndnq_f32(n)
               : kMode == Rounding::down ? vrndmq_f32(n)
               : kMode == Rounding::up   ? vrndpq_f32(n)
                                         : vrndq_f32(n));
  }
  if constexpr (sizeof(V) == 16 && sizeof(LaneOf<V>) == 8) {
    const auto n = (float64x2_t)x;
    return (V)(kMode == Rounding::even   ? vrndnq_f64(n)
               : kMode == Rounding::down ? vrndmq_f64(n)
               : kMode == Rounding::up   ? vrndpq_f64(n)
                                         : vrndq_f64(n));
  }
#endif
  // Baseline x86: round to nearest, then step where that went the wrong way. copysign keeps -0.
  const V r = round_even_by_magic(x);
  if constexpr (kMode == Rounding::down) return copysign(r - select(r > x, splat<V>(1), V{}), x);
  if constexpr (kMode == Rounding::up) return copysign(r + select(r < x, splat<V>(1), V{}), x);
  if constexpr (kMode == Rounding::zero) {
    const V a = abs(x), m = abs(r);
    return copysign(m - select(m > a, splat<V>(1), V{}), x);
  }
  return r;
}
#endif
template <class V>
PLAIT_SIMD V floor(V x) {
  return round_to<Rounding::down>(x);
}
template <class V>
PLAIT_SIMD V ceil(V x) {
  return round_to<Rounding::up>(x);
}
template <class V>
PLAIT_SIMD V trunc(V x) {
  return round_to<Rounding::zero>(x);
}
template <class V>
PLAIT_SIMD V round_even(V x) {
  return round_to<Rounding::even>(x);
}

#if !defined(PLAIT_SIMD_GIVEN)
// --- horizontal ------------------------------------------------------------------------------------------------------

/// Combine the lanes of v in a fixed tree: upper half onto lower half until one lane is left. The tree depends on the
/// lane count only, never on timing; sums differ between instruction sets unless the caller fixes the lane count.
template <class V, class Combine>
PLAIT_SIMD LaneOf<V> fold_lanes(V v, Combine combine) {
  if constexpr (kLanesOf<V> == 2) {
    return combine(v[0], v[1]);
  } else {
    return fold_lanes(combine(low_half(v), high_half(v)), combine);
  }
}
template <class V>
PLAIT_SIMD LaneOf<V> sum_lanes(V v) {
  return fold_lanes(v, [](auto a, auto b) __attribute__((always_inline)) { return static_cast<decltype(a)>(a + b); });
}
#endif

}  // namespace plait::cpu::PLAIT_TARGET
