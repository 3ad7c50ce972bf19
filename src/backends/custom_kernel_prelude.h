// What stands around a user's body in the text that is compiled.
#pragma once

namespace plait {

/// Types and helpers that bodies for the CPU use.
inline constexpr const char* kCustomCppPrelude = R"PLAIT(#include <algorithm>
#include <bit>
#include <cmath>
#include <complex>
#include <cstdint>
#include <cstring>
#include <exception>
#include <limits>
#include <type_traits>

using std::int8_t, std::int16_t, std::int32_t, std::int64_t, std::uint8_t, std::uint16_t, std::uint32_t, std::uint64_t;
using complex64_t = std::complex<float>;
using uint = unsigned int;

namespace plait_types {
// 16 bits in memory, float in arithmetic; rounded to the nearest, ties to even.
inline uint32_t bits_of(float x) { return std::bit_cast<uint32_t>(x); }
inline uint16_t to_half(float x) {
  const uint32_t sign = bits_of(x) >> 16 & 0x8000u, a = bits_of(x) & 0x7fffffffu;
  if (a > 0x7f800000u) return static_cast<uint16_t>(sign | 0x7e00u);
  if (a >= 0x477ff000u) return static_cast<uint16_t>(sign | 0x7c00u);
  if (a < 0x38800000u)  // 0.5 has the last place of the smallest halves
    return static_cast<uint16_t>(sign | (bits_of(std::bit_cast<float>(a) + 0.5f) - 0x3f000000u));
  return static_cast<uint16_t>(sign | (a - 0x38000000u + 0xfffu + (a >> 13 & 1u)) >> 13);
}
inline float from_half(uint16_t h) {
  const uint32_t sign = static_cast<uint32_t>(h & 0x8000u) << 16, a = h & 0x7fffu;
  if (a >= 0x7c00u) return std::bit_cast<float>(sign | 0x7f800000u | (a & 0x3ffu) << 13);
  return std::bit_cast<float>(sign | bits_of(std::bit_cast<float>(a << 13) * 0x1p112f));
}
inline uint16_t to_brain(float x) {
  const uint32_t a = bits_of(x);
  return static_cast<uint16_t>((a & 0x7fffffffu) > 0x7f800000u ? a >> 16 | 0x40u : (a + 0x7fffu + (a >> 16 & 1u)) >> 16);
}
inline float from_brain(uint16_t b) { return std::bit_cast<float>(static_cast<uint32_t>(b) << 16); }

template <uint16_t (*To)(float), float (*From)(uint16_t)>
struct Short {
  uint16_t bits;
  Short() = default;
  Short(float x) : bits(To(x)) {}
  operator float() const { return From(bits); }
  Short& operator+=(float x) { return *this = *this + x; }
  Short& operator-=(float x) { return *this = *this - x; }
  Short& operator*=(float x) { return *this = *this * x; }
  Short& operator/=(float x) { return *this = *this / x; }
};
struct Position {
  int64_t x, y, z;
};
}  // namespace plait_types
using float16_t = plait_types::Short<plait_types::to_half, plait_types::from_half>;
using bfloat16_t = plait_types::Short<plait_types::to_brain, plait_types::from_brain>;

// Where an element lies, in elements from the first, of which it is number `elem` in row-major order.
inline int64_t elem_to_loc(int64_t elem, const int64_t* shape, const int64_t* strides, int ndim) {
  int64_t at = 0;
  for (int i = ndim - 1; i >= 0; --i) {
    at += elem % shape[i] * strides[i];
    elem /= shape[i];
  }
  return at;
}
)PLAIT";

/// Parameters of the body that say which point of the grid it is at.
inline constexpr const char* kCustomCppPositions =
    ", [[maybe_unused]] const plait_types::Position& thread_position_in_grid"
    ", [[maybe_unused]] const plait_types::Position& thread_position_in_threadgroup"
    ", [[maybe_unused]] const plait_types::Position& threadgroup_position_in_grid"
    ", [[maybe_unused]] const plait_types::Position& threads_per_threadgroup"
    ", [[maybe_unused]] const plait_types::Position& threads_per_grid";

