#pragma once

#include <cstdint>

/// The records of a zip archive.
namespace plait::io::zip_format {

inline constexpr uint32_t kHeader = 0x04034b50, kEntry = 0x02014b50, kEnd = 0x06054b50, kLargeEnd = 0x06064b50,
                          kLocator = 0x07064b50, kDescriptor = 0x08074b50;
inline constexpr uint64_t kHeaderBytes = 30, kEntryBytes = 46, kEndBytes = 22, kLargeEndBytes = 56, kLocatorBytes = 20;
inline constexpr uint32_t kStored = 0, kDeflated = 8;
inline constexpr uint32_t kEncrypted = 1, kHasDescriptor = 8, kUtf8 = 0x800;
inline constexpr uint32_t kLarge = 0xFFFFFFFF;  // stands for a number in 64 bits elsewhere
inline constexpr uint32_t kLargeNumbers = 1;    // the extra field that has them

}  // namespace plait::io::zip_format
