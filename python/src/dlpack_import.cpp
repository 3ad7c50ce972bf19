#include "dlpack_import.h"

#include <string>

#include "bind.h"
#include "engine/device_sharing.h"

namespace plait::python {
namespace {

/// The device of a producer's memory; nothing for the host's.
std::optional<Device> device_of_producer(nb::handle producer) {
  const nb::object place = producer.attr("__dlpack_device__")();
  const int code = nb::cast<int>(place[0]);
  if (code == dlpack::kCpu || code == dlpack::kCudaHost) return std::nullopt;
  const Device device{DeviceType::gpu, nb::cast<int>(place[1])};
  if ((code != dlpack::kCuda && code != dlpack::kCudaManaged) || !engine::can_share(device))
    throw DeviceError(
        {.op = "from_dlpack",
         .got = "memory of device " + std::to_string(code) + ":" + std::to_string(device.index) +
                " of DLPack, which plait does not use here",
         .accepts = "memory of the CPU" + std::string(device_count(DeviceType::gpu) ? ", or of its GPUs" : ""),
         .hint = "copy it to the CPU first"});
  return device;
}

}  // namespace

Import::Import(nb::handle producer) {
  if (!PyObject_HasAttrString(producer.ptr(), "__dlpack__"))
    throw nb::type_error("from_dlpack: the object has no __dlpack__ method");
  device_ = device_of_producer(producer);
  nb::dict arguments;
  // The producer makes our stream wait for what it is still computing.
  if (device_) arguments["stream"] = reinterpret_cast<intptr_t>(engine::native_stream(*device_));
  const nb::object method = producer.attr("__dlpack__");
  nb::object capsule;
  try {
    capsule = method(nb::arg("max_version") = nb::make_tuple(1, 0), **arguments);
  } catch (nb::python_error& e) {
    if (!e.matches(PyExc_TypeError)) throw;  // a producer from before version 1
    capsule = method(**arguments);
  }
  if (PyCapsule_IsValid(capsule.ptr(), "dltensor_versioned")) {
    versioned_ = static_cast<dlpack::ManagedVersioned*>(PyCapsule_GetPointer(capsule.ptr(), "dltensor_versioned"));
    if (versioned_->version.major != 1) {  // another layout: the capsule gives it back
      versioned_ = nullptr;
      throw nb::buffer_error("from_dlpack: __dlpack__ gave another version than the one that was asked for");
    }
    PyCapsule_SetName(capsule.ptr(), "used_dltensor_versioned");
  } else if (PyCapsule_IsValid(capsule.ptr(), "dltensor")) {
    managed_ = static_cast<dlpack::Managed*>(PyCapsule_GetPointer(capsule.ptr(), "dltensor"));
    PyCapsule_SetName(capsule.ptr(), "used_dltensor");
  } else {
    throw nb::type_error("from_dlpack: __dlpack__ did not return a fresh DLPack capsule");
  }
}

Import::~Import() {
  if (versioned_ && versioned_->deleter) versioned_->deleter(versioned_);
  if (managed_ && managed_->deleter) managed_->deleter(managed_);
}

}  // namespace plait::python
