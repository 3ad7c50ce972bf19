#include "ops/nonzero.h"

#include <algorithm>
#include <vector>

#include "base/parallel.h"
#include "graph/node.h"
#include "ops/prelude.h"
#include "plait/more_ops.h"

namespace plait {
namespace {

constexpr int64_t kChunk = 1 << 16;  // elements that one thread takes together

DType index_dtype(int64_t extent) { return extent > INT32_MAX ? DType::int64 : DType::int32; }

/// body(pointer to int32_t or int64_t) for the elements of a new array, which this returns.
template <class F>
Array filled(int64_t count, DType dtype, F body) {
  const Shape shape{count};
  const Aval aval{shape, dtype};
  const Storage storage = allocate_storage(aval);
  if (dtype == DType::int64)
    body(reinterpret_cast<int64_t*>(storage.data()));
  else
    body(reinterpret_cast<int32_t*>(storage.data()));
  return make_evaluated(storage, aval);
}

}  // namespace

Array true_positions(const Array& mask) {
  const Array flat = contiguous(reshape(mask, Shape{mask.shape().count()}));
  const char* const set = evaluated_storage(flat).data();
  const int64_t n = flat.size(), chunks = (n + kChunk - 1) / kChunk;
  std::vector<int64_t> before(static_cast<size_t>(chunks) + 1, 0);  // true elements in chunks before this one
  const auto each_chunk = [&](auto body) {
    parallel_for(chunks, 1, [&](int64_t begin, int64_t end) {
      for (int64_t c = begin; c < end; ++c) body(static_cast<size_t>(c), c * kChunk, std::min(n, (c + 1) * kChunk));
    });
  };
  each_chunk([&](size_t c, int64_t begin, int64_t end) {
    before[c + 1] = std::count_if(set + begin, set + end, [](char x) { return x != 0; });
  });
  for (size_t c = 1; c < before.size(); ++c) before[c] += before[c - 1];
  return filled(before.back(), index_dtype(n), [&]<class T>(T* to) {
    each_chunk([&](size_t c, int64_t begin, int64_t end) {
      T* out = to + before[c];
      T* const last = to + before[c + 1];
      for (int64_t i = begin; i < end && out < last; ++i) {
        *out = static_cast<T>(i);  // written over unless it counts
        out += set[i] != 0;
      }
    });
  });
}

Arrays nonzero(const Array& a) {
  if (a.rank() == 0)
    throw ArgumentError({.op = "nonzero", .got = "an array without axes", .accepts = "at least one", .where = here()});
  const Array flat = true_positions(a.dtype() == DType::bool_ ? a : not_equal(a, Array(Scalar(0), a.dtype())));
  if (a.rank() == 1) return {flat};
  const Array positions = astype(flat, DType::int64);
  const auto* const at = reinterpret_cast<const int64_t*>(evaluated_storage(positions).data());
  const int64_t n = positions.size();
  Arrays out;
  int64_t inner = a.size();
  const std::vector<int64_t> shape = a.shape().values();
  for (const int64_t extent : shape) {
    inner = extent == 0 ? 0 : inner / extent;
    out.push_back(filled(n, index_dtype(extent), [&]<class T>(T* to) {
      parallel_for(n, kChunk, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) to[i] = static_cast<T>(at[i] / inner % extent);
      });
    }));
  }
  return out;
}

}  // namespace plait
