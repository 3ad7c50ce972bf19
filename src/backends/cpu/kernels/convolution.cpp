// Convolutions on the CPU: oneDNN where it has fast code, else products of gathered matrices; the reference where each
// group has too few channels for those.
#include "backends/cpu/gemm.h"
#include "backends/cpu/onednn_conv.h"
#include "backends/cpu/scratch.h"
#include "base/parallel.h"

namespace plait {
namespace {

using cpu::ConvKind;

const Kernel& reference(std::string_view op) { return *kernels().find(op, Backend::reference); }

bool fast(ConvKind kind, const ConvGeometry& g, DType dtype, const void* a, const void* b, void* to) {
#if PLAIT_WITH_ONEDNN
  if (cpu::onednn_convolution(kind, g, dtype, a, b, to)) return true;
#endif
  constexpr int64_t kFewest = 4;  // multiplications per element of the kernel
  if (is_half(dtype) || g.multiplications() == 0 || g.c * g.o < kFewest) return false;
  cpu::gemm_convolution(kind, g, dtype, a, b, to);
  return true;
}

constexpr int64_t kGrain = 1 << 15;

const float* widened(cpu::Scratch& scratch, const TensorView& from) {
  float* to = scratch.take<float>(from.count());
  const auto& kernels = cpu::gemm_kernels();
  const auto widen = from.dtype == DType::float16 ? kernels.widen_f16 : kernels.widen_bf16;
  parallel_for(from.count(), kGrain,
               [&](int64_t begin, int64_t end) { widen(to + begin, from.as<uint16_t>() + begin, end - begin); });
  return to;
}

/// 16-bit operands as float32, the result rounded once.
bool through_float(ConvKind kind, const ConvGeometry& g, const TensorView& a, const TensorView& b,
                   const TensorView& to) {
  cpu::Scratch scratch;
  float* sums = scratch.take<float>(to.count());
  if (!fast(kind, g, DType::float32, widened(scratch, a), widened(scratch, b), sums)) return false;
  parallel_for(to.count(), kGrain, [&](int64_t begin, int64_t end) {
    cpu::store_narrow(sums + begin, 0, to.as<uint16_t>() + begin, 0, 1, end - begin, to.dtype);
  });
  return true;
}

template <ConvKind kind>
void run(const KernelArgs& args) {
  const TensorView &a = args.inputs[0], &b = args.inputs[1], &to = args.outputs[0];
  const TensorView& x = kind == ConvKind::input ? to : a;
  const TensorView& w = kind == ConvKind::weight ? to : b;
  const TensorView& y = kind == ConvKind::forward ? to : kind == ConvKind::input ? a : b;
  const ConvGeometry g = ConvGeometry::of(args, x, w, y);
  bool done = fast(kind, g, to.dtype, a.data, b.data, to.data);
  if (!done && is_half(to.dtype)) done = through_float(kind, g, a, b, to);
  if (!done) reference(args.op).run(args);
}

}  // namespace

void register_cpu_kernels_convolution(KernelTable& table) {
  table.add("convolution", Backend::cpu, {.run = run<ConvKind::forward>});
  table.add("convolution_input", Backend::cpu, {.run = run<ConvKind::input>});
  table.add("convolution_weight", Backend::cpu, {.run = run<ConvKind::weight>});
}

}  // namespace plait
