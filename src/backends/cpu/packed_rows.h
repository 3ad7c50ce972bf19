#pragma once

#include "backends/cpu/packed_kernels.h"
#include "backends/cpu/scratch.h"
#include "backends/packed_numbers.h"
#include "plait/dtype.h"

/// Scales and biases as the loops over packed numbers take them.
namespace plait::cpu {

PackedKind kind_of(const packed::Format& format);

/// Scales (and biases) of a row as floats, from group `first` on; zeros for `kPackedPadding` more.
class PackedScales {
 public:
  /// `dtype`: of scales and biases in affine mode.
  PackedScales(const packed::Format& format, DType dtype) : format_(format), dtype_(dtype) {}
  /// Memory for the scales, and the biases, of one row.
  float* room(Scratch& scratch, int64_t groups) const;
  struct Floats {
    const float *scales, *biases;
  };
  Floats convert(const packed::Rows::Row& row, int64_t first, int64_t groups, float* room) const;

 private:
  packed::Format format_;
  DType dtype_;
};

}  // namespace plait::cpu
