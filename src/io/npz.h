#pragma once

#include "io/reading.h"

namespace plait::io {

/// Named arrays of one zip archive of npy files. Errors: as read_npy and zip_members.
NamedArrays read_npz(const Reading& reading, const ByteSource& source);

}  // namespace plait::io
