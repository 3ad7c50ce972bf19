// How long work answers Ctrl-C without knowing who catches it.
#pragma once

#include "plait/export.h"

namespace plait {

/// Sets what `poll_interrupt` calls; null for nothing. The hook may throw; the exception leaves through the work that
/// polled. It is called on whichever thread works, never on a thread of the pool.
PLAIT_API void set_interrupt_hook(void (*hook)()) noexcept;

/// Calls the hook if this thread has not done so for about 20 ms. Costs a few nanoseconds otherwise.
PLAIT_API void poll_interrupt();

}  // namespace plait
