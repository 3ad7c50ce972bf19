#pragma once

#include "io/reading.h"

namespace plait::io {

/// Tensors and metadata of a GGUF file, version 2 or 3. From a lasting source elements are read when they are needed.
Loaded read_gguf(const Reading& reading, const std::shared_ptr<const ByteSource>& source);

}  // namespace plait::io
