// Machine code that users hand over. The driver is told where it begins, not how long it is.
#pragma once

#include <string_view>

namespace plait::cuda {

/// What of an image is missing by its own headings, which the driver would read from behind its end; null where it is whole. Text (PTX)
/// is whole: it ends with a zero.
const char* missing_part(std::string_view image);

}  // namespace plait::cuda
