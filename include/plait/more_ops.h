#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "plait/array.h"
#include "plait/axes.h"

/// Functions whose Python form takes several shapes of argument, with one plain C++ form each.
namespace plait {

/// The shape that all of them broadcast to. Errors: ArgumentError when there is none, ShapeError when they do not fit.
PLAIT_API Shape broadcast_shapes(std::span<const Shape> shapes);

}  // namespace plait
