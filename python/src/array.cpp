// The type `array`: life, properties, and what makes it behave like a number or a sequence. Arithmetic is in
// array_number.cpp, indexing in array_index.cpp, operators as named methods in array_operators.cpp, shared memory in array_share.cpp.
#include "array.h"

#include <new>
#include <string>
#include <vector>

#include "bind.h"
#include "elements.h"
#include "graph/node.h"
#include "plait/ops.h"
#include "plait/print.h"

namespace plait::python {

PyTypeObject* array_type_object = nullptr;

namespace {

PyObject* new_slot(PyTypeObject* type, PyObject*, PyObject*) {
  PyObject* o = type->tp_alloc(type, 0);
  if (o) ::new (&reinterpret_cast<ArrayObject*>(o)->value) Array();
  return o;
}

void dealloc(PyObject* o) {
  PyTypeObject* type = Py_TYPE(o);
  reinterpret_cast<ArrayObject*>(o)->value.~Array();
  type->tp_free(o);
  Py_DECREF(type);
}

int init(PyObject* self, PyObject* args, PyObject* kwargs) {
  static const char* names[] = {"val", "dtype", nullptr};
  PyObject* val = nullptr;
  PyObject* dtype = Py_None;
  if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|O:array", const_cast<char**>(names), &val, &dtype)) return -1;
  return guarded(
      [&] {
        rebind(self, make_array(val, dtype));
        return 0;
      },
      -1);
}

Py_hash_t hash(PyObject* self) { return static_cast<Py_hash_t>(reinterpret_cast<uintptr_t>(self) >> 4); }

PyObject* repr(PyObject* self) {
  return guarded(
      [&] {
        const std::string text = to_string(value_of(self));
        return PyUnicode_FromStringAndSize(text.data(), static_cast<Py_ssize_t>(text.size()));
      },
      nullptr);
}

// ---- properties ----

template <auto Get>
PyObject* getter(PyObject* self, void*) {
  return guarded([&] { return Get(value_of(self)); }, nullptr);
}

PyObject* get_shape(const Array& a) { return shape_tuple(a.shape()).release().ptr(); }
PyObject* get_ndim(const Array& a) { return PyLong_FromLong(a.rank()); }
PyObject* get_size(const Array& a) { return PyLong_FromLongLong(a.shape().count().fixed()); }
PyObject* get_dtype(const Array& a) { return Py_NewRef(dtype_object(a.dtype())); }
PyObject* get_itemsize(const Array& a) { return PyLong_FromLong(size_of(a.dtype())); }
PyObject* get_nbytes(const Array& a) { return PyLong_FromLongLong(a.shape().count().fixed() * size_of(a.dtype())); }
PyObject* get_t(const Array& a) { return wrap(transpose(a)); }
PyObject* get_mt(const Array& a) {
  try {
    return wrap(matrix_transpose(a));
  } catch (const ShapeError& e) {
    throw NoSuchProperty(e.info());
  }
}
PyObject* get_real(const Array& a) { return wrap(real(a)); }
PyObject* get_imag(const Array& a) { return wrap(imag(a)); }

PyGetSetDef properties[] = {
    {"shape", getter<get_shape>, nullptr, "Extents, from the outermost axis to the innermost.", nullptr},
    {"ndim", getter<get_ndim>, nullptr, "Number of axes.", nullptr},
    {"size", getter<get_size>, nullptr, "Number of elements.", nullptr},
    {"dtype", getter<get_dtype>, nullptr, "Element type.", nullptr},
    {"itemsize", getter<get_itemsize>, nullptr, "Bytes of one element.", nullptr},
    {"nbytes", getter<get_nbytes>, nullptr, "Bytes of all elements.", nullptr},
    {"T", getter<get_t>, nullptr, "The array with its axes in reverse order.", nullptr},
    {"mT", getter<get_mt>, nullptr, "The array with its last two axes exchanged.", nullptr},
    {"real", getter<get_real>, nullptr, "Real part; the array itself when it is not complex.", nullptr},
    {"imag", getter<get_imag>, nullptr, "Imaginary part; zeros when it is not complex.", nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

// ---- numbers ----

PyObject* number(const char* what, PyObject* self, PyObject* (*make)(PyObject*)) {
  return guarded(
      [&]() -> PyObject* {
        nb::object item = nb::steal(single_element(what, value_of(self)));
        return item.is_valid() ? make(item.ptr()) : nullptr;
      },
      nullptr);
}
PyObject* as_int(PyObject* self) { return number("int", self, PyNumber_Long); }
PyObject* as_float(PyObject* self) { return number("float", self, PyNumber_Float); }

PyObject* as_index(PyObject* self) {
  return guarded(
      [&]() -> PyObject* {
        const Array& a = value_of(self);
        if (a.rank() != 0 || !is_integer(a.dtype()))
          throw nb::type_error("only 0-d arrays of integers can be used as an index");
        return single_element("index", a);
      },
      nullptr);
}

int as_bool(PyObject* self) {
  return guarded(
      [&] {
        nb::object item = nb::steal(single_element("bool", value_of(self)));
        return item.is_valid() ? PyObject_IsTrue(item.ptr()) : -1;
      },
      -1);
}

// ---- methods ----

nb::object to_python(PyObject* o) {
  if (!o) throw nb::python_error();
  return nb::steal(o);
}

nb::object format(const Array& a, nb::handle spec) {
  if (a.rank() == 0) {
    nb::object item = to_python(single_element("format", a));
    return to_python(PyObject_Format(item.ptr(), spec.ptr()));
  }
  if (PyObject_Length(spec.ptr()) != 0)
    throw nb::type_error(
        "format: a format specification works for 0-d arrays only; item() gives the number of an array of size 1");
  return nb::cast(to_string(a).c_str());
}

nb::object html(const Array& a) {
  std::string text;
  for (const char c : to_string(a)) {
    if (c == '<') {
      text += "&lt;";
    } else if (c == '&') {
      text += "&amp;";
    } else {
      text += c;
    }
  }
  return nb::cast(("<pre>" + text + "\nshape " + to_string(a.shape()) + "</pre>").c_str());
}

nb::tuple getstate(const Array& a) {
  const std::string name(name_of(a.dtype()));
  return nb::make_tuple(shape_tuple(a.shape()), nb::str(name.c_str()), to_python(element_bytes(a)));
}

void setstate(nb::handle self, nb::tuple state) {
  if (!is_array(self.ptr()) || state.size() != 3) throw nb::type_error("array: not the state of a pickled array");
  Shape shape;
  for (nb::handle extent : nb::cast<nb::tuple>(state[0])) shape.push_back(Dim(nb::cast<int64_t>(extent)));
  const auto name = nb::cast<std::string_view>(state[1]);
  const nb::bytes bytes = nb::cast<nb::bytes>(state[2]);
  for (int d = 0; d < kDTypeCount; ++d) {
    if (name_of(static_cast<DType>(d)) != name) continue;
    rebind(self.ptr(),
           Array::from_bytes(bytes.c_str(), static_cast<int64_t>(bytes.size()), shape, static_cast<DType>(d)));
    return;
  }
  throw nb::value_error("array: pickled with a dtype that this version does not know");
}

nb::object namespace_of(const Array&, nb::handle version) {
  if (!version.is_none())
    throw ArgumentError(
        {.op = "__array_namespace__",
         .got = "api_version " + std::string(nb::str(version).c_str()),
         .accepts = "None: plait.core follows the array API standard without claiming one of its versions"});
  return nb::module_::import_("plait.core");
}

void bind_methods() {
  method(
      "item", [](const Array& a) { return to_python(single_element("item", a)); }, nb::sig("def item(self) -> scalar"),
      "The element of an array of size 1 as a Python number. Evaluates.\n\nErrors: ValueError when the size is not 1.");
  method(
      "tolist", [](const Array& a) { return to_python(nested_list(a)); }, nb::sig("def tolist(self) -> list_or_scalar"),
      "All elements as nested lists of Python numbers; the number itself for a 0-d array. Evaluates.");
  method("__format__", format, nb::arg(), nb::sig("def __format__(self, arg: object, /) -> str"));
  method(
      "__complex__",
      [](const Array& a) {
        nb::object item = to_python(single_element("complex", a));
        return to_python(PyObject_CallOneArg(reinterpret_cast<PyObject*>(&PyComplex_Type), item.ptr()));
      },
      nb::sig("def __complex__(self) -> complex"));
  method(
      "__bytes__", [](const Array& a) { return to_python(element_bytes(a)); }, nb::sig("def __bytes__(self) -> bytes"));
  method("__copy__", [](const Array& a) { return a; }, nb::sig("def __copy__(self) -> array"));
  method(
      "__deepcopy__", [](const Array& a, nb::handle) { return a; }, nb::arg("memo"),
      nb::sig("def __deepcopy__(self, memo: dict) -> array"));
  method("__getstate__", getstate, nb::sig("def __getstate__(self) -> tuple"));
  nb::cpp_function_def(setstate, nb::scope(nb::handle(reinterpret_cast<PyObject*>(array_type()))),
                       nb::name("__setstate__"), nb::is_method(), nb::arg(),
                       nb::sig("def __setstate__(self, arg: tuple, /) -> None"));
  method("_repr_html_", html, nb::sig("def _repr_html_(self) -> str"));
  method("__array_namespace__", namespace_of, nb::arg("api_version") = nb::none(),
         nb::sig("def __array_namespace__(self, api_version: str | None = None) -> types.ModuleType"));
}

// CPython keeps its fast slot for construction; what introspection finds under __init__ tells the signature.
void describe_init() {
  nb::object described = nb::cpp_function(
      [](nb::handle self, nb::handle val, nb::handle dtype) { rebind(self.ptr(), make_array(val, dtype)); },
      nb::is_method(), nb::name("__init__"), nb::arg("val"), nb::arg("dtype").none() = nb::none(),
      nb::sig("def __init__(self, val: scalar | list | tuple | DLPackCompatible | array, dtype: Dtype | None = None)"));
  if (PyDict_SetItemString(array_type()->tp_dict, "__init__", described.ptr()) != 0) throw nb::python_error();
  PyType_Modified(array_type());
}

}  // namespace

PyObject* wrap(Array value) noexcept {
  PyObject* o = array_type_object->tp_alloc(array_type_object, 0);
  if (o) ::new (&reinterpret_cast<ArrayObject*>(o)->value) Array(std::move(value));
  return o;
}

void bind_array(nb::module_& m) {
  static const char* doc =
      "An array of one dtype, computed when its elements are asked for.\n\n"
      "array(val, dtype=None): val is a number, nested lists or tuples of numbers and arrays, an array, or an object with\n"
      "a buffer, DLPack or __plait_array__. The elements are copied. Python floats become float32, integers int32, or\n"
      "int64 where they need it.\n\nErrors: ValueError for ragged lists and foreign objects, TypeError for None.";
  std::vector<PyType_Slot> slots(96);
  PyType_Slot* at = slots.data();
  const auto add = [&at](int slot, auto* function) { *at++ = {slot, reinterpret_cast<void*>(function)}; };
  add(Py_tp_new, new_slot);
  add(Py_tp_dealloc, dealloc);
  add(Py_tp_init, init);
  add(Py_tp_hash, hash);
  add(Py_tp_repr, repr);
  add(Py_nb_int, as_int);
  add(Py_nb_float, as_float);
  add(Py_nb_index, as_index);
  add(Py_nb_bool, as_bool);
  *at++ = {Py_tp_getset, properties};
  *at++ = {Py_tp_doc, const_cast<char*>(doc)};
  add_number_slots(at);
  add_index_slots(at);
  add_sharing_slots(at);
  *at = {0, nullptr};
  PyType_Spec spec{"plait.core.array", sizeof(ArrayObject), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, slots.data()};
  array_type_object = reinterpret_cast<PyTypeObject*>(PyType_FromModuleAndSpec(m.ptr(), &spec, nullptr));
  if (!array_type_object) throw nb::python_error();
  m.attr("array") = nb::borrow(reinterpret_cast<PyObject*>(array_type_object));
  bind_methods();
  describe_init();
  describe_operators();
}

}  // namespace plait::python
