#pragma once

#include <functional>
#include <span>

#include "graph/node.h"

namespace plait {

/// Brings the elements of arrays to memory, row-major, an address for each. It may be called again after it has failed.
using ReadElements = std::function<void(std::span<char* const> to)>;

/// Arrays whose elements stay where they are until they are needed: on the first evaluation `read` fetches those of all
/// at once. Inside of a trace, which may run again and elsewhere, it does so now.
Arrays read_later(Avals avals, ReadElements read);

}  // namespace plait
