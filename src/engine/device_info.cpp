#include "plait/device_info.h"

#include <fstream>

#include "engine/devices.h"

namespace plait {
namespace {

std::string processor_name() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    const size_t colon = line.find(':');
    if (line.starts_with("model name") && colon != std::string::npos)
      return line.substr(line.find_first_not_of(" \t", colon + 1));
  }
  return "cpu";
}

}  // namespace

DeviceInfo device_info(Device device) {
  default_stream(device);  // raises when the device is not there
  if (device.type == DeviceType::gpu) return engine::device_backend()->info(device.index);
#if defined(__x86_64__)
  return {.name = processor_name(), .architecture = "x86_64"};
#elif defined(__aarch64__)
  return {.name = processor_name(), .architecture = "aarch64"};
#else
  return {.name = processor_name(), .architecture = "unknown"};
#endif
}

}  // namespace plait
