// plait's exceptions as Python classes with the same fields.
#include <exception>
#include <typeindex>
#include <unordered_map>

#include "base/matrix_error.h"
#include "bind.h"
#include "graph/source.h"
#include "memory/position_note.h"
#include "plait/linalg_error.h"

namespace plait::python {
namespace {

std::unordered_map<std::type_index, PyObject*>& classes() {
  static auto* map = new std::unordered_map<std::type_index, PyObject*>;
  return *map;
}
PyObject* base_class = nullptr;

void raise(const Error& error) try {
  ErrorInfo info = error.info();
  if (info.where.empty()) info.where = describe_source(current_source());
  const auto text_of = [](const std::string& text) {  // it may quote what a file holds
    return nb::steal(PyUnicode_DecodeUTF8(text.data(), static_cast<Py_ssize_t>(text.size()), "replace"));
  };
  const auto found = classes().find(typeid(error));
  PyObject* type = found == classes().end() ? base_class : found->second;
  nb::object made = nb::steal(PyObject_CallOneArg(type, text_of(Error(info).what()).ptr()));
  if (!made.is_valid()) return;  // the failure to make it is the error then
  made.attr("op") = text_of(info.op);
  made.attr("got") = text_of(info.got);
  made.attr("accepts") = text_of(info.accepts);
  made.attr("hint") = text_of(info.hint);
  made.attr("where") = text_of(info.where);
  PyErr_SetObject(type, made.ptr());
} catch (nb::python_error& e) {
  e.restore();
} catch (const std::bad_alloc&) {  // for its words
  PyErr_NoMemory();
}

void translate(const std::exception_ptr& p, void*) {
  try {
    std::rethrow_exception(p);
  } catch (const Interrupted&) {
    PyErr_SetNone(PyExc_KeyboardInterrupt);
  } catch (const Error& e) {
    raise(e);
  }
}

template <class E>
void add(nb::module_& m, const char* name, const char* doc, std::initializer_list<PyObject*> bases) {
  nb::object tuple = nb::steal(PyTuple_New(static_cast<Py_ssize_t>(bases.size())));
  Py_ssize_t i = 0;
  for (PyObject* base : bases) PyTuple_SET_ITEM(tuple.ptr(), i++, Py_NewRef(base));
  const std::string full = std::string("plait.core.") + name;
  PyObject* type = PyErr_NewExceptionWithDoc(full.c_str(), doc, tuple.ptr(), nullptr);
  if (!type) throw nb::python_error();
  classes()[typeid(E)] = type;
  m.attr(name) = nb::handle(type);
}

}  // namespace

void set_python_error() noexcept {
  try {
    throw;
  } catch (nb::python_error& e) {
    e.restore();
  } catch (const nb::builtin_exception& e) {
    PyObject* type = PyExc_RuntimeError;
    switch (e.type()) {
      case nb::exception_type::value_error: type = PyExc_ValueError; break;
      case nb::exception_type::type_error: type = PyExc_TypeError; break;
      case nb::exception_type::index_error: type = PyExc_IndexError; break;
      case nb::exception_type::buffer_error: type = PyExc_BufferError; break;
      case nb::exception_type::stop_iteration: type = PyExc_StopIteration; break;
      case nb::exception_type::attribute_error: type = PyExc_AttributeError; break;
      default: break;
    }
    PyErr_SetString(type, e.what() ? e.what() : "");
  } catch (const Interrupted&) {
    PyErr_SetNone(PyExc_KeyboardInterrupt);
  } catch (const Error& e) {
    raise(e);
  } catch (const std::bad_alloc&) {
    PyErr_NoMemory();
  } catch (const std::exception& e) {
    PyErr_SetString(PyExc_RuntimeError, e.what());
  } catch (...) {
    PyErr_SetString(PyExc_RuntimeError, "an unknown C++ exception");
  }
}

void bind_errors(nb::module_& m) {
  base_class = PyErr_NewExceptionWithDoc(
      "plait.core.Error",
      "Base of plait's errors. Fields, each a str that may be empty: op (the function), got, accepts, hint, where (the\n"
      "line of the program that made the operation).",
      PyExc_Exception, nullptr);
  if (!base_class) throw nb::python_error();
  m.attr("Error") = nb::handle(base_class);
  add<InternalError>(m, "InternalError", "A defect of plait itself.", {base_class, PyExc_RuntimeError});
  add<UserError>(m, "UserError", "The caller's to mend.", {base_class, PyExc_ValueError});
  add<ShapeError>(m, "ShapeError", "Shapes that do not fit.", {base_class, PyExc_ValueError});
  add<NoSuchProperty>(m, "NoSuchProperty", "A property that arrays of this shape do not have.",
                      {classes().at(typeid(ShapeError)), PyExc_AttributeError});
  add<AxisError>(m, "AxisError", "An axis that an array does not have.",
                 {base_class, PyExc_ValueError, PyExc_IndexError});
  add<DTypeError>(m, "DTypeError", "A dtype that an operation does not take.", {base_class, PyExc_ValueError});
  add<ArgumentError>(m, "ArgumentError", "A value that an operation does not take.", {base_class, PyExc_ValueError});
  add<ArgumentTypeError>(m, "ArgumentTypeError", "An argument of a wrong type.", {base_class, PyExc_TypeError});
  // NumPy raises IndexError, programs written for this interface expect ValueError: it is both.
  add<IndexError>(m, "IndexError", "An index outside the array, or of a wrong kind.",
                  {base_class, PyExc_IndexError, PyExc_ValueError});
  classes()[typeid(memory::PositionError)] = classes().at(typeid(IndexError));
  add<DeviceError>(m, "DeviceError", "A device that is not there.", {base_class, PyExc_ValueError, PyExc_RuntimeError});
  add<TransformError>(m, "TransformError", "A transform that has no rule, or an evaluation under a trace.",
                      {base_class, PyExc_ValueError});
  add<OutOfMemory>(m, "OutOfMemory", "Memory beyond the limit or beyond what the machine has.",
                   {base_class, PyExc_MemoryError, PyExc_RuntimeError});
  add<LinAlgError>(m, "LinAlgError", "A matrix that has no inverse or no root, or on which an iteration fails.",
                   {base_class, PyExc_RuntimeError, PyExc_ValueError});
  classes()[typeid(MatrixError)] = classes().at(typeid(LinAlgError));
  add<NanError>(m, "NanError", "A NaN, or an infinity, that a check was looking for.",
                {base_class, PyExc_FloatingPointError});
  // Programs written for this interface expect the one for some formats, the other for others: it is both.
  add<FileError>(m, "FileError", "A file that cannot be read or written.",
                 {base_class, PyExc_RuntimeError, PyExc_ValueError});
  nb::register_exception_translator(translate);
}

}  // namespace plait::python
