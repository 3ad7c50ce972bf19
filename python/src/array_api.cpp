// What the array API standard asks for beyond the functions of the registry: named results, devices as an argument and as
// a property, and forms of functions that differ in their parameters.
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bind.h"
#include "plait/more_ops.h"
#include "plait/ops.h"

namespace plait::python {
namespace {

using Fields = std::vector<std::pair<const char*, const char*>>;  // name, what it holds

/// A named tuple of arrays, as a class of `m`.
nb::object result_class(nb::module_& m, const char* name, const char* doc, const Fields& fields) {
  nb::list names;
  for (const auto& [field, holds] : fields) names.append(field);
  nb::object made =
      nb::module_::import_("collections").attr("namedtuple")(name, names, nb::arg("module") = m.attr("__name__"));
  made.attr("__doc__") = doc;
  for (const auto& [field, holds] : fields) made.attr(field).attr("__doc__") = holds;
  m.attr(name) = made;
  return made;
}

void bind_sets(nb::module_& m) {
  const std::pair values("values", "The different elements, sorted: (count,).");
  const std::pair inverse_indices("inverse_indices", "For each element its place among the values: the shape of x.");
  const std::pair occurrences("counts", "How often each value occurs: (count,).");
  const nb::object all = result_class(m, "UniqueAllResult", "What unique_all returns.",
                                      {values,
                                       {"indices", "Where each value stands first in the flattened x: (count,)."},
                                       inverse_indices,
                                       occurrences});
  const nb::object counts = result_class(m, "UniqueCountsResult", "What unique_counts returns.", {values, occurrences});
  const nb::object inverse =
      result_class(m, "UniqueInverseResult", "What unique_inverse returns.", {values, inverse_indices});
  static constexpr const char* known =
      "How many there are has to be known: it evaluates, and raises TransformError while a function is traced.";
  const auto add = [&m](const char* name, auto f, const std::string& returns, const std::string& doc) {
    m.def(
        name,
        [f](const Array& a, StreamArg stream) {
          const StreamGuard on(stream);
          return f(a);
        },
        nb::arg(), nb::kw_only(), nb::arg("stream").none() = nb::none(),
        nb::sig((std::string("def ") + name + "(x: array, /, *, stream: StreamOrDevice = None) -> " + returns).c_str()),
        (doc + "\n\nx: any shape and dtype; each NaN is a value of its own. " + known).c_str());
  };
  add(
      "unique_values", [](const Array& a) { return unique_values(a); }, "array",
      "The different elements, sorted: (count,).");
  add(
      "unique_counts",
      [counts](const Array& a) {
        const Arrays found = unique_all(a);
        return counts(found[0], found[3]);
      },
      "UniqueCountsResult", "The different elements, sorted, and how often each occurs: (count,), of int32.");
  add(
      "unique_inverse",
      [inverse](const Array& a) {
        const Arrays found = unique_all(a);
        return inverse(found[0], found[2]);
      },
      "UniqueInverseResult",
      "The different elements, sorted, and for each element its place among them: the shape of x, int32.");
  add(
      "unique_all",
      [all](const Array& a) {
        const Arrays found = unique_all(a);
        return all(found[0], found[1], found[2], found[3]);
      },
      "UniqueAllResult",
      "The different elements, sorted; where each stands first in the flattened x, for each element its place among them, and "
      "how often each occurs, of int32.");
}

// What the functions of plait.core.linalg with several results return: to_named() finds these classes.
void bind_linalg_results(nb::module_& m) {
  nb::module_ linalg = submodule(m, "core.linalg");
  result_class(linalg, "EighResult", "What eigh returns.",
               {{"eigenvalues", "Smallest first: (..., n)."}, {"eigenvectors", "In columns: (..., n, n)."}});
  result_class(linalg, "QRResult", "What qr returns.",
               {{"Q", "Orthonormal columns: (..., m, k)."}, {"R", "Upper triangular: (..., k, n)."}});
  result_class(linalg, "SlogdetResult", "What slogdet returns.",
               {{"sign", "Signs, or numbers of size 1: (...)."}, {"logabsdet", "Logarithms of the sizes: (...)."}});
  result_class(linalg, "SVDResult", "What svd returns.",
               {{"U", "Orthonormal columns: (..., m, m), or (..., m, k) when reduced."},
                {"S", "Singular values, largest first: (..., k)."},
                {"Vh", "Orthonormal rows: (..., n, n), or (..., k, n) when reduced."}});
  for (const char* name : {"matmul", "matrix_transpose", "outer", "tensordot", "vecdot"})
    linalg.attr(name) = m.attr(name);
}

// ---- variance and its root with the standard's name for ddof ----

using Spread = Array (*)(const Array&, const Axes&, bool, double);

void bind_spread(nb::module_& m, const char* name, Spread spread, const char* doc) {
  const std::string rest = "axis: int | Sequence[int] | None = None, keepdims: bool = False, ";
  const std::string end = "stream: StreamOrDevice = None) -> array";
  m.def(
      name,
      [spread](const Array& a, const Axes& axis, bool keepdims, double correction, StreamArg stream) {
        const StreamGuard on(stream);
        return spread(a, axis, keepdims, correction);
      },
      nb::arg(), nb::arg("axis").none() = nb::none(), nb::arg("keepdims") = false, nb::kw_only(), nb::arg("correction"),
      nb::arg("stream").none() = nb::none(),
      nb::sig((std::string("def ") + name + "(a: array, /, " + rest + "*, correction: int | float, " + end).c_str()),
      doc);
  method(
      name,
      [spread](const Array& a, const Axes& axis, bool keepdims, int64_t ddof, std::optional<double> correction,
               StreamArg stream) {
        const StreamGuard on(stream);
        return spread(a, axis, keepdims, correction.value_or(static_cast<double>(ddof)));
      },
      nb::arg("axis").none() = nb::none(), nb::arg("keepdims") = false, nb::arg("ddof") = 0, nb::kw_only(),
      nb::arg("correction").none() = nb::none(), nb::arg("stream").none() = nb::none(),
      nb::sig((std::string("def ") + name + "(self, " + rest +
               "ddof: int = 0, *, correction: int | float | None = None, " + end)
                  .c_str()),
      doc);
}

// ---- devices ----

Device to_device_argument(nb::handle given) {
  DeviceType type{};
  if (nb::try_cast(given, type)) return {type, 0};
  Device device;
  if (nb::try_cast(given, device)) return device;
  throw ArgumentTypeError({.op = "device",
                           .got = "a value of type " + std::string(Py_TYPE(given.ptr())->tp_name),
                           .accepts = "a Device or DeviceType"});
}

PyObject* get_device(PyObject* self, void*) {
  return guarded([&] { return nb::cast(device_of(value_of(self))).release().ptr(); }, nullptr);
}

Array moved(const Array& a, nb::handle device, StreamArg stream) {
  const Device to = to_device_argument(device);
  if (!stream.object.is_valid()) return to_device(a, to);
  const Stream there = resolve(stream);
  if (there.device != to)
    throw ArgumentError(
        {.op = "to_device", .got = "a stream of another device", .accepts = "one of the device, or None"});
  const StreamScope on(there);
  return to_device(a, to);
}

/// f(..., device=d) for functions that make arrays: they run there, as with stream=d.
void take_device(nb::module_& m, const char* name) {
  m.def(
      name,
      [m, name](const nb::args& args, nb::handle device, const nb::kwargs& kwargs) {
        const nb::object f = m.attr(name);  // with this form among its others
        if (device.is_none()) return nb::object(f(*args, **kwargs));
        const Device there = to_device_argument(device);
        const StreamScope on(default_stream(there));
        return nb::cast(to_device(nb::cast<Array>(f(*args, **kwargs)), there));
      },
      nb::arg("args"), nb::arg("device").none(), nb::arg("kwargs"),
      nb::sig((std::string("def ") + name + "(*args, device: Device | DeviceType | None, **kwargs) -> array").c_str()),
      "The same on a device.");
}

void bind_devices(nb::module_& m) {
  static PyGetSetDef property[] = {
      {"device", get_device, nullptr,
       "The device that the elements are or will be computed on; the CPU for those that came from outside. Any device may read "
       "them.",
       nullptr},
      {}};
  const nb::object descriptor = nb::steal(PyDescr_NewGetSet(array_type(), property));
  if (PyDict_SetItemString(array_type()->tp_dict, "device", descriptor.ptr()) != 0) throw nb::python_error();
  PyType_Modified(array_type());
  method("to_device", moved, nb::arg(), nb::kw_only(), nb::arg("stream").none() = nb::none(),
         nb::sig(
             "def to_device(self, device: Device | DeviceType, /, *, stream: Stream | ThreadLocalStream | None = None) "
             "-> array"),
         "The same elements in the memory of a device; the array itself where they are there.\n\nErrors: DeviceError.");
  for (const char* name : {"arange", "asarray", "empty", "empty_like", "eye", "from_dlpack", "full", "full_like",
                           "linspace", "ones", "ones_like", "zeros", "zeros_like"})
    take_device(m, name);
  m.def(
      "astype",
      [](const Array& a, DType dtype, bool, nb::handle device) {
        const Array out = astype(a, dtype);
        return device.is_none() ? out : to_device(out, to_device_argument(device));
      },
      nb::arg(), nb::arg(), nb::kw_only(), nb::arg("copy") = true, nb::arg("device").none() = nb::none(),
      nb::sig(
          "def astype(a: array, dtype: Dtype, /, *, copy: bool = True, device: Device | DeviceType | None = None) -> array"),
      "The array converted to a dtype. copy makes no difference: arrays do not change through one another.");
}

}  // namespace

void bind_array_api(nb::module_& m) {
  bind_sets(m);
  bind_linalg_results(m);
  bind_spread(m, "var", corrected_var, "Variance along axes, with `correction` taken off the number of elements.");
  bind_spread(m, "std", corrected_std,
              "Standard deviation along axes, with `correction` taken off the number of elements.");
  bind_devices(m);
}

}  // namespace plait::python
