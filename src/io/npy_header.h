#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "io/reading.h"

namespace plait::io {

/// The dict in the header of an npy file.
struct NpyHeader {
  std::string descr;
  bool structured = false;  // descr is a list of fields
  bool fortran_order = false;
  std::vector<uint64_t> extents;
};

/// Reads the dict and nothing else of Python. Errors: FileError.
NpyHeader parse_npy_header(const Reading& reading, std::string_view text);

}  // namespace plait::io
