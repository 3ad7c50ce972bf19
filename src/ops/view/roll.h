#pragma once

#include "plait/array.h"

namespace plait {

/// Elements moved by `shift` places along an axis, those that leave at one end coming back at the other. Taken as it is.
Array rolled(const Array& a, int axis, Dim shift);

}  // namespace plait
