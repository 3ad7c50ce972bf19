// Packing of operands for the tiles of dense products; see gemm_kernels.h. Elements are moved as bits.
#pragma once

#include "backends/cpu/gemm_kernels.h"
#include "backends/cpu/simd/vec.h"

namespace plait::cpu::PLAIT_TARGET {
namespace {

/// kSide rows of kSide elements, turned in registers.
template <class T>
constexpr int kSide = sizeof(T) == 4 && kVectorBytes >= 32 ? 8 : 4;

template <class T>
PLAIT_SIMD void turn(T* to, int64_t to_stride, const char* from, int64_t from_bytes) {
  constexpr int kN = kSide<T>;
  using V = VecN<T, kN>;
  V r[kN];
#pragma GCC unroll 8
  for (int i = 0; i < kN; ++i) r[i] = load_as<V>(from + i * from_bytes);
  if constexpr (kN == 8) {
    V pairs[8], fours[8];  // of rows: lanes of columns (0, 1, 4, 5), (2, 3, 6, 7); then of (c, c + 4)
#pragma GCC unroll 4
    for (int i = 0; i < 8; i += 2) {
      pairs[i] = __builtin_shufflevector(r[i], r[i + 1], 0, 8, 1, 9, 4, 12, 5, 13);
      pairs[i + 1] = __builtin_shufflevector(r[i], r[i + 1], 2, 10, 3, 11, 6, 14, 7, 15);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      const int first = i % 2 + i / 2 * 4;
      fours[i * 2] = __builtin_shufflevector(pairs[first], pairs[first + 2], 0, 1, 8, 9, 4, 5, 12, 13);
      fours[i * 2 + 1] = __builtin_shufflevector(pairs[first], pairs[first + 2], 2, 3, 10, 11, 6, 7, 14, 15);
    }
#pragma GCC unroll 4
    for (int c = 0; c < 4; ++c) {
      store(to + c * to_stride, __builtin_shufflevector(fours[c], fours[c + 4], 0, 1, 2, 3, 8, 9, 10, 11));
      store(to + (c + 4) * to_stride, __builtin_shufflevector(fours[c], fours[c + 4], 4, 5, 6, 7, 12, 13, 14, 15));
    }
  } else {
    const V ab0 = __builtin_shufflevector(r[0], r[1], 0, 4, 1, 5),
            ab1 = __builtin_shufflevector(r[0], r[1], 2, 6, 3, 7);
    const V cd0 = __builtin_shufflevector(r[2], r[3], 0, 4, 1, 5),
            cd1 = __builtin_shufflevector(r[2], r[3], 2, 6, 3, 7);
    store(to, __builtin_shufflevector(ab0, cd0, 0, 1, 4, 5));
    store(to + to_stride, __builtin_shufflevector(ab0, cd0, 2, 3, 6, 7));
    store(to + 2 * to_stride, __builtin_shufflevector(ab1, cd1, 0, 1, 4, 5));
    store(to + 3 * to_stride, __builtin_shufflevector(ab1, cd1, 2, 3, 6, 7));
  }
}

// Memory may be pairs of 16-bit elements, aligned to one of them.
template <class T>
PLAIT_SIMD T element(const char* from) {
  T x;
  __builtin_memcpy(&x, from, sizeof x);
  return x;
}

template <class T>
PLAIT_SIMD void fill_zero(T* to, int64_t count) {
  for (int64_t i = 0; i < count; ++i) to[i] = 0;
}

// Steps of a row lie side by side: each panel is turned. Panels have room for `room` steps.
template <class T, int kWidth>
PLAIT_SIMD void turn_panels(T* to, const char* from, int64_t row_bytes, int64_t count, int64_t steps, int64_t room) {
  constexpr int kN = kSide<T>;
  for (int64_t first = 0; first < count; first += kWidth, to += kWidth * room, from += kWidth * row_bytes) {
    const int64_t rows = count - first < kWidth ? count - first : kWidth;
    if (rows < kWidth) fill_zero(to, kWidth * room);
    int64_t i = 0;
    for (; i + kN <= rows; i += kN) {
      const char* row = from + i * row_bytes;
      int64_t p = 0;
      for (; p + kN <= steps; p += kN) turn(to + p * kWidth + i, kWidth, row + p * int64_t{sizeof(T)}, row_bytes);
      for (; p < steps; ++p)
        for (int k = 0; k < kN; ++k) to[p * kWidth + i + k] = element<T>(row + k * row_bytes + p * int64_t{sizeof(T)});
    }
    for (; i < rows; ++i)
      for (int64_t p = 0; p < steps; ++p)
        to[p * kWidth + i] = element<T>(from + i * row_bytes + p * int64_t{sizeof(T)});
  }
}

// Rows of a step lie side by side. A few steps at a time go to all panels, so that memory is read along its lines.
template <int kWidth, class Step>
PLAIT_SIMD void each_line(int64_t count, int64_t steps, Step step) {
  constexpr int64_t kRun = 8;
  for (int64_t p = 0; p < steps; p += kRun) {
    const int64_t end = p + kRun < steps ? p + kRun : steps;
    for (int64_t first = 0; first < count; first += kWidth)
      for (int64_t k = p; k < end; ++k) step(first, k);
  }
}

constexpr int largest_power(int n, int most) {
  int power = 1;
  while (power * 2 <= most && n % (power * 2) == 0) power *= 2;
  return power;
}

template <class T, int kWidth>
struct PackElements {
  static void along(void* to, const void* from, int64_t row_bytes, int64_t count, int64_t depth) {
    turn_panels<T, kWidth>(static_cast<T*>(to), static_cast<const char*>(from), row_bytes, count, depth, depth);
  }
  static void across(void* to_memory, const void* from_memory, int64_t step_bytes, int64_t count, int64_t depth) {
    using V = VecN<T, largest_power(kWidth, kLanes<T>)>;
    T* to = static_cast<T*>(to_memory);
    const char* from = static_cast<const char*>(from_memory);
    each_line<kWidth>(count, depth, [&](int64_t first, int64_t p) __attribute__((always_inline)) {
      T* at = to + first * depth + p * kWidth;
      const char* line = from + p * step_bytes + first * int64_t{sizeof(T)};
      if (count - first >= kWidth) {
        for (int j = 0; j < kWidth; j += kLanesOf<V>) store(at + j, load_as<V>(line + j * int64_t{sizeof(T)}));
        return;
      }
      for (int64_t j = 0; j < kWidth; ++j) at[j] = j < count - first ? element<T>(line + j * int64_t{sizeof(T)}) : T(0);
    });
  }
};

// 16-bit elements, the two of neighbouring steps together; an odd last step is paired with zero.
template <int kWidth>
struct PackPairs {
  static void along(void* to_memory, const void* from_memory, int64_t row_bytes, int64_t count, int64_t depth) {
    auto* to = static_cast<uint32_t*>(to_memory);
    const char* from = static_cast<const char*>(from_memory);
    const int64_t pairs = depth / 2, room = (depth + 1) / 2;
    turn_panels<uint32_t, kWidth>(to, from, row_bytes, count, pairs, room);
    if (pairs == room) return;
    for (int64_t i = 0; i < count; ++i)
      to[(i / kWidth * room + pairs) * kWidth + i % kWidth] = element<uint16_t>(from + i * row_bytes + (depth - 1) * 2);
  }
  static void across(void* to_memory, const void* from_memory, int64_t step_bytes, int64_t count, int64_t depth) {
    constexpr int kChunk = largest_power(kWidth, kLanes<uint32_t>);
    using Narrow = VecN<uint16_t, kChunk>;
    using Wide = VecN<uint32_t, kChunk>;
    auto* to = static_cast<uint32_t*>(to_memory);
    const char* from = static_cast<const char*>(from_memory);
    const int64_t pairs = (depth + 1) / 2;
    each_line<kWidth>(count, pairs, [&](int64_t first, int64_t p) __attribute__((always_inline)) {
      uint32_t* at = to + first * pairs + p * kWidth;
      const char* even = from + 2 * p * step_bytes + first * 2;
      const char* odd = even + step_bytes;
      const bool both = 2 * p + 1 < depth;
      if (both && count - first >= kWidth) {
        for (int j = 0; j < kWidth; j += kChunk)
          store(at + j, __builtin_convertvector(load_as<Narrow>(even + 2 * j), Wide) |
                            __builtin_convertvector(load_as<Narrow>(odd + 2 * j), Wide) << 16);
        return;
      }
      for (int64_t j = 0; j < kWidth; ++j)
        at[j] = j >= count - first ? 0
                                   : element<uint16_t>(even + 2 * j) |
                                         uint32_t{both ? element<uint16_t>(odd + 2 * j) : uint16_t{0}} << 16;
    });
  }
};

template <int kWidth>
using Pack32 = PackElements<uint32_t, kWidth>;
template <int kWidth>
using Pack64 = PackElements<uint64_t, kWidth>;

template <template <int> class Pack, int kWidth>
constexpr GemmPanels panels() {
  return {kWidth, Pack<kWidth>::along, Pack<kWidth>::across};
}

}  // namespace
}  // namespace plait::cpu::PLAIT_TARGET
