#pragma once

#include <cstdint>

#include "plait/stream.h"

namespace plait {

/// The stream new nodes of this thread go to.
uint32_t current_stream_index();

/// How a stream is waited for: the engine fills this in.
void set_synchronize_hook(void (*wait)(Stream));

}  // namespace plait
