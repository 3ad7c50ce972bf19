#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "backends/kernel.h"
#include "plait/small_vector.h"

/// Moving elements between memories of one shape and different strides.
namespace plait {

/// An axis of a copy. Strides count elements.
struct CopyAxis {
  int64_t extent, to, from;
};

/// The axes of a copy, outermost first: without those of extent 1, neighbours joined where both memories walk them as one.
/// One at least; none where there is nothing to copy.
inline SmallVector<CopyAxis, 6> joined_axes(std::span<const int64_t> to_strides, std::span<const int64_t> from_strides,
                                            std::span<const int64_t> shape) {
  SmallVector<CopyAxis, 6> axes;
  for (size_t i = 0; i < shape.size(); ++i) {
    if (shape[i] == 0) return {};
    if (shape[i] == 1) continue;
    const CopyAxis axis{shape[i], to_strides[i], from_strides[i]};
    if (!axes.empty() && axes.back().to == axis.to * axis.extent && axes.back().from == axis.from * axis.extent) {
      axes.back() = {axes.back().extent * axis.extent, axis.to, axis.from};
    } else {
      axes.push_back(axis);
    }
  }
  if (axes.empty()) axes.push_back({1, 1, 1});
  return axes;
}

/// Where the slice of output 0 begins that slice_update_static overwrites by input 1, and how its elements lie.
inline TensorView updated_slice(const KernelArgs& args) {
  TensorView slice = args.outputs[0];
  const auto start = args.attrs.get<std::vector<int64_t>>("start");
  const auto step = args.attrs.get<std::vector<int64_t>>("step");
  int64_t offset = 0;
  for (size_t i = 0; i < slice.shape.size(); ++i) {
    offset += start[i] * slice.strides[i];
    slice.strides[i] *= step[i];
  }
  slice.shape = args.inputs[1].shape;
  slice.data = slice.as<char>() + offset * size_of(slice.dtype);
  return slice;
}

/// Copies elements of `width` bytes (1, 2, 4 or 8). Strides count elements; memories do not overlap.
void copy_strided(void* to, std::span<const int64_t> to_strides, const void* from,
                  std::span<const int64_t> from_strides, std::span<const int64_t> shape, int width);

/// Elements below which a loop over plain elements is not worth handing to another thread.
inline constexpr int64_t kElementGrain = 16384;

/// Rows of `row` elements each to hand out at a time. Depends on extents only.
inline int64_t row_grain(int64_t row) { return row >= kElementGrain ? 1 : kElementGrain / (row < 1 ? 1 : row); }

}  // namespace plait
