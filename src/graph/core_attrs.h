#pragma once

#include <vector>

#include "plait/dtype.h"
#include "plait/scalar.h"
#include "plait/shape.h"

/// Attributes of the primitives that the graph room and the engine themselves understand.
namespace plait {

/// A 0-d number. The value is an operand of the plan: a new one is no new plan.
struct ConstantAttrs {
  Scalar value;
  DType dtype = DType::float32;
};

struct ReshapeAttrs {
  Shape shape;
};
struct TransposeAttrs {
  std::vector<int> axes;  // output axis i is input axis axes[i]
};
struct BroadcastToAttrs {
  Shape shape;  // aligned at the innermost axis
};
struct ExpandDimsAttrs {
  std::vector<int> axes;  // of the output, sorted, non-negative
};
struct SqueezeAttrs {
  std::vector<int> axes;  // of the input, sorted, non-negative; each has extent 1
};
/// Element start + k * step of each axis, for k below size. All bound: a new position or length is no new plan.
struct SliceAttrs {
  Shape start;
  Shape size;
  Shape step;  // may be negative, never 0
};

}  // namespace plait
