#pragma once

#include <string>

#include "base/function_ref.h"
#include "io/reading.h"

/// NumPy's format of one array: a line of text that is a Python dict, then the elements.
namespace plait::io {

/// The array in `available` bytes, of which `next` brings the following ones. Returns how many it took.
///
/// Errors: FileError; DTypeError for elements that no array has.
struct ReadNpy {
  Array array;
  uint64_t bytes = 0;
};
ReadNpy read_npy(const Reading& reading, uint64_t available, FunctionRef<void(char* to, uint64_t bytes)> next);

/// What stands before the row-major elements of such an array. A multiple of 64 bytes.
std::string npy_header(const Aval& aval);

}  // namespace plait::io
