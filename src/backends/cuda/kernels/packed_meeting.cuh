// Which matrices meet in a product of a batch.
#pragma once

#include "backends/cuda/kernels/packed.h"

namespace plait::cuda {

/// x is null where a position lies outside.
__device__ inline Operands operands_of(const FewRows& p, int64_t product) {
  Operands at = p.first;
  if (p.picks.rhs) {
    const int64_t lhs = p.picks.lhs[product], rhs = p.picks.rhs[product];
    at.x = lhs < 0 || rhs < 0 ? nullptr : at.x + lhs * p.meeting.x[0];
    at.words += rhs * p.meeting.words[0];
    at.scales += rhs * p.meeting.scales[0];
    at.biases += rhs * p.meeting.biases[0];
    return at;
  }
  for (int axis = 0; axis < p.meeting.rank; ++axis) {
    const int64_t extent = p.meeting.extent[axis], next = product / extent, k = product - next * extent;
    product = next;
    at.x += k * p.meeting.x[axis];
    at.words += k * p.meeting.words[axis];
    at.scales += k * p.meeting.scales[axis];
    at.biases += k * p.meeting.biases[axis];
  }
  return at;
}

}  // namespace plait::cuda
