#include <algorithm>
#include <atomic>
#include <type_traits>

#include "backends/kernel.h"
#include "backends/positions.h"
#include "backends/strided.h"
#include "base/parallel.h"

namespace plait {
namespace {

/// Positions as they are read: negative ones count from the end, and one outside of the axis counts as 0 and is remembered.
template <class I>
struct Reader {
  const I* at;
  int64_t n;
  bool outside = false;

  int64_t operator()(int64_t i) {
    int64_t x = static_cast<int64_t>(at[i]);
    if constexpr (std::is_signed_v<I>) x += x < 0 ? n : 0;
    const bool inside = static_cast<uint64_t>(x) < static_cast<uint64_t>(n);
    outside |= !inside;
    return inside ? x : 0;
  }
};

/// Calls body(reader, begin, end) for parts of `count` elements of work, and raises IndexError if a position lies outside.
template <class F>
void read_positions(const KernelArgs& args, const TensorView& at, int64_t n, int64_t count, int64_t grain, F body) {
  if (n == 0) check_positions(args.op, at, n);
  std::atomic<bool> outside = false;
  const auto with = [&]<class I>(const I* positions) {
    parallel_for(count, grain, [&](int64_t begin, int64_t end) {
      Reader<I> reader{positions, n};
      body(reader, begin, end);
      if (reader.outside) outside = true;
    });
    if (outside) check_positions(args.op, at, n);  // names the first
  };
  switch (at.dtype) {
    case DType::int32: return with(at.as<const int32_t>());
    case DType::uint32: return with(at.as<const uint32_t>());
    case DType::int64: return with(at.as<const int64_t>());
    default: return with(checked_positions(args.op, at, n).data());
  }
}

// Elements by their size, as integers of it.
template <class F>
void dispatch_size(int bytes, F body) {
  switch (bytes) {
    case 1: return body.template operator()<uint8_t>();
    case 2: return body.template operator()<uint16_t>();
    case 4: return body.template operator()<uint32_t>();
    default: return body.template operator()<uint64_t>();
  }
}

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
  dispatch_size(size_of(a.dtype), [&]<class T>() {
    const T* from = a.as<T>();
    T* to = args.outputs[0].as<T>();
    read_positions(args, at, n, batch * before * m, row_grain(after), [&](auto& reader, int64_t begin, int64_t end) {
      int64_t group = begin / m, j = begin % m;
      for (int64_t i = begin; i < end; ++i) {
        const T* row = from + (group * n + reader(group / before * m + j)) * after;
        if (after == 1)
          to[i] = *row;
        else
          std::copy_n(row, after, to + i * after);
        if (++j == m) j = 0, ++group;
      }
    });
  });
}

void run_take_along(const KernelArgs& args) {
  const TensorView& a = args.inputs[0];
  const auto axis = static_cast<size_t>(args.attrs.get<int64_t>("axis"));
  int64_t outer = 1, inner = 1;
  for (size_t i = 0; i < axis; ++i) outer *= a.shape[i];
  for (size_t i = axis + 1; i < a.shape.size(); ++i) inner *= a.shape[i];
  const int64_t n = a.shape[axis], m = args.inputs[1].shape[axis];
  dispatch_size(size_of(a.dtype), [&]<class T>() {
    const T* from = a.as<T>();
    T* to = args.outputs[0].as<T>();
    read_positions(args, args.inputs[1], n, outer * m, row_grain(inner), [&](auto& reader, int64_t begin, int64_t end) {
      int64_t group = begin / m, j = begin % m;
      for (int64_t i = begin; i < end; ++i) {
        const T* block = from + group * n * inner;
        for (int64_t k = i * inner; k < (i + 1) * inner; ++k) to[k] = block[reader(k) * inner + (k - i * inner)];
        if (++j == m) j = 0, ++group;
      }
    });
  });
}

}  // namespace

void register_reference_kernels_take(KernelTable& table) {
  table.add("take", Backend::reference, {.run = run_take, .checks_positions = true});
  table.add("take_along_axis", Backend::reference, {.run = run_take_along, .checks_positions = true});
}

}  // namespace plait
