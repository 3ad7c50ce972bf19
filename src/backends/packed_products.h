#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "backends/packed_numbers.h"

namespace plait::packed {

/// The products of one call: x (..., rows, depth) with packed matrices, (..., columns, depth) where `transpose`, else
/// (..., depth, columns). Lives no longer than the arguments.
class Products {
 public:
  enum class Of { all, picked };  // matrices in their order, or by the positions of both that come last
  /// Errors: IndexError for a position outside.
  Products(const KernelArgs& args, Of which);

  Format format;
  bool transpose;
  int64_t rows, columns, depth;
  int64_t count;
  std::span<const TensorView> parts;  // of the packed matrices

  struct Begin {
    int64_t x, row;  // in elements of x, in rows of all packed matrices
  };
  Begin begin(int64_t product) const;

 private:
  const TensorView& x_;
  int64_t packed_rows_;
  Of which_;
  std::vector<int64_t> lhs_, rhs_;
};

}  // namespace plait::packed
