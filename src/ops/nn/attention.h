// Attention as one operation, which keeps no matrix of scores.
#pragma once

#include <string>

#include "ops/prelude.h"

namespace plait::attention {

struct Attrs {
  Scalar scale{1.0};
  std::string mask = "none";  // "causal", "array"
  bool sinks = false;
};

/// What is attended with. q (N, heads, L, D), k (N, shared, S, D) and v (N, shared, S, Dv) of one dtype.
struct Operands {
  Array q, k, v;
  Array mask;  // (N or 1, heads or 1, L or 1, S or 1) of bool or of q's dtype; read where attrs.mask is "array"
  Array sinks;  // (N or 1, heads or 1) of the sums' dtype; read where attrs.sinks
};

/// What stands where there is no mask, or are no sinks.
Array no_mask();
Array no_sinks(DType dtype);

/// (N, heads, L, Dv).
Array attend(const Attrs& attrs, const Operands& operands);

}  // namespace plait::attention
