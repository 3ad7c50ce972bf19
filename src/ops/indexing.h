#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "plait/array.h"

namespace plait {

/// How values meet the elements they are written to.
enum class ScatterMode : uint8_t { set, add, multiply, maximum, minimum };

/// One entry between the brackets of a[...], as in NumPy.
struct Index {
  enum class Kind : uint8_t { integer, slice, new_axis, ellipsis, array };
  Kind kind = Kind::integer;
  int64_t at = 0;                          // integer; negative counts from the end
  std::optional<int64_t> start = {}, stop = {};  // slice
  int64_t step = 1;                        // slice; not 0
  Array values = {};                       // array: integers, or bool for a mask

  static Index integer(int64_t at) { return {.kind = Kind::integer, .at = at}; }
  static Index slice(std::optional<int64_t> start, std::optional<int64_t> stop, int64_t step = 1) {
    return {.kind = Kind::slice, .start = start, .stop = stop, .step = step};
  }
  static Index new_axis() { return {.kind = Kind::new_axis}; }
  static Index ellipsis() { return {.kind = Kind::ellipsis}; }
  static Index array(Array values) { return {.kind = Kind::array, .values = std::move(values)}; }
};

/// a[indices]: integers drop their axis, slices keep it, arrays of integers broadcast together and pick elements; their
/// axes come first where a slice or new axis separates them, else where the first of them stood. A mask of bool stands for
/// the positions along each axis that it covers where it is true, which evaluates it.
/// Errors: IndexError for an integer out of range, too many entries, an array of floats, or a mask of another shape.
PLAIT_API Array get_index(const Array& a, std::span<const Index> indices);

/// A copy of `a` in which a[indices] is `value`, converted and broadcast to what is selected. The last of repeated
/// positions wins.
/// Errors: as `get_index`; ShapeError when the value does not broadcast.
PLAIT_API Array set_index(const Array& a, std::span<const Index> indices, const Array& value);

/// A copy of `a` in which `mode` combines each selected element with its value; repeated positions combine repeatedly.
PLAIT_API Array update_index(const Array& a, std::span<const Index> indices, const Array& value, ScatterMode mode);

}  // namespace plait
