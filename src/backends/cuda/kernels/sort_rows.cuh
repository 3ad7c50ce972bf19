// Rows of the last axis that are sorted or searched for their largest.
#pragma once

#include "backends/cuda/kernels/element.cuh"
#include "backends/cuda/kernels/launch.h"

namespace plait::cuda {

/// What is sorted and where the result goes: elements, or positions from the one that comes `first` on.
struct Rows {
  const void* from = nullptr;
  int width = 0;
  KeyKind kind;
  int64_t rows = 0, n = 0;
  void* elements = nullptr;
  uint32_t* positions = nullptr;
  int64_t first = 0;

  // Sorted numbers are made from their keys; of complex ones the positions are sorted.
  bool by_key() const { return elements && kind.kind != KeyKind::complex; }
  int64_t count() const { return rows * n; }

  template <class Bits>
  __device__ u64 key_as(int64_t i) const {
    const Bits bits = static_cast<const Bits*>(from)[i];
    if (kind.kind == KeyKind::floating && elements) return float_key(bits, static_cast<Bits>(kind.infinity));
    return key_of(bits, kind);
  }
  __device__ u64 key(int64_t i) const {
    switch (width) {
      case 1: return key_as<uint8_t>(i);
      case 2: return key_as<uint16_t>(i);
      case 4: return key_as<uint32_t>(i);
      default: return key_as<u64>(i);
    }
  }
  template <class Bits>
  __device__ void put_as(int64_t row, int64_t j, u64 k, uint32_t at) const {
    constexpr Bits kSign = kSignOf<Bits>;
    const auto key = static_cast<Bits>(k);
    Bits bits = key;
    if (kind.kind == KeyKind::complex)
      bits = static_cast<const Bits*>(from)[row * n + at];
    else if (kind.kind == KeyKind::with_sign)
      bits = static_cast<Bits>(key ^ kSign);
    else if (kind.kind == KeyKind::floating)
      bits = static_cast<Bits>(key & kSign ? key ^ kSign : ~key);
    static_cast<Bits*>(elements)[row * n + j] = bits;
  }
  /// Takes place j of a sorted row.
  __device__ void put(int64_t row, int64_t j, u64 key, uint32_t at) const {
    if (positions) {
      if (j >= first) positions[row * (n - first) + j - first] = at;
      return;
    }
    switch (width) {
      case 1: return put_as<uint8_t>(row, j, key, at);
      case 2: return put_as<uint16_t>(row, j, key, at);
      case 4: return put_as<uint32_t>(row, j, key, at);
      default: return put_as<u64>(row, j, key, at);
    }
  }
};

/// Writes the positions of the n - first largest of each row without sorting the rest. False where sorting is faster.
bool select_top(const Work& work, const Rows& rows);

}  // namespace plait::cuda
