// Blocks of up to kMaxSmall bytes, cut from slabs and handed out through a cache per thread.
#pragma once

#include <cstdint>

namespace plait::memory {

/// A block of `class_bytes(size_class)` bytes, aligned to 64; null when the system has no memory. Any thread may return
/// it.
void* take_small(int size_class) noexcept;
void return_small(void* block, int size_class) noexcept;

/// Gives memory that no block uses back to the system. Other threads' caches follow when they are next refilled or
/// full.
void release_small() noexcept;

/// Around a fork.
void lock_small() noexcept;
void unlock_small() noexcept;

}  // namespace plait::memory
