#pragma once

#include <optional>
#include <string_view>

#include "plait/array.h"

/// Compositions that may have kernels of their own: what plait/ops.h cannot generate from Python signatures.
namespace plait::fast {

/// Which keys a query attends to: all of them, those up to its own position ("causal"), or what an array says, which
/// broadcasts to (batch, heads, L, S): a boolean one is true where it attends, any other one is added to the scores.
struct PLAIT_API AttentionMask {
  AttentionMask() = default;
  /// Errors: ArgumentError for any text but "causal".
  AttentionMask(std::string_view name);  // NOLINT: reads as Python's argument
  AttentionMask(const char* name) : AttentionMask(std::string_view(name)) {}  // NOLINT
  AttentionMask(Array array) : array(std::move(array)) {}                     // NOLINT

  bool causal = false;
  std::optional<Array> array;
};

/// softmax(scale * q @ k.T + mask) @ v for each head.
///
/// Shapes: q (batch, heads, L, D), k (batch, kv_heads, S, D), v (batch, kv_heads, S, Dv) -> (batch, heads, L, Dv). kv_heads
/// divides heads: neighbouring heads of q share one of k and v. Causal: query i sees keys up to i + S - L.
/// sinks: (heads,), a score for each head that takes its part of the softmax and brings back nothing.
/// force_fused changes nothing: every call is one operation.
/// Errors: ShapeError; DTypeError unless the result's dtype is a real float that mask and sinks promote to.
PLAIT_API Array scaled_dot_product_attention(const Array& q, const Array& k, const Array& v, double scale,
                                             const AttentionMask& mask = {},
                                             const std::optional<Array>& sinks = std::nullopt,
                                             bool force_fused = false);

}  // namespace plait::fast
