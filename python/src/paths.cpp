#include "paths.h"

namespace plait::python {

std::string path_of(nb::handle file) {
  PyObject* bytes = nullptr;
  if (PyUnicode_FSConverter(file.ptr(), &bytes) == 0) throw nb::python_error();
  const nb::object owned = nb::steal(bytes);
  return std::string(PyBytes_AS_STRING(bytes), static_cast<size_t>(PyBytes_GET_SIZE(bytes)));
}

bool is_path(nb::handle o) {
  return PyUnicode_Check(o.ptr()) || PyBytes_Check(o.ptr()) || nb::hasattr(o, "__fspath__");
}

nb::str text_of(const std::string& bytes) {
  return nb::steal<nb::str>(
      PyUnicode_DecodeUTF8(bytes.data(), static_cast<Py_ssize_t>(bytes.size()), "surrogateescape"));
}

}  // namespace plait::python
