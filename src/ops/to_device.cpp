#include "graph/stream.h"
#include "ops/prelude.h"
#include "plait/more_ops.h"

namespace plait {

Device device_of(const Array& a) { return device_of_stream(a.node()->stream); }

Array to_device(const Array& a, Device device) {
  const StreamScope there(default_stream(device));
  return device_of(a) == device ? a : positive(a);
}

}  // namespace plait
