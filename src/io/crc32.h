#pragma once

#include <cstddef>
#include <cstdint>

namespace plait::io {

/// CRC-32 as in zip, gzip and PNG (polynomial 0xEDB88320, reflected). `before`: that of the bytes in front, 0 for none.
uint32_t crc32(const void* data, size_t bytes, uint32_t before = 0);

}  // namespace plait::io
