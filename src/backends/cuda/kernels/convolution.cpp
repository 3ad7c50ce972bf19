// Convolutions by cuDNN; what does not have its form is padded first, and what it does not take runs as plain loops. Gradients of small
// weights are products.
#include "backends/convolution.h"

#include <algorithm>
#include <atomic>
#include <tuple>
#include <vector>

#include "backends/cuda/kernels/convolution_plain.h"
#include "backends/cuda/kernels/matmul_plain.h"
#include "backends/cuda/kernels/plan_cache.h"
#include "backends/cuda/kernels/prepare.h"
#include "backends/cuda/kernels/tables.h"
#include "backends/cuda/libraries/cudnn.h"

namespace plait::cuda {
namespace {

struct Key {
  int device;
  ConvKind kind;
  DType dtype;
  ConvGeometry g;
  auto tied() const {
    return std::tie(device, kind, dtype, g.n, g.groups, g.c, g.o, g.in, g.kernel, g.out, g.stride, g.dilation,
                    g.padding);
  }
  bool operator<(const Key& other) const { return tied() < other.tied(); }
};

struct Algorithm {
  int number;
  size_t workspace;
  cudnnMathType_t math;
};

/// Descriptors, and the algorithms that may be used, best first.
struct Plan {
  cudnnTensorDescriptor_t x = nullptr, y = nullptr;
  cudnnFilterDescriptor_t w = nullptr;
  cudnnConvolutionDescriptor_t convolution = nullptr;
  std::vector<Algorithm> algorithms;
  mutable std::atomic<size_t> best{0};  // those before turned out not to run
  mutable cudnnMathType_t math = CUDNN_DEFAULT_MATH;  // of the descriptor, under the handle's lock

