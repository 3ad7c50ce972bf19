#include "ops/prelude.h"

namespace plait {

// Made by the transforms, never by a call: stands for an argument of a traced function.
void register_placeholder(OpRegistry& ops) {
  ops.placeholder("placeholder").summary("An argument of a traced function.");
}

}  // namespace plait
