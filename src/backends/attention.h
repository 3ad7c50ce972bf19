// What kernels of attention share: extents, who sees which key, where rows lie. Inputs are those of src/ops/nn/attention.cpp.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <string>

#include "backends/kernel.h"

namespace plait {

struct AttentionCall {
  enum class Mask : uint8_t { none, causal, boolean, added };

  explicit AttentionCall(const KernelArgs& args)
      : q(args.inputs[0]),
        k(args.inputs[1]),
        v(args.inputs[2]),
        mask(args.inputs[3]),
        scale(args.attrs.get<Scalar>("scale").re),
        kind(kind_of(args.attrs.get<std::string>("mask"), args.inputs[3].dtype)),
        batch(q.shape[0]),
        heads(q.shape[1]),
        queries(q.shape[2]),
        features(q.shape[3]),
        shared(k.shape[1]),
        keys(k.shape[2]),
        values(v.shape[3]) {}

  /// Heads of q that share one of k and v.
  int64_t group() const { return heads / shared; }
  /// How many keys, from the first on, a query sees under a causal mask; 0 or less: none.
  int64_t seen(int64_t query) const { return kind == Mask::causal ? std::min(keys, query + keys - queries + 1) : keys; }
  /// Whether the keys from `key` on do not count for queries `first` to `last`. A query that sees nothing gets the mean of all.
  bool hidden(int64_t first, int64_t last, int64_t key) const { return seen(last) <= key && seen(first) > 0; }

  /// How many of `count` keys from `key` on these queries need to meet.
  int64_t needed(int64_t first, int64_t last, int64_t key, int64_t count) const {
    return seen(first) > 0 ? std::min(count, seen(last) - key) : count;
  }

  const char* mask_row(int64_t n, int64_t head, int64_t query) const {
    const int64_t at[] = {n, head, query};
    int64_t element = 0;
    for (size_t axis = 0; axis < 3; ++axis)
      if (mask.shape[axis] != 1) element += at[axis] * mask.strides[axis];
    return mask.as<char>() + element * size_of(mask.dtype);
  }
  int64_t mask_stride() const { return mask.shape[3] == 1 ? 0 : mask.strides[3]; }

  const TensorView &q, &k, &v, &mask;
  const double scale;
  const Mask kind;
  const int64_t batch, heads, queries, features, shared, keys, values;

 private:
  static Mask kind_of(const std::string& name, DType dtype) {
    if (name == "none") return Mask::none;
    if (name == "causal") return Mask::causal;
    return dtype == DType::bool_ ? Mask::boolean : Mask::added;
  }
};

/// A line of a tensor of 4 axes, or an element of one of 3.
inline char* line_of(const TensorView& t, int64_t n, int64_t head, int64_t row) {
  return t.as<char>() + (n * t.strides[0] + head * t.strides[1] + row * t.strides[2]) * size_of(t.dtype);
}

/// Of sinks, (N or 1, heads or 1).
inline const char* sink_of(const TensorView& t, int64_t n, int64_t head) {
  const int64_t element = (t.shape[0] == 1 ? 0 : n * t.strides[0]) + (t.shape[1] == 1 ? 0 : head * t.strides[1]);
  return t.as<char>() + element * size_of(t.dtype);
}

}  // namespace plait
