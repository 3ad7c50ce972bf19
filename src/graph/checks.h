#pragma once

#include <algorithm>
#include <vector>

#include "graph/op.h"

/// What the `check` of an op is made of (OpDef::check). Extents are compared as `Dim`s: under a trace the answer is kept.
namespace plait {

/// Whether the axes are sorted, without repeats, and axes of an array of this rank.
inline bool are_sorted_axes(const std::vector<int>& axes, int rank) {
  for (size_t i = 0; i < axes.size(); ++i)
    if (axes[i] < 0 || axes[i] >= rank || (i > 0 && axes[i] <= axes[i - 1])) return false;
  return true;
}

inline bool is_axis_of(int axis, const Aval& a) { return axis >= 0 && axis < a.shape.rank(); }

/// Whether ranks agree, and extents but for the one along `axis`.
inline bool agree_except(int axis, const Shape& a, const Shape& b) {
  if (a.rank() != b.rank()) return false;
  for (int i = 0; i < a.rank(); ++i)
    if (i != axis && !(a[i] == b[i])) return false;
  return true;
}

/// Whether `n` extents of both agree, from `at` of a and `to` of b on.
inline bool agree(const Shape& a, int at, const Shape& b, int to, int n) {
  if (at + n > a.rank() || to + n > b.rank()) return false;
  for (int i = 0; i < n; ++i)
    if (!(a[at + i] == b[to + i])) return false;
  return true;
}

inline bool all_at_least(const Shape& shape, int64_t least) {
  return std::all_of(shape.begin(), shape.end(), [least](Dim d) { return d >= Dim(least); });
}

/// For ops whose operands need no more than their declared dtypes.
template <class A>
const char* nothing_to_check(const A&, std::span<const Aval>) {
  return nullptr;
}
template <class A>
const char* check_has_axis(const A&, std::span<const Aval> in) {
  return in[0].shape.rank() >= 1 ? nullptr : "an array with an axis";
}

}  // namespace plait
