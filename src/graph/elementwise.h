#pragma once

#include "graph/op.h"

namespace plait {

/// Applies an elementwise primitive to operands of any dtypes: promotes them, converts integers where the op is a
/// function on floats, broadcasts inside the primitive. Errors: DTypeError, ShapeError.
Array elementwise(const OpDef& op, SmallVector<Array, 2> operands);

/// `a` converted to `dtype`; `a` itself when it has it already.
Array converted(const Array& a, DType dtype);

/// The shape that two shapes broadcast to. Errors: ShapeError naming `op`.
Shape broadcast_shapes(std::string_view op, const Shape& a, const Shape& b);

/// Sums `g` over the axes along which `shape` was broadcast to g's shape, and reshapes it to `shape`.
Array sum_to_shape(const Array& g, const Shape& shape);

/// The batching rule of every elementwise op: batch axes go first, ranks are made equal.
VmapResult vmap_elementwise(const OpDef& op, Ref<AttrsBase> attrs, const VmapArgs& at);

/// Moves the batch axis of an operand to the front, or returns it unchanged when unbatched.
Array batch_first(const VmapArgs& at, int i);
/// The same, broadcasting an unbatched operand along a new front axis.
Array batch_first_broadcast(const VmapArgs& at, int i);

}  // namespace plait
