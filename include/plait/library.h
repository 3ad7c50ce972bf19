#pragma once

#include "plait/export.h"
#include "plait/version.h"

namespace plait {

/// The version of the library in use, "major.minor.patch". It can be newer than PLAIT_VERSION, the headers'.
PLAIT_API const char* version();

}  // namespace plait
