// Integers of any dtype as positions in an axis.
#pragma once

#include <cstdint>

#include "backends/kernel.h"
#include "plait/dtype.h"

namespace plait::cuda {

struct Positions {
  const void* data;
  DType dtype;
  int64_t n;  // extent of the axis
  memory::PositionNote* note;  // null: nobody wants to know
  const char* op;
  uint32_t source;

  Positions(const KernelArgs& args, const TensorView& at, int64_t n)
      : data(at.data), dtype(at.dtype), n(n), note(args.note), op(args.op.data()), source(args.source) {}

  __device__ int64_t given(int64_t i) const {
    switch (dtype) {
      case DType::uint8: return static_cast<const uint8_t*>(data)[i];
      case DType::uint16: return static_cast<const uint16_t*>(data)[i];
      case DType::uint32: return static_cast<const uint32_t*>(data)[i];
      case DType::int8: return static_cast<const int8_t*>(data)[i];
      case DType::int16: return static_cast<const int16_t*>(data)[i];
      case DType::int32: return static_cast<const int32_t*>(data)[i];
      case DType::int64: return static_cast<const int64_t*>(data)[i];
      default: {
        const uint64_t x = static_cast<const uint64_t*>(data)[i];
        return x > static_cast<uint64_t>(INT64_MAX) ? INT64_MAX : static_cast<int64_t>(x);
      }
    }
  }

  /// Element i counted from the start, at most `most`; -1, noted where wanted, for one that lies outside.
  __device__ int64_t operator()(int64_t i, int64_t extent, int64_t most) const {
    const int64_t x = given(i);
    const int64_t at = x < 0 ? x + extent : x;
    if (at >= 0 && at <= most) return at;
    volatile memory::PositionNote* to = note;
    if (!to || to->op) return -1;
    to->given = x;
    to->n = extent;
    to->most = most;
    to->source = source;
    __threadfence_system();
    to->op = op;
    return -1;
  }
  __device__ int64_t operator()(int64_t i) const { return (*this)(i, n, n - 1); }
};

}  // namespace plait::cuda
