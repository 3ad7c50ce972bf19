#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace plait {

/// Positions of axes: none given (which an operation takes for all axes), one, or several. Negative ones count from the
/// end; an operation checks them against its operand.
class Axes : public std::optional<std::vector<int>> {
 public:
  Axes() = default;
  Axes(std::nullopt_t) {}  // NOLINT: reads as Python's None
  Axes(int axis) : std::optional<std::vector<int>>(std::vector<int>{axis}) {}  // NOLINT: one axis is a list of one
  Axes(std::vector<int> axes) : std::optional<std::vector<int>>(std::move(axes)) {}  // NOLINT
  Axes(std::initializer_list<int> axes) : Axes(std::vector<int>(axes)) {}
};

/// Strides, paddings, repeats: one number where all axes share it, or one per axis.
class IntList : public std::vector<int64_t> {
 public:
  using std::vector<int64_t>::vector;
  IntList(std::vector<int64_t> values) : std::vector<int64_t>(std::move(values)) {}  // NOLINT
  template <class T>
    requires std::is_integral_v<T>
  IntList(T value) : std::vector<int64_t>(1, static_cast<int64_t>(value)) {}  // NOLINT: one number is a list of one
};

/// A count, or explicit positions.
using IntOrInts = std::variant<int64_t, std::vector<int64_t>>;

}  // namespace plait
