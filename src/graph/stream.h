#pragma once

#include <cstdint>

#include "plait/stream.h"

namespace plait {

/// The stream new nodes of this thread go to.
Stream current_stream();
/// The device that a stream belongs to.
Device device_of_stream(uint32_t stream);

/// How a stream is waited for: the engine fills this in.
void set_synchronize_hook(void (*wait)(Stream));

}  // namespace plait
