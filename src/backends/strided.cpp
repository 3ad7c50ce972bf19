#include "backends/strided.h"

#include <algorithm>
#include <cstring>

#include "base/parallel.h"
#include "plait/error.h"

namespace plait {
namespace {

using Axis = CopyAxis;

template <class T>
void copy_row(T* to, int64_t to_step, const T* from, int64_t from_step, int64_t n) {
  if (to_step == 1 && from_step == 1) {
    std::memcpy(to, from, static_cast<size_t>(n) * sizeof(T));
  } else if (from_step == 0) {
    for (int64_t i = 0; i < n; ++i) to[i * to_step] = from[0];
  } else {
    for (int64_t i = 0; i < n; ++i) to[i * to_step] = from[i * from_step];
  }
}

// Two axes whose unit strides lie on different sides: squares that fit the cache, so that each line is used whole.
template <class T>
void copy_turned(T* to, const Axis& rows, const T* from, const Axis& cols) {
  constexpr int64_t kSide = 32;
  for (int64_t r0 = 0; r0 < rows.extent; r0 += kSide)
    for (int64_t c0 = 0; c0 < cols.extent; c0 += kSide) {
      const int64_t r1 = std::min(r0 + kSide, rows.extent), c1 = std::min(c0 + kSide, cols.extent);
      for (int64_t r = r0; r < r1; ++r)
        for (int64_t c = c0; c < c1; ++c) to[r * rows.to + c * cols.to] = from[r * rows.from + c * cols.from];
    }
}

template <class T>
void copy_all(T* to, const T* from, const SmallVector<Axis, 6>& axes) {
  const Axis last = axes.back();
  int outer = static_cast<int>(axes.size()) - 1;
  const bool turned = outer >= 1 && last.from != 1 && last.from != 0 && axes[static_cast<size_t>(outer) - 1].from == 1;
  if (turned) --outer;
  int64_t rows = 1;
  for (int i = 0; i < outer; ++i) rows *= axes[static_cast<size_t>(i)].extent;
  const auto at_row = [&](int64_t row, int64_t& to_at, int64_t& from_at) {
    to_at = from_at = 0;
    for (int i = outer; i-- > 0;) {
      const Axis& axis = axes[static_cast<size_t>(i)];
      const int64_t k = row % axis.extent;
      row /= axis.extent;
      to_at += k * axis.to;
      from_at += k * axis.from;
    }
  };
  if (turned) {
    const Axis& upper = axes[static_cast<size_t>(outer)];
    constexpr int64_t kStrip = 128;
    const int64_t strips = (upper.extent + kStrip - 1) / kStrip;
    parallel_for(rows * strips, row_grain(std::min(kStrip, upper.extent) * last.extent),
                 [&](int64_t begin, int64_t end) {
                   for (int64_t i = begin; i < end; ++i) {
                     int64_t t, f;
                     at_row(i / strips, t, f);
                     const int64_t r0 = i % strips * kStrip;
                     const Axis strip{std::min(kStrip, upper.extent - r0), upper.to, upper.from};
                     copy_turned(to + t + r0 * upper.to, strip, from + f + r0 * upper.from, last);
                   }
                 });
    return;
  }
  constexpr int64_t kPiece = 1 << 16;
  const int64_t pieces = (last.extent + kPiece - 1) / kPiece;
  parallel_for(rows * pieces, row_grain(std::min(kPiece, last.extent)), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      int64_t t, f;
      at_row(i / pieces, t, f);
      const int64_t k = i % pieces * kPiece;
      copy_row(to + t + k * last.to, last.to, from + f + k * last.from, last.from, std::min(kPiece, last.extent - k));
    }
  });
}

}  // namespace

void copy_strided(void* to, std::span<const int64_t> to_strides, const void* from,
                  std::span<const int64_t> from_strides, std::span<const int64_t> shape, int width) {
  const SmallVector<Axis, 6> axes = joined_axes(to_strides, from_strides, shape);
  if (axes.empty()) return;
  switch (width) {
    case 1: return copy_all(static_cast<uint8_t*>(to), static_cast<const uint8_t*>(from), axes);
    case 2: return copy_all(static_cast<uint16_t*>(to), static_cast<const uint16_t*>(from), axes);
    case 4: return copy_all(static_cast<uint32_t*>(to), static_cast<const uint32_t*>(from), axes);
    case 8: return copy_all(static_cast<uint64_t*>(to), static_cast<const uint64_t*>(from), axes);
  }
  throw InternalError("copy_strided: no element has this width");
}

}  // namespace plait
