// Rows of attention's scores on the device.
#pragma once

#include <cstdint>

#include "backends/attention.h"
#include "backends/cuda/kernels/launch.h"

namespace plait::cuda {

/// Queries `first` to `first + count` of all heads, whose scores lie one row behind the other: (N, heads, count, S).
struct ScoreRows {
  int64_t first, count;
  void* scores;
  int64_t row(int64_t n, int64_t head, int64_t heads) const { return (n * heads + head) * count; }
};

/// Scores become weights; of each row the largest and the sum go to `most` and `total`, (N, heads, L) of the dtype of sums.
void weigh_rows(const Work& work, const AttentionCall& at, const TensorView* sinks, const ScoreRows& rows, void* most,
                void* total);

/// Scores become weights, and `changes`, products of the cotangent with v, cotangents of the scores times the scale.
void weigh_rows_back(const Work& work, const AttentionCall& at, const ScoreRows& rows, void* changes,
                     const TensorView& most, const TensorView& total, const TensorView& delta);

/// Of 16-bit operands: to[row] = most + log(total), row-major.
void join_sums(const Work& work, const AttentionCall& at, const TensorView& most, const TensorView& total, float* to);

/// to[i] (float or double) += from[i] of `dtype`; and back, rounded.
void add_widened(const Work& work, DType dtype, void* to, const void* from, int64_t count);
void store_narrowed(const Work& work, DType dtype, void* to, const void* from, int64_t count);

}  // namespace plait::cuda
