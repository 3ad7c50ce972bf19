// Memory from the system, and whether there is any left.
#pragma once

#include <cstdint>

namespace plait::memory {

inline constexpr int64_t kHugePage = int64_t{2} << 20;

/// Maps zeroed memory, aligned to huge pages from 2 MiB, and made of them where `huge`; null when the system refuses.
///
/// Nothing is mapped that the machine or the cgroup could not back: pages are only touched later, when it would be too
/// late to raise. Memory mapped before and not touched yet counts as used.
void* map_pages(int64_t bytes, bool huge = true) noexcept;
void unmap_pages(void* data, int64_t bytes) noexcept;

/// Bytes mapped now.
int64_t mapped_bytes() noexcept;

}  // namespace plait::memory
