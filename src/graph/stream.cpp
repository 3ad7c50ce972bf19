#include "graph/stream.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <deque>
#include <mutex>
#include <optional>

#include "memory/device.h"
#include "plait/error.h"
#include "plait/small_vector.h"

namespace plait {
namespace {

constexpr int kMaxGpus = 64;

// Streams are numbered in the order of their making; 0 is the CPU's default, a GPU's is made when it is first asked for.
struct Streams {
  std::mutex mutex;
  std::deque<Device> devices{Device{}};
  std::array<std::atomic<uint32_t>, kMaxGpus> defaults{};  // of GPUs; 0: none yet
};
Streams& streams() {
  static auto* instance = new Streams;
  return *instance;
}

constinit std::atomic<void (*)(Stream)> wait_hook{nullptr};
constinit std::atomic<int> process_device{-1};  // of threads that are in no scope: a GPU's index, -1 the CPU

/// What the calling thread chose.
struct Choice {
  std::optional<Device> device;
  SmallVector<Stream, 2> defaults;  // one for each device that it chose a stream of
};
thread_local Choice choice;

Stream* chosen_stream(Device device) {
  for (Stream& stream : choice.defaults)
    if (stream.device == device) return &stream;
  return nullptr;
}

void check_available(Device device) {
  if (is_available(device)) return;
  const bool gpu = device.type == DeviceType::gpu;
  throw DeviceError({.op = "device",
                     .got = std::string(gpu ? "gpu " : "cpu ") + std::to_string(device.index) +
                            " was asked for, but this build or machine has " +
                            std::to_string(device_count(device.type)),
                     .accepts = "Device(cpu, 0)" + std::string(device_count(DeviceType::gpu) ? ", Device(gpu, 0)" : ""),
                     .hint = "is_available(device) tells beforehand" +
                             (gpu && device.index == 0 ? "; " + memory::why_no_devices() : std::string())});
}

void check_made(Stream stream) {
  if (stream == Stream{}) return;
  Streams& all = streams();
  const std::lock_guard lock(all.mutex);
  if (stream.index < all.devices.size() && all.devices[stream.index] == stream.device) return;
  throw DeviceError({.op = "stream",
                     .got = "stream " + std::to_string(stream.index) + ", which that device does not have",
                     .accepts = "a stream that default_stream or new_stream gave"});
}

Stream first_stream(Device device) {
  if (device.type == DeviceType::cpu) return {};
  Streams& all = streams();
  std::atomic<uint32_t>& known = all.defaults[static_cast<size_t>(device.index)];
  if (const uint32_t stream = known.load(std::memory_order_acquire)) return {stream, device};
  const std::lock_guard lock(all.mutex);
  if (known.load() == 0) {
    all.devices.push_back(device);
    known.store(static_cast<uint32_t>(all.devices.size() - 1), std::memory_order_release);
  }
  return {known.load(), device};
}

Stream stream_on(Device device) {
  const Stream* chosen = chosen_stream(device);
  return chosen ? *chosen : first_stream(device);
}

}  // namespace

Stream current_stream() { return stream_on(default_device()); }

Device device_of_stream(uint32_t stream) {
  if (stream == 0) return {};
  Streams& all = streams();
  const std::lock_guard lock(all.mutex);
  return all.devices[stream];
}

void set_synchronize_hook(void (*wait)(Stream)) { wait_hook.store(wait); }

Device default_device() {
  if (choice.device) return *choice.device;
  const int gpu = process_device.load(std::memory_order_relaxed);
  return gpu < 0 ? Device{} : Device{DeviceType::gpu, gpu};
}

void set_default_device(Device device) {
  check_available(device);
  if (choice.device) choice.device = device;
  process_device.store(device.type == DeviceType::cpu ? -1 : device.index);
}

int device_count(DeviceType type) {
  if (type == DeviceType::cpu) return 1;
  const memory::DeviceMemory* devices = memory::device_memory();
  return devices ? std::min(devices->device_count(), kMaxGpus) : 0;
}

bool is_available(Device device) { return device.index >= 0 && device.index < device_count(device.type); }

Stream default_stream(Device device) {
  check_available(device);
  return stream_on(device);
}

void set_default_stream(Stream stream) {
  check_available(stream.device);
  check_made(stream);
  if (Stream* chosen = chosen_stream(stream.device))
    *chosen = stream;
  else
    choice.defaults.push_back(stream);
}

Stream new_stream(Device device) {
  check_available(device);
  Streams& all = streams();
  const std::lock_guard lock(all.mutex);
  all.devices.push_back(device);
  return {static_cast<uint32_t>(all.devices.size() - 1), device};
}

void synchronize(Stream stream) {
  check_made(stream);
  if (auto* wait = wait_hook.load()) wait(stream);
}

StreamScope::StreamScope(Stream stream) : device_before_(choice.device), stream_before_(default_stream(stream.device)) {
  set_default_stream(stream);
  choice.device = stream.device;
}
StreamScope::~StreamScope() {
  choice.device = device_before_;
  *chosen_stream(stream_before_.device) = stream_before_;
}

}  // namespace plait
