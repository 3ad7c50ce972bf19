// Machine code on disk, between processes: PLAIT_CACHE_DIR, or ~/.cache/plait/cuda. It holds up to 256 MiB; the entries that were
// used longest ago go first. Whatever goes wrong with it is as if it were empty.
#pragma once

#include <optional>
#include <string>

#include "base/hash.h"

namespace plait::cuda {

std::optional<std::string> cached_image(const Key128& key);
void cache_image(const Key128& key, const std::string& image);

inline constexpr int64_t kCacheBytes = int64_t{256} << 20;
/// Removes the entries that were used longest ago until `most` bytes are left.
void trim_cache(const std::string& directory, int64_t most);

}  // namespace plait::cuda
