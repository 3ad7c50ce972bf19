#include "plait/thread_local_stream.h"

#include <atomic>
#include <unordered_map>

namespace plait {

Stream ThreadLocalStream::here() const {
  thread_local std::unordered_map<uint32_t, Stream> mine;
  const auto found = mine.find(id_);
  if (found != mine.end()) return found->second;
  return mine[id_] = new_stream(device_);
}

ThreadLocalStream new_thread_local_stream(Device device) {
  static std::atomic<uint32_t> last{0};
  default_stream(device);  // raises when the device is not there
  ThreadLocalStream made;
  made.id_ = ++last;
  made.device_ = device;
  return made;
}

}  // namespace plait
