// cuDNN's attention: plans of its graph interface, which cudnn-frontend speaks. It compiles slowly and is included by one file.
#pragma once

#include <cudnn.h>

#include <array>
#include <cstdint>
#include <memory>
#include <tuple>

#include "plait/dtype.h"

namespace plait::cuda {

/// (N, heads, length, width); strides count elements, the last is 1.
struct AttentionTensor {
  std::array<int64_t, 4> extents{}, strides{};
  auto tied() const { return std::tie(extents, strides); }
  bool operator<(const AttentionTensor& other) const { return tied() < other.tied(); }
};

/// What a plan depends on. What is written is row-major.
struct AttentionForm {
  int device = 0;
  DType dtype = DType::bfloat16;
  bool backward = false;
  bool causal = false;  // the last query sees the last key
  bool deterministic = false;  // backward: in memory for all scores
  AttentionTensor q, k, v;
  AttentionTensor result, cotangent;  // read backward
  auto tied() const { return std::tie(device, dtype, backward, causal, deterministic, q, k, v, result, cotangent); }
  bool operator<(const AttentionForm& other) const { return tied() < other.tied(); }
};

/// Where the memory of a call lies; `stats` are logarithms of sums of exponentials, float32 (N, heads, L), and the scale is on the host.
struct AttentionMemory {
  const void *q = nullptr, *k = nullptr, *v = nullptr;
  float scale = 1;
  void *result = nullptr, *stats = nullptr;  // written forward, read backward
  const void* cotangent = nullptr;
  void *of_q = nullptr, *of_k = nullptr, *of_v = nullptr;
};

class AttentionPlan {
 public:
  virtual ~AttentionPlan() = default;
  /// Bytes on the device.
  virtual int64_t workspace() const = 0;
  /// Enqueues it on the handle's stream. Threads: one at a time for a handle. Errors: DeviceError.
  virtual void run(cudnnHandle_t handle, const AttentionMemory& memory, void* workspace) const = 0;
};

/// The oldest cuDNN whose attention is used: those before mask lengths that are not multiples of 128 by memory of the host.
inline constexpr size_t kOldestCudnnOfAttention = 91600;

/// Whether plait was built with cudnn-frontend, and cuDNN is not older. Errors: DeviceError where it cannot be had.
bool has_cudnn_attention();

/// Null where there is no attention by cuDNN, or no engine of it takes the form. Threads: any. Errors as above.
std::unique_ptr<const AttentionPlan> make_attention_plan(const AttentionForm& form);

}  // namespace plait::cuda
