// Searches in rows by the order of their elements, once per instruction set.
//
// Only plain declarations here: this header is seen by sources of every instruction set. Elements are compared as keys: signed
// integers in the elements' order, in which -0 equals 0 and every NaN is one and the largest (also where the smallest is
// searched for). Complex numbers have no such key; their entries are null.
#pragma once

#include <cstdint>

namespace plait::cpu {

/// An element by its key and its position.
struct OrderItem {
  int64_t key;
  uint32_t at;
  friend bool operator<(const OrderItem& a, const OrderItem& b) {
    return a.key < b.key || (a.key == b.key && a.at < b.at);
  }
};

/// Elements of a row from `begin` on, as far as `items` has room.
struct OrderSearch {
  const void* row;
  int64_t n, begin;
  int64_t least;  // key that is large enough
  OrderItem* items;
  int64_t count, room;
};

struct OrderKernels {
  /// Where the first of the largest (smallest) of n elements is, n > 0.
  int64_t (*largest)(const void* row, int64_t n);
  int64_t (*smallest)(const void* row, int64_t n);
  /// The same of each of `width` columns, whose elements are `step` elements apart.
  void (*largest_of_columns)(const void* from, int64_t n, int64_t step, int64_t width, uint32_t* to);
  void (*smallest_of_columns)(const void* from, int64_t n, int64_t step, int64_t width, uint32_t* to);
  /// Appends elements that are large enough, and moves `begin` behind the last one seen: n, unless room for a vector is missing.
  void (*collect)(OrderSearch&);
};

/// Room that `collect` needs to go on: the most elements of a vector.
inline constexpr int64_t kOrderRoom = 64;

#define PLAIT_ORDER(target)                  \
  namespace target {                         \
  extern const OrderKernels kOrderKernels[]; \
  }
PLAIT_ORDER(portable)
#if defined(__x86_64__)
PLAIT_ORDER(avx2)
PLAIT_ORDER(avx512)
#endif
#undef PLAIT_ORDER

}  // namespace plait::cpu
