// How elements are combined where an op goes through them in order: `join(earlier, later)`.
#pragma once

#include "backends/cuda/kernels/element.cuh"

namespace plait::cuda {

/// Sums or products; 16-bit floats are rounded when the value is asked for.
template <class E>
struct Arithmetic {
  using T = E;
  using Running = Wide<E>;
  bool multiplies = false;
  __device__ Running start(T x) const { return widened(x); }
  __device__ Running join(Running a, Running b) const { return multiplies ? product_of(a, b) : sum_of(a, b); }
  __device__ T value(Running r) const { return narrowed<T>(r); }
};

/// The largest or the smallest; NaN over all numbers, the earlier of equal ones.
template <class Bits>
struct Extreme {
  using T = Bits;
  using Running = Bits;
  KeyKind kind;
  bool smallest = false;
  __device__ Bits key(Bits x) const {
    const Bits k = key_of(x, kind);
    return smallest ? turned_key(k, kind.has_nan()) : k;
  }
  __device__ Running start(T x) const { return x; }
  __device__ Running join(Running a, Running b) const { return key(b) > key(a) ? b : a; }
  __device__ T value(Running r) const { return r; }
};

}  // namespace plait::cuda
