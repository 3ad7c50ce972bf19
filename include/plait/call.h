#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "plait/array.h"

namespace plait {

/// One argument that is not an array, by the name the function gives it: `{"axis", int64_t{1}}`.
/// Axes, shapes and strides are int64_t or a vector of them; None is std::monostate.
struct CallAttr {
  using Value = std::variant<std::monostate, bool, int64_t, double, std::string, DType, std::vector<int64_t>, Array>;
  std::string_view name;
  Value value;
};

/// Calls a function of plait.core by name ("add", "random.uniform"): its required arrays in order, all else by name.
/// A parameter that takes a list of arrays takes all that are left.
///
/// Errors: ArgumentError for an unknown function, or an argument too many, too few or of a wrong kind; what the function raises.
PLAIT_API Arrays call(std::string_view name, std::span<const Array> arrays, std::span<const CallAttr> attrs = {});

/// Names that `call` knows, sorted.
PLAIT_API std::vector<std::string> callable_names();

}  // namespace plait
