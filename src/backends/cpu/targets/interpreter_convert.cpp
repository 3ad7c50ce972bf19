// Conversions between types, and of the 16-bit floats.
#include "backends/cpu/simd/half.h"
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

// --- 16-bit floats ---------------------------------------------------------------------------------------------------

struct Float16 {
  PLAIT_SIMD Vec<float> widen(HalfBits h) { return widen_f16(h); }
  PLAIT_SIMD HalfBits narrow(Vec<float> x) { return narrow_f16(x); }
};
struct Bfloat16 {
  PLAIT_SIMD Vec<float> widen(HalfBits h) { return widen_bf16(h); }
  PLAIT_SIMD HalfBits narrow(Vec<float> x) { return narrow_bf16(x); }
};

template <class Half>
void load_half(char* out, const char* a, const char*, const char*, unsigned uniform, int64_t n) {
  const int64_t step_a = uniform & 1 ? 0 : sizeof(HalfBits);
  for (int64_t i = 0; i < n; i += kLanes<float>) {
    store(out, Half::widen(load_as<HalfBits>(a)));
    out += kVectorBytes, a += step_a;
  }
}
template <class Half>
void store_half(char* out, const char* a, const char*, const char*, unsigned uniform, int64_t n) {
  const int64_t step_a = uniform & 1 ? 0 : kVectorBytes;
  n = padded(n);
  for (int64_t i = 0; i < n; i += kLanes<float>) {
    store(out, Half::narrow(load_as<Vec<float>>(a)));
    out += sizeof(HalfBits), a += step_a;
  }
}
template <class Half>
struct Round {
  PLAIT_SIMD Vec<float> apply(Vec<float> a) { return Half::widen(Half::narrow(a)); }
};

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
  const auto convert = [&](DType from, DType to) -> TileFn& {
    return table.convert[static_cast<int>(from)][static_cast<int>(to)];
  };
  convert(DType::float16, DType::float32) = load_half<Float16>;
  convert(DType::float32, DType::float16) = store_half<Float16>;
  convert(DType::bfloat16, DType::float32) = load_half<Bfloat16>;
  convert(DType::float32, DType::bfloat16) = store_half<Bfloat16>;
  const int f32 = static_cast<int>(DType::float32);
  table.compute[static_cast<int>(Op::round_f16)][f32] = unary_tile<float, Round<Float16>>;
  table.compute[static_cast<int>(Op::round_bf16)][f32] = unary_tile<float, Round<Bfloat16>>;
}

}  // namespace plait::cpu::PLAIT_TARGET
