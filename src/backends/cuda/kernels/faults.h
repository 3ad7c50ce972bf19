// Positions outside of an axis: known only once the device has read them, long after the kernel was enqueued.
#pragma once

#include <cstdint>
#include <string_view>

#include "memory/device.h"

namespace plait {

/// The note of a queue, in memory that host and device address. Of several faults any one is kept.
struct FaultNote {
  int64_t op = 0;  // 0: nothing happened; else an index into the list in faults.cpp, from 1
  int64_t given = 0;
  int64_t n = 0;  // extent of the axis
  int64_t most = 0;  // the last position that is accepted
  int64_t source = 0;  // of the operation
};

/// Errors: DeviceError when the memory cannot be had.
FaultNote* fault_note(memory::Queue queue);
int64_t fault_op(std::string_view op);

/// To be called where the queue's work has been waited for, without locks: the operation's line is asked for. Errors:
/// IndexError for what was noted, once.
void throw_noted_fault(memory::Queue queue);

}  // namespace plait
