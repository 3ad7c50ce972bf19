// Operands in memory to the panels that tiles read, and 16-bit results.
#include <algorithm>
#include <cstring>

#include "backends/cpu/gemm.h"
#include "backends/cpu/tile_kernels.h"

namespace plait::cpu {
namespace {

int size_of(GemmOperand::Type type) {
  return type == GemmOperand::Type::f64 ? 8 : type == GemmOperand::Type::f32 ? 4 : 2;
}

// Rows and steps that both lie apart, element by element. T moves bits: no arithmetic is done on them.
template <class T>
void pack_apart(const T* from, int64_t row_stride, int64_t step_stride, T* to, int width, int pair, int64_t count,
                int64_t depth) {
  const int64_t steps = (depth + pair - 1) / pair * pair;
  for (int64_t first = 0; first < count; first += width, to += width * steps) {
    const int64_t rows = std::min<int64_t>(width, count - first);
    if (rows < width || steps != depth) std::memset(to, 0, static_cast<size_t>(width * steps) * sizeof(T));
    for (int64_t p = 0; p < depth; ++p)
      for (int64_t r = 0; r < rows; ++r)
        to[(p / pair * width + r) * pair + p % pair] = from[(first + r) * row_stride + p * step_stride];
  }
}

// 16-bit elements become float on the way: whole rows or whole steps are widened, then packed.
void pack_widened(const GemmOperand& from, const uint16_t* data, int width, float* to, int64_t count, int64_t depth) {
  const auto widen = from.type == GemmOperand::Type::f16 ? gemm_kernels().widen_f16 : gemm_kernels().widen_bf16;
  constexpr int64_t kRun = 256;
  float row[kRun];
  uint16_t gathered[kRun];
  for (int64_t first = 0; first < count; first += width, to += width * depth, data += width * from.row_stride) {
    const int64_t rows = std::min<int64_t>(width, count - first);
    if (rows < width) std::memset(to, 0, static_cast<size_t>(width * depth) * sizeof(float));
    if (from.row_stride == 1) {
      for (int64_t p = 0; p < depth; ++p) widen(to + p * width, data + p * from.step_stride, rows);
      continue;
    }
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t p = 0; p < depth; p += kRun) {
        const int64_t n = std::min(kRun, depth - p);
        const uint16_t* line = data + r * from.row_stride + p * from.step_stride;
        if (from.step_stride != 1) {
          for (int64_t k = 0; k < n; ++k) gathered[k] = line[k * from.step_stride];
          line = gathered;
        }
        widen(row, line, n);
        for (int64_t k = 0; k < n; ++k) to[(p + k) * width + r] = row[k];
      }
  }
}

}  // namespace

void pack_operand(const GemmOperand& from, const GemmPanels& panels, int pair, char* to, int64_t first, int64_t count,
                  int64_t step, int64_t depth) {
  const int bytes = size_of(from.type), width = panels.width;
  const char* data = static_cast<const char*>(from.data) + (first * from.row_stride + step * from.step_stride) * bytes;
  if (bytes == 2 && pair == 1)
    return pack_widened(from, reinterpret_cast<const uint16_t*>(data), width, reinterpret_cast<float*>(to), count,
                        depth);
  if (panels.along && from.step_stride == 1) return panels.along(to, data, from.row_stride * bytes, count, depth);
  if (panels.across && from.row_stride == 1) return panels.across(to, data, from.step_stride * bytes, count, depth);
  const auto apart = [&]<class T>(T) {
    pack_apart(reinterpret_cast<const T*>(data), from.row_stride, from.step_stride, reinterpret_cast<T*>(to), width,
               pair, count, depth);
  };
  bytes == 8 ? apart(uint64_t{}) : bytes == 4 ? apart(uint32_t{}) : apart(uint16_t{});
}

void store_narrow(const float* c, int64_t stride, uint16_t* to, int64_t to_stride, int64_t rows, int64_t columns,
                  DType dtype) {
  constexpr int64_t kPiece = 256;
  const auto convert = tile_kernels().convert[static_cast<int>(DType::float32)][static_cast<int>(dtype)];
  alignas(64) float from[kPiece] = {};
  alignas(64) uint16_t narrow[kPiece];
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < columns; j += kPiece) {
      const int64_t n = std::min(kPiece, columns - j);
      std::memcpy(from, c + i * stride + j, static_cast<size_t>(n) * 4);
      convert(reinterpret_cast<char*>(narrow), reinterpret_cast<const char*>(from), nullptr, nullptr, 0, n);
      std::memcpy(to + i * to_stride + j, narrow, static_cast<size_t>(n) * 2);
    }
}

}  // namespace plait::cpu
