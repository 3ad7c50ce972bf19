// Dtype objects, their categories, and what is asked about them.
#include <optional>
#include <string>
#include <vector>

#include "bind.h"
#include "plait/dtype_info.h"

namespace plait::python {
namespace {

struct DtypeObject {
  DType dtype;
};

enum class Category { complexfloating, floating, inexact, signedinteger, unsignedinteger, integer, number, generic };

DTypes members(Category c) {
  switch (c) {
    case Category::complexfloating: return dtypes::complex;
    case Category::floating: return dtypes::floating;
    case Category::inexact: return dtypes::inexact;
    case Category::signedinteger: return dtypes::signed_integer;
    case Category::unsignedinteger: return dtypes::unsigned_integer;
    case Category::integer: return dtypes::integer;
    case Category::number: return dtypes::numeric;
    case Category::generic: return dtypes::any;
  }
  return 0;
}

PyObject* objects[kDTypeCount];
PyTypeObject* dtype_type = nullptr;

// "bool_" where Python has a name of its own for "bool".
std::string attribute(DType d) { return d == DType::bool_ ? "bool_" : std::string(name_of(d)); }
std::string repr(DType d) { return "plait.core." + std::string(name_of(d)); }

bool is_subtype(nb::handle a, nb::handle b) {
  const bool a_is_dtype = is_dtype(a.ptr());
  const bool b_is_dtype = is_dtype(b.ptr());
  if (a_is_dtype && b_is_dtype) return to_dtype(a.ptr()) == to_dtype(b.ptr());
  const auto category = [](nb::handle h) {
    Category c{};
    if (!nb::try_cast(h, c)) throw nb::type_error("issubdtype: each argument is a Dtype or a DtypeCategory");
    return c;
  };
  if (b_is_dtype) {
    category(a);
    return false;
  }
  const Category b_category = category(b);
  if (a_is_dtype) return is_in(to_dtype(a.ptr()), members(b_category));
  return (members(category(a)) & ~members(b_category)) == 0;
}

bool is_dtype_kind(DType d, nb::handle kind) {
  if (is_dtype(kind.ptr())) return to_dtype(kind.ptr()) == d;
  if (nb::isinstance<nb::tuple>(kind)) {
    for (nb::handle k : nb::cast<nb::tuple>(kind))
      if (is_dtype_kind(d, k)) return true;
    return false;
  }
  if (!nb::isinstance<nb::str>(kind)) throw nb::type_error("isdtype: kind is a Dtype, a string, or a tuple of these");
  return isdtype(d, nb::cast<std::string_view>(kind));
}

/// The dtype of an array, or a dtype itself.
std::optional<DType> dtype_of(nb::handle o) {
  if (is_dtype(o.ptr())) return to_dtype(o.ptr());
  if (is_array(o.ptr())) return value_of(o.ptr()).dtype();
  return std::nullopt;
}

DType result_type_of(const nb::args& operands) {
  std::vector<DType> dtypes;
  std::vector<Scalar> numbers;  // they follow the dtype of the others
  for (nb::handle o : operands) {
    if (const std::optional<DType> d = dtype_of(o)) {
      dtypes.push_back(*d);
    } else if (is_scalar(o.ptr())) {
      numbers.push_back(to_scalar(o.ptr()));
    } else {
      throw nb::type_error("result_type: each argument is an array, a Dtype or a number");
    }
  }
  return result_type(dtypes, numbers);
}

/// The argument of finfo and iinfo.
DType described(const char* op, nb::handle o) {
  const std::optional<DType> d = dtype_of(o);
  if (!d)
    throw ArgumentTypeError({.op = op,
                             .got = std::string("a value of type ") + Py_TYPE(o.ptr())->tp_name,
                             .accepts = "a Dtype or an array"});
  return *d;
}

std::string shortest(double value) {
  char text[40];
  std::snprintf(text, sizeof text, "%g", value);
  return text;
}

nb::object array_namespace_info(nb::object m) {
  // A plain namespace of functions, as the array API standard describes it.
  nb::dict capabilities;
  capabilities["boolean indexing"] = true;
  capabilities["data-dependent shapes"] = true;
  capabilities["max dimensions"] = 10;
  nb::dict defaults;
  defaults["real floating"] = nb::cast(DType::float32);
  defaults["complex floating"] = nb::cast(DType::complex64);
  defaults["integral"] = nb::cast(DType::int32);
  defaults["indexing"] = nb::cast(DType::int32);
  nb::object info = nb::module_::import_("types").attr("SimpleNamespace")();
  info.attr("capabilities") = nb::cpp_function([capabilities] { return capabilities; });
  info.attr("default_dtypes") =
      nb::cpp_function([defaults](nb::handle) { return defaults; }, nb::arg("device") = nb::none());
  info.attr("dtypes") = nb::cpp_function(
      [](nb::handle, nb::handle kind) {
        nb::dict out;
        for (const DType d : {DType::bool_, DType::int8, DType::int16, DType::int32, DType::int64, DType::uint8,
                              DType::uint16, DType::uint32, DType::uint64, DType::float16, DType::bfloat16,
                              DType::float32, DType::float64, DType::complex64}) {
          if (d == DType::bfloat16 || d == DType::float16) continue;  // the standard knows float32 and float64
          if (kind.is_none() || is_dtype_kind(d, kind)) out[std::string(name_of(d)).c_str()] = nb::cast(d);
        }
        return out;
      },
      nb::kw_only(), nb::arg("device") = nb::none(), nb::arg("kind") = nb::none());
  info.attr("devices") = nb::cpp_function([m] {
    nb::list all;
    for (const char* type : {"cpu", "gpu"}) {
      const int count = nb::cast<int>(m.attr("device_count")(m.attr(type)));
      for (int i = 0; i < count; ++i) all.append(m.attr("Device")(m.attr(type), i));
    }
    return nb::tuple(all);
  });
  info.attr("default_device") = nb::cpp_function([m] { return m.attr("default_device")(); });
  return info;
}

}  // namespace

PyObject* dtype_object(DType d) { return objects[static_cast<int>(d)]; }
bool is_dtype(PyObject* o) { return Py_TYPE(o) == dtype_type; }
DType to_dtype(PyObject* o) { return nb::inst_ptr<DtypeObject>(o)->dtype; }

void bind_dtypes(nb::module_& m) {
  auto type =
      nb::class_<DtypeObject>(m, "Dtype", "An element type, such as plait.core.float32.")
          .def_prop_ro(
              "size", [](const DtypeObject& d) { return size_of(d.dtype); }, nb::sig("def size(self) -> int"),
              "Bytes of one element.")
          .def("__repr__", [](const DtypeObject& d) { return nb::str(repr(d.dtype).c_str()); })
          .def(
              "__eq__",
              [](const DtypeObject& d, nb::handle o) { return is_dtype(o.ptr()) && to_dtype(o.ptr()) == d.dtype; },
              nb::arg().none())
          .def("__hash__", [](const DtypeObject& d) { return static_cast<int64_t>(d.dtype) + 0x506c61; })
                  // Pickled by name, so that the one object of the dtype comes back.
          .def("__reduce__", [](const DtypeObject& d) { return nb::str(attribute(d.dtype).c_str()); });
  dtype_type = reinterpret_cast<PyTypeObject*>(type.ptr());
  for (int d = 0; d < kDTypeCount; ++d) {
    nb::object o = nb::inst_alloc(type);
    nb::inst_ptr<DtypeObject>(o)->dtype = static_cast<DType>(d);
    nb::inst_mark_ready(o);
    m.attr(attribute(static_cast<DType>(d)).c_str()) = o;
    objects[d] = o.release().ptr();  // for the life of the process
  }
  m.attr("bool") = nb::handle(objects[0]);

  auto categories = nb::enum_<Category>(m, "DtypeCategory", "Sets of dtypes, as in NumPy's hierarchy.");
  for (const auto& [name, value] : {std::pair{"complexfloating", Category::complexfloating},
                                    {"floating", Category::floating},
                                    {"inexact", Category::inexact},
                                    {"signedinteger", Category::signedinteger},
                                    {"unsignedinteger", Category::unsignedinteger},
                                    {"integer", Category::integer},
                                    {"number", Category::number},
                                    {"generic", Category::generic}})
    categories.value(name, value);
  categories.export_values();

  m.def("issubdtype", is_subtype, nb::arg(), nb::arg(),
        nb::sig("def issubdtype(arg1: Dtype | DtypeCategory, arg2: Dtype | DtypeCategory) -> bool"),
        "Whether a dtype or category lies within another.\n\nErrors: TypeError for what is neither.");
  m.def("isdtype", is_dtype_kind, nb::arg("dtype"), nb::arg("kind"),
        nb::sig("def isdtype(dtype: Dtype, kind: Dtype | str | tuple[Dtype | str, ...]) -> bool"),
        "Whether a dtype is of a kind, as the array API standard names them: \"integral\", \"real floating\", ...\n\n"
        "Errors: ValueError for a kind that it does not name.");
  m.def(
      "can_cast",
      [](nb::handle from, DType to) {
        if (is_array(from.ptr())) return can_cast(value_of(from.ptr()).dtype(), to);
        if (!is_dtype(from.ptr())) throw nb::type_error("can_cast: from_ is an array or a Dtype");
        return can_cast(to_dtype(from.ptr()), to);
      },
      nb::arg("from_"), nb::arg("to"), nb::sig("def can_cast(from_: array | Dtype, to: Dtype) -> bool"),
      "Whether every value of one dtype has a place in another, as promotion sees it.\n\nErrors: TypeError for what is no array or "
      "Dtype.");
  m.def(
      "result_type", result_type_of, nb::sig("def result_type(*arrays_and_dtypes: array | Dtype | scalar) -> Dtype"),
      "The dtype that all of them meet in: that of their sum. Numbers follow that of the others.\n\n"
      "Errors: TypeError for what is neither array, Dtype nor number, ValueError for no argument and for numbers alone.");

  nb::class_<finfo>(m, "finfo", "Limits of a dtype of floats.")
      .def(
          "__init__", [](finfo* self, nb::handle type) { new (self) finfo(described("finfo", type)); }, nb::arg(),
          nb::sig("def __init__(self, arg: Dtype | array, /) -> None"))
      .def_prop_ro("dtype", [](const finfo& f) { return f.dtype; })
      .def_ro("bits", &finfo::bits)
      .def_ro("min", &finfo::min)
      .def_ro("max", &finfo::max)
      .def_ro("eps", &finfo::eps)
      .def_ro("smallest_normal", &finfo::smallest_normal)
      .def("__repr__", [](const finfo& f) {
        return nb::str(("finfo(min=" + shortest(f.min) + ", max=" + shortest(f.max) +
                        ", dtype=" + std::string(name_of(f.dtype)) + ")")
                           .c_str());
      });
  nb::class_<iinfo>(m, "iinfo", "Limits of a dtype of integers.")
      .def(
          "__init__", [](iinfo* self, nb::handle type) { new (self) iinfo(described("iinfo", type)); }, nb::arg(),
          nb::sig("def __init__(self, arg: Dtype | array, /) -> None"))
      .def_prop_ro("dtype", [](const iinfo& i) { return i.dtype; })
      .def_ro("min", &iinfo::min)
      .def_ro("max", &iinfo::max)
      .def("__repr__", [](const iinfo& i) {
        return nb::str("iinfo(min={}, max={}, dtype={})")
            .format(i.min, i.max, nb::str(std::string(name_of(i.dtype)).c_str()));
      });
  m.def(
      "__array_namespace_info__", [core = nb::object(m)] { return array_namespace_info(core); },
      nb::sig("def __array_namespace_info__()"), "What the array API standard asks a namespace about itself.");
}

}  // namespace plait::python
