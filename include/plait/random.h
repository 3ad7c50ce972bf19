#pragma once

#include <cstdint>
#include <optional>

#include "plait/array.h"

/// Random numbers: what plait/ops.h cannot generate from Python signatures. Every draw takes a key, or splits the process's
/// own. The same key, shape and dtype give the same numbers on every machine and for any number of threads.
namespace plait::random {

/// A key from a number: uint32 (2,).
PLAIT_API Array key(uint64_t seed);

/// The key that draws without one split; uint32 (2,). Threads: any.
PLAIT_API Array state();
/// Replaces it. Errors: ArgumentError unless it is a key.
PLAIT_API void set_state(const Array& key);
/// `set_state(key(seed))`.
PLAIT_API void seed(uint64_t seed);
/// Splits the state: its first half becomes the state, the other is returned. Threads: any; no two draws get one key.
PLAIT_API Array next_key();

/// Uniform words: uint32, of `shape`. Errors: ArgumentError for what is no key, ShapeError for negative extents.
PLAIT_API Array bits(const Shape& shape, const std::optional<Array>& key = std::nullopt);

}  // namespace plait::random
