// Dtype objects, their categories, and what is asked about them.
#include <cmath>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "bind.h"

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
  static const std::unordered_map<std::string_view, DTypes> kinds = {
      {"bool", dtypes::boolean},
      {"signed integer", dtypes::signed_integer},
      {"unsigned integer", dtypes::unsigned_integer},
      {"integral", dtypes::integer},
      {"real floating", dtypes::floating},
      {"complex floating", dtypes::complex},
      {"numeric", dtypes::numeric},
  };
  const auto name = nb::cast<std::string_view>(kind);
  const auto found = kinds.find(name);
  if (found == kinds.end())
    throw ArgumentError(
        {.op = "isdtype",
         .got = "the kind '" + std::string(name) + "'",
         .accepts = "bool, signed integer, unsigned integer, integral, real floating, complex floating, numeric"});
  return is_in(d, found->second);
}

// A cast that keeps the kind or widens it, and never loses range within the integers.
bool can_cast(DType from, DType to) { return promote(from, to) == to; }

/// The dtype of an array, or a dtype itself.
std::optional<DType> dtype_of(nb::handle o) {
  if (is_dtype(o.ptr())) return to_dtype(o.ptr());
  if (is_array(o.ptr())) return value_of(o.ptr()).dtype();
  return std::nullopt;
}

DType result_type(const nb::args& operands) {
  std::optional<DType> common;
  std::vector<Scalar> numbers;  // they follow the dtype of the others
  for (nb::handle o : operands) {
    if (const std::optional<DType> d = dtype_of(o)) {
      common = common ? promote(*common, *d) : *d;
    } else if (is_scalar(o.ptr())) {
      numbers.push_back(to_scalar(o.ptr()));
    } else {
      throw nb::type_error("result_type: each argument is an array, a Dtype or a number");
    }
  }
  if (!common)
    throw ArgumentError({.op = "result_type",
                         .got = numbers.empty() ? "no argument" : "numbers alone",
                         .accepts = "at least one array or Dtype"});
  for (const Scalar& s : numbers) common = s.dtype_with(*common);
  return *common;
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

struct FloatInfo {
  DType dtype;
  int bits;
  double min, max, eps, smallest_normal;
};

FloatInfo float_info(DType d) {
  if (d == DType::complex64) d = DType::float32;
  const auto make = [d](int bits, double max, int digits, int lowest) {
    return FloatInfo{d, bits, -max, max, std::ldexp(1.0, -digits), std::ldexp(1.0, lowest)};
  };
  switch (d) {
    case DType::float16: return make(16, 65504, 10, -14);
    case DType::bfloat16: return make(16, std::ldexp(255.0 / 128, 127), 7, -126);
    case DType::float32: return make(32, static_cast<double>(3.402823466385288598e+38f), 23, -126);
    case DType::float64: return make(64, 1.7976931348623157e+308, 52, -1022);
    default:
      throw DTypeError({.op = "finfo",
                        .got = "dtype " + std::string(name_of(d)),
                        .accepts = "a dtype of floats or complex numbers",
                        .hint = "iinfo describes integers"});
  }
}

struct IntegerInfo {
  DType dtype;
};

IntegerInfo integer_info(DType d) {
  if (!is_integer(d))
    throw DTypeError({.op = "iinfo",
                      .got = "dtype " + std::string(name_of(d)),
                      .accepts = "a dtype of integers",
                      .hint = "finfo describes floats"});
  return {d};
}

nb::object integer_min(const IntegerInfo& i) {
  if (is_in(i.dtype, dtypes::unsigned_integer)) return nb::int_(0);
  return nb::int_(-1 - static_cast<int64_t>((uint64_t{1} << (8 * size_of(i.dtype) - 1)) - 1));
}
nb::object integer_max(const IntegerInfo& i) {
  const int bits = 8 * size_of(i.dtype) - (is_in(i.dtype, dtypes::signed_integer) ? 1 : 0);
  return nb::int_(bits == 64 ? ~uint64_t{0} : (uint64_t{1} << bits) - 1);
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
      "result_type", result_type, nb::sig("def result_type(*arrays_and_dtypes: array | Dtype | scalar) -> Dtype"),
      "The dtype that all of them meet in: that of their sum. Numbers follow that of the others.\n\n"
      "Errors: TypeError for what is neither array, Dtype nor number, ValueError for no argument and for numbers alone.");

  nb::class_<FloatInfo>(m, "finfo", "Limits of a dtype of floats.")
      .def(
          "__init__",
          [](FloatInfo* self, nb::handle type) { new (self) FloatInfo(float_info(described("finfo", type))); },
          nb::arg(), nb::sig("def __init__(self, arg: Dtype | array, /) -> None"))
      .def_prop_ro("dtype", [](const FloatInfo& f) { return f.dtype; })
      .def_ro("bits", &FloatInfo::bits)
      .def_ro("min", &FloatInfo::min)
      .def_ro("max", &FloatInfo::max)
      .def_ro("eps", &FloatInfo::eps)
      .def_ro("smallest_normal", &FloatInfo::smallest_normal)
      .def("__repr__", [](const FloatInfo& f) {
        return nb::str(("finfo(min=" + shortest(f.min) + ", max=" + shortest(f.max) +
                        ", dtype=" + std::string(name_of(f.dtype)) + ")")
                           .c_str());
      });
  nb::class_<IntegerInfo>(m, "iinfo", "Limits of a dtype of integers.")
      .def(
          "__init__",
          [](IntegerInfo* self, nb::handle type) { new (self) IntegerInfo(integer_info(described("iinfo", type))); },
          nb::arg(), nb::sig("def __init__(self, arg: Dtype | array, /) -> None"))
      .def_prop_ro("dtype", [](const IntegerInfo& i) { return i.dtype; })
      .def_prop_ro("min", integer_min)
      .def_prop_ro("max", integer_max)
      .def("__repr__", [](const IntegerInfo& i) {
        return nb::str("iinfo(min={}, max={}, dtype={})")
            .format(integer_min(i), integer_max(i), nb::str(std::string(name_of(i.dtype)).c_str()));
      });
  m.def(
      "__array_namespace_info__", [core = nb::object(m)] { return array_namespace_info(core); },
      nb::sig("def __array_namespace_info__()"), "What the array API standard asks a namespace about itself.");
}

}  // namespace plait::python
