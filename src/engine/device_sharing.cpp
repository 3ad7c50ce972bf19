#include "engine/device_sharing.h"

#include <utility>

#include "memory/residency.h"

namespace plait::engine {

bool can_share(Device device) {
  return device.type == DeviceType::gpu && is_available(device) && native_stream(device) != nullptr;
}

void* native_stream(Device device) { return device_backend()->native_stream(queue_of(default_stream(device).index)); }

DeviceView view_on_device(const Array& a, Device device) {
  DeviceView view;
  view.value = a;
  a.eval();
  view.storage = a.node()->storages[a.index()];
  view.queue = queue_of(default_stream(device).index);
  void* const data =
      memory::Residency::on_queue(*view.storage.buffer, view.queue, [] { return describe_source(current_source()); });
  view.data = static_cast<char*>(data) + view.storage.offset;
  DeviceBackend& backend = *device_backend();
  backend.finish(backend.mark(view.queue));
  return view;
}

void wait_for_readers(const DeviceView& view, void* native_stream) noexcept {
  device_backend()->wait_for_native(view.queue, native_stream);
}

Array adopt_on_device(Device device, void* data, int64_t bytes, Aval aval, Strides strides, int64_t offset,
                      ForeignDeleter deleter, void* context) {
  const Stream stream = default_stream(device);
  Storage storage;
  storage.offset = offset;
  storage.row_major = is_row_major(aval.shape, strides);
  storage.strides = std::move(strides);
  Array made = make_evaluated(std::move(storage), std::move(aval));
  made.node()->stream = stream.index;
  // Last: what fails before leaves the memory to the caller.
  made.node()->storages[0].buffer = memory::Residency::adopt(queue_of(stream.index), data, bytes, deleter, context);
  return made;
}

}  // namespace plait::engine
