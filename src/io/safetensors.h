#pragma once

#include "io/reading.h"

namespace plait::io {

/// Tensors and texts of a safetensors file. From a lasting source elements are read when they are needed.
///
/// Errors: FileError where the tensors do not lie one behind the other in the bytes behind the header, all of them used.
Loaded read_safetensors(const Reading& reading, const std::shared_ptr<const ByteSource>& source);

}  // namespace plait::io
