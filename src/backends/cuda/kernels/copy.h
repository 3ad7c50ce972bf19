// Moving elements on the device.
#pragma once

#include <cstdint>
#include <span>

#include "backends/cuda/kernels/launch.h"
#include "backends/device.h"

namespace plait::cuda {

/// As copy_strided of backends/strided.h, as work of a queue: elements of `width` bytes (1, 2, 4 or 8), strides count
/// elements.
void copy_strided(const Work& work, void* to, std::span<const int64_t> to_strides, const void* from,
                  std::span<const int64_t> from_strides, std::span<const int64_t> shape, int width);

/// The same to a place that the device knows: both offsets, in elements, are read there (null: 0).
struct DeviceOffsets {
  const int64_t* to = nullptr;
  const int64_t* from = nullptr;
};
void copy_strided(const Work& work, void* to, std::span<const int64_t> to_strides, const void* from,
                  std::span<const int64_t> from_strides, std::span<const int64_t> shape, int width,
                  DeviceOffsets offsets);

/// Whole pieces of memory, in few launches.
void copy_pieces(memory::Queue queue, std::span<const DeviceBackend::Piece> pieces);

}  // namespace plait::cuda
