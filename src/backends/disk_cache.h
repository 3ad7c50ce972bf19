// Machine code on disk, between processes: in PLAIT_CACHE_DIR, else plait/KIND in XDG_CACHE_HOME or ~/.cache. It holds up to
// 256 MiB; the entries that were used longest ago go first. Whatever goes wrong with it is as if it were empty.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/hash.h"
#include "plait/export.h"

namespace plait {

/// The code kept under a key, of `kind` ("cuda", "cpu"). It will be run: what another user could have written is passed over.
PLAIT_API std::optional<std::string> cached_image(std::string_view kind, const Key128& key);
PLAIT_API void cache_image(std::string_view kind, const Key128& key, const std::string& image);

inline constexpr int64_t kCacheBytes = int64_t{256} << 20;
/// Removes the entries that were used longest ago until `most` bytes are left.
PLAIT_API void trim_cache(const std::string& directory, int64_t most);

}  // namespace plait
