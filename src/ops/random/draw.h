#pragma once

#include <optional>
#include <string_view>

#include "plait/array.h"

/// What the distributions share.
namespace plait::random {

/// Uniform words of `shape` from `key`, or from the state. Errors: ArgumentError, ShapeError naming `op`.
Array words(std::string_view op, const Shape& shape, const std::optional<Array>& key);

/// float32 in [0, 1], in steps of 2^-32 where float32 can tell them apart, and below 1 still when converted to `dtype`.
Array unit_interval(std::string_view op, const Shape& shape, DType dtype, const std::optional<Array>& key);

/// float32 in (-1, 1).
Array symmetric_interval(std::string_view op, const Shape& shape, const std::optional<Array>& key);

/// `dtype`, or float32; a real float. Errors: DTypeError naming `op`.
DType checked_float(std::string_view op, std::optional<DType> dtype);

/// Errors: ShapeError naming `op` unless `from` broadcasts to exactly `to`.
void check_stretches(std::string_view op, const Shape& from, const Shape& to);

}  // namespace plait::random
