#include <algorithm>

#include "backends/cpu/gemm.h"
#include "backends/cpu/packed_rows.h"
#include "backends/strided.h"
#include "base/parallel.h"

namespace plait {
namespace {

// Numbers of 16 bits are rounded from floats, a piece of a row at a time.
constexpr int64_t kPiece = 512;

void run(const KernelArgs& args) {
  const TensorView& out = args.outputs[0];
  if (out.dtype == DType::float64) return kernels().find(args.op, Backend::reference)->run(args);
  if (out.count() == 0) return;
  const packed::Format format = packed::format_of(args.attrs);
  const packed::Rows rows(args.inputs);
  const cpu::PackedScales scales(format, args.inputs[1].dtype);
  const auto unpack = cpu::packed_kernels().of(cpu::kind_of(format)).unpack;
  const auto widen = out.dtype == DType::float16 ? cpu::gemm_kernels().widen_f16 : cpu::gemm_kernels().widen_bf16;
  const int64_t n = out.shape.back(), groups = n / format.group;
  parallel_for(rows.count(), row_grain(n), [&](int64_t begin, int64_t end) {
    cpu::Scratch scratch;
    float* room = scales.room(scratch, groups);
    float* wide = scratch.take<float>(kPiece);
    for (int64_t i = begin; i < end; ++i) {
      const auto row = rows.row(i);
      const auto floats = scales.convert(row, 0, groups, room);
      cpu::PackedPart part{row.words, floats.scales, floats.biases, format.group, 0, n};
      if (out.dtype == DType::float32) {
        unpack(part, out.as<float>() + i * n);
        continue;
      }
      for (part.first = 0; part.first < n; part.first += kPiece) {
        part.count = std::min(kPiece, n - part.first);
        auto* to = out.as<uint16_t>() + i * n + part.first;
        const auto round = [&] { cpu::store_narrow(wide, kPiece, to, n, 1, part.count, out.dtype); };
        part.biases = nullptr;
        unpack(part, wide);
        round();
        if (floats.biases == nullptr) continue;
        widen(wide, to, part.count);  // the product is rounded before the bias is added
        for (int64_t k = 0; k < part.count; ++k) wide[k] += floats.biases[(part.first + k) / format.group];
        round();
      }
    }
  });
}

}  // namespace

void register_cpu_kernels_dequantize(KernelTable& table) {
  table.add("affine_dequantize", Backend::cpu, {.run = run, .contiguous_inputs = false});
  table.add("microscaled_dequantize", Backend::cpu, {.run = run, .contiguous_inputs = false});
}

}  // namespace plait
