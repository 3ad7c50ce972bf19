#include "plait/c_devices.h"

#include <cstring>
#include <type_traits>

#include "capi/c_arguments.h"
#include "plait/device_info.h"
#include "plait/memory.h"
#include "plait/more_ops.h"
#include "plait/stream.h"

using plait::capi::CArguments, plait::capi::guarded;

namespace {

// A C caller's enum may hold any number, which C++ may not read as an enumerator.
plait::DeviceType type_of(const CArguments& in, const plait_device_type& type) {
  std::underlying_type_t<plait_device_type> number;
  std::memcpy(&number, &type, sizeof number);
  if (number != PLAIT_CPU && number != PLAIT_GPU)
    throw plait::DeviceError(
        {.op = in.op(), .got = "device type " + std::to_string(number), .accepts = "a plait_device_type"});
  return static_cast<plait::DeviceType>(number);
}

plait::Device device_of(const CArguments& in, const plait_device& device) {
  return {type_of(in, device.type), device.index};
}

plait::Stream stream_of(const CArguments& in, const plait_stream& stream) {
  return {stream.index, device_of(in, stream.device)};
}

plait_device given_out(plait::Device device) { return {static_cast<plait_device_type>(device.type), device.index}; }
plait_stream given_out(plait::Stream stream) { return {stream.index, given_out(stream.device)}; }

}  // namespace

extern "C" {

bool plait_is_available(plait_device device) {
  bool there = false;
  guarded([&] { there = plait::is_available(device_of(CArguments("plait_is_available"), device)); });
  return there;
}

int plait_device_count(plait_device_type type) {
  int count = 0;
  guarded([&] { count = plait::device_count(type_of(CArguments("plait_device_count"), type)); });
  return count;
}

plait_status plait_default_device(plait_device* out) {
  return guarded([&] {
    CArguments("plait_default_device").given(out, "place for the result");
    *out = given_out(plait::default_device());
  });
}

plait_status plait_set_default_device(plait_device device) {
  return guarded([&] { plait::set_default_device(device_of(CArguments("plait_set_default_device"), device)); });
}

plait_status plait_device_name(plait_device device, char* to, size_t capacity, size_t* length) {
  return guarded([&] {
    const CArguments in("plait_device_name");
    in.give_text(plait::device_info(device_of(in, device)).name, to, capacity, length);
  });
}

plait_status plait_device_architecture(plait_device device, char* to, size_t capacity, size_t* length) {
  return guarded([&] {
    const CArguments in("plait_device_architecture");
    in.give_text(plait::device_info(device_of(in, device)).architecture, to, capacity, length);
  });
}

plait_status plait_default_stream(plait_device device, plait_stream* out) {
  return guarded([&] {
    const CArguments in("plait_default_stream");
    in.given(out, "place for the result");
    *out = given_out(plait::default_stream(device_of(in, device)));
  });
}

plait_status plait_set_default_stream(plait_stream stream) {
  return guarded([&] { plait::set_default_stream(stream_of(CArguments("plait_set_default_stream"), stream)); });
}

plait_status plait_new_stream(plait_device device, plait_stream* out) {
  return guarded([&] {
    const CArguments in("plait_new_stream");
    in.given(out, "place for the result");
    *out = given_out(plait::new_stream(device_of(in, device)));
  });
}

plait_status plait_synchronize(plait_stream stream) {
  return guarded([&] { plait::synchronize(stream_of(CArguments("plait_synchronize"), stream)); });
}

plait_status plait_array_to_device(plait_array array, plait_device device, plait_array* out) {
  return guarded([&] {
    const CArguments in("plait_array_to_device");
    in.give(out, [&] { return plait::to_device(in.array(array, "array"), device_of(in, device)); });
  });
}

plait_status plait_array_device(plait_array array, plait_device* out) {
  return guarded([&] {
    const CArguments in("plait_array_device");
    in.given(out, "place for the result");
    *out = given_out(plait::device_of(in.array(array, "array")));
  });
}

plait_status plait_memory_stats(plait_device device, plait_memory* out) {
  return guarded([&] {
    const CArguments in("plait_memory_stats");
    in.given(out, "place for the result");
    const plait::MemoryStats stats = plait::memory_stats(device_of(in, device));
    *out = {stats.active, stats.peak, stats.cached, stats.limit, stats.cache_limit};
  });
}

plait_status plait_reset_peak_memory(plait_device device) {
  return guarded([&] { plait::reset_peak_memory(device_of(CArguments("plait_reset_peak_memory"), device)); });
}

plait_status plait_clear_cache(plait_device device) {
  return guarded([&] { plait::clear_cache(device_of(CArguments("plait_clear_cache"), device)); });
}

plait_status plait_set_memory_limit(plait_device device, int64_t bytes, int64_t* before) {
  return guarded([&] {
    const int64_t old = plait::set_memory_limit(device_of(CArguments("plait_set_memory_limit"), device), bytes);
    if (before) *before = old;
  });
}

plait_status plait_set_cache_limit(plait_device device, int64_t bytes, int64_t* before) {
  return guarded([&] {
    const int64_t old = plait::set_cache_limit(device_of(CArguments("plait_set_cache_limit"), device), bytes);
    if (before) *before = old;
  });
}

}  // extern "C"
