#include "graph/elementwise.h"
#include "plait/more_ops.h"

namespace plait {

Shape broadcast_shapes(std::span<const Shape> shapes) {
  if (shapes.empty()) throw ArgumentError({.op = "broadcast_shapes", .got = "no shape", .accepts = "at least one"});
  Shape out;
  for (const Shape& shape : shapes) out = broadcast_shapes("broadcast_shapes", out, shape);
  return out;
}

}  // namespace plait
