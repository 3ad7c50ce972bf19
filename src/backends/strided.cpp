#include "backends/strided.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "backends/cpu/background.h"
#include "backends/cpu/tile_kernels.h"
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

/// Two axes whose unit strides lie on different sides.
struct Turned {
  Axis rows, columns;  // rows.from and columns.to are 1, or some other pair
  bool past_caches = false;  // the copy is so large that its lines would drive others out
};

constexpr int kPieceBytes =
    256;  // of a line: read as a whole, as lines a power of two apart share few places of a cache

// Squares that fit the cache: lines are gathered, turned in registers, and written line by line.
template <class T>
void copy_squares(T* to, const T* from, const Turned& turned) {
  constexpr int64_t kSide = kPieceBytes / std::max<int64_t>(4, sizeof(T));
  const auto& kernels = cpu::tile_kernels();
  const auto turn = kernels.transpose[std::countr_zero(sizeof(T))];
  const auto& [rows, columns, past_caches] = turned;
  alignas(64) T lines[kSide * kSide];
  alignas(64) T square[kSide * kSide];
  for (int64_t r0 = 0; r0 < rows.extent; r0 += kSide)
    for (int64_t c0 = 0; c0 < columns.extent; c0 += kSide) {
      const int64_t height = std::min(kSide, rows.extent - r0), width = std::min(kSide, columns.extent - c0);
      for (int64_t c = 0; c < width; ++c)
        std::memcpy(lines + c * kSide, from + (c0 + c) * columns.from + r0, static_cast<size_t>(height) * sizeof(T));
      turn(reinterpret_cast<char*>(square), kSide, reinterpret_cast<const char*>(lines), kSide, height, width);
      for (int64_t r = 0; r < height; ++r) {
        T* const line = to + (r0 + r) * rows.to + c0;
        const T* const made = square + r * kSide;
        if (past_caches)
          kernels.stream(reinterpret_cast<char*>(line), reinterpret_cast<const char*>(made),
                         width * static_cast<int64_t>(sizeof(T)));
        else
          std::memcpy(line, made, static_cast<size_t>(width) * sizeof(T));
      }
    }
  if (past_caches) kernels.fence();
}

template <class T>
void copy_turned(T* to, const T* from, const Turned& turned) {
  const auto& [rows, columns, past_caches] = turned;
  if (rows.from == 1 && columns.to == 1) return copy_squares(to, from, turned);
  constexpr int64_t kSide = 32;
  for (int64_t r0 = 0; r0 < rows.extent; r0 += kSide)
    for (int64_t c0 = 0; c0 < columns.extent; c0 += kSide) {
      const int64_t r1 = std::min(r0 + kSide, rows.extent), c1 = std::min(c0 + kSide, columns.extent);
      for (int64_t r = r0; r < r1; ++r)
        for (int64_t c = c0; c < c1; ++c) to[r * rows.to + c * columns.to] = from[r * rows.from + c * columns.from];
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
    const bool past_caches =
        rows * upper.extent * last.extent * static_cast<int64_t>(sizeof(T)) > cpu::streaming_bytes();
    const int64_t strips = (upper.extent + kStrip - 1) / kStrip;
    parallel_for(rows * strips, row_grain(std::min(kStrip, upper.extent) * last.extent),
                 [&](int64_t begin, int64_t end) {
                   for (int64_t i = begin; i < end; ++i) {
                     int64_t t, f;
                     at_row(i / strips, t, f);
                     const int64_t r0 = i % strips * kStrip;
                     const Axis strip{std::min(kStrip, upper.extent - r0), upper.to, upper.from};
                     copy_turned(to + t + r0 * upper.to, from + f + r0 * upper.from, {strip, last, past_caches});
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