/// CustomCpuFunction: groups in order, the points of a group in row-major order. What is behind the grid's end is left out.
inline constexpr const char* kCustomCppEntry = R"PLAIT((
    const void* const* inputs, void* const* outputs, const int64_t* const* shapes, const int64_t* const* strides,
    const int64_t (&grid)[3], const int64_t (&group)[3], int64_t begin, int64_t end, char* error, int64_t room) try {
  using plait_types::Position;
  (void)inputs, (void)shapes, (void)strides;
  const Position all{grid[0], grid[1], grid[2]}, per_group{group[0], group[1], group[2]};
  const int64_t across = (grid[0] + group[0] - 1) / group[0], down = (grid[1] + group[1] - 1) / group[1];
  for (int64_t g = begin; g < end; ++g) {
    const Position place{g % across, g / across % down, g / across / down};
    const Position first{place.x * group[0], place.y * group[1], place.z * group[2]};
    const Position last{std::min(first.x + group[0], grid[0]), std::min(first.y + group[1], grid[1]),
                        std::min(first.z + group[2], grid[2])};
    for (int64_t z = first.z; z < last.z; ++z)
      for (int64_t y = first.y; y < last.y; ++y)
        for (int64_t x = first.x; x < last.x; ++x)
)PLAIT";

/// Behind the arguments of the body's call: its positions, and the end of the function.
inline constexpr const char* kCustomCppCall =
    R"PLAIT(, Position{x, y, z}, Position{x - first.x, y - first.y, z - first.z}, place, per_group, all);
  }
  return false;
} catch (const std::exception& thrown) {
  std::strncpy(error, thrown.what(), static_cast<size_t>(room) - 1);
  return true;
} catch (...) {
  std::strncpy(error, "something that is no std::exception", static_cast<size_t>(room) - 1);
  return true;
}
)PLAIT";

/// Names of types as the CPU has them, and what launches hand over.
inline constexpr const char* kCustomCudaPrelude = R"PLAIT(
namespace plait_types {
using int8_t = signed char;
using int16_t = short;
using int32_t = int;
using int64_t = long long;
using uint8_t = unsigned char;
using uint16_t = unsigned short;
using uint32_t = unsigned int;
using uint64_t = unsigned long long;
using complex64_t = float2;
template <int N>
struct Layout {
  int64_t shape[N], strides[N];
};
struct Grid {
  uint64_t x, y, z;
};
}  // namespace plait_types

// Where an element lies, in elements from the first, of which it is number `elem` in row-major order.
__device__ inline long long elem_to_loc(long long elem, const long long* shape, const long long* strides, int ndim) {
  long long at = 0;
  for (int i = ndim - 1; i >= 0; --i) {
    at += elem % shape[i] * strides[i];
    elem /= shape[i];
  }
  return at;
}
)PLAIT";

/// The body's first lines. Names are its own, whatever headers define; what is behind the grid's end has nothing to do.
inline constexpr const char* kCustomCudaBegin = R"PLAIT(  using int8_t = plait_types::int8_t;
  using int16_t = plait_types::int16_t;
  using int32_t = plait_types::int32_t;
  using int64_t = plait_types::int64_t;
  using uint8_t = plait_types::uint8_t;
  using uint16_t = plait_types::uint16_t;
  using uint32_t = plait_types::uint32_t;
  using uint64_t = plait_types::uint64_t;
  using complex64_t = plait_types::complex64_t;
  using uint = unsigned int;
  if (blockIdx.x * static_cast<uint64_t>(blockDim.x) + threadIdx.x >= plait_grid.x ||
      blockIdx.y * static_cast<uint64_t>(blockDim.y) + threadIdx.y >= plait_grid.y ||
      blockIdx.z * static_cast<uint64_t>(blockDim.z) + threadIdx.z >= plait_grid.z)
    return;
)PLAIT";

}  // namespace plait
