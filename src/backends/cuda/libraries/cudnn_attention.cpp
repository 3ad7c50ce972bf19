#include "backends/cuda/libraries/cudnn_attention.h"

#include "backends/cuda/libraries/cudnn.h"

#if PLAIT_WITH_CUDNN_FRONTEND

#include <cuda_runtime_api.h>
#include <dlfcn.h>

#include <cstring>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>

#include "backends/cuda/libraries/library.h"
#include "backends/cuda/runtime/cuda.h"

// cudnn-frontend looks for the functions it calls by dlopen and dlsym. Here it finds those of the cuDNN that plait has opened, and of the CUDA run
// time that is linked in: another libcudart need not be there.
namespace {

const char kCudnnHandle = 0, kCudartHandle = 0;

struct CudartFunction {
  const char* name;
  void* address;
};
#define PLAIT_CUDART(name) {#name, reinterpret_cast<void*>(&::name)}
const CudartFunction kCudart[] = {
    PLAIT_CUDART(cudaGetDevice),   PLAIT_CUDART(cudaGetDeviceProperties), PLAIT_CUDART(cudaGetErrorString),
    PLAIT_CUDART(cudaMemcpyAsync), PLAIT_CUDART(cudaMemsetAsync),
};
#undef PLAIT_CUDART

void* frontend_open(const char* file, int mode) {
  const std::string_view name = file;
  if (name.starts_with("libcudart.so"))
    return name == "libcudart.so." + std::to_string(CUDART_VERSION / 1000) ? const_cast<char*>(&kCudartHandle)
                                                                           : nullptr;
  return ::dlopen(file, mode);
}
int frontend_close(void* handle) { return handle == &kCudartHandle ? 0 : ::dlclose(handle); }
void* frontend_symbol(void* handle, const char* name) {
  if (handle == &kCudnnHandle) return plait::cuda::Cudnn::get().find(name);
  if (handle != &kCudartHandle) return ::dlsym(handle, name);
  for (const CudartFunction& function : kCudart)
    if (std::strcmp(function.name, name) == 0) return function.address;
  return nullptr;
}

}  // namespace

#define NV_CUDNN_FRONTEND_USE_DYNAMIC_LOADING
#define CUDNN_FRONTEND_SKIP_JSON_LIB
#define dlopen frontend_open
#define dlclose frontend_close
#define dlsym frontend_symbol
#include <cudnn_frontend.h>
#undef dlopen
#undef dlclose
#undef dlsym

namespace cudnn_frontend {
void* cudnn_dlhandle = const_cast<char*>(&kCudnnHandle);
}

