#pragma once

#include "backends/device.h"
#include "engine/graph.h"
#include "graph/stream.h"

/// Devices as plans see them.
namespace plait::engine {

/// The backend of all devices, or null where there are none.
PLAIT_API DeviceBackend* device_backend();
/// Lets the streams find it.
void start_devices();

/// The queue that serves a stream of a device.
memory::Queue queue_of(Place place);

/// The region prepared for the devices, or the CPU.
std::unique_ptr<CompiledRegion> compile_region_for(Place place, RegionProgram program);

/// Copies strided elements of `width` bytes to row-major memory, as work of `queue`.
void copy_strided_on(memory::Queue queue, void* to, const void* from, const Strides& strides,
                     std::span<const int64_t> extents, int width);

/// What happens when an op that was put on a device has no kernel there, for these operands: it runs on the CPU, which is
/// said once for each op, or it is an error.
enum class Fallback : uint8_t { say, silent, error };
PLAIT_API Fallback set_fallback(Fallback fallback) noexcept;
PLAIT_API Fallback fallback() noexcept;
/// Errors: DeviceError where it is one.
void note_fallback(const std::string& op, const std::string& where);

/// Waits for everything that the queue of the stream has to do.
void finish(Stream stream);

}  // namespace plait::engine
