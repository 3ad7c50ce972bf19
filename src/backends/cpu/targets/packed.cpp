#include "backends/cpu/packed_kernels.h"
#include "backends/cpu/simd/vec.h"

#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // g++ 12 warns of its own _mm512_undefined_epi32

namespace plait::cpu::PLAIT_TARGET {
namespace {

using V = Vec<float>;
using Words = Vec<uint32_t>;
constexpr int kL = kLanes<float>;
static_assert(kL <= kPackedPadding);

constexpr int bits_of(PackedKind kind) {
  switch (kind) {
    case PackedKind::bits2: return 2;
    case PackedKind::bits3: return 3;
    case PackedKind::bits5: return 5;
    case PackedKind::bits6: return 6;
    case PackedKind::bits8:
    case PackedKind::float8: return 8;
    default: return 4;
  }
}

// --- what codes stand for --------------------------------------------------------------------------------------------

template <int kLanesOfIt>
using Codes = VecN<uint32_t, kLanesOfIt>;
template <int kLanesOfIt>
using Numbers = VecN<float, kLanesOfIt>;

alignas(64) constexpr float kFloat4[16] = {0.0f,  0.5f,  1.0f,  1.5f,  2.0f,  3.0f,  4.0f,  6.0f,
                                           -0.0f, -0.5f, -1.0f, -1.5f, -2.0f, -3.0f, -4.0f, -6.0f};

template <int N>
PLAIT_SIMD Numbers<N> as_floats(Codes<N> code) {  // as signed integers: one instruction everywhere
  return __builtin_convertvector(bit_cast<VecN<int32_t, N>>(code), Numbers<N>);
}

template <int N>
PLAIT_SIMD Numbers<N> float4(Codes<N> code) {
#if defined(PLAIT_SIMD_AVX512)
  if constexpr (N == 16) return (Numbers<N>)_mm512_permutexvar_ps((__m512i)code, _mm512_load_ps(kFloat4));
#endif
#if defined(PLAIT_SIMD_AVX512) || defined(PLAIT_SIMD_AVX2)
  if constexpr (N == 8) {
    const auto magnitude = (Codes<N>)_mm256_permutevar8x32_ps(_mm256_load_ps(kFloat4), (__m256i)code);
    return bit_cast<Numbers<N>>(magnitude | ((code & 8) << 28));
  }
#endif
  const Codes<N> magnitude = code & 7;
  const auto small = bit_cast<Codes<N>>(as_floats<N>(magnitude) * 0.5f);
  const auto value = select(magnitude < 2, small, (magnitude << 22) + (126u << 23));
  return bit_cast<Numbers<N>>(value | ((code & 8) << 28));
}

template <int N>
PLAIT_SIMD Numbers<N> float8(Codes<N> code) {
  const Codes<N> magnitude = code & 0x7f;
  const auto small = bit_cast<Codes<N>>(as_floats<N>(magnitude) * 0x1p-9f);
  auto value = select(magnitude < 8, small, (magnitude << 20) + (120u << 23));
  value = select(magnitude == 0x7f, Codes<N>{} + 0x7fc00000u, value);
  return bit_cast<Numbers<N>>(value | ((code & 0x80) << 24));
}

/// The numbers of codes in the lowest bits; what stands above them is ignored.
template <PackedKind kKind, int N>
PLAIT_SIMD Numbers<N> number(Codes<N> code) {
  if constexpr (kKind == PackedKind::float4) return float4<N>(code);
  code &= (1u << bits_of(kKind)) - 1;
  if constexpr (kKind == PackedKind::float8) return float8<N>(code);
  return as_floats<N>(code);
}

// --- dot products ----------------------------------------------------------------------------------------------------
// Each lane has a unit of its own: codes that fill whole words. So every lane does the same shifts, numbers never leave
// their lane before the end, and x is arranged once for all rows.

template <PackedKind kKind>
struct Unit {
  static constexpr int kBits = bits_of(kKind), kCodes = packed_codes(kKind), kWords = kCodes * kBits / 32;
  Words words[kWords];
};

template <PackedKind kKind>
PLAIT_SIMD void read(Unit<kKind>& unit, const uint32_t* from) {
  constexpr int kWords = Unit<kKind>::kWords;
  if constexpr (kWords == 1) {
    unit.words[0] = load(from);
  } else {
#pragma GCC unroll 6
    for (int t = 0; t < kWords; ++t) {
#if defined(PLAIT_SIMD_AVX512)
      unit.words[t] = (Words)_mm512_i32gather_epi32((__m512i)(iota<Vec<int32_t>>() * kWords), from + t, 4);
#elif defined(PLAIT_SIMD_AVX2)
      unit.words[t] = (Words)_mm256_i32gather_epi32(reinterpret_cast<const int*>(from + t),
                                                    (__m256i)(iota<Vec<int32_t>>() * kWords), 4);
#else
      for (int lane = 0; lane < kL; ++lane) unit.words[t][lane] = from[lane * kWords + t];
#endif
    }
  }
}

template <int kCode, PackedKind kKind>
PLAIT_SIMD V number_at(const Unit<kKind>& unit) {
  constexpr int kBits = Unit<kKind>::kBits, kAt = kCode * kBits, kWord = kAt / 32, kShift = kAt % 32;
  Words code = unit.words[kWord] >> kShift;
  if constexpr (kShift + kBits > 32) code |= unit.words[kWord + 1] << (32 - kShift);
  return number<kKind, kL>(code);
}

PLAIT_SIMD V spread_scales(const float* scales, Vec<int32_t> from) {
#if defined(PLAIT_SIMD_AVX512)
  return (V)_mm512_permutexvar_ps((__m512i)from, _mm512_loadu_ps(scales));
#elif defined(PLAIT_SIMD_AVX2)
  return (V)_mm256_permutevar8x32_ps(_mm256_loadu_ps(scales), (__m256i)from);
#else
  V v{};
  for (int lane = 0; lane < kL; ++lane) v[lane] = scales[from[lane]];
  return v;
#endif
}

template <PackedKind kKind, int kX, int kRows, int... kCode>
PLAIT_SIMD void add_units(const uint32_t* const (&words)[kRows], const float* x, int64_t x_stride, V (&sums)[kRows][kX],
                          std::integer_sequence<int, kCode...>) {
  Unit<kKind> unit[kRows];
  for (int r = 0; r < kRows; ++r) read(unit[r], words[r]);
  for (int r = 0; r < kRows; ++r)
    for (int m = 0; m < kX; ++m) sums[r][m] = V{};
  const auto add = [&]<int kOne>(std::integral_constant<int, kOne>) __attribute__((always_inline)) {
    V from_x[kX];
    for (int m = 0; m < kX; ++m) from_x[m] = load(x + m * x_stride + kOne * kL);
    for (int r = 0; r < kRows; ++r) {
      const V value = number_at<kOne>(unit[r]);
      for (int m = 0; m < kX; ++m) sums[r][m] = fma(value, from_x[m], sums[r][m]);
    }
  };
  (add(std::integral_constant<int, kCode>{}), ...);
}

template <PackedKind kKind, int kX>
void dots(const PackedDots& at) {
  constexpr int kRows = kPackedRows / kX, kCodes = packed_codes(kKind), kWords = Unit<kKind>::kWords;
  constexpr auto kEach = std::make_integer_sequence<int, kCodes>{};
  const int64_t units = at.n / kCodes, groups = at.n / at.group, in_group = at.group / kCodes;
  const int64_t x_stride = (units + kL - 1) / kL * kL * kCodes;
  Vec<int32_t> from_scales;
  for (int lane = 0; lane < kL; ++lane) from_scales[lane] = static_cast<int32_t>(lane / in_group);
  V totals[kRows][kX] = {}, sums[kRows][kX];
  const uint32_t* words[kRows];
  for (int64_t unit = 0; unit < units; unit += kL) {
    uint32_t rest[kRows][kL * kWords];
    for (int r = 0; r < kRows; ++r) words[r] = at.words[r] + unit * kWords;
    if (unit + kL > units)
      for (int r = 0; r < kRows; ++r) {
        __builtin_memset(rest[r], 0, sizeof rest[r]);
        __builtin_memcpy(rest[r], words[r], static_cast<size_t>((units - unit) * kWords) * sizeof(uint32_t));
        words[r] = rest[r];
      }
    add_units<kKind, kX, kRows>(words, at.x + unit * kCodes, x_stride, sums, kEach);
    for (int r = 0; r < kRows; ++r) {
      const V scale = spread_scales(at.scales[r] + unit / in_group, from_scales);
      for (int m = 0; m < kX; ++m) totals[r][m] = fma(sums[r][m], scale, totals[r][m]);
    }
  }
  for (int r = 0; r < kRows; ++r)
    for (int m = 0; m < kX; ++m) {
      V total = totals[r][m];
      if (at.biases[r] != nullptr)
        for (int64_t g = 0; g < groups; g += kL)
          total = fma(load(at.biases[r] + g), load(at.x_sums + m * at.x_sums_stride + g), total);
      at.sums[r * kX + m] = sum_lanes(total);
    }
}

void arrange(const float* from, int64_t n, int codes, float* to) {
  const int64_t units = n / codes;
  for (int64_t unit = 0; unit < units; unit += kL, to += kL * codes) {
    const int64_t lanes = units - unit < kL ? units - unit : kL;
    if (lanes < kL) __builtin_memset(to, 0, static_cast<size_t>(kL * codes) * sizeof(float));
    for (int64_t lane = 0; lane < lanes; ++lane)
      for (int c = 0; c < codes; ++c) to[c * kL + lane] = from[(unit + lane) * codes + c];
  }
}

// --- whole rows ------------------------------------------------------------------------------------------------------

// Eight codes fill `bits` bytes. Loads that put a number together from parts would wait for stores of these.
template <class T>
PLAIT_SIMD uint64_t word_at(const unsigned char* bytes) {
  T word;
  __builtin_memcpy(&word, bytes, sizeof word);
  return word;
}
template <int kBits>
PLAIT_SIMD uint64_t eight_codes(const unsigned char* bytes) {
  if constexpr (kBits == 2) return word_at<uint16_t>(bytes);
  if constexpr (kBits == 3) return word_at<uint16_t>(bytes) | word_at<uint8_t>(bytes + 2) << 16;
  if constexpr (kBits == 4) return word_at<uint32_t>(bytes);
  if constexpr (kBits == 5) return word_at<uint32_t>(bytes) | word_at<uint8_t>(bytes + 4) << 32;
  if constexpr (kBits == 6) return word_at<uint32_t>(bytes) | word_at<uint16_t>(bytes + 4) << 32;
  return word_at<uint64_t>(bytes);
}

// Each code in the lowest bits of its lane; four of them have 32 bits at most.
template <int kBits>
PLAIT_SIMD Codes<8> spread_codes(uint64_t codes) {
  const Codes<8> low = Codes<8>{} + static_cast<uint32_t>(codes);
  if constexpr (kBits <= 4) {
    return low >> Codes<8>{0, kBits, 2 * kBits, 3 * kBits, 4 * kBits, 5 * kBits, 6 * kBits, 7 * kBits};
  } else {
    const Codes<8> high = Codes<8>{} + static_cast<uint32_t>(codes >> (4 * kBits));
    constexpr VecN<int32_t, 8> kFirst = {-1, -1, -1, -1, 0, 0, 0, 0};
    return select(kFirst, low, high) >> Codes<8>{0, kBits, 2 * kBits, 3 * kBits, 0, kBits, 2 * kBits, 3 * kBits};
  }
}

template <PackedKind kKind>
void unpack(const PackedPart& part, float* to) {
  constexpr int kBits = bits_of(kKind);
  const int64_t last = part.first + part.count;
  const auto* bytes = reinterpret_cast<const unsigned char*>(part.words) + part.first / 8 * kBits;
  for (int64_t i = part.first; i < last;) {
    const int64_t g = i / part.group, next = (g + 1) * part.group, end = next < last ? next : last;
    const Numbers<8> scale = Numbers<8>{} + part.scales[g];
    if (part.biases == nullptr) {
      for (; i < end; i += 8, bytes += kBits, to += 8)
        store(to, number<kKind, 8>(spread_codes<kBits>(eight_codes<kBits>(bytes))) * scale);
    } else {
      const Numbers<8> bias = Numbers<8>{} + part.biases[g];
      for (; i < end; i += 8, bytes += kBits, to += 8)
        store(to, number<kKind, 8>(spread_codes<kBits>(eight_codes<kBits>(bytes))) * scale + bias);
    }
  }
}

template <PackedKind kKind>
constexpr void add(PackedKernels& table) {
  table.kinds[static_cast<int>(kKind)] = {{dots<kKind, 1>, dots<kKind, 2>, dots<kKind, 4>}, unpack<kKind>};
}

constexpr PackedKernels kernels() {
  PackedKernels table;
  table.lanes = kL;
  table.arrange = arrange;
  add<PackedKind::bits2>(table);
  add<PackedKind::bits3>(table);
  add<PackedKind::bits4>(table);
  add<PackedKind::bits5>(table);
  add<PackedKind::bits6>(table);
  add<PackedKind::bits8>(table);
  add<PackedKind::float4>(table);
  add<PackedKind::float8>(table);
  return table;
}

}  // namespace

extern const PackedKernels kPackedKernels = kernels();

}  // namespace plait::cpu::PLAIT_TARGET
