#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "plait/array.h"
#include "plait/axes.h"

/// Functions whose Python form takes several shapes of argument, with one plain C++ form each.
namespace plait {

/// The shape that all of them broadcast to. Errors: ArgumentError when there is none, ShapeError when they do not fit.
PLAIT_API Shape broadcast_shapes(std::span<const Shape> shapes);

/// Convolution over one to three axes: input (n, spatial..., c), weight (c_out, kernel..., c / groups) -> (n, spatial'...,
/// c_out). Each list holds one number, or one per spatial axis; padding may be negative, which cuts off.
/// Errors: ShapeError, DTypeError, ArgumentError.
PLAIT_API Array conv_general(const Array& input, const Array& weight, const IntList& stride = 1,
                             const IntList& padding_low = 0, const IntList& padding_high = 0,
                             const IntList& kernel_dilation = 1, const IntList& input_dilation = 1, int64_t groups = 1,
                             bool flip = false);

/// The array with elements put before and behind it along each axis: (before, after) once for all axes, or per axis.
/// mode: "constant", "edge", "reflect" or "symmetric". Errors: ShapeError, ArgumentError.
PLAIT_API Array pad(const Array& a, const std::vector<std::pair<int64_t, int64_t>>& pad_width,
                    std::string_view mode = "constant", const Array& constant_values = Array(0));

/// Sums of products over pairs of axes, a's in order with b's; the other axes of a come first in the result.
/// Errors: AxisError, ShapeError, DTypeError for integers.
PLAIT_API Array tensordot(const Array& a, const Array& b, const std::vector<int>& a_axes,
                          const std::vector<int>& b_axes);
/// The same over the last `axes` axes of a and the first of b.
PLAIT_API Array tensordot(const Array& a, const Array& b, int axes = 2);

/// The order in which einsum contracts its terms, as positions among those that are left, and a report on the work.
/// Errors: ShapeError.
PLAIT_API std::pair<std::vector<std::vector<int>>, std::string> einsum_path(std::string_view subscripts,
                                                                            const Arrays& operands);

/// Positions along each axis of the elements that are not zero, in row-major order: (count,) of int32, or int64 where the
/// extent needs it. How many there are has to be known, so it evaluates. Errors: ArgumentError without axes; TransformError
/// while a function is traced.
PLAIT_API Arrays nonzero(const Array& a);

/// The inputs themselves, computed only after the dependencies are. Derivatives and batches pass through to the inputs.
PLAIT_API Arrays depends(const Arrays& inputs, const Arrays& dependencies);

}  // namespace plait
