#include <algorithm>
#include <cstring>

#include "backends/kernel.h"
#include "backends/positions.h"
#include "backends/strided.h"
#include "base/parallel.h"

namespace plait {
namespace {

// a is (batch, before, n, after), at (batch, m), the result (batch, before, m, after).
void run_take(const KernelArgs& args) {
  const TensorView& a = args.inputs[0];
  const TensorView& at = args.inputs[1];
  const auto axis = static_cast<size_t>(args.attrs.get<int64_t>("axis"));
  const auto shared = static_cast<size_t>(args.attrs.get<int64_t>("batch"));
  int64_t batch = 1, before = 1, after = 1;
  for (size_t i = 0; i < shared; ++i) batch *= a.shape[i];
  for (size_t i = shared; i < axis; ++i) before *= a.shape[i];
  for (size_t i = axis + 1; i < a.shape.size(); ++i) after *= a.shape[i];
  const int64_t n = a.shape[axis];
  const int64_t m = batch == 0 ? 0 : at.count() / batch;
  if (args.outputs[0].count() == 0) {
    check_positions(args.op, at, n);
    return;
  }
  const std::vector<int64_t> rows = checked_positions(args.op, at, n);
  const int64_t bytes = after * size_of(a.dtype);
  const char* from = a.as<char>();
  char* to = args.outputs[0].as<char>();
  parallel_for(batch * before * m, row_grain(std::max<int64_t>(bytes / 4, 4)), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t group = i / m;
      const int64_t row = rows[static_cast<size_t>(group / before * m + i % m)];
      std::memcpy(to + i * bytes, from + (group * n + row) * bytes, static_cast<size_t>(bytes));
    }
  });
}

template <class T>
void take_along(const T* from, const int64_t* rows, T* to, int64_t outer, int64_t n, int64_t m, int64_t inner) {
  parallel_for(outer * m, row_grain(inner), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const T* block = from + i / m * n * inner;
      for (int64_t k = 0; k < inner; ++k) to[i * inner + k] = block[rows[i * inner + k] * inner + k];
    }
  });
}

void run_take_along(const KernelArgs& args) {
  const TensorView& a = args.inputs[0];
  const auto axis = static_cast<size_t>(args.attrs.get<int64_t>("axis"));
  int64_t outer = 1, inner = 1;
  for (size_t i = 0; i < axis; ++i) outer *= a.shape[i];
  for (size_t i = axis + 1; i < a.shape.size(); ++i) inner *= a.shape[i];
  const int64_t n = a.shape[axis], m = args.inputs[1].shape[axis];
  const std::vector<int64_t> rows = checked_positions(args.op, args.inputs[1], n);
  void* to = args.outputs[0].data;
  switch (size_of(a.dtype)) {
    case 1: return take_along(a.as<uint8_t>(), rows.data(), static_cast<uint8_t*>(to), outer, n, m, inner);
    case 2: return take_along(a.as<uint16_t>(), rows.data(), static_cast<uint16_t*>(to), outer, n, m, inner);
    case 4: return take_along(a.as<uint32_t>(), rows.data(), static_cast<uint32_t*>(to), outer, n, m, inner);
    default: return take_along(a.as<uint64_t>(), rows.data(), static_cast<uint64_t*>(to), outer, n, m, inner);
  }
}

}  // namespace

void register_reference_kernels_take(KernelTable& table) {
  table.add("take", Backend::reference, {.run = run_take, .checks_positions = true});
  table.add("take_along_axis", Backend::reference, {.run = run_take_along, .checks_positions = true});
}

}  // namespace plait
