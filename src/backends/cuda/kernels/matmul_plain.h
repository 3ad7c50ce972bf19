// Matrix products as plain loops: for what cuBLASLt has no algorithm for.
#pragma once

#include <cstdint>

#include "backends/cuda/kernels/launch.h"

namespace plait::cuda {

/// A matrix, or as many as a batch has: strides count elements.
struct Matrix {
  const char* data = nullptr;
  int64_t row = 0, column = 0, batch = 0;
};

struct Product {
  DType dtype = DType::float32;
  int64_t m = 0, n = 0, k = 0, batch = 1;
  Matrix a, b;  // (m, k) and (k, n)
  Matrix c;  // (m, n), added to the product before it is rounded; without data: nothing is
  char* out = nullptr;  // (batch, m, n), each row-major
  int64_t out_batch = 0;
};

void matmul_plain(const Work& work, const Product& p);

/// out = a @ b over leading axes, by cuBLASLt: operands of any strides, also 0; each matrix of the result is row-major.
void multiply_batches(Work& work, TensorView a, TensorView b, const TensorView& out);

}  // namespace plait::cuda
