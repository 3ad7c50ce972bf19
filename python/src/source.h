// Where in the user's Python program an operation was made.
#pragma once

#include <string>

namespace plait::python {

/// Installs the hooks of graph/source.h. Frames of files below `package` (plait's own Python layer) are passed over.
void install_source_hooks(const std::string& package);

}  // namespace plait::python
