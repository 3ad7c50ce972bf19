#pragma once

#include "io/reading.h"
#include "ops/read_later.h"

namespace plait::io {

/// The elements of an array that lie row-major from `at`: read when they are needed from a lasting source, else now.
Array elements_later(const std::shared_ptr<const ByteSource>& source, uint64_t at, Aval aval);
/// The same for arrays that `read` makes of what the source holds.
Arrays made_later(const std::shared_ptr<const ByteSource>& source, Avals avals, ReadElements read);

}  // namespace plait::io
