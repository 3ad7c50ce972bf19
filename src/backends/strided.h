#pragma once

#include <cstdint>
#include <span>

/// Moving elements between memories of one shape and different strides.
namespace plait {

/// Copies elements of `width` bytes (1, 2, 4 or 8). Strides count elements; memories do not overlap.
void copy_strided(void* to, std::span<const int64_t> to_strides, const void* from,
                  std::span<const int64_t> from_strides, std::span<const int64_t> shape, int width);

/// Elements below which a loop over plain elements is not worth handing to another thread.
inline constexpr int64_t kElementGrain = 16384;

/// Rows of `row` elements each to hand out at a time. Depends on extents only.
inline int64_t row_grain(int64_t row) { return row >= kElementGrain ? 1 : kElementGrain / (row < 1 ? 1 : row); }

}  // namespace plait
