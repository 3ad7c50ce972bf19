#include <atomic>

#include "graph/node.h"
#include "io/file.h"
#include "plait/core.h"

namespace plait {

int64_t set_wired_limit(int64_t bytes) {
  static std::atomic<int64_t> wired{0};  // the number is kept for whoever asks
  return wired.exchange(bytes);
}

int64_t get_array_buffer_size(std::span<const Array> arrays) {
  int64_t bytes = 0;
  for (const Array& a : arrays) {
    if (!a.is_evaluated())
      throw ArgumentError(
          {.op = "get_array_buffer_size", .got = "an array that is not evaluated", .hint = "eval(...) it first"});
    bytes += evaluated_storage(a).buffer->bytes();
  }
  return bytes;
}

void export_to_dot(const std::string& path, const Arrays& arrays,
                   const std::vector<std::pair<std::string, Array>>& names) {
  const std::string text = graph_to_dot(arrays, names);
  io::OutputFile out("export_to_dot", path);
  out.write(0, text.data(), text.size());
  out.commit();
}

}  // namespace plait
