// Fourier transforms by cuFFT, of lines that lie one behind the other: others are copied there and back.
#include <cmath>
#include <mutex>

#include "backends/cuda/kernels/copy.h"
#include "backends/cuda/kernels/fft_scale.h"
#include "backends/cuda/kernels/plan_cache.h"
#include "backends/cuda/kernels/tables.h"
#include "backends/cuda/libraries/cufft.h"

namespace plait::cuda {
namespace {

struct Key {
  int device;
  cufftType type;
  int64_t n, lines;
  auto operator<=>(const Key&) const = default;
};

/// What all transforms of one key share. Plans hold tables on the device, so few are kept.
struct Plan {
  mutable std::mutex mutex;  // held from the setting of the stream to the mark behind the call
  cufftHandle handle = CUFFT_PLAN_NULL;
  size_t workspace = 0;
  cudaEvent_t called = nullptr;  // behind all calls

  Plan() = default;
  Plan(const Plan&) = delete;
  Plan& operator=(const Plan&) = delete;
  ~Plan() {
    // Nothing says that the library keeps the tables for calls that the device has not done.
    if (called) {
      cudaEventSynchronize(called);
      cudaEventDestroy(called);
    }
    if (handle != CUFFT_PLAN_NULL) Cufft::get().Destroy(handle);
  }
};

std::shared_ptr<const Plan> make_plan(const Key& key) {
  const Cufft& fft = Cufft::get();
  auto plan = std::make_shared<Plan>();
  check_cufft(fft.Create(&plan->handle), "fft");
  check_cufft(fft.SetAutoAllocation(plan->handle, 0), "fft");
  check_cuda(cudaEventCreateWithFlags(&plan->called, cudaEventDisableTiming), "fft");
  long long n = key.n, half = key.n / 2 + 1;
  long long from = key.type == CUFFT_C2R ? half : n, to = key.type == CUFFT_R2C ? half : n;
  check_cufft(
      fft.MakePlanMany64(plan->handle, 1, &n, &from, 1, from, &to, 1, to, key.type, key.lines, &plan->workspace),
      "fft");
  return plan;
}

cufftResult execute(const Cufft& fft, const Plan& plan, cufftType type, void* from, void* to, bool inverse) {
  auto* const complex_from = static_cast<cufftComplex*>(from);
  auto* const complex_to = static_cast<cufftComplex*>(to);
  switch (type) {
    case CUFFT_R2C: return fft.ExecR2C(plan.handle, static_cast<cufftReal*>(from), complex_to);
    case CUFFT_C2R: return fft.ExecC2R(plan.handle, complex_from, static_cast<cufftReal*>(to));
    default: return fft.ExecC2C(plan.handle, complex_from, complex_to, inverse ? CUFFT_INVERSE : CUFFT_FORWARD);
  }
}

/// Lines of `from` transformed to `to`, each row-major.
void transform(Work& work, const Key& key, void* from, void* to, bool inverse) {
  static auto& plans = *new PlanCache<Key, Plan, 64>;  // leaked: threads may ask while the process ends
  const Cufft& fft = Cufft::get();
  const std::shared_ptr<const Plan> plan = plans.get(key, [&] { return make_plan(key); });
  void* workspace = work.scratch<char>(static_cast<int64_t>(plan->workspace));
  const std::lock_guard lock(plan->mutex);
  check_cufft(fft.SetStream(plan->handle, work.stream()), "fft");
  check_cufft(fft.SetWorkArea(plan->handle, workspace), "fft");
  check_cuda(cudaStreamWaitEvent(work.stream(), plan->called, 0), "fft");  // so that one mark stands for all streams
  check_cufft(execute(fft, *plan, key.type, from, to, inverse), "fft");
  check_cuda(cudaEventRecord(plan->called, work.stream()), "fft");
}

/// (outer, n, inner) of elements of `width` bytes: strides of the axes (outer, inner, n), in memory where lines lie one behind
/// the other, or as the array has them.
struct Turned {
  int64_t shape[3], lines[3], array[3];
  explicit Turned(const Along& a)
      : shape{a.outer, a.inner, a.n}, lines{a.inner * a.n, a.n, 1}, array{a.n * a.inner, 1, a.inner} {}
};

// The imaginary parts of the first element, and of the last where n is even, do not count, but the library adds them to what
// follows.
void clear_imaginary(const Work& work, float* lines, int64_t count, int64_t n) {
  const int64_t m = n / 2 + 1;
  const auto clear = [&](int64_t k) {
    check_cuda(cudaMemset2DAsync(lines + 2 * k + 1, static_cast<size_t>(m) * 2 * sizeof(float), 0, sizeof(float),
                                 static_cast<size_t>(count), work.stream()),
               "fft");
  };
  clear(0);
  if (n % 2 == 0) clear(m - 1);
}

void run(const KernelArgs& args, cufftType type) {
  const TensorView &in = args.inputs[0], &out = args.outputs[0];
  if (out.count() == 0) return;
  refuse_recording(args.queue, "fft");  // a plan may leave the cache
  Work work(args);
  const auto axis = static_cast<size_t>(args.attrs.get<int64_t>("axis"));
  const Along from(in, axis), to(out, axis);
  const int64_t lines = from.outer * from.inner, n = type == CUFFT_R2C ? from.n : to.n;
  const bool turned = from.inner > 1;
  void* source = in.data;
  if (turned || type == CUFFT_C2R) {  // the library may write to the input of a transform to real numbers
    source = work.scratch<char>(lines * from.n * size_of(in.dtype));
    const Turned t(from);
    copy_strided(work, source, t.lines, in.data, t.array, t.shape, size_of(in.dtype));
  }
  if (type == CUFFT_C2R) clear_imaginary(work, static_cast<float*>(source), lines, n);
  void* const target = turned ? work.scratch<char>(lines * to.n * size_of(out.dtype)) : out.data;
  const bool inverse = type == CUFFT_C2C && args.attrs.get<bool>("inverse");
  transform(work, {device_of(work.queue()), type, n, lines}, source, target, inverse);
  const int64_t divide = args.attrs.get<int64_t>("divide");
  if (divide != 0)
    scale(work, static_cast<float*>(target), lines * to.n * (type == CUFFT_C2R ? 1 : 2),
          static_cast<float>(std::pow(static_cast<double>(n), -0.5 * static_cast<double>(divide))));
  if (!turned) return;
  const Turned t(to);
  copy_strided(work, out.data, t.array, target, t.lines, t.shape, size_of(out.dtype));
}

void run_complex(const KernelArgs& args) { run(args, CUFFT_C2C); }
void run_real(const KernelArgs& args) { run(args, CUFFT_R2C); }
void run_to_real(const KernelArgs& args) { run(args, CUFFT_C2R); }

}  // namespace

void add_fft_kernels(Table& table) {
  table.push_back({"fft_complex", {.run = run_complex}});
  table.push_back({"fft_real", {.run = run_real}});
  table.push_back({"fft_to_real", {.run = run_to_real}});
}

}  // namespace plait::cuda