namespace plait::cuda {
namespace {

namespace fe = cudnn_frontend;
using TensorOfGraph = std::shared_ptr<fe::graph::Tensor_attributes>;

enum Id : int64_t { kQ = 1, kK, kV, kScale, kResult, kStats, kCotangent, kOfQ, kOfK, kOfV };

AttentionTensor row_major(const std::array<int64_t, 4>& e) { return {e, {e[1] * e[2] * e[3], e[2] * e[3], e[3], 1}}; }

fe::graph::Tensor_attributes described(Id id, const AttentionTensor& t) {
  return fe::graph::Tensor_attributes()
      .set_uid(id)
      .set_dim({t.extents.begin(), t.extents.end()})
      .set_stride({t.strides.begin(), t.strides.end()});
}
void give_out(const TensorOfGraph& tensor, Id id, const std::array<int64_t, 4>& extents) {
  const AttentionTensor t = row_major(extents);
  tensor->set_output(true)
      .set_uid(id)
      .set_dim({t.extents.begin(), t.extents.end()})
      .set_stride({t.strides.begin(), t.strides.end()});
}

template <class Options>
void set_common(Options& options, const AttentionForm& form, const TensorOfGraph& scale) {
  options.set_name("attention").set_attn_scale(scale);
  if (!form.causal) return;
  const bool square = form.q.extents[2] == form.k.extents[2];
  options.set_diagonal_alignment(square ? fe::DiagonalAlignment_t::TOP_LEFT : fe::DiagonalAlignment_t::BOTTOM_RIGHT)
      .set_diagonal_band_right_bound(0);
}

class Plan final : public AttentionPlan {
 public:
  explicit Plan(const AttentionForm& form) : backward_(form.backward) {
    graph_.set_io_data_type(form.dtype == DType::float16 ? fe::DataType_t::HALF : fe::DataType_t::BFLOAT16)
        .set_intermediate_data_type(fe::DataType_t::FLOAT)
        .set_compute_data_type(fe::DataType_t::FLOAT);
    const TensorOfGraph q = graph_.tensor(described(kQ, form.q)), k = graph_.tensor(described(kK, form.k)),
                        v = graph_.tensor(described(kV, form.v));
    const TensorOfGraph scale = graph_.tensor(
        described(kScale, row_major({1, 1, 1, 1})).set_is_pass_by_value(true).set_data_type(fe::DataType_t::FLOAT));
    const auto& [n, heads, queries, features] = form.q.extents;
    if (form.backward) {
      const TensorOfGraph result = graph_.tensor(described(kResult, form.result)),
                          cotangent = graph_.tensor(described(kCotangent, form.cotangent)),
                          stats = graph_.tensor(described(kStats, row_major({n, heads, queries, 1}))
                                                    .set_data_type(fe::DataType_t::FLOAT));
      auto options = fe::graph::SDPA_backward_attributes().set_deterministic_algorithm(form.deterministic);
      set_common(options, form, scale);
      const auto [of_q, of_k, of_v] = graph_.sdpa_backward(q, k, v, result, cotangent, stats, options);
      give_out(of_q, kOfQ, form.q.extents);
      give_out(of_k, kOfK, form.k.extents);
      give_out(of_v, kOfV, form.v.extents);
    } else {
      auto options = fe::graph::SDPA_attributes().set_generate_stats(true);
      set_common(options, form, scale);
      const auto [result, stats] = graph_.sdpa(q, k, v, options);
      give_out(result, kResult, {n, heads, queries, form.v.extents[3]});
      give_out(stats, kStats, {n, heads, queries, 1});
      stats->set_data_type(fe::DataType_t::FLOAT);
    }
  }

  /// False where no engine takes it.
  bool build(cudnnHandle_t handle) {
    return graph_.build(handle, {fe::HeurMode_t::A}).is_good() && graph_.get_workspace_size(workspace_).is_good();
  }
  int64_t workspace() const override { return workspace_; }
  void run(cudnnHandle_t handle, const AttentionMemory& m, void* workspace) const override {
    float scale = m.scale;
    const auto in = [](const void* data) { return const_cast<void*>(data); };
    std::unordered_map<int64_t, void*> memory{{kQ, in(m.q)},    {kK, in(m.k)},       {kV, in(m.v)},
                                              {kScale, &scale}, {kResult, m.result}, {kStats, m.stats}};
    if (backward_) memory.insert({{kCotangent, in(m.cotangent)}, {kOfQ, m.of_q}, {kOfK, m.of_k}, {kOfV, m.of_v}});
    std::string why;
    try {
      fe::error_t error = graph_.execute(handle, memory, workspace);
      cudaGetLastError();  // as below
      if (error.is_good()) return;
      why = error.get_message();
    } catch (const std::exception& error) {
      why = error.what();
    }
    throw DeviceError({.op = "attention", .got = "cuDNN's refusal: " + why});
  }

 private:
  const bool backward_;
  fe::graph::Graph graph_;
  int64_t workspace_ = 0;
};

}  // namespace

bool has_cudnn_attention() { return Cudnn::get().GetVersion() >= kOldestCudnnOfAttention; }

std::unique_ptr<const AttentionPlan> make_attention_plan(const AttentionForm& form) {
  if (!has_cudnn_attention()) return nullptr;
  const DeviceScope scope(form.device);
  CudnnHandle& handle = CudnnHandle::of(form.device, CudnnHandle::For::plans);
  const std::lock_guard lock(handle.mutex);
  try {
    auto plan = std::make_unique<Plan>(form);
    const bool built = plan->build(handle.handle);
    cudaGetLastError();  // cuDNN leaves errors of what it tried
    if (built) return plan;
  } catch (const std::exception&) {
    // It throws where it lacks a function.
  }
  return nullptr;
}

}  // namespace plait::cuda

#else

namespace plait::cuda {
bool has_cudnn_attention() { return false; }
std::unique_ptr<const AttentionPlan> make_attention_plan(const AttentionForm&) { return nullptr; }
}  // namespace plait::cuda

#endif