  Plan() = default;
  Plan(const Plan&) = delete;
  Plan& operator=(const Plan&) = delete;
  ~Plan() {
    const Cudnn& dnn = Cudnn::get();
    if (x) dnn.DestroyTensorDescriptor(x);
    if (y) dnn.DestroyTensorDescriptor(y);
    if (w) dnn.DestroyFilterDescriptor(w);
    if (convolution) dnn.DestroyConvolutionDescriptor(convolution);
  }
};

cudnnDataType_t type_of(DType d) {
  switch (d) {
    case DType::float16: return CUDNN_DATA_HALF;
    case DType::bfloat16: return CUDNN_DATA_BFLOAT16;
    case DType::float64: return CUDNN_DATA_DOUBLE;
    default: return CUDNN_DATA_FLOAT;
  }
}

bool fits_int(const ConvGeometry& g) {
  const auto small = [](int64_t n) { return n <= INT32_MAX; };
  return small(g.n * g.in_count() * g.x_channels()) && small(g.n * g.out_count() * g.y_channels()) &&
         small(g.y_channels() * g.kernel_count() * g.c);
}

// Transforms (Fourier, Winograd) round otherwise than sums of products, and what is not deterministic is not taken.
template <class Perf>
void keep(Plan& plan, const Perf* results, int count, DType dtype, std::initializer_list<int> transforms) {
  constexpr size_t kMostWorkspace = size_t{1} << 30;
  for (int i = 0; i < count; ++i) {
    const Perf& r = results[i];
    if (r.status != CUDNN_STATUS_SUCCESS || r.determinism != CUDNN_DETERMINISTIC || r.memory > kMostWorkspace) continue;
    if (std::find(transforms.begin(), transforms.end(), static_cast<int>(r.algo)) != transforms.end()) continue;
    if (!is_half(dtype) && r.mathType != CUDNN_FMA_MATH && r.mathType != CUDNN_DEFAULT_MATH) continue;
    plan.algorithms.push_back({static_cast<int>(r.algo), r.memory, is_half(dtype) ? r.mathType : CUDNN_FMA_MATH});
  }
}

std::shared_ptr<const Plan> make_plan(const Key& key) {
  const Cudnn& dnn = Cudnn::get();
  const ConvGeometry& g = key.g;
  auto plan = std::make_shared<Plan>();
  const bool flat = g.in[0] == 1 && g.kernel[0] == 1 && g.out[0] == 1 && g.padding[0] == 0;
  const size_t first = flat ? 1 : 0;
  const int rank = flat ? 4 : 5;
  const auto extents = [&](int64_t outer, int64_t channels, const ConvGeometry::Extents& e) {
    std::vector<int> all{static_cast<int>(outer), static_cast<int>(channels)};
    for (size_t i = first; i < 3; ++i) all.push_back(static_cast<int>(e[i]));
    return all;
  };
  const auto spatial = [&](const ConvGeometry::Extents& e) {
    const std::vector<int> all = extents(0, 0, e);
    return std::vector<int>(all.begin() + 2, all.end());
  };
  const cudnnDataType_t type = type_of(key.dtype);
  const cudnnDataType_t compute = key.dtype == DType::float64 ? CUDNN_DATA_DOUBLE : CUDNN_DATA_FLOAT;
  bool ok = dnn.CreateTensorDescriptor(&plan->x) == CUDNN_STATUS_SUCCESS &&
            dnn.CreateTensorDescriptor(&plan->y) == CUDNN_STATUS_SUCCESS &&
            dnn.CreateFilterDescriptor(&plan->w) == CUDNN_STATUS_SUCCESS &&
            dnn.CreateConvolutionDescriptor(&plan->convolution) == CUDNN_STATUS_SUCCESS;
  check_internal(ok, "cuDNN's descriptors could not be made");
  plan->math = is_half(key.dtype) ? CUDNN_TENSOR_OP_MATH : CUDNN_FMA_MATH;
  ok = dnn.SetTensorNdDescriptorEx(plan->x, CUDNN_TENSOR_NHWC, type, rank, extents(g.n, g.x_channels(), g.in).data()) ==
           CUDNN_STATUS_SUCCESS &&
       dnn.SetTensorNdDescriptorEx(plan->y, CUDNN_TENSOR_NHWC, type, rank,
                                   extents(g.n, g.y_channels(), g.out).data()) == CUDNN_STATUS_SUCCESS &&
       dnn.SetFilterNdDescriptor(plan->w, type, CUDNN_TENSOR_NHWC, rank,
                                 extents(g.y_channels(), g.c, g.kernel).data()) == CUDNN_STATUS_SUCCESS &&
       dnn.SetConvolutionNdDescriptor(plan->convolution, rank - 2, spatial(g.padding).data(), spatial(g.stride).data(),
                                      spatial(g.dilation).data(), CUDNN_CROSS_CORRELATION,
                                      compute) == CUDNN_STATUS_SUCCESS &&
       dnn.SetConvolutionGroupCount(plan->convolution, static_cast<int>(g.groups)) == CUDNN_STATUS_SUCCESS &&
       dnn.SetConvolutionMathType(plan->convolution, plan->math) == CUDNN_STATUS_SUCCESS;
  if (!ok) return plan;
  CudnnHandle& handle = CudnnHandle::of(key.device);
  const std::lock_guard lock(handle.mutex);
  constexpr int kMost = 8;
  int count = 0;
  switch (key.kind) {
    case ConvKind::forward: {
      cudnnConvolutionFwdAlgoPerf_t results[kMost];
      if (dnn.GetConvolutionForwardAlgorithm_v7(handle.handle, plan->x, plan->w, plan->convolution, plan->y, kMost,
                                                &count, results) == CUDNN_STATUS_SUCCESS)
        keep(*plan, results, count, key.dtype,
             {CUDNN_CONVOLUTION_FWD_ALGO_FFT, CUDNN_CONVOLUTION_FWD_ALGO_FFT_TILING,
              CUDNN_CONVOLUTION_FWD_ALGO_WINOGRAD, CUDNN_CONVOLUTION_FWD_ALGO_WINOGRAD_NONFUSED});
      break;
    }
    case ConvKind::input: {
      cudnnConvolutionBwdDataAlgoPerf_t results[kMost];
      if (dnn.GetConvolutionBackwardDataAlgorithm_v7(handle.handle, plan->w, plan->y, plan->convolution, plan->x, kMost,
                                                     &count, results) == CUDNN_STATUS_SUCCESS)
        keep(*plan, results, count, key.dtype,
             {CUDNN_CONVOLUTION_BWD_DATA_ALGO_FFT, CUDNN_CONVOLUTION_BWD_DATA_ALGO_FFT_TILING,
              CUDNN_CONVOLUTION_BWD_DATA_ALGO_WINOGRAD, CUDNN_CONVOLUTION_BWD_DATA_ALGO_WINOGRAD_NONFUSED});
      break;
    }
    case ConvKind::weight: {
      cudnnConvolutionBwdFilterAlgoPerf_t results[kMost];
      if (dnn.GetConvolutionBackwardFilterAlgorithm_v7(handle.handle, plan->x, plan->y, plan->convolution, plan->w,
                                                       kMost, &count, results) == CUDNN_STATUS_SUCCESS)
        keep(*plan, results, count, key.dtype,
             {CUDNN_CONVOLUTION_BWD_FILTER_ALGO_FFT, CUDNN_CONVOLUTION_BWD_FILTER_ALGO_FFT_TILING,
              CUDNN_CONVOLUTION_BWD_FILTER_ALGO_WINOGRAD, CUDNN_CONVOLUTION_BWD_FILTER_ALGO_WINOGRAD_NONFUSED});
      break;
    }
  }
  return plan;
}

cudnnStatus_t call(const Plan& plan, const Algorithm& algorithm, const Key& key, cudaStream_t stream, const void* a,
                   const void* b, void* to, void* room) {
  const Cudnn& dnn = Cudnn::get();
  const double wide_one = 1, wide_zero = 0;
  const float short_one = 1, short_zero = 0;
  const bool wide = key.dtype == DType::float64;
  const void* one = wide ? static_cast<const void*>(&wide_one) : &short_one;
  const void* zero = wide ? static_cast<const void*>(&wide_zero) : &short_zero;
  CudnnHandle& handle = CudnnHandle::of(key.device);
  const std::lock_guard lock(handle.mutex);
  handle.use(stream);
  if (plan.math != algorithm.math) {
    check_cudnn(dnn.SetConvolutionMathType(plan.convolution, algorithm.math), "convolution");
    plan.math = algorithm.math;
  }
  switch (key.kind) {
    case ConvKind::forward:
      return dnn.ConvolutionForward(handle.handle, one, plan.x, a, plan.w, b, plan.convolution,
                                    static_cast<cudnnConvolutionFwdAlgo_t>(algorithm.number), room, algorithm.workspace,
                                    zero, plan.y, to);
    case ConvKind::input:
      return dnn.ConvolutionBackwardData(handle.handle, one, plan.w, b, plan.y, a, plan.convolution,
                                         static_cast<cudnnConvolutionBwdDataAlgo_t>(algorithm.number), room,
                                         algorithm.workspace, zero, plan.x, to);
    case ConvKind::weight:
      return dnn.ConvolutionBackwardFilter(handle.handle, one, plan.x, a, plan.y, b, plan.convolution,
                                           static_cast<cudnnConvolutionBwdFilterAlgo_t>(algorithm.number), room,
                                           algorithm.workspace, zero, plan.w, to);
  }
  return CUDNN_STATUS_NOT_SUPPORTED;
}

/// False where the library does not take it.
bool run_cudnn(Work& work, ConvKind kind, const ConvGeometry& g, DType dtype, const void* a, const void* b, void* to) {
  static auto& plans = *new PlanCache<Key, Plan>;  // leaked: threads may ask while the process ends
  if (!fits_int(g)) return false;
  const Key key{device_of(work.queue()), kind, dtype, g};
  const std::shared_ptr<const Plan> plan = plans.get(key, [&] { return make_plan(key); });
  for (size_t i = plan->best; i < plan->algorithms.size(); plan->best = ++i) {
    const Algorithm& algorithm = plan->algorithms[i];
    void* room = algorithm.workspace ? work.scratch<char>(static_cast<int64_t>(algorithm.workspace)) : nullptr;
    const cudnnStatus_t status = call(*plan, algorithm, key, work.stream(), a, b, to, room);
    if (status == CUDNN_STATUS_SUCCESS) return true;
    if (status == CUDNN_STATUS_EXECUTION_FAILED) check_cudnn(status, "convolution");
  }
  return false;
}

// The same zeros before and behind, and as many outputs as then fit.
bool has_form(const ConvGeometry& g) {
  for (size_t i = 0; i < 3; ++i) {
    const int64_t reach = (g.kernel[i] - 1) * g.dilation[i] + 1, room = g.in[i] + 2 * g.padding[i] - reach;
    if (g.padding[i] < 0 || room < 0 || room / g.stride[i] + 1 != g.out[i]) return false;
  }
  return true;
}

/// The geometry whose input holds what is looked at and nothing else.
ConvGeometry padded(ConvGeometry g) {
  for (size_t i = 0; i < 3; ++i) {
    g.in[i] = (g.out[i] - 1) * g.stride[i] + (g.kernel[i] - 1) * g.dilation[i] + 1;
    g.padding[i] = 0;
  }
  return g;
}

ConvGeometry::Extents negative(ConvGeometry::Extents e) {
  for (int64_t& v : e) v = -v;
  return e;
}

/// The gradient of a weight sums over all outputs. cuDNN's deterministic algorithm for full precision gives all of an element's sum to
/// one block: small weights leave most of the device idle, 0.34 ms for one of 64 x 3 x 3 x 32 over 16,384 outputs on an H200.
bool is_weight_by_product(const ConvGeometry& g, DType dtype) {
  constexpr int64_t kMostWeights = 1 << 19, kMostBytes = int64_t{256} << 20;  // of patches
  const int64_t row = g.kernel_count() * g.c;
  return !is_half(dtype) && g.groups == 1 && g.o * row <= kMostWeights &&
         g.n * g.out_count() * row <= kMostBytes / size_of(dtype);
}
/// w (o, kernel c) = transposed y (o, n out) @ what each output sees (n out, kernel c).
void weight_by_product(Work& work, const ConvGeometry& g, DType dtype, const void* x, const void* y, void* w) {
  const int64_t row = g.kernel_count() * g.c, outputs = g.n * g.out_count(), bytes = size_of(dtype);
  const bool as_it_is = g.kernel_count() == 1 && g.in == g.out && g.stride == ConvGeometry::Extents{1, 1, 1} &&
                        g.padding == ConvGeometry::Extents{0, 0, 0};
  if (!as_it_is) {
    void* const patches = work.scratch<char>(outputs * row * bytes);
    copy_patches(work, g, bytes, patches, x);
    x = patches;
  }
  Product p;
  p.dtype = dtype;
  p.m = g.o;
  p.n = row;
  p.k = outputs;
  p.a = {static_cast<const char*>(y), 1, g.o, 0};
  p.b = {static_cast<const char*>(x), row, 1, 0};
  p.out = static_cast<char*>(w);
  multiply(work, p);
}

template <ConvKind kKind>
void run(const KernelArgs& args) {
  const TensorView &a = args.inputs[0], &b = args.inputs[1], &to = args.outputs[0];
  const TensorView& x = kKind == ConvKind::input ? to : a;
  const TensorView& w = kKind == ConvKind::weight ? to : b;
  const TensorView& y = kKind == ConvKind::forward ? to : kKind == ConvKind::input ? a : b;
  if (to.count() == 0) return;
  Work work(args);
  const ConvGeometry g = ConvGeometry::of(args, x, w, y);
  const int64_t bytes = size_of(to.dtype);
  if (a.count() == 0 || b.count() == 0) {
    check_cuda(cudaMemsetAsync(to.data, 0, static_cast<size_t>(to.count() * bytes), work.stream()), "convolution");
    return;
  }
  if (kKind == ConvKind::weight && is_weight_by_product(g, to.dtype))
    return weight_by_product(work, g, to.dtype, a.data, b.data, to.data);
  if (has_form(g)) {
    if (run_cudnn(work, kKind, g, to.dtype, a.data, b.data, to.data)) return;
  } else {
    const ConvGeometry p = padded(g);
    const int64_t pixel = g.x_channels() * bytes;
    void* image = work.scratch<char>(g.n * p.in_count() * pixel);
    if constexpr (kKind == ConvKind::input) {
      if (run_cudnn(work, kKind, p, to.dtype, a.data, b.data, image))
        return copy_window(work, g.n, pixel, to.data, g.in, image, p.in, g.padding);
    } else {
      copy_window(work, g.n, pixel, image, p.in, a.data, g.in, negative(g.padding));
      if (run_cudnn(work, kKind, p, to.dtype, image, b.data, to.data)) return;
    }
  }
  convolution_plain(work, kKind, g, to.dtype, a.data, b.data, to.data);
}

}  // namespace

void prepare_convolution(int device, ConvKind kind) {
  Key key{device, kind, DType::float32, {}};
  key.g.n = 1;
  key.g.c = key.g.o = 16;
  key.g.in[1] = key.g.in[2] = key.g.out[1] = key.g.out[2] = 16;
  key.g.kernel[1] = key.g.kernel[2] = 3;
  key.g.padding[1] = key.g.padding[2] = 1;
  const Trial trial(device);
  const std::shared_ptr<const Plan> plan = make_plan(key);
  for (const Algorithm& algorithm : plan->algorithms) {
    if (algorithm.workspace > Trial::kBytes) continue;
    check_cudnn(
        call(*plan, algorithm, key, trial.stream(), trial.piece(0), trial.piece(1), trial.piece(2), trial.piece(3)),
        "convolution");
    break;
  }
  trial.finish();
  CudnnHandle& handle = CudnnHandle::of(device);
  const std::lock_guard lock(handle.mutex);
  handle.leave();
}

void add_convolution_kernels(Table& table) {
  table.push_back({"convolution", {.run = run<ConvKind::forward>}});
  table.push_back({"convolution_input", {.run = run<ConvKind::input>}});
  table.push_back({"convolution_weight", {.run = run<ConvKind::weight>}});
}

}  // namespace plait::cuda
