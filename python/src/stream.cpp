// Devices and streams.
#include "graph/stream.h"

#include <nanobind/operators.h>

#include <memory>
#include <string>
#include <thread>

#include "bind.h"
#include "plait/thread_local_stream.h"

namespace plait::python {
namespace {

struct StreamContext {
  StreamContext(nb::object s) : chosen(std::move(s)) {}
  StreamContext(StreamContext&&) = default;
  StreamContext(const StreamContext&) = delete;

  nb::object chosen;
  struct Open {
    std::thread::id thread;
    std::unique_ptr<StreamScope> scope;
  };
  std::vector<Open> open;  // several threads may be within the block of one context

  void enter() { open.push_back({std::this_thread::get_id(), std::make_unique<StreamScope>(resolve({chosen}))}); }
  void exit() {
    for (size_t i = open.size(); i-- > 0;) {
      if (open[i].thread != std::this_thread::get_id()) continue;
      open.erase(open.begin() + static_cast<ptrdiff_t>(i));
      return;
    }
  }
};

const char* name_of(DeviceType t) { return t == DeviceType::cpu ? "cpu" : "gpu"; }
std::string describe(Device d) {
  return std::string("Device(") + name_of(d.type) + ", " + std::to_string(d.index) + ")";
}

std::optional<Device> to_device(nb::handle o) {
  Device device;
  if (nb::try_cast(o, device)) return device;
  if (nb::isinstance<DeviceType>(o)) return Device{nb::cast<DeviceType>(o), 0};  // and no number in its place
  return std::nullopt;
}

/// A `Device | DeviceType` argument.
struct DeviceArg {
  Device device;
};

}  // namespace
}  // namespace plait::python

namespace nanobind::detail {
template <>
struct type_caster<plait::python::DeviceArg> {
  NB_TYPE_CASTER(plait::python::DeviceArg, const_name("Device | DeviceType"))
  bool from_python(handle src, uint32_t, cleanup_list*) noexcept {
    const auto device = plait::python::to_device(src);
    if (device) value.device = *device;
    return device.has_value();
  }
  static handle from_cpp(const plait::python::DeviceArg&, rv_policy, cleanup_list*) noexcept {
    return none().release();
  }
};
}  // namespace nanobind::detail

