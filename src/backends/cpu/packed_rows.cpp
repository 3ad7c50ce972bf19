#include "backends/cpu/packed_rows.h"

#include <cstring>

#include "backends/cpu/gemm_kernels.h"

namespace plait::cpu {

PackedKind kind_of(const packed::Format& format) {
  if (!format.affine()) return format.bits == 4 ? PackedKind::float4 : PackedKind::float8;
  switch (format.bits) {
    case 2: return PackedKind::bits2;
    case 3: return PackedKind::bits3;
    case 4: return PackedKind::bits4;
    case 5: return PackedKind::bits5;
    case 6: return PackedKind::bits6;
    default: return PackedKind::bits8;
  }
}

float* PackedScales::room(Scratch& scratch, int64_t groups) const {
  return scratch.take<float>((format_.affine() ? 2 : 1) * (groups + kPackedPadding));
}

PackedScales::Floats PackedScales::convert(const packed::Rows::Row& row, int64_t first, int64_t groups,
                                           float* room) const {
  const auto widen = [&](const void* from, float* to) {
    std::memset(to + groups, 0, kPackedPadding * sizeof(float));
    switch (dtype_) {
      case DType::float16: gemm_kernels().widen_f16(to, static_cast<const uint16_t*>(from) + first, groups); break;
      case DType::bfloat16: gemm_kernels().widen_bf16(to, static_cast<const uint16_t*>(from) + first, groups); break;
      default: std::memcpy(to, static_cast<const float*>(from) + first, static_cast<size_t>(groups) * sizeof(float));
    }
  };
  if (format_.affine()) {
    float* biases = room + groups + kPackedPadding;
    widen(row.scales, room);
    widen(row.biases, biases);
    return {room, biases};
  }
  for (int64_t g = 0; g < groups; ++g)
    room[g] = packed::scale_of(format_, static_cast<const uint8_t*>(row.scales)[first + g]);
  std::memset(room + groups, 0, kPackedPadding * sizeof(float));
  return {room, nullptr};
}

}  // namespace plait::cpu
