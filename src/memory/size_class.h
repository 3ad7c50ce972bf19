// Sizes that blocks come in: multiples of 64 bytes up to 512, then eight to each doubling, so that at most an eighth is
// wasted.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

namespace plait::memory {

inline constexpr int64_t kAlignment = 64;
inline constexpr int64_t kMaxSmall = 256 * 1024;  // larger blocks are mapped one by one
inline constexpr int kSmallClasses = 80;

/// The class of a size from 1 byte; classes below kSmallClasses are small.
constexpr int size_class(int64_t bytes) {
  const uint64_t last = static_cast<uint64_t>(bytes) - 1;
  if (last < 512) return static_cast<int>(last / 64);
  const int power = std::bit_width(last) - 1;  // 2^power <= last
  return 8 * (power - 9) + static_cast<int>(last >> (power - 3));
}

/// The bytes of blocks of a class.
constexpr int64_t class_bytes(int size_class) {
  if (size_class < 8) return 64 * (size_class + 1);
  return int64_t{size_class % 8 + 9} << (size_class / 8 + 5);
}

static_assert(size_class(kMaxSmall) == kSmallClasses - 1 && class_bytes(kSmallClasses - 1) == kMaxSmall);

}  // namespace plait::memory
