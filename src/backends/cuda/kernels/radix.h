// Stable sorting of unsigned integers by their bits, as work of a queue. Compiled in one place: it is large.
#pragma once

#include <cstdint>

#include "backends/cuda/kernels/launch.h"

namespace plait::cuda {

/// Keys and, unless null, what goes with them; each with as much spare memory. The results are in `keys` and `values`
/// afterwards, the spare memory behind the others.
template <class Key>
struct SortRoom {
  Key* keys = nullptr;
  uint32_t* values = nullptr;
  Key* spare_keys = nullptr;
  uint32_t* spare_values = nullptr;

  static SortRoom of(Work& work, int64_t n, bool with_values) {
    SortRoom room;
    room.keys = work.scratch<Key>(n);
    room.spare_keys = work.scratch<Key>(n);
    if (with_values) {
      room.values = work.scratch<uint32_t>(n);
      room.spare_values = work.scratch<uint32_t>(n);
    }
    return room;
  }
};

/// Sorts n keys of 32 or 64 bits by their lowest `bits`.
void radix_sort(Work& work, SortRoom<uint32_t>& room, int64_t n, int bits);
void radix_sort(Work& work, SortRoom<unsigned long long>& room, int64_t n, int bits);

/// Bits that numbers below n have.
inline int bits_below(uint64_t n) {
  int bits = 1;
  while (bits < 64 && (n - 1) >> bits) ++bits;
  return bits;
}

}  // namespace plait::cuda
