#pragma once

#include <map>
#include <string>

#include "plait/array.h"

namespace plait {

/// Arrays by name: arguments of functions, what a file holds.
using NamedArrays = std::map<std::string, Array>;

}  // namespace plait
