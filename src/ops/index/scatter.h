#pragma once

#include "ops/indexing.h"
#include "plait/array.h"

namespace plait {

/// A copy of `a` (n, rest...) in which `mode` combines row at[i] with update[i]; `at` (m,), `update` (m, rest...) of the
/// same dtype as `a`. Rows are written in order. Errors while evaluating: IndexError for a row outside -n to n - 1.
Array scatter_rows(const Array& a, const Array& at, const Array& update, ScatterMode mode);

/// The same behind `batch` leading axes that all three share.
Array scatter_rows_batched(const Array& a, const Array& at, const Array& update, ScatterMode mode, int batch);

/// Rows at[i] of `a` (batch..., n, rest...); `at` is (batch..., picked...).
Array take_batched(const Array& a, const Array& at, int batch);

}  // namespace plait
