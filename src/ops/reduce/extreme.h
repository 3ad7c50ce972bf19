// What max and min share.
#pragma once

#include "ops/prelude.h"

namespace plait {

// The cotangent goes to the elements that equal the result, in equal parts.
inline Array shares_of_extreme(const ReduceAttrs& attrs, const Array& x, const Array& y) {
  const Array result = attrs.keepdims ? y : expand_dims(y, attrs.axes);
  const Array hit = astype(equal(x, result), x.dtype());
  return divide(hit, sum(hit, attrs.axes, true));
}

inline Grads vjp_extreme(const ReduceAttrs& attrs, const VjpArgs& at) {
  const Array g = attrs.keepdims ? at.cotangent() : expand_dims(at.cotangent(), attrs.axes);
  return {multiply(g, shares_of_extreme(attrs, at.input(0), at.output()))};
}

inline Arrays jvp_extreme(const ReduceAttrs& attrs, const JvpArgs& at) {
  const Array moved = multiply(at.tangent(0), shares_of_extreme(attrs, at.input(0), at.output()));
  return {sum(moved, attrs.axes, attrs.keepdims)};
}

inline Array extreme(const OpHandle& op, const char* name, const Array& a, const Axes& axis, bool keepdims) {
  const ReduceAttrs attrs{checked_axes(name, axis, a.rank()), keepdims};
  for (int i : attrs.axes)
    if (a.shape()[i] == 0)
      throw ShapeError(
          {.op = name,
           .got = "an array of shape " + to_string(a.shape()) + " has nothing along axis " + std::to_string(i),
           .accepts = "at least one element",
           .where = here()});
  return attrs.axes.empty() ? a : op(attrs, {a});
}

}  // namespace plait