namespace plait::python {

bool is_stream_like(PyObject* o) {
  return nb::isinstance<Stream>(o) || nb::isinstance<ThreadLocalStream>(o) || nb::isinstance<Device>(o) ||
         nb::isinstance<DeviceType>(o);
}

Stream resolve(StreamArg s) {
  Stream stream;
  if (nb::try_cast(s.object, stream)) return stream;
  if (nb::isinstance<ThreadLocalStream>(s.object)) return nb::inst_ptr<ThreadLocalStream>(s.object)->here();
  return default_stream(*to_device(s.object));
}

void bind_streams(nb::module_& m) {
  nb::enum_<DeviceType>(m, "DeviceType", "Kinds of devices.")
      .value("cpu", DeviceType::cpu)
      .value("gpu", DeviceType::gpu)
      .export_values();
  nb::class_<Device>(m, "Device", "One device of a kind.")
      .def(
          "__init__", [](Device* self, DeviceType type, int index) { new (self) Device{type, index}; }, nb::arg("type"),
          nb::arg("index") = 0, nb::sig("def __init__(self, type: DeviceType, index: int = 0) -> None"))
      .def_ro("type", &Device::type)
      .def(
          "__eq__", [](const Device& d, nb::handle o) { return to_device(o) == d; }, nb::arg().none(),
          nb::sig("def __eq__(self, arg: object, /) -> bool"))
      .def("__hash__", [](const Device& d) { return static_cast<int64_t>(d.type) * 1024 + d.index; })
      .def("__repr__", [](const Device& d) { return nb::str(describe(d).c_str()); });
  nb::class_<Stream>(m, "Stream", "An order of execution on one device.")
      .def_ro("device", &Stream::device)
      .def(
          "__eq__",
          [](const Stream& s, nb::handle o) {
            Stream other;
            return nb::try_cast(o, other) && other == s;
          },
          nb::arg().none(), nb::sig("def __eq__(self, arg: object, /) -> bool"))
      .def("__hash__", [](const Stream& s) { return static_cast<int64_t>(s.index); })
      .def("__repr__", [](const Stream& s) {
        return nb::str(("Stream(" + describe(s.device) + ", " + std::to_string(s.index) + ")").c_str());
      });
  nb::class_<ThreadLocalStream>(m, "ThreadLocalStream", "A stream of its own for each thread that uses it.")
      .def_prop_ro("device", &ThreadLocalStream::device)
      .def(
          "__eq__",
          [](const ThreadLocalStream& s, nb::handle o) {
            return nb::isinstance<ThreadLocalStream>(o) && *nb::inst_ptr<ThreadLocalStream>(o) == s;
          },
          nb::arg().none(), nb::sig("def __eq__(self, arg: object, /) -> bool"))
      .def("__hash__", [](const ThreadLocalStream& s) { return static_cast<int64_t>(s.id()) + (int64_t{1} << 40); })
      .def("__repr__", [](const ThreadLocalStream& s) {
        return nb::str(("ThreadLocalStream(" + describe(s.device()) + ", " + std::to_string(s.id()) + ")").c_str());
      });
  nb::class_<StreamContext>(m, "StreamContext",
                            "What plait.core.stream returns: operations made within the block go to its stream.")
      .def(
          "__init__",
          [](StreamContext* self, StreamArg s) {
            if (!s.object.is_valid()) throw nb::type_error("a stream or device is needed");
            new (self) StreamContext(nb::borrow(s.object));
          },
          nb::arg("s"), nb::sig("def __init__(self, s: Stream | ThreadLocalStream | Device | DeviceType) -> None"))
      .def("__enter__", &StreamContext::enter, nb::sig("def __enter__(self) -> None"))
      .def(
          "__exit__", [](StreamContext& c, nb::handle, nb::handle, nb::handle) { c.exit(); },
          nb::arg("exc_type").none() = nb::none(), nb::arg("exc_value").none() = nb::none(),
          nb::arg("traceback").none() = nb::none(),
          nb::sig(
              "def __exit__(self, exc_type: type | None = None, exc_value: object | None = None, traceback: object | None = None) -> None"));

  m.def(
      "stream",
      [](StreamArg s) {
        if (!s.object.is_valid()) throw nb::type_error("stream: a stream or device is needed");
        resolve(s);
        return StreamContext(nb::borrow(s.object));
      },
      nb::arg("s"), nb::sig("def stream(s: Stream | ThreadLocalStream | Device | DeviceType) -> StreamContext"),
      "A context manager: operations made within the block go to the stream, or the device's default stream.\n\n"
      "Errors: DeviceError when the device is not there, TypeError for what is no stream or device.");
  m.def(
      "default_device", [] { return default_device(); }, nb::sig("def default_device() -> Device"),
      "The device of new operations.");
  m.def(
      "set_default_device", [](DeviceArg d) { set_default_device(d.device); }, nb::arg("device"),
      nb::sig("def set_default_device(device: Device | DeviceType) -> None"),
      "Chooses the device of new operations.\n\nErrors: DeviceError when it is not there, TypeError for what is no device.");
  m.def(
      "default_stream", [](DeviceArg d) { return default_stream(d.device); }, nb::arg("device"),
      nb::sig("def default_stream(device: Device | DeviceType) -> Stream"),
      "The stream of new operations on a device.\n\nErrors: DeviceError when it is not there, TypeError for what is no device.");
  m.def(
      "set_default_stream", [](Stream s) { set_default_stream(s); }, nb::arg("stream"),
      nb::sig("def set_default_stream(stream: Stream) -> None"),
      "Chooses the stream of new operations on the stream's device, for the calling thread.\n\nErrors: TypeError for "
      "what is no Stream.");
  for (const char* name : {"new_stream", "new_thread_unsafe_stream"})
    m.def(
        name, [](DeviceArg d) { return new_stream(d.device); }, nb::arg("device"),
        nb::sig((std::string("def ") + name + "(device: Device | DeviceType) -> Stream").c_str()),
        "A new stream on a device.\n\nErrors: DeviceError when it is not there, TypeError for what is no device.");
  m.def(
      "new_thread_local_stream", [](DeviceArg d) { return new_thread_local_stream(d.device); }, nb::arg("device"),
      nb::sig("def new_thread_local_stream(device: Device | DeviceType) -> ThreadLocalStream"),
      "A stream of its own for each thread that uses it.\n\nErrors: DeviceError when it is not there, TypeError for what is no device.");
  m.def(
      "clear_streams", [] {}, nb::sig("def clear_streams() -> None"),
      "Forgets streams nobody uses; here they hold nothing.");
  m.def(
      "is_available", [](DeviceArg d) { return is_available(d.device); }, nb::arg("device"),
      nb::sig("def is_available(device: Device | DeviceType) -> bool"),
      "Whether operations can run on a device.\n\nErrors: TypeError for what is no device.");
  m.def(
      "device_count", [](DeviceType t) { return device_count(t); }, nb::arg("device_type"),
      nb::sig("def device_count(device_type: DeviceType) -> int"),
      "Number of devices of a kind.\n\nErrors: TypeError for "
      "what is no DeviceType.");
  m.def(
      "synchronize",
      [](StreamArg s) {
        const Stream stream = s.object.is_valid() ? resolve(s) : default_stream(default_device());
        nb::gil_scoped_release waiting;
        synchronize(stream);
      },
      nb::arg("stream").none() = nb::none(),
      nb::sig("def synchronize(stream: Stream | ThreadLocalStream | Device | DeviceType | None = None) -> None"),
      "Waits for everything submitted to a stream, by default that of the default device.\n\n"
      "Errors: TypeError for what is no stream or device.");
}

}  // namespace plait::python
