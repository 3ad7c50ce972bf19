// Prints every op definition as JSON: what schema/ops.json holds.
#include <cstdio>

#include "graph/registry.h"

namespace plait {
void register_all_ops(OpRegistry& ops);
}

int main() {
  plait::OpRegistry ops;
  plait::register_all_ops(ops);
  std::fputs(ops.schema().c_str(), stdout);
}
