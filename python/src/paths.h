// Names of files, and texts that files hold, between Python and the library.
#pragma once

#include <nanobind/nanobind.h>

#include <string>

namespace nb = nanobind;

namespace plait::python {

/// The name of a file as its bytes. Errors: TypeError for what is no path.
std::string path_of(nb::handle file);
bool is_path(nb::handle o);
/// Bytes that are no UTF-8 become lone surrogates, as in names of files.
nb::str text_of(const std::string& bytes);

}  // namespace plait::python
