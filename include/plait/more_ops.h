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
#include "plait/stream.h"

/// Functions whose Python form takes several shapes of argument, with one plain C++ form each.
namespace plait {

/// Values from 0, or from `start`, up to `stop`, without it. plait/ops.h has the form with steps and a dtype.
/// Errors: ArgumentError for a range without an end.
PLAIT_API Array arange(const Scalar& stop);
PLAIT_API Array arange(const Scalar& start, const Scalar& stop);

/// Variance along axes, and its root, with `correction` taken off the number of elements: any finite number, as the array API
/// standard has it. Errors: AxisError, ArgumentError.
PLAIT_API Array corrected_var(const Array& a, const Axes& axis, bool keepdims, double correction);
PLAIT_API Array corrected_std(const Array& a, const Axes& axis, bool keepdims, double correction);

/// Elements along an axis from the largest on where `descending`, and where they stood; equal ones stay in order.
/// Errors: AxisError.
PLAIT_API Array sort(const Array& a, std::optional<int> axis, bool descending);
PLAIT_API Array argsort(const Array& a, std::optional<int> axis, bool descending);

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

/// The different elements, sorted: (count,). A NaN is equal to nothing, so each counts. How many there are has to be known, so it
/// evaluates. Errors: TransformError while a function is traced.
PLAIT_API Array unique_values(const Array& a);
/// The same, with where each stands first (count,), for each element its place among them (the shape of a), and how often each
/// occurs (count,). Dtypes: that of a, then int32, or int64 where there are more elements.
PLAIT_API Arrays unique_all(const Array& a);

/// Each element along an axis as often as its count says; no axis flattens first. `repeats`: integers, one or as many as elements.
/// The extent of the result has to be known, so it evaluates them. Errors: ArgumentError for a count below 0, ShapeError, AxisError,
/// DTypeError; TransformError while a function is traced.
PLAIT_API Array repeat_each(const Array& a, const Array& repeats, std::optional<int> axis = {});

/// The device that an array's elements are or will be computed on; the CPU for those that came from outside. Any device may
/// read them.
PLAIT_API Device device_of(const Array& a);
/// The same elements, computed on a device, so that its memory has them. Errors: DeviceError when it is not there.
PLAIT_API Array to_device(const Array& a, Device device);

/// The inputs themselves, computed only after the dependencies are. Derivatives and batches pass through to the inputs.
PLAIT_API Arrays depends(const Arrays& inputs, const Arrays& dependencies);

}  // namespace plait
