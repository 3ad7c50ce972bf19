// Matrix products, by cuBLASLt (matmul.cpp) and as plain loops, for what it has no algorithm for.
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
  int64_t out_row = 0;  // between its rows; 0: n
};

void matmul_plain(const Work& work, const Product& p);

/// out = a @ b over leading axes, by cuBLASLt: operands of any strides, also 0; each matrix of the result is row-major.
void multiply_batches(Work& work, TensorView a, TensorView b, const TensorView& out);
/// A product by cuBLASLt, or by loops where it has no algorithm; the operands lie as the library takes them: neighbouring rows or
/// neighbouring columns together.
void multiply(Work& work, Product p);

}  // namespace plait::cuda
