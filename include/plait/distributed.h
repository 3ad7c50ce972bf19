#pragma once

#include <string_view>

#include "plait/array.h"

/// Processes that work together. This version has no way for them to talk: a group has one process, and a process that was
/// started as one of several is told so instead of working alone.
namespace plait::distributed {

/// Processes that take part in a collective, each of which must call it.
class PLAIT_API Group {
 public:
  int rank() const { return 0; }
  int size() const { return 1; }
  /// Those that give the same color, ordered by key. Errors: DeviceError, as one process cannot be split.
  Group split(int color, int key = -1) const;
};

/// Whether processes can be connected by "mpi", "nccl", "ring" or "jaccl", or by "any" of them. No other name is.
PLAIT_API bool is_available(std::string_view backend = "any");

/// The group of all processes. Errors: ArgumentError for an unknown backend; DeviceError with `strict`, or where a launcher's
/// variables say that this is one of several processes (OMPI_COMM_WORLD_SIZE, PMI_SIZE, MLX_WORLD_SIZE, MLX_HOSTFILE).
PLAIT_API Group init(bool strict = false, std::string_view backend = "any");

// Collectives, elementwise over what the processes of the group give: with one of them, the array itself.
PLAIT_API Array all_sum(const Array& x, const Group& group = init());
PLAIT_API Array all_max(const Array& x, const Group& group = init());
PLAIT_API Array all_min(const Array& x, const Group& group = init());
/// All arrays, concatenated along the first axis.
PLAIT_API Array all_gather(const Array& x, const Group& group = init());
/// This rank's part of the sum, cut along the first axis.
PLAIT_API Array sum_scatter(const Array& x, const Group& group = init());

// Errors: ArgumentError, as one process has nobody to send to or to receive from.
PLAIT_API Array send(const Array& x, int dst, const Group& group = init());
PLAIT_API Array recv(const Shape& shape, DType dtype, int src, const Group& group = init());
PLAIT_API Array recv_like(const Array& x, int src, const Group& group = init());

}  // namespace plait::distributed
