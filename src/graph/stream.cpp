#include "graph/stream.h"

#include <atomic>

#include "plait/error.h"

namespace plait {
namespace {

std::atomic<uint32_t> streams{1};  // stream 0 is the CPU's default
std::atomic<void (*)(Stream)> wait_hook{nullptr};
thread_local Stream current;

void check_available(Device device) {
  if (!is_available(device))
    throw DeviceError({.op = "device",
                       .got = "the GPU was asked for, but this build or machine has none",
                       .accepts = "Device(cpu, 0)",
                       .hint = "is_available(device) tells beforehand"});
}

}  // namespace

uint32_t current_stream_index() { return current.index; }
void set_synchronize_hook(void (*wait)(Stream)) { wait_hook.store(wait); }

Device default_device() { return current.device; }

void set_default_device(Device device) {
  check_available(device);
  current = {0, device};
}

bool is_available(Device device) { return device.type == DeviceType::cpu && device.index == 0; }
int device_count(DeviceType type) { return type == DeviceType::cpu ? 1 : 0; }

Stream default_stream(Device device) {
  check_available(device);
  return current;
}

void set_default_stream(Stream stream) {
  check_available(stream.device);
  current = stream;
}

Stream new_stream(Device device) {
  check_available(device);
  return {streams.fetch_add(1), device};
}

void synchronize(Stream stream) {
  if (auto* wait = wait_hook.load()) wait(stream);
}

StreamScope::StreamScope(Stream stream) : before_(current) { set_default_stream(stream); }
StreamScope::~StreamScope() { current = before_; }

}  // namespace plait
