// Functions and methods whose arguments take several shapes: what the generator has no rule for.
#include "plait/more_ops.h"

#include <fstream>
#include <string>

#include "bind.h"
#include "plait/ops.h"

namespace plait::python {
namespace {

/// The numbers of a(2, 3), a((2, 3)) or a([2, 3]).
IntList spread(const nb::args& args, const char* what) {
  IntList out;
  nb::handle given = args;
  if (args.size() == 1 && (PyList_Check(nb::object(args[0]).ptr()) || PyTuple_Check(nb::object(args[0]).ptr()))) given = args[0];
  if (!load_ints(given.ptr(), out)) throw nb::type_error((std::string(what) + " has to be integers").c_str());
  return out;
}

/// An object with __plait_array__, marked as such.
struct ArrayLike {
  nb::object object;
};

std::string processor_name() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    const size_t colon = line.find(':');
    if (line.starts_with("model name") && colon != std::string::npos) return line.substr(line.find_first_not_of(" \t", colon + 1));
  }
  return "cpu";
}

nb::dict device_info(nb::handle device) {
  nb::dict out;
  const bool gpu = !device.is_none() && nb::cast<std::string_view>(nb::str(device)).find("gpu") != std::string_view::npos;
  if (gpu) return out;
#if defined(__x86_64__)
  out["architecture"] = "x86_64";
#elif defined(__aarch64__)
  out["architecture"] = "aarch64";
#else
  out["architecture"] = "unknown";
#endif
  out["device_name"] = processor_name().c_str();
  return out;
}

/// Submodules that name other machines' devices: there is none, and asking is no error.
void bind_other_devices(nb::module_& m) {
  nb::module_ cuda = submodule(m, "core.cuda");
  cuda.def("is_available", [] { return is_available({DeviceType::gpu, 0}); }, nb::sig("def is_available() -> bool"), "Whether a CUDA device can be used.");
  nb::module_ metal = submodule(m, "core.metal");
  metal.def("is_available", [] { return false; }, nb::sig("def is_available() -> bool"), "False: this is not macOS.");
  metal.def("device_info", [] { return nb::dict(); }, nb::sig("def device_info() -> dict[str, str | int]"), "Empty: there is no such device.");
  metal.def("start_capture", [](nb::str) {}, nb::arg("path"), nb::sig("def start_capture(path: str) -> None"), "Does nothing here.");
  metal.def("stop_capture", [] {}, nb::sig("def stop_capture() -> None"), "Does nothing here.");
  for (const char* name : {"clear_cache", "get_active_memory", "get_cache_memory", "get_peak_memory", "reset_peak_memory", "set_cache_limit",
                           "set_memory_limit", "set_wired_limit"})
    metal.attr(name) = m.attr(name);
}

}  // namespace

void bind_more_ops(nb::module_& m) {
  method("reshape", [](const Array& a, const nb::args& shape, StreamArg stream) {
    const StreamGuard on(stream);
    const IntList extents = spread(shape, "reshape: the shape");
    return reshape(a, Shape(std::span<const int64_t>(extents)));
  }, nb::arg("shape"), nb::arg("stream").none() = nb::none(), nb::sig("def reshape(self, *shape, stream: StreamOrDevice = None) -> array"),
         "The elements in another shape, as plait.core.reshape: a.reshape(2, 3), a.reshape((2, -1)).");
  method("transpose", [](const Array& a, const nb::args& axes, StreamArg stream) {
    const StreamGuard on(stream);
    if (axes.size() == 0 || (axes.size() == 1 && nb::object(axes[0]).is_none())) return transpose(a);
    const IntList order = spread(axes, "transpose: the axes");
    return transpose(a, Axes(std::vector<int>(order.begin(), order.end())));
  }, nb::arg("axes"), nb::arg("stream").none() = nb::none(), nb::sig("def transpose(self, *axes, stream: StreamOrDevice = None) -> array"),
         "The array with its axes in another order, as plait.core.transpose; reversed when none is given.");
  m.def("divmod", [](Operand a, Operand b, StreamArg stream) {
    const StreamGuard on(stream);
    OperandDType common;
    common.see(a);
    common.see(b);
    const Array x = common.convert(a);
    const Array y = common.convert(b);
    return to_list({floor_divide(x, y), remainder(x, y)});
  }, nb::arg(), nb::arg(), nb::kw_only(), nb::arg("stream").none() = nb::none(),
        nb::sig("def divmod(a: scalar | array, b: scalar | array, stream: StreamOrDevice = None) -> array"),
        "[a // b, a % b].");
  m.def("broadcast_shapes", [](const nb::args& shapes) {
    std::vector<Shape> all;
    for (nb::handle shape : shapes) all.push_back(nb::cast<Shape>(shape));
    return broadcast_shapes(all);
  }, nb::sig("def broadcast_shapes(*shapes: Sequence[int]) -> tuple[int]"), "The shape that all of them broadcast to.\n\nErrors: ShapeError.");
  nb::class_<ArrayLike>(m, "ArrayLike", "An object that says how it becomes an array: it has __plait_array__ or __mlx_array__.")
      .def("__init__", [](ArrayLike* self, nb::object o) {
        if (!array_like(o)) throw nb::type_error("ArrayLike: the object has no __plait_array__");
        new (self) ArrayLike{std::move(o)};
      }, nb::arg(), nb::sig("def __init__(self, arg: object, /) -> None"))
      .def("__plait_array__", [](const ArrayLike& a) { return *array_like(a.object); });
  m.def("device_info", device_info, nb::arg("d").none() = nb::none(), nb::sig("def device_info(d: None | Device | DeviceType = None) -> dict[str, str | int]"),
        "What is known of a device: architecture and name; empty for one that is not there.");
  bind_other_devices(m);
}

}  // namespace plait::python
