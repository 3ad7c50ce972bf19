// Elements of operands, several at a time: one wide access where they are neighbours and aligned.
#pragma once

#include "backends/cuda/regions/device/bound.h"
#include "backends/cuda/regions/device/types.cuh"

namespace plait::cuda {

/// Elements moved by one access of up to 16 bytes.
template <int kBytes>
struct Access {
  using type = uint4;
};
template <>
struct Access<1> {
  using type = u8;
};
template <>
struct Access<2> {
  using type = u16;
};
template <>
struct Access<4> {
  using type = u32;
};
template <>
struct Access<8> {
  using type = uint2;
};
template <class T, int V>
PLAIT_D bool is_aligned(const char* p) {
  constexpr u64 kAlign = sizeof(T) * V < 16 ? sizeof(T) * V : 16;
  return (reinterpret_cast<u64>(p) & (kAlign - 1)) == 0;
}
template <class T, int V>
PLAIT_D void load_wide(const char* p, T (&x)[V]) {
  using A = typename Access<static_cast<int>(sizeof(T) * V)>::type;
  A raw[sizeof(T) * V / sizeof(A)];
#pragma unroll
  for (int i = 0; i < static_cast<int>(sizeof(raw) / sizeof(A)); ++i) raw[i] = reinterpret_cast<const A*>(p)[i];
  memcpy(&x, &raw, sizeof(raw));
}
template <class T, int V>
PLAIT_D void store_wide(char* p, const T (&x)[V]) {
  using A = typename Access<static_cast<int>(sizeof(T) * V)>::type;
  A raw[sizeof(T) * V / sizeof(A)];
  memcpy(&raw, &x, sizeof(raw));
#pragma unroll
  for (int i = 0; i < static_cast<int>(sizeof(raw) / sizeof(A)); ++i) reinterpret_cast<A*>(p)[i] = raw[i];
}
/// The first `valid` of V elements that lie `stride` bytes apart; the others are zero.
template <class T, int V>
PLAIT_D void load(const char* p, i64 stride, int valid, T (&x)[V]) {
  if (valid >= V && stride == static_cast<i64>(sizeof(T)) && is_aligned<T, V>(p)) {
    load_wide(p, x);
  } else {
#pragma unroll
    for (int j = 0; j < V; ++j) x[j] = j < valid ? *reinterpret_cast<const T*>(p + j * stride) : T{};
  }
}
template <class T, int V>
PLAIT_D void store(char* p, i64 stride, int valid, const T (&x)[V]) {
  if (valid >= V && stride == static_cast<i64>(sizeof(T)) && is_aligned<T, V>(p)) {
    store_wide(p, x);
  } else {
#pragma unroll
    for (int j = 0; j < V; ++j)
      if (j < valid) *reinterpret_cast<T*>(p + j * stride) = x[j];
  }
}
/// Elements of a linear operand from `at` on, of `count`; whole vectors are aligned.
template <class T, int V>
PLAIT_D void load_linear(const char* data, i64 at, i64 count, T (&x)[V]) {
  if (at + V <= count) {
    load_wide(data + at * static_cast<i64>(sizeof(T)), x);
  } else {
#pragma unroll
    for (int j = 0; j < V; ++j) x[j] = at + j < count ? reinterpret_cast<const T*>(data)[at + j] : T{};
  }
}
template <class T, int V>
PLAIT_D void store_linear(char* data, i64 at, i64 count, const T (&x)[V]) {
  if (at + V <= count) {
    store_wide(data + at * static_cast<i64>(sizeof(T)), x);
  } else {
#pragma unroll
    for (int j = 0; j < V; ++j)
      if (at + j < count) reinterpret_cast<T*>(data)[at + j] = x[j];
  }
}

/// Bytes from the start of each of N operands to `row`.
template <int N, class Index>
PLAIT_D void row_offsets(const Space& space, const Operand* operands, Index row, i64 (&offset)[N]) {
#pragma unroll
  for (int k = 0; k < N; ++k) offset[k] = 0;
#pragma unroll 1
  for (int axis = space.split - 1; axis > 0; --axis) {
    const Index extent = static_cast<Index>(space.extent[axis]), whole = row / extent, index = row - whole * extent;
#pragma unroll
    for (int k = 0; k < N; ++k) offset[k] += static_cast<i64>(index) * operands[k].stride[axis];
    row = whole;
  }
  if (space.split == 0) return;
#pragma unroll
  for (int k = 0; k < N; ++k) offset[k] += static_cast<i64>(row) * operands[k].stride[0];
}
PLAIT_D i64 row_offset(const Space& space, const Operand& operand, i64 row) {
  i64 offset = 0;
  for (int axis = space.split - 1; axis >= 0; --axis) {
    i64 index = row;
    if (axis > 0) {
      row = index / space.extent[axis];
      index -= row * space.extent[axis];
    }
    offset += index * operand.stride[axis];
  }
  return offset;
}
/// Bytes from the start of a row to its element `at`, where a row has several axes. Not inlined: compilers take long over many copies.
static __device__ __noinline__ i64 offset_in_axes(const Space& space, const Operand& operand, i64 at) {
  i64 offset = 0;
  for (int axis = space.rank - 1; axis >= space.split; --axis) {
    i64 index = at;
    if (axis > space.split) {
      at = index / space.extent[axis];
      index -= at * space.extent[axis];
    }
    offset += index * operand.stride[axis];
  }
  return offset;
}
PLAIT_D i64 row_stride(const Space& space, const Operand& operand) {
  return space.rank > space.split ? operand.stride[space.split] : 0;
}
PLAIT_D i64 element_offset(const Space& space, const Operand& operand, i64 at) {
  return space.rank - space.split <= 1 ? at * row_stride(space, operand) : offset_in_axes(space, operand, at);
}

/// V elements in as few registers as they need, for later passes over the row.
template <class T, int V>
struct Kept {
  static constexpr int kWords = (sizeof(T) * V + 3) / 4;
  u32 word[kWords];
  PLAIT_D void keep(const T (&x)[V]) { memcpy(&word, &x, sizeof(x)); }
  PLAIT_D void give(T (&x)[V]) const { memcpy(&x, &word, sizeof(x)); }
};

template <class T, int V>
PLAIT_D void load_words(const char* p, Kept<T, V>& to) {
  if constexpr (sizeof(T) * V < 4) {
    T x[V];
    load_wide(p, x);
    to.keep(x);
  } else {
    u32 word[Kept<T, V>::kWords];
    load_wide(p, word);
#pragma unroll
    for (int i = 0; i < Kept<T, V>::kWords; ++i) to.word[i] = word[i];
  }
}

/// One operand along one row of a single axis. kEven: whole vectors only, which are aligned and whose elements are neighbours.
template <class T, int V>
struct RowOf {
  char* data;
  i64 stride;
  bool wide;
  PLAIT_D RowOf(const Space& space, const Operand& operand, i64 row)
      : data(operand.data + row),
        stride(row_stride(space, operand)),
        wide(stride == static_cast<i64>(sizeof(T)) && is_aligned<T, V>(data)) {}
  template <bool kEven>
  PLAIT_D void load(int at, int valid, Kept<T, V>& to) const {
    if constexpr (kEven) {
      if (valid > 0) load_words(data + at * static_cast<i64>(sizeof(T)), to);
    } else {
      T x[V];
      if (wide && valid == V) {
        load_wide(data + at * static_cast<i64>(sizeof(T)), x);
      } else {
#pragma unroll
        for (int j = 0; j < V; ++j) x[j] = j < valid ? *reinterpret_cast<const T*>(data + (at + j) * stride) : T{};
      }
      to.keep(x);
    }
  }
  template <bool kEven>
  PLAIT_D void store(int at, int valid, const T (&x)[V]) const {
    if (kEven || (wide && valid == V)) {
      store_wide(data + at * static_cast<i64>(sizeof(T)), x);
    } else {
#pragma unroll
      for (int j = 0; j < V; ++j)
        if (j < valid) *reinterpret_cast<T*>(data + (at + j) * stride) = x[j];
    }
  }
};

/// One operand's elements of a row, one at a time. kOneAxis: rows have a single axis.
template <class T, bool kOneAxis>
struct ColumnOf {
  const Space& space;
  const Operand& operand;
  char* data;
  i64 stride;
  PLAIT_D ColumnOf(const Space& s, const Operand& o, i64 row)
      : space(s), operand(o), data(o.data + row), stride(row_stride(s, o)) {}
  PLAIT_D char* at(i64 i) const {
    if constexpr (kOneAxis)
      return data + i * stride;
    else
      return data + offset_in_axes(space, operand, i);
  }
  /// Four lanes of a chunk from `start` on, each with `steps` elements. Rows of a single axis.
  template <int kSteps>
  PLAIT_D void load(i64 start, int steps, T (&x)[4][kSteps]) const {
    const char* from = data + start * stride;
#pragma unroll
    for (int step = 0; step < kSteps; ++step, from += stride * kLanesOfChunk) {
      if (step >= steps) break;
      const char* p = from;
#pragma unroll
      for (int l = 0; l < 4; ++l, p += stride) x[l][step] = *reinterpret_cast<const T*>(p);
    }
  }
  PLAIT_D T load(i64 i, bool valid) const { return valid ? *reinterpret_cast<const T*>(at(i)) : T{}; }
  PLAIT_D void store(i64 i, T x) const { *reinterpret_cast<T*>(at(i)) = x; }
};

/// Elements of a row from `at` on.
template <class T, int V>
PLAIT_D void load_row(const Space& space, const Operand& operand, i64 row, i64 at, int valid, T (&x)[V]) {
  const char* const p = operand.data + row;
  if (space.rank - space.split <= 1) {
    const i64 stride = row_stride(space, operand);
    load<T, V>(p + at * stride, stride, valid, x);
  } else {
#pragma unroll
    for (int j = 0; j < V; ++j)
      x[j] = j < valid ? *reinterpret_cast<const T*>(p + offset_in_axes(space, operand, at + j)) : T{};
  }
}
template <class T, int V>
PLAIT_D void load_row(const Space& space, const Operand& operand, i64 row, i64 at, int valid, Kept<T, V>& to) {
  T x[V];
  load_row(space, operand, row, at, valid, x);
  to.keep(x);
}
template <class T, int V>
PLAIT_D void store_row(const Space& space, const Operand& operand, i64 row, i64 at, int valid, const T (&x)[V]) {
  char* const p = operand.data + row;
  if (space.rank - space.split <= 1) {
    const i64 stride = row_stride(space, operand);
    store<T, V>(p + at * stride, stride, valid, x);
  } else {
#pragma unroll
    for (int j = 0; j < V; ++j)
      if (j < valid) *reinterpret_cast<T*>(p + offset_in_axes(space, operand, at + j)) = x[j];
  }
}
template <class T>
PLAIT_D T element(const Space& space, const Operand& operand, i64 row, i64 at) {
  return *reinterpret_cast<const T*>(operand.data + row + element_offset(space, operand, at));
}
template <class T>
PLAIT_D T& place(const Space& space, const Operand& operand, i64 row, i64 at) {
  return *reinterpret_cast<T*>(operand.data + row + element_offset(space, operand, at));
}

PLAIT_D int valid_of(i64 length, i64 at, int most) {
  const i64 left = length - at;
  return left >= most ? most : left > 0 ? static_cast<int>(left) : 0;
}

}  // namespace plait::cuda
