// Under AddressSanitizer, marks memory that the allocator holds as out of bounds, so that stray accesses are found.
#pragma once

#include <cstdint>

#if defined(__SANITIZE_ADDRESS__)
#define PLAIT_POISONS 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define PLAIT_POISONS 1
#endif
#endif

#if defined(PLAIT_POISONS)
#include <sanitizer/asan_interface.h>
#endif

namespace plait::memory {

#if defined(PLAIT_POISONS)
inline constexpr bool kPoisons = true;
#else
inline constexpr bool kPoisons = false;
#endif

inline void poison([[maybe_unused]] void* data, [[maybe_unused]] int64_t bytes) noexcept {
#if defined(PLAIT_POISONS)
  if (bytes > 0) ASAN_POISON_MEMORY_REGION(data, static_cast<size_t>(bytes));
#endif
}
inline void unpoison([[maybe_unused]] void* data, [[maybe_unused]] int64_t bytes) noexcept {
#if defined(PLAIT_POISONS)
  if (bytes > 0) ASAN_UNPOISON_MEMORY_REGION(data, static_cast<size_t>(bytes));
#endif
}

}  // namespace plait::memory
