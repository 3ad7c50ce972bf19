#include "backends/cpu/simd/vec.h"
#include "backends/cpu/threefry_kernels.h"

namespace plait::cpu::PLAIT_TARGET {
namespace {

using Words = Vec<uint32_t>;
constexpr int kStreams = 4;  // vectors in flight: each round waits for the one before
constexpr int64_t kStep = kStreams * kLanes<uint32_t>;

template <int kBits>
PLAIT_SIMD Words rotate_left(Words x) {
  return (x << kBits) | (x >> (32 - kBits));
}

template <int kBits>
PLAIT_SIMD void round(Words a[kStreams], Words b[kStreams]) {
  for (int s = 0; s < kStreams; ++s) {
    a[s] += b[s];
    b[s] = rotate_left<kBits>(b[s]) ^ a[s];
  }
}

PLAIT_SIMD void add_keys(Words a[kStreams], Words b[kStreams], uint32_t to_a, uint32_t to_b) {
  for (int s = 0; s < kStreams; ++s) {
    a[s] += to_a;
    b[s] += to_b;
  }
}

PLAIT_SIMD void blocks(const uint32_t keys[3], uint32_t first_counter, uint32_t second_counter, uint32_t* first,
                       uint32_t* second) {
  Words a[kStreams], b[kStreams];
  for (int s = 0; s < kStreams; ++s) {
    const Words i = iota<Words>() + static_cast<uint32_t>(s * kLanes<uint32_t>);
    a[s] = i + (first_counter + keys[0]);
    b[s] = i + (second_counter + keys[1]);
  }
#pragma GCC unroll 5
  for (uint32_t group = 0; group < 5; ++group) {
    if (group % 2 == 0) {
      round<13>(a, b), round<15>(a, b), round<26>(a, b), round<6>(a, b);
    } else {
      round<17>(a, b), round<29>(a, b), round<16>(a, b), round<24>(a, b);
    }
    add_keys(a, b, keys[(group + 1) % 3], keys[(group + 2) % 3] + group + 1);
  }
  for (int s = 0; s < kStreams; ++s) {
    store(first + s * kLanes<uint32_t>, a[s]);
    store(second + s * kLanes<uint32_t>, b[s]);
  }
}

}  // namespace

void threefry(const uint32_t key[2], uint32_t first_counter, uint32_t second_counter, uint32_t* first, uint32_t* second,
              int64_t n) {
  const uint32_t keys[3] = {key[0], key[1], 0x1BD11BDA ^ key[0] ^ key[1]};
  int64_t i = 0;
  for (; i + kStep <= n; i += kStep) {
    const auto at = static_cast<uint32_t>(i);
    blocks(keys, first_counter + at, second_counter + at, first + i, second + i);
  }
  if (i == n) return;
  const auto at = static_cast<uint32_t>(i);
  uint32_t rest[2][kStep];
  blocks(keys, first_counter + at, second_counter + at, rest[0], rest[1]);
  __builtin_memcpy(first + i, rest[0], static_cast<size_t>(n - i) * sizeof(uint32_t));
  __builtin_memcpy(second + i, rest[1], static_cast<size_t>(n - i) * sizeof(uint32_t));
}

}  // namespace plait::cpu::PLAIT_TARGET
