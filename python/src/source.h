// Where in the user's Python program an operation was made.
#pragma once

#include <nanobind/nanobind.h>

#include <string>

namespace plait::python {

/// Installs the hooks of graph/source.h. Frames of files below `package` (plait's own Python layer) are passed over.
void install_source_hooks(const std::string& package);

/// What errors call a transform of f: "grad of loss", or "grad" for a lambda and for what another transform made.
std::string transform_of(const char* transform, nanobind::handle f);

}  // namespace plait::python
