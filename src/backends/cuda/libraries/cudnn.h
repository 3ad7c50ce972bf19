// cuDNN: convolutions, attention. Types come from its headers, functions from the library once it is open.
#pragma once

#include <cudnn.h>

#include <mutex>

namespace plait::cuda {

struct Cudnn {
// clang-format off: it would move the list at every run
#define PLAIT_CUDNN_FUNCTIONS(F) \
  F(GetVersion) F(GetCudartVersion) F(Create) F(SetStream) F(GetErrorString) F(CreateTensorDescriptor) F(DestroyTensorDescriptor) \
  F(SetTensorNdDescriptorEx) F(CreateFilterDescriptor) F(DestroyFilterDescriptor) F(SetFilterNdDescriptor) \
  F(CreateConvolutionDescriptor) F(DestroyConvolutionDescriptor) F(SetConvolutionNdDescriptor) \
  F(SetConvolutionGroupCount) F(SetConvolutionMathType) F(GetConvolutionForwardAlgorithm_v7) \
  F(GetConvolutionBackwardDataAlgorithm_v7) F(GetConvolutionBackwardFilterAlgorithm_v7) F(ConvolutionForward) \
  F(ConvolutionBackwardData) F(ConvolutionBackwardFilter)
// clang-format on
#define PLAIT_MEMBER(name) decltype(&::cudnn##name) name;
  PLAIT_CUDNN_FUNCTIONS(PLAIT_MEMBER)
#undef PLAIT_MEMBER

  /// Errors: DeviceError when the library cannot be had or was made for another CUDA.
  static const Cudnn& get();
  /// A function by its whole name, null where this cuDNN lacks it.
  void* find(const char* symbol) const;

  void* library = nullptr;
};

/// A handle of a device, which one thread at a time may use: hold the lock from setting its stream to the last call.
struct CudnnHandle {
  /// Plans take long to make, and no call waits for that.
  enum class For : uint8_t { calls, plans };

  std::mutex mutex;
  cudnnHandle_t handle = nullptr;

  /// With the lock held: where the calls that follow go.
  void use(cudaStream_t stream);
  /// Likewise, before that stream is destroyed.
  void leave() { has_stream_ = false; }

  static CudnnHandle& of(int device, For purpose = For::calls);

 private:
  cudaStream_t stream_ = nullptr;
  bool has_stream_ = false;
};

/// Errors: DeviceError naming `what`.
void check_cudnn(cudnnStatus_t status, const char* what);

}  // namespace plait::cuda
