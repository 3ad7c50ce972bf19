// Conversions between types, and of the 16-bit floats.
#include "backends/cpu/targets/tile_loops.h"

namespace plait::cpu::PLAIT_TARGET {
namespace {

using ir::Op;

// Float to integer truncates and wraps as two's complement; NaN and what no 64-bit integer holds give 0.
template <class To, class From>
PLAIT_SIMD To wrapped(From x) {
  constexpr From kTwo63 = static_cast<From>(9223372036854775808.0);
  if (x >= kTwo63) return x < 2 * kTwo63 ? static_cast<To>(static_cast<uint64_t>(x)) : To{0};
  return x >= -kTwo63 ? static_cast<To>(static_cast<int64_t>(x)) : To{0};
}

// Simple loops over blocks of a tile, which the compiler makes into vectors. Reads of a block come before its writes, so that a
// result may take the place of an operand of its width.
template <class To, class From, class F>
PLAIT_SIMD void blocks(char* out, const char* a, unsigned uniform, int64_t n, F f) {
  constexpr int kBlock = kVectorBytes / (sizeof(To) < sizeof(From) ? sizeof(To) : sizeof(From));
  constexpr int kStep = kBlock < 16 ? 16 : kBlock;
  const int64_t step_a = uniform & 1 ? 0 : kStep;
  n = padded(n);
  const char* from = a;
  for (int64_t i = 0; i < n; i += kStep) {
    From in[kStep];
    To to[kStep];
    if (uniform & 1) {
      From one;
      __builtin_memcpy(&one, from, sizeof one);
      for (int j = 0; j < kStep; ++j) in[j] = one;
    } else {
      __builtin_memcpy(in, from, sizeof in);
    }
    f(to, in);
    __builtin_memcpy(out, to, sizeof to);
    out += sizeof to, from += step_a * static_cast<int64_t>(sizeof(From));
  }
}

template <class To, class From>
void convert_tile(char* out, const char* a, const char*, const char*, unsigned uniform, int64_t n) {
  blocks<To, From>(out, a, uniform, n, [](auto& to, const auto& in) __attribute__((always_inline)) {
    constexpr int kStep = sizeof to / sizeof to[0];
    if constexpr (std::is_same_v<To, bool>) {
      uint8_t* bytes = reinterpret_cast<uint8_t*>(to);
      for (int j = 0; j < kStep; ++j) bytes[j] = in[j] != 0;
    } else if constexpr (std::is_floating_point_v<From> && std::is_integral_v<To>) {
      int outside = 0;
      for (int j = 0; j < kStep; ++j) outside |= !(in[j] > From(-2147483648.0) && in[j] < From(2147483648.0));
      if (!outside) {
        for (int j = 0; j < kStep; ++j) to[j] = static_cast<To>(static_cast<int32_t>(in[j]));
      } else {
        for (int j = 0; j < kStep; ++j) to[j] = wrapped<To>(in[j]);
      }
    } else {
      for (int j = 0; j < kStep; ++j) to[j] = static_cast<To>(in[j]);
    }
  });
}

// --- 16-bit floats, by integer arithmetic where the machine has no instruction ---------------------------------------

PLAIT_SIMD uint32_t word(float x) {
  uint32_t u;
  __builtin_memcpy(&u, &x, sizeof u);
  return u;
}
PLAIT_SIMD float as_float(uint32_t u) {
  float x;
  __builtin_memcpy(&x, &u, sizeof x);
  return x;
}

// NaNs stay NaNs (quiet, payload cut); rounds to nearest even.
PLAIT_SIMD uint32_t bfloat16_of(float x) {
  const uint32_t u = word(x);
  return (u & 0x7fffffffu) > 0x7f800000u ? (u >> 16) | 0x40u : (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;
}
PLAIT_SIMD uint32_t float16_of(float x) {
  const uint32_t u = word(x), sign = (u >> 16) & 0x8000u, size = u & 0x7fffffffu;
  const uint32_t nan = 0x7e00u | ((size >> 13) & 0x3ffu);
  const uint32_t tiny = word(as_float(size) + 0.5f) - 0x3f000000u;  // adding 0.5 aligns the last kept bit
  const uint32_t normal = (size + 0xfffu + ((size >> 13) & 1u) - 0x38000000u) >> 13;
  return sign | (size > 0x7f800000u ? nan : size >= 0x477ff000u ? 0x7c00u : size < 0x38800000u ? tiny : normal);
}
PLAIT_SIMD float float16_to(uint32_t bits) {
  const uint32_t sign = (bits & 0x8000u) << 16, size = bits & 0x7fffu;
  const uint32_t large = 0x7f800000u | ((size & 0x3ffu) << 13) | (size > 0x7c00u ? 0x400000u : 0u);
  const uint32_t normal = (size << 13) + 0x38000000u;
  const uint32_t tiny = word(static_cast<float>(static_cast<int32_t>(size)) * 0x1p-24f);
  return as_float(sign | (size >= 0x7c00u ? large : size >= 0x400u ? normal : tiny));
}

template <int kCount>
PLAIT_SIMD void to_float16(uint16_t (&to)[kCount], const float (&in)[kCount]) {
#if defined(PLAIT_SIMD_AVX512) || defined(PLAIT_SIMD_AVX2)
  for (int j = 0; j < kCount; j += 8)
    store(to + j, _mm256_cvtps_ph((__m256)load_as<VecN<float, 8>>(in + j), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
#else
  for (int j = 0; j < kCount; ++j) to[j] = static_cast<uint16_t>(float16_of(in[j]));
#endif
}
template <int kCount>
PLAIT_SIMD void from_float16(float (&to)[kCount], const uint16_t (&in)[kCount]) {
#if defined(PLAIT_SIMD_AVX512) || defined(PLAIT_SIMD_AVX2)
  for (int j = 0; j < kCount; j += 8) store(to + j, _mm256_cvtph_ps((__m128i)load_as<VecN<int64_t, 2>>(in + j)));
#else
  for (int j = 0; j < kCount; ++j) to[j] = float16_to(in[j]);
#endif
}

void load_float16(char* out, const char* a, const char*, const char*, unsigned uniform, int64_t n) {
  blocks<float, uint16_t>(out, a, uniform, n, [](auto& to, const auto& in) __attribute__((always_inline)) { from_float16(to, in); });
}
void store_float16(char* out, const char* a, const char*, const char*, unsigned uniform, int64_t n) {
  blocks<uint16_t, float>(out, a, uniform, n, [](auto& to, const auto& in) __attribute__((always_inline)) { to_float16(to, in); });
}
void round_float16(char* out, const char* a, const char*, const char*, unsigned uniform, int64_t n) {
  blocks<float, float>(out, a, uniform, n, [](auto& to, const auto& in) __attribute__((always_inline)) {
    uint16_t half[sizeof to / sizeof to[0]];
    to_float16(half, in);
    from_float16(to, half);
  });
}
void load_bfloat16(char* out, const char* a, const char*, const char*, unsigned uniform, int64_t n) {
  blocks<float, uint16_t>(out, a, uniform, n, [](auto& to, const auto& in) __attribute__((always_inline)) {
    for (unsigned j = 0; j < sizeof to / sizeof to[0]; ++j) to[j] = as_float(static_cast<uint32_t>(in[j]) << 16);
  });
}
void store_bfloat16(char* out, const char* a, const char*, const char*, unsigned uniform, int64_t n) {
  blocks<uint16_t, float>(out, a, uniform, n, [](auto& to, const auto& in) __attribute__((always_inline)) {
    for (unsigned j = 0; j < sizeof to / sizeof to[0]; ++j) to[j] = static_cast<uint16_t>(bfloat16_of(in[j]));
  });
}
void round_bfloat16(char* out, const char* a, const char*, const char*, unsigned uniform, int64_t n) {
  blocks<float, float>(out, a, uniform, n, [](auto& to, const auto& in) __attribute__((always_inline)) {
    for (unsigned j = 0; j < sizeof to / sizeof to[0]; ++j) to[j] = as_float(bfloat16_of(in[j]) << 16);
  });
}

template <class From>
void add_from(TileKernels& table, DType type) {
  TileFn* to = table.convert[static_cast<int>(type)];
  const auto set = [&](DType d, TileFn fn) { to[static_cast<int>(d)] = fn; };
  set(DType::bool_, convert_tile<bool, From>);
  set(DType::float32, convert_tile<float, From>);
  set(DType::float64, convert_tile<double, From>);
  set(DType::int8, convert_tile<int8_t, From>);
  set(DType::int16, convert_tile<int16_t, From>);
  set(DType::int32, convert_tile<int32_t, From>);
  set(DType::int64, convert_tile<int64_t, From>);
  if constexpr (std::is_floating_point_v<From>) {
    set(DType::uint8, convert_tile<uint8_t, From>);
    set(DType::uint16, convert_tile<uint16_t, From>);
    set(DType::uint32, convert_tile<uint32_t, From>);
    set(DType::uint64, convert_tile<uint64_t, From>);
  } else {  // the same bits
    set(DType::uint8, convert_tile<int8_t, From>);
    set(DType::uint16, convert_tile<int16_t, From>);
    set(DType::uint32, convert_tile<int32_t, From>);
    set(DType::uint64, convert_tile<int64_t, From>);
  }
}

}  // namespace

void add_convert_kernels(TileKernels& table) {
  add_from<uint8_t>(table, DType::bool_);
  add_from<uint8_t>(table, DType::uint8);
  add_from<uint16_t>(table, DType::uint16);
  add_from<uint32_t>(table, DType::uint32);
  add_from<uint64_t>(table, DType::uint64);
  add_from<int8_t>(table, DType::int8);
  add_from<int16_t>(table, DType::int16);
  add_from<int32_t>(table, DType::int32);
  add_from<int64_t>(table, DType::int64);
  add_from<float>(table, DType::float32);
  add_from<double>(table, DType::float64);
  const auto convert = [&](DType from, DType to) -> TileFn& { return table.convert[static_cast<int>(from)][static_cast<int>(to)]; };
  convert(DType::float16, DType::float32) = load_float16;
  convert(DType::float32, DType::float16) = store_float16;
  convert(DType::bfloat16, DType::float32) = load_bfloat16;
  convert(DType::float32, DType::bfloat16) = store_bfloat16;
  const int f32 = static_cast<int>(DType::float32);
  table.compute[static_cast<int>(Op::round_f16)][f32] = round_float16;
  table.compute[static_cast<int>(Op::round_bf16)][f32] = round_bfloat16;
}

}  // namespace plait::cpu::PLAIT_TARGET
