#pragma once

#include "ops/prelude.h"

namespace plait {

// A bool has no bits to shift: it counts as a byte.
inline DType shifted_dtype(DType d) { return d == DType::bool_ ? DType::uint8 : d; }
inline Val shiftable(Val a) { return a.builder->convert(a, shifted_dtype(a.type())); }

}  // namespace plait
