// Batches of row-major matrices around calls of cuSOLVER, which takes them column by column, may not end on NaN, and leaves what went
// wrong on the device.
#pragma once

#include <cstdint>

#include "backends/cuda/kernels/launch.h"
#include "backends/kernel.h"

namespace plait::cuda {

/// Calls for a whole batch are made for many small matrices; larger ones fill the device one by one.
inline constexpr int64_t kSmallMatrix = 256;

struct Matrices {
  int64_t batch = 1, rows = 0, columns = 0;
  int64_t size() const { return rows * columns; }
};
Matrices matrices_of(const TensorView& a);

/// The part of a matrix that is read or written.
enum class Part : uint8_t { all, lower, upper };

/// bad[i] = whether matrix i holds something that is not finite.
void find_bad(const Work& work, DType dtype, const void* a, const Matrices& m, Part part, bool* bad);

/// How a matrix lies: element (i, j) at i * row + j * column, the next matrix `batch` elements on.
struct Lies {
  int64_t row, column, batch;
};
inline Lies by_rows(int64_t rows, int64_t columns) { return {columns, 1, rows * columns}; }
inline Lies by_columns(int64_t rows, int64_t columns) { return {1, rows, rows * columns}; }

/// Copies matrices from one order into another, conjugated on the way if asked for; in the place of bad ones (null: none is) the
/// identity, which every factorization takes.
void copy_matrices(const Work& work, DType dtype, void* to, Lies to_lies, const void* from, Lies from_lies,
                   const Matrices& m, const bool* bad, bool conjugate = false);

/// Makes the part of bad row-major matrices NaN, and what lies outside of it in all of them 0.
void finish(const Work& work, DType dtype, void* a, const Matrices& m, Part part, const bool* bad);

/// LAPACK's exchanges of rows, counted from 1, as positions counted from 0, and the order that they bring `rows` rows into. Bad
/// matrices have none. `Index` is int or int64_t.
template <class Index>
void orders_of(const Work& work, uint32_t* pivots, uint32_t* order, const Index* exchanges, int64_t batch,
               int64_t count, int64_t rows, const bool* bad);

/// Where each matrix of a batch begins, `step_bytes` apart, for calls that take a list.
void** addresses_of(Work& work, void* first, int64_t step_bytes, int64_t batch);

/// failures[i] = the place, from 1, of the first zero on the diagonal of matrix i, or 0.
void find_zeros(const Work& work, DType dtype, const void* a, const Matrices& m, int* failures);

/// Notes the first matrix whose failure is not 0, for the error that those get who wait for the results.
void note_failure(const Work& work, const KernelArgs& args, const int* failures, int64_t batch);

}  // namespace plait::cuda
