#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "plait/array.h"
#include "plait/axes.h"

/// Functions whose Python form takes several shapes of argument, with one plain C++ form each.
namespace plait {

}  // namespace plait
