// Source to machine code: NVRTC, opened when first needed, and a cache of what it made on disk.
#pragma once

#include <string>
#include <vector>

#include "backends/cuda/regions/text.h"

namespace plait::cuda {

/// A header that sources include, with the name they include it by.
struct Header {
  const char* name;
  const char* text;
};
const std::vector<Header>& device_headers();

/// Machine code for GPUs of compute capability `capability` (90 for 9.0), from the cache or from NVRTC.
///
/// Threads: any; several processes may share the cache. Errors: DeviceError when NVRTC cannot be opened; InternalError with its log when
/// it rejects the text, ArgumentError for a user's; Interrupted when the process ends meanwhile, and by an interrupt for a user's.
std::string build(const Source& source, int capability);
/// The same without the cache.
std::string compile(const Source& source, int capability);

}  // namespace plait::cuda
