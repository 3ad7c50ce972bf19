#pragma once

#include <array>
#include <cstdint>

namespace plait {

/// Threefry-2x32 with 20 rounds: two words that follow from a key and a counter.
/// Source: Salmon, Moraes, Dror and Shaw, 2011, "Parallel random numbers: as easy as 1, 2, 3".
constexpr std::array<uint32_t, 2> threefry(std::array<uint32_t, 2> key, std::array<uint32_t, 2> counter) {
  constexpr int kRotations[2][4] = {{13, 15, 26, 6}, {17, 29, 16, 24}};
  const uint32_t keys[3] = {key[0], key[1], 0x1BD11BDA ^ key[0] ^ key[1]};
  uint32_t a = counter[0] + keys[0], b = counter[1] + keys[1];
  for (uint32_t group = 0; group < 5; ++group) {
    for (const int r : kRotations[group % 2]) {
      a += b;
      b = ((b << r) | (b >> (32 - r))) ^ a;
    }
    a += keys[(group + 1) % 3];
    b += keys[(group + 2) % 3] + group + 1;
  }
  return {a, b};
}

/// The counter of the block that gives word i of a stream of n words, and whether it is the block's second word.
/// Blocks lie across the stream: block i gives word i and a word of the upper half; the middle word of an odd n has a block of its own.
struct WordPlace {
  std::array<uint32_t, 2> counter;
  bool second;
};
constexpr WordPlace place_of_word(int64_t i, int64_t n) {
  const int64_t half = n / 2, upper = n - half;  // words of the upper half begin at `upper`
  if (i < half) return {{static_cast<uint32_t>(i), static_cast<uint32_t>(upper + i)}, false};
  if (i < upper) return {{static_cast<uint32_t>(half), 0}, false};
  return {{static_cast<uint32_t>(i - upper), static_cast<uint32_t>(i)}, true};
}
constexpr uint32_t random_word(std::array<uint32_t, 2> key, int64_t i, int64_t n) {
  const WordPlace at = place_of_word(i, n);
  return threefry(key, at.counter)[at.second];
}

}  // namespace plait
