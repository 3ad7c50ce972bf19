// What a fork must find in order: locks free and nothing half done in the child, which has one thread only.
#pragma once

namespace plait {

/// From the rooms above to those below: the order in which locks are taken, which is that of nested use.
enum class ForkOrder { ops, engine, memory, base };

/// `before` runs in the forking thread ahead of the fork (take locks), then `in_parent` and `in_child` (let them go).
/// Call while the library is loaded, from one thread.
void at_fork(ForkOrder order, void (*before)(), void (*in_parent)(), void (*in_child)());

}  // namespace plait
